//! Settings of the learning rate schedule.

use crate::error::{Error, Result};
use crate::optim::{Anneal, PlateauMode, ReduceOnPlateau, Schedule, ThresholdMode};
use crate::train::metrics::Monitor;
use serde::{Deserialize, Serialize};

/// The unit of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Unit {
    #[default]
    Epoch,
    Step,
}

/// How a warm-up goes from its initial factor to 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WarmupKind {
    /// Linearly, as `LinearLR`.
    #[default]
    Linear,
    /// In one step at its end, as `ConstantLR`.
    Constant,
}

/// Warm-up: smaller learning rates at the start of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmupConfig {
    /// Its length, in the schedule's unit.
    pub length: u32,
    /// The initial factor on the base learning rate.
    #[serde(default = "third")]
    pub start_factor: f64,
    /// How the factor changes.
    #[serde(default, rename = "type")]
    pub kind: WarmupKind,
}

/// How a plateau's threshold is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdKind {
    /// Relative to the best value.
    #[default]
    Rel,
    /// Absolute.
    Abs,
}

/// How a one-cycle schedule interpolates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum AnnealKind {
    #[default]
    Cos,
    Linear,
}

fn third() -> f64 {
    1.0 / 3.0
}
fn one() -> f64 {
    1.0
}
fn once() -> u32 {
    1
}
fn tenth() -> f64 {
    0.1
}
fn patience() -> u32 {
    10
}
fn threshold() -> f64 {
    1e-4
}
fn eps() -> f64 {
    1e-8
}
fn pct_start() -> f64 {
    0.3
}
fn div_factor() -> f64 {
    25.0
}
fn final_div_factor() -> f64 {
    1e4
}

/// The learning rate schedule, in epochs or steps. Lengths left out default to the length of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    MultiStep {
        milestones: Vec<u32>,
        gamma: f64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        warmup: Option<WarmupConfig>,
        #[serde(default)]
        unit: Unit,
    },
    Exponential {
        gamma: f64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        warmup: Option<WarmupConfig>,
        #[serde(default)]
        unit: Unit,
    },
    Cosine {
        /// By default everything after the warm-up.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        t_max: Option<u32>,
        #[serde(default)]
        min_factor: f64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        warmup: Option<WarmupConfig>,
        #[serde(default)]
        unit: Unit,
    },
    CosineRestarts {
        t_0: u32,
        #[serde(default = "once")]
        t_mult: u32,
        #[serde(default)]
        min_factor: f64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        warmup: Option<WarmupConfig>,
        #[serde(default)]
        unit: Unit,
    },
    Polynomial {
        /// By default everything after the warm-up.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        total_iters: Option<u32>,
        #[serde(default = "one")]
        power: f64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        warmup: Option<WarmupConfig>,
        #[serde(default)]
        unit: Unit,
    },
    Linear {
        #[serde(default = "third")]
        start_factor: f64,
        #[serde(default = "one")]
        end_factor: f64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        total_iters: Option<u32>,
        #[serde(default)]
        unit: Unit,
    },
    /// The optimiser's learning rate is the maximum.
    OneCycle {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        total_steps: Option<u32>,
        #[serde(default = "pct_start")]
        pct_start: f64,
        #[serde(default)]
        anneal: AnnealKind,
        #[serde(default = "div_factor")]
        div_factor: f64,
        #[serde(default = "final_div_factor")]
        final_div_factor: f64,
        #[serde(default)]
        three_phase: bool,
        #[serde(default)]
        unit: Unit,
    },
    /// Schedules in sequence; each counts from its milestone, in this schedule's unit.
    Sequential {
        schedules: Vec<ScheduleConfig>,
        milestones: Vec<u32>,
        #[serde(default)]
        unit: Unit,
    },
    /// The host decides after each epoch.
    ReduceOnPlateau {
        #[serde(default = "tenth")]
        factor: f64,
        #[serde(default = "patience")]
        patience: u32,
        #[serde(default = "threshold")]
        threshold: f64,
        #[serde(default)]
        threshold_mode: ThresholdKind,
        #[serde(default)]
        cooldown: u32,
        #[serde(default)]
        min_lr: f64,
        #[serde(default = "eps")]
        eps: f64,
        #[serde(default)]
        monitor: Monitor,
    },
}

