//! The results of a run: one record per epoch, and the final summary.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// The record of one epoch. Losses and errors come from a full pass over each set after the epoch; errors are in
/// percent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// The epoch's number, from 1.
    pub epoch: u32,
    /// The mean of the training losses of the epoch's batches, each computed before that batch's update, in training
    /// mode (with dropout).
    #[serde(default)]
    pub running_loss: f64,
    /// Mean loss over the training set.
    pub train_loss: f64,
    /// Percentage of the training set that is misclassified.
    pub train_error: f64,
    /// Mean loss over the validation set, if there is one.
    pub val_loss: Option<f64>,
    /// Percentage of the validation set that is misclassified.
    pub val_error: Option<f64>,
    /// The learning rate of the epoch's last step.
    pub lr: f64,
    /// Wall time in seconds of the epoch's training and evaluation. For a run that [trains
    /// ahead](super::Trainer::train_ahead): of the evaluation and the next epoch's training, so that the sum over all
    /// epochs is the run's time.
    pub seconds: f64,
}

/// The content of `metrics.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// The device's name.
    pub device: String,
    /// On a GPU, which variants of kernels ran: `by rule`, `tuned for 12 launches`, or the one
    /// asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variants: Option<String>,
    /// The run's seed.
    pub seed: u64,
    /// Number of epochs completed.
    pub epochs: u32,
    /// Number of training steps completed.
    pub steps: u64,
    /// The network's number of parameters.
    pub parameters: usize,
    /// Mean training loss after the last epoch.
    pub train_loss: f64,
    /// Training error after the last epoch, in percent.
    pub train_error: f64,
    /// Mean validation loss after the last epoch.
    pub val_loss: Option<f64>,
    /// Validation error after the last epoch, in percent.
    pub val_error: Option<f64>,
    /// Mean test loss at the end of the run, if there is a test set.
    pub test_loss: Option<f64>,
    /// Test error at the end of the run, in percent.
    pub test_error: Option<f64>,
    /// Wall time of the fit loop: training and the evaluation of each epoch.
    pub train_seconds: f64,
    /// Wall time of setup: opening the device, compiling and uploading. It includes compiling the evaluation, which
    /// is done after the first step.
    pub setup_seconds: f64,
    /// Wall time from the start of [`Trainer::new`](super::Trainer::new), with the data loaded, until the first
    /// training step has completed on the device. The time that the caller spends between `new` and the first epoch
    /// is not counted. Absent in files of earlier versions.
    #[serde(default)]
    pub first_step_seconds: Option<f64>,
    /// Dispatches per training step; absent on the reference.
    pub dispatches_per_step: Option<usize>,
    /// Bytes allocated on the device.
    pub peak_bytes: u64,
    /// One record per epoch.
    pub history: Vec<EpochRecord>,
}

impl Metrics {
    /// Serialises as JSON.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self)
            .map_err(|e| Error::Internal(format!("could not write the metrics as JSON: {e}")))
    }

    /// The history as CSV with a header line.
    pub fn to_csv(&self) -> String {
        let mut out = String::from("epoch,running_loss,train_loss,train_error,val_loss,val_error,lr,seconds\n");
        for r in &self.history {
            let optional = |x: Option<f64>| x.map_or(String::new(), |x| x.to_string());
            let _ = writeln!(
                out,
                "{},{},{},{},{},{},{},{}",
                r.epoch,
                r.running_loss,
                r.train_loss,
                r.train_error,
                optional(r.val_loss),
                optional(r.val_error),
                r.lr,
                r.seconds
            );
        }
        out
    }
}
