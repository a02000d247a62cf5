//! Learning-rate schedules.

use std::f64::consts::PI;

/// The factor the base learning rate is multiplied by, after warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum ScheduleKind {
    /// 1.
    #[default]
    Constant,
    /// `gamma^⌊t/step_size⌋`: `StepLR`.
    Step {
        /// How long each level lasts.
        step_size: u32,
        /// The factor from one level to the next.
        gamma: f64,
    },
    /// From 1 to `min_factor` along half a cosine over `t_max`, then constant: `CosineAnnealingLR`.
    Cosine {
        /// How long the descent takes.
        t_max: u32,
        /// Where it ends.
        min_factor: f64,
    },
}

/// A schedule over `t = 0, 1, 2, …` (epochs or steps, as its user decides).
///
/// ```
/// use wgrad::optim::{Schedule, ScheduleKind};
/// let halve = Schedule { kind: ScheduleKind::Step { step_size: 10, gamma: 0.5 }, warmup: None };
/// assert_eq!((halve.factor(9), halve.factor(10), halve.factor(25)), (1.0, 0.5, 0.25));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Schedule {
    /// What follows the warm-up; its `t` counts from the warm-up's end.
    pub kind: ScheduleKind,
    /// A linear rise to the first factor of `kind`.
    pub warmup: Option<Warmup>,
}

/// `start_factor + (1 − start_factor)·t/length` for `t < length`: `LinearLR`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Warmup {
    /// How long it lasts.
    pub length: u32,
    /// Where it starts, as a factor of the base learning rate.
    pub start_factor: f64,
}

impl Schedule {
    /// The factor at `t`.
    pub fn factor(&self, t: u32) -> f64 {
        let (length, start) = self.warmup.map_or((0, 1.0), |w| (w.length, w.start_factor));
        let Some(t) = t.checked_sub(length) else {
            return start + (1.0 - start) * f64::from(t) / f64::from(length);
        };
        match self.kind {
            ScheduleKind::Constant => 1.0,
            ScheduleKind::Step { step_size, gamma } => gamma.powf(f64::from(t / step_size.max(1))),
            ScheduleKind::Cosine { t_max, min_factor } => {
                let progress = f64::from(t.min(t_max)) / f64::from(t_max.max(1));
                min_factor + (1.0 - min_factor) * (1.0 + (PI * progress).cos()) / 2.0
            }
        }
    }
}
