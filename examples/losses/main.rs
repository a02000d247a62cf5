//! Losses from likelihoods: a network's output becomes a normal distribution, the probabilities of two classes, or those of three, and
//! the loss is the negative logarithm of the data's likelihood. At the end a network learns a mean and a variance for each input.
//!
//! ```text
//! $ cargo run --release --example losses -- --device cpu
//! I. Regression: a normal distribution around the network's output
//! density at 1 of a normal distribution with mean -1 and deviation 2.3: 0.119
//! likelihood 0.000010624
//! negative log-likelihood 11.4524, from the library 11.4524
//! sum of squares 2.0210
//! …
//! II. Two classes: a sigmoid of the network's output
//! …
//! III. Three classes: a softmax of the network's outputs
//! …
//! IV. Heteroscedastic regression: noise that depends on the input
//! loss after 1000 steps, one variance for each input: -0.476
//! loss after 1000 steps, one variance for all inputs: -0.057
//! loss of the distribution that the data came from: -0.467
//! …
//! ```

pub mod bernoulli;
pub mod categorical;
#[path = "../common/mod.rs"]
pub mod common;
pub mod gaussian;
pub mod heteroscedastic;
pub mod network;
pub mod sweep;

use common::Options;
use wgrad::Result;

/// The numbers of all parts.
pub struct Numbers {
    /// Loss I.
    pub gaussian: gaussian::Gaussian,
    /// Loss II.
    pub bernoulli: bernoulli::Bernoulli,
    /// Loss III.
    pub categorical: categorical::Categorical,
    /// Heteroscedastic regression.
    pub heteroscedastic: heteroscedastic::Heteroscedastic,
}

/// All parts, one after the other.
pub fn run(options: &Options) -> Result<Numbers> {
    let mut session = options.session()?;
    let gaussian = gaussian::run(options, &mut session)?;
    let bernoulli = bernoulli::run(options, &mut session)?;
    let categorical = categorical::run(options, &mut session)?;
    let heteroscedastic = heteroscedastic::run(options, &mut session)?;
    Ok(Numbers { gaussian, bernoulli, categorical, heteroscedastic })
}

fn main() -> std::process::ExitCode {
    common::start("losses", run)
}
