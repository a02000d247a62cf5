//! WGSL shaders and their specialisation.
//!
//! Every file of `shaders/` is valid WGSL as committed. It is specialised by replacing single lines
//! (`const NAME: u32 = …;` and `alias NAME = …;`) and, for elementwise expressions and reductions, marked regions
//! (`// [name]` to `// [end]`). The result is what a device compiles and what `wgrad kernels show` prints.

use super::wgsl::{Pointwise, Region};
use crate::dtype::DType;
use crate::error::{Error, Result};
use std::borrow::Cow;

/// A shader with its specialisation: the key pipelines are cached by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shader {
    /// The WGSL text before specialisation.
    pub source: ShaderSource,
    /// `const NAME: u32 = …;` lines to replace.
    pub constants: Vec<(&'static str, u32)>,
    /// `alias NAME = …;` lines to replace, with dtypes in memory.
    pub aliases: Vec<(&'static str, DType)>,
    /// Aliases that stand for vectors of four.
    pub vectors: Vec<&'static str>,
    /// Whether the region `broadcast` is to use subgroups.
    pub broadcast: bool,
    /// Whether the region `row_sums`, where there is one, is to stay.
    pub row_sums: bool,
}

/// Where a shader's text comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ShaderSource {
    /// A file of `shaders/`, as committed, or a user's.
    File {
        /// Its name without `.wgsl`.
        name: &'static str,
        /// Its text.
        text: Cow<'static, str>,
    },
    /// `shaders/elementwise.wgsl` with a generated expression.
    Elementwise(Pointwise),
    /// `shaders/reduce.wgsl` with a generated expression.
    Reduce(Pointwise),
}

const ELEMENTWISE: &str = include_str!("../../shaders/elementwise.wgsl");
const REDUCE: &str = include_str!("../../shaders/reduce.wgsl");

/// The region `broadcast`: in a file, `fn fromI(v: T) -> T { return v; }` and the like; with subgroups, lane I's value.
fn broadcasts(text: &str) -> Result<String> {
    let mut lane = "";
    let lines = region(text, "broadcast")?.lines().map(|line| match line.find("(v:") {
        Some(at) => {
            lane = &line[at - 1..at];
            line.to_string()
        }
        None => line.replace("return v;", &format!("return subgroupBroadcast(v, {lane}u);")),
    });
    let body = lines.collect::<Vec<_>>().join("\n");
    replace_region(text, "broadcast", &body)
}

impl Shader {
    /// A shader as it is.
    pub fn new(source: ShaderSource) -> Shader {
        Shader {
            source,
            constants: Vec::new(),
            aliases: Vec::new(),
            vectors: Vec::new(),
            broadcast: false,
            row_sums: false,
        }
    }

    /// A shader of `shaders/`.
    pub fn file(name: &'static str, text: &'static str) -> Shader {
        let source = ShaderSource::File { name, text: Cow::Borrowed(text) };
        Shader::new(source)
    }

    /// The same with another value of a constant.
    pub fn constant(mut self, name: &'static str, value: u32) -> Shader {
        self.constants.push((name, value));
        self
    }

    /// The same with another type behind an alias.
    pub fn alias(mut self, name: &'static str, dtype: DType) -> Shader {
        self.aliases.push((name, dtype));
        self
    }

    /// The same with a vector of four behind an alias.
    pub fn vector(mut self, name: &'static str, dtype: DType) -> Shader {
        self.vectors.push(name);
        self.alias(name, dtype)
    }

    /// The same with values passed between the threads of a subgroup, if `on`.
    pub fn broadcast(mut self, on: bool) -> Shader {
        self.broadcast = on;
        self.constant("WIDE", on.into())
    }

    /// The same with a second output, the sums of rows, if `on`; without, its region does nothing and binds nothing.
    pub fn row_sums(mut self, on: bool) -> Shader {
        self.row_sums = on;
        self.constant("ROW_SUMS", on.into())
    }

