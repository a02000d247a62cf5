//! The trainings of one settings file, one for each seed.

use super::common::Options;
use std::time::Instant;
use wgrad::data::Dataset;
use wgrad::train::{Config, EpochRecord, SetName, Trainer};
use wgrad::{Error, Result};

/// Mean and standard deviation (with n − 1) over the seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The standard deviation; 0 for one seed.
    pub deviation: f64,
}

impl Spread {
    /// Of some numbers.
    pub fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        Spread { mean, deviation: if values.len() > 1 { (squares / (count - 1.0)).sqrt() } else { 0.0 } }
    }
}

/// One training.
#[derive(Debug, Clone)]
pub struct Run {
    /// Losses and errors after every epoch.
    pub history: Vec<EpochRecord>,
    /// Misclassified test samples in the end, in percent.
    pub test_error: f64,
}

/// The trainings of one settings file.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The name in the file, with spaces.
    pub name: String,
    /// The network's number of parameters.
    pub parameters: usize,
    /// A training for each seed.
    pub runs: Vec<Run>,
    /// The time of one training: that of all, divided by their number.
    pub seconds: f64,
}

impl Trained {
    /// The errors of a set in percent, after the last epoch.
    pub fn error(&self, set: SetName) -> Spread {
        let of = |run: &Run| match set {
            SetName::Test => run.test_error,
            _ => run.history.last().map_or(f64::NAN, |record| error(record, set)),
        };
        Spread::of(&self.runs.iter().map(of).collect::<Vec<_>>())
    }

    /// The mean error of a set after each epoch, as far as all trainings went.
    pub fn curve(&self, set: SetName) -> Vec<(f64, f64)> {
        let epochs = self.runs.iter().map(|run| run.history.len()).min().unwrap_or(0);
        let at = |epoch: usize| self.runs.iter().map(|run| error(&run.history[epoch], set)).collect::<Vec<_>>();
        (0..epochs).map(|epoch| (epoch as f64 + 1.0, Spread::of(&at(epoch)).mean)).collect()
    }
}

fn error(record: &EpochRecord, set: SetName) -> f64 {
    record.scores.of(set).and_then(|scores| scores.error()).unwrap_or(f64::NAN)
}

/// Trains with each seed, all of them at the same time.
pub fn train(options: &Options, config: &Config, data: &Dataset, seeds: &[u64]) -> Result<Trained> {
    let start = Instant::now();
    let runs: Vec<Result<(usize, Run)>> = std::thread::scope(|scope| {
        let begun: Vec<_> = seeds
            .iter()
            .map(|&seed| scope.spawn(move || one(options, &Config { seed, ..config.clone() }, data)))
            .collect();
        let panicked = |_| Err(Error::Internal("a training panicked".into()));
        begun.into_iter().map(|run| run.join().unwrap_or_else(panicked)).collect()
    });
    let seconds = start.elapsed().as_secs_f64() / seeds.len() as f64;
    let runs = runs.into_iter().collect::<Result<Vec<_>>>()?;
    let parameters = runs.first().map_or(0, |(parameters, _)| *parameters);
    let name = config.name.replace('_', " ");
    Ok(Trained { name, parameters, runs: runs.into_iter().map(|(_, run)| run).collect(), seconds })
}

fn one(options: &Options, config: &Config, data: &Dataset) -> Result<(usize, Run)> {
    let mut trainer = Trainer::open(config, data, || options.session())?;
    let mut history = Vec::new();
    while !trainer.is_finished() {
        history.push(trainer.epoch()?);
    }
    let test_error = trainer.test()?.and_then(|scores| scores.error()).unwrap_or(f64::NAN);
    Ok((trainer.model().parameter_count(), Run { history, test_error }))
}
