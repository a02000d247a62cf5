//! Settings of the network.

use super::init::InitConfig;
use serde::{Deserialize, Serialize};

/// The network: the input shape of its first layer, and the layers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// The shape of one sample, e.g. `[1, 40]` for a convolution over MNIST-1D; by default that of the data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Vec<usize>>,
    /// The layers in order. The last one outputs what the task needs: a number per class, or the target's shape.
    pub layers: Vec<LayerConfig>,
}

/// A size for each spatial axis.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum KernelSize {
    /// The same for all spatial axes.
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
    /// As a single number, or why that is not possible.
    pub fn single(self) -> Result<usize, String> {
        match self {
            KernelSize::All(n) => Ok(n),
            KernelSize::Each(pair) => Err(format!("takes one number for its one axis, but got {pair:?}")),
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
fn norm_eps() -> f64 {
    1e-5
}
fn norm_momentum() -> f64 {
    0.1
}
fn leaky_slope() -> f64 {
    0.01
}
fn unit() -> f64 {
    1.0
}
fn minus_unit() -> f64 {
    -1.0
}
fn twenty() -> f64 {
    20.0
}
fn quarter() -> f64 {
    0.25
}
fn last_axis() -> isize {
    -1
}

/// A layer, named by `type`. Input sizes are omitted: they follow from the previous layer.
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
    ConvTranspose1d(ConvTransposeConfig),
    ConvTranspose2d(ConvTransposeConfig),
    MaxPool1d(MaxPoolConfig),
    MaxPool2d(MaxPoolConfig),
    AvgPool1d(AvgPoolConfig),
    AvgPool2d(AvgPoolConfig),
    AdaptiveAvgPool1d {
        output_size: KernelSize,
    },
    AdaptiveAvgPool2d {
        output_size: KernelSize,
    },
    BatchNorm1d(BatchNormConfig),
    BatchNorm2d(BatchNormConfig),
    LayerNorm {
        /// The trailing axes; by default the last one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        normalized_shape: Option<Vec<usize>>,
        #[serde(default = "norm_eps")]
        eps: f64,
        #[serde(default = "yes")]
        elementwise_affine: bool,
        #[serde(default = "yes")]
        bias: bool,
    },
    GroupNorm {
        num_groups: usize,
        #[serde(default = "norm_eps")]
        eps: f64,
        #[serde(default = "yes")]
        affine: bool,
    },
    RmsNorm {
        /// The trailing axes; by default the last one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        normalized_shape: Option<Vec<usize>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        eps: Option<f64>,
        #[serde(default = "yes")]
        elementwise_affine: bool,
    },
    Embedding {
        num_embeddings: usize,
        embedding_dim: usize,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        padding_idx: Option<usize>,
        /// By default standard normal.
        #[serde(default)]
        weight_init: InitConfig,
    },
    /// Adds a learned vector for each position of `[l, e]`.
    PositionalEmbedding {
        /// The longest sequence; that of the input by default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        num_positions: Option<usize>,
        /// By default normal with standard deviation 0.02.
        #[serde(default)]
        weight_init: InitConfig,
    },
    MultiheadAttention {
        num_heads: usize,
        #[serde(default)]
        causal: bool,
        #[serde(default = "yes")]
        bias: bool,
    },
    Rnn(RnnConfig),
    Gru(RecurrentConfig),
    Lstm(RecurrentConfig),
    /// A residual connection: the layers' input is added to their output.
    Residual {
        layers: Vec<LayerConfig>,
    },
    Relu {},
    Relu6 {},
    Tanh {},
    Sigmoid {},
    LogSigmoid {},
    Silu {},
    Mish {},
    Selu {},
    Hardsigmoid {},
    Hardswish {},
    Softsign {},
    /// Over the last axis.
    Softmax {},
    /// Over the last axis.
    LogSoftmax {},
    LeakyRelu {
        #[serde(default = "leaky_slope")]
        negative_slope: f64,
    },
    Elu {
        #[serde(default = "unit")]
        alpha: f64,
    },
    Gelu {
        #[serde(default)]
        approximate: Approximate,
    },
    Softplus {
        #[serde(default = "unit")]
        beta: f64,
        #[serde(default = "twenty")]
        threshold: f64,
    },
    Hardtanh {
        #[serde(default = "minus_unit")]
        min_val: f64,
        #[serde(default = "unit")]
        max_val: f64,
    },
    Prelu {
        #[serde(default = "single")]
        num_parameters: usize,
        #[serde(default = "quarter")]
        init: f64,
    },
    Glu {
        /// The axis, counted with the batch axis, as in PyTorch.
        #[serde(default = "last_axis")]
        dim: isize,
    },
    Flatten {},
    Dropout {
        p: f64,
    },
}

/// Settings of a transposed convolution; for one dimension, sizes are single numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct ConvTransposeConfig {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_channels: Option<usize>,
    pub out_channels: usize,
    pub kernel_size: KernelSize,
    #[serde(default = "one")]
    pub stride: KernelSize,
    #[serde(default = "zero")]
    pub padding: KernelSize,
    #[serde(default = "zero")]
    pub output_padding: KernelSize,
    #[serde(default = "one")]
    pub dilation: KernelSize,
    #[serde(default = "single")]
    pub groups: usize,
    #[serde(default = "yes")]
    pub bias: bool,
    #[serde(default)]
    pub weight_init: InitConfig,
    #[serde(default)]
    pub bias_init: InitConfig,
}

