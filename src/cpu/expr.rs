//! The expression interpreter. It runs each instruction over a block of points before the next instruction, so that the
//! cost of dispatch is paid once per block and the inner loops vectorise.

use super::functions;
use super::strided::Walk;
use super::words::{aligned, floats, floats_mut};
use crate::dtype::DType;
use crate::kernels::{Expr, Instr, Operand, Slot};
use crate::ops::random::{Distribution, key, normal_pair, philox, unit};
use crate::ops::table::integer::Int;
use crate::ops::table::{Binary, Compare, Unary};
use crate::shape::{MAX_RANK, View};
use half::f16;

/// Words of all registers together, small enough for the L1 cache. A register holds an instruction's values for a
/// block.
const REGISTER_WORDS: usize = 6 * 1024;

/// Scratch memory of the interpreter.
#[derive(Debug, Default)]
pub(super) struct ExprScratch {
    registers: Vec<u32>,
    walks: Vec<Walk>,
    slots: Vec<Location>,
    /// Column sums, for reductions.
    pub(super) sums: Vec<f64>,
}

impl ExprScratch {
    pub(super) fn bytes(&self) -> u64 {
        (4 * self.registers.capacity() + 8 * self.sums.capacity()) as u64
    }
}

/// The buffer and view that a load reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) buffer: usize,
    pub(super) view: &'a View,
}

impl<'a> From<&'a Operand> for Source<'a> {
    fn from(operand: &'a Operand) -> Self {
        Source { buffer: operand.buffer.index(), view: &operand.view }
    }
}

/// The operands of an expression's loads; in an epilogue, input 0 is the kernel's result.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loads<'a> {
    pub(super) result: Option<Source<'a>>,
    pub(super) operands: &'a [Operand],
}

impl<'a> Loads<'a> {
    pub(super) fn new(operands: &'a [Operand]) -> Self {
        Loads { result: None, operands }
    }
    fn get(&self, input: u16) -> Source<'a> {
        match (self.result, usize::from(input)) {
            (Some(result), 0) => result,
            (Some(_), k) => (&self.operands[k - 1]).into(),
            (None, k) => (&self.operands[k]).into(),
        }
    }
    pub(super) fn iter(&self) -> impl Iterator<Item = Source<'a>> {
        self.result.into_iter().chain(self.operands.iter().map(Source::from))
    }
}

/// Where an instruction's values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Location {
    /// In its register.
    Register,
    /// In its register, and the same in every block: computed in the first one only.
    Invariant,
    /// In a contiguous buffer, read without a copy: the buffer's index, and the offset of the first point.
    Buffer(usize, usize),
}

/// Whether a root that is just a load may be read directly from its buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Roots {
    /// Yes.
    InPlace,
    /// No: the buffer may be overwritten before the root is used.
    Copied,
}

/// Evaluates an expression over an iteration space, block by block.
pub(super) struct Interpreter<'a> {
    expr: &'a Expr,
    loads: Loads<'a>,
    sizes: [usize; MAX_RANK],
    step: u32,
    key: [u32; 2],
    /// Points per block.
    pub(super) block: usize,
    /// Words between registers.
    pitch: usize,
    registers: &'a mut [u32],
    walks: &'a [Walk],
    slots: &'a [Location],
}

