//! Settings of how a run ends and what it leaves: early stopping, checkpoints.

use crate::error::{Error, Result};
use crate::train::metrics::Monitor;
use serde::{Deserialize, Serialize};

/// Training ends once a metric has not improved for a number of epochs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EarlyStoppingConfig {
    /// The metric; the run's `monitor` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitor: Option<Monitor>,
    /// The number of epochs without an improvement that are tolerated: training ends after the next one.
    pub patience: u32,
    /// How much the metric must improve on its best value to count.
    pub min_delta: f64,
    /// Whether the run's model is that of the best epoch, rather than of the last one.
    pub restore_best: bool,
}

impl Default for EarlyStoppingConfig {
    fn default() -> Self {
        EarlyStoppingConfig { monitor: None, patience: 10, min_delta: 0.0, restore_best: false }
    }
}

impl EarlyStoppingConfig {
    pub(super) fn check(&self) -> Result<()> {
        if self.min_delta.is_finite() && self.min_delta >= 0.0 {
            return Ok(());
        }
        let message = format!("must be a number of 0 or more, but is {}", self.min_delta);
        Err(Error::config("early_stopping.min_delta", message))
    }
}

/// When checkpoints are written, and how many are kept. Without any of the `every_` keys one is written after an epoch,
/// at most one a second, and in epochs that take longer every ten minutes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointConfig {
    /// After every so many epochs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every_epochs: Option<u32>,
    /// After every so many steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every_steps: Option<u32>,
    /// Every so many minutes, also in the middle of an epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every_minutes: Option<f64>,
    /// How many are kept; the older ones are deleted.
    pub keep: u32,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        CheckpointConfig { every_epochs: None, every_steps: None, every_minutes: None, keep: 2 }
    }
}

impl CheckpointConfig {
    pub(super) fn is_default(&self) -> bool {
        *self == CheckpointConfig::default()
    }

    pub(super) fn check(&self) -> Result<()> {
        let wrong = |key: &str, message: &str| Err(Error::config(format!("checkpoint.{key}"), message));
        if self.every_epochs == Some(0) {
            return wrong("every_epochs", "must be 1 or more");
        }
        if self.every_steps == Some(0) {
            return wrong("every_steps", "must be 1 or more");
        }
        if self.every_minutes.is_some_and(|minutes| !(minutes > 0.0 && minutes.is_finite())) {
            return wrong("every_minutes", "must be a positive number");
        }
        if self.keep == 0 {
            return wrong("keep", "must be 1 or more; 2 or more survive a damaged file");
        }
        Ok(())
    }
}
