//! Normalisation layers.

use super::decoding::position_wise;
use super::functional::{self, BatchNormOptions};
use super::parameters::{Parameters, has_parameters};
use super::{Generator, Initializer, Mode, Module};
use crate::graph::Graph;
use crate::shape::Shape;
use crate::tensor::Tensor;
use crate::variable::Variable;

/// Parameters initialised to ones (weights) or zeros (biases); constants draw nothing from a generator.
fn affine_parameters(shape: &Shape, names: &[&str]) -> Parameters {
    let mut parameters = Parameters::default();
    for name in names {
        let start = if *name == "bias" || *name == "running_mean" { Initializer::ZEROS } else { Initializer::ONES };
        parameters.draw(name, shape, shape, start, &mut Generator::new(0));
    }
    parameters
}

#[track_caller]
fn both<'g>(parameters: &Parameters, graph: &'g Graph) -> [Option<Tensor<'g>>; 2] {
    // No `map`: `#[track_caller]` does not reach through a closure.
    [parameters.optional(graph, "weight"), parameters.optional(graph, "bias")]
}

macro_rules! batch_norm_layer {
    ($(#[$doc:meta])* $name:ident $text:literal $ranks:pat, $shapes:literal) => {
        $(#[$doc])*
        ///
        /// In training mode a batch is normalised by its own mean and variance, and the buffers `running_mean` and
        /// `running_var` move towards them by `momentum`. The forward pass adds these updates to the graph, so a
        /// graph can hold only one training pass of a layer. In evaluation mode the running statistics are used.
        #[derive(Debug, Clone)]
        pub struct $name {
            parameters: Parameters,
            buffers: Parameters,
            momentum: f64,
            eps: f64,
        }

        impl $name {
            /// A layer for `num_features` channels with PyTorch's defaults: momentum 0.1, `eps` 1e-5, weight and
            /// bias.
            pub fn new(num_features: usize) -> Self {
                let shape = Shape::from([num_features]);
                let buffers = affine_parameters(&shape, &["running_mean", "running_var"]);
                let parameters = affine_parameters(&shape, &["weight", "bias"]);
                $name { parameters, buffers, momentum: 0.1, eps: 1e-5 }
            }
            /// Sets the momentum of the running statistics.
            pub fn momentum(mut self, momentum: f64) -> Self {
                self.momentum = momentum;
                self
            }
            /// Sets `eps`, which is added to the variance.
            pub fn eps(mut self, eps: f64) -> Self {
                self.eps = eps;
                self
            }
            /// Removes weight and bias.
            pub fn without_affine(mut self) -> Self {
                self.parameters = Parameters::default();
                self
            }
            /// Removes the running statistics: the batch's own are always used.
            pub fn without_running_stats(mut self) -> Self {
                self.buffers = Parameters::default();
                self
            }
        }

        impl Module for $name {
            fn name(&self) -> &'static str {
                $text
            }
            #[track_caller]
            fn forward<'g>(&self, x: Tensor<'g>, mode: Mode) -> Tensor<'g> {
                let graph = x.graph();
                if !x.is_poisoned() && !matches!(x.shape().rank(), $ranks) {
                    return graph.fail($text, format!("takes {}, but the input's shape is {}", $shapes, x.shape()));
                }
                let stored = ["running_mean", "running_var"].map(|name| self.buffers.get(name));
                let running = match stored {
                    [Some(_), Some(_)] => {
                        Some((self.buffers.value(graph, "running_mean"), self.buffers.value(graph, "running_var")))
                    }
                    _ => None,
                };
                let training = mode == Mode::Train;
                let options = BatchNormOptions { training, momentum: self.momentum, eps: self.eps };
                let [weight, bias] = both(&self.parameters, graph);
                let result = functional::batch_norm(x, running, weight, bias, options);
                if let ([Some(mean), Some(variance)], Some((new_mean, new_variance)), true) =
                    (stored, result.running, training)
                {
                    graph.update(mean, new_mean);
                    graph.update(variance, new_variance);
                }
                result.output
            }
            fn parameters(&self) -> Vec<(String, Variable)> {
                self.parameters.named()
            }
            fn buffers(&self) -> Vec<(String, Variable)> {
                self.buffers.named()
            }
            fn prefix(&mut self, prefix: &str) {
                self.parameters.prefix(prefix);
                self.buffers.prefix(prefix);
            }
        }
    };
}
batch_norm_layer! {
    /// Normalises each channel of `[n, c]` or `[n, c, l]` over the batch: `torch.nn.BatchNorm1d`. Weight and bias are
    /// `[c]`.
    BatchNorm1d "BatchNorm1d" 2 | 3, "[n, c] or [n, c, l]"
}
batch_norm_layer! {
    /// Normalises each channel of `[n, c, h, w]` over the batch: `torch.nn.BatchNorm2d`. Weight and bias are `[c]`.
    BatchNorm2d "BatchNorm2d" 4, "[n, c, h, w]"
}

