//! The layout's rules: which module may name what.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
    out
}

/// The code of a file: comments do not count.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[test]
fn only_the_gpu_module_names_wgpu() {
    for path in sources(&root()) {
        let inside = path.starts_with(root().join("gpu"));
        assert!(inside || !code(&path).contains("wgpu::"), "{} names wgpu", path.display());
    }
}

/// Later stages know earlier ones, never the other way round.
#[test]
fn stages_depend_only_on_earlier_ones() {
    let later: [(&str, &[&str]); 12] = [
        ("graph", &["passes", "plan", "cpu", "gpu", "session", "nn", "optim", "train", "verify", "bench", "doctor"]),
        ("passes", &["plan", "cpu", "gpu", "session", "nn", "optim", "train", "verify", "bench", "doctor"]),
        ("ops", &["passes", "gpu", "session", "nn", "optim", "train", "verify", "bench", "doctor"]),
        ("plan", &["gpu", "session", "nn", "optim", "train", "verify", "bench", "doctor"]),
        ("cpu", &["gpu", "nn", "optim", "train", "verify", "bench", "doctor"]),
        ("gpu", &["cpu", "nn", "optim", "train", "verify", "bench", "doctor"]),
        ("custom", &["passes", "gpu", "session", "nn", "optim", "train", "verify", "bench", "doctor"]),
        ("nn", &["cpu", "gpu", "session", "optim", "train", "verify", "bench", "doctor"]),
        ("train", &["cpu", "gpu", "verify", "bench", "doctor"]),
        ("verify", &["cpu", "gpu", "train", "bench", "doctor"]),
        ("bench", &["doctor"]),
        // It asks drivers questions of its own, so it knows gpu's probes, and measures as bench does.
        ("doctor", &["cpu", "nn", "optim", "train", "verify"]),
    ];
    for (stage, forbidden) in later {
        for path in sources(&root().join(stage)) {
            let text = code(&path);
            for other in forbidden {
                assert!(!text.contains(&format!("crate::{other}::")), "{} uses crate::{other}", path.display());
            }
        }
    }
}

/// Where two files of a stage could name each other, which of them is the later.
#[test]
fn no_two_files_name_each_other() {
    let later: [(&str, &[&str]); 3] = [
        ("dtype.rs", &["crate::shape", "crate::array"]),
        ("shape.rs", &["crate::array"]),
        ("verify/fuzz.rs", &["super::check", "verify::check"]),
    ];
    for (file, forbidden) in later {
        let found = sources(&root()).into_iter().filter(|path| path.ends_with(file)).collect::<Vec<_>>();
        assert_eq!(found.len(), 1, "{file}: {found:?}");
        let text = code(&found[0]);
        for other in forbidden {
            assert!(!text.contains(other), "{file} uses {other}");
        }
    }
}

#[test]
fn files_hold_one_subject() {
    for path in sources(&root()) {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= 520, "{} has {lines} lines: split it by subject", path.display());
    }
}

#[test]
fn unsafe_code_is_in_two_files() {
    let files: Vec<PathBuf> = sources(&root()).into_iter().filter(|p| code(p).contains("unsafe ")).collect();
    let may = ["cpu/gemm.rs", "gpu/pipeline_cache.rs"];
    assert!(files.iter().all(|p| may.iter().any(|file| p.ends_with(file))), "{files:?}");
}
