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
/// let halve = Schedule { kind: ScheduleKind::Step { step_size: 10, gamma: 0.5 }, warmup: 0 };
/// assert_eq!((halve.factor(9), halve.factor(10), halve.factor(25)), (1.0, 0.5, 0.25));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Schedule {
    /// What follows the warm-up; its `t` counts from the warm-up's end.
    pub kind: ScheduleKind,
    /// How long the factor rises linearly: `(t + 1)/(warmup + 1)`.
    pub warmup: u32,
}

impl Schedule {
    /// The factor at `t`.
    pub fn factor(&self, t: u32) -> f64 {
        let Some(t) = t.checked_sub(self.warmup) else {
            return f64::from(t + 1) / f64::from(self.warmup + 1);
        };
        match self.kind {
            ScheduleKind::Constant => 1.0,
            ScheduleKind::Step { step_size, gamma } => gamma.powi((t / step_size.max(1)) as i32),
            ScheduleKind::Cosine { t_max, min_factor } => {
                let progress = f64::from(t.min(t_max)) / f64::from(t_max.max(1));
                min_factor + (1.0 - min_factor) * (1.0 + (PI * progress).cos()) / 2.0
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warm_up_rises_to_the_schedule() {
        let schedule = Schedule { kind: ScheduleKind::Cosine { t_max: 4, min_factor: 0.1 }, warmup: 3 };
        let factors: Vec<f64> = (0..9).map(|t| schedule.factor(t)).collect();
        assert_eq!(factors[..4], [0.25, 0.5, 0.75, 1.0]);
        assert!((factors[5] - 0.55).abs() < 1e-12);
        assert!((factors[7] - 0.1).abs() < 1e-12);
        assert_eq!(factors[7], factors[8]);
    }
}
