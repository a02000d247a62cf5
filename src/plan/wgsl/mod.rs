//! WGSL for elementwise expressions and for the expressions reductions take in.
//!
//! The text depends on a [`Generated`] alone: expressions, and how each operand's positions follow from the point.
//! Sizes, strides and offsets are words of the uniform, so launches of other sizes share the text (and thereby the
//! pipeline).

mod launch;

pub use launch::{Lanes, Piece, elementwise, fuse, reduce, share, store, workgroup_size};

use super::{Expr, Instr};
use crate::dtype::DType;
use crate::ops::random::Distribution;
use crate::ops::reduce::ReduceKind;
use crate::ops::table::Binary;
use std::fmt::Write as _;

/// How an operand's position in its buffer follows from the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// It is not in a buffer: it is what the kernel has computed for this point.
    Result,
    /// The same position for all points.
    Fixed,
    /// The point's row-major number.
    Linear,
    /// A stride for each axis.
    Strided,
}

/// Where an operand is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Access {
    /// Its buffer's binding, counted from the first storage buffer.
    pub binding: u8,
    /// Its positions.
    pub pattern: Pattern,
}

/// The generated parts of a shader.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Generated {
    /// Each storage binding's element type and whether it is written.
    pub buffers: Vec<(DType, bool)>,
    /// What the shader's own text calls the first of them, which it declares itself. If there are none, the parameters are
    /// generated too.
    pub named: &'static [&'static str],
    /// The parts.
    pub parts: Vec<Part>,
}

/// An expression with the layout of what it reads and writes: all that its WGSL text depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Part {
    /// Where it goes.
    pub region: Region,
    /// What to compute.
    pub expr: Expr,
    /// Each of the expression's loads.
    pub loads: Vec<Access>,
    /// Each output.
    pub outputs: Vec<Access>,
    /// Axes of the iteration space, after merging. For a reduction: the kept ones.
    pub outer_rank: u8,
    /// The reduced axes, after merging; 0 but for what a reduction reads.
    pub inner_rank: u8,
}

/// A region of a shader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Region {
    /// An elementwise kernel's body: the point is `i`.
    Elementwise,
    /// What a reduction reduces: a function of `o` and `i`.
    Value,
    /// What a reduction does with a result `v` found at `place`, for output `o`.
    Reduced(ReduceKind),
    /// The function that a kernel calls with each element of its result and its number.
    Store,
    /// A function of `i` that is read as an operand.
    Operand(&'static str),
}

impl Region {
    /// Its marker in the text.
    pub(super) fn marker(self) -> &'static str {
        match self {
            Region::Elementwise => "elementwise",
            Region::Value => "value",
            Region::Reduced(_) | Region::Store => "store",
            Region::Operand(name) => name,
        }
    }
    fn is_value(self) -> bool {
        self == Region::Value
    }
}

/// The uniform's layout, written in one order and read back by position.
struct Layout {
    /// The number of points, and of reduced ones.
    start: usize,
    outer_sizes: usize,
    inner_sizes: usize,
    loads: Vec<usize>,
    outputs: Vec<usize>,
    /// For each instruction that has words of its own (iota and gather: two; a fill that is not finite: one), their start.
    instrs: Vec<usize>,
    end: usize,
}

impl Part {
    fn rank(&self) -> usize {
        usize::from(self.outer_rank) + usize::from(self.inner_rank)
    }

    fn layout(&self, start: usize) -> Layout {
        let mut next = start + 2;
        let mut take = |count: usize| {
            next += count;
            next - count
        };
        let outer_sizes = take(self.outer_rank.into());
        let inner_sizes = take(self.inner_rank.into());
        let rank = self.rank();
        let mut access = |a: &Access| {
            take(match a.pattern {
                Pattern::Result => 0,
                Pattern::Fixed | Pattern::Linear => 1,
                Pattern::Strided => 1 + rank,
            })
        };
        let loads = self.loads.iter().map(&mut access).collect();
        let outputs = self.outputs.iter().map(&mut access).collect();
        let instrs = self.expr.instrs.iter().map(|i| take(own_words(i))).collect();
        Layout { start, outer_sizes, inner_sizes, loads, outputs, instrs, end: next }
    }

