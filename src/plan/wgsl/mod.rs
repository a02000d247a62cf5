//! WGSL for elementwise expressions and for the expressions reductions take in.
//!
//! The text depends on a [`Pointwise`] alone: the expression, and how each operand's positions follow from the point.
//! Sizes, strides and offsets are words of the uniform `params`, so launches of other sizes share the text (and thereby
//! the pipeline).

mod launch;

pub use launch::{Lanes, elementwise, reduce, share, workgroup_size};

use super::{Expr, Instr};
use crate::dtype::DType;
use crate::ops::random::Distribution;
use crate::ops::reduce::ReduceKind;
use crate::ops::table::Binary;
use std::fmt::Write as _;

/// How an operand's position in its buffer follows from the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pattern {
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
    /// Its buffer's binding.
    pub binding: u8,
    /// Its positions.
    pub pattern: Pattern,
}

/// An expression with the layout of what it reads and writes: all that its WGSL text depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pointwise {
    /// What to compute.
    pub expr: Expr,
    /// Each storage binding's element type and whether it is written.
    pub buffers: Vec<(DType, bool)>,
    /// Each of the expression's loads.
    pub loads: Vec<Access>,
    /// Each output.
    pub outputs: Vec<Access>,
    /// Axes of the iteration space, after merging. For a reduction: the kept ones.
    pub outer_rank: u8,
    /// The reduced axes, after merging; 0 for an elementwise expression.
    pub inner_rank: u8,
    /// What a reduction stores.
    pub reduction: Option<Reduction>,
}

/// What a reduction does with its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reduction {
    /// What it computes.
    pub kind: ReduceKind,
}

/// A region of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Region {
    Elementwise,
    Value,
    Store,
}

/// The uniform's layout, written in one order and read back by position.
struct Layout {
    outer_sizes: usize,
    inner_sizes: usize,
    loads: Vec<usize>,
    outputs: Vec<usize>,
    /// For each instruction that has words of its own (iota: two; a fill that is not finite: one), their start.
    instrs: Vec<usize>,
    words: usize,
}

impl Pointwise {
    fn rank(&self) -> usize {
        usize::from(self.outer_rank) + usize::from(self.inner_rank)
    }

    fn layout(&self) -> Layout {
        // Words 0 and 1: points (kept and reduced ones, for a reduction).
        let mut next = 2;
        let mut take = |count: usize| {
            next += count;
            next - count
        };
        let outer_sizes = take(self.outer_rank.into());
        let inner_sizes = take(self.inner_rank.into());
        let rank = self.rank();
        let mut access = |a: &Access| take(1 + if a.pattern == Pattern::Strided { rank } else { 0 });
        let loads = self.loads.iter().map(&mut access).collect();
        let outputs = self.outputs.iter().map(&mut access).collect();
        let instrs = self.expr.instrs.iter().map(|i| take(own_words(i))).collect();
        Layout { outer_sizes, inner_sizes, loads, outputs, instrs, words: next }
    }

    pub(super) fn uses_f16(&self) -> bool {
        self.buffers.iter().any(|(dtype, _)| *dtype == DType::F16)
    }

    fn uses_run(&self) -> bool {
        self.expr.instrs.iter().any(|i| matches!(i, Instr::Step | Instr::Random { .. }))
    }

    /// The region `bindings`.
    pub(super) fn declarations(&self) -> String {
        let vectors = self.layout().words.div_ceil(4);
        let mut text = format!("@group(0) @binding(0) var<uniform> params: array<vec4<u32>, {vectors}>;\n");
        for (k, (dtype, written)) in self.buffers.iter().enumerate() {
            let (access, binding) = (if *written { "read_write" } else { "read" }, k + 1);
            let _ = writeln!(text, "@group(0) @binding({binding}) var<storage, {access}> b{k}: array<{dtype}>;");
        }
        if self.uses_run() {
            text.push_str("var<immediate> run: Run;\n");
        }
        text
    }

