//! Transformer decoding: greedy, temperature, top-k, nucleus and beam search, first on a table of logits that is small enough to
//! be searched completely, then on a small transformer that learns to write sentences.
//!
//! ```text
//! cargo run --release --example decoding -- --device cpu
//! ```
//!
//! Prints the probabilities that each strategy draws with, the sequences that greedy and beam search find, and the likeliest
//! sequence there is; then the transformer's perplexity beside the least possible, what it writes, and how many of its
//! sentences obey the grammar. Draws all of it.

#[path = "../common/mod.rs"]
pub mod common;
pub mod grammar;
pub mod language;
#[path = "../make_data.rs"]
#[allow(dead_code)]
pub mod make_data;
pub mod pictures;
pub mod table;
pub mod writing;

use common::Options;
use language::{Language, Settings};
use table::Table;
use wgrad::Result;
use writing::Writing;

/// What is printed.
#[derive(Debug)]
pub struct Numbers {
    /// Of the table of logits.
    pub table: Table,
    /// Of the training of the transformer.
    pub language: Language,
    /// Of what the transformer writes.
    pub writing: Writing,
}

/// Decodes, trains, writes and draws.
pub fn run(options: &Options) -> Result<Numbers> {
    run_with(options, &Settings::new()?)
}

/// As [`run`], with other settings of the transformer.
pub fn run_with(options: &Options, settings: &Settings) -> Result<Numbers> {
    println!("I. A table of logits: the next of {} tokens depends on the last two", table::TOKENS);
    let table = table::run()?;
    table.print();
    options.save("choices", &pictures::choices(&table))?;
    options.save("search", &pictures::search(&table))?;
    println!("II. A transformer that learns to write sentences");
    let (language, mut model) = language::run(options, settings)?;
    let writing = writing::run(&mut model, &language.vocabulary, settings)?;
    writing.print();
    options.save("language", &pictures::language(&language, &writing))?;
    Ok(Numbers { table, language, writing })
}

#[allow(dead_code)]
fn main() -> std::process::ExitCode {
    common::start("decoding", run)
}
