//! The settings of the MNIST-1D generator, and the published data sets as presets.

use super::{Mnist1d, TEMPLATE_POINTS};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The largest number of values of a generated data set: 2 GiB of f64.
const MAX_VALUES: usize = 1 << 28;
/// The largest length of a signal before it is resampled to its final length.
const MAX_LENGTH: usize = 1 << 20;

/// The generator's arguments, with the names and defaults of the `mnist1d` Python package.
///
/// When deserialised, missing fields take their defaults, and unknown fields are rejected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mnist1dConfig {
    /// The number of samples, at least 10. Each class gets a tenth, rounded down. Default 5000.
    pub num_samples: usize,
    /// The fraction of the samples used for training, from 0 to 1. Default 0.8.
    pub train_split: f64,
    /// With `padding[1]`, determines the length of the signal before it is resampled; at least 2. Default 12.
    ///
    /// The templates always have 12 points: as in the Python package, this value affects only that length.
    pub template_len: usize,
    /// The minimum and maximum number of zeros appended to a template. More zeros make the digit narrower. Default
    /// `[36, 60]`.
    pub padding: [usize; 2],
    /// Amplitudes are scaled by a random factor within 1 ± half of this value. Default 0.4.
    pub scale_coeff: f64,
    /// Signals are rotated by 0 to `max_translation - 1` positions; at least 1. Default 48.
    ///
    /// As in the Python package, a rotation by the length of the signal or more leaves it unchanged.
    pub max_translation: usize,
    /// The scale of the smoothed (correlated) noise in the padding around the digit. Default 0.25.
    pub corr_noise_scale: f64,
    /// The scale of the white noise added everywhere. Default 0.02.
    pub iid_noise_scale: f64,
    /// The scale of the random linear ramp that is subtracted. Default 0.75.
    pub shear_scale: f64,
    /// Whether to permute the time steps randomly, in the same way for all samples. Default false.
    pub shuffle_seq: bool,
    /// The length of the final signal, at least 1. Default 40.
    pub final_seq_length: usize,
    /// The seed of NumPy's legacy generator, at most 2³² − 1. Default 42.
    pub seed: u64,
}

impl Default for Mnist1dConfig {
    fn default() -> Self {
        Mnist1dConfig {
            num_samples: 5000,
            train_split: 0.8,
            template_len: TEMPLATE_POINTS,
            padding: [36, 60],
            scale_coeff: 0.4,
            max_translation: 48,
            corr_noise_scale: 0.25,
            iid_noise_scale: 0.02,
            shear_scale: 0.75,
            shuffle_seq: false,
            final_seq_length: 40,
            seed: 42,
        }
    }
}

impl Mnist1dConfig {
    /// The data set of the MNIST-1D paper: 5,000 samples, of which 4,000 are for training.
    pub fn paper() -> Self {
        Self::default()
    }

    /// The data set of the *Understanding Deep Learning* notebooks: 10,000 samples.
    /// Its splits are those of [`Mnist1dPreset::Udl`].
    pub fn udl() -> Self {
        Mnist1dConfig { num_samples: 10_000, ..Self::default() }
    }

    /// The same settings with another seed.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Mnist1dConfig { seed, ..self }
    }

    /// The same settings with another number of samples.
    #[must_use]
    pub fn with_num_samples(self, num_samples: usize) -> Self {
        Mnist1dConfig { num_samples, ..self }
    }

    /// Checks that the settings are valid.
    ///
    /// # Errors
    /// [`Error::Config`] naming the setting, e.g. `mnist1d.padding`, and the accepted values.
    pub fn validate(&self) -> Result<()> {
        self.check().map_err(|(setting, message)| Error::config(format!("mnist1d.{setting}"), message))
    }

    fn check(&self) -> Result<(), (&'static str, String)> {
        let scales = [
            ("scale_coeff", self.scale_coeff),
            ("corr_noise_scale", self.corr_noise_scale),
            ("iid_noise_scale", self.iid_noise_scale),
            ("shear_scale", self.shear_scale),
        ];
        for (setting, value) in scales {
            if !value.is_finite() {
                return Err((setting, format!("{value} is not a finite number")));
            }
        }
        if !(0.0..=1.0).contains(&self.train_split) {
            return Err(("train_split", format!("{} is not between 0 and 1", self.train_split)));
        }
        if self.num_samples < 10 {
            return Err(("num_samples", format!("{} is too few: at least 10, one per class", self.num_samples)));
        }
        if self.template_len < 2 {
            return Err(("template_len", format!("{} is too short: at least 2", self.template_len)));
        }
        let [low, high] = self.padding;
        if low > high {
            return Err(("padding", format!("[{low}, {high}] is not in ascending order")));
        }
        if self.template_len.saturating_add(high) > MAX_LENGTH {
            let message = format!(
                "{high} with template_len {} gives a signal of more than {MAX_LENGTH} points",
                self.template_len
            );
            return Err(("padding", message));
        }
        if self.max_translation == 0 {
            return Err(("max_translation", "0 is too small: at least 1, which means no rotation".into()));
        }
        if self.final_seq_length == 0 {
            return Err(("final_seq_length", "0 is too small: at least 1".into()));
        }
        if self.num_samples.saturating_mul(self.final_seq_length) > MAX_VALUES {
            let message = format!(
                "{} samples of length {} are more than {MAX_VALUES} values",
                self.num_samples, self.final_seq_length
            );
            return Err(("num_samples", message));
        }
        if self.seed > u64::from(u32::MAX) {
            return Err(("seed", format!("{} is too large: NumPy's generator takes at most {}", self.seed, u32::MAX)));
        }
        Ok(())
    }
}

