//! A learning rate that falls when training stalls.

/// Whether a metric should fall or rise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PlateauMode {
    /// A smaller one is better.
    #[default]
    Min,
    /// A larger one is better.
    Max,
}

/// How a metric is compared with the best so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ThresholdMode {
    /// It must be better by the threshold times the best.
    #[default]
    Rel,
    /// It must be better by the threshold.
    Abs,
}

/// The settings of `torch.optim.lr_scheduler.ReduceLROnPlateau`, with its defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReduceOnPlateau {
    /// Whether the metric should fall or rise.
    pub mode: PlateauMode,
    /// What the learning rate is multiplied by.
    pub factor: f64,
    /// After how many epochs without a better metric: the next such one reduces.
    pub patience: u32,
    /// By how much a metric must be better to count as better.
    pub threshold: f64,
    /// Of what that is a part.
    pub threshold_mode: ThresholdMode,
    /// For how many epochs after a reduction none are counted.
    pub cooldown: u32,
    /// The least learning rate.
    pub min_lr: f64,
    /// A reduction by less than this is not made.
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

/// The learning rate of a run under [`ReduceOnPlateau`]: a decision after each epoch, by the host.
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
    /// A run that starts with the learning rate `lr`.
    pub fn new(lr: f64, settings: ReduceOnPlateau) -> Self {
        let best = if settings.mode == PlateauMode::Min { f64::INFINITY } else { f64::NEG_INFINITY };
        Plateau { settings, lr, best, bad_epochs: 0, cooling: 0 }
    }

    /// The present learning rate.
    pub fn lr(&self) -> f64 {
        self.lr
    }

    /// Takes an epoch's metric and gives the next epoch's learning rate.
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
