//! Builds layers from settings, checking that their shapes match.

use super::config::{
    Approximate, AvgPoolConfig, ConvTransposeConfig, KernelSize, LayerConfig, MaxPoolConfig, RecurrentOutput,
    RnnNonlinearity,
};
use crate::dtype::DType;
use crate::error::Error;
use crate::graph::Graph;
use crate::nn::{
    AdaptiveAvgPool1d, AdaptiveAvgPool2d, AvgPool1d, AvgPool2d, BatchNorm1d, BatchNorm2d, Conv1d, Conv2d,
    ConvTranspose1d, ConvTranspose2d, Dropout, Elu, Embedding, Flatten, Gelu, Generator, Glu, GroupNorm, Gru,
    Hardsigmoid, Hardswish, Hardtanh, Initializer, LayerNorm, LeakyRelu, Linear, LogSigmoid, LogSoftmax, Lstm,
    MaxPool1d, MaxPool2d, Mish, Mode, Module, MultiheadAttention, PositionalEmbedding, Prelu, RecurrentOptions, Relu,
    Relu6, Residual, RmsNorm, Rnn, Selu, Sequential, Sigmoid, Silu, Softmax, Softplus, Softsign, Tanh,
};
use crate::ops::conv::{Conv, ConvKind, ConvOptions};
use crate::ops::pool::PoolOptions;
use crate::shape::Shape;

/// Builds a sequence of layers for samples of `shape`. Returns it with the last layer's output shape, or says which
/// layer is wrong and why.
pub(super) fn build_layers(
    layers: &[LayerConfig],
    shape: &[usize],
    rng: &mut Generator,
) -> Result<(Sequential, Vec<usize>), (String, String)> {
    let mut network = Sequential::new();
    let mut shape = shape.to_vec();
    for (index, layer) in layers.iter().enumerate() {
        let wrong = |message: String| (format!("layers[{index}] ({})", layer.name()), message);
        let (module, output) = layer.build(&shape, rng).map_err(wrong)?;
        network = network.push_boxed(module);
        shape = output;
    }
    Ok((network, shape))
}

macro_rules! batch_norm {
    ($type:ident, $config:expr, $channels:expr) => {{
        let (config, channels) = ($config, $channels);
        if let Some(wanted) = config.num_features.filter(|&wanted| wanted != channels) {
            return Err(format!("takes {wanted} channels, but the previous layer outputs {channels}"));
        }
        let layer = $type::new(channels).eps(config.eps).momentum(config.momentum);
        let layer = if config.affine { layer } else { layer.without_affine() };
        Box::new(if config.track_running_stats { layer } else { layer.without_running_stats() })
    }};
}

impl LayerConfig {
    /// The layer's `type` in the configuration.
    pub fn name(&self) -> String {
        let kind = toml::Value::try_from(self).ok().and_then(|value| Some(value.get("type")?.as_str()?.to_string()));
        kind.unwrap_or_default()
    }

    /// Builds the layer for samples of `shape`. Returns it with its output shape.
    fn build(&self, shape: &[usize], rng: &mut Generator) -> Result<(Box<dyn Module>, Vec<usize>), String> {
        match *self {
            LayerConfig::Dropout { p } if !(0.0..=1.0).contains(&p) => Err(format!("p must lie in [0, 1], but is {p}")),
            LayerConfig::Linear { in_features, out_features, bias, weight_init, bias_init } => {
                let Some((&features, lead)) = shape.split_last() else {
                    return Err("takes samples of rank 1 or more, but the previous layer outputs scalars".into());
                };
                if in_features.is_some_and(|wanted| wanted != features) {
                    let wanted = in_features.unwrap_or_default();
                    return Err(format!("takes [{wanted}], but the previous layer outputs {shape:?}"));
                }
                check_size("out_features", &[out_features, features])?;
                let (weight, bias) = (weight_init.initializer(), bias.then(|| bias_init.initializer()));
                let layer = Linear::with_init(features, out_features, weight, bias, rng);
                Ok((Box::new(layer), [lead, &[out_features]].concat()))
            }
            LayerConfig::Conv1d {
                in_channels,
                out_channels,
                kernel_size,
                stride,
                padding,
                dilation,
                groups,
                bias,
                weight_init,
                bias_init,
            } => {
                let options = ConvOptions::new().stride(stride).padding(padding).dilation(dilation).groups(groups);
                let output = conv_output(shape, in_channels, out_channels, &[kernel_size], &options)?;
                let (weight, bias) = (weight_init.initializer(), bias.then(|| bias_init.initializer()));
                let layer = Conv1d::with_init(shape[0], out_channels, kernel_size, options, weight, bias, rng);
                Ok((Box::new(layer), output))
            }
            LayerConfig::Conv2d {
                in_channels,
                out_channels,
                kernel_size,
                stride,
                padding,
                dilation,
                groups,
                bias,
                weight_init,
                bias_init,
            } => {
                let options = ConvOptions::new()
                    .stride(stride.pair())
                    .padding(padding.pair())
                    .dilation(dilation.pair())
                    .groups(groups);
                let output = conv_output(shape, in_channels, out_channels, &kernel_size.pair(), &options)?;
                let (weight, bias) = (weight_init.initializer(), bias.then(|| bias_init.initializer()));
                let layer = Conv2d::with_init(shape[0], out_channels, kernel_size.pair(), options, weight, bias, rng);
                Ok((Box::new(layer), output))
            }
            _ => {
                let module = self.module(shape, rng)?;
                let output = traced(module.as_ref(), shape)?;
                Ok((module, output))
            }
        }
    }

