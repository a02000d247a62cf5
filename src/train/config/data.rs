//! Settings of the data.

use super::augment::AugmentConfig;
use crate::data::{
    Dataset, Fractions, Mnist1dConfig, Mnist1dPreset, SourceOptions, TableEncoder, TargetKind, TextOptions, TokenKind,
    Vocabulary, generate, load,
};
use crate::error::{Error, Result};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::path::{Path, PathBuf};

/// The number of tokens that a network for texts sees, if the settings do not say.
const CONTEXT: usize = 64;

/// What is done about missing values of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// They are an error that names row and column.
    #[default]
    Refuse,
    /// They become the mean of the column over the training set; of categories, the most frequent one.
    Mean,
}

/// Whether samples are shifted and scaled to mean 0 and standard deviation 1 over the training set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standardize {
    /// No.
    #[default]
    No,
    /// Each channel of samples with several axes (`model.input` counts), each feature of others.
    Yes,
    /// Each feature.
    Feature,
    /// Each channel: each index of the first axis.
    Channel,
}

impl Serialize for Standardize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Standardize::No => serializer.serialize_bool(false),
            Standardize::Yes => serializer.serialize_bool(true),
            Standardize::Feature => serializer.serialize_str("feature"),
            Standardize::Channel => serializer.serialize_str("channel"),
        }
    }
}

impl<'de> Deserialize<'de> for Standardize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Given {
            Bool(bool),
            Text(String),
        }
        match Given::deserialize(deserializer)? {
            Given::Bool(false) => Ok(Standardize::No),
            Given::Bool(true) => Ok(Standardize::Yes),
            Given::Text(text) if text == "feature" => Ok(Standardize::Feature),
            Given::Text(text) if text == "channel" => Ok(Standardize::Channel),
            Given::Text(text) => {
                Err(D::Error::custom(format!("standardize is `{text}`, but must be true, false, feature or channel")))
            }
        }
    }
}

/// A text, or a list of them.
fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given {
        One(String),
        More(Vec<String>),
    }
    Ok(match Given::deserialize(deserializer)? {
        Given::One(name) => vec![name],
        Given::More(names) => names,
    })
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The source of the data, and what is done to them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// A file or folder for [`load`]: `.npy` and `.npz` files, IDX files, tables, safetensors. Without it, MNIST-1D is
    /// generated.
    #[serde(skip_serializing_if = "Option::is_none", alias = "dir")]
    pub path: Option<PathBuf>,
    /// The MNIST-1D preset to generate; `udl` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<Mnist1dPreset>,
    /// The seed of the generator, 42 by default, or of the split into sets, 0 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The number of samples to generate; the preset's by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_samples: Option<usize>,
    /// The fraction of a single set that becomes the validation set; 0.2 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val_split: Option<f64>,
    /// The fraction of a single set that becomes the test set; 0 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_split: Option<f64>,
    /// Whether a split keeps the classes' proportions; yes by default, where there are classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stratify: Option<bool>,
    /// The column or columns of a table that are to be predicted.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_more")]
    pub target: Vec<String>,
    /// The columns of a table that are categories: each becomes one number per category, 1 for its own and 0 for the
    /// others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// The columns of a table that are not used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<String>,
    /// The character between the fields of a table; found by itself if missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// Whether a table's first line has the names of its columns; found by itself if missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// The character that begins a comment line of a table, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<char>,
    /// What is done about missing values of a table.
    #[serde(skip_serializing_if = "is_default")]
    pub missing: Missing,
    /// For a text: what a token is, `char` or `byte`. A network for texts predicts each next token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<TokenKind>,
    /// For a text: how many tokens the network sees; 64 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<usize>,
    /// For a text: how many tokens further the next sample starts; `context` by default, so that each token is
    /// predicted once an epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stride: Option<usize>,
    /// Whether samples are standardised.
    #[serde(skip_serializing_if = "is_default")]
    pub standardize: Standardize,
    /// Whether the targets of a regression are standardised. Metrics and predictions are in their own units.
    #[serde(skip_serializing_if = "is_default")]
    pub standardize_targets: bool,
    /// A factor on the samples' values; 1/255 for IDX images of bytes, otherwise 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// Random changes to training samples; none by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub augment: Option<AugmentConfig>,
    /// Whether the sets are kept on the device whole (`true`) or streamed (`false`); found by itself if missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resident: Option<bool>,
}

impl DataConfig {
    /// The settings of a file or folder.
    pub fn from_path(path: impl Into<PathBuf>) -> Self {
        DataConfig { path: Some(path.into()), ..DataConfig::default() }
    }

    /// The same settings for another file or folder; those of the generator are left out.
    pub fn at(self, path: impl Into<PathBuf>) -> Self {
        let seed = self.seed.filter(|_| self.path.is_some());
        DataConfig { path: Some(path.into()), preset: None, num_samples: None, seed, ..self }
    }

