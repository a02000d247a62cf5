//! Layers that contain layers.

use super::{Decoding, Mode, Module};
use crate::tensor::Tensor;
use crate::variable::Variable;

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

/// A sequence of layers: `torch.nn.Sequential`. Parameter `weight` of layer 2 is named `2.weight`.
#[derive(Debug, Default)]
pub struct Sequential {
    layers: Vec<Box<dyn Module>>,
}

impl Sequential {
    /// An empty sequence: the identity.
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
    fn named(&self, of: impl Fn(&dyn Module) -> Vec<(String, Variable)>) -> Vec<(String, Variable)> {
        let layers = self.layers.iter().enumerate();
        layers
            .flat_map(|(index, layer)| {
                of(layer.as_ref()).into_iter().map(move |(name, v)| (format!("{index}.{name}"), v))
            })
            .collect()
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
        self.named(|layer| layer.parameters())
    }
    fn buffers(&self) -> Vec<(String, Variable)> {
        self.named(|layer| layer.buffers())
    }
    fn can_decode(&self) -> bool {
        self.layers.iter().all(|layer| layer.can_decode())
    }
    #[track_caller]
    fn decode<'g>(&self, x: Tensor<'g>, cx: &Decoding<'g>) -> Tensor<'g> {
        let mut y = x;
        for (index, layer) in self.layers.iter().enumerate() {
            y = x.graph().scope(format!("layer {index} ({})", layer.name()), || layer.decode(y, cx));
        }
        y
    }
    fn prefix(&mut self, prefix: &str) {
        for layer in &mut self.layers {
            layer.prefix(prefix);
        }
    }
}

/// Residual connection, `x + inner(x)` (He et al. 2016). The inner layers must keep the input's shape.
///
/// ```
/// use wgrad::nn::{Generator, LayerNorm, MultiheadAttention, Residual, Sequential};
/// let mut rng = Generator::new(1);
/// let attend = Sequential::new().push(LayerNorm::new(32)).push(MultiheadAttention::new(32, 4, &mut rng).causal());
/// let block = Residual::new(attend);
/// # let _ = block;
/// ```
#[derive(Debug)]
pub struct Residual {
    inner: Box<dyn Module>,
}

impl Residual {
    /// A residual connection around `inner`.
    pub fn new(inner: impl Module + 'static) -> Self {
        Residual { inner: Box::new(inner) }
    }

    #[track_caller]
    fn added<'g>(&self, x: Tensor<'g>, y: Tensor<'g>) -> Tensor<'g> {
        if !x.is_poisoned() && !y.is_poisoned() && x.shape() != y.shape() {
            let message = format!(
                "its layers return shape {} for an input of shape {}, but must keep the shape",
                y.shape(),
                x.shape()
            );
            return x.graph().fail("Residual", message);
        }
        x + y
    }
}

impl Module for Residual {
    fn name(&self) -> &'static str {
        "Residual"
    }
    #[track_caller]
    fn forward<'g>(&self, x: Tensor<'g>, mode: Mode) -> Tensor<'g> {
        self.added(x, self.inner.forward(x, mode))
    }
    fn can_decode(&self) -> bool {
        self.inner.can_decode()
    }
    #[track_caller]
    fn decode<'g>(&self, x: Tensor<'g>, cx: &Decoding<'g>) -> Tensor<'g> {
        self.added(x, self.inner.decode(x, cx))
    }
    fn parameters(&self) -> Vec<(String, Variable)> {
        self.inner.parameters()
    }
    fn buffers(&self) -> Vec<(String, Variable)> {
        self.inner.buffers()
    }
    fn prefix(&mut self, prefix: &str) {
        self.inner.prefix(prefix);
    }
}