/// Settings of max pooling; the stride is the kernel size by default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct MaxPoolConfig {
    pub kernel_size: KernelSize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stride: Option<KernelSize>,
    #[serde(default = "zero")]
    pub padding: KernelSize,
    #[serde(default = "one")]
    pub dilation: KernelSize,
    #[serde(default)]
    pub ceil_mode: bool,
}

/// Settings of average pooling; the stride is the kernel size by default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct AvgPoolConfig {
    pub kernel_size: KernelSize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stride: Option<KernelSize>,
    #[serde(default = "zero")]
    pub padding: KernelSize,
    #[serde(default)]
    pub ceil_mode: bool,
    #[serde(default = "yes")]
    pub count_include_pad: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub divisor_override: Option<usize>,
}

/// Settings of batch normalisation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct BatchNormConfig {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_features: Option<usize>,
    #[serde(default = "norm_eps")]
    pub eps: f64,
    #[serde(default = "norm_momentum")]
    pub momentum: f64,
    #[serde(default = "yes")]
    pub affine: bool,
    #[serde(default = "yes")]
    pub track_running_stats: bool,
}

/// The output of a recurrent layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecurrentOutput {
    /// The hidden state of every time step, `[l, hidden]`.
    #[default]
    Sequence,
    /// The final hidden state, `[hidden]`.
    Last,
}

/// Settings of a recurrent layer. A sample is `[l, in]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct RecurrentConfig {
    pub hidden_size: usize,
    #[serde(default = "single")]
    pub num_layers: usize,
    #[serde(default = "yes")]
    pub bias: bool,
    #[serde(default)]
    pub bidirectional: bool,
    #[serde(default)]
    pub output: RecurrentOutput,
}

/// The nonlinearity of an Elman network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum RnnNonlinearity {
    #[default]
    Tanh,
    Relu,
}

/// Settings of an Elman network. A sample is `[l, in]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct RnnConfig {
    pub hidden_size: usize,
    #[serde(default = "single")]
    pub num_layers: usize,
    #[serde(default)]
    pub nonlinearity: RnnNonlinearity,
    #[serde(default = "yes")]
    pub bias: bool,
    #[serde(default)]
    pub bidirectional: bool,
    #[serde(default)]
    pub output: RecurrentOutput,
}

/// How GELU's distribution function is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Approximate {
    #[default]
    None,
    Tanh,
}
