//! Coursework I–III: what helps a network on MNIST-1D? The baseline, a perceptron, misclassifies 37 % of the validation set.
//! Fourteen more settings files in this folder change its layers, its training or its regularisation; each is trained with
//! three seeds.
//!
//! ```text
//! cargo run --release --example coursework -- --device cpu
//! ```
//!
//! Prints a line for each file: parameters, epochs, and the errors as mean ± standard deviation. Draws the validation curves,
//! the final errors, and augmented samples beside the original.

#[path = "../common/mod.rs"]
pub mod common;
pub mod pictures;
pub mod samples;
pub mod trainings;

use common::Options;
use samples::Versions;
use std::path::{Path, PathBuf};
use std::time::Instant;
use trainings::{Spread, Trained};
use wgrad::Result;
use wgrad::train::{Config, SetName};

/// The validation error in percent that the coursework's own baseline ends with.
pub const TO_BEAT: f64 = 37.45;

/// A question of the coursework, and the settings files that answer it.
#[derive(Debug, Clone)]
pub struct Group {
    /// The question.
    pub title: &'static str,
    /// The files' names, without `.toml`.
    pub files: Vec<&'static str>,
}

/// What is trained.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The variants. The baseline comes first and is not among them.
    pub groups: Vec<Group>,
    /// The seeds of each variant.
    pub seeds: Vec<u64>,
    /// The number of epochs, instead of that in the files.
    pub epochs: Option<u32>,
}

impl Default for Plan {
    fn default() -> Self {
        let group = |title, files: &[&'static str]| Group { title, files: files.to_vec() };
        let regularisation = ["weight_decay", "dropout", "batch_norm", "label_smoothing", "early_stopping", "ema"];
        Plan {
            groups: vec![
                group("I. Model", &["wide", "deep", "conv"]),
                group("II. Training", &["sgd", "adam", "adamw"]),
                group("III. Regularisation", &regularisation),
                group("III. Augmentation", &["augment", "best"]),
            ],
            seeds: vec![1, 2, 3],
            epochs: None,
        }
    }
}

/// What is printed.
#[derive(Debug)]
pub struct Numbers {
    /// The baseline, `mlp.toml`.
    pub baseline: Trained,
    /// The variants of each group.
    pub groups: Vec<(&'static str, Vec<Trained>)>,
    /// One sample, changed at random.
    pub versions: Versions,
}

/// A settings file of this folder.
pub fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/coursework").join(format!("{name}.toml"))
}

/// Trains, prints and draws everything.
pub fn run(options: &Options) -> Result<Numbers> {
    run_plan(options, &Plan::default())
}

/// As [`run`], with other variants, seeds and epochs.
pub fn run_plan(options: &Options, plan: &Plan) -> Result<Numbers> {
    let start = Instant::now();
    let config = |name: &str| -> Result<Config> {
        let config = Config::from_file(file(name))?;
        Ok(Config { epochs: plan.epochs.unwrap_or(config.epochs), ..config })
    };
    let baseline = config("mlp")?;
    let data = baseline.data.load()?;
    let rows = |split: Option<&wgrad::data::Split>| split.map_or(0, wgrad::data::Split::rows);
    println!(
        "MNIST-1D: {} training, {} validation and {} test samples; seeds {:?}",
        data.train.rows(),
        rows(data.val.as_ref()),
        rows(data.test.as_ref()),
        plan.seeds
    );
    println!(
        "{:16} {:>10} {:>6} {:>15} {:>16} {:>15} {:>7}",
        "settings", "parameters", "epochs", "training error", "validation error", "test error", "seconds"
    );
    let train = |config: &Config| -> Result<Trained> {
        let trained = trainings::train(options, config, &data, &plan.seeds)?;
        println!("{}", line(&trained));
        Ok(trained)
    };
    let baseline = train(&baseline)?;
    let mut groups = Vec::new();
    for group in &plan.groups {
        println!("{}", group.title);
        let trained = group.files.iter().map(|name| train(&config(name)?)).collect::<Result<Vec<_>>>()?;
        groups.push((group.title, trained));
    }
    println!("all trainings: {:.1} s; the validation error to beat is {TO_BEAT} %", start.elapsed().as_secs_f64());
    if let Some(augmented) = groups.iter().flat_map(|(_, all)| all).find(|trained| trained.name == "augment") {
        let [train, val] = [SetName::Train, SetName::Val].map(|set| (baseline.error(set), augmented.error(set)));
        println!(
            "with augmentation the training error goes from {:.1} to {:.1} %, the validation error from {:.1} to {:.1} %",
            train.0.mean, train.1.mean, val.0.mean, val.1.mean
        );
    }
    let augment = config("augment")?.data.augment.unwrap_or_default();
    let versions = samples::versions(options, &augment, &data)?;
    versions.print();
    pictures::draw(options, &baseline, &groups, &versions)?;
    Ok(Numbers { baseline, groups, versions })
}

/// A line of the table.
fn line(trained: &Trained) -> String {
    let spread = |Spread { mean, deviation }| format!("{mean:5.2} ± {deviation:.2} %");
    let errors = [SetName::Train, SetName::Val, SetName::Test].map(|set| spread(trained.error(set)));
    let epochs = trained.runs.iter().map(|run| run.history.len()).sum::<usize>() / trained.runs.len().max(1);
    format!(
        "{:16} {:>10} {epochs:>6} {:>15} {:>16} {:>15} {:>7.2}",
        trained.name, trained.parameters, errors[0], errors[1], errors[2], trained.seconds
    )
}

#[allow(dead_code)]
fn main() -> std::process::ExitCode {
    common::start("coursework", run)
}
