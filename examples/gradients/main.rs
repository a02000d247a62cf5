//! Gradients I, II and III: the chain rule, backpropagation, and the sizes of activations and gradients in deep networks.
//!
//! ```text
//! $ cargo run --release --example gradients -- --device cpu
//! ```
//!
//! It prints every derivative of a chain of functions and of a deep network by hand, by autodiff and by finite differences; then
//! how the standard deviations of activations and gradients change through 5 and 50 layers for several variances of the initial
//! weights, one of which overflows f32. It draws the errors of finite differences, the matrices of the backward pass, and the
//! standard deviations layer by layer.

#[path = "../common/mod.rs"]
pub mod common;

pub mod backprop;
pub mod chain;
pub mod variance;

use common::Options;
use std::process::ExitCode;
use wgrad::Result;

/// What the example prints and draws.
pub struct Numbers {
    /// Gradients I.
    pub chain: chain::ChainNumbers,
    /// Gradients II.
    pub backprop: backprop::BackpropNumbers,
    /// Gradients III.
    pub variance: Vec<variance::Run>,
}

/// Computes, prints and draws.
pub fn run(options: &Options) -> Result<Numbers> {
    Ok(Numbers { chain: chain::run(options)?, backprop: backprop::run(options)?, variance: variance::run(options)? })
}

fn main() -> ExitCode {
    common::start("gradients", run)
}
