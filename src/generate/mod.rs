//! Sequences continued token by token: greedy, by sampling (temperature, top-k, nucleus), or by beam search.
//!
//! A [`LanguageModel`] gives the logits of the next token of each of several sequences; [`generate`] chooses. The model may
//! be a trained run or a network of one's own ([`NetworkModel`]), GPT-2's weights ([`gpt2`]), or anything that implements
//! the trait:
//!
//! ```
//! use wgrad::generate::{GenerateOptions, LanguageModel, Strategy, generate};
//!
//! /// Counts up to 3 and starts again.
//! struct Counter;
//!
//! impl LanguageModel for Counter {
//!     fn vocabulary(&self) -> usize {
//!         4
//!     }
//!     fn start(&mut self, _rows: usize) -> wgrad::Result<()> {
//!         Ok(())
//!     }
//!     fn advance(&mut self, _parents: &[u32], tokens: &[u32]) -> wgrad::Result<Vec<f32>> {
//!         let logit = |token: u32, next: u32| if next == (token + 1) % 4 { 5.0 } else { 0.0 };
//!         Ok(tokens.iter().flat_map(|&token| (0..4).map(move |next| logit(token, next))).collect())
//!     }
//! }
//!
//! let options = GenerateOptions { max_tokens: 5, strategy: Strategy::Greedy, ..GenerateOptions::default() };
//! let found = generate(&mut Counter, &[vec![2]], &options)?;
//! assert_eq!(found[0][0].tokens, [2, 3, 0, 1, 2, 3]);
//! # Ok::<(), wgrad::Error>(())
//! ```

pub mod gpt2;
mod network;
mod sampling;
mod search;

pub use network::NetworkModel;
pub use sampling::{Sampling, penalise_repetition};
pub use search::{GenerateOptions, Sequence, Strategy, generate};

use crate::error::Result;

/// What gives the logits of each sequence's next token. All sequences have the same length at any time.
pub trait LanguageModel {
    /// The number of tokens; logits are given for each.
    fn vocabulary(&self) -> usize;

    /// Starts `rows` empty sequences.
    ///
    /// # Errors
    /// If the device cannot hold so many.
    fn start(&mut self, rows: usize) -> Result<()>;

    /// Appends a token to each sequence: sequence k becomes what sequence `parents[k]` was, followed by `tokens[k]`.
    /// Returns the logits of what follows, row-major, `[rows, vocabulary]`.
    ///
    /// # Errors
    /// Errors of the device.
    fn advance(&mut self, parents: &[u32], tokens: &[u32]) -> Result<Vec<f32>>;
}
