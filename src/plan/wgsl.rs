//! WGSL for elementwise expressions and for the expressions reductions take in.
//!
//! The text depends on a [`Pointwise`] alone: the expression, and how each operand's positions follow from the point.
//! Sizes, strides and offsets are words of the uniform `params`, so launches of other sizes share the text (and thereby
//! the pipeline).

use super::{Binding, BufferId, Dispatch, Expr, GpuTarget, Instr, Launch, Operand, Shader, ShaderSource};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ops::elementwise::ElementwiseKernel;
use crate::ops::random::Distribution;
use crate::ops::reduce::{ReduceKernel, ReduceKind};
use crate::ops::table::Binary;
use crate::shape::View;
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
        let mut text = String::new();
        for (k, (dtype, written)) in self.buffers.iter().enumerate() {
            let access = if *written { "read_write" } else { "read" };
            let _ = writeln!(text, "@group(0) @binding({k}) var<storage, {access}> b{k}: array<{dtype}>;");
        }
        let (binding, vectors) = (self.buffers.len(), self.layout().words.div_ceil(4));
        let _ = writeln!(text, "@group(0) @binding({binding}) var<uniform> params: array<vec4<u32>, {vectors}>;");
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

/// The storage bindings of a launch: one for each distinct buffer, in the order they are met.
fn bind(launch: &Launch) -> (Vec<Binding>, Vec<(DType, bool)>) {
    let mut bindings: Vec<Binding> = Vec::new();
    let mut buffers = Vec::new();
    let operands = launch.inputs.iter().map(|o| (o, false)).chain(launch.outputs.iter().map(|o| (o, true)));
    for (operand, written) in operands {
        match bindings.iter().position(|b| b.buffer == operand.buffer) {
            Some(k) => {
                bindings[k].written |= written;
                buffers[k] = (operand.dtype, bindings[k].written);
            }
            None => {
                bindings.push(Binding { buffer: operand.buffer, written });
                buffers.push((operand.dtype, written));
            }
        }
    }
    (bindings, buffers)
}

fn binding_of(bindings: &[Binding], buffer: BufferId) -> u8 {
    match bindings.iter().position(|b| b.buffer == buffer) {
        Some(k) => k as u8,
        None => unreachable!("every operand's buffer is bound"),
    }
}

/// Merges neighbouring axes wherever every view's elements stay evenly spaced, and drops axes of size 1. The strides
/// are those of each view, by axis.
fn merge(sizes: &[usize], strides: &[&[isize]]) -> (Vec<usize>, Vec<Vec<isize>>) {
    let mut merged: Vec<usize> = Vec::new();
    let mut out: Vec<Vec<isize>> = vec![Vec::new(); strides.len()];
    for (axis, &size) in sizes.iter().enumerate().filter(|&(_, &size)| size != 1) {
        let fits = |(done, view): (&Vec<isize>, &&[isize])| done.last() == Some(&(view[axis] * size as isize));
        if !merged.is_empty() && out.iter().zip(strides).all(fits) {
            if let Some(last) = merged.last_mut() {
                *last *= size;
            }
            for (done, view) in out.iter_mut().zip(strides) {
                done.pop();
                done.push(view[axis]);
            }
        } else {
            merged.push(size);
            for (done, view) in out.iter_mut().zip(strides) {
                done.push(view[axis]);
            }
        }
    }
    (merged, out)
}

fn pattern(sizes: &[usize], strides: &[isize]) -> Pattern {
    if strides.iter().all(|&s| s == 0) {
        return Pattern::Fixed;
    }
    let mut expected = 1;
    let dense = sizes.iter().zip(strides).rev().all(|(&size, &stride)| {
        let fits = stride == expected;
        expected *= size as isize;
        fits
    });
    if dense { Pattern::Linear } else { Pattern::Strided }
}

fn push_access(params: &mut Vec<u32>, access: &Access, view: &View, strides: &[isize]) {
    params.push(view.offset as u32);
    if access.pattern == Pattern::Strided {
        // Negative strides wrap around, as the shader's sums do.
        params.extend(strides.iter().map(|&s| s as u32));
    }
}

