//! Data sets as folders of `.npy` files.
//!
//! Two naming schemes are read: `x_train.npy`, `y_train.npy` (then `_val`, `_test`), and that of the *Understanding
//! Deep Learning* notebooks, `train_data_x.npy`, `train_data_y.npy` (then `val_`, `test_`). The first scheme is
//! written.

use super::arrays::{Arrays, Assembly, COURSE, NUMPY, Naming, Numbers, SPLITS};
use super::files::Staged;
use super::npy::{self, NpyElement};
use super::raw_samples::RawSamples;
use super::{Dataset, Mnist1dConfig, Mnist1dPreset, TargetKind, Targets, generate};
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

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
    load_npy_folder(dir.as_ref(), TargetKind::Classes, false)
}

/// As [`load_folder`], with targets of this kind; with `in_file` samples stay in their files.
pub(super) fn load_npy_folder(dir: &Path, kind: TargetKind, in_file: bool) -> Result<Dataset> {
    let naming = find_naming(dir)?;
    Assembly { arrays: &NpyFolder { dir: dir.to_path_buf() }, naming, kind, in_file }.dataset(dir)
}

/// Whether a folder holds `.npy` files of a data set.
pub(super) fn is_npy_folder(dir: &Path) -> bool {
    [NUMPY, COURSE].into_iter().any(|naming| uses(dir, naming))
}

fn uses(dir: &Path, naming: Naming) -> bool {
    SPLITS.iter().flat_map(|split| naming(split)).any(|name| dir.join(format!("{name}.npy")).exists())
}

fn find_naming(dir: &Path) -> Result<Naming> {
    let metadata =
        std::fs::metadata(dir).map_err(|e| Error::file(dir, format!("could not open the data folder: {e}")))?;
    if !metadata.is_dir() {
        return Err(Error::file(dir, "is not a folder: give the one that holds the .npy files"));
    }
    match (uses(dir, NUMPY), uses(dir, COURSE)) {
        (true, false) => Ok(NUMPY),
        (false, true) => Ok(COURSE),
        (true, true) => {
            Err(Error::file(dir, "holds both x_train.npy and train_data_x.npy files: keep only one data set in it"))
        }
        (false, false) => Err(Error::file(
            dir,
            "holds no data set: looked for x_train.npy and y_train.npy, for train_data_x.npy and train_data_y.npy, and \
             for IDX files, tables, .npz and .safetensors files",
        )),
    }
}

/// A folder's `.npy` files as named arrays.
struct NpyFolder {
    dir: PathBuf,
}

impl Arrays for NpyFolder {
    fn has(&self, name: &str) -> bool {
        self.place(name).exists()
    }
    fn place(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.npy"))
    }
    fn samples(&self, name: &str, in_file: bool) -> Result<RawSamples> {
        npy::read_samples(&self.place(name), in_file)
    }
    fn numbers(&self, name: &str) -> Result<Numbers> {
        let path = self.place(name);
        let (array, is_float) = npy::read_typed(&path)?;
        Ok(Numbers { array, is_float })
    }
}

/// Writes a data set as `x_train.npy`, `y_train.npy` (and `_val`, `_test`) into `dir`, which is created if missing:
/// samples as float32 `[N, …]`, labels as int64 `[N]`. Returns the paths of the files.
///
/// Either all files are written or none: they are renamed to their final paths once all of them are complete on disk.
///
/// # Errors
/// [`Error::Value`] if the targets are not classes, and [`Error::File`] if the folder or a file cannot be written, or if
/// `dir` has files of another data set that would remain and be read as part of this one.
pub fn save_folder(dir: impl AsRef<Path>, data: &Dataset) -> Result<Vec<PathBuf>> {
    let values = data.splits().map(|(_, split)| split.x.to_f32()).collect::<Result<Vec<_>>>()?;
    let files = data.splits().zip(&values).map(|((name, split), x)| {
        let Targets::Classes(labels) = &split.y else {
            return Err(Error::value("data", "only data sets of classes are written as a folder"));
        };
        let y = labels.iter().map(|&label| i64::from(label)).collect();
        Ok(SplitFiles { name, x, y, sample_shape: split.sample_shape() })
    });
    save(dir.as_ref(), &files.collect::<Result<Vec<_>>>()?)
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
    let with_ending = |name: String| format!("{name}.npy");
    let ours: Vec<String> = splits.iter().flat_map(|split| NUMPY(split.name)).map(with_ending).collect();
    let readable = SPLITS.iter().flat_map(|split| [NUMPY(split), COURSE(split)]).flatten().map(with_ending);
    if let Some(other) = readable.into_iter().find(|name| !ours.contains(name) && dir.join(name).exists()) {
        let message =
            "belongs to another data set, and the two would be read as one: remove it or choose another folder";
        return Err(Error::file(dir.join(other), message));
    }
    let mut staged: Vec<Staged> = Vec::new();
    for split in splits {
        let [x_path, y_path] = NUMPY(split.name).map(|name| dir.join(with_ending(name)));
        let rows = split.y.len();
        staged.push(npy::stage(&x_path, &[&[rows], split.sample_shape].concat(), split.x)?);
        staged.push(npy::stage(&y_path, &[rows], &split.y)?);
    }
    staged.into_iter().try_for_each(Staged::commit)?;
    Ok(ours.into_iter().map(|name| dir.join(name)).collect())
}