    /// Its name: that of its file.
    pub fn name(&self) -> &'static str {
        match &self.source {
            ShaderSource::File { name, .. } => name,
            ShaderSource::Elementwise(_) => "elementwise",
            ShaderSource::Reduce(_) => "reduce",
        }
    }

    /// Whether it needs a device with 16-bit floats.
    pub fn uses_f16(&self) -> bool {
        let generated = match &self.source {
            ShaderSource::File { .. } => false,
            ShaderSource::Elementwise(point) | ShaderSource::Reduce(point) => point.uses_f16(),
        };
        generated || self.aliases.iter().any(|(_, dtype)| *dtype == DType::F16)
    }

    /// The specialised text.
    pub fn wgsl(&self) -> Result<String> {
        let mut text = match &self.source {
            ShaderSource::File { text, .. } => text.to_string(),
            ShaderSource::Elementwise(point) => {
                let text = replace_region(ELEMENTWISE, "bindings", &point.declarations())?;
                replace_region(&text, "elementwise", &point.region(Region::Elementwise))?
            }
            ShaderSource::Reduce(point) => {
                let helpers = region(ELEMENTWISE, "helpers")?;
                let text = replace_region(REDUCE, "bindings", &format!("{}\n{helpers}", point.declarations()))?;
                let text = replace_region(&text, "value", &point.region(Region::Value))?;
                replace_region(&text, "store", &point.region(Region::Store))?
            }
        };
        if !self.row_sums && self.constants.iter().any(|(name, _)| *name == "ROW_SUMS") {
            text = replace_region(&text, "row_sums", "fn store_sum(i: u32, value: f32) {\n}")?;
        }
        for (name, value) in &self.constants {
            text = replace_line(&text, &format!("const {name}: u32 = "), &format!("{value}u"))?;
        }
        for (name, dtype) in &self.aliases {
            let vector = self.vectors.contains(name);
            let value = if vector { format!("vec4<{}>", dtype.name()) } else { dtype.name().to_string() };
            text = replace_line(&text, &format!("alias {name} = "), &value)?;
        }
        if self.broadcast {
            text = broadcasts(&text)?;
        }
        Ok(if self.uses_f16() { format!("enable f16;\n{text}") } else { text })
    }
}

/// Replaces what stands between `start` and `;` on the one line that begins with `start`.
fn replace_line(text: &str, start: &str, value: &str) -> Result<String> {
    let mut found = 0;
    let lines = text.lines().map(|line| {
        if line.starts_with(start) {
            found += 1;
            Cow::Owned(format!("{start}{value};"))
        } else {
            Cow::Borrowed(line)
        }
    });
    let replaced = lines.collect::<Vec<_>>().join("\n") + "\n";
    match found {
        1 => Ok(replaced),
        _ => Err(Error::Internal(format!("a shader has {found} lines `{start}…;`, but one is needed"))),
    }
}

/// Where the text of a region starts and ends.
fn bounds(text: &str, name: &str) -> Result<(usize, usize)> {
    let marker = format!("// [{name}]\n");
    let found = text.find(&marker).and_then(|at| {
        let start = at + marker.len();
        let end = text[start..].find("// [end]")? + start;
        // The end marker's own indentation belongs to it.
        Some((start, text[..end].rfind('\n')? + 1))
    });
    found.ok_or_else(|| Error::Internal(format!("a shader has no region `{name}`")))
}

fn region<'t>(text: &'t str, name: &str) -> Result<&'t str> {
    let (start, end) = bounds(text, name)?;
    Ok(&text[start..end])
}

fn replace_region(text: &str, name: &str, body: &str) -> Result<String> {
    let (start, end) = bounds(text, name)?;
    Ok(format!("{}{}\n{}", &text[..start], body.trim_end_matches('\n'), &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_regions_are_replaced_once() {
        let text = "const A: u32 = 1u;\nfn f() {\n    // [body]\n    old();\n    // [end]\n}\n";
        let line = replace_line(text, "const A: u32 = ", "7u").unwrap();
        assert!(line.starts_with("const A: u32 = 7u;\n"));
        let body = replace_region(text, "body", "    new();\n").unwrap();
        assert_eq!(body, text.replace("old", "new"));
        assert_eq!(region(text, "body").unwrap(), "    old();\n");
        assert!(replace_line(text, "const B: u32 = ", "7u").is_err());
        assert!(replace_region(text, "missing", "").is_err());
    }
}
