//! `wgrad eval`: the metrics of a run on a set.

use super::DeviceArg;
use super::output::{Outcome, grouped, metric, note, number, print, print_json};
use super::plot;
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use wgrad::Error;
use wgrad::data::{Dataset, Split};
use wgrad::train::{LabelScores, Metric, Run, Task};

/// The maximum number of classes for which the matrix is printed.
const WIDEST_MATRIX: usize = 32;

/// Evaluate a run: its loss and the metrics of its task
///
/// Classification has an accuracy and a confusion matrix, regression RMSE, MAE and R², binary tasks and several labels
/// precision, recall, F1 and AUROC. Uses the data set of the run unless --data is given. Accuracy and error are in per
/// cent.
#[derive(Debug, Args)]
pub(super) struct EvalArgs {
    /// The run folder, e.g. runs/cnn-1
    run: PathBuf,
    /// A data set to evaluate on, of any kind that `train` takes [default: the data set of the run]
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// The split to evaluate [default: the first that exists of test, val, train]
    #[arg(long, value_enum)]
    split: Option<SplitName>,
    /// Draw predictions against targets, of a regression, to this .png file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArg,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum SplitName {
    Test,
    Val,
    Train,
}

/// The result of an evaluation.
#[derive(Debug, Serialize)]
struct Report {
    run: PathBuf,
    device: String,
    task: Task,
    split: &'static str,
    rows: usize,
    loss: f64,
    /// In per cent, like `error`.
    #[serde(skip_serializing_if = "Option::is_none")]
    accuracy: Option<f64>,
    /// The other metrics of the task.
    #[serde(flatten)]
    metrics: BTreeMap<&'static str, f64>,
    /// `confusion[label][prediction]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    confusion: Vec<Vec<u64>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    labels: Vec<LabelScores>,
    #[serde(skip)]
    names: Vec<String>,
    #[serde(skip)]
    scores: Vec<(Metric, f64)>,
}

impl EvalArgs {
    pub(super) fn run(&self) -> Outcome {
        let mut run = Run::load(&self.run, self.device.device.clone())?;
        let kind = run.config.target_kind();
        let data = match &self.data {
            Some(path) => {
                let known = run.preprocessing();
                run.config.data.load_other(path, kind, known.table.as_ref(), known.vocabulary.as_ref())?
            }
            None => run.config.data.load_as(kind)?,
        };
        let (split, samples) = match (&self.data, &data) {
            (Some(_), Dataset { train, val: None, test: None, .. }) if self.split.is_none() => ("all", train),
            _ => choose(&data, self.split)?,
        };
        let evaluated = run.evaluate(samples)?;
        let task = run.preprocessing().task;
        let scores: Vec<(Metric, f64)> = evaluated.scores.iter().collect();
        let names = run.preprocessing().class_names.clone();
        let accuracy = evaluated.scores.error().map(|error| 100.0 - error);
        let others = scores.iter().filter(|(which, _)| *which != Metric::Loss);
        let report = Report {
            run: self.run.clone(),
            device: run.device_name(),
            task,
            split,
            rows: samples.rows(),
            loss: evaluated.scores.loss(),
            accuracy,
            metrics: others.map(|(which, value)| (which.name(), *value)).collect(),
            confusion: evaluated.confusion,
            labels: evaluated.labels,
            names,
            scores,
        };
        if let Some(path) = &self.plot {
            draw(path, &run.config.name, &evaluated.predictions, &evaluated.targets, &report)?;
        }
        if self.json { print_json(&report) } else { print(report.text()) }
    }
}

fn draw(path: &Path, name: &str, predictions: &[f32], targets: &[f32], report: &Report) -> Result<(), Error> {
    if predictions.is_empty() {
        return Err(Error::config("--plot", format!("is for regression, not for {}", report.task)));
    }
    let points: Vec<(f64, f64)> =
        targets.iter().zip(predictions).map(|(&t, &p)| (f64::from(t), f64::from(p))).collect();
    let details = format!("{} {} samples: {}", grouped(report.rows as u64), report.split, report.line());
    plot::predictions(name, &details, &points).save(path)?;
    note(format_args!("{}", path.display()));
    Ok(())
}

