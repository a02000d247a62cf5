//! `wgrad compare`: finished runs side by side.

use super::output::{Outcome, metric, note, print, print_json};
use super::plot;
use clap::Args;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use wgrad::Error;
use wgrad::train::{Metric, Metrics, RunFolder};

/// Compare runs: the settings in which they differ, their final figures and, with --plot, their curves
#[derive(Debug, Args)]
pub(super) struct CompareArgs {
    /// The run folders
    #[arg(value_name = "RUN", required = true, num_args = 1..)]
    runs: Vec<PathBuf>,
    /// Draw the curves of all runs to this .png file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// The metric of the plot [default: the first that all runs have besides the loss]
    #[arg(long, value_name = "NAME")]
    metric: Option<String>,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Compared {
    run: PathBuf,
    /// The settings in which the runs differ, as TOML values; a missing one is absent.
    settings: BTreeMap<String, String>,
    metrics: BTreeMap<String, f64>,
    epochs: u32,
    train_seconds: f64,
    device: String,
}

/// The settings of a run by their paths.
fn flat(prefix: &str, value: &toml::Value, out: &mut BTreeMap<String, String>) {
    let below = |key: &str| if prefix.is_empty() { key.to_string() } else { format!("{prefix}.{key}") };
    match value {
        toml::Value::Table(table) => table.iter().for_each(|(key, value)| flat(&below(key), value, out)),
        toml::Value::Array(list) if list.iter().any(toml::Value::is_table) => {
            list.iter().enumerate().for_each(|(k, value)| flat(&below(&k.to_string()), value, out));
        }
        _ => {
            out.insert(prefix.to_string(), value.to_string());
        }
    }
}

impl CompareArgs {
    pub(super) fn run(&self) -> Outcome {
        let mut settings = Vec::new();
        let mut metrics: Vec<Metrics> = Vec::new();
        for run in &self.runs {
            let config = RunFolder::open(run)?.config()?;
            let value = toml::Value::try_from(&config).map_err(|e| Error::file(run, format!("settings: {e}")))?;
            let mut table = BTreeMap::new();
            flat("", &value, &mut table);
            settings.push(table);
            metrics.push(Metrics::read(run.join("metrics.json"))?);
        }
        let mut keys: Vec<&String> = settings.iter().flat_map(BTreeMap::keys).collect();
        keys.sort();
        keys.dedup();
        let differs = |key: &&&String| settings.iter().any(|table| table.get(**key) != settings[0].get(**key));
        let differing: Vec<&String> = keys.iter().filter(differs).copied().collect();
        let compared: Vec<Compared> = (self.runs.iter().zip(&settings).zip(&metrics))
            .map(|((run, table), metrics)| Compared {
                run: run.clone(),
                settings: differing.iter().filter_map(|&key| Some((key.clone(), table.get(key)?.clone()))).collect(),
                metrics: metrics
                    .scores
                    .iter()
                    .flat_map(|(set, scores)| scores.iter().map(move |(m, v)| (format!("{}_{m}", set.name()), v)))
                    .collect(),
                epochs: metrics.epochs,
                train_seconds: metrics.train_seconds,
                device: metrics.device.clone(),
            })
            .collect();
        if let Some(path) = &self.plot {
            let which = self.metric(&metrics)?;
            let named: Vec<(String, Metrics)> =
                self.runs.iter().map(|run| label(run)).zip(metrics.iter().cloned()).collect();
            let heading = format!("{} runs", named.len());
            plot::runs(&heading, which, &named).save(path)?;
            note(format_args!("{}", path.display()));
        }
        if self.json { print_json(&compared) } else { print(text(&compared, &differing)) }
    }

    fn metric(&self, metrics: &[Metrics]) -> Result<Metric, Error> {
        let all_have = |which: &Metric| metrics.iter().all(|m| m.scores.train.get(*which).is_some());
        let names = || Metric::ALL.iter().copied().filter(|which| all_have(which));
        match &self.metric {
            None => Ok(names().find(|which| *which != Metric::Loss).unwrap_or(Metric::Loss)),
            Some(name) => names().find(|which| which.name() == name).ok_or_else(|| {
                let known: Vec<&str> = names().map(Metric::name).collect();
                Error::config(
                    "--metric",
                    format!("`{name}` is not one that all runs have; these are {}", known.join(", ")),
                )
            }),
        }
    }
}

/// The last part of a run's path.
fn label(run: &Path) -> String {
    run.file_name().map_or_else(|| run.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// A table with a column for each run.
fn text(compared: &[Compared], differing: &[&String]) -> String {
    let mut lines: Vec<Vec<String>> = Vec::new();
    let mut row = |name: &str, cell: &dyn Fn(&Compared) -> Option<String>| {
        let cells = compared.iter().map(|run| cell(run).unwrap_or_else(|| "-".into()));
        lines.push([name.to_string()].into_iter().chain(cells).collect());
    };
    row("", &|run| Some(label(&run.run)));
    for &key in differing {
        row(key, &|run| run.settings.get(key).cloned());
    }
    row("epochs", &|run| Some(run.epochs.to_string()));
    for set in ["train", "val", "test"] {
        for which in Metric::ALL {
            let key = format!("{set}_{which}");
            if compared.iter().any(|run| run.metrics.contains_key(&key)) {
                row(&key, &|run| run.metrics.get(&key).map(|&value| metric(*which, value)));
            }
        }
    }
    row("train seconds", &|run| Some(format!("{:.2}", run.train_seconds)));
    row("device", &|run| Some(run.device.clone()));
    let columns = compared.len() + 1;
    let width = |k: usize| lines.iter().map(|line| line[k].chars().count()).max().unwrap_or(0).min(60);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for line in &lines {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, &w)| format!("{:<w$}", cell.chars().take(60).collect::<String>()))
            .collect();
        let _ = writeln!(out, "{}", cells.join("  ").trim_end());
    }
    out.truncate(out.trim_end().len());
    out
}
