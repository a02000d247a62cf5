//! From a configuration to layers, checking that the shapes meet.

use super::config::{Config, InitConfig, LayerConfig};
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::nn::{Conv1d, Conv2d, Dropout, Flatten, Generator, Linear, Module, Relu, Sequential, Sigmoid, Tanh};
use crate::ops::conv::{Conv, ConvKind, ConvOptions};
use crate::shape::Shape;

/// A network with the shapes of its samples.
#[derive(Debug)]
pub struct Model {
    /// The layers.
    pub network: Sequential,
    /// The shape of one sample as the first layer sees it.
    pub input: Vec<usize>,
    /// Classes it tells apart: the size of its output.
    pub classes: usize,
}

impl Model {
    /// Builds the network of `config` for samples and classes like those of `data`, with fresh parameters.
    pub fn for_data(config: &Config, data: &Dataset) -> Result<Self> {
        let model = Model::build(config, &data.train.sample_shape)?;
        if model.classes < data.classes {
            let message =
                format!("gives {} numbers a sample, but the data have {} classes", model.classes, data.classes);
            return Err(Error::config("model: the last layer", message));
        }
        Ok(model)
    }

    /// Builds the network of `config` for samples of the given shape, with fresh parameters.
    pub fn build(config: &Config, sample: &[usize]) -> Result<Self> {
        let features: usize = sample.iter().product();
        let input = config.model.input.clone().unwrap_or_else(|| sample.to_vec());
        let product = input.iter().try_fold(1usize, |a, &b| a.checked_mul(b));
        if product != Some(features) {
            let message = format!("{input:?} does not hold the {features} numbers of a sample of shape {sample:?}");
            return Err(Error::config("model.input", message));
        }
        let mut rng = Generator::new(config.seed);
        let mut network = Sequential::new();
        let mut shape = input.clone();
        for (index, layer) in config.model.layers.iter().enumerate() {
            let wrong = |message: String| Error::config(format!("model.layers[{index}] ({})", layer.name()), message);
            let (module, output) = layer.build(&shape, &mut rng).map_err(wrong)?;
            network = network.push_boxed(module);
            shape = output;
        }
        match shape[..] {
            [classes] if classes > 0 => Ok(Model { network, input, classes }),
            _ => {
                let message =
                    format!("gives samples of shape {shape:?}, but must give one number a class; add `flatten`?");
                Err(Error::config("model: the last layer", message))
            }
        }
    }

    /// The number of parameters.
    pub fn parameter_count(&self) -> usize {
        self.network.parameters().iter().map(|(_, v)| v.tensor_type().shape.elements()).sum()
    }
}

impl LayerConfig {
    /// The layer's `type`.
    pub fn name(&self) -> &'static str {
        match self {
            LayerConfig::Linear { .. } => "linear",
            LayerConfig::Conv1d { .. } => "conv1d",
            LayerConfig::Conv2d { .. } => "conv2d",
            LayerConfig::Relu {} => "relu",
            LayerConfig::Tanh {} => "tanh",
            LayerConfig::Sigmoid {} => "sigmoid",
            LayerConfig::Flatten {} => "flatten",
            LayerConfig::Dropout { .. } => "dropout",
        }
    }

    /// The layer for samples of `shape`, and the shape it gives.
    fn build(&self, shape: &[usize], rng: &mut Generator) -> Result<(Box<dyn Module>, Vec<usize>), String> {
        let same = |module: Box<dyn Module>| Ok((module, shape.to_vec()));
        match *self {
            LayerConfig::Relu {} => same(Box::new(Relu)),
            LayerConfig::Tanh {} => same(Box::new(Tanh)),
            LayerConfig::Sigmoid {} => same(Box::new(Sigmoid)),
            LayerConfig::Flatten {} => Ok((Box::new(Flatten), vec![shape.iter().product()])),
            LayerConfig::Dropout { p } if !(0.0..=1.0).contains(&p) => Err(format!("p must lie in [0, 1], but is {p}")),
            LayerConfig::Dropout { p } => same(Box::new(Dropout::new(p))),
            LayerConfig::Linear { in_features, out_features, bias, weight_init, bias_init } => {
                let [features] = *shape else {
                    return Err(format!(
                        "takes samples of one axis, but the layer before gives {shape:?}; add `flatten`?"
                    ));
                };
                if in_features.is_some_and(|wanted| wanted != features) {
                    let wanted = in_features.unwrap_or_default();
                    return Err(format!("takes [{wanted}], but the layer before gives [{features}]"));
                }
                check_size("out_features", &[out_features, features])?;
                let layer = Linear::new(features, out_features, rng);
                Ok((layer.configure(weight_init, bias_init, bias, rng), vec![out_features]))
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
                let layer = Conv1d::new(shape[0], out_channels, kernel_size, options, rng);
                Ok((layer.configure(weight_init, bias_init, bias, rng), output))
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
                let layer = Conv2d::new(shape[0], out_channels, kernel_size.pair(), options, rng);
                Ok((layer.configure(weight_init, bias_init, bias, rng), output))
            }
        }
    }
}

fn check_size(name: &str, sizes: &[usize]) -> Result<(), String> {
    if sizes.contains(&0) {
        return Err(format!("{name} and the sizes it meets must be 1 or more"));
    }
    Shape::from(sizes).check()
}

/// The shape a convolution gives for samples of `shape`, by the operation's own shape rule.
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
        return Err(format!("takes samples of shape {axes}, but the layer before gives {shape:?}; set `model.input`?"));
    }
    if in_channels.is_some_and(|wanted| wanted != shape[0]) {
        let wanted = in_channels.unwrap_or_default();
        return Err(format!("takes {wanted} channels, but the layer before gives {shape:?}"));
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

/// Applies a layer's initialisers and its bias switch.
trait Configure: Module + Sized + 'static {
    fn configure(self, weight: InitConfig, bias: InitConfig, has_bias: bool, rng: &mut Generator) -> Box<dyn Module>;
}

macro_rules! configure {
    ($($layer:ty),*) => {$(
        impl Configure for $layer {
            fn configure(self, weight: InitConfig, bias: InitConfig, has_bias: bool, rng: &mut Generator) -> Box<dyn Module> {
                let layer = if has_bias { self } else { self.without_bias() };
                Box::new(layer.init(weight.initializer(), bias.initializer(), rng))
            }
        }
    )*};
}
configure!(Linear, Conv1d, Conv2d);
