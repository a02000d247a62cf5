//! The directory for what may be computed again: `$WGRAD_CACHE_DIR`, else `$XDG_CACHE_HOME/wgrad`, `%LOCALAPPDATA%\wgrad` or
//! `~/.cache/wgrad`. `WGRAD_CACHE_DIR=off` disables the files in it.

use std::path::{Path, PathBuf};

/// The directory; `None` if there is none or it is switched off.
pub(super) fn path() -> Option<PathBuf> {
    directory(|name| std::env::var_os(name).map(PathBuf::from))
}

/// The directory for cache files, given the environment.
fn directory(var: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let set = |name: &str| var(name).filter(|path| !path.as_os_str().is_empty());
    if let Some(own) = set("WGRAD_CACHE_DIR") {
        return (own != Path::new("off")).then_some(own);
    }
    let users = set("XDG_CACHE_HOME").or_else(|| set("LOCALAPPDATA")).or_else(|| Some(set("HOME")?.join(".cache")));
    Some(users?.join("wgrad"))
}

/// Writes a file under a temporary name, which is renamed when complete.
pub(super) fn write(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    temporary.write_all(bytes)?;
    temporary.as_file().sync_all()?;
    temporary.persist(file)?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_selects_the_directory() {
        let of = |set: &'static [(&str, &str)]| {
            directory(|name| set.iter().find(|(key, _)| *key == name).map(|(_, path)| PathBuf::from(path)))
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("HOME", "h")]), Some(Path::new("h").join(".cache").join("wgrad")));
        assert_eq!(of(&[("HOME", "h"), ("XDG_CACHE_HOME", "x")]), Some(Path::new("x").join("wgrad")));
        assert_eq!(of(&[("HOME", "h"), ("WGRAD_CACHE_DIR", "w")]), Some(PathBuf::from("w")));
        assert_eq!(of(&[("HOME", "h"), ("WGRAD_CACHE_DIR", "off")]), None);
    }

    #[test]
    fn files_are_replaced_atomically() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep").join("cache");
        write(&file, b"one").unwrap();
        write(&file, b"two").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
    }
}
