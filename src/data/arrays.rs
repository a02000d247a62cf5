//! Data sets from named arrays, wherever these come from: a folder of `.npy` files, an archive, IDX files.

use super::npy::NpyArray;
use super::raw_samples::{Along, RawSamples};
use super::{Dataset, Split, TargetKind, Targets};
use crate::error::{Error, Result};
use crate::shape::Shape;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The largest number of classes that labels may have.
pub const MAX_CLASSES: usize = 1 << 20;

/// The names of the splits.
pub(super) const SPLITS: [&str; 3] = ["train", "val", "test"];

/// A naming scheme: the names of a split's sample and target arrays, given the split's name.
pub(super) type Naming = fn(&str) -> [String; 2];
/// The scheme of Keras's archives.
pub(super) const NUMPY: Naming = |split| [format!("x_{split}"), format!("y_{split}")];
/// The scheme of the *Understanding Deep Learning* notebooks.
pub(super) const COURSE: Naming = |split| [format!("{split}_data_x"), format!("{split}_data_y")];

/// A place with named arrays.
pub(super) trait Arrays {
    /// Whether there is an array of this name.
    fn has(&self, name: &str) -> bool;
    /// Where it is, or would be, for messages.
    fn place(&self, name: &str) -> PathBuf;
    /// An array as samples; with `in_file` its values stay in the file, if they can.
    fn samples(&self, name: &str, in_file: bool) -> Result<RawSamples>;
    /// An array as exact numbers.
    fn numbers(&self, name: &str) -> Result<Numbers>;
}

/// An array of numbers.
pub(super) struct Numbers {
    pub(super) array: NpyArray,
    /// Whether the source stores floating-point numbers.
    pub(super) is_float: bool,
}

/// Puts a data set together.
pub(super) struct Assembly<'a> {
    pub(super) arrays: &'a dyn Arrays,
    pub(super) naming: Naming,
    pub(super) kind: TargetKind,
    pub(super) in_file: bool,
}

impl Assembly<'_> {
    /// The data set; `source` is named if it has no training set.
    pub(super) fn dataset(&self, source: &Path) -> Result<Dataset> {
        let mut raw = Vec::new();
        for (slot, split) in SPLITS.into_iter().enumerate() {
            let [x, y] = (self.naming)(split);
            let needs_y = self.kind != TargetKind::None;
            match (self.arrays.has(&x), self.arrays.has(&y)) {
                (true, has_y) if has_y || !needs_y => raw.push((slot, self.split(&x, &y)?)),
                (false, false) if split != "train" => {}
                (false, _) => return Err(Error::file(self.arrays.place(&x), "is missing")),
                _ => return Err(Error::file(self.arrays.place(&y), "is missing")),
            }
        }
        let decided = raw.iter().map(|(_, r)| r.samples_along()).collect::<Result<Vec<_>>>()?;
        let ties = decided.iter().flatten().next().copied().unwrap_or(Along::First);
        let classes = raw.first().map_or(0, |(_, train)| train.y.classes());

        let mut splits = [None, None, None];
        let mut train: Option<(PathBuf, Vec<usize>)> = None;
        for ((slot, raw), along) in raw.into_iter().zip(decided) {
            if let RawTargets::Classes(labels) = &raw.y
                && let Some(row) = labels.iter().position(|&label| label as usize >= classes)
            {
                let message = format!(
                    "the label of row {row} is {}, but the train labels have only {classes} classes (0 to {})",
                    labels[row],
                    classes.saturating_sub(1)
                );
                return Err(Error::file(raw.y_path, message));
            }
            let path = raw.x_path.clone();
            let split = raw.orient(along.unwrap_or(ties))?;
            match &train {
                None => train = Some((path, split.sample_shape().to_vec())),
                Some((train_path, shape)) if *shape != split.sample_shape() => {
                    let found = format!("its samples have shape {:?}", split.sample_shape());
                    return Err(Error::file(path, format!("{found}, those of {} {shape:?}", train_path.display())));
                }
                Some(_) => {}
            }
            splits[slot] = Some(split);
        }
        match splits {
            [Some(train), val, test] => Dataset::new(train, val, test, classes).map_err(|e| Error::file(source, e)),
            _ => Err(Error::file(source, "has no train split")),
        }
    }

    fn split(&self, x: &str, y: &str) -> Result<RawSplit> {
        let (x_path, y_path) = (self.arrays.place(x), self.arrays.place(y));
        let targets = match self.kind {
            TargetKind::None => RawTargets::None,
            TargetKind::Values => RawTargets::Values(self.arrays.samples(y, false)?),
            TargetKind::Classes => {
                let numbers = self.arrays.numbers(y)?;
                RawTargets::Classes(labels_of(&numbers.array).map_err(|message| Error::file(&y_path, message))?)
            }
            TargetKind::Auto => {
                let numbers = self.arrays.numbers(y)?;
                if numbers.are_values() {
                    RawTargets::Values(self.arrays.samples(y, false)?)
                } else {
                    RawTargets::Classes(labels_of(&numbers.array).map_err(|message| Error::file(&y_path, message))?)
                }
            }
        };
        let x = self.arrays.samples(x, self.in_file)?;
        if x.shape.is_empty() || x.shape.contains(&0) {
            return Err(Error::file(x_path, format!("its shape is {:?}, but it must hold samples", x.shape)));
        }
        Shape::from(&x.shape[..]).check().map_err(|message| Error::file(&x_path, message))?;
        Ok(RawSplit { x_path, y_path, x, y: targets })
    }
}

