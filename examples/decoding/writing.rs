//! What the transformer writes with each strategy, and how much of it obeys the grammar.

use super::grammar::{Verdict, judge};
use super::language::Settings;
use std::time::Instant;
use wgrad::Result;
use wgrad::data::Vocabulary;
use wgrad::generate::{GenerateOptions, LanguageModel, Sampling, Sequence, Strategy, generate};

/// How many continuations of each beginning are sampled.
const SAMPLES: usize = 4;
/// No sentence of the grammar goes on for longer.
const MAX_TOKENS: usize = 110;

/// The sentences that a strategy wrote.
#[derive(Debug, Clone)]
pub struct Written {
    /// The strategy.
    pub name: String,
    /// The sentences.
    pub sentences: Vec<String>,
    /// The log-probability of a character of them under the network, a mean.
    pub log_probability: f64,
    /// Sentences that obey the grammar, in percent.
    pub right: f64,
    /// Sentences in which a verb does not agree with its subject, in percent.
    pub disagreeing: f64,
    /// Sentences with wrong words, or words in a wrong order, in percent.
    pub broken: f64,
}

/// What the network writes.
#[derive(Debug)]
pub struct Writing {
    /// By strategy.
    pub strategies: Vec<Written>,
    /// The time that it took.
    pub seconds: f64,
}

/// The strategies with their names.
pub fn strategies() -> Vec<(String, Strategy)> {
    let sample = |sampling| Strategy::Sample { sampling, samples: SAMPLES };
    let warm = |temperature: f64| {
        let sampling = Sampling { temperature, ..Sampling::default() };
        (format!("temperature {temperature}"), sample(sampling))
    };
    let nucleus = sample(Sampling { top_p: Some(0.9), ..Sampling::default() });
    vec![
        ("greedy".into(), Strategy::Greedy),
        ("beam, 4".into(), Strategy::Beam { beams: 4 }),
        ("nucleus 0.9".into(), nucleus),
        warm(0.5),
        warm(1.0),
        warm(1.5),
        warm(2.0),
    ]
}

/// Writes with every strategy.
pub fn run(model: &mut dyn LanguageModel, vocabulary: &Vocabulary, settings: &Settings) -> Result<Writing> {
    let start = Instant::now();
    let prompts = settings.prompts.iter().map(|prompt| vocabulary.encode(prompt)).collect::<Result<Vec<_>>>()?;
    let stop = vocabulary.encode(".")?;
    let mut all = Vec::new();
    for (name, strategy) in strategies() {
        let options = GenerateOptions { max_tokens: MAX_TOKENS, strategy, stop: stop.clone(), ..Default::default() };
        let found = generate(model, &prompts, &options)?;
        // Of the beams the likeliest.
        let kept = if matches!(strategy, Strategy::Beam { .. }) { 1 } else { usize::MAX };
        let kept: Vec<&Sequence> = found.iter().flat_map(|all| all.iter().take(kept)).collect();
        let each = kept.len() / prompts.len().max(1);
        let given = prompts.iter().map(|prompt| each * prompt.len()).sum();
        all.push(count(name, &kept, given, vocabulary));
    }
    Ok(Writing { strategies: all, seconds: start.elapsed().as_secs_f64() })
}

/// Judges the sentences; `given` of their characters were not written by the network.
fn count(name: String, found: &[&Sequence], given: usize, vocabulary: &Vocabulary) -> Written {
    let sentences: Vec<String> = found.iter().map(|sequence| vocabulary.decode(&sequence.tokens)).collect();
    let share = |verdict| {
        let count = sentences.iter().filter(|sentence| judge(sentence) == verdict).count();
        100.0 * count as f64 / sentences.len().max(1) as f64
    };
    let added = found.iter().map(|s| s.tokens.len()).sum::<usize>() - given;
    Written {
        log_probability: found.iter().map(|s| s.log_probability).sum::<f64>() / added.max(1) as f64,
        right: share(Verdict::Right),
        disagreeing: share(Verdict::Disagrees),
        broken: share(Verdict::Broken),
        name,
        sentences,
    }
}

impl Writing {
    pub(super) fn print(&self) {
        println!(
            "{:16} {:>9} {:>13} {:>9} {:>11} {:>15}",
            "strategy", "sentences", "right grammar", "disagree", "wrong words", "nats/character"
        );
        for written in &self.strategies {
            println!(
                "{:16} {:>9} {:>11.1} % {:>7.1} % {:>9.1} % {:>15.3}",
                written.name,
                written.sentences.len(),
                written.right,
                written.disagreeing,
                written.broken,
                -written.log_probability
            );
        }
        for written in &self.strategies {
            let examples: Vec<&str> = written.sentences.iter().take(2).map(|s| s.trim()).collect();
            println!("{:16} {}", written.name, examples.join(" "));
        }
        println!("writing took {:.1} s", self.seconds);
    }
}