    /// A layer whose output shape is found by tracing it.
    fn module(&self, shape: &[usize], rng: &mut Generator) -> Result<Box<dyn Module>, String> {
        let channels = || shape.first().copied().ok_or("takes samples with a channel axis".to_string());
        let width = || shape.last().copied().ok_or("takes samples of rank 1 or more".to_string());
        let normalized = |axes: &Option<Vec<usize>>| axes.clone().map_or_else(|| width().map(|n| vec![n]), Ok);
        Ok(match self {
            LayerConfig::ConvTranspose1d(c) => {
                let options = transposed_options(c, channels()?, |size| size.single().map(|n| vec![n]))?;
                let (inputs, kernel) = (channels()?, c.kernel_size.single()?);
                let (weight, bias) = (c.weight_init.initializer(), c.bias.then(|| c.bias_init.initializer()));
                let layer = ConvTranspose1d::with_init(inputs, c.out_channels, kernel, options, weight, bias, rng);
                Box::new(layer.output_padding(c.output_padding.single()?))
            }
            LayerConfig::ConvTranspose2d(c) => {
                let options = transposed_options(c, channels()?, |size| Ok(size.pair().to_vec()))?;
                let (inputs, kernel) = (channels()?, c.kernel_size.pair());
                let (weight, bias) = (c.weight_init.initializer(), c.bias.then(|| c.bias_init.initializer()));
                let layer = ConvTranspose2d::with_init(inputs, c.out_channels, kernel, options, weight, bias, rng);
                Box::new(layer.output_padding(c.output_padding.pair()))
            }
            LayerConfig::MaxPool1d(c) => Box::new(MaxPool1d::new(max_pool(c, |size| size.single().map(|n| vec![n]))?)),
            LayerConfig::MaxPool2d(c) => Box::new(MaxPool2d::new(max_pool(c, |size| Ok(size.pair().to_vec()))?)),
            LayerConfig::AvgPool1d(c) => Box::new(AvgPool1d::new(avg_pool(c, |size| size.single().map(|n| vec![n]))?)),
            LayerConfig::AvgPool2d(c) => Box::new(AvgPool2d::new(avg_pool(c, |size| Ok(size.pair().to_vec()))?)),
            LayerConfig::AdaptiveAvgPool1d { output_size } => Box::new(AdaptiveAvgPool1d::new(output_size.single()?)),
            LayerConfig::AdaptiveAvgPool2d { output_size } => Box::new(AdaptiveAvgPool2d::new(output_size.pair())),
            LayerConfig::BatchNorm1d(c) => batch_norm!(BatchNorm1d, c, channels()?),
            LayerConfig::BatchNorm2d(c) => batch_norm!(BatchNorm2d, c, channels()?),
            LayerConfig::LayerNorm { normalized_shape, eps, elementwise_affine, bias } => {
                let layer = LayerNorm::new(normalized(normalized_shape)?).eps(*eps);
                let layer = if *bias { layer } else { layer.without_bias() };
                Box::new(if *elementwise_affine { layer } else { layer.without_affine() })
            }
            LayerConfig::GroupNorm { num_groups, eps, affine } => {
                let layer = GroupNorm::new(*num_groups, channels()?).eps(*eps);
                Box::new(if *affine { layer } else { layer.without_affine() })
            }
            LayerConfig::RmsNorm { normalized_shape, eps, elementwise_affine } => {
                let layer = RmsNorm::new(normalized(normalized_shape)?);
                let layer = eps.map_or(layer.clone(), |eps| layer.eps(eps));
                Box::new(if *elementwise_affine { layer } else { layer.without_affine() })
            }
            LayerConfig::Embedding { num_embeddings, embedding_dim, padding_idx, weight_init } => {
                let weight = weight_init.initializer_or(Initializer::Normal(0.0, 1.0));
                let layer = Embedding::with_init(*num_embeddings, *embedding_dim, weight, rng);
                Box::new(padding_idx.map_or(layer.clone(), |index| layer.padding_idx(index)))
            }
            LayerConfig::PositionalEmbedding { num_positions, weight_init } => {
                let weight = weight_init.initializer_or(Initializer::Normal(0.0, 0.02));
                let [length, width] = shape[..] else {
                    return Err(format!("takes samples [l, e], but the previous layer outputs {shape:?}"));
                };
                Box::new(PositionalEmbedding::new(num_positions.unwrap_or(length), width, weight, rng))
            }
            LayerConfig::MultiheadAttention { num_heads, causal, bias } => {
                let layer = MultiheadAttention::new(width()?, *num_heads, rng);
                let layer = if *causal { layer.causal() } else { layer };
                Box::new(if *bias { layer } else { layer.without_bias() })
            }
            LayerConfig::Rnn(c) => {
                let options = recurrent(c.num_layers, c.bias, c.bidirectional);
                let layer = Rnn::new(width()?, c.hidden_size, options, rng);
                let layer = if c.nonlinearity == RnnNonlinearity::Relu { layer.relu() } else { layer };
                Box::new(if c.output == RecurrentOutput::Last { layer.last_step() } else { layer })
            }
            LayerConfig::Gru(c) => {
                let options = recurrent(c.num_layers, c.bias, c.bidirectional);
                let layer = Gru::new(width()?, c.hidden_size, options, rng);
                Box::new(if c.output == RecurrentOutput::Last { layer.last_step() } else { layer })
            }
            LayerConfig::Lstm(c) => {
                let options = recurrent(c.num_layers, c.bias, c.bidirectional);
                let layer = Lstm::new(width()?, c.hidden_size, options, rng);
                Box::new(if c.output == RecurrentOutput::Last { layer.last_step() } else { layer })
            }
            LayerConfig::Residual { layers } => {
                let inner =
                    build_layers(layers, shape, rng).map_err(|(place, message)| format!("{place}: {message}"))?;
                Box::new(Residual::new(inner.0))
            }
            LayerConfig::Relu {} => Box::new(Relu),
            LayerConfig::Relu6 {} => Box::new(Relu6),
            LayerConfig::Tanh {} => Box::new(Tanh),
            LayerConfig::Sigmoid {} => Box::new(Sigmoid),
            LayerConfig::LogSigmoid {} => Box::new(LogSigmoid),
            LayerConfig::Silu {} => Box::new(Silu),
            LayerConfig::Mish {} => Box::new(Mish),
            LayerConfig::Selu {} => Box::new(Selu),
            LayerConfig::Hardsigmoid {} => Box::new(Hardsigmoid),
            LayerConfig::Hardswish {} => Box::new(Hardswish),
            LayerConfig::Softsign {} => Box::new(Softsign),
            LayerConfig::Softmax {} => Box::new(Softmax),
            LayerConfig::LogSoftmax {} => Box::new(LogSoftmax),
            LayerConfig::LeakyRelu { negative_slope } => Box::new(LeakyRelu { negative_slope: *negative_slope }),
            LayerConfig::Elu { alpha } => Box::new(Elu { alpha: *alpha }),
            LayerConfig::Gelu { approximate } => Box::new(Gelu { tanh: *approximate == Approximate::Tanh }),
            LayerConfig::Softplus { beta, threshold } => Box::new(Softplus { beta: *beta, threshold: *threshold }),
            LayerConfig::Hardtanh { min_val, max_val } => Box::new(Hardtanh { min_val: *min_val, max_val: *max_val }),
            LayerConfig::Prelu { num_parameters, init } => Box::new(Prelu::new(*num_parameters, *init)),
            LayerConfig::Glu { dim } => Box::new(Glu { dim: *dim }),
            LayerConfig::Flatten {} => Box::new(Flatten),
            LayerConfig::Dropout { p } => Box::new(Dropout::new(*p)),
            LayerConfig::Linear { .. } | LayerConfig::Conv1d { .. } | LayerConfig::Conv2d { .. } => {
                return Err("is built by another function".into());
            }
        })
    }
}