    fn uses_run(&self) -> bool {
        self.expr.instrs.iter().any(|i| matches!(i, Instr::Step | Instr::Random { .. }))
    }
}

impl Generated {
    pub(super) fn uses_f16(&self) -> bool {
        self.buffers.iter().any(|(dtype, _)| *dtype == DType::F16)
    }

    fn uses_run(&self) -> bool {
        self.parts.iter().any(Part::uses_run)
    }

    /// Words of the uniform that belong to the parts.
    fn words(&self) -> usize {
        self.parts.iter().fold(0, |start, part| part.layout(start).end)
    }

    /// The region that declares what generated code uses: its name and its text.
    pub(super) fn declarations(&self) -> (&'static str, String) {
        let mut text = String::new();
        let name = if self.named.is_empty() {
            let vectors = self.words().div_ceil(4);
            let _ = writeln!(text, "@group(0) @binding(0) var<uniform> params: array<vec4<u32>, {vectors}>;");
            "bindings"
        } else {
            "extra"
        };
        for (k, (dtype, written)) in self.buffers.iter().enumerate().skip(self.named.len()) {
            let (access, binding) = (if *written { "read_write" } else { "read" }, k + 1);
            let _ = writeln!(text, "@group(0) @binding({binding}) var<storage, {access}> b{k}: array<{dtype}>;");
        }
        if self.uses_run() {
            text.push_str("var<immediate> run: Run;\n");
        }
        (name, text)
    }

    /// The parts' regions: their names and texts.
    pub(super) fn regions(&self) -> Vec<(&'static str, String)> {
        let mut start = 0;
        let mut text = |part: &Part| {
            let layout = part.layout(start);
            start = layout.end;
            let writer = Writer { generated: self, part, layout };
            (part.region.marker(), writer.text())
        };
        self.parts.iter().map(&mut text).collect()
    }
}

/// Writes a part's text.
struct Writer<'a> {
    generated: &'a Generated,
    part: &'a Part,
    layout: Layout,
}

