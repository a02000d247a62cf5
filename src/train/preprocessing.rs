//! What is done to a data set's numbers before the network sees them, kept with the run.

use super::config::{Config, Standardize};
use super::task::Task;
use crate::array::Array;
use crate::data::{Dataset, Samples, TableEncoder, Targets, Vocabulary};
use crate::error::{Error, Result};
use crate::shape::Shape;
use crate::tensor::Tensor;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// `(x − shift)·factor`, with vectors that broadcast against a sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scaling {
    /// The shape of `shift` and `factor`, of the rank of a sample: a size is the sample's or 1.
    pub shape: Vec<usize>,
    /// What is subtracted; nothing if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shift: Vec<f32>,
    /// What is multiplied by.
    pub factor: Vec<f32>,
}

impl Scaling {
    /// The scaling that gives each feature, or each channel (index of the first axis), the mean 0 and the population
    /// standard deviation 1 over `samples`, seen as samples of `shape`. What does not vary is only shifted.
    fn standardizing(samples: &Samples, shape: &[usize], by_channel: bool) -> Result<Self> {
        let features: usize = shape.iter().product();
        let groups = if by_channel { shape[0] } else { features };
        let each = features / groups;
        // Sums about the first sample's values, so that nothing cancels for means far from 0.
        let start: Vec<f64> = samples.read([0])?.chunks_exact(each).map(|group| f64::from(group[0])).collect();
        let mut sums = vec![[0f64; 2]; groups];
        samples.for_each(|sample| {
            for ((group, sums), start) in sample.chunks_exact(each).zip(&mut sums).zip(&start) {
                for &value in group {
                    let distance = f64::from(value) - start;
                    sums[0] += distance;
                    sums[1] += distance * distance;
                }
            }
        })?;
        let count = (samples.rows() * each) as f64;
        let mut scaling = Scaling { shape: vec![1; shape.len()], shift: Vec::new(), factor: Vec::new() };
        if by_channel {
            scaling.shape[0] = groups;
        } else {
            scaling.shape = shape.to_vec();
        }
        for ([sum, squares], start) in sums.into_iter().zip(start) {
            let mean = sum / count;
            let variance = (squares / count - mean * mean).max(0.0);
            let deviation = variance.sqrt();
            // Differences of the size of roundings are not a spread.
            let varies = deviation > 1e-7 * (start + mean).abs();
            scaling.shift.push((start + mean) as f32);
            scaling.factor.push(if varies { (1.0 / deviation) as f32 } else { 1.0 });
        }
        if scaling.factor.iter().chain(&scaling.shift).any(|v| !v.is_finite()) {
            return Err(Error::value("standardize", "a mean or a deviation is beyond f32; scale the data first"));
        }
        Ok(scaling)
    }

    fn constants<'g>(&self, like: Tensor<'g>) -> [Option<Tensor<'g>>; 2] {
        let shape = Shape::from([&[1], &self.shape[..]].concat());
        [&self.shift, &self.factor].map(|values| {
            (!values.is_empty()).then(|| match Array::new(shape.clone(), values.clone()) {
                Ok(array) => like.graph().constant(array),
                Err(error) => like.graph().fail("scaling", error.to_string()),
            })
        })
    }

    /// `(x − shift)·factor` of samples `[n, …]`.
    pub(super) fn apply<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        let [shift, factor] = self.constants(x);
        let shifted = shift.map_or(x, |shift| x - shift);
        factor.map_or(shifted, |factor| shifted * factor)
    }

    /// [`Scaling::apply`] for `x` `[n, …]` whose numbers, of which at least the first `features` of a row count, are in
    /// the order of a sample's features.
    pub(super) fn apply_to_each<'g>(&self, x: Tensor<'g>, features: usize) -> Tensor<'g> {
        let graph = x.graph();
        let rest = x.shape()[1..].to_vec();
        let row: usize = rest.iter().product();
        // A factor per channel is repeated for the channel's features.
        let spread = |values: &[f32]| -> Option<Tensor<'g>> {
            match values {
                [] => None,
                [one] => Some(graph.scalar(f64::from(*one), x.dtype())),
                _ => {
                    let each = features / values.len();
                    let mut all: Vec<f32> = values.iter().flat_map(|&v| std::iter::repeat_n(v, each)).collect();
                    all.resize(row, 1.0);
                    Some(graph.constant(all).reshape([&[1], &rest[..]].concat()))
                }
            }
        };
        let shifted = spread(&self.shift).map_or(x, |shift| x - shift);
        spread(&self.factor).map_or(shifted, |factor| shifted * factor)
    }

    /// The inverse of [`Scaling::apply`], on values `[n, …]` with as many numbers a row.
    pub(super) fn undo<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        let shape = x.shape();
        let rows = Shape::from([&[shape[0]], &self.full(shape.elements() / shape[0].max(1))[..]].concat());
        let inverse: Vec<f32> = self.factor.iter().map(|f| (1.0 / f64::from(*f)) as f32).collect();
        let [shift, factor] = Scaling { factor: inverse, ..self.clone() }.constants(x);
        let x = x.reshape(rows);
        let spread = factor.map_or(x, |factor| x * factor);
        shift.map_or(spread, |shift| spread + shift).reshape(shape)
    }

    /// The shape of a sample of `numbers` numbers.
    fn full(&self, numbers: usize) -> Vec<usize> {
        let own: usize = self.shape.iter().product();
        if own == numbers {
            return self.shape.clone();
        }
        // One factor per channel, or one for all: any shape that broadcasts will do.
        let mut shape = self.shape.clone();
        match shape.last_mut() {
            Some(last) => *last *= numbers / own.max(1),
            None => shape.push(numbers),
        }
        shape
    }
}

