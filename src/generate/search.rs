//! The choice of tokens: greedy, by sampling, by beam search; for several prompts at once.

use super::LanguageModel;
use super::sampling::{Sampling, log_softmax, penalise_repetition};
use crate::error::{Error, Result};
use crate::nn::Generator;

/// How the next token is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Strategy {
    /// Always the most likely token; the first of equally likely ones.
    #[default]
    Greedy,
    /// Drawn at random, `samples` continuations of each prompt.
    Sample {
        /// The probabilities that tokens are drawn with.
        sampling: Sampling,
        /// The number of continuations of each prompt.
        samples: usize,
    },
    /// The likeliest continuations among those found by always keeping the `beams` likeliest beginnings.
    Beam {
        /// How many beginnings are kept, and continuations returned.
        beams: usize,
    },
}

/// What is generated.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateOptions {
    /// How many tokens are added to each prompt.
    pub max_tokens: usize,
    /// How they are chosen.
    pub strategy: Strategy,
    /// See [`penalise_repetition`]; 1 for none.
    pub repetition_penalty: f64,
    /// A sequence ends after one of these tokens.
    pub stop: Vec<u32>,
    /// The seed of random choices.
    pub seed: u64,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        let stop = Vec::new();
        GenerateOptions { max_tokens: 100, strategy: Strategy::Greedy, repetition_penalty: 1.0, stop, seed: 0 }
    }
}

impl GenerateOptions {
    /// The number of sequences for each prompt.
    fn width(&self) -> usize {
        match self.strategy {
            Strategy::Greedy => 1,
            Strategy::Sample { samples, .. } => samples,
            Strategy::Beam { beams } => beams,
        }
    }

    fn check(&self) -> Result<()> {
        if !(self.repetition_penalty > 0.0 && self.repetition_penalty.is_finite()) {
            return Err(Error::config("repetition_penalty", "must be above 0; 1 is none"));
        }
        match self.strategy {
            Strategy::Greedy => Ok(()),
            Strategy::Sample { samples: 0, .. } => Err(Error::config("samples", "must be at least 1")),
            Strategy::Sample { sampling, .. } => sampling.check(),
            Strategy::Beam { beams: 0 } => Err(Error::config("beams", "must be at least 1")),
            Strategy::Beam { .. } => Ok(()),
        }
    }
}

/// A sequence that was generated.
#[derive(Debug, Clone, PartialEq)]
pub struct Sequence {
    /// The prompt and what was added.
    pub tokens: Vec<u32>,
    /// The logarithm of the probability that the model gives to what was added (after the penalty for repetition, before
    /// temperature and cuts).
    pub log_probability: f64,
    ended: bool,
}

/// Continues each prompt; returns, for each, its continuations: one, the samples, or the beams, likeliest first.
///
/// # Errors
/// [`Error::Value`] if a prompt is empty or has a token that the vocabulary does not have; [`Error::Config`] for options that
/// make no sense; [`Error::NotFinite`] if the model gives a NaN; errors of the model.
pub fn generate(
    model: &mut dyn LanguageModel,
    prompts: &[Vec<u32>],
    options: &GenerateOptions,
) -> Result<Vec<Vec<Sequence>>> {
    options.check()?;
    let (vocabulary, width) = (model.vocabulary(), options.width());
    for (k, prompt) in prompts.iter().enumerate() {
        let wrong = |message: String| Err(Error::value(format!("prompt {k}"), message));
        if prompt.is_empty() {
            return wrong("is empty: it needs at least one token".into());
        }
        if let Some(token) = prompt.iter().find(|&&token| token as usize >= vocabulary) {
            return wrong(format!("has token {token}, but the vocabulary has {vocabulary} tokens"));
        }
    }
    if prompts.is_empty() {
        return Ok(Vec::new());
    }
    let rows = prompts.len() * width;
    model.start(rows)?;
    let mut rng = Generator::new(options.seed);
    let mut groups: Vec<Group<'_>> = prompts.iter().map(|prompt| Group::new(prompt, options)).collect();
    let mut parents: Vec<u32> = (0..rows as u32).collect();
    let mut tokens: Vec<u32> = prompts.iter().flat_map(|prompt| vec![prompt[0]; width]).collect();
    let mut position = 0;
    while !groups.iter().all(Group::is_done) {
        let logits = model.advance(&parents, &tokens)?;
        if let Some(at) = logits.iter().position(|x| x.is_nan()) {
            let sequence = at / vocabulary;
            return Err(Error::NotFinite(format!(
                "the model's logits of sequence {sequence} at position {position} are NaN"
            )));
        }
        position += 1;
        for (k, group) in groups.iter_mut().enumerate() {
            let own = k * width..(k + 1) * width;
            let logits = &logits[own.start * vocabulary..own.end * vocabulary];
            let (chosen, next) = (&mut parents[own.clone()], &mut tokens[own.clone()]);
            group.advance(position, logits, &mut rng, chosen, next)?;
            chosen.iter_mut().for_each(|parent| *parent += own.start as u32);
        }
    }
    Ok(groups.into_iter().map(Group::finish).collect())
}