impl Writer<'_> {
    /// The `k`-th word of the uniform.
    fn word(&self, k: usize) -> String {
        let array = if self.generated.named.is_empty() { "params" } else { "p.extra" };
        format!("{array}[{}].{}", k / 4, ["x", "y", "z", "w"][k % 4])
    }

    fn buffer(&self, access: &Access) -> String {
        let k = usize::from(access.binding);
        self.generated.named.get(k).map_or_else(|| format!("b{k}"), ToString::to_string)
    }

    fn text(&self) -> String {
        let (part, layout) = (self.part, &self.layout);
        let mut text = String::new();
        let (point, prefix) = match part.region {
            Region::Value => ("o", "o"),
            Region::Reduced(_) => ("o", ""),
            _ => ("i", ""),
        };
        self.coordinates(&mut text, point, prefix, part.outer_rank, layout.outer_sizes);
        if part.region.is_value() {
            self.coordinates(&mut text, "i", "i", part.inner_rank, layout.inner_sizes);
        }
        match part.region {
            Region::Reduced(kind) if kind.is_arg() => text.push_str("    let result = place;\n"),
            Region::Reduced(ReduceKind::Mean) => {
                // The reduced points are counted at the uniform's start.
                let _ = writeln!(text, "    let result = v / f32({});", self.word(1));
            }
            Region::Reduced(_) => text.push_str("    let result = v;\n"),
            Region::Store => text.insert_str(0, "fn store(i: u32, result: f32) {\n"),
            _ => {}
        }
        self.steps(&mut text, point);
        for (r, output) in part.outputs.iter().enumerate() {
            let position = self.position(output, layout.outputs[r], point);
            let value = self.stored(output, &format!("v{}", part.expr.roots[r]));
            let _ = writeln!(text, "    {}[{position}] = {value};", self.buffer(output));
        }
        if matches!(part.region, Region::Value | Region::Operand(_)) {
            let _ = writeln!(text, "    return v{};", part.expr.roots[0]);
        }
        if part.region == Region::Store {
            text.push_str("}\n");
        }
        text
    }

    fn stored(&self, output: &Access, value: &str) -> String {
        match self.generated.buffers[usize::from(output.binding)].0 {
            DType::F16 => format!("f16({value})"),
            _ => value.to_string(),
        }
    }

    /// The point's coordinates `c{prefix}0, c{prefix}1, …` from its number `i`, if an operand needs them.
    fn coordinates(&self, text: &mut String, i: &str, prefix: &str, rank: u8, sizes: usize) {
        if !self.part.loads.iter().chain(&self.part.outputs).any(|a| a.pattern == Pattern::Strided) {
            return;
        }
        let rank = usize::from(rank);
        let mut rest = i.to_string();
        for axis in (0..rank).rev() {
            if axis == 0 {
                let _ = writeln!(text, "    let c{prefix}0 = {rest};");
            } else {
                let size = self.word(sizes + axis);
                let _ = writeln!(text, "    let c{prefix}{axis} = {rest} % {size};");
                let _ = writeln!(text, "    let r{prefix}{axis} = {rest} / {size};");
                rest = format!("r{prefix}{axis}");
            }
        }
    }

    fn position(&self, access: &Access, start: usize, linear: &str) -> String {
        let offset = self.word(start);
        match access.pattern {
            Pattern::Result => unreachable!("not in a buffer"),
            Pattern::Fixed => offset,
            Pattern::Linear => format!("{offset} + {linear}"),
            Pattern::Strided => {
                let (outer, inner) = (usize::from(self.part.outer_rank), usize::from(self.part.inner_rank));
                let (first, second) = if self.part.region.is_value() { ("co", "ci") } else { ("c", "") };
                let names = (0..outer).map(|k| format!("{first}{k}")).chain((0..inner).map(|k| format!("{second}{k}")));
                let terms = names.enumerate().map(|(k, c)| format!(" + {c} * {}", self.word(start + 1 + k)));
                offset + &terms.collect::<String>()
            }
        }
    }

    fn steps(&self, text: &mut String, point: &str) {
        let (part, layout) = (self.part, &self.layout);
        let linear = match part.region {
            Region::Value => format!("o * {} + i", self.word(layout.start + 1)),
            _ => point.to_string(),
        };
        for (s, instr) in part.expr.instrs.iter().enumerate() {
            let own = layout.instrs[s];
            let v = |slot: super::Slot| format!("v{slot}");
            let value = match *instr {
                Instr::Load { input, dtype } => {
                    let access = &part.loads[usize::from(input)];
                    let element = match access.pattern {
                        Pattern::Result => "result".to_string(),
                        _ => {
                            let position = self.position(access, layout.loads[usize::from(input)], &linear);
                            format!("{}[{position}]", self.buffer(access))
                        }
                    };
                    if dtype == DType::F16 { format!("f32({element})") } else { element }
                }
                Instr::Gather { input, dtype, index, .. } => {
                    let (access, input) = (&part.loads[usize::from(input)], usize::from(input));
                    let [offset, last, stride] = [layout.loads[input], own, own + 1].map(|k| self.word(k));
                    let index = match part.expr.instrs[usize::from(index)].dtype() {
                        DType::I32 => format!("u32(max(v{index}, 0i))"),
                        _ => v(index),
                    };
                    let element = format!("{}[{offset} + min({index}, {last}) * {stride}]", self.buffer(access));
                    if dtype == DType::F16 { format!("f32({element})") } else { element }
                }
                Instr::Fill { dtype: DType::F32, bits } if !f32::from_bits(bits).is_finite() => {
                    format!("bitcast<f32>({})", self.word(own))
                }
                Instr::Fill { dtype, bits } => literal(dtype, bits),
                Instr::Iota { .. } => format!("({linear}) / {} % {}", self.word(own), self.word(own + 1)),
                Instr::Step => "run.step".to_string(),
                Instr::Random { distribution, stream } => {
                    let arguments = format!("({linear}, {stream}u");
                    match distribution {
                        Distribution::Bits => format!("random_bits{arguments}, run)"),
                        Distribution::Uniform => format!("random_uniform{arguments}, run)"),
                        Distribution::Normal => format!("random_normal{arguments}, run)"),
                        Distribution::Bernoulli { threshold } => {
                            format!("random_bernoulli{arguments}, {threshold}u, run)")
                        }
                    }
                }
                Instr::Unary { op, dtype, x } => substitute(op.row().wgsl, dtype, &[("x", v(x))]),
                Instr::Binary { op: Binary::Div, dtype, a, b } if !dtype.is_float() => {
                    format!("divide_{dtype}(v{a}, v{b})")
                }
                Instr::Binary { op: Binary::Rem, dtype, a, b } => format!("modulo_{dtype}(v{a}, v{b})"),
                Instr::Binary { op, dtype, a, b } => substitute(op.row().wgsl, dtype, &[("a", v(a)), ("b", v(b))]),
                Instr::Compare { op, dtype, a, b } => substitute(op.wgsl(), dtype, &[("a", v(a)), ("b", v(b))]),
                Instr::Select { condition, a, b, .. } => format!("select(v{b}, v{a}, v{condition} != 0u)"),
                Instr::Cast { from, to, x } if to.compute() == from && to != DType::F16 => v(x),
                Instr::Cast { from: DType::F32, to: DType::F16, x } => format!("round_to_f16(v{x})"),
                Instr::Cast { to: DType::F16, x, .. } => format!("round_to_f16(f32(v{x}))"),
                Instr::Cast { to, x, .. } => format!("{to}(v{x})"),
            };
            // Not `let`: WGSL tools evaluate constant expressions, and refuse a module where one overflows.
            let keyword = if matches!(instr, Instr::Fill { .. }) { "var" } else { "let" };
            let _ = writeln!(text, "    {keyword} v{s} = {value};");
        }
    }
}

