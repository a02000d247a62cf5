//! A run's settings: presets, TOML files, and their checks.

use crate::data::{Dataset, Mnist1dConfig, Mnist1dPreset, generate, load_folder};
use crate::error::{Error, Result};
use crate::nn::Initializer;
use crate::optim::{Adam, Optimizer, Schedule, ScheduleKind, Sgd};
use crate::variable::Variable;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The names of the built-in configurations.
pub const PRESETS: [&str; 3] = ["cnn", "mlp", "logistic"];

/// The most epochs of a run. Each leaves a record, and the learning rates of all are worked out at the start.
const MAX_EPOCHS: u32 = 1_000_000;

/// All settings of a training run. In TOML every key may be left out; unknown keys are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// A name for the run.
    pub name: String,
    /// Seeds the initial parameters, the shuffling and the dropout masks.
    pub seed: u64,
    /// Passes over the training set.
    pub epochs: u32,
    /// Samples a step. A last smaller batch is trained on too.
    pub batch: usize,
    /// Whether each epoch visits the samples in a new random order.
    pub shuffle: bool,
    /// The data.
    pub data: DataConfig,
    /// The network.
    pub model: ModelConfig,
    /// The loss.
    pub loss: LossConfig,
    /// The optimiser.
    pub optimizer: OptimizerConfig,
    /// The learning rate's course.
    pub schedule: ScheduleConfig,
}

impl Default for Config {
    /// The course's settings for the networks on MNIST-1D, without layers.
    fn default() -> Self {
        Config {
            name: "custom".into(),
            seed: 0,
            epochs: 50,
            batch: 100,
            shuffle: true,
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
            schedule: ScheduleConfig::Step { step_size: 10, gamma: 0.5, warmup: 0, unit: Unit::Epoch },
        }
    }
}

/// Where the data come from: a folder of `.npy` files, or the MNIST-1D generator.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// A folder as [`load_folder`] takes it. Without it, MNIST-1D is generated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// Which split of MNIST-1D to generate; the course's by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<Mnist1dPreset>,
    /// The generator's seed; 42 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// How many samples to generate; the preset's number by default.
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
                return Err(Error::config(format!("data.{key}"), "is for generated data and cannot go with data.dir"));
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
    /// The same with every default written out.
    pub fn resolved(&self) -> Self {
        if self.dir.is_some() {
            return self.clone();
        }
        let (preset, config) = self.generator();
        DataConfig { dir: None, preset: Some(preset), seed: Some(config.seed), num_samples: Some(config.num_samples) }
    }
}

/// The network: the shape its first layer sees, and the layers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// The shape of one sample, e.g. `[1, 40]` for a convolution over MNIST-1D; the data's own by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Vec<usize>>,
    /// The layers, first to last. The last one must give one number a class.
    pub layers: Vec<LayerConfig>,
}

/// A size along each spatial axis.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum KernelSize {
    /// The same for all axes.
    All(usize),
    /// Height and width.
    Each([usize; 2]),
}

impl KernelSize {
    /// As height and width.
    pub fn pair(self) -> [usize; 2] {
        match self {
            KernelSize::All(n) => [n, n],
            KernelSize::Each(pair) => pair,
        }
    }
}

/// How a parameter starts.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum InitConfig {
    /// PyTorch's default for the layer.
    #[default]
    Default,
    KaimingUniform,
    KaimingNormal,
    XavierUniform,
    XavierNormal,
    Zeros,
}

impl InitConfig {
    /// The initialiser.
    pub fn initializer(self) -> Initializer {
        match self {
            InitConfig::Default => Initializer::Default,
            InitConfig::KaimingUniform => Initializer::KaimingUniform,
            InitConfig::KaimingNormal => Initializer::KaimingNormal,
            InitConfig::XavierUniform => Initializer::XavierUniform,
            InitConfig::XavierNormal => Initializer::XavierNormal,
            InitConfig::Zeros => Initializer::ZEROS,
        }
    }
}

fn one() -> KernelSize {
    KernelSize::All(1)
}
fn zero() -> KernelSize {
    KernelSize::All(0)
}
fn yes() -> bool {
    true
}
fn single() -> usize {
    1
}

/// A layer; `type` names it. Input sizes may be left out: they follow from the layer before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[allow(missing_docs)]
pub enum LayerConfig {
    Linear {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        in_features: Option<usize>,
        out_features: usize,
        #[serde(default = "yes")]
        bias: bool,
        #[serde(default)]
        weight_init: InitConfig,
        #[serde(default)]
        bias_init: InitConfig,
    },
    Conv1d {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        in_channels: Option<usize>,
        out_channels: usize,
        kernel_size: usize,
        #[serde(default = "single")]
        stride: usize,
        #[serde(default)]
        padding: usize,
        #[serde(default = "single")]
        dilation: usize,
        #[serde(default = "single")]
        groups: usize,
        #[serde(default = "yes")]
        bias: bool,
        #[serde(default)]
        weight_init: InitConfig,
        #[serde(default)]
        bias_init: InitConfig,
    },
    Conv2d {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        in_channels: Option<usize>,
        out_channels: usize,
        kernel_size: KernelSize,
        #[serde(default = "one")]
        stride: KernelSize,
        #[serde(default = "zero")]
        padding: KernelSize,
        #[serde(default = "one")]
        dilation: KernelSize,
        #[serde(default = "single")]
        groups: usize,
        #[serde(default = "yes")]
        bias: bool,
        #[serde(default)]
        weight_init: InitConfig,
        #[serde(default)]
        bias_init: InitConfig,
    },
    Relu {},
    Tanh {},
    Sigmoid {},
    Flatten {},
    Dropout {
        p: f64,
    },
}