fn push_own(params: &mut Vec<u32>, instr: &Instr, shape: &[usize]) {
    match *instr {
        Instr::Iota { axis } => {
            let axis = usize::from(axis);
            params.push(shape[axis + 1..].iter().product::<usize>() as u32);
            params.push(shape[axis] as u32);
        }
        Instr::Fill { bits, .. } if own_words(instr) == 1 => params.push(bits),
        _ => {}
    }
}

/// Threads a workgroup for `points` independent ones: small workgroups spread small launches over the device.
pub fn workgroup_size(points: usize, target: &GpuTarget) -> u32 {
    let wanted = if points >= 1 << 16 { 256 } else { 64 };
    wanted.min(target.max_invocations)
}

/// How a shader in which threads share an output is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lanes {
    /// Threads a workgroup.
    pub workgroup: u32,
    /// Threads an output.
    pub lanes: u32,
    /// Workgroups in all.
    pub workgroups: u64,
}

/// How many threads share an output that joins `terms` values, for `outputs` of them.
pub fn share(outputs: usize, terms: usize, target: &GpuTarget) -> Lanes {
    let workgroup = 256.min(1 << target.max_invocations.ilog2());
    // A thread wants some terms of its own, fewer where there would be too few threads to fill a device otherwise.
    let wanted = if outputs >= 1 << 14 { terms / 32 } else { terms / 4 };
    let lanes = (wanted.max(1) as u32).next_power_of_two().min(workgroup);
    // Few outputs: no more slots in a workgroup than there are outputs.
    let workgroup = workgroup.min((lanes as usize * outputs.next_power_of_two()).max(32) as u32).max(lanes);
    Lanes { workgroup, lanes, workgroups: (outputs as u64).div_ceil(u64::from(workgroup / lanes)) }
}

/// The dispatch of an elementwise launch.
pub fn elementwise(kernel: &ElementwiseKernel, launch: &Launch, target: &GpuTarget) -> Result<Dispatch> {
    let (bindings, buffers) = bind(launch);
    let operands: Vec<&Operand> = launch.inputs.iter().chain(&launch.outputs).collect();
    let strides: Vec<&[isize]> = operands.iter().map(|o| o.view.strides.as_slice()).collect();
    let (sizes, strides) = merge(&kernel.shape, &strides);
    let access = |(operand, strides): (&&Operand, &Vec<isize>)| Access {
        binding: binding_of(&bindings, operand.buffer),
        pattern: pattern(&sizes, strides),
    };
    let mut loads: Vec<Access> = operands.iter().zip(&strides).map(access).collect();
    let outputs = loads.split_off(launch.inputs.len());
    let point = Pointwise {
        expr: kernel.expr.clone(),
        buffers,
        loads,
        outputs,
        outer_rank: sizes.len() as u8,
        inner_rank: 0,
        reduction: None,
    };
    let points = kernel.shape.elements();
    let mut params = vec![points as u32, 1];
    params.extend(sizes.iter().map(|&n| n as u32));
    for ((access, operand), strides) in point.loads.iter().chain(&point.outputs).zip(&operands).zip(&strides) {
        push_access(&mut params, access, &operand.view, strides);
    }
    for instr in &kernel.expr.instrs {
        push_own(&mut params, instr, &kernel.shape);
    }
    let workgroup = workgroup_size(points, target);
    finish(point, params, bindings, (points as u64).div_ceil(u64::from(workgroup)), |source| {
        Shader { source: ShaderSource::Elementwise(source), constants: Vec::new(), aliases: Vec::new() }
            .constant("WORKGROUP", workgroup)
    })
}

