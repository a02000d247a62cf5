//! `.npz` files: NumPy's archives of named arrays.

use super::npy::{self, NpyArray};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// An array of a `.npz` archive.
#[derive(Debug, Clone, PartialEq)]
pub struct NpzArray {
    /// The shape and the elements.
    pub array: NpyArray,
    /// Whether the elements are integers (or bool) in the file.
    pub integer: bool,
}

/// The largest size in bytes of a decompressed array.
const MOST_BYTES: u64 = 1 << 32;

/// Reads all arrays of a `.npz` file, stored or deflated, by name.
///
/// # Errors
/// [`Error::File`] naming `path`: missing, not such an archive, or with an array that [`npy::read`] would reject.
pub fn read(path: impl AsRef<Path>) -> Result<BTreeMap<String, NpzArray>> {
    let path = path.as_ref();
    read_archive(path).map_err(|message| Error::file(path, message))
}

fn read_archive(path: &Path) -> Result<BTreeMap<String, NpzArray>, String> {
    let metadata = std::fs::metadata(path).map_err(|e| format!("could not open: {e}"))?;
    if !metadata.is_file() {
        return Err("is not a file".into());
    }
    let file = File::open(path).map_err(|e| format!("could not open: {e}"))?;
    let mut archive =
        zip::ZipArchive::new(BufReader::new(file)).map_err(|e| format!("is not a .npz file wgrad can read: {e}"))?;
    let mut arrays = BTreeMap::new();
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|e| format!("entry {index} cannot be read: {e}"))?;
        let name = entry.name().map_err(|e| format!("entry {index} cannot be read: {e}"))?;
        let Some(name) = name.strip_suffix(".npy").map(String::from) else { continue };
        let mut bytes = Vec::new();
        let read = entry.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|e| format!("`{name}`: {e}"))?;
        if read as u64 > MOST_BYTES {
            return Err(format!("`{name}` has more than {MOST_BYTES} bytes"));
        }
        let (array, integer) = npy::read_bytes(&bytes).map_err(|message| format!("`{name}` {message}"))?;
        arrays.insert(name, NpzArray { array, integer });
    }
    Ok(arrays)
}
