//! Data sets from files and folders of any supported kind.

use super::arrays::{Arrays, Assembly, COURSE, NUMPY, Naming, Numbers};
use super::folder::{is_npy_folder, load_npy_folder};
use super::idx_files::IdxFiles;
use super::raw_samples::RawSamples;
use super::table::{EncodedTargets, Encoder, Table, TableOptions, TableSettings, read_table};
use super::text::{TextOptions, load_text};
use super::{Dataset, Fractions, Samples, Split, TargetKind, Targets, npy, npz, tensors};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a source is read; the settings of tables concern only tables.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SourceOptions {
    /// The columns to be predicted.
    pub target: Vec<String>,
    /// The columns that are categories.
    pub categories: Vec<String>,
    /// The columns that are not used.
    pub ignore: Vec<String>,
    /// The character between fields.
    pub delimiter: Option<char>,
    /// Whether the first line has the columns' names.
    pub header: Option<bool>,
    /// The character that begins a comment line.
    pub comment: Option<char>,
    /// Whether missing values become the mean of the training set.
    pub fill_missing: bool,
    /// How a single set is divided.
    pub fractions: Fractions,
    /// Whether to divide a folder's training set too, which is else taken as it is.
    pub split_asked: bool,
    /// Whether samples stay in their files, however small they are.
    pub in_file: bool,
    /// How a table's columns become numbers, if that was decided earlier.
    pub encoder: Option<Encoder>,
    /// How a text becomes samples, if the file is one.
    pub text: Option<TextOptions>,
}

/// Loads a data set from a file or a folder:
///
/// - a folder of `.npy` files, see [`load_folder`](super::load_folder);
/// - a `.npz` or `.safetensors` file with the arrays `x_train`, `y_train` (and `_val`, `_test`), or `x` and `y`;
/// - a folder of IDX files with MNIST's names, such as `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`, with or
///   without `.gz` (and `val-`, `test-` or `t10k-`), or one of these files;
/// - a table, `.csv` or `.tsv`, or a folder with `train.csv` (and `val.csv`, `test.csv`);
/// - one of these files alone in a folder;
/// - with [`SourceOptions::text`] a text file, see [`load_text`].
///
/// A source of one set is divided by [`SourceOptions::fractions`].
///
/// # Errors
/// [`Error::File`] naming the file and the place in it, or [`Error::Config`] for a setting that does not suit the
/// source.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// let path = dir.path().join("houses.csv");
/// std::fs::write(&path, "rooms,price\n1,99.5\n2,151\n3,208.5\n4,249\n5,301\n").unwrap();
/// let options = wgrad::data::SourceOptions { target: vec!["price".into()], ..Default::default() };
/// let data = wgrad::data::load(&path, wgrad::data::TargetKind::Auto, &options)?;
/// assert_eq!((data.train.rows(), data.val.unwrap().rows()), (4, 1));
/// # Ok::<(), wgrad::Error>(())
/// ```
pub fn load(path: impl AsRef<Path>, kind: TargetKind, options: &SourceOptions) -> Result<Dataset> {
    let path = path.as_ref();
    if let Some(text) = &options.text {
        return load_text(path, text, &options.fractions);
    }
    let metadata = std::fs::metadata(path).map_err(|e| Error::file(path, format!("could not open: {e}")))?;
    let data = if metadata.is_dir() { folder(path, kind, options)? } else { file(path, kind, options)? };
    let single = data.val.is_none() && data.test.is_none() && is_single(path);
    if options.split_asked || single { divided(data, options) } else { Ok(data) }
}

/// Divides a data set; a table's encoding is fitted to the training part afterwards.
fn divided(data: Dataset, options: &SourceOptions) -> Result<Dataset> {
    options.fractions.divide(data)
}

/// Whether a source that gave one set should be divided without being asked: a file, but not a folder that could have
/// had more.
fn is_single(path: &Path) -> bool {
    !path.is_dir() && !IdxFiles::is_name(path)
}