/// Normalises each sample over the last axes, those of `normalized_shape`: `torch.nn.LayerNorm`. Weight and bias have
/// that shape.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    parameters: Parameters,
    shape: Shape,
    eps: f64,
}

impl LayerNorm {
    /// A layer with PyTorch's defaults: `eps` 1e-5, weight and bias.
    pub fn new(normalized_shape: impl Into<Shape>) -> Self {
        let shape = normalized_shape.into();
        LayerNorm { parameters: affine_parameters(&shape, &["weight", "bias"]), shape, eps: 1e-5 }
    }
    /// Sets `eps`, which is added to the variance.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }
    /// Removes the bias.
    pub fn without_bias(mut self) -> Self {
        self.parameters.set("bias", None);
        self
    }
    /// Removes weight and bias.
    pub fn without_affine(mut self) -> Self {
        self.parameters = Parameters::default();
        self
    }
}

impl Module for LayerNorm {
    fn name(&self) -> &'static str {
        "LayerNorm"
    }
    #[track_caller]
    fn forward<'g>(&self, x: Tensor<'g>, _: Mode) -> Tensor<'g> {
        let [weight, bias] = both(&self.parameters, x.graph());
        functional::layer_norm(x, &self.shape, weight, bias, self.eps)
    }
    position_wise!(|layer| layer.shape.rank() == 1);
    has_parameters!();
}

/// Normalises each sample over groups of the channels of `[n, c, …]`: `torch.nn.GroupNorm`. Weight and bias are
/// `[c]`.
#[derive(Debug, Clone)]
pub struct GroupNorm {
    parameters: Parameters,
    num_groups: usize,
    eps: f64,
}

impl GroupNorm {
    /// A layer with PyTorch's defaults: `eps` 1e-5, weight and bias. `num_groups` must divide `num_channels`;
    /// otherwise the forward pass records an error.
    pub fn new(num_groups: usize, num_channels: usize) -> Self {
        let parameters = affine_parameters(&[num_channels].into(), &["weight", "bias"]);
        GroupNorm { parameters, num_groups, eps: 1e-5 }
    }
    /// Sets `eps`, which is added to the variance.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }
    /// Removes weight and bias.
    pub fn without_affine(mut self) -> Self {
        self.parameters = Parameters::default();
        self
    }
}

impl Module for GroupNorm {
    fn name(&self) -> &'static str {
        "GroupNorm"
    }
    #[track_caller]
    fn forward<'g>(&self, x: Tensor<'g>, _: Mode) -> Tensor<'g> {
        let [weight, bias] = both(&self.parameters, x.graph());
        functional::group_norm(x, self.num_groups, weight, bias, self.eps)
    }
    has_parameters!();
}

/// Divides by the root mean square over the last axes, those of `normalized_shape`: `torch.nn.RMSNorm`. The weight
/// has that shape.
#[derive(Debug, Clone)]
pub struct RmsNorm {
    parameters: Parameters,
    shape: Shape,
    eps: Option<f64>,
}

impl RmsNorm {
    /// A layer with PyTorch's defaults: the dtype's epsilon as `eps`, and a weight.
    pub fn new(normalized_shape: impl Into<Shape>) -> Self {
        let shape = normalized_shape.into();
        RmsNorm { parameters: affine_parameters(&shape, &["weight"]), shape, eps: None }
    }
    /// Sets `eps`, which is added to the mean of the squares.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = Some(eps);
        self
    }
    /// Removes the weight.
    pub fn without_affine(mut self) -> Self {
        self.parameters = Parameters::default();
        self
    }
}

impl Module for RmsNorm {
    fn name(&self) -> &'static str {
        "RMSNorm"
    }
    #[track_caller]
    fn forward<'g>(&self, x: Tensor<'g>, _: Mode) -> Tensor<'g> {
        functional::rms_norm(x, &self.shape, self.parameters.optional(x.graph(), "weight"), self.eps)
    }
    position_wise!(|layer| layer.shape.rank() == 1);
    has_parameters!();
}
