//! Data sets: samples with their targets, in up to three splits.

use super::samples::Samples;
use super::table::Encoder;
use super::text::Vocabulary;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What is to be predicted of each sample.
#[derive(Debug, Clone, PartialEq)]
pub enum Targets {
    /// A class, as an index.
    Classes(Arc<Vec<u32>>),
    /// Numbers of any shape.
    Values(Samples),
    /// Nothing: samples without targets, as an autoencoder takes them.
    None,
}

impl Targets {
    /// The number of samples that have targets; `None` for [`Targets::None`].
    fn rows(&self) -> Option<usize> {
        match self {
            Targets::Classes(labels) => Some(labels.len()),
            Targets::Values(values) => Some(values.rows()),
            Targets::None => None,
        }
    }
    /// The classes, if the targets are classes.
    pub fn classes(&self) -> Option<&[u32]> {
        match self {
            Targets::Classes(labels) => Some(labels),
            _ => None,
        }
    }
    fn select(&self, rows: &[u32]) -> Result<Self> {
        Ok(match self {
            Targets::Classes(labels) => {
                Targets::Classes(Arc::new(rows.iter().map(|&row| labels[row as usize]).collect()))
            }
            Targets::Values(values) => Targets::Values(values.select(rows.to_vec())?),
            Targets::None => Targets::None,
        })
    }
}

/// Samples with their targets: one split of a data set.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// The samples.
    pub x: Samples,
    /// The target of each sample.
    pub y: Targets,
}

impl Split {
    /// A split of `y.len()` samples of shape `sample_shape`, with the class of each.
    ///
    /// # Errors
    /// [`Error::Value`] if there are no samples, a sample has no values, `x` does not hold
    /// `y.len()` × the product of `sample_shape` values, or a value is not finite.
    pub fn new(x: Vec<f32>, y: Vec<u32>, sample_shape: impl Into<Vec<usize>>) -> Result<Self> {
        Split::of(Samples::new(x, sample_shape)?, Targets::Classes(Arc::new(y)))
    }

    /// A split of samples and their targets.
    ///
    /// # Errors
    /// [`Error::Value`] if their numbers differ, or there are more than 2³² − 1.
    pub fn of(x: Samples, y: Targets) -> Result<Self> {
        if let Some(targets) = y.rows().filter(|&rows| rows != x.rows()) {
            let message = format!("{targets} targets do not match {} samples of shape {:?}", x.rows(), x.shape());
            return Err(Error::value("data", message));
        }
        if u32::try_from(x.rows()).is_err() {
            return Err(Error::value("data", format!("{} samples are more than 2^32 - 1", x.rows())));
        }
        Ok(Split { x, y })
    }

    /// The number of samples.
    pub fn rows(&self) -> usize {
        self.x.rows()
    }
    /// The number of values in a sample.
    pub fn features(&self) -> usize {
        self.x.features()
    }
    /// The shape of a sample, e.g. `[40]` or `[channels, length]`.
    pub fn sample_shape(&self) -> &[usize] {
        self.x.shape()
    }

    /// The samples with these indices.
    ///
    /// # Errors
    /// As [`Samples::select`].
    pub fn select(&self, rows: &[u32]) -> Result<Self> {
        Split::of(self.x.select(rows.to_vec())?, self.y.select(rows)?)
    }
}

/// A data set in up to three splits.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// The training split.
    pub train: Split,
    /// The validation split, if there is one: it guides the choice of settings.
    pub val: Option<Split>,
    /// The test split, if there is one: it measures the final result.
    pub test: Option<Split>,
    /// The number of classes, each label being less; 0 if the targets are not classes.
    pub classes: usize,
    /// The names of the classes, if they have names.
    pub class_names: Vec<String>,
    /// How the columns of a table became samples and targets, if the data come from a table.
    pub table: Option<Encoder>,
    /// Whether samples of bytes are images, whose values 0 to 255 stand for 0 to 1.
    pub scale_bytes: bool,
    /// The tokens of a text: each sample is a sequence of them, `classes` different ones.
    pub vocabulary: Option<Vocabulary>,
}

