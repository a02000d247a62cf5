//! A Markdown page: its fenced blocks, links and headings.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A fenced block.
pub(super) struct Block {
    /// What follows the fence.
    pub(super) language: String,
    pub(super) text: String,
    /// The number of its first line.
    pub(super) line: usize,
}

impl Block {
    /// The file that the block is to be written to: `# file: NAME` in its first line.
    pub(super) fn file(&self) -> Option<&str> {
        self.text.lines().next()?.strip_prefix("# file: ").map(str::trim)
    }
    /// Whether its commands are run.
    pub(super) fn is_run(&self) -> bool {
        self.language == "sh"
    }
}

pub(super) struct Page {
    pub(super) path: PathBuf,
    pub(super) text: String,
    pub(super) blocks: Vec<Block>,
    /// The lines of indented code outside fences.
    pub(super) indented: Vec<usize>,
    /// The text outside fences.
    prose: String,
}

impl Page {
    pub(super) fn read(path: &Path) -> Page {
        let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let (mut blocks, mut indented, mut prose) = (Vec::new(), Vec::new(), String::new());
        let mut open: Option<Block> = None;
        for (index, line) in text.lines().enumerate() {
            match (&mut open, line.trim_start().strip_prefix("```")) {
                (None, Some(language)) => {
                    let language = language.trim().to_string();
                    open = Some(Block { language, text: String::new(), line: index + 2 });
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(block), None) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                (None, None) => {
                    if line.starts_with("    ") {
                        indented.push(index + 1);
                    }
                    prose.push_str(line);
                    prose.push('\n');
                }
            }
        }
        assert!(open.is_none(), "{}: a block is not closed", path.display());
        Page { path: path.to_path_buf(), text, blocks, indented, prose }
    }

    /// Where a block is, for messages.
    pub(super) fn at(&self, block: &Block) -> String {
        format!("{}:{}", self.path.display(), block.line)
    }

    /// The targets of links and pictures.
    pub(super) fn links(&self) -> Vec<String> {
        let mut found = Vec::new();
        // Code in backticks is no link.
        let prose: String =
            self.prose.split('`').enumerate().filter(|(k, _)| k % 2 == 0).map(|(_, part)| part).collect();
        for part in prose.split("](").skip(1) {
            if let Some((target, _)) = part.split_once(')') {
                found.push(target.to_string());
            }
        }
        found
    }

    /// The anchors of its headings, as GitHub makes them.
    pub(super) fn anchors(&self) -> BTreeSet<String> {
        let headings = self.prose.lines().filter(|line| line.starts_with('#'));
        headings
            .map(|heading| {
                let words = heading.trim_start_matches('#').trim().to_lowercase();
                let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
                kept.map(|c| if c == ' ' { '-' } else { c }).collect()
            })
            .collect()
    }
}
