//! Data sets as folders of `.npy` files.
//!
//! Two naming schemes are read: `x_train.npy`, `y_train.npy` (then `_val`, `_test`), and that of the *Understanding
//! Deep Learning* notebooks, `train_data_x.npy`, `train_data_y.npy` (then `val_`, `test_`). The first scheme is
//! written.

use super::files::Staged;
use super::npy::{self, NpyArray, NpyElement};
use super::{Dataset, Mnist1dConfig, Mnist1dPreset, Split, generate};
use crate::error::{Error, Result};
use crate::shape::Shape;
use std::path::{Path, PathBuf};

/// The largest number of classes that labels may have.
pub const MAX_CLASSES: usize = 1 << 20;

const SPLITS: [&str; 3] = ["train", "val", "test"];

/// A naming scheme: the names of a split's sample and label files, given the split's name.
type Naming = fn(&str) -> [String; 2];
const NUMPY: Naming = |split| [format!("x_{split}.npy"), format!("y_{split}.npy")];
const COURSE: Naming = |split| [format!("{split}_data_x.npy"), format!("{split}_data_y.npy")];

/// Reads a data set from the `.npy` files in `dir`. The train split is required; val and test may be missing.
///
/// Samples are real numbers of any type, `[N]`, `[N, features]` or `[N, …]`, or with N last. Labels are whole numbers
/// from 0, one per sample. The number of labels determines which axis is N. If both the first and the last axis
/// match, it is the axis used in another split, else the first. The number of classes is 1 + (the largest train
/// label).
///
/// # Errors
/// [`Error::File`] naming the folder or file: missing files (with the names looked for), both naming schemes at once,
/// errors of [`npy::read`], NaN, infinities and values beyond f32 (with their position), labels that are not class
/// indices or not less than the number of classes (with their row), different numbers of samples and labels, splits
/// whose samples differ in shape, empty splits.
pub fn load_folder(dir: impl AsRef<Path>) -> Result<Dataset> {
    let dir = dir.as_ref();
    let naming = find_naming(dir)?;
    let mut raw = Vec::new();
    for (slot, split) in SPLITS.into_iter().enumerate() {
        let [x, y] = naming(split).map(|name| dir.join(name));
        match (x.exists(), y.exists()) {
            (true, true) => raw.push((slot, RawSplit::read(x, y)?)),
            (false, false) if split != "train" => {}
            (false, _) => return Err(Error::file(x, "is missing")),
            (_, false) => return Err(Error::file(y, "is missing")),
        }
    }
    let decided = raw.iter().map(|(_, r)| r.samples_along()).collect::<Result<Vec<_>>>()?;
    let ties = decided.iter().flatten().next().copied().unwrap_or(Along::First);
    let classes = raw[0].1.y.iter().max().map_or(0, |&label| label as usize + 1);

    let mut splits = [None, None, None];
    let mut train: Option<(PathBuf, Vec<usize>)> = None;
    for ((slot, raw), along) in raw.into_iter().zip(decided) {
        if let Some(row) = raw.y.iter().position(|&label| label as usize >= classes) {
            let message = format!(
                "the label of row {row} is {}, but the train labels have only {classes} classes (0 to {})",
                raw.y[row],
                classes - 1
            );
            return Err(Error::file(raw.y_path, message));
        }
        let path = raw.x_path.clone();
        let split = raw.orient(along.unwrap_or(ties))?;
        match &train {
            None => train = Some((path, split.sample_shape.clone())),
            Some((train_path, shape)) if *shape != split.sample_shape => {
                let found = format!("its samples have shape {:?}", split.sample_shape);
                return Err(Error::file(path, format!("{found}, those of {} {shape:?}", train_path.display())));
            }
            Some(_) => {}
        }
        splits[slot] = Some(split);
    }
    match splits {
        [Some(train), val, test] => Dataset::new(train, val, test, classes),
        _ => Err(Error::file(dir, "has no train split")),
    }
}

fn find_naming(dir: &Path) -> Result<Naming> {
    let metadata =
        std::fs::metadata(dir).map_err(|e| Error::file(dir, format!("could not open the data folder: {e}")))?;
    if !metadata.is_dir() {
        return Err(Error::file(dir, "is not a folder: give the one that holds the .npy files"));
    }
    let uses = |naming: Naming| SPLITS.iter().flat_map(|split| naming(split)).any(|name| dir.join(name).exists());
    match (uses(NUMPY), uses(COURSE)) {
        (true, false) => Ok(NUMPY),
        (false, true) => Ok(COURSE),
        (true, true) => {
            Err(Error::file(dir, "holds both x_train.npy and train_data_x.npy files: keep only one data set in it"))
        }
        (false, false) => Err(Error::file(
            dir,
            "holds no data set: looked for x_train.npy and y_train.npy, and for train_data_x.npy and train_data_y.npy",
        )),
    }
}

/// The axis that counts the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Along {
    First,
    Last,
}

/// A split as read from its files, checked on its own.
struct RawSplit {
    x_path: PathBuf,
    y_path: PathBuf,
    x: NpyArray,
    y: Vec<u32>,
}

