//! Activation functions as layers.

use super::decoding::position_wise;
use super::parameters::{Parameters, has_parameters};
use super::{Generator, Initializer, Mode, Module};
use crate::shape::Shape;
use crate::tensor::Tensor;

macro_rules! activation {
    ($($(#[$doc:meta])* $name:ident $text:literal |$x:ident| $y:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default)]
        pub struct $name;

        impl Module for $name {
            fn name(&self) -> &'static str {
                $text
            }
            #[track_caller]
            fn forward<'g>(&self, $x: Tensor<'g>, _: Mode) -> Tensor<'g> {
                $y
            }
            position_wise!();
        }
    )*};
}
activation! {
    /// `max(x, 0)`.
    Relu "ReLU" |x| x.relu();
    /// `x` clamped to `[0, 6]`.
    Relu6 "ReLU6" |x| x.relu6();
    /// Hyperbolic tangent.
    Tanh "Tanh" |x| x.tanh();
    /// `1/(1+e⁻ˣ)`.
    Sigmoid "Sigmoid" |x| x.sigmoid();
    /// `log(1/(1+e⁻ˣ))`.
    LogSigmoid "LogSigmoid" |x| x.log_sigmoid();
    /// `x·sigmoid(x)`.
    Silu "SiLU" |x| x.silu();
    /// `x·tanh(softplus(x))`.
    Mish "Mish" |x| x.mish();
    /// The self-normalising exponential unit.
    Selu "SELU" |x| x.selu();
    /// `x/6 + 1/2` clamped to `[0, 1]`.
    Hardsigmoid "Hardsigmoid" |x| x.hardsigmoid();
    /// `x·hardsigmoid(x)`.
    Hardswish "Hardswish" |x| x.hardswish();
    /// `x/(1 + |x|)`.
    Softsign "Softsign" |x| x.softsign();
    /// Softmax over the last axis.
    Softmax "Softmax" |x| x.softmax(-1);
    /// The logarithm of softmax over the last axis.
    LogSoftmax "LogSoftmax" |x| x.log_softmax(-1);
}

macro_rules! activation_with_settings {
    ($($(#[$doc:meta])* $name:ident $text:literal {
        $($(#[$field_doc:meta])* $field:ident: $type:ty = $default:expr),*
    } |$self:ident, $x:ident| $y:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type),*
        }

        impl Default for $name {
            fn default() -> Self {
                $name { $($field: $default),* }
            }
        }

        impl Module for $name {
            fn name(&self) -> &'static str {
                $text
            }
            #[track_caller]
            fn forward<'g>(&$self, $x: Tensor<'g>, _: Mode) -> Tensor<'g> {
                $y
            }
            position_wise!();
        }
    )*};
}
activation_with_settings! {
    /// `x` where positive, otherwise `negative_slope·x`.
    LeakyRelu "LeakyReLU" {
        /// The slope for negative numbers.
        negative_slope: f64 = 0.01
    } |self, x| x.leaky_relu(self.negative_slope);
    /// `x` where positive, otherwise `alpha·(eˣ − 1)`.
    Elu "ELU" {
        /// The negative of its limit as `x → −∞`.
        alpha: f64 = 1.0
    } |self, x| x.elu(self.alpha);
    /// `x·Φ(x)` with the standard normal distribution function `Φ`.
    Gelu "GELU" {
        /// Whether `Φ` is approximated by a hyperbolic tangent: `approximate="tanh"`.
        tanh: bool = false
    } |self, x| if self.tanh { x.gelu_tanh() } else { x.gelu() };
    /// `log(1 + e^(beta·x))/beta`, and `x` itself where `beta·x` is above the threshold.
    Softplus "Softplus" {
        /// The scale.
        beta: f64 = 1.0,
        /// Above this it is the identity.
        threshold: f64 = 20.0
    } |self, x| x.softplus(self.beta, self.threshold);
    /// `x` clamped to `[min_val, max_val]`.
    Hardtanh "Hardtanh" {
        /// The lower bound.
        min_val: f64 = -1.0,
        /// The upper bound.
        max_val: f64 = 1.0
    } |self, x| x.hardtanh(self.min_val, self.max_val);
    /// The first half of an axis times the sigmoid of the second half.
    Glu "GLU" {
        /// The axis.
        dim: isize = -1
    } |self, x| x.glu(self.dim);
}

/// `x` where positive, otherwise `weight·x`: `torch.nn.PReLU`. The weight is `[1]`, or `[channels]` for one per
/// channel (axis 1).
#[derive(Debug, Clone)]
pub struct Prelu {
    parameters: Parameters,
}

impl Prelu {
    /// A layer with one slope for all channels or one for each, initialised to `init` (PyTorch's default is 0.25).
    pub fn new(num_parameters: usize, init: f64) -> Self {
        let shape = Shape::from([num_parameters]);
        let mut parameters = Parameters::default();
        // A constant draws nothing from the generator.
        parameters.draw("weight", &shape, &shape, Initializer::Constant(init), &mut Generator::new(0));
        Prelu { parameters }
    }
}

impl Module for Prelu {
    fn name(&self) -> &'static str {
        "PReLU"
    }
    #[track_caller]
    fn forward<'g>(&self, x: Tensor<'g>, _: Mode) -> Tensor<'g> {
        x.prelu(self.parameters.value(x.graph(), "weight"))
    }
    has_parameters!();
}
