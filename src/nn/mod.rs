//! Layers, losses and initialisers, with PyTorch's names and semantics.
//!
//! A layer owns its parameters as [`Variable`]s and adds its forward pass to a graph; [`Tensor::grad`] adds the
//! gradients.
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

mod activation;
mod attention;
mod container;
mod conv;
mod decoding;
mod dropout;
mod embedding;
pub mod functional;
pub mod init;
mod linear;
pub mod loss;
mod norm;
mod parameters;
mod pool;
mod recurrent;

pub use activation::{
    Elu, Gelu, Glu, Hardsigmoid, Hardswish, Hardtanh, LeakyRelu, LogSigmoid, LogSoftmax, Mish, Prelu, Relu, Relu6,
    Selu, Sigmoid, Silu, Softmax, Softplus, Softsign, Tanh,
};
pub use attention::MultiheadAttention;
pub use container::{Flatten, Residual, Sequential};
pub use conv::{Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d};
pub use decoding::Decoding;
pub use dropout::Dropout;
pub use embedding::{Embedding, PositionalEmbedding};
pub use init::{Generator, Initializer};
pub use linear::Linear;
pub use norm::{BatchNorm1d, BatchNorm2d, GroupNorm, LayerNorm, RmsNorm};
pub use pool::{AdaptiveAvgPool1d, AdaptiveAvgPool2d, AvgPool1d, AvgPool2d, MaxPool1d, MaxPool2d};
pub use recurrent::{Gru, Lstm, RecurrentOptions, Rnn};

use crate::tensor::Tensor;
use crate::variable::Variable;

/// Whether layers such as dropout run in training mode or in evaluation mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Training mode: `module.train()`.
    Train,
    /// Evaluation mode: `module.eval()`.
    Eval,
}

/// A layer or network: parameters and a forward pass.
pub trait Module: std::fmt::Debug {
    /// The layer's name, as in `torch.nn`.
    fn name(&self) -> &'static str;

    /// Adds the forward pass to the graph of `x` and returns the output.
    fn forward<'g>(&self, x: Tensor<'g>, mode: Mode) -> Tensor<'g>;

    /// The parameters, named as in PyTorch's `state_dict`.
    fn parameters(&self) -> Vec<(String, Variable)> {
        Vec::new()
    }

    /// State that is not trained, such as running statistics. Named as in `state_dict`.
    fn buffers(&self) -> Vec<(String, Variable)> {
        Vec::new()
    }

    /// Parameters and buffers: what a checkpoint saves.
    fn state_dict(&self) -> Vec<(String, Variable)> {
        let mut all = self.parameters();
        all.extend(self.buffers());
        all
    }

    /// Puts `prefix.` before the names of the parameters' and buffers' variables. Messages and plans show these
    /// names.
    fn prefix(&mut self, prefix: &str) {
        let _ = prefix;
    }

    /// Whether the layer can be evaluated one position at a time: see [`Module::decode`].
    fn can_decode(&self) -> bool {
        false
    }

    /// Adds the forward pass, in evaluation mode, for one position of sequences whose earlier positions were evaluated
    /// before: `[n, 1, …]` of what [`Module::forward`] takes as `[n, l, …]`. What later positions need is kept in
    /// variables. A layer that treats each position alike does here what `forward` does; one that mixes positions
    /// otherwise than causal attention records an error.
    fn decode<'g>(&self, x: Tensor<'g>, _: &Decoding<'g>) -> Tensor<'g> {
        x.graph().fail(self.name(), "mixes positions, so it cannot be evaluated one position at a time")
    }
}
