//! The layers.

use super::{Generator, Initializer, Mode, Module};
use crate::array::Array;
use crate::ops::conv::ConvOptions;
use crate::shape::Shape;
use crate::tensor::Tensor;
use crate::variable::Variable;

/// The weight and bias that linear and convolution layers have.
#[derive(Debug, Clone)]
struct Affine {
    weight: Variable,
    bias: Option<Variable>,
}

impl Affine {
    /// Draws the weight, then the bias, as PyTorch does.
    fn new(shape: &Shape, weight: Initializer, bias: Option<Initializer>, rng: &mut Generator) -> Self {
        Affine {
            weight: Variable::new("weight", weight.draw(shape, shape, rng)),
            bias: bias.map(|bias| Variable::new("bias", bias.draw(shape[0], shape, rng))),
        }
    }
    fn parameters(&self) -> Vec<(String, Variable)> {
        let weight = ("weight".to_string(), self.weight.clone());
        std::iter::once(weight).chain(self.bias.clone().map(|b| ("bias".to_string(), b))).collect()
    }
    fn prefix(&mut self, prefix: &str) {
        for variable in std::iter::once(&mut self.weight).chain(self.bias.as_mut()) {
            *variable = variable.renamed(format!("{prefix}.{}", variable.name()));
        }
    }
}

macro_rules! affine_layer {
    ($name:ident) => {
        impl $name {
            /// The same layer without a bias.
            pub fn without_bias(mut self) -> Self {
                self.affine.bias = None;
                self
            }
            /// Starts from given values. Their shapes are the layer's to keep: a mismatch shows as a shape error in
            /// the forward pass.
            pub fn with_values(mut self, weight: Array, bias: Option<Array>) -> Self {
                self.affine.weight = Variable::new("weight", weight);
                self.affine.bias = bias.map(|b| Variable::new("bias", b));
                self
            }
            /// The weight.
            pub fn weight(&self) -> &Variable {
                &self.affine.weight
            }
            /// The bias.
            pub fn bias(&self) -> Option<&Variable> {
                self.affine.bias.as_ref()
            }
        }
    };
}

/// `y = x·Wᵀ + b`, `[…, in] → […, out]`; weight `[out, in]`, bias `[out]`: `torch.nn.Linear`.
#[derive(Debug, Clone)]
pub struct Linear {
    affine: Affine,
}
affine_layer!(Linear);

impl Linear {
    /// A layer with PyTorch's default initialisation.
    pub fn new(in_features: usize, out_features: usize, rng: &mut Generator) -> Self {
        Linear::with_init(in_features, out_features, Initializer::Default, Some(Initializer::Default), rng)
    }
    /// A layer with these initialisers; without a bias if that is `None`.
    pub fn with_init(
        in_features: usize,
        out_features: usize,
        weight: Initializer,
        bias: Option<Initializer>,
        rng: &mut Generator,
    ) -> Self {
        Linear { affine: Affine::new(&[out_features, in_features].into(), weight, bias, rng) }
    }
}

impl Module for Linear {
    fn name(&self) -> &'static str {
        "Linear"
    }
    #[track_caller]
    fn forward<'g>(&self, x: Tensor<'g>, _: Mode) -> Tensor<'g> {
        let y = x.matmul(x.graph().variable(&self.affine.weight).t());
        match &self.affine.bias {
            Some(bias) => y + x.graph().variable(bias),
            None => y,
        }
    }
    fn parameters(&self) -> Vec<(String, Variable)> {
        self.affine.parameters()
    }
    fn prefix(&mut self, prefix: &str) {
        self.affine.prefix(prefix);
    }
}