type Sizes = fn(KernelSize) -> Result<Vec<usize>, String>;

fn transposed_options(c: &ConvTransposeConfig, channels: usize, sizes: Sizes) -> Result<ConvOptions, String> {
    if let Some(wanted) = c.in_channels.filter(|&wanted| wanted != channels) {
        return Err(format!("takes {wanted} channels, but the previous layer outputs {channels}"));
    }
    if c.groups == 0 || !channels.is_multiple_of(c.groups) || !c.out_channels.is_multiple_of(c.groups) {
        let (groups, outputs) = (c.groups, c.out_channels);
        return Err(format!("groups {groups} must divide the {channels} input and {outputs} output channels"));
    }
    check_size("out_channels", &[c.out_channels, channels])?;
    let options = ConvOptions::new().stride(sizes(c.stride)?).padding(sizes(c.padding)?);
    Ok(options.dilation(sizes(c.dilation)?).groups(c.groups))
}

fn max_pool(c: &MaxPoolConfig, sizes: Sizes) -> Result<PoolOptions, String> {
    let options = PoolOptions::new(sizes(c.kernel_size)?).padding(sizes(c.padding)?).dilation(sizes(c.dilation)?);
    let options = options.ceil_mode(c.ceil_mode);
    c.stride.map_or(Ok(options.clone()), |stride| Ok(options.stride(sizes(stride)?)))
}