impl<'a> Interpreter<'a> {
    /// `sizes` are those of the iteration space, whose axes are the loads' axes permuted to the order `axes`. With
    /// positional instructions (iota, random numbers) this must be the identity permutation. There must be at least one
    /// point, and the first block evaluated must start at point 0.
    pub(super) fn new(
        expr: &'a Expr,
        loads: Loads<'a>,
        sizes: impl Iterator<Item = usize>,
        axes: impl Iterator<Item = usize> + Clone,
        (step, seed): (u32, u64),
        roots: Roots,
        scratch: &'a mut ExprScratch,
    ) -> Self {
        let mut all = [1; MAX_RANK];
        all.iter_mut().zip(sizes).for_each(|(to, size)| *to = size);
        let points: usize = all.iter().product();
        let count = expr.instrs.len();
        let ExprScratch { registers, walks, slots, .. } = scratch;
        walks.clear();
        walks.extend(loads.iter().map(|source| Walk::over(source.view, axes.clone())));
        let most = (REGISTER_WORDS / count).clamp(64, 1024);
        let draws = expr.instrs.iter().any(|instr| matches!(instr, Instr::Random { .. }));
        // A multiple of 4, since the random number generator makes 4 words at a time; or, without random numbers, a
        // multiple of the period of a broadcast operand, whose values are then the same in every block.
        let period = walks.iter().filter_map(Walk::period).max().filter(|&n| n <= most && !draws).unwrap_or(4);
        let block = (most / period.max(1) * period).min(points.next_multiple_of(4));
        slots.clear();
        for (slot, instr) in expr.instrs.iter().enumerate() {
            let copied = roots == Roots::Copied && expr.roots.contains(&(slot as Slot));
            let invariant = |operands: &[Slot]| operands.iter().all(|&s| slots[s as usize] == Location::Invariant);
            let is_invariant = match *instr {
                Instr::Fill { .. } | Instr::Step => true,
                Instr::Load { input, .. } => walks[input as usize].period().is_some_and(|n| block.is_multiple_of(n)),
                Instr::Iota { .. } | Instr::Random { .. } => false,
                Instr::Gather { index, .. } => invariant(&[index]),
                Instr::Unary { x, .. } | Instr::Cast { x, .. } => invariant(&[x]),
                Instr::Binary { a, b, .. } | Instr::Compare { a, b, .. } => invariant(&[a, b]),
                Instr::Select { condition, a, b, .. } => invariant(&[condition, a, b]),
            };
            let location = match *instr {
                _ if is_invariant => Location::Invariant,
                Instr::Load { input, dtype } if dtype != DType::F16 && !copied => {
                    let from = walks[input as usize].dense_from();
                    from.map_or(Location::Register, |from| Location::Buffer(loads.get(input).buffer, from))
                }
                _ => Location::Register,
            };
            slots.push(location);
        }
        let pitch = block.next_multiple_of(16);
        let registers = aligned(registers, count * pitch);
        Interpreter { expr, loads, sizes: all, step, key: key(seed), block, pitch, registers, walks, slots }
    }

    /// Whether the last instruction is the only root and is computed in every block, so that `eval` can write it to a
    /// target.
    pub(super) fn ends_in_root(&self) -> bool {
        let last = self.slots.len() - 1;
        self.expr.roots.len() == 1
            && self.expr.roots[0] as usize == last
            && self.slots[last] == Location::Register
            && !matches!(self.expr.instrs[last], Instr::Load { .. })
    }

    /// Evaluates points `start..start + len`, at most one block. The values of the last instruction are written to
    /// `target` if it is given, instead of to a register.
    #[inline(always)]
    pub(super) fn eval(&mut self, start: usize, len: usize, buffers: &[Vec<u32>], mut target: Option<&mut [u32]>) {
        let last = self.slots.len() - 1;
        for (slot, instr) in self.expr.instrs.iter().enumerate() {
            match self.slots[slot] {
                Location::Invariant if start > 0 => continue,
                Location::Buffer(..) => continue,
                _ => {}
            }
            let (done, rest) = self.registers.split_at_mut(slot * self.pitch);
            let out = match &mut target {
                Some(target) if slot == last => &mut target[..len],
                _ => &mut rest[..len],
            };
            let (pitch, slots) = (self.pitch, self.slots);
            let register = |slot: Slot| match slots[slot as usize] {
                Location::Buffer(buffer, from) => &buffers[buffer][from + start..][..len],
                _ => &done[slot as usize * pitch..][..len],
            };
            match *instr {
                Instr::Load { input, dtype } => {
                    let words = &buffers[self.loads.get(input).buffer];
                    self.walks[input as usize].load(words, dtype, start, out);
                }
                Instr::Gather { input, dtype, rows, stride, index } => {
                    let source = self.loads.get(input);
                    let words = &buffers[source.buffer];
                    let signed = self.expr.instrs[index as usize].dtype() == DType::I32;
                    let table = Table { words, dtype, offset: source.view.offset, stride: stride as isize };
                    table.gather(register(index), signed, rows, out);
                }
                Instr::Fill { bits, .. } => out.fill(bits),
                Instr::Step => out.fill(self.step),
                Instr::Iota { axis } => iota(&self.sizes[axis as usize..], start, out),
                Instr::Random { distribution, stream } => {
                    random(distribution, self.key, [self.step, stream], start, out);
                }
                Instr::Unary { op, dtype, x } => unary(op, dtype, register(x), out),
                Instr::Binary { op, dtype, a, b } => binary(op, dtype, register(a), register(b), out),
                Instr::Compare { op, dtype, a, b } => compare(op, dtype, register(a), register(b), out),
                Instr::Select { condition, a, b, .. } => select(register(condition), register(a), register(b), out),
                Instr::Cast { from, to, x } => cast(from.compute(), to, register(x), out),
            }
        }
    }

