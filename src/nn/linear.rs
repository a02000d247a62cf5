//! Linear layers.

use super::decoding::position_wise;
use super::parameters::{Parameters, affine_layer, has_parameters};
use super::{Generator, Initializer, Mode, Module};
use crate::tensor::Tensor;

/// `y = x·Wᵀ + b`, `[…, in] → […, out]`: `torch.nn.Linear`. The weight is `[out, in]`, the bias `[out]`.
#[derive(Debug, Clone)]
pub struct Linear {
    parameters: Parameters,
}
affine_layer!(Linear);

impl Linear {
    /// A layer with PyTorch's default initialisation.
    pub fn new(in_features: usize, out_features: usize, rng: &mut Generator) -> Self {
        Linear::with_init(in_features, out_features, Initializer::Default, Some(Initializer::Default), rng)
    }
    /// A layer with the given initialisers; without a bias if `bias` is `None`.
    pub fn with_init(
        in_features: usize,
        out_features: usize,
        weight: Initializer,
        bias: Option<Initializer>,
        rng: &mut Generator,
    ) -> Self {
        Linear { parameters: Parameters::affine(&[out_features, in_features].into(), out_features, weight, bias, rng) }
    }
}

impl Module for Linear {
    fn name(&self) -> &'static str {
        "Linear"
    }
    #[track_caller]
    fn forward<'g>(&self, x: Tensor<'g>, _: Mode) -> Tensor<'g> {
        let y = x.matmul(self.parameters.value(x.graph(), "weight").t());
        self.parameters.optional(x.graph(), "bias").map_or(y, |bias| y + bias)
    }
    position_wise!();
    has_parameters!();
}