fn ending(path: &Path) -> String {
    path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default()
}

fn is_table(path: &Path) -> bool {
    matches!(ending(path).as_str(), "csv" | "tsv" | "tab" | "txt")
}

fn folder(dir: &Path, kind: TargetKind, options: &SourceOptions) -> Result<Dataset> {
    if is_npy_folder(dir) {
        return load_npy_folder(dir, kind, options.in_file);
    }
    let idx = IdxFiles::of(dir)?;
    if !idx.is_empty() {
        return Assembly { arrays: &idx, naming: NUMPY, kind, in_file: options.in_file }
            .dataset(dir)
            .map(|data| Dataset { scale_bytes: true, ..data });
    }
    let entries = std::fs::read_dir(dir).map_err(|e| Error::file(dir, format!("cannot be read: {e}")))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| is_table(file) || matches!(ending(file).as_str(), "npz" | "safetensors"));
    files.sort();
    let named = |split: &str| files.iter().find(|f| is_table(f) && f.file_stem().is_some_and(|stem| stem == split));
    if let Some(train) = named("train") {
        let others = [named("val"), named("test")];
        return tables(train, others.map(|other| other.map(PathBuf::as_path)), kind, options);
    }
    match &files[..] {
        [only] => file(only, kind, options).and_then(|data| match (&data.val, &data.test) {
            (None, None) if !options.split_asked => divided(data, options),
            _ => Ok(data),
        }),
        [] => load_npy_folder(dir, kind, false),
        _ => Err(Error::file(
            dir,
            "holds several data files: give one of them, or name them train.csv, val.csv, test.csv",
        )),
    }
}

fn file(path: &Path, kind: TargetKind, options: &SourceOptions) -> Result<Dataset> {
    if IdxFiles::is_name(path) {
        let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        return folder(dir, kind, options);
    }
    match ending(path).as_str() {
        _ if is_table(path) => tables(path, [None, None], kind, options),
        "npz" => archive(path, npz_arrays(path)?, kind),
        "safetensors" => archive(path, tensors::read(path)?, kind),
        "npy" if kind == TargetKind::None => {
            let samples = npy::read_samples(path, options.in_file)?.into_samples_first(path)?;
            Dataset::new(Split::of(samples, Targets::None)?, None, None, 0)
        }
        "npy" => {
            let message = "has samples without targets: give a folder with x_train.npy and y_train.npy, or set task to \
                           autoencoder";
            Err(Error::file(path, message))
        }
        _ => {
            let message = "is of no kind that wgrad reads: .npy, .npz, .csv, .tsv, .safetensors, an IDX file, or a \
                           folder of these";
            Err(Error::file(path, message))
        }
    }
}

fn npz_arrays(path: &Path) -> Result<BTreeMap<String, Numbers>> {
    let arrays = npz::read(path)?;
    Ok(arrays.into_iter().map(|(name, a)| (name, Numbers { is_float: !a.integer, array: a.array })).collect())
}

/// A file's arrays by name.
struct Archive {
    path: PathBuf,
    arrays: BTreeMap<String, Numbers>,
}

