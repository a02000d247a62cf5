//! The guide is true: links lead somewhere, commands run and say what the page says, settings can be read. Its Rust code is run by
//! `cargo test --doc`.
#![allow(clippy::unwrap_used)]

mod commands;
mod page;

use page::{Block, Page};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All Markdown files of a folder and its folders.
fn markdown(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            markdown(&path, found);
        } else if path.extension().is_some_and(|e| e == "md") {
            found.push(path);
        }
    }
}

fn pages(folder: &str) -> Vec<Page> {
    let mut found = Vec::new();
    markdown(&root().join(folder), &mut found);
    found.sort();
    found.iter().map(|path| Page::read(path)).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut all = pages("docs");
    all.extend(["README.md", "ARCHITECTURE.md", "CHANGELOG.md"].map(|name| Page::read(&root().join(name))));
    let mut broken = Vec::new();
    for page in &all {
        for link in page.links() {
            if link.starts_with("http") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { page.path.clone() } else { page.path.parent().unwrap().join(file) };
            if !target.exists() {
                broken.push(format!("{}: {link}: there is no such file", page.path.display()));
            } else if !anchor.is_empty() && !Page::read(&target).anchors().contains(anchor) {
                broken.push(format!("{}: {link}: there is no such heading", page.path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Code is in fenced blocks of known languages: an indented block would be run as Rust by rustdoc.
#[test]
fn blocks_have_a_language() {
    const KNOWN: [&str; 9] = ["sh", "sh ignore", "rust", "rust,no_run", "toml", "csv", "text", "python", "wgsl"];
    for page in pages("docs/guide") {
        let at = page.path.display();
        for block in &page.blocks {
            assert!(KNOWN.contains(&block.language.as_str()), "{at}:{}: language `{}`", block.line, block.language);
        }
        assert!(page.indented.is_empty(), "{at}: indented code in lines {:?}", page.indented);
        for (line, text) in page.text.lines().enumerate() {
            let limit = if text.starts_with('|') { 400 } else { 200 };
            assert!(text.chars().count() <= limit, "{at}:{}: a line of {} characters", line + 1, text.chars().count());
        }
    }
}

/// Every page is reached from the guide's first page, and every picture of the course from a page.
#[test]
fn nothing_is_lost() {
    let linked = |pages: &[Page]| -> BTreeSet<PathBuf> {
        let targets = pages.iter().flat_map(|page| {
            page.links().into_iter().map(|link| {
                page.path.parent().unwrap().join(link.split('#').next().unwrap_or_default()).canonicalize().ok()
            })
        });
        targets.flatten().collect()
    };
    let start = Page::read(&root().join("docs/guide/README.md"));
    let from_start = linked(std::slice::from_ref(&start));
    let all = pages("docs/guide");
    for page in &all {
        let path = page.path.canonicalize().unwrap();
        assert!(path.ends_with("guide/README.md") || from_start.contains(&path), "no link to {}", path.display());
    }
    let from_pages = linked(&all);
    for entry in std::fs::read_dir(root().join("docs/images/course")).unwrap() {
        let path = entry.unwrap().path().canonicalize().unwrap();
        assert!(from_pages.contains(&path), "no page shows {}", path.display());
        let size = std::fs::metadata(&path).unwrap().len();
        assert!(size <= 500_000, "{} has {size} bytes", path.display());
    }
}

/// The Rust code of each page is among the documentation tests.
#[test]
fn code_is_tested() {
    let library = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    for page in pages("docs/guide") {
        if page.blocks.iter().any(|block| block.language.starts_with("rust")) {
            let name = page.path.strip_prefix(root()).unwrap().display().to_string();
            assert!(library.contains(&format!("\"../{name}\"")), "src/lib.rs does not name {name}");
        }
    }
}

/// Settings that are shown can be read. Parts of settings are completed by what they leave out.
#[test]
fn settings_can_be_read() {
    for page in pages("docs/guide") {
        for block in page.blocks.iter().filter(|block| block.language == "toml") {
            if block.file().is_some() {
                continue;
            }
            let mut table: toml::Table =
                toml::from_str(&block.text).unwrap_or_else(|e| panic!("{}: {e}", page.at(block)));
            let layers: toml::Table =
                toml::from_str("model = { layers = [{ type = \"linear\", out_features = 1 }] }").unwrap();
            for (key, value) in layers {
                table.entry(key).or_insert(value);
            }
            // An optimiser's own default, where a page shows only some of its keys.
            if let Some(optimizer) = table.get_mut("optimizer").and_then(|o| o.as_table_mut()) {
                optimizer.entry("type").or_insert("sgd".into());
                optimizer.entry("lr").or_insert(0.1.into());
            }
            let text = toml::to_string(&table).unwrap();
            let read: Result<wgrad::train::Config, _> = toml::from_str(&text);
            assert!(read.is_ok(), "{}: {}", page.at(block), read.unwrap_err());
        }
    }
}

fn run(name: &str) {
    let page = Page::read(&root().join("docs/guide").join(name));
    commands::run(&page);
}

macro_rules! commands_of {
    ($($test:ident $name:literal;)*) => {
        $(#[test]
        fn $test() {
            run($name);
        })*

        /// No page with commands is left out.
        #[test]
        fn every_page_is_run() {
            let listed = [$($name),*];
            for page in pages("docs/guide") {
                let name = page.path.strip_prefix(root().join("docs/guide")).unwrap().display().to_string();
                let has = page.blocks.iter().any(Block::is_run);
                assert_eq!(listed.contains(&name.as_str()), has, "{name}: add it to or remove it from this list");
            }
        }
    };
}
commands_of! {
    course_convolution "course/convolution.md";
    course_coursework "course/coursework.md";
    course_decoding "course/decoding.md";
    course_deep "course/deep.md";
    course_distances "course/distances.md";
    course_gradients "course/gradients.md";
    course_hand_written "course/hand_written.md";
    course_losses "course/losses.md";
    course_mnist1d_table "course/mnist1d_table.md";
    course_shallow "course/shallow.md";
    course_training "course/training.md";
    data "data.md";
    devices "devices.md";
    first_run "first-run.md";
    gradients "gradients.md";
    plan "plan.md";
    runs "runs.md";
    text "text.md";
    troubleshooting "troubleshooting.md";
    tuning "tuning.md";
}
