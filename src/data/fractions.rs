//! Splitting one set into training, validation and test sets.

use super::{Dataset, RandomState, Split};
use crate::error::{Error, Result};

/// Which parts of a set become the validation and the test set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fractions {
    /// The fraction of the validation set.
    pub val: f64,
    /// The fraction of the test set.
    pub test: f64,
    /// The seed of the choice; only its lower 32 bits count.
    pub seed: u64,
    /// Whether each class is divided by itself, where the targets are classes.
    pub stratify: bool,
}

impl Default for Fractions {
    fn default() -> Self {
        Fractions { val: 0.2, test: 0.0, seed: 0, stratify: true }
    }
}

impl Fractions {
    /// The rows of the training, validation and test set, each in ascending order.
    ///
    /// The rows (of each class, if stratified) are shuffled by NumPy's `RandomState(seed)`; the first become the
    /// validation set, the next the test set. Sizes are rounded so that the totals are right.
    pub fn rows(&self, split: &Split) -> [Vec<u32>; 3] {
        let mut rng = RandomState::new(self.seed as u32);
        let mut groups: Vec<Vec<u32>> = Vec::new();
        match split.y.classes().filter(|_| self.stratify) {
            Some(labels) => {
                for (row, &label) in labels.iter().enumerate() {
                    if groups.len() <= label as usize {
                        groups.resize(label as usize + 1, Vec::new());
                    }
                    groups[label as usize].push(row as u32);
                }
            }
            None => groups.push((0..split.rows() as u32).collect()),
        }
        let mut parts = [Vec::new(), Vec::new(), Vec::new()];
        // What rounding has left over so far: the next group makes up for it.
        let (mut val_due, mut test_due) = (0.0, 0.0);
        for mut rows in groups {
            rng.shuffle(&mut rows);
            val_due += self.val * rows.len() as f64;
            test_due += self.test * rows.len() as f64;
            let val = ((val_due.round() as usize).saturating_sub(parts[1].len())).min(rows.len());
            let test = ((test_due.round() as usize).saturating_sub(parts[2].len())).min(rows.len() - val);
            parts[1].extend_from_slice(&rows[..val]);
            parts[2].extend_from_slice(&rows[val..val + test]);
            parts[0].extend_from_slice(&rows[val + test..]);
        }
        parts.iter_mut().for_each(|part| part.sort_unstable());
        parts
    }

    /// Divides a data set that has only a training set.
    ///
    /// # Errors
    /// [`Error::Config`] if a part would be empty, or the data set has a validation or test set already.
    pub fn divide(&self, data: Dataset) -> Result<Dataset> {
        if data.val.is_some() || data.test.is_some() {
            return Err(Error::config("data.val_split", "is for data of one set, but these have several already"));
        }
        let [train, val, test] = self.rows(&data.train);
        let part = |key: &str, fraction: f64, rows: Vec<u32>| {
            if rows.is_empty() && fraction > 0.0 {
                let message = format!("{fraction} of {} samples are none", data.train.rows());
                return Err(Error::config(format!("data.{key}"), message));
            }
            if rows.is_empty() { Ok(None) } else { data.train.select(&rows).map(Some) }
        };
        let (val, test) = (part("val_split", self.val, val)?, part("test_split", self.test, test)?);
        if train.is_empty() {
            return Err(Error::config("data.val_split", "leaves no sample to train on"));
        }
        Ok(Dataset { train: data.train.select(&train)?, val, test, ..data.clone() })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn classes_keep_their_proportions() {
        let labels: Vec<u32> = (0..100).map(|row| u32::from(row % 10 == 0)).collect();
        let split = Split::new((0..100).map(|v| v as f32).collect(), labels, [1]).unwrap();
        let fractions = Fractions { val: 0.2, test: 0.1, seed: 3, stratify: true };
        let [train, val, test] = fractions.rows(&split);
        assert_eq!([train.len(), val.len(), test.len()], [70, 20, 10]);
        let ones = |rows: &[u32]| rows.iter().filter(|&&row| row % 10 == 0).count();
        assert_eq!([ones(&train), ones(&val), ones(&test)], [7, 2, 1]);
        let mut all = [train, val, test].concat();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<u32>>());
        assert_ne!(fractions.rows(&split), Fractions { seed: 4, ..fractions }.rows(&split));
        let data = fractions.divide(Dataset::new(split, None, None, 2).unwrap()).unwrap();
        assert_eq!((data.train.rows(), data.val.unwrap().rows(), data.test.unwrap().rows()), (70, 20, 10));
    }

    #[test]
    fn empty_parts_are_refused() {
        let data = Dataset::new(Split::new(vec![0.0; 2], vec![0, 1], [1]).unwrap(), None, None, 2).unwrap();
        let error = Fractions { val: 0.1, ..Fractions::default() }.divide(data).unwrap_err().to_string();
        assert!(error.contains("val_split") && error.contains("2 samples"), "{error}");
    }
}
