//! The variants that `wgrad tune` measured as the fastest, one file per adapter, driver and version of wgrad.
//!
//! The files are in the cache directory (`cache_dir.rs`). One that is damaged, or of another adapter, driver or version,
//! is not used.

use super::adapter::AdapterInfo;
use super::cache_dir;
use crate::error::{Error, Result};
use crate::wgsl::Tuned;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

const FORMAT: &str = "wgrad-tuned-1";

/// What the file holds, as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TunedFile {
    /// `wgrad-tuned-1`.
    pub format: String,
    /// wgrad's version: others have other variants.
    pub wgrad: String,
    /// The adapter's name and backend.
    pub adapter: String,
    /// The driver with its version.
    pub driver: String,
    /// The variant to run, by what the launch is ([`key`](crate::wgsl::key)).
    pub variants: Tuned,
}

/// The driver's name and version.
fn driver(info: &AdapterInfo) -> String {
    format!("{} {}", info.driver, info.driver_info).trim().to_string()
}

impl TunedFile {
    /// An empty one for this adapter.
    pub fn new(info: &AdapterInfo) -> TunedFile {
        TunedFile {
            format: FORMAT.into(),
            wgrad: env!("CARGO_PKG_VERSION").into(),
            adapter: format!("{} ({})", info.name, info.backend),
            driver: driver(info),
            variants: Tuned::default(),
        }
    }

    /// Where the cache directory keeps it; `None` without such a directory.
    pub fn path(info: &AdapterInfo) -> Option<PathBuf> {
        let text = format!("{}-{}-{}-{}", info.name, info.backend, driver(info), env!("CARGO_PKG_VERSION"));
        let name: String = text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
        Some(cache_dir::path()?.join(format!("tuned-{name}.json")))
    }

    /// Reads a file made for this adapter, driver and version.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read, is damaged, or was made for another one.
    pub fn read(path: &Path, info: &AdapterInfo) -> Result<TunedFile> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::file(path, format!("could not read: {e}")))?;
        let file: TunedFile =
            serde_json::from_str(&text).map_err(|e| Error::file(path, format!("is no file of `wgrad tune`: {e}")))?;
        let own = TunedFile { variants: file.variants.clone(), ..TunedFile::new(info) };
        if file != own {
            let of = |file: &TunedFile| format!("wgrad {}, {}, {}", file.wgrad, file.adapter, file.driver);
            return Err(Error::file(path, format!("was made for {}, and this is {}", of(&file), of(&own))));
        }
        Ok(file)
    }

    /// The file of this adapter in the cache directory, and why there is none of use if there is one at all.
    pub fn find(info: &AdapterInfo) -> (Option<TunedFile>, Option<Error>) {
        match TunedFile::path(info).filter(|path| path.exists()) {
            None => (None, None),
            Some(path) => match TunedFile::read(&path, info) {
                Ok(file) => (Some(file), None),
                Err(error) => (None, Some(error)),
            },
        }
    }

    /// Writes it, atomically.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let failed = |e: &dyn std::fmt::Display| Error::file(path, format!("could not write: {e}"));
        let text = serde_json::to_string_pretty(self).map_err(|e| failed(&e))?;
        cache_dir::write(path, format!("{text}\n").as_bytes()).map_err(|e| failed(&e))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_of_this_adapter_and_version_is_read() {
        let Ok((_, info)) = crate::gpu::adapter::choose(&crate::GpuChoice::Fastest) else { return };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tuned.json");
        let mut file = TunedFile::new(&info);
        file.variants.0.insert("matmul".into(), "32x32".into());
        file.write(&path).unwrap();
        assert_eq!(TunedFile::read(&path, &info).unwrap(), file);
        TunedFile { driver: "another".into(), ..file.clone() }.write(&path).unwrap();
        let error = TunedFile::read(&path, &info).unwrap_err().to_string();
        assert!(error.contains("another") && error.contains("was made for"), "{error}");
        std::fs::write(&path, "{").unwrap();
        assert!(TunedFile::read(&path, &info).unwrap_err().to_string().contains("is no file of `wgrad tune`"));
    }
}