/// Words of the uniform an instruction has for itself.
fn own_words(instr: &Instr) -> usize {
    match *instr {
        Instr::Iota { .. } | Instr::Gather { .. } => 2,
        // WGSL has no such literal, and may assume there are no such values: it gets them at run time.
        Instr::Fill { dtype: DType::F32, bits } if !f32::from_bits(bits).is_finite() => 1,
        _ => 0,
    }
}

/// A literal that gives these bits exactly.
fn literal(dtype: DType, bits: u32) -> String {
    match dtype {
        // The shortest decimal that reads back as the same value.
        DType::F32 | DType::F16 => format!("{:?}f", f32::from_bits(bits)),
        DType::U32 => format!("{bits}u"),
        // The smallest i32 has no literal of its own.
        DType::I32 if bits == 1 << 31 => "(-2147483647i - 1i)".to_string(),
        DType::I32 => format!("{}i", bits as i32),
    }
}

/// `template` with its identifiers `x`, `a`, `b` replaced; `zero` becomes the one of `dtype`.
fn substitute(template: &str, dtype: DType, names: &[(&str, String)]) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let length = if is_word(first) { rest.find(|c| !is_word(c)).unwrap_or(rest.len()) } else { first.len_utf8() };
        let (token, after) = rest.split_at(length);
        match names.iter().find(|(name, _)| *name == token) {
            Some((_, value)) => out.push_str(value),
            None if token == "zero" => {
                let _ = write!(out, "zero_{dtype}");
            }
            None => out.push_str(token),
        }
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_names_are_exact() {
        assert_eq!(literal(DType::F32, 0.1f32.to_bits()), "0.1f");
        assert_eq!(literal(DType::I32, i32::MIN as u32), "(-2147483647i - 1i)");
        assert_eq!(literal(DType::I32, -3i32 as u32), "-3i");
        assert_eq!(substitute("max(x, zero(x))", DType::I32, &[("x", "v3".into())]), "max(v3, zero_i32(v3))");
    }
}
