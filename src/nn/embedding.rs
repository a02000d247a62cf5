//! Embedding tables.

use super::decoding::{Decoding, position_wise};
use super::parameters::{Parameters, has_parameters};
use super::{Generator, Initializer, Mode, Module, functional};
use crate::array::Array;
use crate::dtype::DType;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// Looks up rows of a table, `[…]` of integers to `[…, dim]`: `torch.nn.Embedding`. The weight is `[num_embeddings,
/// dim]`. Whole numbers stored as floats, as in data files, are accepted too.
#[derive(Debug, Clone)]
pub struct Embedding {
    parameters: Parameters,
    padding_idx: Option<usize>,
}

impl Embedding {
    /// A table initialised with standard normal random numbers.
    pub fn new(num_embeddings: usize, embedding_dim: usize, rng: &mut Generator) -> Self {
        Embedding::with_init(num_embeddings, embedding_dim, Initializer::Normal(0.0, 1.0), rng)
    }
    /// A table with the given initialiser.
    pub fn with_init(num_embeddings: usize, embedding_dim: usize, weight: Initializer, rng: &mut Generator) -> Self {
        let shape = Shape::from([num_embeddings, embedding_dim]);
        Embedding { parameters: Parameters::affine(&shape, 0, weight, None, rng), padding_idx: None }
    }
    /// Sets row `index` to zeros; it gets no gradient.
    pub fn padding_idx(mut self, index: usize) -> Self {
        self.padding_idx = Some(index);
        let start = self.parameters.first().initial().clone();
        let (shape, mut data) = (start.shape().clone(), start.to_f64());
        if let ([rows, dim], true) = (&shape[..], shape.rank() == 2)
            && index < *rows
        {
            data[index * dim..][..*dim].fill(0.0);
            // The shape is unchanged, so this cannot fail.
            self.parameters.set("weight", Array::from_f64(shape, &data, DType::F32).ok());
        }
        self
    }
}

impl Module for Embedding {
    fn name(&self) -> &'static str {
        "Embedding"
    }
    #[track_caller]
    fn forward<'g>(&self, x: Tensor<'g>, _: Mode) -> Tensor<'g> {
        let indices = if x.dtype().is_float() { x.cast(DType::I32) } else { x };
        functional::embedding(indices, self.parameters.value(x.graph(), "weight"), self.padding_idx)
    }
    position_wise!();
    has_parameters!();
}

/// Adds a learned vector for each position: `[n, l, dim]` plus the first `l` rows of the weight `[num_positions, dim]`, as
/// GPT-2's `wpe`.
#[derive(Debug, Clone)]
pub struct PositionalEmbedding {
    parameters: Parameters,
}

impl PositionalEmbedding {
    /// A table for sequences of at most `num_positions`, with the given initialiser (GPT-2's is normal with deviation 0.02).
    pub fn new(num_positions: usize, embedding_dim: usize, weight: Initializer, rng: &mut Generator) -> Self {
        let shape = Shape::from([num_positions, embedding_dim]);
        PositionalEmbedding { parameters: Parameters::affine(&shape, 0, weight, None, rng) }
    }
}

impl Module for PositionalEmbedding {
    fn name(&self) -> &'static str {
        "PositionalEmbedding"
    }
    #[track_caller]
    fn forward<'g>(&self, x: Tensor<'g>, _: Mode) -> Tensor<'g> {
        let weight = self.parameters.value(x.graph(), "weight");
        let (given, table) = (x.shape(), weight.shape());
        if x.is_poisoned() || weight.is_poisoned() {
            return if x.is_poisoned() { x } else { weight };
        }
        if given.rank() != 3 || given[2] != table[1] || given[1] > table[0] {
            let message =
                format!("takes [n, l, {}] with l up to {}, but its input has shape {given}", table[1], table[0]);
            return x.graph().fail(self.name(), message);
        }
        x + weight.slice(0, 0..given[1])
    }
    fn can_decode(&self) -> bool {
        true
    }
    #[track_caller]
    fn decode<'g>(&self, x: Tensor<'g>, cx: &Decoding<'g>) -> Tensor<'g> {
        x + self.parameters.value(x.graph(), "weight").index_select(0, cx.position().reshape([1]))
    }
    has_parameters!();
}
