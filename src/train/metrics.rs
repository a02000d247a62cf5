//! The results of a run: scores per set, one record per epoch, and the final summary.

use crate::error::{Error, Result};
use serde::de::Error as _;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write;
use std::str::FromStr;

macro_rules! metrics {
    ($($(#[$doc:meta])* $variant:ident $name:literal $higher:literal,)*) => {
        /// A number that says how well a network does on a set.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Metric { $($(#[$doc])* $variant),* }

        impl Metric {
            /// All of them.
            pub const ALL: &'static [Metric] = &[$(Metric::$variant),*];
            /// Its name in files and settings.
            pub fn name(self) -> &'static str {
                match self { $(Metric::$variant => $name),* }
            }
            /// Whether larger values are better.
            pub fn higher_is_better(self) -> bool {
                match self { $(Metric::$variant => $higher),* }
            }
        }
    };
}

metrics! {
    /// The mean of the loss over the samples.
    Loss "loss" false,
    /// The exponential of the mean loss of a token: among how many equally likely tokens the network would be as unsure.
    Perplexity "perplexity" false,
    /// The percentage of samples that are misclassified; for several labels a sample, of labels.
    Error "error" false,
    /// The percentage of samples whose class is not among the `top_k` most likely ones.
    TopKError "top_k_error" false,
    /// The root of the mean squared error, in the target's units.
    Rmse "rmse" false,
    /// The mean absolute error, in the target's units.
    Mae "mae" false,
    /// The coefficient of determination: 1 − Σ(t − y)² / Σ(t − t̄)², with each output's own mean t̄ over the set
    /// (scikit-learn's `r2_score` with `variance_weighted`).
    R2 "r2" true,
    /// True positives among those predicted to be positive; for several labels the mean over the labels (`macro`).
    Precision "precision" true,
    /// True positives among the positives; for several labels the mean over the labels.
    Recall "recall" true,
    /// The harmonic mean of precision and recall; for several labels the mean over the labels.
    F1 "f1" true,
    /// The area under the ROC curve: the probability that a positive's score is above a negative's, ties counting
    /// half; for several labels the mean over those labels that have both.
    Auroc "auroc" true,
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The metrics of a set.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scores(BTreeMap<Metric, f64>);

impl Scores {
    /// Scores with these values. Values that are not finite (such as the precision without any positives) are left
    /// out.
    pub fn new(values: impl IntoIterator<Item = (Metric, f64)>) -> Self {
        Scores(values.into_iter().filter(|(_, value)| value.is_finite()).collect())
    }
    /// The value of a metric, if the task has it and it is defined.
    pub fn get(&self, metric: Metric) -> Option<f64> {
        self.0.get(&metric).copied()
    }
    /// The mean loss; NaN if it is missing.
    pub fn loss(&self) -> f64 {
        self.get(Metric::Loss).unwrap_or(f64::NAN)
    }
    /// The percentage of misclassified samples, for tasks with classes.
    pub fn error(&self) -> Option<f64> {
        self.get(Metric::Error)
    }
    /// All values, the loss first.
    pub fn iter(&self) -> impl Iterator<Item = (Metric, f64)> {
        self.0.iter().map(|(&metric, &value)| (metric, value))
    }
    /// The metric that best tells a person how good the network is: not the loss, if there is another one.
    pub fn headline(&self) -> Option<(Metric, f64)> {
        self.iter().find(|(metric, _)| *metric != Metric::Loss).or_else(|| self.iter().next())
    }
}

/// The sets of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum SetName {
    Train,
    Val,
    Test,
}

impl SetName {
    /// Its name in files and settings.
    pub fn name(self) -> &'static str {
        match self {
            SetName::Train => "train",
            SetName::Val => "val",
            SetName::Test => "test",
        }
    }
}

/// A metric of the training or the validation set, such as `val_loss`: what a schedule, early stopping or the choice
/// of the best epoch looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Monitor {
    /// The set.
    pub set: SetName,
    /// The metric.
    pub metric: Metric,
}

impl Default for Monitor {
    fn default() -> Self {
        Monitor { set: SetName::Val, metric: Metric::Loss }
    }
}

impl fmt::Display for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.set.name(), self.metric)
    }
}

impl FromStr for Monitor {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('_').and_then(|(set, metric)| {
            let set = [SetName::Train, SetName::Val].into_iter().find(|s| s.name() == set)?;
            Some(Monitor { set, metric: Metric::ALL.iter().copied().find(|m| m.name() == metric)? })
        });
        parsed.ok_or_else(|| {
            let names: Vec<&str> = Metric::ALL.iter().map(|m| m.name()).collect();
            format!("`{text}` is not train_ or val_ followed by one of {}", names.join(", "))
        })
    }
}

impl Serialize for Monitor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Monitor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// The scores of a data set's splits; in files `train_loss`, `val_error` and so on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SetScores {
    /// Of the training set.
    pub train: Scores,
    /// Of the validation set, if there is one.
    pub val: Option<Scores>,
    /// Of the test set at the end of the run, if there is one.
    pub test: Option<Scores>,
}

impl SetScores {
    /// The scores of a set.
    pub fn of(&self, set: SetName) -> Option<&Scores> {
        match set {
            SetName::Train => Some(&self.train),
            SetName::Val => self.val.as_ref(),
            SetName::Test => self.test.as_ref(),
        }
    }
    /// The sets that have scores.
    pub fn iter(&self) -> impl Iterator<Item = (SetName, &Scores)> {
        [SetName::Train, SetName::Val, SetName::Test].into_iter().filter_map(|set| Some((set, self.of(set)?)))
    }
    /// The value of a monitored metric.
    pub fn monitored(&self, monitor: Monitor) -> Option<f64> {
        self.of(monitor.set)?.get(monitor.metric)
    }
}

