//! Atomic file writes: the content goes to a temporary file in the same folder, which is then renamed.

use crate::error::{Error, Result};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Writes a file atomically: `path` holds either its previous content or everything that `write` wrote.
///
/// The content is synced to disk when this returns. A symbolic link is followed: its target is replaced. A device or
/// pipe (`/dev/stdout`) is written to directly, after `write` has succeeded.
///
/// # Errors
/// [`Error::File`] naming `path`: the folder is missing or not writable, `path` is a folder, `write` failed, or the
/// disk is full. `path` is then unchanged.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// let path = dir.path().join("metrics.json");
/// wgrad::data::atomic_write(&path, |w| writeln!(w, "{{}}"))?;
/// assert_eq!(std::fs::read_to_string(&path).unwrap(), "{}\n");
/// # Ok::<(), wgrad::Error>(())
/// ```
pub fn atomic_write(path: impl AsRef<Path>, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    Staged::new(path.as_ref(), write)?.commit()
}

/// A file whose content is written but not yet renamed to its final path. If dropped without a
/// [`commit`](Staged::commit), it leaves no trace. So several files can be staged first and committed together.
#[derive(Debug)]
pub(crate) struct Staged {
    /// The path as given by the caller, for messages.
    path: PathBuf,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// A finished temporary file, and the path it will be renamed to.
    File(NamedTempFile, PathBuf),
    /// Bytes for a target that cannot be replaced by a rename.
    Stream(Vec<u8>),
}

impl Staged {
    /// Writes and syncs the content, without touching `path` yet.
    pub(crate) fn new(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<Staged> {
        let failed = |what: &str| {
            let what = what.to_string();
            move |e: io::Error| Error::file(path, format!("could not {what}: {e}"))
        };
        let existing = std::fs::metadata(path).ok();
        if existing.as_ref().is_some_and(|m| m.is_dir()) {
            return Err(Error::file(path, "is a folder, but a file is to be written"));
        }
        if existing.as_ref().is_some_and(|m| !m.is_file()) {
            let mut bytes = Vec::new();
            write(&mut bytes).map_err(failed("write"))?;
            return Ok(Staged { path: path.to_path_buf(), content: Content::Stream(bytes) });
        }
        let target = match existing {
            Some(_) => path.canonicalize().map_err(failed("resolve"))?,
            None => path.to_path_buf(),
        };
        let folder = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) => Path::new("."),
            None => return Err(Error::file(path, "is not a file name")),
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(".wgrad-").suffix(".tmp");
        // Temporary files are private by default; this one gets the permissions of an ordinary file, under the user's
        // umask.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(folder).map_err(failed("create a file in its folder"))?;
        let mut writer = BufWriter::new(file.as_file_mut());
        write(&mut writer).and_then(|()| writer.flush()).map_err(failed("write"))?;
        drop(writer);
        file.as_file().sync_all().map_err(failed("sync to disk"))?;
        Ok(Staged { path: path.to_path_buf(), content: Content::File(file, target) })
    }

    /// Renames the file to its final path.
    pub(crate) fn commit(self) -> Result<()> {
        let done = match self.content {
            Content::File(file, target) => file.persist(target).map(drop).map_err(|e| e.error),
            Content::Stream(bytes) => {
                File::options().write(true).open(&self.path).and_then(|mut stream| stream.write_all(&bytes))
            }
        };
        done.map_err(|e| Error::file(&self.path, format!("could not put the finished file in place: {e}")))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_failed_write_leaves_the_old_content_and_no_litter() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        atomic_write(&path, |w| w.write_all(b"old")).unwrap();
        let failing = |w: &mut dyn Write| {
            w.write_all(b"new")?;
            Err(io::Error::other("broken"))
        };
        let error = atomic_write(&path, failing).unwrap_err().to_string();
        assert!(error.contains("broken") && error.contains(path.to_str().unwrap()), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        drop(Staged::new(&path, |w| w.write_all(b"new")).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        atomic_write(&path, |w| w.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(dir.path()), ["a"]);
    }

    #[test]
    fn places_that_cannot_be_written_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &Path| atomic_write(path, |w| w.write_all(b"x")).unwrap_err().to_string();
        assert!(write(dir.path()).contains("is a folder"));
        assert!(write(&dir.path().join("missing/file")).contains("missing/file"));
        fs::write(dir.path().join("plain"), "").unwrap();
        assert!(write(&dir.path().join("plain/file")).contains("plain/file"));
        assert!(write(Path::new("")).contains("not a file name"));
        assert!(write(Path::new("/")).contains("folder"));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_devices_are_not_replaced() {
        use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        fs::write(&target, "old").unwrap();
        symlink("target", &link).unwrap();
        atomic_write(&link, |w| w.write_all(b"new")).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o400, 0o400);
        atomic_write("/dev/null", |w| w.write_all(b"new")).unwrap();
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    }
}
