//! `wgrad predict`: predictions of a trained network for the samples in a file.

use super::DeviceArg;
use super::output::{Outcome, note, print};
use clap::{Args, ValueEnum};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use wgrad::Error;
use wgrad::data::{Samples, atomic_write, npy, table};
use wgrad::train::{Prediction, Run, Task};

/// Predict with the model of a run, from one file to another
///
/// The input is a .npy array of N samples, (N, features) or (N, sample shape…), of any real type, or one sample,
/// (features,); or, for a run trained on a table, a .csv or .tsv table with its columns. The output, .npy or .csv, has a
/// row for each sample: class labels (int64; in .csv by name), probabilities, or values in the target's own units.
#[derive(Debug, Args)]
pub(super) struct PredictArgs {
    /// The run folder, e.g. runs/cnn-1
    run: PathBuf,
    /// The .npy, .csv or .tsv file of the samples
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// The .npy or .csv file to write the predictions to; overwritten if it exists
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// The kind of prediction: class labels (or yes and no), the raw output of the network (logits), probabilities, or
    /// values in the target's own units [default: labels for classes, values for other targets]
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    #[command(flatten)]
    device: DeviceArg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Labels,
    Logits,
    Probabilities,
    Values,
}

/// What is written: integers or floats, a row for each sample.
enum Rows {
    Labels(Vec<i64>),
    Floats(Vec<f32>),
}

impl PredictArgs {
    pub(super) fn run(&self) -> Outcome {
        let mut run = Run::load(&self.run, self.device.device.clone())?;
        let task = run.preprocessing().task;
        let kind = self.kind.unwrap_or(match task {
            Task::Regression | Task::Autoencoder => Kind::Values,
            Task::NextToken => {
                return Err(Error::config("RUN", "was trained on next tokens: `wgrad generate` continues texts").into());
            }
            _ => Kind::Labels,
        });
        let has_classes = matches!(task, Task::Classification | Task::Binary | Task::Multilabel);
        if has_classes == (kind == Kind::Values) && kind != Kind::Logits {
            let suits = if has_classes { "labels, logits or probabilities" } else { "values or logits" };
            let message = format!("does not suit a run of {task}; use {suits}");
            return Err(Error::config("--kind", message).into());
        }
        let samples = self.samples(&run)?;
        // Overwriting the samples with their predictions is never intended.
        if self.output.canonicalize().is_ok_and(|output| self.input.canonicalize().is_ok_and(|input| input == output)) {
            return Err(Error::file(&self.output, "is the input file; choose another output file").into());
        }
        probe(&self.output)?;
        let (rows, width) = (samples.as_ref().map_or(0, Samples::rows), run.outputs());
        let prediction = match &samples {
            Some(samples) => run.predict(samples)?,
            None => Prediction {
                task,
                outputs: Vec::new(),
                width,
                values: Vec::new(),
                shape: vec![width],
                is_probability: false,
            },
        };
        if let Some(at) = prediction.outputs.iter().position(|v| !v.is_finite()) {
            let message = format!("the output of the network for sample {} is {}", at / width, prediction.outputs[at]);
            return Err(Error::NotFinite(format!("{message}: the parameters or the sample are too large")).into());
        }
        let one = task == Task::Classification || (task == Task::Binary && kind != Kind::Logits);
        let (content, shape) = match kind {
            Kind::Labels => {
                let labels = prediction.labels().into_iter().map(|label| label as i64).collect();
                (Rows::Labels(labels), if one { vec![rows] } else { vec![rows, width] })
            }
            Kind::Logits => (Rows::Floats(prediction.outputs), vec![rows, width]),
            Kind::Probabilities => (Rows::Floats(prediction.probabilities()), vec![rows, width]),
            Kind::Values => {
                let shape = [&[rows], &prediction.shape[..]].concat();
                (Rows::Floats(prediction.values), shape)
            }
        };
        let dtype = if matches!(content, Rows::Labels(_)) { "int64" } else { "float32" };
        if self.output.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv")) {
            let text = csv(&content, rows, &header(&run, kind, &shape), &run.preprocessing().class_names, task);
            atomic_write(&self.output, |file| file.write_all(text.as_bytes()))?;
        } else {
            match &content {
                Rows::Labels(labels) => npy::write(&self.output, &shape, labels)?,
                Rows::Floats(values) => npy::write(&self.output, &shape, values)?,
            }
        }
        let line = format!("{}  {dtype}  {shape:?}  on {}", self.output.display(), run.device_name());
        // The output may be a pipe or stdout itself.
        if self.output.is_file() {
            print(line)
        } else {
            note(line);
            Ok(())
        }
    }

    /// The samples in the input file; `None` if there are none.
    fn samples(&self, run: &Run) -> Result<Option<Samples>, Error> {
        let wrong = |message: String| Error::file(&self.input, message);
        let ending = self.input.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
        if matches!(ending.as_str(), "csv" | "tsv") {
            let Some(encoder) = &run.preprocessing().table else {
                return Err(wrong("is a table, but the run was not trained on one".into()));
            };
            let data = &run.config.data;
            let delimiter = data.delimiter.or((ending == "tsv").then_some('\t'));
            let options = table::TableOptions { delimiter, header: data.header, comment: data.comment };
            let file = std::fs::File::open(&self.input).map_err(|e| wrong(format!("could not open: {e}")))?;
            let table = table::read_table(file, &options).map_err(wrong)?;
            let (values, width) = encoder.features(&table).map_err(wrong)?;
            return Samples::new(values, [width]).map(Some).map_err(|e| Error::file(&self.input, e));
        }
        let array = npy::read_finite(&self.input)?;
        let rows = rows(&array.shape, run.features()).map_err(wrong)?;
        if let Some(at) = array.values.iter().position(|&v| (v as f32).is_infinite()) {
            return Err(wrong(format!(
                "the value at {:?} is {:e}, too large for f32",
                array.index(at),
                array.values[at]
            )));
        }
        let x: Vec<f32> = array.values.iter().map(|&v| v as f32).collect();
        if rows == 0 { Ok(None) } else { Samples::new(x, [run.features()]).map(Some) }
    }
}

