//! The configuration of a training run: presets, TOML files, and checks.

mod augment;
mod data;
mod init;
mod layers;
mod loss;
mod optimizer;
mod overrides;
mod run;
mod schedule;
mod task;

pub use augment::AugmentConfig;
pub use data::{DataConfig, Missing, Standardize};
pub use init::{FanConfig, InitConfig, NonlinearityConfig};
pub use layers::{
    Approximate, AvgPoolConfig, BatchNormConfig, ConvTransposeConfig, KernelSize, LayerConfig, MaxPoolConfig,
    ModelConfig, RecurrentConfig, RecurrentOutput, RnnConfig, RnnNonlinearity,
};
pub use loss::LossConfig;
pub use optimizer::{OptimizerConfig, ParamGroupConfig};
pub use run::{CheckpointConfig, EarlyStoppingConfig};
pub use schedule::{AnnealKind, ScheduleConfig, ThresholdKind, Unit, WarmupConfig, WarmupKind};

use super::metrics::{Monitor, SetName};
use super::task::Task;
use crate::data::Dataset;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The names of the built-in configurations.
pub const PRESETS: [&str; 3] = ["cnn", "mlp", "logistic"];

/// The largest number of epochs. Each epoch leaves a record, and the learning rates of all epochs are computed at the
/// start.
const MAX_EPOCHS: u32 = 1_000_000;
/// The largest number of batches for one update.
const MAX_ACCUMULATE: u32 = 1 << 20;

/// All settings of a training run. In TOML every key is optional; unknown keys are rejected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// A name for the run.
    pub name: String,
    /// What the network is trained for. If it is missing, it follows from the data and the loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// The seed of the initial parameters, the shuffling and the dropout masks.
    pub seed: u64,
    /// Number of passes over the training set.
    pub epochs: u32,
    /// Batch size. A smaller last batch is trained on too.
    pub batch: usize,
    /// Number of batches whose gradients are averaged for one update: the result is that of a batch as many times as
    /// large, except for layers that look at a whole batch (batch norm).
    #[serde(skip_serializing_if = "is_1")]
    pub accumulate: u32,
    /// Whether each epoch visits the samples in a new random order.
    pub shuffle: bool,
    /// If set, the error among the `top_k` most likely classes is a metric of classification.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<usize>,
    /// The metric that says which epoch is best, such as `val_error`; by default the loss of the validation set, or of
    /// the training set if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitor: Option<Monitor>,
    /// A `.safetensors` file of initial parameters, such as a run's `model.safetensors` or a PyTorch `state_dict`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
    /// Whether `init` may lack parameters, or have others: what fits in name and shape is taken.
    #[serde(skip_serializing_if = "is_false")]
    pub init_partial: bool,
    /// Patterns of parameters that keep their values, such as `0.*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub freeze: Vec<String>,
    /// Gradient clipping by the norm of all gradients together, if set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_grad_norm: Option<f64>,
    /// Gradient clipping by the absolute value of each element, if set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_grad_value: Option<f64>,
    /// If set, an exponential moving average of the weights is kept with this decay; the averages are evaluated and
    /// saved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema_decay: Option<f64>,
    /// The data.
    pub data: DataConfig,
    /// The network.
    pub model: ModelConfig,
    /// The loss; by default cross-entropy, mean squared error or binary cross-entropy, depending on the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<LossConfig>,
    /// The optimiser.
    pub optimizer: OptimizerConfig,
    /// Parameter groups with settings of their own. A parameter belongs to the first group that names it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub param_groups: Vec<ParamGroupConfig>,
    /// The learning rate schedule.
    pub schedule: ScheduleConfig,
    /// When training ends early, if it may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<EarlyStoppingConfig>,
    /// When checkpoints are written.
    #[serde(skip_serializing_if = "CheckpointConfig::is_default")]
    pub checkpoint: CheckpointConfig,
}

fn is_1(value: &u32) -> bool {
    *value == 1
}
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(value: &bool) -> bool {
    !value
}

impl Default for Config {
    /// The settings of the *Understanding Deep Learning* notebooks for MNIST-1D, without layers.
    fn default() -> Self {
        Config {
            name: "custom".into(),
            task: None,
            seed: 0,
            epochs: 50,
            batch: 100,
            accumulate: 1,
            shuffle: true,
            top_k: None,
            monitor: None,
            init: None,
            init_partial: false,
            freeze: Vec::new(),
            clip_grad_norm: None,
            clip_grad_value: None,
            ema_decay: None,
            param_groups: Vec::new(),
            data: DataConfig::default(),
            model: ModelConfig::default(),
            loss: None,
            optimizer: OptimizerConfig::Sgd {
                lr: 0.05,
                momentum: 0.9,
                dampening: 0.0,
                nesterov: false,
                weight_decay: 0.0,
            },
            schedule: ScheduleConfig::Step { step_size: 10, gamma: 0.5, warmup: None, unit: Unit::Epoch },
            early_stopping: None,
            checkpoint: CheckpointConfig::default(),
        }
    }
}

