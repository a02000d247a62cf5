//! Layers, losses and initialisers, with PyTorch's names and semantics.
//!
//! A layer owns its parameters as [`Variable`]s and adds its forward pass to a graph; gradients come from
//! [`Tensor::grad`].
//!
//! ```
//! use wgrad::nn::{Conv1d, Flatten, Generator, Linear, Mode, Module, Relu, Sequential};
//! use wgrad::{DType, Graph};
//! let mut rng = Generator::new(1);
//! let model = Sequential::new()
//!     .push(Conv1d::new(1, 15, 3, wgrad::ConvOptions::new().stride(2), &mut rng))
//!     .push(Relu)
//!     .push(Flatten)
//!     .push(Linear::new(285, 10, &mut rng));
//! let names: Vec<String> = model.parameters().into_iter().map(|(name, _)| name).collect();
//! assert_eq!(names, ["0.weight", "0.bias", "3.weight", "3.bias"]);
//! let g = Graph::new();
//! let y = model.forward(g.input("x", [100, 1, 40], DType::F32), Mode::Eval);
//! assert_eq!(*y.shape(), [100, 10]);
//! ```

pub mod functional;
pub mod init;
mod layers;
pub mod loss;

pub use init::{Generator, Initializer};
pub use layers::{Conv1d, Conv2d, Dropout, Flatten, Linear, Relu, Sigmoid, Softmax, Tanh};

use crate::tensor::Tensor;
use crate::variable::Variable;

/// Whether layers such as dropout act as in training or as in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Training.
    Train,
    /// Evaluation.
    Eval,
}

/// A layer: parameters and a forward pass.
pub trait Module: std::fmt::Debug {
    /// The layer's name, as in `torch.nn`.
    fn name(&self) -> &'static str;

    /// Adds the forward pass to `x`'s graph.
    fn forward<'g>(&self, x: Tensor<'g>, mode: Mode) -> Tensor<'g>;

    /// The parameters, named as PyTorch's `state_dict` names them.
    fn parameters(&self) -> Vec<(String, Variable)> {
        Vec::new()
    }

    /// Puts `prefix.` before the names of the parameters' variables, which messages and plans show.
    fn prefix(&mut self, prefix: &str) {
        let _ = prefix;
    }
}

/// Layers one after another: `torch.nn.Sequential`. Parameter `weight` of layer 2 is named `2.weight`.
#[derive(Debug, Default)]
pub struct Sequential {
    layers: Vec<Box<dyn Module>>,
}

impl Sequential {
    /// No layers: the identity.
    pub fn new() -> Self {
        Sequential::default()
    }
    /// Appends a layer.
    pub fn push(self, layer: impl Module + 'static) -> Self {
        self.push_boxed(Box::new(layer))
    }
    /// Appends a boxed layer.
    pub fn push_boxed(mut self, mut layer: Box<dyn Module>) -> Self {
        layer.prefix(&self.layers.len().to_string());
        self.layers.push(layer);
        self
    }
    /// The layers.
    pub fn layers(&self) -> &[Box<dyn Module>] {
        &self.layers
    }
}

impl Module for Sequential {
    fn name(&self) -> &'static str {
        "Sequential"
    }
    #[track_caller]
    fn forward<'g>(&self, x: Tensor<'g>, mode: Mode) -> Tensor<'g> {
        let mut y = x;
        for (index, layer) in self.layers.iter().enumerate() {
            y = x.graph().scope(format!("layer {index} ({})", layer.name()), || layer.forward(y, mode));
        }
        y
    }
    fn parameters(&self) -> Vec<(String, Variable)> {
        let mut all = Vec::new();
        for (index, layer) in self.layers.iter().enumerate() {
            all.extend(layer.parameters().into_iter().map(|(name, v)| (format!("{index}.{name}"), v)));
        }
        all
    }
    fn prefix(&mut self, prefix: &str) {
        for layer in &mut self.layers {
            layer.prefix(prefix);
        }
    }
}
