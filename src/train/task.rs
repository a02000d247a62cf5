//! What a network is trained for.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What a network is trained for: which targets it has, which losses suit, and which metrics tell how good it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// One of several classes for each sample. The network outputs one number per class.
    Classification,
    /// Numbers, of any shape. The network outputs as many.
    Regression,
    /// Yes or no. The network outputs one number, the logit of yes.
    Binary,
    /// Several yes or no for each sample. The network outputs one logit for each.
    Multilabel,
    /// The sample itself. The network outputs as many numbers as a sample has.
    Autoencoder,
    /// Each next token of a sequence. The network outputs one number per token of the vocabulary for each position,
    /// `[length, tokens]`, from the tokens up to that position.
    NextToken,
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Task::Classification => "classification",
            Task::Regression => "regression",
            Task::Binary => "binary",
            Task::Multilabel => "multilabel",
            Task::Autoencoder => "autoencoder",
            Task::NextToken => "next_token",
        })
    }
}

impl Task {
    /// Whether the targets are 0 or 1.
    pub fn is_yes_or_no(self) -> bool {
        matches!(self, Task::Binary | Task::Multilabel)
    }

    /// Whether the samples themselves hold the targets.
    pub fn samples_are_targets(self) -> bool {
        matches!(self, Task::Autoencoder | Task::NextToken)
    }
}
