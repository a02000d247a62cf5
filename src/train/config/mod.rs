//! The configuration of a training run: presets, TOML files, and checks.

mod init;
mod layers;
mod loss;
mod optimizer;
mod schedule;

pub use init::{FanConfig, InitConfig, NonlinearityConfig};
pub use layers::{
    Approximate, AvgPoolConfig, BatchNormConfig, ConvTransposeConfig, KernelSize, LayerConfig, MaxPoolConfig,
    ModelConfig, RecurrentConfig, RecurrentOutput, RnnConfig, RnnNonlinearity,
};
pub use loss::LossConfig;
pub use optimizer::{OptimizerConfig, ParamGroupConfig};
pub use schedule::{AnnealKind, Monitor, ScheduleConfig, ThresholdKind, Unit, WarmupConfig, WarmupKind};

use crate::data::{Dataset, Mnist1dConfig, Mnist1dPreset, generate, load_folder};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The names of the built-in configurations.
pub const PRESETS: [&str; 3] = ["cnn", "mlp", "logistic"];

/// The largest number of epochs. Each epoch leaves a record, and the learning rates of all epochs are computed at the
/// start.
const MAX_EPOCHS: u32 = 1_000_000;

/// All settings of a training run. In TOML every key is optional; unknown keys are rejected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// A name for the run.
    pub name: String,
    /// The seed of the initial parameters, the shuffling and the dropout masks.
    pub seed: u64,
    /// Number of passes over the training set.
    pub epochs: u32,
    /// Batch size. A smaller last batch is trained on too.
    pub batch: usize,
    /// Whether each epoch visits the samples in a new random order.
    pub shuffle: bool,
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
    /// The loss.
    pub loss: LossConfig,
    /// The optimiser.
    pub optimizer: OptimizerConfig,
    /// Parameter groups with settings of their own. A parameter belongs to the first group that names it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub param_groups: Vec<ParamGroupConfig>,
    /// The learning rate schedule.
    pub schedule: ScheduleConfig,
}

impl Default for Config {
    /// The settings of the *Understanding Deep Learning* notebooks for MNIST-1D, without layers.
    fn default() -> Self {
        Config {
            name: "custom".into(),
            seed: 0,
            epochs: 50,
            batch: 100,
            shuffle: true,
            clip_grad_norm: None,
            clip_grad_value: None,
            ema_decay: None,
            param_groups: Vec::new(),
            data: DataConfig::default(),
            model: ModelConfig::default(),
            loss: LossConfig::CrossEntropy { label_smoothing: 0.0 },
            optimizer: OptimizerConfig::Sgd {
                lr: 0.05,
                momentum: 0.9,
                dampening: 0.0,
                nesterov: false,
                weight_decay: 0.0,
            },
            schedule: ScheduleConfig::Step { step_size: 10, gamma: 0.5, warmup: None, unit: Unit::Epoch },
        }
    }
}

/// The source of the data: a folder of `.npy` files, or the MNIST-1D generator.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// A folder for [`load_folder`]. Without it, MNIST-1D is generated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// The MNIST-1D preset to generate; `udl` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<Mnist1dPreset>,
    /// The generator's seed; 42 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The number of samples to generate; the preset's by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_samples: Option<usize>,
}

impl DataConfig {
    /// Loads or generates the data.
    pub fn load(&self) -> Result<Dataset> {
        if let Some(dir) = &self.dir {
            let extra = [
                ("preset", self.preset.is_some()),
                ("seed", self.seed.is_some()),
                ("num_samples", self.num_samples.is_some()),
            ];
            if let Some((key, _)) = extra.iter().find(|(_, given)| *given) {
                return Err(Error::config(
                    format!("data.{key}"),
                    "is for generated data and cannot be combined with data.dir",
                ));
            }
            return load_folder(dir);
        }
        let (preset, config) = self.generator();
        generate(&config)?.dataset(preset)
    }
    fn generator(&self) -> (Mnist1dPreset, Mnist1dConfig) {
        let preset = self.preset.unwrap_or(Mnist1dPreset::Udl);
        let mut config = preset.config();
        if let Some(seed) = self.seed {
            config = config.with_seed(seed);
        }
        if let Some(samples) = self.num_samples {
            config = config.with_num_samples(samples);
        }
        (preset, config)
    }
    /// The same settings with every default written out.
    pub fn resolved(&self) -> Self {
        if self.dir.is_some() {
            return self.clone();
        }
        let (preset, config) = self.generator();
        DataConfig { dir: None, preset: Some(preset), seed: Some(config.seed), num_samples: Some(config.num_samples) }
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

    /// Reads a TOML file. A relative `data.dir` is relative to the file's folder.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|e| Error::file(path, format!("cannot be read: {e}")))?;
        let mut config: Config = toml::from_str(&text).map_err(|e| Error::file(path, e.to_string().trim_end()))?;
        if let (Some(dir), Some(parent)) = (&config.data.dir, path.parent()) {
            config.data.dir = Some(parent.join(dir));
        }
        Ok(config)
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
        self.loss.check()?;
        self.check_optimizer()?;
        self.schedule.check()
    }

    /// Checks the settings that depend on the data.
    pub fn check_data(&self, data: &Dataset) -> Result<()> {
        if self.batch > data.train.rows {
            let message = format!("is {}, but the training set has only {} samples", self.batch, data.train.rows);
            return Err(Error::config("batch", message));
        }
        let monitor = self.schedule.plateau().map(|(monitor, _)| monitor);
        if matches!(monitor, Some(Monitor::ValLoss | Monitor::ValError)) && data.val.is_none() {
            return Err(Error::config(
                "schedule.monitor",
                "needs a validation set, but there is none: use train_loss?",
            ));
        }
        Ok(())
    }
}