impl RawSplit {
    fn read(x_path: PathBuf, y_path: PathBuf) -> Result<RawSplit> {
        let y = labels_of(&npy::read(&y_path)?).map_err(|message| Error::file(&y_path, message))?;
        let x = npy::read_finite(&x_path)?;
        if x.values.is_empty() || x.shape.is_empty() {
            return Err(Error::file(x_path, format!("its shape is {:?}, but it must hold samples", x.shape)));
        }
        Shape::from(&x.shape[..]).check().map_err(|message| Error::file(&x_path, message))?;
        if let Some(at) = x.values.iter().position(|&v| (v as f32).is_infinite()) {
            let message = format!("the value at {:?} is {:e}, too large for f32", x.index(at), x.values[at]);
            return Err(Error::file(x_path, message));
        }
        Ok(RawSplit { x_path, y_path, x, y })
    }

    /// The axis of the samples; `None` if both the first and the last axis match.
    fn samples_along(&self) -> Result<Option<Along>> {
        let fits = |axis: Option<&usize>| axis == Some(&self.y.len());
        match (fits(self.x.shape.first()), fits(self.x.shape.last())) {
            (true, true) if self.x.shape.len() > 1 => Ok(None),
            (true, _) => Ok(Some(Along::First)),
            (false, true) => Ok(Some(Along::Last)),
            (false, false) => {
                let (labels, file) = (self.y.len(), self.y_path.display());
                let message = format!(
                    "its shape is {:?}, but {file} has {labels} labels: the first or the last axis must be {labels}",
                    self.x.shape
                );
                Err(Error::file(&self.x_path, message))
            }
        }
    }

    fn orient(self, along: Along) -> Result<Split> {
        let (rows, values) = (self.y.len(), &self.x.values);
        let features = values.len() / rows.max(1);
        let (x, sample_shape) = match along {
            Along::First => (values.iter().map(|&v| v as f32).collect(), self.x.shape[1..].to_vec()),
            Along::Last => {
                let column = |row| (0..features).map(move |feature| values[feature * rows + row] as f32);
                ((0..rows).flat_map(column).collect(), self.x.shape[..self.x.shape.len() - 1].to_vec())
            }
        };
        let sample_shape = if sample_shape.is_empty() { vec![1] } else { sample_shape };
        Split::new(x, self.y, sample_shape).map_err(|e| Error::file(&self.x_path, e))
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

/// Writes a data set as `x_train.npy`, `y_train.npy` (and `_val`, `_test`) into `dir`, which is created if missing:
/// samples as float32 `[N, …]`, labels as int64 `[N]`. Returns the paths of the files.
///
/// Either all files are written or none: they are renamed to their final paths once all of them are complete on disk.
///
/// # Errors
/// [`Error::File`] if the folder or a file cannot be written, or if `dir` has files of another data set that would
/// remain and be read as part of this one.
pub fn save_folder(dir: impl AsRef<Path>, data: &Dataset) -> Result<Vec<PathBuf>> {
    let files: Vec<_> = data
        .splits()
        .map(|(name, s)| {
            let y = s.y.iter().map(|&label| i64::from(label)).collect();
            SplitFiles { name, x: &s.x, y, sample_shape: &s.sample_shape }
        })
        .collect();
    save(dir.as_ref(), &files)
}

/// Generates an MNIST-1D data set and writes it into `dir` in full precision: samples as float64 `[N,
/// final_seq_length]`, labels as int64 `[N]`, for the splits of `preset` that have rows. Returns the paths of the
/// files.
///
/// # Errors
/// Those of [`generate`] and [`save_folder`], and [`Error::Config`] if no rows are left for training.
pub fn write_mnist1d(config: &Mnist1dConfig, preset: Mnist1dPreset, dir: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
    let data = generate(config)?;
    let ranges = preset.ranges(&data);
    if ranges.train.is_empty() {
        return Err(Error::config("mnist1d.train_split", format!("{} leaves no rows to train on", config.train_split)));
    }
    let sample_shape = [data.features];
    let named = SPLITS.into_iter().zip([Some(ranges.train), ranges.val, ranges.test]);
    let files: Vec<_> = named
        .filter_map(|(name, rows)| rows.map(|rows| (name, rows)))
        .map(|(name, rows)| {
            let y = data.y_rows(rows.clone()).to_vec();
            SplitFiles { name, x: data.x_rows(rows), y, sample_shape: &sample_shape }
        })
        .collect();
    save(dir.as_ref(), &files)
}

/// The content of a split's two files.
struct SplitFiles<'a, T> {
    name: &'static str,
    x: &'a [T],
    y: Vec<i64>,
    sample_shape: &'a [usize],
}

fn save<T: NpyElement>(dir: &Path, splits: &[SplitFiles<'_, T>]) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(dir).map_err(|e| Error::file(dir, format!("could not create the folder: {e}")))?;
    let ours: Vec<String> = splits.iter().flat_map(|split| NUMPY(split.name)).collect();
    let readable = SPLITS.iter().flat_map(|split| [NUMPY(split), COURSE(split)]).flatten();
    if let Some(other) = readable.into_iter().find(|name| !ours.contains(name) && dir.join(name).exists()) {
        let message =
            "belongs to another data set, and the two would be read as one: remove it or choose another folder";
        return Err(Error::file(dir.join(other), message));
    }
    let mut staged: Vec<Staged> = Vec::new();
    for split in splits {
        let [x_path, y_path] = NUMPY(split.name).map(|file| dir.join(file));
        let rows = split.y.len();
        staged.push(npy::stage(&x_path, &[&[rows], split.sample_shape].concat(), split.x)?);
        staged.push(npy::stage(&y_path, &[rows], &split.y)?);
    }
    staged.into_iter().try_for_each(Staged::commit)?;
    Ok(ours.into_iter().map(|name| dir.join(name)).collect())
}