/// The sequences of a prompt. Sequence k is in row k of the group's rows; a beam search starts with one, and the other rows
/// repeat it.
struct Group<'o> {
    prompt: Vec<u32>,
    options: &'o GenerateOptions,
    sequences: Vec<Sequence>,
    added: usize,
}

impl<'o> Group<'o> {
    fn new(prompt: &[u32], options: &'o GenerateOptions) -> Self {
        let first = Sequence { tokens: prompt.to_vec(), log_probability: 0.0, ended: false };
        let count = if matches!(options.strategy, Strategy::Beam { .. }) { 1 } else { options.width() };
        Group { prompt: prompt.to_vec(), options, sequences: vec![first; count], added: 0 }
    }

    fn is_done(&self) -> bool {
        self.added >= self.options.max_tokens || self.sequences.iter().all(|s| s.ended)
    }

    fn finish(self) -> Vec<Sequence> {
        self.sequences
    }

    /// Chooses the token at `position` of each sequence. `parents` (within the group) and `next` are what the model is to
    /// be given.
    fn advance(
        &mut self,
        position: usize,
        logits: &[f32],
        rng: &mut Generator,
        parents: &mut [u32],
        next: &mut [u32],
    ) -> Result<()> {
        parents.iter_mut().zip(0..).for_each(|(parent, row)| *parent = row);
        if let Some(&token) = self.prompt.get(position) {
            next.fill(token);
            return Ok(());
        }
        if self.is_done() {
            return Ok(());
        }
        self.added += 1;
        let vocabulary = logits.len() / parents.len();
        let of_row = |row: usize, tokens: &[u32]| {
            let mut own: Vec<f64> = logits[row * vocabulary..][..vocabulary].iter().map(|&x| f64::from(x)).collect();
            penalise_repetition(&mut own, tokens, self.options.repetition_penalty);
            own
        };
        match self.options.strategy {
            Strategy::Beam { beams } => {
                // What each sequence could become; one that has ended stays as it is.
                let mut candidates: Vec<(f64, usize, Option<u32>)> = Vec::new();
                for (row, sequence) in self.sequences.iter().enumerate() {
                    if sequence.ended {
                        candidates.push((sequence.log_probability, row, None));
                        continue;
                    }
                    let logs = log_softmax(&of_row(row, &sequence.tokens));
                    let grown =
                        logs.iter().zip(0..).map(|(log, token)| (sequence.log_probability + log, row, Some(token)));
                    candidates.extend(grown);
                }
                candidates.sort_by(|a, b| b.0.total_cmp(&a.0));
                candidates.truncate(beams);
                let grown = candidates.iter().map(|&(log_probability, row, token)| {
                    let mut tokens = self.sequences[row].tokens.clone();
                    tokens.extend(token);
                    let ended = token.is_none_or(|token| self.options.stop.contains(&token));
                    Sequence { tokens, log_probability, ended }
                });
                let grown = grown.collect();
                for (k, (_, row, token)) in candidates.iter().enumerate() {
                    (parents[k], next[k]) = (*row as u32, token.unwrap_or(0));
                }
                self.sequences = grown;
            }
            strategy => {
                for (row, sequence) in self.sequences.iter_mut().enumerate().filter(|(_, s)| !s.ended) {
                    let own = of_row(row, &sequence.tokens);
                    let token = match strategy {
                        Strategy::Sample { sampling, .. } => draw(&sampling.probabilities(&own), rng)?,
                        _ => (0..own.len()).fold(0, |best, k| if own[k] > own[best] { k } else { best }),
                    };
                    sequence.log_probability += log_softmax(&own)[token];
                    sequence.tokens.push(token as u32);
                    sequence.ended = self.options.stop.contains(&(token as u32));
                    next[row] = token as u32;
                }
            }
        }
        Ok(())
    }
}

/// An index drawn with these probabilities.
fn draw(probabilities: &[f64], rng: &mut Generator) -> Result<usize> {
    let mut left = rng.uniform((), 0.0, 1.0)?.item()?;
    let last = probabilities.iter().rposition(|&p| p > 0.0).unwrap_or(0);
    let found = probabilities.iter().position(|p| {
        left -= p;
        left < 0.0
    });
    // Rounding may leave a little at the end.
    Ok(found.unwrap_or(last))
}
