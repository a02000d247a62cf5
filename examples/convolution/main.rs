//! Convolution I–III: convolution by hand and as a matrix, the 1-D network of MNIST-1D, and a 2-D network for small
//! images with max pooling and dropout.
//!
//! ```text
//! $ cargo run --release --example convolution -- --device cpu
//! ```
//!
//! It prints how far `Tensor::conv` is from plain loops in f64 for ten convolutions, and from the product with the
//! convolution's matrix; losses and errors of the network on MNIST-1D (preset `cnn`, 50 epochs, a second on the CPU; a minute
//! on the reference); and loss and held-out accuracy of the network on images that it generates. It draws the matrices, two
//! filtered signals, samples, curves, the filters of the first layer and the confusion matrix.

#[path = "../common/mod.rs"]
pub mod common;

pub mod by_hand;
pub mod images;
pub mod kernels;
pub mod mnist1d;
pub mod network;

use common::Options;

/// What the four parts compute.
#[derive(Debug)]
pub struct Numbers {
    /// Convolutions by hand and on the device.
    pub by_hand: Vec<kernels::Case>,
    /// Convolutions as matrices.
    pub matrices: Vec<kernels::Banded>,
    /// The 1-D network.
    pub mnist1d: mnist1d::Numbers,
    /// The 2-D network.
    pub network: network::Numbers,
}

/// Runs the four parts.
pub fn run(options: &Options) -> wgrad::Result<Numbers> {
    Ok(Numbers {
        by_hand: kernels::cases(options)?,
        matrices: kernels::matrices(options)?,
        mnist1d: mnist1d::run(options)?,
        network: network::run(options)?,
    })
}

fn main() -> std::process::ExitCode {
    common::start("convolution", run)
}
