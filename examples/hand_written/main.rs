//! Four small networks that somebody wrote and computed by hand, with their numbers: a three-step XOR whose update goes up
//! instead of down, a 3-4-1 network, XOR with cross-entropy, and a 2-3-3-1 network trained sample by sample.
//!
//! ```text
//! $ cargo run --release --example hand_written -- --device cpu
//! XOR in three steps: 2-2-1, half the squared error, 10000 epochs at 0.01
//! as written:
//!   epoch     0: loss 0.541185, outputs 0.613516 0.594065 0.594065 0.613516
//!   …
//!   epoch  9999: loss 0.996047, outputs 0.997683 0.997561 0.997561 0.998354
//! …
//! 3-4-1 without biases, half the squared error, 1000 iterations at 1
//!   initial output 0.758 0.771 0.791 0.801
//!   new output     0.028 0.925 0.925 0.090
//! …
//! XOR with cross-entropy: 2-2-1, 140 epochs at 1
//!   dW2 0.603538 0.353996
//! …
//! Sample by sample: 2-3-3-1 without biases, squared error, learning rate 0.8
//!   data      derivative  start   passes  samples  accuracy  loss of sample 5000, 10000
//!   diagonals 2(ŷ − y)    seed 0     285     5985     100 %  0.000331
//! …
//! ```
//!
//! It draws a learning curve of each network, its output over the plane, and how the boundary between the classes moves.

#[path = "../common/mod.rs"]
pub mod common;
pub mod cross_entropy;
pub mod per_sample;
mod plane;
pub mod three_four_one;
mod training;
pub mod xor;

use common::Options;
use std::process::ExitCode;

/// The numbers of the four networks.
#[derive(Debug)]
pub struct Numbers {
    /// XOR in three steps.
    pub xor: xor::Numbers,
    /// 3-4-1.
    pub three_four_one: three_four_one::Numbers,
    /// XOR with cross-entropy.
    pub cross_entropy: cross_entropy::Numbers,
    /// 2-3-3-1, sample by sample.
    pub per_sample: per_sample::Numbers,
}

fn main() -> ExitCode {
    common::start("hand_written", run)
}

/// Trains the four networks one after the other, on one device.
pub fn run(options: &Options) -> wgrad::Result<Numbers> {
    let mut session = options.session()?;
    println!("on {}", session.device_name());
    Ok(Numbers {
        xor: xor::run(options, &mut session)?,
        three_four_one: three_four_one::run(options, &mut session)?,
        cross_entropy: cross_entropy::run(options, &mut session)?,
        per_sample: per_sample::run(options, &mut session)?,
    })
}