impl ScheduleConfig {
    /// The unit it counts in.
    pub fn unit(&self) -> Unit {
        match self {
            ScheduleConfig::Constant { unit, .. }
            | ScheduleConfig::Step { unit, .. }
            | ScheduleConfig::MultiStep { unit, .. }
            | ScheduleConfig::Exponential { unit, .. }
            | ScheduleConfig::Cosine { unit, .. }
            | ScheduleConfig::CosineRestarts { unit, .. }
            | ScheduleConfig::Polynomial { unit, .. }
            | ScheduleConfig::Linear { unit, .. }
            | ScheduleConfig::OneCycle { unit, .. }
            | ScheduleConfig::Sequential { unit, .. } => *unit,
            ScheduleConfig::ReduceOnPlateau { .. } => Unit::Epoch,
        }
    }

    fn warmup(&self) -> Option<WarmupConfig> {
        match self {
            ScheduleConfig::Constant { warmup, .. }
            | ScheduleConfig::Step { warmup, .. }
            | ScheduleConfig::MultiStep { warmup, .. }
            | ScheduleConfig::Exponential { warmup, .. }
            | ScheduleConfig::Cosine { warmup, .. }
            | ScheduleConfig::CosineRestarts { warmup, .. }
            | ScheduleConfig::Polynomial { warmup, .. } => *warmup,
            _ => None,
        }
    }

    /// For a schedule that the host decides after each epoch: its metric and its settings.
    pub fn plateau(&self) -> Option<(Monitor, ReduceOnPlateau)> {
        match *self {
            ScheduleConfig::ReduceOnPlateau {
                factor,
                patience,
                threshold,
                threshold_mode,
                cooldown,
                min_lr,
                eps,
                monitor,
            } => {
                let threshold_mode = match threshold_mode {
                    ThresholdKind::Rel => ThresholdMode::Rel,
                    ThresholdKind::Abs => ThresholdMode::Abs,
                };
                let higher = monitor.metric.higher_is_better();
                let mode = if higher { PlateauMode::Max } else { PlateauMode::Min };
                let settings =
                    ReduceOnPlateau { mode, factor, patience, threshold, threshold_mode, cooldown, min_lr, eps };
                Some((monitor, settings))
            }
            _ => None,
        }
    }

    /// The schedule for a run of `total` units; constant if it depends on a metric.
    pub fn schedule(&self, total: u32) -> Schedule {
        let warmup = self.warmup();
        let rest = total.saturating_sub(warmup.map_or(0, |w| w.length)).max(1);
        let main = match *self {
            ScheduleConfig::Constant { .. } | ScheduleConfig::ReduceOnPlateau { .. } => Schedule::Constant,
            ScheduleConfig::Step { step_size, gamma, .. } => Schedule::Step { step_size, gamma },
            ScheduleConfig::MultiStep { ref milestones, gamma, .. } => {
                Schedule::MultiStep { milestones: milestones.clone(), gamma }
            }
            ScheduleConfig::Exponential { gamma, .. } => Schedule::Exponential { gamma },
            ScheduleConfig::Cosine { t_max, min_factor, .. } => {
                Schedule::Cosine { t_max: t_max.unwrap_or(rest), min_factor }
            }
            ScheduleConfig::CosineRestarts { t_0, t_mult, min_factor, .. } => {
                Schedule::CosineRestarts { t_0, t_mult, min_factor }
            }
            ScheduleConfig::Polynomial { total_iters, power, .. } => {
                Schedule::Polynomial { total_iters: total_iters.unwrap_or(rest), power }
            }
            ScheduleConfig::Linear { start_factor, end_factor, total_iters, .. } => {
                Schedule::Linear { start_factor, end_factor, total_iters: total_iters.unwrap_or(total) }
            }
            ScheduleConfig::OneCycle {
                total_steps,
                pct_start,
                anneal,
                div_factor,
                final_div_factor,
                three_phase,
                ..
            } => {
                let anneal = if anneal == AnnealKind::Cos { Anneal::Cos } else { Anneal::Linear };
                let total_steps = total_steps.unwrap_or(total);
                Schedule::OneCycle { total_steps, pct_start, anneal, div_factor, final_div_factor, three_phase }
            }
            ScheduleConfig::Sequential { ref schedules, ref milestones, .. } => {
                let starts = || std::iter::once(0).chain(milestones.iter().copied());
                let ends = milestones.iter().copied().chain([total]);
                let parts = schedules.iter().zip(starts().zip(ends));
                let schedules = parts.map(|(part, (from, to))| part.schedule(to.saturating_sub(from))).collect();
                Schedule::Sequential { schedules, milestones: milestones.clone() }
            }
        };
        let Some(WarmupConfig { length, start_factor, kind }) = warmup else { return main };
        let rise = match kind {
            WarmupKind::Linear => Schedule::Linear { start_factor, end_factor: 1.0, total_iters: length },
            WarmupKind::Constant => Schedule::Held { factor: start_factor, total_iters: length },
        };
        rise.then(length, main)
    }