/// The loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum LossConfig {
    /// Cross-entropy of logits against the labels.
    CrossEntropy {
        /// In `[0, 1]`.
        #[serde(default)]
        label_smoothing: f64,
    },
    /// Mean squared error against the one-hot labels.
    Mse {},
    /// Binary cross-entropy of each logit against the one-hot labels.
    BceWithLogits {},
}

/// The optimiser; the names and defaults are PyTorch's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[allow(missing_docs)]
pub enum OptimizerConfig {
    Sgd {
        lr: f64,
        #[serde(default)]
        momentum: f64,
        #[serde(default)]
        dampening: f64,
        #[serde(default)]
        nesterov: bool,
        #[serde(default)]
        weight_decay: f64,
    },
    Adam {
        lr: f64,
        #[serde(default = "default_betas")]
        betas: [f64; 2],
        #[serde(default = "default_eps")]
        eps: f64,
        #[serde(default)]
        weight_decay: f64,
    },
    Adamw {
        lr: f64,
        #[serde(default = "default_betas")]
        betas: [f64; 2],
        #[serde(default = "default_eps")]
        eps: f64,
        #[serde(default = "default_decay")]
        weight_decay: f64,
    },
}

fn default_betas() -> [f64; 2] {
    [0.9, 0.999]
}
fn default_eps() -> f64 {
    1e-8
}
fn default_decay() -> f64 {
    0.01
}

impl OptimizerConfig {
    /// The base learning rate.
    pub fn lr(&self) -> f64 {
        match *self {
            OptimizerConfig::Sgd { lr, .. } | OptimizerConfig::Adam { lr, .. } | OptimizerConfig::Adamw { lr, .. } => {
                lr
            }
        }
    }
    /// Sets the base learning rate.
    pub fn set_lr(&mut self, value: f64) {
        match self {
            OptimizerConfig::Sgd { lr, .. } | OptimizerConfig::Adam { lr, .. } | OptimizerConfig::Adamw { lr, .. } => {
                *lr = value;
            }
        }
    }
    /// The optimiser of `parameters`.
    pub fn build(&self, parameters: Vec<(String, Variable)>) -> Optimizer {
        let adam = |betas: [f64; 2], eps, weight_decay, decoupled| Adam {
            betas: (betas[0], betas[1]),
            eps,
            weight_decay,
            decoupled,
        };
        match *self {
            OptimizerConfig::Sgd { momentum, dampening, nesterov, weight_decay, .. } => {
                Optimizer::new(Sgd { momentum, dampening, nesterov, weight_decay }, parameters)
            }
            OptimizerConfig::Adam { betas, eps, weight_decay, .. } => {
                Optimizer::new(adam(betas, eps, weight_decay, false), parameters)
            }
            OptimizerConfig::Adamw { betas, eps, weight_decay, .. } => {
                Optimizer::new(adam(betas, eps, weight_decay, true), parameters)
            }
        }
    }
    fn check(&self) -> Result<()> {
        let at_least_0 = |key: &str, value: f64| {
            if value.is_finite() && value >= 0.0 {
                Ok(())
            } else {
                Err(Error::config(format!("optimizer.{key}"), format!("must be a number of 0 or more, but is {value}")))
            }
        };
        at_least_0("lr", self.lr())?;
        match *self {
            OptimizerConfig::Sgd { momentum, dampening, nesterov, weight_decay, .. } => {
                at_least_0("momentum", momentum)?;
                at_least_0("weight_decay", weight_decay)?;
                if !dampening.is_finite() {
                    return Err(Error::config("optimizer.dampening", "must be a number"));
                }
                if nesterov && (momentum == 0.0 || dampening != 0.0) {
                    return Err(Error::config("optimizer.nesterov", "needs a momentum and no dampening"));
                }
            }
            OptimizerConfig::Adam { betas, eps, weight_decay, .. }
            | OptimizerConfig::Adamw { betas, eps, weight_decay, .. } => {
                at_least_0("eps", eps)?;
                at_least_0("weight_decay", weight_decay)?;
                if betas.iter().any(|b| !(0.0..1.0).contains(b)) {
                    return Err(Error::config("optimizer.betas", format!("must lie in [0, 1), but are {betas:?}")));
                }
            }
        }
        Ok(())
    }
}