/// What is done to samples and targets; `preprocessing.json` of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    /// The task.
    pub task: Task,
    /// The shape of a sample, as the network takes it.
    pub input: Vec<usize>,
    /// The shape of a target; empty for classes.
    #[serde(default)]
    pub target: Vec<usize>,
    /// How samples are scaled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<Scaling>,
    /// How targets are scaled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<Scaling>,
    /// The names of the classes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class_names: Vec<String>,
    /// How the columns of a table become samples and targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<TableEncoder>,
    /// The tokens of a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<Vocabulary>,
}

/// The file of a run's preprocessing.
pub(super) const PREPROCESSING: &str = "preprocessing.json";

impl Preprocessing {
    /// The preprocessing that the settings ask for; means and deviations are those of the training set.
    ///
    /// # Errors
    /// [`Error::Config`] if the task does not suit the data or a setting does not suit the task; errors of reading the
    /// data.
    pub fn fit(config: &Config, data: &Dataset) -> Result<Self> {
        let task = config.task_for(data)?;
        let train = &data.train;
        // Of a sequence, the network sees all tokens but the last.
        let sample = if task == Task::NextToken { vec![train.features() - 1] } else { train.sample_shape().to_vec() };
        let input = config.model.input.clone().unwrap_or_else(|| sample.clone());
        let features: usize = sample.iter().product();
        if input.iter().try_fold(1usize, |a, &b| a.checked_mul(b)) != Some(features) {
            let shape = sample;
            let message = format!("{input:?} does not match the {features} numbers of a sample of shape {shape:?}");
            return Err(Error::config("model.input", message));
        }
        let settings = &config.data;
        if task == Task::NextToken && settings.augment.is_some() {
            return Err(Error::config("data.augment", "changes numbers, but the samples of next_token are tokens"));
        }
        if task == Task::NextToken && (settings.standardize != Standardize::No || settings.scale.is_some()) {
            return Err(Error::config("data", "tokens are numbers of entries: standardize and scale do not suit them"));
        }
        let samples = match settings.standardize {
            Standardize::No => {
                let scale =
                    settings.scale.unwrap_or(if data.scale_bytes && train.x.is_u8() { 1.0 / 255.0 } else { 1.0 });
                let factor = vec![scale as f32];
                (scale != 1.0).then(|| Scaling { shape: vec![1; input.len()], shift: Vec::new(), factor })
            }
            _ if settings.scale.is_some() => {
                return Err(Error::config("data.scale", "has no effect together with data.standardize"));
            }
            how => {
                let by_channel = how == Standardize::Channel || (how == Standardize::Yes && input.len() > 1);
                Some(Scaling::standardizing(&train.x, &input, by_channel)?)
            }
        };
        let target = match (&train.y, task) {
            (_, Task::Autoencoder) => input.clone(),
            (Targets::Values(values), _) => values.shape().to_vec(),
            _ => Vec::new(),
        };
        let targets = match (&train.y, settings.standardize_targets, task) {
            (_, false, _) => None,
            (Targets::Values(values), true, Task::Regression) => {
                Some(Scaling::standardizing(values, values.shape(), false)?)
            }
            _ => return Err(Error::config("data.standardize_targets", format!("is for regression, not for {task}"))),
        };
        let (class_names, table, vocabulary) = (data.class_names.clone(), data.table.clone(), data.vocabulary.clone());
        Ok(Preprocessing { task, input, target, samples, targets, class_names, table, vocabulary })
    }

    /// No preprocessing of samples for classification, as in runs of versions that had none.
    pub(super) fn of_classes(input: Vec<usize>) -> Self {
        Preprocessing {
            task: Task::Classification,
            input,
            target: Vec::new(),
            samples: None,
            targets: None,
            class_names: Vec::new(),
            table: None,
            vocabulary: None,
        }
    }

    /// The shape of a sample as the data have it: of a sequence with the token that is predicted last.
    pub fn sample(&self) -> Vec<usize> {
        if self.task == Task::NextToken { vec![self.input.iter().product::<usize>() + 1] } else { self.input.clone() }
    }

    /// Reads a run's preprocessing; `None` for runs of versions that had none.
    ///
    /// # Errors
    /// [`Error::File`] if the file is damaged.
    pub fn read(run: &Path) -> Result<Option<Self>> {
        let path = run.join(PREPROCESSING);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::file(&path, format!("cannot be read: {e}"))),
        };
        serde_json::from_str(&text).map(Some).map_err(|e| Error::file(&path, format!("is damaged: {e}")))
    }

    /// As JSON.
    pub(super) fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(|e| Error::Internal(format!("preprocessing as JSON: {e}")))
    }
}
