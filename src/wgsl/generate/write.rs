//! The text of a part.

use super::{Access, Generated, Layout, Part, Pattern, Region};
use crate::dtype::DType;
use crate::kernels::{Instr, Slot};
use crate::ops::random::Distribution;
use crate::ops::reduce::ReduceKind;
use crate::ops::table::{Binary, Unary};
use std::fmt::Write as _;

const COMPONENTS: [&str; 4] = ["x", "y", "z", "w"];

/// The word of a reduction's uniform that says how many terms a mean has: the third of its own.
const COUNT: usize = 4;

/// Writes a part's text.
pub(super) struct Writer<'a> {
    generated: &'a Generated,
    part: &'a Part,
    layout: Layout,
    /// What the point's row-major number is called.
    point: &'static str,
    /// For each instruction of a part that computes four points: whether they have the same value.
    same: Vec<bool>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(generated: &'a Generated, part: &'a Part, layout: Layout) -> Writer<'a> {
        let mut same: Vec<bool> = Vec::with_capacity(part.expr.instrs.len());
        for instr in &part.expr.instrs {
            let of = |slot: Slot| same[usize::from(slot)];
            same.push(match *instr {
                Instr::Load { input, .. } => !part.loads[usize::from(input)].vector,
                Instr::Gather { index, .. } => of(index),
                Instr::Fill { .. } | Instr::Step => true,
                Instr::Iota { .. } | Instr::Random { .. } => false,
                Instr::Unary { x, .. } | Instr::Cast { x, .. } => of(x),
                Instr::Binary { a, b, .. } | Instr::Compare { a, b, .. } => of(a) && of(b),
                Instr::Select { condition, a, b, .. } => of(condition) && of(a) && of(b),
            });
        }
        let point = match part.region {
            Region::Value(_) | Region::Reduced(_) | Region::ReducedPlace => "o",
            Region::Elementwise if part.wide => "e",
            _ => "i",
        };
        Writer { generated, part, layout, point, same }
    }

    /// The `k`-th word of the uniform.
    fn word(&self, k: usize) -> String {
        let array = if self.generated.named.is_empty() { "params" } else { "p.extra" };
        format!("{array}[{}].{}", k / 4, COMPONENTS[k % 4])
    }

    fn buffer(&self, access: &Access) -> String {
        let k = usize::from(access.binding);
        self.generated.named.get(k).map_or_else(|| format!("b{k}"), ToString::to_string)
    }

    /// The element of an access's buffer at a position.
    fn element(&self, access: &Access, position: &str) -> String {
        let buffer = self.buffer(access);
        if self.generated.buffers[usize::from(access.binding)].vector {
            format!("{buffer}[({position}) / 4u][({position}) % 4u]")
        } else {
            format!("{buffer}[{position}]")
        }
    }

    pub(super) fn text(&self) -> String {
        let (part, layout, point) = (self.part, &self.layout, self.point);
        let mut text = String::new();
        if point == "e" {
            text.push_str("    let e = 4u * i;\n");
        }
        let prefix = if part.region.is_value() { "o" } else { "" };
        self.coordinates(&mut text, point, prefix, part.outer_rank, layout.outer_sizes);
        if part.region.is_value() {
            self.coordinates(&mut text, "i", "i", part.inner_rank, layout.inner_sizes);
        }
        match part.region {
            Region::ReducedPlace => text.push_str("    let result = place;\n"),
            Region::Reduced(kind) if kind.is_arg() => text.push_str("    let result = place;\n"),
            Region::Reduced(ReduceKind::Mean) => {
                let _ = writeln!(text, "    let result = v / f32({});", self.word(COUNT));
            }
            Region::Reduced(_) => text.push_str("    let result = v;\n"),
            Region::Store if part.wide => {
                text.insert_str(0, "fn store4(i: u32, at: vec3<u32>, result: vec4<f32>) {\n");
            }
            Region::Store => {
                let held = if part.held { "held: vec4<f32>, " } else { "" };
                text.insert_str(0, &format!("{}fn store(i: u32, at: vec3<u32>, {held}result: f32) {{\n", self.hold()));
            }
            _ => {}
        }
        self.steps(&mut text);
        for (r, output) in part.outputs.iter().enumerate() {
            let position = self.position(output, layout.outputs[r], point);
            let (buffer, root) = (self.buffer(output), part.expr.roots[r]);
            if part.wide {
                let dtype = self.generated.buffers[usize::from(output.binding)].dtype;
                let values = [0, 1, 2, 3].map(|k| self.stored(output, &self.name(root, Some(k)))).join(", ");
                let _ = writeln!(text, "    {buffer}[({position}) / 4u] = vec4<{dtype}>({values});");
            } else {
                let value = self.stored(output, &self.name(root, None));
                let _ = writeln!(text, "    {buffer}[{position}] = {value};");
            }
        }
        if matches!(part.region, Region::Value(_) | Region::Operand(_)) {
            let _ = writeln!(text, "    return v{};", part.expr.roots[0]);
        }
        match part.region {
            // The kernel calls one of the two.
            Region::Store if part.wide => text.push_str("}\nfn store(i: u32, at: vec3<u32>, result: f32) {\n}\n"),
            Region::Store if part.held => text.push_str("}\n"),
            Region::Store => text.push_str("}\nfn store4(i: u32, at: vec3<u32>, result: vec4<f32>) {\n}\n"),
            _ => {}
        }
        text
    }

    /// The function that fetches what a row's elements have in common.
    fn hold(&self) -> String {
        if !self.part.held {
            return String::new();
        }
        let mut text = "fn hold(row: u32) -> vec4<f32> {\n    var held = vec4<f32>();\n".to_string();
        for (k, access) in self.part.loads.iter().enumerate() {
            if let (Some(component), Some(axis)) = (access.held, self.part.natural.iter().position(|&c| c == 1)) {
                let start = self.layout.loads[k];
                let position = format!("{} + row * {}", self.word(start), self.word(start + 1 + axis));
                let (component, element) = (COMPONENTS[usize::from(component)], self.element(access, &position));
                let _ = writeln!(text, "    held.{component} = f32({element});");
            }
        }
        text.push_str("    return held;\n}\n");
        text
    }

    fn stored(&self, output: &Access, value: &str) -> String {
        match self.generated.buffers[usize::from(output.binding)].dtype {
            DType::F16 => format!("f16({value})"),
            _ => value.to_string(),
        }
    }

    /// The point's coordinates `c{prefix}0, c{prefix}1, …`, if an operand needs them: the kernel's own, or from its
    /// number `i`.
    fn coordinates(&self, text: &mut String, i: &str, prefix: &str, rank: u8, sizes: usize) {
        if !self.part.loads.iter().chain(&self.part.outputs).any(|a| a.pattern == Pattern::Strided) {
            return;
        }
        for (axis, component) in self.part.natural.iter().enumerate() {
            let _ = writeln!(text, "    let c{prefix}{axis} = at.{};", COMPONENTS[usize::from(*component)]);
        }
        if !self.part.natural.is_empty() {
            return;
        }
        let rank = usize::from(rank);
        let mut rest = i.to_string();
        for axis in (0..rank).rev() {
            if axis == 0 {
                let _ = writeln!(text, "    let c{prefix}0 = {rest};");
            } else {
                let size = self.word(sizes + axis);
                let _ = writeln!(text, "    let r{prefix}{axis} = {rest} / {size};");
                let _ = writeln!(text, "    let c{prefix}{axis} = {rest} - r{prefix}{axis} * {size};");
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

    /// What an instruction's value is called, for one of four points.
    fn name(&self, slot: Slot, lane: Option<usize>) -> String {
        match lane {
            Some(k) if !self.same[usize::from(slot)] => format!("v{slot}_{k}"),
            _ => format!("v{slot}"),
        }
    }

    fn steps(&self, text: &mut String) {
        let (part, layout) = (self.part, &self.layout);
        for (s, instr) in part.expr.instrs.iter().enumerate() {
            // Not `let`: WGSL tools evaluate constant expressions, and refuse a module where one overflows.
            let keyword = if matches!(instr, Instr::Fill { .. }) { "var" } else { "let" };
            if !part.wide || self.same[s] {
                let _ = writeln!(text, "    {keyword} v{s} = {};", self.value(s, None));
                continue;
            }
            if let Instr::Load { input, .. } = *instr {
                let access = &part.loads[usize::from(input)];
                if access.pattern != Pattern::Result {
                    let position = self.position(access, layout.loads[usize::from(input)], self.point);
                    let _ = writeln!(text, "    let w{s} = {}[({position}) / 4u];", self.buffer(access));
                }
            }
            if let Instr::Random { distribution, stream } = *instr {
                let drawn = draw("four", distribution, self.point, stream);
                let _ = writeln!(text, "    let w{s} = {drawn};");
            }
            for k in 0..4 {
                let _ = writeln!(text, "    {keyword} v{s}_{k} = {};", self.value(s, Some(k)));
            }
        }
    }

    /// The value of an instruction; `lane` is which of four points.
    fn value(&self, s: usize, lane: Option<usize>) -> String {
        let (part, layout) = (self.part, &self.layout);
        let own = layout.instrs[s];
        let v = |slot: Slot| self.name(slot, lane);
        let linear = match (part.region, lane) {
            (Region::Value(_), _) => format!("o * {} + i", self.word(layout.start + 1)),
            (_, Some(k)) => format!("({} + {k}u)", self.point),
            _ => self.point.to_string(),
        };
        match part.expr.instrs[s] {
            Instr::Load { input, .. } if part.loads[usize::from(input)].held.is_some() => {
                let component = part.loads[usize::from(input)].held.unwrap_or(0);
                format!("held.{}", COMPONENTS[usize::from(component)])
            }
            Instr::Load { input, dtype } => {
                let access = &part.loads[usize::from(input)];
                let element = match (access.pattern, lane) {
                    (Pattern::Result, None) => "result".to_string(),
                    (Pattern::Result, Some(k)) => format!("result.{}", COMPONENTS[k]),
                    (_, Some(k)) => format!("w{s}.{}", COMPONENTS[k]),
                    _ => self.element(access, &self.position(access, layout.loads[usize::from(input)], &linear)),
                };
                if dtype == DType::F16 { format!("f32({element})") } else { element }
            }
            Instr::Gather { input, dtype, index, .. } => {
                let (access, input) = (&part.loads[usize::from(input)], usize::from(input));
                let [offset, last, stride] = [layout.loads[input], own, own + 1].map(|k| self.word(k));
                let place = match part.expr.instrs[usize::from(index)].dtype() {
                    DType::I32 => format!("u32(max({}, 0i))", v(index)),
                    _ => v(index),
                };
                let element = self.element(access, &format!("{offset} + min({place}, {last}) * {stride}"));
                if dtype == DType::F16 { format!("f32({element})") } else { element }
            }
            Instr::Fill { dtype: DType::F32, bits } if !f32::from_bits(bits).is_finite() => {
                format!("bitcast<f32>({})", self.word(own))
            }
            Instr::Fill { dtype, bits } => literal(dtype, bits),
            Instr::Iota { .. } => format!("({linear}) / {} % {}", self.word(own), self.word(own + 1)),
            Instr::Step => "run.step".to_string(),
            Instr::Random { distribution, stream } => match lane {
                Some(k) => format!("w{s}.{}", COMPONENTS[k]),
                None => draw("random", distribution, &linear, stream),
            },
            // On GL, naga takes the signed one's magnitude.
            Instr::Unary { op: Unary::Abs, dtype: DType::U32, x } => v(x),
            Instr::Unary { op, dtype, x } => substitute(op.row().wgsl, dtype, &[("x", v(x))]),
            Instr::Binary { op: Binary::Div, dtype, a, b } if !dtype.is_float() => {
                format!("divide_{dtype}({}, {})", v(a), v(b))
            }
            Instr::Binary { op: Binary::Rem, dtype, a, b } => format!("modulo_{dtype}({}, {})", v(a), v(b)),
            Instr::Binary { op, dtype, a, b } => substitute(op.row().wgsl, dtype, &[("a", v(a)), ("b", v(b))]),
            Instr::Compare { op, dtype, a, b } => substitute(op.wgsl(), dtype, &[("a", v(a)), ("b", v(b))]),
            Instr::Select { condition, a, b, .. } => format!("select({}, {}, {} != 0u)", v(b), v(a), v(condition)),
            Instr::Cast { from, to, x } if to.compute() == from && to != DType::F16 => v(x),
            Instr::Cast { from: DType::F32, to: DType::F16, x } => format!("round_to_f16({})", v(x)),
            Instr::Cast { to: DType::F16, x, .. } => format!("round_to_f16(f32({}))", v(x)),
            Instr::Cast { to, x, .. } => format!("{to}({})", v(x)),
        }
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

/// The call that draws the number of the element `index`, with `random`, or with `four` those of the four from it on.
fn draw(many: &str, distribution: Distribution, index: &str, stream: u32) -> String {
    match distribution {
        Distribution::Bits => format!("{many}_bits({index}, {stream}u, run)"),
        Distribution::Uniform => format!("{many}_uniform({index}, {stream}u, run)"),
        Distribution::Normal => format!("{many}_normal({index}, {stream}u, run)"),
        Distribution::Bernoulli { threshold } => {
            format!("{many}_bernoulli({index}, {stream}u, {threshold}u, run)")
        }
    }
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
