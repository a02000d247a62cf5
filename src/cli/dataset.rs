//! `wgrad dataset`: writes data sets as `.npy` files.

use super::output::{Outcome, print, print_json};
use clap::{Args, Subcommand};
use serde::Serialize;
use std::path::{Path, PathBuf};
use wgrad::data::{Mnist1dConfig, Mnist1dPreset, npy, write_mnist1d};

/// Write a data set as .npy files
#[derive(Debug, Subcommand)]
pub(super) enum DatasetCommand {
    Mnist1d(Mnist1dArgs),
}

/// Generate MNIST-1D, with the same samples as the published generator
///
/// Writes x_train.npy (float64, samples × length) and y_train.npy (int64), and the same for the preset's val and test
/// splits. `wgrad train --data DIR` reads the folder. Defaults are those of the `mnist1d` Python package.
#[derive(Debug, Args)]
pub(super) struct Mnist1dArgs {
    /// The folder to write to; created if missing
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The preset: paper (5,000 samples: 80 % train, 20 % test) or udl (10,000: 40 % train, 20 % val, 20 % test)
    #[arg(long, default_value = "paper", value_parser = preset)]
    preset: Mnist1dPreset,
    /// The seed of NumPy's legacy generator, 0 to 4294967295 [default: 42]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The number of samples, at least 10; rounded down to a multiple of 10 [default: 5000, or 10000 for udl]
    #[arg(long, value_name = "N")]
    samples: Option<usize>,
    /// The fraction of samples for training, 0 to 1; preset paper only [default: 0.8]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    train_split: Option<f64>,
    /// The signal's length before resampling, less the largest padding, in points [default: 12]
    #[arg(long, value_name = "N")]
    template_len: Option<usize>,
    /// The minimum and maximum number of zeros appended to a template, in points [default: 36 60]
    #[arg(long, num_args = 2, value_names = ["LO", "HI"])]
    padding: Option<Vec<usize>>,
    /// Amplitudes are scaled by a random factor within 1 ± half of this [default: 0.4]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    scale_coeff: Option<f64>,
    /// Signals are circularly shifted by 0 to N - 1 points [default: 48]
    #[arg(long, value_name = "N")]
    max_translation: Option<usize>,
    /// The scale of the smoothed (correlated) noise around the digit [default: 0.25]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    corr_noise_scale: Option<f64>,
    /// The scale of the white noise added to the whole signal [default: 0.02]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    iid_noise_scale: Option<f64>,
    /// The scale of the random linear ramp [default: 0.75]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    shear_scale: Option<f64>,
    /// Permute the points randomly, in the same order for all samples
    #[arg(long)]
    shuffle_seq: bool,
    /// The length of the final signal, in points [default: 40]
    #[arg(long, value_name = "N")]
    final_seq_length: Option<usize>,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

fn preset(name: &str) -> Result<Mnist1dPreset, String> {
    name.parse().map_err(|_| "must be paper or udl".to_string())
}

/// The files written, and the settings they were generated from.
#[derive(Debug, Serialize)]
struct Report<'a> {
    out: &'a Path,
    preset: Mnist1dPreset,
    config: Mnist1dConfig,
    files: Vec<Written>,
}

/// A file that was written.
#[derive(Debug, Serialize)]
struct Written {
    path: PathBuf,
    dtype: &'static str,
    shape: Vec<usize>,
}

impl DatasetCommand {
    pub(super) fn run(&self) -> Outcome {
        match self {
            DatasetCommand::Mnist1d(args) => args.run(),
        }
    }
}

impl Mnist1dArgs {
    fn resolve(&self) -> Mnist1dConfig {
        let base = self.preset.config();
        let padding = self.padding.as_ref().map_or(base.padding, |p| [p[0], p[1]]);
        Mnist1dConfig {
            num_samples: self.samples.unwrap_or(base.num_samples),
            train_split: self.train_split.unwrap_or(base.train_split),
            template_len: self.template_len.unwrap_or(base.template_len),
            padding,
            scale_coeff: self.scale_coeff.unwrap_or(base.scale_coeff),
            max_translation: self.max_translation.unwrap_or(base.max_translation),
            corr_noise_scale: self.corr_noise_scale.unwrap_or(base.corr_noise_scale),
            iid_noise_scale: self.iid_noise_scale.unwrap_or(base.iid_noise_scale),
            shear_scale: self.shear_scale.unwrap_or(base.shear_scale),
            shuffle_seq: self.shuffle_seq,
            final_seq_length: self.final_seq_length.unwrap_or(base.final_seq_length),
            seed: self.seed.unwrap_or(base.seed),
        }
    }

    fn run(&self) -> Outcome {
        let config = self.resolve();
        let mut files: Vec<Written> = Vec::new();
        // Samples and labels alternate; reading the labels is the cheap way to get the number of rows.
        for pair in write_mnist1d(&config, self.preset, &self.out)?.chunks_exact(2) {
            let rows = npy::read(&pair[1])?.values.len();
            let shape = vec![rows, config.final_seq_length];
            files.push(Written { path: pair[0].clone(), dtype: "float64", shape });
            files.push(Written { path: pair[1].clone(), dtype: "int64", shape: vec![rows] });
        }
        if self.json {
            return print_json(&Report { out: &self.out, preset: self.preset, config, files });
        }
        let width = files.iter().map(|f| f.path.display().to_string().len()).max().unwrap_or(0);
        for Written { path, dtype, shape } in &files {
            print(format_args!("{:width$}  {dtype:7}  {shape:?}", path.display().to_string()))?;
        }
        Ok(())
    }
}