impl Arrays for Archive {
    fn has(&self, name: &str) -> bool {
        self.arrays.contains_key(name)
    }
    fn place(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
    fn samples(&self, name: &str, _: bool) -> Result<RawSamples> {
        npy::to_samples(&self.numbers(name)?.array, &self.place(name))
    }
    fn numbers(&self, name: &str) -> Result<Numbers> {
        let found = self.arrays.get(name).ok_or_else(|| Error::file(self.place(name), "is missing"))?;
        Ok(Numbers { array: found.array.clone(), is_float: found.is_float })
    }
}

/// The naming of an archive of one set.
const PLAIN: Naming = |split| if split == "train" { ["x".into(), "y".into()] } else { [String::new(), String::new()] };

fn archive(path: &Path, arrays: BTreeMap<String, Numbers>, kind: TargetKind) -> Result<Dataset> {
    let archive = Archive { path: path.to_path_buf(), arrays };
    let Some(naming) = [NUMPY, COURSE, PLAIN].into_iter().find(|naming| archive.has(&naming("train")[0])) else {
        let names: Vec<&str> = archive.arrays.keys().map(String::as_str).collect();
        let message = format!("has no x_train, train_data_x or x, but {}", names.join(", "));
        return Err(Error::file(path, message));
    };
    Assembly { arrays: &archive, naming, kind, in_file: false }.dataset(path)
}

fn read(path: &Path, options: &SourceOptions) -> Result<Table> {
    let file = File::open(path).map_err(|e| Error::file(path, format!("could not open: {e}")))?;
    let delimiter = options.delimiter.or((ending(path) == "tsv").then_some('\t'));
    let options = TableOptions { delimiter, header: options.header, comment: options.comment };
    read_table(file, &options).map_err(|message| Error::file(path, message))
}

/// Data from tables: one to be divided, or one per set.
fn tables(train: &Path, others: [Option<&Path>; 2], kind: TargetKind, options: &SourceOptions) -> Result<Dataset> {
    let mut settings = TableSettings {
        target: options.target.clone(),
        categories: options.categories.clone(),
        ignore: options.ignore.clone(),
        fill_missing: options.fill_missing,
    };
    if kind == TargetKind::None {
        settings.ignore.append(&mut settings.target);
    } else if settings.target.is_empty() && options.encoder.is_none() {
        return Err(Error::config("data.target", "must name the column of the table that is to be predicted"));
    }
    let wrong = |path: &Path| {
        let path = path.to_path_buf();
        move |message: String| Error::file(&path, message)
    };
    let table = read(train, options)?;
    // The rows that fit the encoder are the training rows: those that a division leaves, if there is one.
    let all: Vec<usize> = (0..table.rows()).collect();
    let whole = match &options.encoder {
        Some(encoder) => encoder.clone(),
        None => Encoder::fit(&table, &settings, kind, &all).map_err(wrong(train))?,
    };
    let divide = others == [None, None] && options.encoder.is_none();
    let encoder = if divide && options.fill_missing {
        let rows = options.fractions.rows(&encoded(&whole, &table, train)?);
        let chosen: Vec<usize> = rows[0].iter().map(|&row| row as usize).collect();
        Encoder::fit(&table, &settings, kind, &chosen).map_err(wrong(train))?
    } else {
        whole
    };
    let read_other = |path: Option<&Path>| path.map(|path| encoded(&encoder, &read(path, options)?, path)).transpose();
    let [val, test] = [read_other(others[0])?, read_other(others[1])?];
    let class_names = encoder.class_names().unwrap_or_default().to_vec();
    let data = Dataset::new(encoded(&encoder, &table, train)?, val, test, class_names.len())?;
    Ok(Dataset { table: Some(encoder), ..data.with_class_names(class_names) })
}

fn encoded(encoder: &Encoder, table: &Table, path: &Path) -> Result<Split> {
    let wrong = |message: String| Error::file(path, message);
    let (values, width) = encoder.features(table).map_err(wrong)?;
    let x = Samples::new(values, [width]).map_err(wrong_samples(path))?;
    let y = match encoder.targets(table).map_err(wrong)? {
        EncodedTargets::None => Targets::None,
        EncodedTargets::Classes(labels) => Targets::Classes(Arc::new(labels)),
        EncodedTargets::Values { values, width } => {
            Targets::Values(Samples::new(values, [width]).map_err(wrong_samples(path))?)
        }
    };
    Split::of(x, y).map_err(wrong_samples(path))
}

fn wrong_samples(path: &Path) -> impl Fn(Error) -> Error {
    move |error| Error::file(path, error)
}
