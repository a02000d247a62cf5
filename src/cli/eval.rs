//! `wgrad eval`: the loss, accuracy and confusion matrix of a run.

use super::DeviceArg;
use super::output::{Outcome, grouped, number, print, print_json};
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::fmt::Write;
use std::path::PathBuf;
use wgrad::Error;
use wgrad::data::{Dataset, Split, load_folder};
use wgrad::train::Run;

/// The maximum number of classes for which the matrix is printed.
const WIDEST_MATRIX: usize = 32;

/// Evaluate a run: loss, accuracy and confusion matrix
///
/// Uses the data set of the run unless --data is given. Accuracy and error are in per cent.
#[derive(Debug, Args)]
pub(super) struct EvalArgs {
    /// The run folder, e.g. runs/cnn-1
    run: PathBuf,
    /// A folder of .npy files (x_train.npy, y_train.npy, …) to evaluate on [default: the data set of the run]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The split to evaluate [default: the first that exists of test, val, train]
    #[arg(long, value_enum)]
    split: Option<SplitName>,
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
    split: &'static str,
    rows: usize,
    loss: f64,
    /// In per cent, like `error`.
    accuracy: f64,
    error: f64,
    /// `confusion[label][prediction]`.
    confusion: Vec<Vec<u64>>,
}

impl EvalArgs {
    pub(super) fn run(&self) -> Outcome {
        let mut run = Run::load(&self.run, self.device.device.clone())?;
        let data = match &self.data {
            Some(dir) => load_folder(dir)?,
            None => run.config.data.load()?,
        };
        let (split, samples) = choose(&data, self.split)?;
        let (loss, confusion) = run.evaluate(samples)?;
        if !loss.is_finite() {
            return Err(
                Error::NotFinite(format!("the {split} loss is {loss}: the parameters of the run are invalid")).into()
            );
        }
        let correct: u64 = (0..confusion.len()).map(|k| confusion[k][k]).sum();
        let rows = samples.rows;
        let percent = |count: usize| 100.0 * count as f64 / rows as f64;
        let report = Report {
            run: self.run.clone(),
            device: run.device_name(),
            split,
            rows,
            loss,
            accuracy: percent(correct as usize),
            error: percent(rows - correct as usize),
            confusion,
        };
        if self.json { print_json(&report) } else { print(report.text()) }
    }
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
    fn text(&self) -> String {
        let mut out = format!(
            "{} on {}\n{} {} samples: loss {}, accuracy {:.2} %, error {:.2} %\n\n",
            self.run.display(),
            self.device,
            grouped(self.rows as u64),
            self.split,
            number(self.loss),
            self.accuracy,
            self.error
        );
        out.push_str(&table(&self.confusion));
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