impl Config {
    /// A preset: `cnn` (three strided convolutions and a linear layer), `mlp` (40-100-100-10) or `logistic` (one
    /// linear layer), as trained in the *Understanding Deep Learning* notebooks on MNIST-1D.
    pub fn preset(name: &str) -> Result<Self> {
        let linear = |out_features| LayerConfig::Linear {
            in_features: None,
            out_features,
            bias: true,
            weight_init: InitConfig::KAIMING_UNIFORM,
            bias_init: InitConfig::Zeros {},
        };
        let conv = || LayerConfig::Conv1d {
            in_channels: None,
            out_channels: 15,
            kernel_size: 3,
            stride: 2,
            padding: 0,
            dilation: 1,
            groups: 1,
            bias: true,
            weight_init: InitConfig::Default,
            bias_init: InitConfig::Default,
        };
        let relu = || LayerConfig::Relu {};
        let (input, layers) = match name {
            "cnn" => {
                let stack = vec![conv(), relu(), conv(), relu(), conv(), relu(), LayerConfig::Flatten {}, linear(10)];
                (Some(vec![1, 40]), stack)
            }
            "mlp" => (None, vec![linear(100), relu(), linear(100), relu(), linear(10)]),
            "logistic" => (None, vec![linear(10)]),
            _ => {
                let message = format!("there is no preset `{name}`: use {}, or a .toml file", PRESETS.join(", "));
                return Err(Error::config("preset", message));
            }
        };
        Ok(Config { name: name.into(), model: ModelConfig { input, layers }, ..Config::default() })
    }

    /// Reads a TOML file. Relative paths in it are relative to the file's folder.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|e| Error::file(path, format!("cannot be read: {e}")))?;
        let mut config: Config = toml::from_str(&text).map_err(|e| Error::file(path, e.to_string().trim_end()))?;
        if let Some(parent) = path.parent() {
            config.paths().for_each(|file| *file = parent.join(&*file));
        }
        Ok(config)
    }

    /// The files and folders that the settings name.
    fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.data.path.iter_mut().chain(&mut self.init)
    }

    /// Makes all paths absolute, so that the settings mean the same from any folder.
    ///
    /// # Errors
    /// [`Error::Config`] if a path is empty, [`Error::File`] if the current folder is unknown.
    pub fn with_absolute_paths(mut self) -> Result<Self> {
        for path in self.paths() {
            if path.as_os_str().is_empty() {
                return Err(Error::config("data.path or init", "is an empty path"));
            }
            *path =
                std::path::absolute(&*path).map_err(|e| Error::file(&*path, format!("is not a valid path: {e}")))?;
        }
        Ok(self)
    }

    /// The loss for a task: what the settings say, or the task's usual one.
    pub fn loss_for(&self, task: Task) -> LossConfig {
        self.loss.clone().unwrap_or_else(|| task.default_loss())
    }

    /// The metric that says which epoch is best.
    pub fn monitor_for(&self, data: &Dataset) -> Monitor {
        let set = if data.val.is_some() { SetName::Val } else { SetName::Train };
        self.monitor.unwrap_or(Monitor { set, ..Monitor::default() })
    }

    /// Loads a preset by its name, or a TOML file by its path.
    pub fn resolve(preset_or_file: &str) -> Result<Self> {
        let looks_like_a_path = preset_or_file.ends_with(".toml") || preset_or_file.contains(['/', '\\']);
        if looks_like_a_path { Config::from_file(preset_or_file) } else { Config::preset(preset_or_file) }
    }

    /// Serialises as TOML.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::config("config", format!("cannot be written as TOML: {e}")))
    }

    /// Checks every setting that does not depend on the data.
    pub fn check(&self) -> Result<()> {
        // The name becomes part of a folder's name, and it is printed.
        if self.name.trim().is_empty() || self.name.contains(['/', '\\']) || self.name.contains(char::is_control) {
            return Err(Error::config("name", format!("{:?} cannot be used in a folder's name", self.name)));
        }
        if !(1..=MAX_EPOCHS).contains(&self.epochs) {
            return Err(Error::config("epochs", format!("must be 1 to {MAX_EPOCHS}, but is {}", self.epochs)));
        }
        if self.batch == 0 {
            return Err(Error::config("batch", "must be 1 or more"));
        }
        if self.model.layers.is_empty() {
            return Err(Error::config("model.layers", "must have at least one layer"));
        }
        if !(1..=MAX_ACCUMULATE).contains(&self.accumulate) {
            let message = format!("must be 1 to {MAX_ACCUMULATE}, but is {}", self.accumulate);
            return Err(Error::config("accumulate", message));
        }
        if self.top_k == Some(0) {
            return Err(Error::config("top_k", "must be 1 or more"));
        }
        if self.init_partial && self.init.is_none() {
            return Err(Error::config("init_partial", "has no effect without init"));
        }
        self.data.check()?;
        self.loss.as_ref().map_or(Ok(()), LossConfig::check)?;
        self.check_optimizer()?;
        self.schedule.check()?;
        self.early_stopping.as_ref().map_or(Ok(()), EarlyStoppingConfig::check)?;
        self.checkpoint.check()
    }

    /// Checks the settings that depend on the data.
    pub fn check_data(&self, data: &Dataset) -> Result<()> {
        if self.batch > data.train.rows() {
            let message = format!("is {}, but the training set has only {} samples", self.batch, data.train.rows());
            return Err(Error::config("batch", message));
        }
        let plateau = self.schedule.plateau().map(|(monitor, _)| monitor);
        let stopping = self.early_stopping.as_ref().and_then(|stopping| stopping.monitor);
        let monitors = [("monitor", self.monitor), ("schedule.monitor", plateau), ("early_stopping.monitor", stopping)];
        for (setting, monitor) in monitors {
            if data.val.is_none() && monitor.is_some_and(|monitor| monitor.set == SetName::Val) {
                return Err(Error::config(setting, "needs a validation set, but there is none: use train_loss?"));
            }
        }
        Ok(())
    }
}
