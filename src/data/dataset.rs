//! Data sets in memory: samples as f32 rows, labels as class indices.

use crate::error::{Error, Result};

/// Samples with their labels: one split of a data set.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// The samples, row-major, `[rows × features]`.
    pub x: Vec<f32>,
    /// The class of each sample, `[rows]`.
    pub y: Vec<u32>,
    /// The number of samples.
    pub rows: usize,
    /// The number of values per sample: the product of `sample_shape`.
    pub features: usize,
    /// The shape of one sample, e.g. `[40]` or `[channels, length]`.
    pub sample_shape: Vec<usize>,
}

impl Split {
    /// A split of `y.len()` samples, each of shape `sample_shape`.
    ///
    /// # Errors
    /// [`Error::Value`] if there are no samples, a sample has no values, `x` does not hold
    /// `y.len()` × the product of `sample_shape` values, or a value is not finite.
    pub fn new(x: Vec<f32>, y: Vec<u32>, sample_shape: impl Into<Vec<usize>>) -> Result<Self> {
        let sample_shape = sample_shape.into();
        let features = sample_shape.iter().try_fold(1usize, |a, &b| a.checked_mul(b)).unwrap_or(usize::MAX);
        let rows = y.len();
        if rows == 0 || features == 0 {
            return Err(Error::value("data", format!("{rows} samples of shape {sample_shape:?} have no values")));
        }
        if rows.checked_mul(features) != Some(x.len()) {
            let message =
                format!("{rows} labels and samples of shape {sample_shape:?} do not match {} values", x.len());
            return Err(Error::value("data", message));
        }
        if let Some(at) = x.iter().position(|v| !v.is_finite()) {
            let message = format!("sample {}, value {} is {}", at / features, at % features, x[at]);
            return Err(Error::value("data", message));
        }
        Ok(Split { x, y, rows, features, sample_shape })
    }

    /// The values of sample `row`, or `None` past the end.
    pub fn sample(&self, row: usize) -> Option<&[f32]> {
        self.x.chunks_exact(self.features.max(1)).nth(row)
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
    /// The number of classes; every label is less than this.
    pub classes: usize,
}

impl Dataset {
    /// A data set with `classes` classes.
    ///
    /// # Errors
    /// [`Error::Value`] if a label is not below `classes`, or the splits' samples differ in shape.
    pub fn new(train: Split, val: Option<Split>, test: Option<Split>, classes: usize) -> Result<Self> {
        let data = Dataset { train, val, test, classes };
        for (name, split) in data.splits() {
            if split.sample_shape != data.train.sample_shape {
                let message =
                    format!("its samples have shape {:?}, train's {:?}", split.sample_shape, data.train.sample_shape);
                return Err(Error::value(format!("data split `{name}`"), message));
            }
            if let Some(row) = split.y.iter().position(|&label| label as usize >= classes) {
                let message = format!("the label of sample {row} is {}, but there are {classes} classes", split.y[row]);
                return Err(Error::value(format!("data split `{name}`"), message));
            }
        }
        Ok(data)
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
        assert_eq!((split.rows, split.features), (2, 3));
        assert_eq!(split.sample(1), Some(&[4.0, 5.0, 6.0][..]));
        assert_eq!(split.sample(2), None);
        assert!(Split::new(vec![], vec![], [3]).is_err());
        assert!(Split::new(vec![], vec![0], [0]).is_err());
        assert!(Split::new(vec![1.0], vec![0], [usize::MAX, 2]).is_err());
        assert!(Split::new(vec![1.0; 5], vec![0, 1], [3]).is_err());
        let error = Split::new(vec![1.0, 2.0, f32::NAN, 4.0], vec![0, 1], [2]).unwrap_err().to_string();
        assert!(error.contains("sample 1, value 0"), "{error}");
    }

    #[test]
    fn data_sets_are_checked() {
        let split = |label, shape: &[usize]| Split::new(vec![0.5; 4], vec![0, label], shape).unwrap();
        assert!(Dataset::new(split(1, &[2]), None, Some(split(1, &[2])), 2).is_ok());
        let error = Dataset::new(split(1, &[2]), None, Some(split(2, &[2])), 2).unwrap_err().to_string();
        assert!(error.contains("`test`") && error.contains("sample 1 is 2"), "{error}");
        let error = Dataset::new(split(1, &[2]), Some(split(1, &[1, 2])), None, 2).unwrap_err().to_string();
        assert!(error.contains("`val`") && error.contains("[1, 2]"), "{error}");
    }
}
