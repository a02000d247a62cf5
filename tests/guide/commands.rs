//! Runs a page's commands in a folder of their own, in the order of the page.

use super::page::Page;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the binary and, in it, of the examples' binaries.
fn binaries() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_wgrad")).parent().unwrap().to_path_buf()
}

/// What a command line is to do: the command, and what its error has to say if it has to fail.
fn parts(line: &str) -> (&str, Option<&str>) {
    match line.split_once("# error: ") {
        Some((command, message)) => (command.trim(), Some(message.trim())),
        None => (line.split(" # ").next().unwrap_or_default().trim(), None),
    }
}

pub(super) fn run(page: &Page) {
    let folder = tempfile::tempdir().unwrap();
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    #[cfg(unix)]
    std::os::unix::fs::symlink(project.join("examples"), folder.path().join("examples")).unwrap();
    for block in &page.blocks {
        if let Some(name) = block.file() {
            // The first line of a table would be read as data.
            let whole = block.language != "csv";
            let text: String = block.text.lines().skip(usize::from(!whole)).map(|line| format!("{line}\n")).collect();
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        if !block.is_run() {
            continue;
        }
        for line in block.text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
            let (command, error) = parts(line);
            if let Some(rest) = command.strip_prefix("cargo run --release --example ") {
                example(page, rest, folder.path());
                continue;
            }
            let place = format!("{}: {command}", page.at(block));
            let output = shell(command, folder.path());
            let stderr = String::from_utf8_lossy(&output.stderr);
            match error {
                None => assert!(output.status.success(), "{place}\n{stderr}"),
                Some(message) => {
                    assert!(!output.status.success(), "{place}: did not fail");
                    assert!(stderr.contains(message), "{place}: does not say `{message}`\n{stderr}");
                }
            }
        }
    }
}

fn shell(command: &str, folder: &Path) -> std::process::Output {
    let path = std::env::join_paths(
        std::iter::once(binaries()).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(folder).env("PATH", path.unwrap());
    // What tuning and pipelines keep stays out of the user's folder.
    shell.env("WGRAD_CACHE_DIR", folder.join("cache")).env_remove("WGRAD_WRITE_DOCS");
    shell.output().unwrap_or_else(|e| panic!("sh: {e}"))
}

/// An example of the project. Those of the course are run by `tests/course`, so here it is enough that there is one of the name;
/// what makes data is run.
fn example(page: &Page, arguments: &str, folder: &Path) {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let name = arguments.split_whitespace().next().unwrap_or_default();
    let (file, nested) = (format!("examples/{name}.rs"), format!("examples/{name}/main.rs"));
    let exists = project.join(&file).exists() || project.join(&nested).exists();
    assert!(exists, "{}: there is no example `{name}`", page.path.display());
    if name != "make_data" {
        return;
    }
    let binary = binaries().join("examples").join(name);
    assert!(binary.exists(), "{} is not built: cargo build --example {name}", binary.display());
    let rest = arguments.split_once(" -- ").map_or("", |(_, rest)| rest);
    let output = Command::new(binary).args(rest.split_whitespace()).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
