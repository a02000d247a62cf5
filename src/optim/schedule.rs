//! Learning-rate schedules.

use std::f64::consts::PI;

/// How a [`Schedule::OneCycle`] interpolates between learning rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Anneal {
    /// Half a cosine.
    #[default]
    Cos,
    /// Linear.
    Linear,
}

/// The factor on the base learning rate at `t = 0, 1, 2, …` (epochs or steps, as the caller chooses): the schedulers
/// of `torch.optim.lr_scheduler` in closed form. (For the one that depends on a metric, see
/// [`Plateau`](super::Plateau).)
///
/// ```
/// use wgrad::optim::Schedule;
/// let halve = Schedule::Step { step_size: 10, gamma: 0.5 };
/// assert_eq!((halve.factor(9), halve.factor(10), halve.factor(25)), (1.0, 0.5, 0.25));
/// let rise = Schedule::Linear { start_factor: 0.2, end_factor: 1.0, total_iters: 4 };
/// let then = rise.then(4, Schedule::Cosine { t_max: 20, min_factor: 0.0 });
/// assert_eq!((then.factor(0), then.factor(4)), (0.2, 1.0));
/// assert!((then.factor(14) - 0.5).abs() < 1e-15);
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Schedule {
    /// Always 1.
    #[default]
    Constant,
    /// `gamma^⌊t/step_size⌋`: `StepLR`.
    Step {
        /// The length of each level.
        step_size: u32,
        /// The factor between levels.
        gamma: f64,
    },
    /// `gamma` to the power of the number of milestones at or before `t`: `MultiStepLR`.
    MultiStep {
        /// Where the levels begin, in any order.
        milestones: Vec<u32>,
        /// The factor between levels.
        gamma: f64,
    },
    /// `gamma^t`: `ExponentialLR`.
    Exponential {
        /// The factor between consecutive `t`.
        gamma: f64,
    },
    /// From 1 to `min_factor` along half a cosine over `t_max`; afterwards it rises again, like `CosineAnnealingLR`.
    Cosine {
        /// The length of the descent.
        t_max: u32,
        /// The factor at the end of the descent.
        min_factor: f64,
    },
    /// Repeated descents like [`Schedule::Cosine`]'s, each `t_mult` times as long as the one before:
    /// `CosineAnnealingWarmRestarts`.
    CosineRestarts {
        /// The length of the first descent.
        t_0: u32,
        /// The ratio of the lengths of consecutive descents.
        t_mult: u32,
        /// The factor at the end of each descent.
        min_factor: f64,
    },
    /// Linear from `start_factor` to `end_factor` over `total_iters`, then constant: `LinearLR`.
    Linear {
        /// The factor at `t = 0`.
        start_factor: f64,
        /// The factor at `total_iters` and later.
        end_factor: f64,
        /// The length of the interpolation.
        total_iters: u32,
    },
    /// `factor` for `total_iters`, then 1: `ConstantLR`.
    Held {
        /// The initial factor.
        factor: f64,
        /// How long it is held.
        total_iters: u32,
    },
    /// `(1 − t/total_iters)^power`, then 0: `PolynomialLR`.
    Polynomial {
        /// The length of the descent.
        total_iters: u32,
        /// The exponent.
        power: f64,
    },
    /// Up to 1 and down again within `total_steps` (Smith & Topin 2017): `OneCycleLR`, whose `max_lr` is the base
    /// learning rate here.
    OneCycle {
        /// The length of the cycle.
        total_steps: u32,
        /// The fraction of the cycle that rises.
        pct_start: f64,
        /// How it interpolates.
        anneal: Anneal,
        /// The factor at the start is `1/div_factor`.
        div_factor: f64,
        /// The factor at the end is the initial factor divided by this.
        final_div_factor: f64,
        /// Whether it descends over the same length as it rose, and then further down to the end.
        three_phase: bool,
    },
    /// One schedule after another: `SequentialLR`.
    Sequential {
        /// The schedules, in order.
        schedules: Vec<Schedule>,
        /// The start of each schedule except the first, ascending; each schedule counts `t` from its start.
        milestones: Vec<u32>,
    },
}