/// The dispatch of a reduction.
pub fn reduce(kernel: &ReduceKernel, launch: &Launch, target: &GpuTarget) -> Result<Dispatch> {
    let (bindings, buffers) = bind(launch);
    let split = kernel.outer.rank();
    let part = |range: std::ops::Range<usize>| -> Vec<&[isize]> {
        launch.inputs.iter().map(|o| &o.view.strides[range.clone()]).collect()
    };
    let (outer_sizes, outer_strides) = merge(&kernel.outer, &part(0..split));
    let (inner_sizes, inner_strides) = merge(&kernel.inner, &part(split..split + kernel.inner.rank()));
    let strides: Vec<Vec<isize>> =
        outer_strides.into_iter().zip(inner_strides).map(|(outer, inner)| [outer, inner].concat()).collect();
    let sizes = [outer_sizes.as_slice(), &inner_sizes].concat();
    let loads = launch.inputs.iter().zip(&strides).map(|(operand, strides)| Access {
        binding: binding_of(&bindings, operand.buffer),
        pattern: pattern(&sizes, strides),
    });
    let output = &launch.outputs[0];
    let point = Pointwise {
        expr: kernel.expr.clone(),
        loads: loads.collect(),
        outputs: vec![Access { binding: binding_of(&bindings, output.buffer), pattern: Pattern::Linear }],
        buffers,
        outer_rank: outer_sizes.len() as u8,
        inner_rank: inner_sizes.len() as u8,
        reduction: Some(Reduction { kind: kernel.kind }),
    };
    let (outer, inner) = (kernel.outer.elements(), kernel.inner.elements());
    let mut params = vec![outer as u32, inner as u32];
    params.extend(sizes.iter().map(|&n| n as u32));
    for ((access, operand), strides) in point.loads.iter().zip(&launch.inputs).zip(&strides) {
        push_access(&mut params, access, &operand.view, strides);
    }
    params.push(output.view.offset as u32);
    let shape = [&kernel.outer[..], &kernel.inner[..]].concat();
    for instr in &kernel.expr.instrs {
        push_own(&mut params, instr, &shape);
    }
    let lanes = share(outer, inner, target);
    // Where neighbouring outputs, not neighbouring terms, are neighbours in memory, neighbouring threads take those.
    let spread = strides.first().is_some_and(|s| {
        let (last_outer, last_inner) = (outer_sizes.len().checked_sub(1).map(|k| s[k]), s.last());
        !inner_sizes.is_empty() && last_outer.is_some_and(|s| s.abs() == 1) && last_inner.is_some_and(|s| s.abs() > 1)
    });
    let kind = match kernel.kind {
        ReduceKind::Sum => 0,
        ReduceKind::Mean => 1,
        ReduceKind::Max => 2,
        ReduceKind::Min => 3,
        ReduceKind::ArgMax => 4,
        ReduceKind::ArgMin => 5,
    };
    finish(point, params, bindings, lanes.workgroups, |source| {
        Shader { source: ShaderSource::Reduce(source), constants: Vec::new(), aliases: Vec::new() }
            .constant("WORKGROUP", lanes.workgroup)
            .constant("LANES", lanes.lanes)
            .constant("SPREAD", u32::from(spread))
            .constant("KIND", kind)
            .constant("LONG", u32::from(inner / lanes.lanes as usize > 4096))
            .alias("T", kernel.dtype)
    })
}

fn finish(
    point: Pointwise,
    params: Vec<u32>,
    bindings: Vec<Binding>,
    workgroups: u64,
    shader: impl FnOnce(Pointwise) -> Shader,
) -> Result<Dispatch> {
    if params.len() != point.layout().words {
        return Err(Error::Internal(format!("{} parameter words for {point:?}", params.len())));
    }
    let uses_run = point.uses_run();
    Ok(Dispatch { shader: shader(point), params, bindings, workgroups, uses_run })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Shape;

    #[test]
    fn axes_merge_where_all_views_allow_it() {
        let dense = View::dense([2, 3, 4]);
        let (sizes, strides) = merge(&dense.shape, &[&dense.strides]);
        assert_eq!((sizes, strides), (vec![24], vec![vec![1]]));
        let bias = View::dense([4]).broadcast(&Shape::from([2, 3, 4]));
        let (sizes, strides) = merge(&dense.shape, &[&dense.strides, &bias.strides]);
        assert_eq!((sizes, strides), (vec![6, 4], vec![vec![4, 1], vec![0, 1]]));
        assert_eq!(merge(&[1, 1], &[&[7, 9]]), (vec![], vec![vec![]]));
    }

    #[test]
    fn literals_and_names_are_exact() {
        assert_eq!(literal(DType::F32, 0.1f32.to_bits()), "0.1f");
        assert_eq!(literal(DType::I32, i32::MIN as u32), "(-2147483647i - 1i)");
        assert_eq!(literal(DType::I32, -3i32 as u32), "-3i");
        assert_eq!(substitute("max(x, zero(x))", DType::I32, &[("x", "v3".into())]), "max(v3, zero_i32(v3))");
    }
}