/// The names of the columns of a table of predictions.
fn header(run: &Run, kind: Kind, shape: &[usize]) -> Vec<String> {
    let preprocessing = run.preprocessing();
    let columns: usize = shape[1..].iter().product();
    let targets = preprocessing.table.as_ref().map(table::Encoder::target_names).unwrap_or_default();
    if kind == Kind::Labels && targets.len() == columns {
        return targets;
    }
    match kind {
        Kind::Values if targets.len() == columns => targets,
        _ if columns == preprocessing.class_names.len() => preprocessing.class_names.clone(),
        _ if columns == 1 => vec![if kind == Kind::Labels { "label" } else { "prediction" }.into()],
        _ => (0..columns).map(|k| k.to_string()).collect(),
    }
}

/// A table of predictions; labels of named classes by name.
fn csv(content: &Rows, rows: usize, header: &[String], classes: &[String], task: Task) -> String {
    let quoted = |text: &str| {
        if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.into() }
    };
    let mut out = header.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(",");
    out.push('\n');
    let name = |label: &i64| match classes.get(*label as usize) {
        Some(name) if task != Task::Multilabel => quoted(name),
        _ => label.to_string(),
    };
    let cells: Vec<String> = match content {
        Rows::Labels(labels) => labels.iter().map(name).collect(),
        Rows::Floats(values) => values.iter().map(f32::to_string).collect(),
    };
    for row in cells.chunks((cells.len() / rows.max(1)).max(1)) {
        let _ = writeln!(out, "{}", row.join(","));
    }
    out
}

/// The number of samples with `features` values in an array of this shape, or why the shape is invalid.
fn rows(shape: &[usize], features: usize) -> Result<usize, String> {
    let sample = |axes: &[usize]| axes.iter().try_fold(1usize, |a, &b| a.checked_mul(b)) == Some(features);
    match shape {
        // For a network with one feature, (N,) is N samples.
        [n] if features == 1 => Ok(*n),
        [n] if *n == features => Ok(1),
        [n, rest @ ..] if !rest.is_empty() && sample(rest) => Ok(*n),
        _ => {
            let transposed = matches!(shape, [first, _] if *first == features);
            let remedy = if transposed { "; transpose it, so that each row is a sample" } else { "" };
            Err(format!("the shape is {shape:?}, but the network expects [N, {features}]{remedy}"))
        }
    }
}

/// Checks in advance that the output can be written.
fn probe(output: &Path) -> Result<(), Error> {
    if output.is_dir() {
        return Err(Error::file(output, "is a folder, not a file"));
    }
    if output.exists() && !output.is_file() {
        return Ok(());
    }
    let folder = output.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(Error::file(output, format!("the folder {} does not exist", folder.display())));
    }
    let probe = tempfile::Builder::new().prefix(".wgrad-probe").tempfile_in(folder);
    probe.map(drop).map_err(|e| Error::file(output, format!("cannot be written: {e}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::rows;

    #[test]
    fn samples_lie_along_the_first_axis() {
        assert_eq!(rows(&[7, 40], 40), Ok(7));
        assert_eq!(rows(&[7, 2, 20], 40), Ok(7));
        assert_eq!(rows(&[40], 40), Ok(1));
        assert_eq!(rows(&[40, 40], 40), Ok(40));
        assert_eq!(rows(&[5], 1), Ok(5));
        assert_eq!(rows(&[0, 40], 40), Ok(0));
        for bad in [&[][..], &[39], &[40, 7], &[80], &[7, 41], &[2, usize::MAX, 2]] {
            let message = rows(bad, 40).unwrap_err();
            assert!(message.contains(&format!("{bad:?}")) && message.contains("[N, 40]"), "{message}");
        }
        assert!(rows(&[40, 7], 40).unwrap_err().contains("transpose"));
    }
}
