//! Settings of the loss.

use crate::error::{Error, Result};
use crate::train::Task;
use serde::{Deserialize, Serialize};

/// The loss, with PyTorch's names, options and defaults.
///
/// For classification, all except cross-entropy, the negative log-likelihood and the multi-class hinge loss take the
/// labels as one-hot vectors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum LossConfig {
    /// Cross-entropy of logits against the labels.
    CrossEntropy {
        /// The label smoothing, in `[0, 1]`.
        #[serde(default)]
        label_smoothing: f64,
        /// A weight for each class; all 1 if empty.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        weight: Vec<f64>,
    },
    /// The negative log-likelihood of log-probabilities, such as those of a last layer `log_softmax`.
    Nll {
        /// A weight for each class; all 1 if empty.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        weight: Vec<f64>,
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
    /// The negative log-likelihood of normal distributions. The network outputs twice the numbers of a target: the
    /// means, then the logarithms of the variances.
    GaussianNll {
        /// Whether the constant `log(2π)/2` is added.
        #[serde(default)]
        full: bool,
        /// The lower bound of the variance.
        #[serde(default = "eps_6")]
        eps: f64,
    },
    /// The negative log-likelihood of Poisson distributions, for counts.
    PoissonNll {
        /// Whether the network outputs the logarithm of the rate, rather than the rate.
        #[serde(default = "yes")]
        log_input: bool,
        /// Whether Stirling's approximation of the term `log t!` is added for targets above 1.
        #[serde(default)]
        full: bool,
        /// Added to the rate before its logarithm is taken, without `log_input`.
        #[serde(default = "eps_8")]
        eps: f64,
    },
    /// The Kullback–Leibler divergence of log-probabilities from target distributions: the mean over the samples
    /// (`batchmean`).
    KlDiv {
        /// Whether the targets are log-probabilities too.
        #[serde(default)]
        log_target: bool,
    },
    /// Binary cross-entropy of each logit.
    BceWithLogits {
        /// Factors on the loss of positive targets: none, one, or one per label.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pos_weight: Vec<f64>,
    },
    /// Binary cross-entropy of probabilities, such as those of a last layer `sigmoid`.
    Bce {},
    /// The logistic loss of targets taken as −1 and 1.
    SoftMargin {},
    /// `max(0, margin − t·x)` for targets taken as −1 and 1: the loss of support vector machines.
    Hinge {
        /// The margin.
        #[serde(default = "one")]
        margin: f64,
    },
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
fn yes() -> bool {
    true
}
fn eps_6() -> f64 {
    1e-6
}
fn eps_8() -> f64 {
    1e-8
}

/// Each loss's name, and the tasks that it suits.
const SUITS: [(&str, &[Task]); 14] = {
    use Task::{Autoencoder, Binary, Classification, Multilabel, NextToken, Regression};
    const DISTANCE: &[Task] = &[Regression, Autoencoder, Classification];
    const YES_OR_NO: &[Task] = &[Binary, Multilabel];
    [
        ("cross_entropy", &[Classification, NextToken]),
        ("nll", &[Classification, NextToken]),
        ("mse", DISTANCE),
        ("l1", DISTANCE),
        ("huber", DISTANCE),
        ("smooth_l1", DISTANCE),
        ("gaussian_nll", &[Regression]),
        ("poisson_nll", &[Regression]),
        ("kl_div", &[Regression]),
        ("bce_with_logits", &[Binary, Multilabel, Autoencoder, Classification]),
        ("bce", &[Binary, Multilabel, Autoencoder]),
        ("soft_margin", YES_OR_NO),
        ("hinge", YES_OR_NO),
        ("multi_margin", &[Classification]),
    ]
};

impl LossConfig {
    /// Its name in settings.
    pub fn name(&self) -> &'static str {
        let index = match self {
            LossConfig::CrossEntropy { .. } => 0,
            LossConfig::Nll { .. } => 1,
            LossConfig::Mse {} => 2,
            LossConfig::L1 {} => 3,
            LossConfig::Huber { .. } => 4,
            LossConfig::SmoothL1 { .. } => 5,
            LossConfig::GaussianNll { .. } => 6,
            LossConfig::PoissonNll { .. } => 7,
            LossConfig::KlDiv { .. } => 8,
            LossConfig::BceWithLogits { .. } => 9,
            LossConfig::Bce {} => 10,
            LossConfig::SoftMargin {} => 11,
            LossConfig::Hinge { .. } => 12,
            LossConfig::MultiMargin { .. } => 13,
        };
        SUITS[index].0
    }

    /// Whether the loss suits a task.
    pub fn suits(&self, task: Task) -> bool {
        SUITS.iter().any(|(name, tasks)| *name == self.name() && tasks.contains(&task))
    }

    /// Whether the loss takes class labels as one-hot vectors.
    pub fn takes_one_hot(&self) -> bool {
        let by_label =
            matches!(self, LossConfig::CrossEntropy { .. } | LossConfig::Nll { .. } | LossConfig::MultiMargin { .. });
        !by_label && self.suits(Task::Classification)
    }

    /// How many outputs of the network the loss takes for each number of a target.
    pub fn outputs_per_target(&self) -> usize {
        if matches!(self, LossConfig::GaussianNll { .. }) { 2 } else { 1 }
    }

    /// The names of the losses that suit a task.
    pub fn names_for(task: Task) -> Vec<&'static str> {
        SUITS.iter().filter(|(_, tasks)| tasks.contains(&task)).map(|(name, _)| *name).collect()
    }

    pub(super) fn check(&self) -> Result<()> {
        let at = |key: &str, message: String| Err(Error::config(format!("loss.{key}"), message));
        let weights = |key: &str, weights: &[f64]| match weights.iter().find(|w| !(w.is_finite() && **w >= 0.0)) {
            Some(w) => at(key, format!("must be numbers of 0 or more, but one is {w}")),
            None => Ok(()),
        };
        match self {
            LossConfig::CrossEntropy { label_smoothing: s, .. } if !(0.0..=1.0).contains(s) => {
                at("label_smoothing", format!("must lie in [0, 1], but is {s}"))
            }
            LossConfig::CrossEntropy { weight, .. } | LossConfig::Nll { weight } => weights("weight", weight),
            LossConfig::BceWithLogits { pos_weight } => weights("pos_weight", pos_weight),
            LossConfig::Huber { delta } if !(*delta > 0.0 && delta.is_finite()) => {
                at("delta", format!("must be a positive number, but is {delta}"))
            }
            LossConfig::SmoothL1 { beta } if !(*beta >= 0.0 && beta.is_finite()) => {
                at("beta", format!("must be a number of 0 or more, but is {beta}"))
            }
            LossConfig::GaussianNll { eps, .. } | LossConfig::PoissonNll { eps, .. }
                if !(*eps > 0.0 && eps.is_finite()) =>
            {
                at("eps", format!("must be a positive number, but is {eps}"))
            }
            LossConfig::MultiMargin { p, .. } if *p != 1 && *p != 2 => at("p", format!("must be 1 or 2, but is {p}")),
            LossConfig::MultiMargin { margin, .. } | LossConfig::Hinge { margin } if !margin.is_finite() => {
                at("margin", "must be a number".into())
            }
            _ => Ok(()),
        }
    }
}