/// What a schedule counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Unit {
    #[default]
    Epoch,
    Step,
}

/// The learning rate's course, over epochs or steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[allow(missing_docs)]
pub enum ScheduleConfig {
    Constant {
        #[serde(default)]
        warmup: u32,
        #[serde(default)]
        unit: Unit,
    },
    Step {
        step_size: u32,
        gamma: f64,
        #[serde(default)]
        warmup: u32,
        #[serde(default)]
        unit: Unit,
    },
    Cosine {
        /// All that follows the warm-up, by default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        t_max: Option<u32>,
        #[serde(default)]
        min_factor: f64,
        #[serde(default)]
        warmup: u32,
        #[serde(default)]
        unit: Unit,
    },
}

impl ScheduleConfig {
    /// What it counts.
    pub fn unit(&self) -> Unit {
        match *self {
            ScheduleConfig::Constant { unit, .. }
            | ScheduleConfig::Step { unit, .. }
            | ScheduleConfig::Cosine { unit, .. } => unit,
        }
    }
    /// The schedule, for a run of `total` units.
    pub fn schedule(&self, total: u32) -> Schedule {
        let (kind, warmup) = match *self {
            ScheduleConfig::Constant { warmup, .. } => (ScheduleKind::Constant, warmup),
            ScheduleConfig::Step { step_size, gamma, warmup, .. } => (ScheduleKind::Step { step_size, gamma }, warmup),
            ScheduleConfig::Cosine { t_max, min_factor, warmup, .. } => {
                let t_max = t_max.unwrap_or_else(|| total.saturating_sub(warmup).max(1));
                (ScheduleKind::Cosine { t_max, min_factor }, warmup)
            }
        };
        Schedule { kind, warmup }
    }
    fn check(&self) -> Result<()> {
        match *self {
            ScheduleConfig::Step { step_size: 0, .. } => Err(Error::config("schedule.step_size", "must be 1 or more")),
            ScheduleConfig::Step { gamma, .. } if !gamma.is_finite() || gamma < 0.0 => {
                Err(Error::config("schedule.gamma", format!("must be a number of 0 or more, but is {gamma}")))
            }
            ScheduleConfig::Cosine { t_max: Some(0), .. } => Err(Error::config("schedule.t_max", "must be 1 or more")),
            ScheduleConfig::Cosine { min_factor, .. } if !(0.0..=1.0).contains(&min_factor) => {
                Err(Error::config("schedule.min_factor", format!("must lie in [0, 1], but is {min_factor}")))
            }
            _ => Ok(()),
        }
    }
}

impl Config {
    /// A built-in configuration: `cnn` (three strided convolutions and a linear layer), `mlp` (40-100-100-10) or
    /// `logistic` (one linear layer), as the *Understanding Deep Learning* notebooks train them on MNIST-1D.
    pub fn preset(name: &str) -> Result<Self> {
        let linear = |out_features| LayerConfig::Linear {
            in_features: None,
            out_features,
            bias: true,
            weight_init: InitConfig::KaimingUniform,
            bias_init: InitConfig::Zeros,
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
                let message =
                    format!("no preset is called `{name}`: there are {}, or give a .toml file", PRESETS.join(", "));
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

    /// A preset's name or a TOML file's path.
    pub fn resolve(preset_or_file: &str) -> Result<Self> {
        let looks_like_a_path = preset_or_file.ends_with(".toml") || preset_or_file.contains(['/', '\\']);
        if looks_like_a_path { Config::from_file(preset_or_file) } else { Config::preset(preset_or_file) }
    }

    /// As TOML.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::config("config", format!("cannot be written as TOML: {e}")))
    }

    /// Checks every setting that does not depend on the data.
    pub fn check(&self) -> Result<()> {
        // The name becomes part of a folder's name, and is printed.
        if self.name.trim().is_empty() || self.name.contains(['/', '\\']) || self.name.contains(char::is_control) {
            return Err(Error::config("name", format!("{:?} cannot name a folder", self.name)));
        }
        if !(1..=MAX_EPOCHS).contains(&self.epochs) {
            return Err(Error::config("epochs", format!("must be 1 to {MAX_EPOCHS}, but is {}", self.epochs)));
        }
        if self.batch == 0 {
            return Err(Error::config("batch", "must be 1 or more"));
        }
        if self.model.layers.is_empty() {
            return Err(Error::config("model.layers", "must name at least one layer"));
        }
        if let LossConfig::CrossEntropy { label_smoothing: s } = self.loss {
            if !(0.0..=1.0).contains(&s) {
                return Err(Error::config("loss.label_smoothing", format!("must lie in [0, 1], but is {s}")));
            }
        }
        self.optimizer.check()?;
        self.schedule.check()
    }

    /// Checks what depends on the data.
    pub fn check_data(&self, data: &Dataset) -> Result<()> {
        if self.batch > data.train.rows {
            let message = format!("is {}, but the training set has only {} samples", self.batch, data.train.rows);
            return Err(Error::config("batch", message));
        }
        Ok(())
    }
}
