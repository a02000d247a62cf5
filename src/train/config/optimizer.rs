//! The loss's, the optimiser's and the schedule's settings.

use crate::error::{Error, Result};
use crate::optim::{Adam, Optimizer, Schedule, ScheduleKind, Sgd, Warmup};
use crate::variable::Variable;
use serde::{Deserialize, Serialize};

/// The loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum LossConfig {
    /// Cross-entropy of logits against the labels.
    CrossEntropy {
        /// In `[0, 1]`.
        #[serde(default)]
        label_smoothing: f64,
    },
    /// Mean squared error against the one-hot labels.
    Mse {},
    /// Binary cross-entropy of each logit against the one-hot labels.
    BceWithLogits {},
}

/// The optimiser; the names and defaults are PyTorch's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[allow(missing_docs)]
pub enum OptimizerConfig {
    Sgd {
        lr: f64,
        #[serde(default)]
        momentum: f64,
        #[serde(default)]
        dampening: f64,
        #[serde(default)]
        nesterov: bool,
        #[serde(default)]
        weight_decay: f64,
    },
    Adam {
        lr: f64,
        #[serde(default = "default_betas")]
        betas: [f64; 2],
        #[serde(default = "default_eps")]
        eps: f64,
        #[serde(default)]
        weight_decay: f64,
    },
    Adamw {
        lr: f64,
        #[serde(default = "default_betas")]
        betas: [f64; 2],
        #[serde(default = "default_eps")]
        eps: f64,
        #[serde(default = "default_decay")]
        weight_decay: f64,
    },
}

fn default_betas() -> [f64; 2] {
    [0.9, 0.999]
}
fn default_eps() -> f64 {
    1e-8
}
fn default_decay() -> f64 {
    0.01
}

impl OptimizerConfig {
    /// The base learning rate.
    pub fn lr(&self) -> f64 {
        match *self {
            OptimizerConfig::Sgd { lr, .. } | OptimizerConfig::Adam { lr, .. } | OptimizerConfig::Adamw { lr, .. } => {
                lr
            }
        }
    }
    /// Sets the base learning rate.
    pub fn set_lr(&mut self, value: f64) {
        match self {
            OptimizerConfig::Sgd { lr, .. } | OptimizerConfig::Adam { lr, .. } | OptimizerConfig::Adamw { lr, .. } => {
                *lr = value;
            }
        }
    }
    /// The optimiser of `parameters`.
    pub fn build(&self, parameters: Vec<(String, Variable)>) -> Optimizer {
        let adam = |betas: [f64; 2], eps, weight_decay, decoupled| Adam {
            betas: (betas[0], betas[1]),
            eps,
            weight_decay,
            decoupled,
        };
        match *self {
            OptimizerConfig::Sgd { momentum, dampening, nesterov, weight_decay, .. } => {
                Optimizer::new(Sgd { momentum, dampening, nesterov, weight_decay }, parameters)
            }
            OptimizerConfig::Adam { betas, eps, weight_decay, .. } => {
                Optimizer::new(adam(betas, eps, weight_decay, false), parameters)
            }
            OptimizerConfig::Adamw { betas, eps, weight_decay, .. } => {
                Optimizer::new(adam(betas, eps, weight_decay, true), parameters)
            }
        }
    }
    pub(super) fn check(&self) -> Result<()> {
        let at_least_0 = |key: &str, value: f64| {
            if value.is_finite() && value >= 0.0 {
                Ok(())
            } else {
                Err(Error::config(format!("optimizer.{key}"), format!("must be a number of 0 or more, but is {value}")))
            }
        };
        at_least_0("lr", self.lr())?;
        match *self {
            OptimizerConfig::Sgd { momentum, dampening, nesterov, weight_decay, .. } => {
                at_least_0("momentum", momentum)?;
                at_least_0("weight_decay", weight_decay)?;
                if !dampening.is_finite() {
                    return Err(Error::config("optimizer.dampening", "must be a number"));
                }
                if nesterov && (momentum == 0.0 || dampening != 0.0) {
                    return Err(Error::config("optimizer.nesterov", "needs a momentum and no dampening"));
                }
            }
            OptimizerConfig::Adam { betas, eps, weight_decay, .. }
            | OptimizerConfig::Adamw { betas, eps, weight_decay, .. } => {
                at_least_0("eps", eps)?;
                at_least_0("weight_decay", weight_decay)?;
                if betas.iter().any(|b| !(0.0..1.0).contains(b)) {
                    return Err(Error::config("optimizer.betas", format!("must lie in [0, 1), but are {betas:?}")));
                }
            }
        }
        Ok(())
    }
}