    /// A generated region.
    pub(super) fn region(&self, region: Region) -> String {
        let layout = self.layout();
        let mut text = String::new();
        match region {
            Region::Elementwise => {
                self.coordinates(&mut text, "i", "", self.outer_rank, layout.outer_sizes);
                self.steps(&mut text, &layout);
                for (r, output) in self.outputs.iter().enumerate() {
                    let position = self.position(output, layout.outputs[r], "i");
                    let value = self.stored(output, &format!("v{}", self.expr.roots[r]));
                    let _ = writeln!(text, "    b{}[{position}] = {value};", output.binding);
                }
            }
            Region::Value => {
                self.coordinates(&mut text, "o", "o", self.outer_rank, layout.outer_sizes);
                self.coordinates(&mut text, "i", "i", self.inner_rank, layout.inner_sizes);
                self.steps(&mut text, &layout);
                let _ = writeln!(text, "    return v{};", self.expr.roots[0]);
            }
            Region::Store => {
                let kind = self.reduction.map(|r| r.kind);
                let value = match kind {
                    Some(kind) if kind.is_arg() => "place".to_string(),
                    Some(ReduceKind::Mean) => format!("v / f32({})", word(1)),
                    _ => "v".to_string(),
                };
                let output = &self.outputs[0];
                let position = format!("{} + o", word(layout.outputs[0]));
                let _ = writeln!(text, "    b{}[{position}] = {};", output.binding, self.stored(output, &value));
            }
        }
        text
    }

    fn stored(&self, output: &Access, value: &str) -> String {
        match self.buffers[usize::from(output.binding)].0 {
            DType::F16 => format!("f16({value})"),
            _ => value.to_string(),
        }
    }

    /// The point's coordinates `c{prefix}0, c{prefix}1, …` from its number `i`, if an operand needs them.
    fn coordinates(&self, text: &mut String, i: &str, prefix: &str, rank: u8, sizes: usize) {
        if !self.loads.iter().chain(&self.outputs).any(|a| a.pattern == Pattern::Strided) {
            return;
        }
        let rank = usize::from(rank);
        let mut rest = i.to_string();
        for axis in (0..rank).rev() {
            if axis == 0 {
                let _ = writeln!(text, "    let c{prefix}0 = {rest};");
            } else {
                let size = word(sizes + axis);
                let _ = writeln!(text, "    let c{prefix}{axis} = {rest} % {size};");
                let _ = writeln!(text, "    let r{prefix}{axis} = {rest} / {size};");
                rest = format!("r{prefix}{axis}");
            }
        }
    }

    fn position(&self, access: &Access, start: usize, linear: &str) -> String {
        let offset = word(start);
        match access.pattern {
            Pattern::Fixed => offset,
            Pattern::Linear => format!("{offset} + {linear}"),
            Pattern::Strided => {
                let (outer, inner) = (usize::from(self.outer_rank), usize::from(self.inner_rank));
                let (first, second) = if self.reduction.is_some() { ("co", "ci") } else { ("c", "") };
                let names = (0..outer).map(|k| format!("{first}{k}")).chain((0..inner).map(|k| format!("{second}{k}")));
                let terms = names.enumerate().map(|(k, c)| format!(" + {c} * {}", word(start + 1 + k)));
                offset + &terms.collect::<String>()
            }
        }
    }

    fn steps(&self, text: &mut String, layout: &Layout) {
        let linear = if self.reduction.is_some() { format!("o * {} + i", word(1)) } else { "i".to_string() };
        for (s, instr) in self.expr.instrs.iter().enumerate() {
            let own = layout.instrs[s];
            let v = |slot: super::Slot| format!("v{slot}");
            let value = match *instr {
                Instr::Load { input, dtype } => {
                    let access = &self.loads[usize::from(input)];
                    let element = format!(
                        "b{}[{}]",
                        access.binding,
                        self.position(access, layout.loads[usize::from(input)], &linear)
                    );
                    if dtype == DType::F16 { format!("f32({element})") } else { element }
                }
                Instr::Fill { dtype: DType::F32, bits } if !f32::from_bits(bits).is_finite() => {
                    format!("bitcast<f32>({})", word(own))
                }
                Instr::Fill { dtype, bits } => literal(dtype, bits),
                Instr::Iota { .. } => format!("({linear}) / {} % {}", word(own), word(own + 1)),
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

/// The `k`-th word of the uniform.
fn word(k: usize) -> String {
    format!("params[{}].{}", k / 4, ["x", "y", "z", "w"][k % 4])
}

/// Words of the uniform an instruction has for itself.
fn own_words(instr: &Instr) -> usize {
    match *instr {
        Instr::Iota { .. } => 2,
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