fn choose(data: &Dataset, wanted: Option<SplitName>) -> Result<(&'static str, &Split), Error> {
    // Dataset::splits returns train, val, test; the last one is the default.
    let Some(wanted) = wanted else {
        return data.splits().last().ok_or_else(|| Error::value("data", "there are no samples"));
    };
    let wanted = match wanted {
        SplitName::Test => "test",
        SplitName::Val => "val",
        SplitName::Train => "train",
    };
    data.splits().find(|(name, _)| *name == wanted).ok_or_else(|| {
        let there: Vec<&str> = data.splits().map(|(name, _)| name).collect();
        Error::config("--split", format!("the data set has no {wanted} split; available: {}", there.join(", ")))
    })
}

impl Report {
    /// The metrics in a line.
    fn line(&self) -> String {
        let mut parts = vec![format!("loss {}", number(self.loss))];
        parts.extend(self.accuracy.map(|accuracy| format!("accuracy {accuracy:.2} %")));
        let others = self.scores.iter().filter(|(which, _)| *which != Metric::Loss);
        parts.extend(others.map(|&(which, value)| super::output::metric_with_name(which, value)));
        parts.join(", ")
    }

    fn text(&self) -> String {
        let mut out = format!(
            "{} on {}\n{} {} samples: {}\n",
            self.run.display(),
            self.device,
            grouped(self.rows as u64),
            self.split,
            self.line(),
        );
        if !self.confusion.is_empty() {
            out.push('\n');
            out.push_str(&table(&self.confusion));
            let named = self.names.iter().enumerate().map(|(k, name)| format!("{k} = {name}"));
            let named: Vec<String> = named.take(WIDEST_MATRIX).collect();
            if !named.is_empty() {
                let _ = write!(out, "\n\nclasses: {}", named.join(", "));
            }
        }
        if !self.labels.is_empty() {
            let _ = writeln!(
                out,
                "\n{:>6}{:>11}{:>11}{:>11}{:>11}{:>11}",
                "label", "positives", "precision", "recall", "f1", "auroc"
            );
            let cell = |value: Option<f64>| value.map_or("-".into(), |v| metric(Metric::F1, v));
            for (k, label) in self.labels.iter().enumerate() {
                let cells = [label.precision, label.recall, label.f1, label.auroc].map(cell);
                let cells: String = cells.iter().map(|cell| format!("{cell:>11}")).collect();
                let _ = writeln!(out, "{k:>6}{:>11}{cells}", grouped(label.positives));
            }
        }
        out.truncate(out.trim_end().len());
        out
    }
}

/// The confusion matrix: rows are true classes, columns predicted classes.
fn table(confusion: &[Vec<u64>]) -> String {
    let classes = confusion.len();
    let shown = if classes <= WIDEST_MATRIX { classes } else { 0 };
    let largest = confusion.iter().flatten().copied().max().unwrap_or(0).max(classes as u64);
    let width = largest.to_string().len() + 2;
    let mut out = String::new();
    let mut row = |head: &str, cells: &[String], tail: &str| {
        let cells: String = cells.iter().take(shown).map(|cell| format!("{cell:>width$}")).collect();
        let _ = writeln!(out, "{}", format!("{head:>6}{cells}  {tail:>7}").trim_end());
    };
    if shown > 0 {
        row("", &["  predicted".to_string()], "");
    }
    row("true", &(0..classes).map(|k| k.to_string()).collect::<Vec<_>>(), "recall");
    for (label, counts) in confusion.iter().enumerate() {
        let total: u64 = counts.iter().sum();
        let recall = 100.0 * counts[label] as f64 / total as f64;
        let recall = if total == 0 { "-".to_string() } else { format!("{recall:.1} %") };
        row(&label.to_string(), &counts.iter().map(u64::to_string).collect::<Vec<_>>(), &recall);
    }
    if shown < classes {
        let _ = writeln!(out, "({classes} classes: use --json for the confusion matrix)");
    }
    out.truncate(out.trim_end().len());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matrix_is_aligned() {
        let text = table(&[vec![10, 2, 0], vec![0, 123, 1], vec![0, 0, 0]]);
        let expected = "        predicted
  true    0    1    2   recall
     0   10    2    0   83.3 %
     1    0  123    1   99.2 %
     2    0    0    0        -";
        assert_eq!(text, expected);
        assert!(table(&vec![vec![1; 40]; 40]).lines().all(|line| line.len() < 80));
    }
}