/// What a schedule counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Unit {
    #[default]
    Epoch,
    Step,
}

/// A linear rise at the start of a schedule, as PyTorch's `LinearLR`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmupConfig {
    /// How long it lasts, in the schedule's unit.
    pub length: u32,
    /// Where it starts, as a factor of the base learning rate.
    #[serde(default = "third")]
    pub start_factor: f64,
}

fn third() -> f64 {
    1.0 / 3.0
}

/// The learning rate's course, over epochs or steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[allow(missing_docs)]
pub enum ScheduleConfig {
    Constant {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        warmup: Option<WarmupConfig>,
        #[serde(default)]
        unit: Unit,
    },
    Step {
        step_size: u32,
        gamma: f64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        warmup: Option<WarmupConfig>,
        #[serde(default)]
        unit: Unit,
    },
    Cosine {
        /// All that follows the warm-up, by default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        t_max: Option<u32>,
        #[serde(default)]
        min_factor: f64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        warmup: Option<WarmupConfig>,
        #[serde(default)]
        unit: Unit,
    },
}

impl ScheduleConfig {
    /// What it counts.
    pub fn unit(&self) -> Unit {
        match *self {
            ScheduleConfig::Constant { unit, .. }
            | ScheduleConfig::Step { unit, .. }
            | ScheduleConfig::Cosine { unit, .. } => unit,
        }
    }
    /// The schedule, for a run of `total` units.
    pub fn schedule(&self, total: u32) -> Schedule {
        let (kind, warmup) = match *self {
            ScheduleConfig::Constant { warmup, .. } => (ScheduleKind::Constant, warmup),
            ScheduleConfig::Step { step_size, gamma, warmup, .. } => (ScheduleKind::Step { step_size, gamma }, warmup),
            ScheduleConfig::Cosine { t_max, min_factor, warmup, .. } => {
                let t_max = t_max.unwrap_or_else(|| total.saturating_sub(warmup.map_or(0, |w| w.length)).max(1));
                (ScheduleKind::Cosine { t_max, min_factor }, warmup)
            }
        };
        let warmup = warmup.map(|w| Warmup { length: w.length, start_factor: w.start_factor });
        Schedule { kind, warmup }
    }
    pub(super) fn check(&self) -> Result<()> {
        if let Some(warmup) = self.schedule(1).warmup
            && !(0.0..=1.0).contains(&warmup.start_factor)
        {
            let message = format!("must lie in [0, 1], but is {}", warmup.start_factor);
            return Err(Error::config("schedule.warmup.start_factor", message));
        }
        match *self {
            ScheduleConfig::Step { step_size: 0, .. } => Err(Error::config("schedule.step_size", "must be 1 or more")),
            ScheduleConfig::Step { gamma, .. } if !gamma.is_finite() || gamma < 0.0 => {
                Err(Error::config("schedule.gamma", format!("must be a number of 0 or more, but is {gamma}")))
            }
            ScheduleConfig::Cosine { t_max: Some(0), .. } => Err(Error::config("schedule.t_max", "must be 1 or more")),
            ScheduleConfig::Cosine { min_factor, .. } if !(0.0..=1.0).contains(&min_factor) => {
                Err(Error::config("schedule.min_factor", format!("must lie in [0, 1], but is {min_factor}")))
            }
            _ => Ok(()),
        }
    }
}
