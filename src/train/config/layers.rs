//! The network's settings.

use super::init::InitConfig;
use serde::{Deserialize, Serialize};

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
    Softmax {},
    Flatten {},
    Dropout {
        p: f64,
    },
}
