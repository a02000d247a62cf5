//! Normalisation.

use super::functional::{self, BatchNormOptions};
use super::parameters::{Parameters, has_parameters};
use super::{Generator, Initializer, Mode, Module};
use crate::graph::Graph;
use crate::shape::Shape;
use crate::tensor::Tensor;
use crate::variable::Variable;

/// Ones for a weight, zeros for a bias; constants take nothing from a generator.
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
    // Not by `map`: a closure would hide the caller's line.
    [parameters.optional(graph, "weight"), parameters.optional(graph, "bias")]
}

macro_rules! batch_norm_layer {
    ($(#[$doc:meta])* $name:ident $text:literal $ranks:pat, $shapes:literal) => {
        $(#[$doc])*
        ///
        /// In training a batch is normalised by its own mean and variance, and the buffers `running_mean` and `running_var`
        /// move towards them by `momentum`: the forward pass adds their updates to the graph, so that a graph can hold one
        /// training pass of a layer. In use the running statistics take their place.
        #[derive(Debug, Clone)]
        pub struct $name {
            parameters: Parameters,
            buffers: Parameters,
            momentum: f64,
            eps: f64,
        }

        impl $name {
            /// A layer for so many channels with PyTorch's settings: momentum 0.1, `eps` 1e-5, weight and bias.
            pub fn new(num_features: usize) -> Self {
                let shape = Shape::from([num_features]);
                let buffers = affine_parameters(&shape, &["running_mean", "running_var"]);
                let parameters = affine_parameters(&shape, &["weight", "bias"]);
                $name { parameters, buffers, momentum: 0.1, eps: 1e-5 }
            }
            /// The same layer with another momentum.
            pub fn momentum(mut self, momentum: f64) -> Self {
                self.momentum = momentum;
                self
            }
            /// The same layer with another `eps`, which is added to the variance.
            pub fn eps(mut self, eps: f64) -> Self {
                self.eps = eps;
                self
            }
            /// The same layer without weight and bias.
            pub fn without_affine(mut self) -> Self {
                self.parameters = Parameters::default();
                self
            }
            /// The same layer without running statistics: a batch's own are used always.
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
                    return graph.fail($text, format!("takes {}, but is given {}", $shapes, x.shape()));
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
    /// Each channel of `[n, c]` or `[n, c, l]` normalised over the batch; weight and bias `[c]`: `torch.nn.BatchNorm1d`.
    BatchNorm1d "BatchNorm1d" 2 | 3, "[n, c] or [n, c, l]"
}
batch_norm_layer! {
    /// Each channel of `[n, c, h, w]` normalised over the batch; weight and bias `[c]`: `torch.nn.BatchNorm2d`.
    BatchNorm2d "BatchNorm2d" 4, "[n, c, h, w]"
}

/// The last axes, of shape `normalized_shape`, normalised sample by sample; weight and bias of that shape:
/// `torch.nn.LayerNorm`.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    parameters: Parameters,
    shape: Shape,
    eps: f64,
}

impl LayerNorm {
    /// A layer with PyTorch's settings: `eps` 1e-5, weight and bias.
    pub fn new(normalized_shape: impl Into<Shape>) -> Self {
        let shape = normalized_shape.into();
        LayerNorm { parameters: affine_parameters(&shape, &["weight", "bias"]), shape, eps: 1e-5 }
    }
    /// The same layer with another `eps`, which is added to the variance.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }
    /// The same layer without a bias.
    pub fn without_bias(mut self) -> Self {
        self.parameters.set("bias", None);
        self
    }
    /// The same layer without weight and bias.
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
    has_parameters!();
}

/// As [`LayerNorm`] over groups of the channels of `[n, c, …]`; weight and bias `[c]`: `torch.nn.GroupNorm`.
#[derive(Debug, Clone)]
pub struct GroupNorm {
    parameters: Parameters,
    num_groups: usize,
    eps: f64,
}

impl GroupNorm {
    /// A layer with PyTorch's settings: `eps` 1e-5, weight and bias. `num_groups` must divide `num_channels`; the forward
    /// pass reports it if not.
    pub fn new(num_groups: usize, num_channels: usize) -> Self {
        let parameters = affine_parameters(&[num_channels].into(), &["weight", "bias"]);
        GroupNorm { parameters, num_groups, eps: 1e-5 }
    }
    /// The same layer with another `eps`, which is added to the variance.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }
    /// The same layer without weight and bias.
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

/// The last axes, of shape `normalized_shape`, divided by their root mean square; weight of that shape: `torch.nn.RMSNorm`.
#[derive(Debug, Clone)]
pub struct RmsNorm {
    parameters: Parameters,
    shape: Shape,
    eps: Option<f64>,
}

impl RmsNorm {
    /// A layer with PyTorch's settings: the dtype's epsilon, and a weight.
    pub fn new(normalized_shape: impl Into<Shape>) -> Self {
        let shape = normalized_shape.into();
        RmsNorm { parameters: affine_parameters(&shape, &["weight"]), shape, eps: None }
    }
    /// The same layer with this `eps`, which is added to the mean of the squares.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = Some(eps);
        self
    }
    /// The same layer without a weight.
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
    has_parameters!();
}
