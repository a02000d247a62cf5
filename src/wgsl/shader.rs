//! WGSL shaders and their specialisation.
//!
//! Every file of `shaders/` is valid WGSL as committed. It is specialised by replacing single lines
//! (`const NAME: u32 = …;` and `alias NAME = …;`) and, where elementwise expressions are fused in, marked regions
//! (`// [name]` to `// [end]`). The result is what a device compiles and what `wgrad kernels show` prints.

use super::generate::Generated;
use crate::dtype::DType;
use crate::error::{Error, Result};
use std::borrow::Cow;

/// A shader with its specialisation: the key pipelines are cached by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shader {
    /// Its name: that of its file without `.wgsl`.
    pub name: &'static str,
    /// The WGSL text before specialisation: a file of `shaders/`, as committed, or a user's.
    pub text: Cow<'static, str>,
    /// Files of `shaders/` whose text follows, by name. They and the first one declare what the others' region
    /// `outside` stands for, which makes each file valid by itself and is left out here.
    pub joined: Vec<(&'static str, Cow<'static, str>)>,
    /// A text whose region `helpers` has the functions that generated code may call.
    pub helpers: Cow<'static, str>,
    /// `const NAME: u32 = …;` lines to replace.
    pub constants: Vec<(&'static str, u32)>,
    /// `alias NAME = …;` lines to replace, with dtypes in memory.
    pub aliases: Vec<(&'static str, DType)>,
    /// Aliases that stand for vectors of four.
    pub vectors: Vec<&'static str>,
    /// Whether the region `broadcast` is to use subgroups.
    pub broadcast: bool,
    /// Marked regions to replace by other text.
    pub replaced: Vec<(&'static str, Cow<'static, str>)>,
    /// Buffers whose bindings are to be numbered in this order, from 1 on, where no generated region says so.
    pub named: Vec<&'static str>,
    /// Marked regions to replace by generated code.
    pub generated: Option<Generated>,
    /// A user's kernel: whether it uses 16-bit floats.
    pub custom: Option<bool>,
}

pub(super) const ELEMENTWISE: &str = include_str!("../../shaders/elementwise.wgsl");
pub(super) const REDUCE: &str = include_str!("../../shaders/reduce.wgsl");

/// The region `broadcast`: in a file, `fn fromI(v: T) -> T { return v; }` and the like; with subgroups, lane I's value.
fn broadcasts(text: &str) -> Result<String> {
    let mut lane = "";
    let lines = region(text, "broadcast")?.lines().map(|line| {
        if let Some(at) = line.find("(v:") {
            lane = &line[at - 1..at];
        }
        line.replace("return v;", &format!("return subgroupBroadcast(v, {lane}u);"))
    });
    let body = lines.collect::<Vec<_>>().join("\n");
    replace_region(text, "broadcast", &body)
}

impl Shader {
    /// A shader of `shaders/`.
    pub fn file(name: &'static str, text: &'static str) -> Shader {
        Shader {
            name,
            text: Cow::Borrowed(text),
            joined: Vec::new(),
            helpers: Cow::Borrowed(ELEMENTWISE),
            constants: Vec::new(),
            aliases: Vec::new(),
            vectors: Vec::new(),
            broadcast: false,
            replaced: Vec::new(),
            named: Vec::new(),
            generated: None,
            custom: None,
        }
    }

    /// The same with another file of `shaders/` joined to it.
    pub fn join(mut self, name: &'static str, text: &'static str) -> Shader {
        self.joined.push((name, Cow::Borrowed(text)));
        self
    }

    /// A user's, to be taken as it is.
    pub fn custom(name: &'static str, text: String, f16: bool) -> Shader {
        Shader { text: Cow::Owned(text), custom: Some(f16), ..Shader::file(name, "") }
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

    /// The same with another text for a region.
    pub fn replace(mut self, region: &'static str, text: impl Into<Cow<'static, str>>) -> Shader {
        self.replaced.push((region, text.into()));
        self
    }

    /// The same with generated regions.
    pub fn generated(mut self, generated: Generated) -> Shader {
        self.generated = Some(generated);
        self
    }

    /// The same with a second output, the sums of rows, if `on`; without, its region does nothing and binds nothing.
    pub fn row_sums(self, on: bool) -> Shader {
        let shader = self.constant("ROW_SUMS", on.into());
        if on { shader } else { shader.replace("row_sums", "fn store_sum(i: u32, value: f32) {\n}") }
    }

    /// Its name: that of its file.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether its text is not an embedded one.
    pub fn is_replaced(&self) -> bool {
        let texts = self.joined.iter().map(|(_, text)| text).chain([&self.text, &self.helpers]);
        texts.into_iter().any(|text| matches!(text, Cow::Owned(_)))
    }

    /// Whether it needs a device with 16-bit floats.
    pub fn uses_f16(&self) -> bool {
        let generated = self.generated.as_ref().is_some_and(Generated::uses_f16);
        generated || self.custom == Some(true) || self.aliases.iter().any(|(_, dtype)| *dtype == DType::F16)
    }

    /// The text before specialisation, of all files.
    fn joined_text(&self) -> Result<String> {
        if self.joined.is_empty() {
            return Ok(self.text.to_string());
        }
        let mut text = String::new();
        for file in std::iter::once(&self.text).chain(self.joined.iter().map(|(_, text)| text)) {
            match bounds(file, "outside") {
                Ok(_) => text.push_str(&replace_region(file, "outside", "")?),
                Err(_) => text.push_str(file),
            }
        }
        Ok(text)
    }

    /// The specialised text.
    pub fn wgsl(&self) -> Result<String> {
        let mut text = self.joined_text()?;
        for (name, body) in &self.replaced {
            text = replace_region(&text, name, body)?;
        }
        if let Some(generated) = &self.generated {
            let regions = generated.regions();
            let (declarations, mut declared) = generated.declarations();
            let helpers = region(&self.helpers, "helpers")?;
            // Only where they are called: what a driver need not read, it need not compile.
            let called = |name: &str| regions.iter().any(|(_, body)| body.contains(name));
            if !text.contains("// [helpers]") && (declared.contains("Run") || helper_names(helpers).any(called)) {
                declared.push_str(helpers);
            }
            text = replace_region(&text, declarations, &declared)?;
            for (name, body) in &regions {
                text = replace_region(&text, name, body)?;
            }
            text = bind(&text, &generated.named);
        } else if !self.named.is_empty() {
            text = bind(&text, &self.named);
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
        Ok(match (self.uses_f16(), self.custom) {
            (false, _) => text,
            // On the first line, so that a compiler's line numbers are the user's.
            (true, Some(_)) => format!("enable f16; {text}"),
            (true, None) => format!("enable f16;\n{text}"),
        })
    }
}

/// `name(` for each function that elementwise expressions may call.
fn helper_names(helpers: &str) -> impl Iterator<Item = &str> {
    let functions = helpers.lines().filter_map(|line| line.strip_prefix("fn "));
    functions.filter_map(|line| Some(&line[..=line.find('(')?]))
}

/// Numbers the bindings of the buffers `named` from 1 on: optional ones may be left out.
fn bind(text: &str, named: &[&str]) -> String {
    const START: &str = "@group(0) @binding(";
    let number = |line: &str| -> Option<String> {
        let rest = line.strip_prefix(START)?;
        let (access, declared) = rest.split_once(") ")?.1.split_once("> ")?;
        let name = declared.split_once(':')?.0;
        let k = named.iter().position(|n| *n == name)?;
        Some(format!("{START}{}) {access}> {declared}", k + 1))
    };
    text.lines().map(|line| number(line).unwrap_or_else(|| line.to_string()) + "\n").collect()
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
