//! Settings of the loss.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// The loss. All except cross-entropy and the multi-class hinge loss take the labels as one-hot vectors.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum LossConfig {
    /// Cross-entropy of logits against the labels.
    CrossEntropy {
        /// The label smoothing, in `[0, 1]`.
        #[serde(default)]
        label_smoothing: f64,
    },
    /// Mean squared error.
    Mse {},
    /// Mean absolute error.
    L1 {},
    /// Huber's loss.
    Huber {
        /// The difference at which the loss changes from quadratic to linear.
        #[serde(default = "one")]
        delta: f64,
    },
    /// The Huber loss divided by its threshold.
    SmoothL1 {
        /// The difference at which the loss changes from quadratic to linear.
        #[serde(default = "one")]
        beta: f64,
    },
    /// Binary cross-entropy of each logit.
    BceWithLogits {},
    /// The multi-class hinge loss.
    MultiMargin {
        /// The exponent: 1 or 2.
        #[serde(default = "first")]
        p: u32,
        /// The margin by which the label's score must exceed the others.
        #[serde(default = "one")]
        margin: f64,
    },
}

fn one() -> f64 {
    1.0
}
fn first() -> u32 {
    1
}

impl LossConfig {
    pub(super) fn check(&self) -> Result<()> {
        let at = |key: &str, message: String| Err(Error::config(format!("loss.{key}"), message));
        match *self {
            LossConfig::CrossEntropy { label_smoothing: s } if !(0.0..=1.0).contains(&s) => {
                at("label_smoothing", format!("must lie in [0, 1], but is {s}"))
            }
            LossConfig::Huber { delta } if !(delta > 0.0 && delta.is_finite()) => {
                at("delta", format!("must be a positive number, but is {delta}"))
            }
            LossConfig::SmoothL1 { beta } if !(beta >= 0.0 && beta.is_finite()) => {
                at("beta", format!("must be a number of 0 or more, but is {beta}"))
            }
            LossConfig::MultiMargin { p, .. } if p != 1 && p != 2 => at("p", format!("must be 1 or 2, but is {p}")),
            LossConfig::MultiMargin { margin, .. } if !margin.is_finite() => at("margin", "must be a number".into()),
            _ => Ok(()),
        }
    }
}