impl Schedule {
    /// This schedule up to `milestone`, then `next`, which counts `t` from there.
    pub fn then(self, milestone: u32, next: Schedule) -> Self {
        match self {
            Schedule::Sequential { mut schedules, mut milestones } => {
                schedules.push(next);
                milestones.push(milestone);
                Schedule::Sequential { schedules, milestones }
            }
            first => Schedule::Sequential { schedules: vec![first, next], milestones: vec![milestone] },
        }
    }

    /// The factor at `t`.
    pub fn factor(&self, t: u32) -> f64 {
        let part = |t: u32, whole: u32| f64::from(t.min(whole)) / f64::from(whole.max(1));
        match self {
            Schedule::Constant => 1.0,
            Schedule::Step { step_size, gamma } => gamma.powf(f64::from(t / (*step_size).max(1))),
            Schedule::MultiStep { milestones, gamma } => {
                gamma.powf(milestones.iter().filter(|&&milestone| milestone <= t).count() as f64)
            }
            Schedule::Exponential { gamma } => gamma.powf(f64::from(t)),
            Schedule::Cosine { t_max, min_factor } => {
                cosine(1.0, *min_factor, f64::from(t) / f64::from((*t_max).max(1)))
            }
            Schedule::CosineRestarts { t_0, t_mult, min_factor } => {
                let (mut start, mut length) = (0u64, u64::from((*t_0).max(1)));
                if *t_mult <= 1 {
                    start = u64::from(t) / length * length;
                }
                while u64::from(t) >= start + length {
                    start += length;
                    length *= u64::from(*t_mult);
                }
                cosine(1.0, *min_factor, (u64::from(t) - start) as f64 / length as f64)
            }
            Schedule::Linear { start_factor, end_factor, total_iters } if *total_iters > 0 => {
                start_factor + (end_factor - start_factor) * part(t, *total_iters)
            }
            Schedule::Linear { end_factor, .. } => *end_factor,
            Schedule::Held { factor, total_iters } => {
                if t < *total_iters {
                    *factor
                } else {
                    1.0
                }
            }
            Schedule::Polynomial { total_iters, power } if *total_iters > 0 => {
                (1.0 - part(t, *total_iters)).powf(*power)
            }
            Schedule::Polynomial { .. } => 1.0,
            Schedule::OneCycle { total_steps, pct_start, anneal, div_factor, final_div_factor, three_phase } => {
                let (low, last) = (1.0 / div_factor, f64::from(*total_steps) - 1.0);
                let (end, top) = (low / final_div_factor, pct_start * f64::from(*total_steps) - 1.0);
                let phases = if *three_phase {
                    vec![(top, low, 1.0), (2.0 * top, 1.0, low), (last, low, end)]
                } else {
                    vec![(top, low, 1.0), (last, 1.0, end)]
                };
                one_cycle(f64::from(t).min(last), &phases, *anneal)
            }
            Schedule::Sequential { schedules, milestones } => {
                let index = milestones.iter().filter(|&&m| m <= t).count().min(schedules.len().saturating_sub(1));
                let start = index.checked_sub(1).map_or(0, |k| milestones[k]);
                schedules.get(index).map_or(1.0, |schedule| schedule.factor(t - start))
            }
        }
    }
}

fn cosine(from: f64, to: f64, progress: f64) -> f64 {
    to + (from - to) * (1.0 + (PI * progress).cos()) / 2.0
}

/// Each phase is (end, from, to).
fn one_cycle(t: f64, phases: &[(f64, f64, f64)], anneal: Anneal) -> f64 {
    let mut start = 0.0;
    let mut factor = 1.0;
    for &(end, from, to) in phases {
        let progress = if end > start { (t - start) / (end - start) } else { 1.0 };
        factor = match anneal {
            Anneal::Cos => cosine(from, to, progress),
            Anneal::Linear => from + (to - from) * progress,
        };
        if t <= end {
            break;
        }
        start = end;
    }
    factor
}
