//! The training of a small transformer on sentences of a grammar.

use super::common::Options;
use super::make_data;
use std::path::{Path, PathBuf};
use wgrad::data::{Fractions, TextOptions, TokenKind, Vocabulary, load_text};
use wgrad::generate::NetworkModel;
use wgrad::train::{Config, Fit, Metric, Report, Run, RunFolder, SetName};
use wgrad::{Error, Result};

/// The seeds of the text and of a fresh one.
const SEEDS: [u32; 2] = [5, 6];

/// The settings of the transformer and of what it writes.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Of the training; the text's path is filled in.
    pub config: Config,
    /// The length of the text in characters, and of a fresh one.
    pub lengths: [usize; 2],
    /// The beginnings that are continued.
    pub prompts: Vec<String>,
}

impl Settings {
    /// Those of `examples/tasks/sentences.toml` on twice the text, in smaller batches: five epochs are enough.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn new() -> Result<Self> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/tasks/sentences.toml");
        let config = Config { epochs: 5, batch: 8, ..Config::from_file(file)? };
        Ok(Settings { config, lengths: [120_000, 12_000], prompts: super::grammar::subjects() })
    }
}

/// The result of the training.
#[derive(Debug)]
pub struct Language {
    /// The number of parameters.
    pub parameters: usize,
    /// The perplexities of the training and the validation set after each epoch.
    pub perplexities: Vec<[f64; 2]>,
    /// The least possible perplexity of the text: what the grammar's choices leave uncertain.
    pub floor: f64,
    /// The perplexity of a text that is neither, and the least possible.
    pub fresh: [f64; 2],
    /// The characters.
    pub vocabulary: Vocabulary,
}

/// Trains in a temporary folder and loads what was trained, as `wgrad train` and `wgrad generate` do.
pub fn run(options: &Options, settings: &Settings) -> Result<(Language, NetworkModel)> {
    let folder = tempfile::tempdir().map_err(|e| Error::file("a temporary folder", e))?;
    let write = |k: usize| -> Result<(PathBuf, f64)> {
        let (text, nats) = make_data::sentences(settings.lengths[k], SEEDS[k]);
        let path = folder.path().join(format!("{k}.txt"));
        std::fs::write(&path, text).map_err(|e| Error::file(&path, e))?;
        Ok((path, nats.exp()))
    };
    let (path, floor) = write(0)?;
    let config = Config { data: settings.config.data.clone().at(path), ..settings.config.clone() };
    let data = config.data.load()?;
    let run = RunFolder::create(folder.path().join("run"))?;
    let mut perplexities = Vec::new();
    let mut fit = Fit::new(run, config.clone(), &data, || options.session())?;
    let parameters = fit.trainer().model().parameter_count();
    println!("{} characters, {parameters} parameters; no perplexity can be below {floor:.4}", settings.lengths[0]);
    println!("{:>5} {:>10} {:>11} {:>8}", "epoch", "training", "validation", "seconds");
    fit.run(&mut |report| {
        if let Report::Epoch(record) = report {
            let of = |set| record.scores.of(set).and_then(|s| s.get(Metric::Perplexity)).unwrap_or(f64::NAN);
            let [train, val] = [SetName::Train, SetName::Val].map(of);
            println!("{:>5} {train:>10.4} {val:>11.4} {:>8.2}", record.epoch, record.seconds);
            perplexities.push([train, val]);
        }
    })?;
    let vocabulary = data.vocabulary.clone().ok_or_else(|| Error::Internal("the text has no vocabulary".into()))?;
    let mut trained = Run::load(folder.path().join("run"), options.device.clone())?;
    let (fresh, fresh_floor) = write(1)?;
    let whole = Fractions { val: 0.0, test: 0.0, ..Fractions::default() };
    let length = config.data.context.unwrap_or(64);
    let text = TextOptions { tokens: TokenKind::Char, length, stride: None, vocabulary: Some(vocabulary.clone()) };
    let scores = trained.evaluate(&load_text(fresh, &text, &whole)?.train)?.scores;
    let fresh = [scores.get(Metric::Perplexity).unwrap_or(f64::NAN), fresh_floor];
    println!("fresh text: perplexity {:.4}, the least possible {fresh_floor:.4}", fresh[0]);
    Ok((Language { parameters, perplexities, floor, fresh, vocabulary }, NetworkModel::of_run(trained)?))
}