    pub(super) fn check(&self) -> Result<()> {
        let wrong = |key: &str, message: String| Err(Error::config(format!("schedule.{key}"), message));
        let number = |key: &str, value: f64| {
            if value.is_finite() && value >= 0.0 {
                return Ok(());
            }
            wrong(key, format!("must be a number of 0 or more, but is {value}"))
        };
        let part = |key: &str, value: f64| {
            if (0.0..=1.0).contains(&value) {
                return Ok(());
            }
            wrong(key, format!("must lie in [0, 1], but is {value}"))
        };
        let at_least_1 = |key: &str, value: Option<u32>| {
            if value == Some(0) { wrong(key, "must be 1 or more".into()) } else { Ok(()) }
        };
        if let Some(warmup) = self.warmup() {
            part("warmup.start_factor", warmup.start_factor)?;
        }
        match *self {
            ScheduleConfig::Constant { .. } => Ok(()),
            ScheduleConfig::Step { step_size, gamma, .. } => {
                at_least_1("step_size", Some(step_size))?;
                number("gamma", gamma)
            }
            ScheduleConfig::MultiStep { gamma, .. } | ScheduleConfig::Exponential { gamma, .. } => {
                number("gamma", gamma)
            }
            ScheduleConfig::Cosine { t_max, min_factor, .. } => {
                at_least_1("t_max", t_max)?;
                part("min_factor", min_factor)
            }
            ScheduleConfig::CosineRestarts { t_0, t_mult, min_factor, .. } => {
                at_least_1("t_0", Some(t_0))?;
                at_least_1("t_mult", Some(t_mult))?;
                part("min_factor", min_factor)
            }
            ScheduleConfig::Polynomial { total_iters, power, .. } => {
                at_least_1("total_iters", total_iters)?;
                number("power", power)
            }
            ScheduleConfig::Linear { start_factor, end_factor, total_iters, .. } => {
                at_least_1("total_iters", total_iters)?;
                part("start_factor", start_factor)?;
                part("end_factor", end_factor)
            }
            ScheduleConfig::OneCycle { total_steps, pct_start, div_factor, final_div_factor, .. } => {
                at_least_1("total_steps", total_steps)?;
                part("pct_start", pct_start)?;
                for (key, value) in [("div_factor", div_factor), ("final_div_factor", final_div_factor)] {
                    if !(value.is_finite() && value > 0.0) {
                        return wrong(key, format!("must be a positive number, but is {value}"));
                    }
                }
                Ok(())
            }
            ScheduleConfig::Sequential { ref schedules, ref milestones, unit } => {
                if schedules.len() != milestones.len() + 1 || milestones.windows(2).any(|m| m[0] >= m[1]) {
                    let message = format!(
                        "must ascend and be one fewer than the {} schedules, but are {milestones:?}",
                        schedules.len()
                    );
                    return wrong("milestones", message);
                }
                for schedule in schedules {
                    if schedule.plateau().is_some() {
                        return wrong("schedules", "reduce_on_plateau cannot be one of them".into());
                    }
                    if schedule.unit() != Unit::default() && schedule.unit() != unit {
                        return wrong("schedules", "the unit is set once, next to `schedules`".into());
                    }
                    schedule.check()?;
                }
                Ok(())
            }
            ScheduleConfig::ReduceOnPlateau { factor, threshold, min_lr, eps, .. } => {
                if !(0.0..1.0).contains(&factor) {
                    return wrong("factor", format!("must lie in [0, 1), but is {factor}"));
                }
                number("threshold", threshold)?;
                number("min_lr", min_lr)?;
                number("eps", eps)
            }
        }
    }
}
