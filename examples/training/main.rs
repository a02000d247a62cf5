//! Training: a line search, gradient descent with line searches, and gradient descent with a learning rate, stochastic or not, with
//! momentum or Adam, on two models with two parameters. The losses and gradients are programs; the pictures show where each way
//! down goes.
//!
//! ```text
//! $ cargo run --release --example training -- --device cpu
//! I. A line search along a function of one number
//! iteration  1: a = 0.000, b = 0.330, c = 0.660, d = 1.000
//! …
//! solution 0.38323, loss 0.32876
//!
//! II. Gradient descent with a line search: a straight line
//! loss at φ = (0.6, -0.2): 12.367
//! …
//! 10 steps, searches up to 0.1: φ = (0.8677, 0.4678), loss 0.21341
//!
//! III. The Gabor model
//! …
//! line search, 21 steps from (-1.5, 8.5): φ = (0.0250, 14.9088), loss 0.78310
//! fixed rate, 21 steps from (-1.5, 8.5): φ = (0.1133, 13.4694), loss 1.38838
//! SGD, 41 steps from (3.5, 6.5): φ = (-0.4967, 12.2684), loss 4.62437
//! global minimum: φ = (0.0038, 16.0263), loss 0.64570
//! …
//! ```

#[path = "../common/mod.rs"]
pub mod common;
pub mod descent;
pub mod gabor;
pub mod gabor_pictures;
pub mod line_search;
pub mod linear;
pub mod methods;
pub mod one_number;
pub mod pictures;
pub mod problem;

use common::Options;
use wgrad::Result;

/// The numbers of the three parts.
pub struct Numbers {
    /// Training I.
    pub one_number: one_number::OneNumber,
    /// Training II.
    pub linear: linear::Linear,
    /// Training III.
    pub gabor: gabor::Gabor,
}

/// The three parts, one after the other.
pub fn run(options: &Options) -> Result<Numbers> {
    let mut session = options.session()?;
    let one_number = one_number::run(options, &mut session)?;
    let linear = linear::run(options, &mut session)?;
    let gabor = gabor::run(options, &mut session)?;
    Ok(Numbers { one_number, linear, gabor })
}

fn main() -> std::process::ExitCode {
    common::start("training", run)
}