impl Numbers {
    /// Whether these targets are numbers rather than classes: several for each sample, or with fractions.
    fn are_values(&self) -> bool {
        let several = self.array.shape.iter().filter(|&&n| n != 1).count() > 1;
        several || (self.is_float && self.array.values.iter().any(|v| v.is_finite() && v.fract() != 0.0))
    }
}

/// The targets of a split as read.
enum RawTargets {
    Classes(Vec<u32>),
    Values(RawSamples),
    None,
}

impl RawTargets {
    fn rows(&self) -> Option<usize> {
        match self {
            RawTargets::Classes(labels) => Some(labels.len()),
            RawTargets::Values(values) => Some(values.shape.first().copied().unwrap_or(1)),
            RawTargets::None => None,
        }
    }
    fn classes(&self) -> usize {
        match self {
            RawTargets::Classes(labels) => labels.iter().max().map_or(0, |&label| label as usize + 1),
            _ => 0,
        }
    }
}

/// A split as read from its arrays, checked on its own.
struct RawSplit {
    x_path: PathBuf,
    y_path: PathBuf,
    x: RawSamples,
    y: RawTargets,
}

impl RawSplit {
    /// The axis of the samples; `None` if both the first and the last axis match.
    fn samples_along(&self) -> Result<Option<Along>> {
        let Some(rows) = self.y.rows() else { return Ok(Some(Along::First)) };
        let fits = |axis: Option<&usize>| axis == Some(&rows);
        match (fits(self.x.shape.first()), fits(self.x.shape.last())) {
            (true, true) if self.x.shape.len() > 1 => Ok(None),
            (true, _) => Ok(Some(Along::First)),
            (false, true) => Ok(Some(Along::Last)),
            (false, false) => {
                let (file, what) = (self.y_path.display(), if self.y.classes() > 0 { "labels" } else { "targets" });
                let message = format!(
                    "its shape is {:?}, but {file} has {rows} {what}: the first or the last axis must be {rows}",
                    self.x.shape
                );
                Err(Error::file(&self.x_path, message))
            }
        }
    }

    fn orient(self, along: Along) -> Result<Split> {
        let (x_path, y_path) = (self.x_path, self.y_path);
        let y = match self.y {
            RawTargets::Classes(labels) => Targets::Classes(Arc::new(labels)),
            RawTargets::Values(values) => Targets::Values(values.into_samples(Along::First, &y_path)?),
            RawTargets::None => Targets::None,
        };
        let x = self.x.into_samples(along, &x_path)?;
        Split::of(x, y).map_err(|e| Error::file(&x_path, e))
    }
}

/// The class indices of a label array, or what is wrong with them.
fn labels_of(array: &NpyArray) -> Result<Vec<u32>, String> {
    if array.shape.is_empty() || array.shape.iter().filter(|&&n| n != 1).count() > 1 {
        return Err(format!(
            "its shape is {:?}, but labels must be one class index per sample (N,), not one-hot rows",
            array.shape
        ));
    }
    if array.values.is_empty() {
        return Err("it holds no labels".into());
    }
    let label = |(row, &value): (usize, &f64)| {
        if !(value >= 0.0 && value.fract() == 0.0) {
            return Err(format!("the label of row {row} is {value}, but labels must be whole numbers from 0"));
        }
        if value >= MAX_CLASSES as f64 {
            return Err(format!("the label of row {row} is {value}, but at most {MAX_CLASSES} classes are supported"));
        }
        Ok(value as u32)
    };
    array.values.iter().enumerate().map(label).collect()
}