    pub(super) fn check(&self) -> Result<()> {
        for (key, value) in [("val_split", self.val_split), ("test_split", self.test_split)] {
            if value.is_some_and(|v| !(0.0..1.0).contains(&v)) {
                let message = format!("must lie in [0, 1), but is {}", value.unwrap_or_default());
                return Err(Error::config(format!("data.{key}"), message));
            }
        }
        if self.val_split.unwrap_or(0.0) + self.test_split.unwrap_or(0.0) >= 1.0 {
            return Err(Error::config("data.test_split", "leaves nothing to train on, together with val_split"));
        }
        for (key, value) in [("context", self.context), ("stride", self.stride)] {
            if value == Some(0) {
                return Err(Error::config(format!("data.{key}"), "must be at least 1"));
            }
            if value.is_some() && self.tokens.is_none() {
                return Err(Error::config(
                    format!("data.{key}"),
                    "is for texts: set data.tokens to \"char\" or \"byte\"",
                ));
            }
        }
        if let Some(augment) = &self.augment {
            augment.check()?;
        }
        if self.scale.is_some_and(|scale| !scale.is_finite() || scale == 0.0) {
            return Err(Error::config("data.scale", "must be a number other than 0"));
        }
        Ok(())
    }

    /// Loads or generates the data, with targets of this kind.
    pub fn load_as(&self, kind: TargetKind) -> Result<Dataset> {
        let Some(path) = &self.path else {
            let for_files = [
                ("target", !self.target.is_empty()),
                ("categories", !self.categories.is_empty()),
                ("ignore", !self.ignore.is_empty()),
                ("delimiter", self.delimiter.is_some()),
                ("header", self.header.is_some()),
                ("comment", self.comment.is_some()),
                ("tokens", self.tokens.is_some()),
                ("missing", self.missing != Missing::default()),
                ("val_split", self.val_split.is_some()),
                ("test_split", self.test_split.is_some()),
                ("stratify", self.stratify.is_some()),
            ];
            if let Some((key, _)) = for_files.iter().find(|(_, given)| *given) {
                return Err(Error::config(format!("data.{key}"), "is for data from files, but data.path is missing"));
            }
            let (preset, config) = self.generator();
            return generate(&config)?.dataset(preset);
        };
        for (key, given) in [("preset", self.preset.is_some()), ("num_samples", self.num_samples.is_some())] {
            if given {
                let message = "is for generated data and cannot be combined with data.path";
                return Err(Error::config(format!("data.{key}"), message));
            }
        }
        load(path, kind, &self.source_options())
    }

    /// Loads another data set at `path` for a run with these settings, undivided unless it has several sets. `encoder`
    /// is the run's for tables, `vocabulary` the run's for texts.
    pub fn load_other(
        &self,
        path: &Path,
        kind: TargetKind,
        encoder: Option<&TableEncoder>,
        vocabulary: Option<&Vocabulary>,
    ) -> Result<Dataset> {
        let fractions = Fractions { val: 0.0, test: 0.0, ..Fractions::default() };
        let options = self.source_options();
        let text = options.text.clone().map(|text| TextOptions { vocabulary: vocabulary.cloned(), ..text });
        let encoder = encoder.cloned();
        load(path, kind, &SourceOptions { fractions, split_asked: false, encoder, text, ..options })
    }

    /// As [`DataConfig::load_as`], with targets of whatever kind the data have.
    pub fn load(&self) -> Result<Dataset> {
        self.load_as(TargetKind::Auto)
    }

    fn source_options(&self) -> SourceOptions {
        SourceOptions {
            target: self.target.clone(),
            categories: self.categories.clone(),
            ignore: self.ignore.clone(),
            delimiter: self.delimiter,
            header: self.header,
            comment: self.comment,
            fill_missing: self.missing == Missing::Mean,
            fractions: Fractions {
                val: self.val_split.unwrap_or(if self.test_split.is_some() { 0.0 } else { 0.2 }),
                test: self.test_split.unwrap_or(0.0),
                seed: self.seed.unwrap_or(0),
                stratify: self.stratify.unwrap_or(true),
            },
            split_asked: self.val_split.is_some() || self.test_split.is_some(),
            in_file: self.resident == Some(false),
            encoder: None,
            text: self.tokens.map(|tokens| TextOptions {
                tokens,
                length: self.context.unwrap_or(CONTEXT),
                stride: self.stride,
                vocabulary: None,
            }),
        }
    }

    fn generator(&self) -> (Mnist1dPreset, Mnist1dConfig) {
        let preset = self.preset.unwrap_or(Mnist1dPreset::Udl);
        let mut config = preset.config();
        if let Some(seed) = self.seed {
            config = config.with_seed(seed);
        }
        if let Some(samples) = self.num_samples {
            config = config.with_num_samples(samples);
        }
        (preset, config)
    }

    /// The same settings with every default of the generator written out.
    pub fn resolved(&self) -> Self {
        if self.path.is_some() {
            return self.clone();
        }
        let (preset, config) = self.generator();
        let (seed, samples) = (config.seed, config.num_samples);
        DataConfig { preset: Some(preset), seed: Some(seed), num_samples: Some(samples), ..self.clone() }
    }
}