fn avg_pool(c: &AvgPoolConfig, sizes: Sizes) -> Result<PoolOptions, String> {
    let mut options = PoolOptions::new(sizes(c.kernel_size)?).padding(sizes(c.padding)?).ceil_mode(c.ceil_mode);
    options.count_include_pad = c.count_include_pad;
    options.divisor_override = c.divisor_override;
    c.stride.map_or(Ok(options.clone()), |stride| Ok(options.stride(sizes(stride)?)))
}

fn recurrent(num_layers: usize, bias: bool, bidirectional: bool) -> RecurrentOptions {
    RecurrentOptions { num_layers, bias, bidirectional, batch_first: true }
}

/// The output shape of a layer for samples of `shape`, or the error it records.
fn traced(module: &dyn Module, shape: &[usize]) -> Result<Vec<usize>, String> {
    let graph = Graph::new();
    let y = module.forward(graph.input("x", [&[1], shape].concat(), DType::F32), Mode::Eval);
    match graph.check() {
        Ok(()) => match y.shape().split_first() {
            Some((1, sample)) => Ok(sample.to_vec()),
            _ => Err(format!("outputs {} for a batch of one sample of shape {shape:?}", y.shape())),
        },
        Err(Error::Op { op, message, .. }) => Err(format!("{op}: {message}")),
        Err(other) => Err(other.to_string()),
    }
}

fn check_size(name: &str, sizes: &[usize]) -> Result<(), String> {
    if sizes.contains(&0) {
        return Err(format!("{name} and the sizes of its input must be 1 or more"));
    }
    Shape::from(sizes).check()
}

/// The output shape of a convolution for samples of `shape`, by the operation's own shape rule.
fn conv_output(
    shape: &[usize],
    in_channels: Option<usize>,
    out_channels: usize,
    kernel: &[usize],
    options: &ConvOptions,
) -> Result<Vec<usize>, String> {
    let rank = kernel.len();
    if shape.len() != rank + 1 {
        let axes = if rank == 1 { "[channels, length]" } else { "[channels, height, width]" };
        return Err(format!(
            "takes samples of shape {axes}, but the previous layer outputs {shape:?}; set `model.input`?"
        ));
    }
    if in_channels.is_some_and(|wanted| wanted != shape[0]) {
        let wanted = in_channels.unwrap_or_default();
        return Err(format!("takes {wanted} channels, but the previous layer outputs {shape:?}"));
    }
    if options.groups == 0 || !shape[0].is_multiple_of(options.groups) || !out_channels.is_multiple_of(options.groups) {
        let (groups, channels) = (options.groups, shape[0]);
        return Err(format!("groups {groups} must divide the {channels} input and {out_channels} output channels"));
    }
    let weight = [&[out_channels, shape[0] / options.groups], kernel].concat();
    check_size("out_channels, kernel_size", &weight)?;
    let x = Shape::from([&[1], shape].concat());
    let geometry = Conv { kind: ConvKind::Forward, options: options.clone() }.geometry(&x, &weight.into())?;
    Ok([&[out_channels], &geometry.output[2 - rank..]].concat())
}
