//! What a run reports: one record an epoch, and the final document.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// One epoch. Losses and errors are those of a whole pass over each set after the epoch; errors are in percent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Counted from 1.
    pub epoch: u32,
    /// Mean over the epoch's batches of the loss each had when the parameters moved: dropout and all.
    #[serde(default)]
    pub running_loss: f64,
    /// Mean loss over the training set.
    pub train_loss: f64,
    /// Per cent of the training set that is misclassified.
    pub train_error: f64,
    /// Mean loss over the validation set, if there is one.
    pub val_loss: Option<f64>,
    /// Per cent of the validation set that is misclassified.
    pub val_error: Option<f64>,
    /// The learning rate of the epoch's last step.
    pub lr: f64,
    /// Wall time of the epoch's training and evaluation; of a run that [trains ahead](super::Trainer::train_ahead), of the
    /// evaluation and the next epoch's training, so that their sum is the run's.
    pub seconds: f64,
}

/// `metrics.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// The device's name.
    pub device: String,
    /// The run's seed.
    pub seed: u64,
    /// Epochs completed.
    pub epochs: u32,
    /// Steps completed.
    pub steps: u64,
    /// The network's parameters.
    pub parameters: usize,
    /// The last epoch's.
    pub train_loss: f64,
    /// The last epoch's, in percent.
    pub train_error: f64,
    /// The last epoch's.
    pub val_loss: Option<f64>,
    /// The last epoch's, in percent.
    pub val_error: Option<f64>,
    /// Of the test set at the end of the run, if there is one.
    pub test_loss: Option<f64>,
    /// Of the test set at the end of the run, in percent.
    pub test_error: Option<f64>,
    /// The fit loop: training and per-epoch evaluation.
    pub train_seconds: f64,
    /// Compiling and uploading: the device opened and the training step made ready before the first step, the evaluation
    /// after it.
    pub setup_seconds: f64,
    /// From the start of [`Trainer::new`](super::Trainer::new), the data at hand, until the first epoch's first step was
    /// complete on the device; what the caller did between `new` and the first epoch is not counted. Absent in files of
    /// earlier versions.
    #[serde(default)]
    pub first_step_seconds: Option<f64>,
    /// Kernel launches of a training step; absent on the reference.
    pub dispatches_per_step: Option<usize>,
    /// Bytes allocated on the device.
    pub peak_bytes: u64,
    /// One record an epoch.
    pub history: Vec<EpochRecord>,
}

impl Metrics {
    /// As JSON.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(|e| Error::Internal(format!("metrics as JSON: {e}")))
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
