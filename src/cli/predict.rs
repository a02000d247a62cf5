//! `wgrad predict`: predictions of a trained network for the samples in a file.

use super::DeviceArg;
use super::output::{Outcome, note, print};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use wgrad::Error;
use wgrad::data::npy;
use wgrad::train::Run;

/// Predict with the model of a run, from one .npy file to another
///
/// The input is an array of N samples, (N, features) or (N, sample shape…), of any real type, or one sample,
/// (features,). The output is an array of int64 labels, (N,), or of float32 logits or probabilities, (N, classes).
#[derive(Debug, Args)]
pub(super) struct PredictArgs {
    /// The run folder, e.g. runs/cnn-1
    run: PathBuf,
    /// The .npy file of the samples
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// The .npy file to write the predictions to; overwritten if it exists
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// The kind of prediction: class labels, the raw output of the network (logits), or its softmax
    #[arg(long, value_enum, default_value_t = Kind::Labels)]
    kind: Kind,
    #[command(flatten)]
    device: DeviceArg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Labels,
    Logits,
    Probabilities,
}

impl PredictArgs {
    pub(super) fn run(&self) -> Outcome {
        let mut run = Run::load(&self.run, self.device.device.clone())?;
        let array = npy::read_finite(&self.input)?;
        let rows = rows(&array.shape, run.features()).map_err(|message| Error::file(&self.input, message))?;
        if let Some(at) = array.values.iter().position(|&v| (v as f32).is_infinite()) {
            let message = format!("the value at {:?} is {:e}, too large for f32", array.index(at), array.values[at]);
            return Err(Error::file(&self.input, message).into());
        }
        // Overwriting the samples with their predictions is never intended.
        if self.output.canonicalize().is_ok_and(|output| self.input.canonicalize().is_ok_and(|input| input == output)) {
            return Err(Error::file(&self.output, "is the input file; choose another output file").into());
        }
        probe(&self.output)?;
        let x: Vec<f32> = array.values.iter().map(|&v| v as f32).collect();
        let prediction = run.predict(&x)?;
        let classes = prediction.classes;
        if let Some(at) = prediction.logits.iter().position(|v| !v.is_finite()) {
            let message = format!("the output of the network for sample {} is {}", at / classes, prediction.logits[at]);
            return Err(Error::NotFinite(format!("{message}: the parameters or the sample are too large")).into());
        }
        let (dtype, shape) = match self.kind {
            Kind::Labels => {
                let labels: Vec<i64> = prediction.labels().into_iter().map(|label| label as i64).collect();
                npy::write(&self.output, &[rows], &labels)?;
                ("int64", vec![rows])
            }
            Kind::Logits => {
                npy::write(&self.output, &[rows, classes], &prediction.logits)?;
                ("float32", vec![rows, classes])
            }
            Kind::Probabilities => {
                npy::write(&self.output, &[rows, classes], &prediction.probabilities())?;
                ("float32", vec![rows, classes])
            }
        };
        let line = format!("{}  {dtype}  {shape:?}  on {}", self.output.display(), run.device_name());
        // The output may be a pipe or stdout itself.
        if self.output.is_file() {
            print(line)
        } else {
            note(line);
            Ok(())
        }
    }
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
