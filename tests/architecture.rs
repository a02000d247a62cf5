//! The layout's rules: which room of `src/` may name which.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms of `src/` from the ground up. A room may name those of earlier rows, and of its own row only itself; but those of
/// the front end, which build one graph together, may name each other.
const ORDER: &[&[&str]] = &[
    &["error"],
    &["memory"],
    &["dtype"],
    &["shape"],
    &["array"],
    &["variable"],
    FRONT_END,
    &["passes"],
    &["kernels"],
    &["plan"],
    &["wgsl"],
    &["device", "executor", "translate"],
    &["cpu", "gpu"],
    &["session"],
    &["nn"],
    &["optim"],
    &["data"],
    &["plot"],
    &["train"],
    &["generate"],
    &["verify"],
    &["bench"],
    &["doctor"],
    &["lib"],
    &["cli"],
    &["main"],
];

/// What a program is written with: the graph and what its operations mean.
const FRONT_END: &[&str] = &["graph", "tensor", "ops", "autodiff", "reference", "custom"];

/// Rooms that the order would allow to name each other, but that have no business with one another: how the host runs a kernel
/// and how a GPU does, and building networks and running them.
const APART: &[(&str, &str)] = &[
    ("cpu", "wgsl"),
    ("gpu", "passes::run"),
    ("nn", "session"),
    ("nn", "plan"),
    ("optim", "session"),
    ("optim", "nn"),
];

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
    out.sort();
    out
}

/// The code of a file: comments do not count.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

/// The code of a file without its unit tests, which may use anything.
fn tested_code(path: &Path) -> String {
    code(path).split("#[cfg(test)]").next().unwrap_or_default().to_string()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// A file's room: its folder, or its own name.
fn room(path: &Path) -> String {
    let inside = path.strip_prefix(root()).unwrap();
    let first = Path::new(inside.components().next().unwrap().as_os_str());
    first.file_stem().unwrap().to_string_lossy().into_owned()
}

/// The words that follow `start`, as far as they are names.
fn names_after<'t>(text: &'t str, start: &str) -> Vec<&'t str> {
    let name = |rest: &'t str| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
    text.split(start).skip(1).map(name).filter(|name| !name.is_empty()).collect()
}

#[test]
fn only_the_gpu_room_names_wgpu() {
    for path in sources(&root()) {
        assert!(room(&path) == "gpu" || !code(&path).contains("wgpu::"), "{} names wgpu", path.display());
    }
}

#[test]
fn every_room_has_a_place_in_the_order() {
    let known: Vec<&str> = ORDER.iter().flat_map(|row| row.iter().copied()).collect();
    for path in sources(&root()) {
        assert!(known.contains(&room(&path).as_str()), "{}: add the room to ORDER", path.display());
    }
}

/// No arrow goes back up.
#[test]
fn rooms_name_only_earlier_ones() {
    let row = |room: &str| ORDER.iter().position(|row| row.contains(&room));
    let mut wrong = Vec::new();
    for path in sources(&root()) {
        let own = room(&path);
        let Some(at) = row(&own).filter(|_| own != "lib") else { continue };
        let text = tested_code(&path);
        // The library's own front page hands out what all rooms have; inside, each is named where it is.
        for name in names_after(&text, "crate::") {
            let Some(other) = row(name) else { continue };
            let among_themselves = FRONT_END.contains(&own.as_str()) && FRONT_END.contains(&name);
            if name != own && other >= at && !among_themselves {
                wrong.push(format!("{} names crate::{name}", path.display()));
            }
        }
        for (_, other) in APART.iter().filter(|(room, _)| *room == own) {
            if text.contains(&format!("crate::{other}")) {
                wrong.push(format!("{} names crate::{other}", path.display()));
            }
        }
    }
    wrong.dedup();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Within a room files name each other one way too, but for the front end's. What a folder's `mod.rs` hands out is nobody's.
#[test]
fn files_of_a_room_form_no_circle() {
    let mut arrows: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for path in sources(&root()) {
        if FRONT_END.contains(&room(&path).as_str()) || path.ends_with("mod.rs") {
            continue;
        }
        let (text, folder) = (tested_code(&path), path.parent().unwrap());
        let target = |name: &str| {
            let (file, nested) = (folder.join(format!("{name}.rs")), folder.join(name).join("mod.rs"));
            [file, nested].into_iter().find(|p| p.exists() && *p != path)
        };
        let inside = names_after(&text, &format!("crate::{}::", room(&path)));
        let top = folder == root().join(room(&path));
        let siblings = names_after(&text, "super::").into_iter().chain(inside.into_iter().filter(|_| top));
        arrows.insert(path.clone(), siblings.filter_map(target).collect());
    }
    fn visit(at: &PathBuf, arrows: &BTreeMap<PathBuf, Vec<PathBuf>>, way: &mut Vec<PathBuf>, done: &mut Vec<PathBuf>) {
        assert!(!way.contains(at), "a circle of files: {way:?}, and back to {}", at.display());
        if done.contains(at) {
            return;
        }
        way.push(at.clone());
        for next in arrows.get(at).into_iter().flatten() {
            visit(next, arrows, way, done);
        }
        way.pop();
        done.push(at.clone());
    }
    let mut done = Vec::new();
    for path in arrows.keys() {
        visit(path, &arrows, &mut Vec::new(), &mut done);
    }
}

/// A kernel is found by one name in each room: what it is, how it is planned (the operation's name), how each backend runs it.
#[test]
fn a_kernel_has_one_name_in_each_room() {
    let names = |room: &str| -> Vec<String> {
        let files =
            sources(&root().join(room)).into_iter().map(|p| p.strip_prefix(root().join(room)).unwrap().to_path_buf());
        files
            .map(|p| p.with_extension("").components().next().unwrap().as_os_str().to_string_lossy().into_owned())
            .collect()
    };
    let data = fs::read_to_string(root().join("kernels/mod.rs")).unwrap();
    let kernels = names_after(&data, "\npub mod ");
    assert!(kernels.len() > 10, "{kernels:?}");
    for kernel in kernels {
        for room in ["cpu", "wgsl", "plan/lower", "ops"] {
            assert!(names(room).iter().any(|name| name == kernel), "{kernel}: no file of that name in src/{room}");
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
    let shaders = fs::read_dir(root().join("../shaders")).unwrap().map(|entry| entry.unwrap().path());
    for path in sources(&root()).into_iter().chain(shaders) {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= 450, "{} has {lines} lines: split it by subject", path.display());
    }
}

#[test]
fn unsafe_code_is_in_three_files() {
    let files: Vec<PathBuf> = sources(&root()).into_iter().filter(|p| code(p).contains("unsafe ")).collect();
    let may = ["cpu/gemm.rs", "gpu/pipeline.rs", "gpu/pipeline_cache.rs"];
    assert!(files.iter().all(|p| may.iter().any(|file| p.ends_with(file))), "{files:?}");
}