/// The rows of each split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitRanges {
    /// Training rows.
    pub train: Range<usize>,
    /// Validation rows.
    pub val: Option<Range<usize>>,
    /// Test rows.
    pub test: Option<Range<usize>>,
}

/// The published data sets: the number of samples, and how they are split.
///
/// Serialised as `"paper"` and `"udl"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mnist1dPreset {
    /// The MNIST-1D paper: 5,000 samples; the first `train_split` of them for training, the rest for testing.
    #[default]
    Paper,
    /// *Understanding Deep Learning*: 10,000 samples; the first 40 % for training, the next 20 % for validation, the
    /// next 20 % for testing (rows 0–3999, 4000–5999, 6000–7999). The last fifth and `train_split` are not used.
    Udl,
}

impl Mnist1dPreset {
    /// The preset's generator settings.
    pub fn config(self) -> Mnist1dConfig {
        match self {
            Mnist1dPreset::Paper => Mnist1dConfig::paper(),
            Mnist1dPreset::Udl => Mnist1dConfig::udl(),
        }
    }

    /// The split of `data` by this preset. A split without rows is `None`; `train` may be empty.
    pub fn ranges(self, data: &Mnist1d) -> SplitRanges {
        let some = |range: Range<usize>| (!range.is_empty()).then_some(range);
        match self {
            Mnist1dPreset::Paper => {
                SplitRanges { train: 0..data.train_rows, val: None, test: some(data.train_rows..data.rows) }
            }
            Mnist1dPreset::Udl => {
                let fifths = |k: usize| data.rows * k / 5;
                SplitRanges { train: 0..fifths(2), val: some(fifths(2)..fifths(3)), test: some(fifths(3)..fifths(4)) }
            }
        }
    }
}

impl std::str::FromStr for Mnist1dPreset {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "paper" => Ok(Mnist1dPreset::Paper),
            "udl" => Ok(Mnist1dPreset::Udl),
            other => Err(Error::config("preset", format!("`{other}` is not one of: paper, udl"))),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn bad_settings_are_named() {
        let good = Mnist1dConfig::paper;
        let cases = [
            (Mnist1dConfig { num_samples: 9, ..good() }, "num_samples"),
            (Mnist1dConfig { num_samples: usize::MAX, ..good() }, "num_samples"),
            (Mnist1dConfig { train_split: 1.5, ..good() }, "train_split"),
            (Mnist1dConfig { train_split: -0.1, ..good() }, "train_split"),
            (Mnist1dConfig { train_split: f64::NAN, ..good() }, "train_split"),
            (Mnist1dConfig { template_len: 1, ..good() }, "template_len"),
            (Mnist1dConfig { template_len: usize::MAX, ..good() }, "padding"),
            (Mnist1dConfig { padding: [60, 36], ..good() }, "padding"),
            (Mnist1dConfig { padding: [0, usize::MAX], ..good() }, "padding"),
            (Mnist1dConfig { scale_coeff: f64::INFINITY, ..good() }, "scale_coeff"),
            (Mnist1dConfig { corr_noise_scale: f64::NAN, ..good() }, "corr_noise_scale"),
            (Mnist1dConfig { iid_noise_scale: f64::NEG_INFINITY, ..good() }, "iid_noise_scale"),
            (Mnist1dConfig { shear_scale: f64::NAN, ..good() }, "shear_scale"),
            (Mnist1dConfig { max_translation: 0, ..good() }, "max_translation"),
            (Mnist1dConfig { final_seq_length: 0, ..good() }, "final_seq_length"),
            (Mnist1dConfig { final_seq_length: 1 << 40, ..good() }, "num_samples"),
            (good().with_seed(1 << 32), "seed"),
        ];
        for (config, setting) in cases {
            let error = config.validate().unwrap_err();
            assert!(error.to_string().starts_with(&format!("mnist1d.{setting}: ")), "{error}");
        }
        assert!(Mnist1dConfig::udl().with_seed(u64::from(u32::MAX)).validate().is_ok());
    }

    #[test]
    fn configs_read_from_text_with_defaults() {
        let config: Mnist1dConfig = serde_json::from_str(r#"{"seed": 7, "padding": [1, 2]}"#).unwrap();
        assert_eq!(config, Mnist1dConfig { padding: [1, 2], ..Mnist1dConfig::paper().with_seed(7) });
        assert!(serde_json::from_str::<Mnist1dConfig>(r#"{"num_sample": 7}"#).is_err());
        let text = serde_json::to_string(&Mnist1dConfig::udl()).unwrap();
        assert_eq!(serde_json::from_str::<Mnist1dConfig>(&text).unwrap(), Mnist1dConfig::udl());
        assert_eq!("udl".parse::<Mnist1dPreset>().unwrap(), serde_json::from_str("\"udl\"").unwrap());
        assert!("mnist".parse::<Mnist1dPreset>().unwrap_err().to_string().contains("paper, udl"));
    }
}