/// Which targets are wanted of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum TargetKind {
    /// Classes if each sample has one whole number or text, otherwise numbers. In a table, numbers are classes if they
    /// are 0 to n − 1, all of them present, with n from 2 to 100 and at most half the number of rows.
    #[default]
    Auto,
    /// One of several classes.
    Classes,
    /// One or more numbers.
    Values,
    /// None.
    None,
}

impl Dataset {
    /// A data set with `classes` classes; 0 if the targets are not classes.
    ///
    /// # Errors
    /// [`Error::Value`] if a label is not below `classes`, or the splits' samples or targets differ in shape or kind.
    pub fn new(train: Split, val: Option<Split>, test: Option<Split>, classes: usize) -> Result<Self> {
        let (class_names, table, vocabulary) = (Vec::new(), None, None);
        let data = Dataset { train, val, test, classes, class_names, table, scale_bytes: false, vocabulary };
        for (name, split) in data.splits() {
            let wrong = |message: String| Err(Error::value(format!("data split `{name}`"), message));
            let (found, expected) = (split.sample_shape(), data.train.sample_shape());
            if found != expected {
                return wrong(format!("its samples have shape {found:?}, train's {expected:?}"));
            }
            match (&split.y, &data.train.y) {
                (Targets::Classes(labels), Targets::Classes(_)) => {
                    if let Some(row) = labels.iter().position(|&label| label as usize >= classes) {
                        let label = labels[row];
                        return wrong(format!("the label of sample {row} is {label}, but there are {classes} classes"));
                    }
                }
                (Targets::Values(values), Targets::Values(train)) if values.shape() != train.shape() => {
                    return wrong(format!("its targets have shape {:?}, train's {:?}", values.shape(), train.shape()));
                }
                (Targets::Values(_), Targets::Values(_)) | (Targets::None, Targets::None) => {}
                _ => return wrong("its targets are not of the kind of train's (classes, numbers or none)".into()),
            }
        }
        Ok(data)
    }

    /// Sets the names of the classes.
    pub fn with_class_names(self, class_names: Vec<String>) -> Self {
        Dataset { class_names, ..self }
    }

    /// The existing splits with their names: `train`, `val`, `test`.
    pub fn splits(&self) -> impl Iterator<Item = (&'static str, &Split)> {
        let named = [("train", Some(&self.train)), ("val", self.val.as_ref()), ("test", self.test.as_ref())];
        named.into_iter().filter_map(|(name, split)| split.map(|s| (name, s)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn splits_are_checked() {
        let split = Split::new(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], vec![0, 1], [3]).unwrap();
        assert_eq!((split.rows(), split.features()), (2, 3));
        assert!(Split::new(vec![1.0; 6], vec![0, 1, 1], [3]).is_err());
        let second = split.select(&[1]).unwrap();
        assert_eq!((second.x.to_f32().unwrap(), second.y.classes().unwrap()), (vec![4.0, 5.0, 6.0], &[1][..]));
    }

    #[test]
    fn data_sets_are_checked() {
        let split = |label, shape: &[usize]| Split::new(vec![0.5; 4], vec![0, label], shape).unwrap();
        assert!(Dataset::new(split(1, &[2]), None, Some(split(1, &[2])), 2).is_ok());
        let error = Dataset::new(split(1, &[2]), None, Some(split(2, &[2])), 2).unwrap_err().to_string();
        assert!(error.contains("`test`") && error.contains("sample 1 is 2"), "{error}");
        let error = Dataset::new(split(1, &[2]), Some(split(1, &[1, 2])), None, 2).unwrap_err().to_string();
        assert!(error.contains("`val`") && error.contains("[1, 2]"), "{error}");
        let values = Targets::Values(Samples::new(vec![0.5; 2], [1]).unwrap());
        let mixed = Split { y: values, ..split(1, &[2]) };
        assert!(Dataset::new(split(1, &[2]), None, Some(mixed), 2).is_err());
    }
}