impl Serialize for SetScores {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for set in [SetName::Train, SetName::Val, SetName::Test] {
            if set == SetName::Test && self.test.is_none() {
                continue;
            }
            // A missing validation set's metrics are null, so that every record has the same keys.
            for (metric, _) in self.train.iter() {
                let value = self.of(set).and_then(|scores| scores.get(metric));
                map.serialize_entry(&format!("{}_{metric}", set.name()), &value)?;
            }
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for SetScores {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = BTreeMap::<String, serde_json::Value>::deserialize(deserializer)?;
        let scores = |set: SetName| {
            let values = Metric::ALL
                .iter()
                .filter_map(|&metric| Some((metric, map.get(&format!("{}_{metric}", set.name()))?.as_f64()?)));
            Scores::new(values)
        };
        let given = |set| Some(scores(set)).filter(|scores| !scores.0.is_empty());
        Ok(SetScores { train: scores(SetName::Train), val: given(SetName::Val), test: given(SetName::Test) })
    }
}

/// The record of one epoch. Scores come from a full pass over each set after the epoch; errors are in percent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// The epoch's number, from 1.
    pub epoch: u32,
    /// The mean of the training losses of the epoch's batches, each computed before that batch's update, in training
    /// mode (with dropout).
    #[serde(default)]
    pub running_loss: f64,
    /// The scores of the training and the validation set.
    #[serde(flatten)]
    pub scores: SetScores,
    /// The learning rate of the epoch's last step.
    pub lr: f64,
    /// Wall time in seconds of the epoch's training and evaluation. For a run that [trains
    /// ahead](super::Trainer::train_ahead): of the evaluation and the next epoch's training, so that the sum over all
    /// epochs is the run's time.
    pub seconds: f64,
}

/// The epoch with the best value of the monitored metric.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// The metric, such as `val_loss`.
    pub monitor: Monitor,
    /// The epoch's number, from 1.
    pub epoch: u32,
    /// The metric's value after it.
    pub value: f64,
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
    /// What was trained: `classification`, `regression` and so on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<super::Task>,
    /// Number of epochs completed.
    pub epochs: u32,
    /// Number of training steps completed.
    pub steps: u64,
    /// The network's number of parameters.
    pub parameters: usize,
    /// The scores of each set after the last epoch, and of the test set at the end of the run.
    #[serde(flatten)]
    pub scores: SetScores,
    /// The best epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<Best>,
    /// Why the run ended before its last epoch, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
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
    /// Whether the data set is `resident` on the device or `streamed` to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// One record per epoch.
    pub history: Vec<EpochRecord>,
}

impl Metrics {
    /// Serialises as JSON.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self)
            .map_err(|e| Error::Internal(format!("could not write the metrics as JSON: {e}")))
    }

    /// Reads a run's `metrics.json`.
    ///
    /// # Errors
    /// [`Error::File`] if there is no such file or it is not one of wgrad's.
    pub fn read(path: impl AsRef<std::path::Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|e| Error::file(path, format!("cannot be read: {e}")))?;
        serde_json::from_str(&text).map_err(|e| Error::file(path, format!("is not a run's metrics: {e}")))
    }

    /// The history as CSV with a header line.
    pub fn to_csv(&self) -> String {
        let metrics: Vec<Metric> = self.scores.train.iter().map(|(metric, _)| metric).collect();
        let mut out = String::from("epoch,running_loss");
        for set in [SetName::Train, SetName::Val] {
            metrics.iter().for_each(|metric| {
                let _ = write!(out, ",{}_{metric}", set.name());
            });
        }
        out.push_str(",lr,seconds\n");
        for r in &self.history {
            let _ = write!(out, "{},{}", r.epoch, r.running_loss);
            for set in [SetName::Train, SetName::Val] {
                for &metric in &metrics {
                    let value = r.scores.monitored(Monitor { set, metric });
                    let _ = write!(out, ",{}", value.map_or(String::new(), |x| x.to_string()));
                }
            }
            let _ = writeln!(out, ",{},{}", r.lr, r.seconds);
        }
        out
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_json() {
        let scores = |loss| Scores::new([(Metric::Loss, loss), (Metric::Rmse, 2.5), (Metric::R2, f64::NAN)]);
        let scores = SetScores { train: scores(1.0), val: Some(scores(0.1)), test: None };
        let record = EpochRecord { epoch: 3, running_loss: 1.5, scores, lr: 0.1, seconds: 0.25 };
        let text = serde_json::to_string(&record).unwrap();
        assert!(text.contains("\"val_rmse\":2.5") && !text.contains("test_loss"), "{text}");
        assert_eq!(serde_json::from_str::<EpochRecord>(&text).unwrap(), record);
    }

    #[test]
    fn monitors_are_a_set_and_a_metric() {
        for text in ["val_loss", "train_error", "val_top_k_error", "val_auroc"] {
            assert_eq!(text.parse::<Monitor>().unwrap().to_string(), text);
        }
        for text in ["loss", "val", "val_", "test_loss", "val_accuracy", ""] {
            assert!(text.parse::<Monitor>().unwrap_err().contains("auroc"), "{text}");
        }
    }
}
