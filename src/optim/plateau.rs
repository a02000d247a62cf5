//! Learning-rate reduction when a metric stops improving.

/// Whether the metric should decrease or increase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PlateauMode {
    /// Smaller is better.
    #[default]
    Min,
    /// Larger is better.
    Max,
}

/// How the threshold is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ThresholdMode {
    /// Relative: the metric must improve on the best by `threshold` times the best.
    #[default]
    Rel,
    /// Absolute: the metric must improve on the best by `threshold`.
    Abs,
}

/// The settings of `torch.optim.lr_scheduler.ReduceLROnPlateau`, with its defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReduceOnPlateau {
    /// Whether the metric should decrease or increase.
    pub mode: PlateauMode,
    /// The factor that the learning rate is multiplied by.
    pub factor: f64,
    /// The number of epochs without improvement that are tolerated: the next one reduces the learning rate.
    pub patience: u32,
    /// How much a metric must improve to count as an improvement.
    pub threshold: f64,
    /// Whether the threshold is relative or absolute.
    pub threshold_mode: ThresholdMode,
    /// The number of epochs after a reduction in which epochs without improvement are not counted.
    pub cooldown: u32,
    /// The minimum learning rate.
    pub min_lr: f64,
    /// A reduction smaller than this is skipped.
    pub eps: f64,
}

impl Default for ReduceOnPlateau {
    fn default() -> Self {
        ReduceOnPlateau {
            mode: PlateauMode::Min,
            factor: 0.1,
            patience: 10,
            threshold: 1e-4,
            threshold_mode: ThresholdMode::Rel,
            cooldown: 0,
            min_lr: 0.0,
            eps: 1e-8,
        }
    }
}

/// What [`Plateau`] knows of a run, with the infinities of its start left out.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct PlateauState {
    lr: f64,
    best: Option<f64>,
    bad_epochs: u32,
    cooling: u32,
}

/// The learning rate of a training run under [`ReduceOnPlateau`]: the host decides after each epoch.
///
/// ```
/// use wgrad::optim::{Plateau, ReduceOnPlateau};
/// let mut plateau = Plateau::new(0.1, ReduceOnPlateau { factor: 0.5, patience: 1, ..ReduceOnPlateau::default() });
/// let rates: Vec<f64> = [1.0, 0.9, 0.9, 0.9, 0.9].into_iter().map(|loss| plateau.step(loss)).collect();
/// assert_eq!(rates, [0.1, 0.1, 0.1, 0.05, 0.05]);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Plateau {
    settings: ReduceOnPlateau,
    lr: f64,
    best: f64,
    bad_epochs: u32,
    cooling: u32,
}

impl Plateau {
    /// Starts with the learning rate `lr`.
    pub fn new(lr: f64, settings: ReduceOnPlateau) -> Self {
        let best = if settings.mode == PlateauMode::Min { f64::INFINITY } else { f64::NEG_INFINITY };
        Plateau { settings, lr, best, bad_epochs: 0, cooling: 0 }
    }

    /// What a checkpoint keeps.
    pub fn state(&self) -> PlateauState {
        let best = Some(self.best).filter(|best| best.is_finite());
        PlateauState { lr: self.lr, best, bad_epochs: self.bad_epochs, cooling: self.cooling }
    }

    /// Goes on from where a run with the same settings was.
    pub fn restore(&mut self, state: PlateauState) {
        let fresh = Plateau::new(state.lr, self.settings);
        let best = state.best.unwrap_or(fresh.best);
        *self = Plateau { best, bad_epochs: state.bad_epochs, cooling: state.cooling, ..fresh };
    }

    /// The current learning rate.
    pub fn lr(&self) -> f64 {
        self.lr
    }

    /// Takes an epoch's metric and returns the learning rate for the next epoch.
    pub fn step(&mut self, metric: f64) -> f64 {
        let s = &self.settings;
        if self.is_better(metric) {
            self.best = metric;
            self.bad_epochs = 0;
        } else {
            self.bad_epochs += 1;
        }
        if self.cooling > 0 {
            self.cooling -= 1;
            self.bad_epochs = 0;
        }
        if self.bad_epochs > s.patience {
            let lower = (self.lr * s.factor).max(s.min_lr);
            if self.lr - lower > s.eps {
                self.lr = lower;
            }
            self.cooling = s.cooldown;
            self.bad_epochs = 0;
        }
        self.lr
    }

    fn is_better(&self, metric: f64) -> bool {
        let s = &self.settings;
        match (s.mode, s.threshold_mode) {
            (PlateauMode::Min, ThresholdMode::Rel) => metric < self.best * (1.0 - s.threshold),
            (PlateauMode::Min, ThresholdMode::Abs) => metric < self.best - s.threshold,
            (PlateauMode::Max, ThresholdMode::Rel) => metric > self.best * (1.0 + s.threshold),
            (PlateauMode::Max, ThresholdMode::Abs) => metric > self.best + s.threshold,
        }
    }
}