macro_rules! conv_layer {
    ($(#[$doc:meta])* $name:ident $text:literal $rank:literal $kernel:ty, |$k:ident| $sizes:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name {
            affine: Affine,
            options: ConvOptions,
        }
        affine_layer!($name);

        impl $name {
            /// A layer with PyTorch's default initialisation. `in_channels` and `out_channels` must be multiples of
            /// the options' groups; the forward pass reports it if not.
            pub fn new(
                in_channels: usize,
                out_channels: usize,
                kernel_size: $kernel,
                options: ConvOptions,
                rng: &mut Generator,
            ) -> Self {
                let default = Initializer::Default;
                $name::with_init(in_channels, out_channels, kernel_size, options, default, Some(default), rng)
            }
            /// A layer with these initialisers; without a bias if that is `None`.
            pub fn with_init(
                in_channels: usize,
                out_channels: usize,
                kernel_size: $kernel,
                options: ConvOptions,
                weight: Initializer,
                bias: Option<Initializer>,
                rng: &mut Generator,
            ) -> Self {
                let $k = kernel_size;
                let sizes: [usize; $rank] = $sizes;
                let shape = [&[out_channels, in_channels / options.groups.max(1)], &sizes[..]].concat();
                $name { affine: Affine::new(&shape.into(), weight, bias, rng), options }
            }
        }

        impl Module for $name {
            fn name(&self) -> &'static str {
                $text
            }
            #[track_caller]
            fn forward<'g>(&self, x: Tensor<'g>, _: Mode) -> Tensor<'g> {
                let y = x.conv(x.graph().variable(&self.affine.weight), &self.options);
                match &self.affine.bias {
                    Some(bias) => {
                        let channels = bias.tensor_type().shape.elements();
                        let mut shape = vec![1; $rank + 1];
                        shape[0] = channels;
                        y + x.graph().variable(bias).reshape(shape)
                    }
                    None => y,
                }
            }
            fn parameters(&self) -> Vec<(String, Variable)> {
                self.affine.parameters()
            }
            fn prefix(&mut self, prefix: &str) {
                self.affine.prefix(prefix);
            }
        }
    };
}

conv_layer! {
    /// `[n, in, l] → [n, out, l']`; weight `[out, in/groups, k]`, bias `[out]`: `torch.nn.Conv1d`.
    Conv1d "Conv1d" 1 usize, |k| [k]
}
conv_layer! {
    /// `[n, in, h, w] → [n, out, h', w']`; weight `[out, in/groups, kh, kw]`, bias `[out]`: `torch.nn.Conv2d`.
    Conv2d "Conv2d" 2 [usize; 2], |k| k
}

/// Sets each element to 0 with probability `p` in training and scales the others by `1/(1−p)`: `torch.nn.Dropout`.
/// The mask comes from the graph's counter-based random numbers, so it is the same on every device.
#[derive(Debug, Clone, Copy)]
pub struct Dropout {
    p: f64,
}

impl Dropout {
    /// A layer that drops with probability `p` in `[0, 1]`; the forward pass reports any other.
    pub fn new(p: f64) -> Self {
        Dropout { p }
    }
}

impl Module for Dropout {
    fn name(&self) -> &'static str {
        "Dropout"
    }
    #[track_caller]
    fn forward<'g>(&self, x: Tensor<'g>, mode: Mode) -> Tensor<'g> {
        if mode == Mode::Eval || self.p == 0.0 {
            return x;
        }
        let keep = x.graph().random_bernoulli(1.0 - self.p, x.shape());
        let scale = if self.p < 1.0 { 1.0 / (1.0 - self.p) } else { 0.0 };
        keep.select(x * scale, 0.0)
    }
}

/// `[n, …] → [n, Π…]`: `torch.nn.Flatten`.
#[derive(Debug, Clone, Copy)]
pub struct Flatten;

impl Module for Flatten {
    fn name(&self) -> &'static str {
        "Flatten"
    }
    #[track_caller]
    fn forward<'g>(&self, x: Tensor<'g>, _: Mode) -> Tensor<'g> {
        x.flatten(1)
    }
}

macro_rules! activation {
    ($($(#[$doc:meta])* $name:ident $text:literal |$x:ident| $y:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub struct $name;

        impl Module for $name {
            fn name(&self) -> &'static str {
                $text
            }
            #[track_caller]
            fn forward<'g>(&self, $x: Tensor<'g>, _: Mode) -> Tensor<'g> {
                $y
            }
        }
    )*};
}
activation! {
    /// `max(x, 0)`.
    Relu "ReLU" |x| x.relu();
    /// Hyperbolic tangent.
    Tanh "Tanh" |x| x.tanh();
    /// `1/(1+e⁻ˣ)`.
    Sigmoid "Sigmoid" |x| x.sigmoid();
    /// Softmax over the last axis.
    Softmax "Softmax" |x| x.softmax(-1);
}