    /// The values of a root at the points evaluated last, which are `start..start + len`.
    #[inline(always)]
    pub(super) fn root<'b>(&'b self, root: usize, start: usize, len: usize, buffers: &'b [Vec<u32>]) -> &'b [u32] {
        let slot = self.expr.roots[root] as usize;
        match self.slots[slot] {
            Location::Buffer(buffer, from) => &buffers[buffer][from + start..][..len],
            _ => &self.registers[slot * self.pitch..][..len],
        }
    }
}

/// A strided one-dimensional table in a buffer.
struct Table<'a> {
    words: &'a [u32],
    dtype: DType,
    offset: usize,
    stride: isize,
}

impl Table<'_> {
    /// Gathers the elements at the indices, which are clamped to `0..rows`.
    fn gather(&self, index: &[u32], signed: bool, rows: u32, out: &mut [u32]) {
        let at = |i: u32| {
            let i = if signed { (i as i32).max(0) as u32 } else { i };
            (self.offset as isize + i.min(rows - 1) as isize * self.stride) as usize
        };
        if self.dtype == DType::F16 {
            let halves: &[f16] = bytemuck::cast_slice(self.words);
            each(index, out, |i| halves[at(i)].to_f32().to_bits());
        } else {
            each(index, out, |i| self.words[at(i)]);
        }
    }
}

/// The index along an axis, for the row-major points from `start` on; `sizes` are those of this axis and of the axes
/// after it.
fn iota(sizes: &[usize], start: usize, out: &mut [u32]) {
    let inner: usize = sizes[1..].iter().product();
    let (mut index, mut left) = (start / inner % sizes[0], inner - start % inner);
    let mut rest = out;
    while !rest.is_empty() {
        let (run, later) = rest.split_at_mut(left.min(rest.len()));
        run.fill(index as u32);
        index = if index + 1 == sizes[0] { 0 } else { index + 1 };
        (rest, left) = (later, inner);
    }
}

/// Like [`crate::ops::random::draw`], but calls the generator once for all points that share one of its blocks.
fn random(distribution: Distribution, key: [u32; 2], [step, stream]: [u32; 2], start: usize, out: &mut [u32]) {
    let mut done = 0;
    while done < out.len() {
        let index = start + done;
        let words = philox([(index / 4) as u32, step, stream, 0], key);
        let first = index % 4;
        let normals = match distribution {
            Distribution::Normal => [normal_pair([words[0], words[1]]), normal_pair([words[2], words[3]])],
            _ => [[0.0; 2]; 2],
        };
        let run = &mut out[done..];
        let n = run.len().min(4 - first);
        for (k, o) in run[..n].iter_mut().enumerate() {
            let k = first + k;
            *o = match distribution {
                Distribution::Bits => words[k],
                Distribution::Uniform => (unit(words[k]) as f32).to_bits(),
                Distribution::Bernoulli { threshold } => u32::from(words[k] >> 8 < threshold),
                Distribution::Normal => (normals[k / 2][k % 2] as f32).to_bits(),
            };
        }
        done += n;
    }
}

#[inline(always)]
fn unary(op: Unary, dtype: DType, x: &[u32], out: &mut [u32]) {
    match dtype {
        DType::F32 | DType::F16 => {
            let (x, out) = (floats(x), floats_mut(out));
            match op {
                Unary::Exp => map(x, out, functions::exp),
                Unary::Sigmoid => map(x, out, functions::sigmoid),
                Unary::Tanh => map(x, out, functions::tanh),
                Unary::Erf => functions::erf(x, out),
                _ => op.apply_f32(x, out),
            }
        }
        DType::U32 => out.iter_mut().zip(x).for_each(|(o, &x)| *o = u32::unary(op, x)),
        DType::I32 => out.iter_mut().zip(x).for_each(|(o, &x)| *o = i32::unary(op, x as i32) as u32),
    }
}

#[inline(always)]
fn map(x: &[f32], out: &mut [f32], f: impl Fn(f32) -> f32) {
    out.iter_mut().zip(x).for_each(|(o, &x)| *o = f(x));
}

#[inline(always)]
fn binary(op: Binary, dtype: DType, a: &[u32], b: &[u32], out: &mut [u32]) {
    let operands = a.iter().zip(b);
    match dtype {
        DType::F32 | DType::F16 => op.apply_f32(floats(a), floats(b), floats_mut(out)),
        DType::U32 => out.iter_mut().zip(operands).for_each(|(o, (&a, &b))| *o = u32::binary(op, a, b)),
        DType::I32 => {
            out.iter_mut().zip(operands).for_each(|(o, (&a, &b))| *o = i32::binary(op, a as i32, b as i32) as u32);
        }
    }
}

