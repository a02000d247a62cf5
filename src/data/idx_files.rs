//! Folders of IDX files with the names that MNIST's have.

use super::arrays::{Arrays, Numbers};
use super::idx::{self, IdxElement, IdxHeader};
use super::npy::{IN_FILE_BYTES, NpyArray};
use super::raw_samples::{Content, RawSamples};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The largest size in bytes of an unpacked file.
const MOST_BYTES: u64 = 1 << 32;
/// The size of the longest header.
const HEADER: usize = 4 + 4 * 8;

/// The IDX files of a folder, by the name of their array: `x_train`, `y_train`, ….
pub(super) struct IdxFiles {
    dir: PathBuf,
    files: BTreeMap<String, PathBuf>,
}

/// The array that a file of this name holds: `train-images-idx3-ubyte.gz` is `x_train`.
fn array_of(file: &str) -> Option<String> {
    let file = file.strip_suffix(".gz").unwrap_or(file).to_lowercase();
    if !file.contains("idx") {
        return None;
    }
    let part = ["images", "labels", "targets"].into_iter().find(|part| file.contains(part))?;
    let sets = [("train", "train"), ("t10k", "test"), ("test", "test"), ("val", "val")];
    let (_, split) = sets.into_iter().find(|(start, _)| file.starts_with(start))?;
    Some(format!("{}_{split}", if part == "images" { "x" } else { "y" }))
}

impl IdxFiles {
    /// The IDX files in `dir`.
    pub(super) fn of(dir: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        let entries = std::fs::read_dir(dir).map_err(|e| Error::file(dir, format!("cannot be read: {e}")))?;
        let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        // A file comes before its own `.gz`, which is then not read.
        paths.sort();
        for path in paths {
            if let Some(name) = path.file_name().and_then(|name| array_of(&name.to_string_lossy())) {
                files.entry(name).or_insert(path);
            }
        }
        Ok(IdxFiles { dir: dir.to_path_buf(), files })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Whether a path has the name of an IDX file.
    pub(super) fn is_name(path: &Path) -> bool {
        path.file_name().is_some_and(|name| array_of(&name.to_string_lossy()).is_some())
    }
}

/// The header of the file at `path`, and the bytes after it, unless they are to stay in the file.
fn open(path: &Path, in_file: bool) -> Result<(IdxHeader, Option<Vec<u8>>)> {
    let wrong = |message: String| Error::file(path, message);
    let metadata = std::fs::metadata(path).map_err(|e| wrong(format!("could not open: {e}")))?;
    if !metadata.is_file() {
        return Err(wrong("is not a file".into()));
    }
    let mut file = File::open(path).map_err(|e| wrong(format!("could not open: {e}")))?;
    let is_packed = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz"));
    let mut bytes = if is_packed {
        idx::read_gz(file, MOST_BYTES).map_err(wrong)?
    } else {
        let mut start = Vec::new();
        (&mut file).take(HEADER as u64).read_to_end(&mut start).map_err(|e| wrong(format!("could not read: {e}")))?;
        let header = idx::header(&start).map_err(wrong)?;
        idx::check_length(&header, metadata.len()).map_err(wrong)?;
        if in_file || metadata.len() > IN_FILE_BYTES {
            return Ok((header, None));
        }
        file.read_to_end(&mut start).map_err(|e| wrong(format!("could not read: {e}")))?;
        start
    };
    let header = idx::header(&bytes).map_err(wrong)?;
    idx::check_length(&header, bytes.len() as u64).map_err(wrong)?;
    bytes.drain(..header.offset);
    Ok((header, Some(bytes)))
}

impl Arrays for IdxFiles {
    fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    fn place(&self, name: &str) -> PathBuf {
        let expected = || {
            let (part, split) = name.split_once('_').unwrap_or(("x", name));
            let kind = if part == "x" { "images-idx3-ubyte" } else { "labels-idx1-ubyte" };
            self.dir.join(format!("{split}-{kind}"))
        };
        self.files.get(name).cloned().unwrap_or_else(expected)
    }

    fn samples(&self, name: &str, in_file: bool) -> Result<RawSamples> {
        let path = self.place(name);
        let (header, data) = open(&path, in_file)?;
        let content = match data {
            None => Content::File { path, start: header.offset as u64, format: header.element.format() },
            Some(bytes) if header.element == IdxElement::U8 => Content::U8(bytes),
            Some(bytes) => {
                let mut values = Vec::new();
                header.element.format().decode(&bytes, &mut values);
                Content::F32(values)
            }
        };
        Ok(RawSamples { shape: header.shape, content })
    }

    fn numbers(&self, name: &str) -> Result<Numbers> {
        let path = self.place(name);
        let (header, data) = open(&path, false)?;
        let data = data.ok_or_else(|| Error::file(&path, "is too large for targets"))?;
        let mut values = Vec::new();
        header.element.format().decode(&data, &mut values);
        let is_float = matches!(header.element, IdxElement::F32 | IdxElement::F64);
        let values = values.into_iter().map(f64::from).collect();
        Ok(Numbers { array: NpyArray { shape: header.shape, values }, is_float })
    }
}

#[cfg(test)]
mod tests {
    use super::array_of;

    #[test]
    fn mnists_names_are_known() {
        let names = [
            ("train-images-idx3-ubyte", "x_train"),
            ("train-labels-idx1-ubyte.gz", "y_train"),
            ("t10k-images-idx3-ubyte.gz", "x_test"),
            ("t10k-labels.idx1-ubyte", "y_test"),
            ("val-targets-idx2-float", "y_val"),
        ];
        for (file, array) in names {
            assert_eq!(array_of(file).as_deref(), Some(array), "{file}");
        }
        for file in ["train-images.png", "notes-idx.txt", "images-idx3-ubyte", "train.csv"] {
            assert_eq!(array_of(file), None, "{file}");
        }
    }
}