#[inline(always)]
fn compare(op: Compare, dtype: DType, a: &[u32], b: &[u32], out: &mut [u32]) {
    match dtype {
        DType::F32 | DType::F16 => op.apply(floats(a), floats(b), out),
        DType::U32 => op.apply(a, b, out),
        DType::I32 => op.apply::<i32>(bytemuck::cast_slice(a), bytemuck::cast_slice(b), out),
    }
}

/// Branch-free, so that it vectorises.
#[inline(always)]
fn select(condition: &[u32], a: &[u32], b: &[u32], out: &mut [u32]) {
    for (((o, &c), &a), &b) in out.iter_mut().zip(condition).zip(a).zip(b) {
        let mask = u32::from(c != 0).wrapping_neg();
        *o = (a & mask) | (b & !mask);
    }
}

/// Converts like Rust's `as`: conversions from float to integer saturate, those between integers wrap.
#[inline(always)]
fn cast(from: DType, to: DType, x: &[u32], out: &mut [u32]) {
    let float = f32::from_bits;
    match (from, to) {
        (DType::F32 | DType::F16, DType::U32) => each(x, out, |x| float(x) as u32),
        (DType::F32 | DType::F16, DType::I32) => each(x, out, |x| float(x) as i32 as u32),
        (DType::F32 | DType::F16, DType::F16) => each(x, out, |x| f16::from_f32(float(x)).to_f32().to_bits()),
        (DType::U32, DType::F32) => each(x, out, |x| (x as f32).to_bits()),
        (DType::I32, DType::F32) => each(x, out, |x| (x as i32 as f32).to_bits()),
        // Integers that f32 cannot represent exactly are beyond the range of f16, so rounding twice gives the same
        // result as rounding once.
        (DType::U32, DType::F16) => each(x, out, |x| f16::from_f32(x as f32).to_f32().to_bits()),
        (DType::I32, DType::F16) => each(x, out, |x| f16::from_f32(x as i32 as f32).to_f32().to_bits()),
        (DType::F32 | DType::F16, DType::F32) | (DType::U32 | DType::I32, DType::U32 | DType::I32) => {
            out.copy_from_slice(x);
        }
    }
}

#[inline(always)]
fn each(x: &[u32], out: &mut [u32], f: impl Fn(u32) -> u32) {
    out.iter_mut().zip(x).for_each(|(o, &x)| *o = f(x));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::random::draw;

    #[test]
    fn draws_match_the_reference_bitwise_from_any_start() {
        let key = [5, 6];
        let distributions = [
            Distribution::Bits,
            Distribution::Uniform,
            Distribution::Normal,
            Distribution::Bernoulli { threshold: 1 << 22 },
        ];
        for distribution in distributions {
            for start in 0..9 {
                let mut out = [0; 13];
                random(distribution, key, [3, 4], start, &mut out);
                for (k, &got) in out.iter().enumerate() {
                    let wanted = draw(distribution, key, 4, 3, (start + k) as u32);
                    let bits =
                        if distribution.dtype() == DType::F32 { (wanted as f32).to_bits() } else { wanted as u32 };
                    assert_eq!(got, bits, "{distribution:?} {start} {k}");
                }
            }
        }
    }

    #[test]
    fn casts_saturate_wrap_and_round() {
        let one = |from, to, x: u32| {
            let mut out = [0];
            cast(from, to, &[x], &mut out);
            out[0]
        };
        assert_eq!(one(DType::F32, DType::U32, (-3.7f32).to_bits()), 0);
        assert_eq!(one(DType::F32, DType::I32, 1e20f32.to_bits()), i32::MAX as u32);
        assert_eq!(one(DType::F32, DType::U32, f32::NAN.to_bits()), 0);
        assert_eq!(one(DType::I32, DType::U32, -1i32 as u32), u32::MAX);
        assert_eq!(f32::from_bits(one(DType::F32, DType::F16, 2049f32.to_bits())), 2048.0);
        assert_eq!(f32::from_bits(one(DType::I32, DType::F32, -5i32 as u32)), -5.0);
        assert_eq!(f32::from_bits(one(DType::U32, DType::F16, u32::MAX)), f32::INFINITY);
    }

    #[test]
    fn iota_repeats_and_wraps() {
        let mut out = [0; 10];
        iota(&[3, 2], 3, &mut out);
        assert_eq!(out, [1, 2, 2, 0, 0, 1, 1, 2, 2, 0]);
    }
}
