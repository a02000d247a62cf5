//! The expression interpreter: runs each step of an expression over a block of points before the next step, so that
//! the cost of choosing what to do is paid once a block and the inner loops vectorise.

use super::strided::Walk;
use super::words::{aligned, floats, floats_mut};
use crate::dtype::DType;
use crate::kernels::{Expr, Instr, Operand, Slot};
use crate::ops::random::{Distribution, key, philox, unit};
use crate::ops::table::integer::Int;
use crate::ops::table::{Binary, Compare, Unary};
use crate::shape::{MAX_RANK, View};
use half::f16;

/// The registers of all steps together should stay in the first-level cache.
const REGISTER_WORDS: usize = 6 * 1024;

/// Memory of the interpreter.
#[derive(Debug, Default)]
pub(super) struct ExprScratch {
    registers: Vec<u32>,
    walks: Vec<Walk>,
    slots: Vec<Place>,
    /// Of a reduction.
    pub(super) sums: Vec<f64>,
}

impl ExprScratch {
    pub(super) fn bytes(&self) -> u64 {
        (4 * self.registers.capacity() + 8 * self.sums.capacity()) as u64
    }
}

/// What a load reads.
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

/// What an expression's loads read: an epilogue's first is its kernel's result.
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

/// Where a step's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In its register.
    Register,
    /// In its register, and the same in every block.
    Fixed,
    /// In a buffer, as they lie: the buffer's index and the first point's position.
    Buffer(usize, usize),
}

/// Whether a root that is nothing but a load may be read from its buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Roots {
    /// Yes.
    InPlace,
    /// No: that buffer may change before the root is used.
    Copied,
}

/// An expression ready to be evaluated over blocks of an iteration space.
pub(super) struct Interpreter<'a> {
    expr: &'a Expr,
    loads: Loads<'a>,
    sizes: [usize; MAX_RANK],
    step: u32,
    key: [u32; 2],
    /// Points of a block.
    pub(super) block: usize,
    /// Words of a register.
    pitch: usize,
    registers: &'a mut [u32],
    walks: &'a [Walk],
    slots: &'a [Place],
}

impl<'a> Interpreter<'a> {
    /// The iteration space has these `sizes`, in the order `axes` of the loads' axes (in which a positional step may
    /// not occur unless it is theirs). It holds at least one point. The first points evaluated must be a block from 0.
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
        // A multiple of 4, as a block of random words serves as many points, or of the points after which a broadcast
        // repeats, so that it is the same in every block.
        let period = walks.iter().filter_map(Walk::period).max().filter(|&n| n <= most && !draws).unwrap_or(4);
        let block = (most / period.max(1) * period).min(points.next_multiple_of(4));
        slots.clear();
        for (slot, instr) in expr.instrs.iter().enumerate() {
            let copied = roots == Roots::Copied && expr.roots.contains(&(slot as Slot));
            let fixed = |operands: &[Slot]| operands.iter().all(|&s| slots[s as usize] == Place::Fixed);
            let is_fixed = match *instr {
                Instr::Fill { .. } | Instr::Step => true,
                Instr::Load { input, .. } => walks[input as usize].period().is_some_and(|n| block.is_multiple_of(n)),
                Instr::Iota { .. } | Instr::Random { .. } => false,
                Instr::Gather { index, .. } => fixed(&[index]),
                Instr::Unary { x, .. } | Instr::Cast { x, .. } => fixed(&[x]),
                Instr::Binary { a, b, .. } | Instr::Compare { a, b, .. } => fixed(&[a, b]),
                Instr::Select { condition, a, b, .. } => fixed(&[condition, a, b]),
            };
            let place = match *instr {
                _ if is_fixed => Place::Fixed,
                Instr::Load { input, dtype } if dtype != DType::F16 && !copied => {
                    let from = walks[input as usize].dense_from();
                    from.map_or(Place::Register, |from| Place::Buffer(loads.get(input).buffer, from))
                }
                _ => Place::Register,
            };
            slots.push(place);
        }
        let pitch = block.next_multiple_of(16);
        let registers = aligned(registers, count * pitch);
        Interpreter { expr, loads, sizes: all, step, key: key(seed), block, pitch, registers, walks, slots }
    }

    /// Whether the last step is the only root and is computed in every block: then it can be given a target.
    pub(super) fn ends_in_root(&self) -> bool {
        let last = self.slots.len() - 1;
        self.expr.roots.len() == 1
            && self.expr.roots[0] as usize == last
            && self.slots[last] == Place::Register
            && !matches!(self.expr.instrs[last], Instr::Load { .. })
    }

    /// Evaluates points `start..start + len`, at most a block of them. The values of the last step go to `target`, if
    /// there is one.
    #[inline(always)]
    pub(super) fn eval(&mut self, start: usize, len: usize, buffers: &[Vec<u32>], mut target: Option<&mut [u32]>) {
        let last = self.slots.len() - 1;
        for (slot, instr) in self.expr.instrs.iter().enumerate() {
            match self.slots[slot] {
                Place::Fixed if start > 0 => continue,
                Place::Buffer(..) => continue,
                _ => {}
            }
            let (done, rest) = self.registers.split_at_mut(slot * self.pitch);
            let out = match &mut target {
                Some(target) if slot == last => &mut target[..len],
                _ => &mut rest[..len],
            };
            let (pitch, slots) = (self.pitch, self.slots);
            let register = |slot: Slot| match slots[slot as usize] {
                Place::Buffer(buffer, from) => &buffers[buffer][from + start..][..len],
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

    /// The values of a root at the points last evaluated, `start..start + len`.
    #[inline(always)]
    pub(super) fn root<'b>(&'b self, root: usize, start: usize, len: usize, buffers: &'b [Vec<u32>]) -> &'b [u32] {
        let slot = self.expr.roots[root] as usize;
        match self.slots[slot] {
            Place::Buffer(buffer, from) => &buffers[buffer][from + start..][..len],
            _ => &self.registers[slot * self.pitch..][..len],
        }
    }
}

/// Elements at even distances in a buffer.
struct Table<'a> {
    words: &'a [u32],
    dtype: DType,
    offset: usize,
    stride: isize,
}

impl Table<'_> {
    /// The elements at the indices, which are clamped to `rows`.
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

/// The index along the first of `sizes`, for points counted over axes that end with these.
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

/// As [`crate::ops::random::draw`], with one call of the generator for each of its blocks.
fn random(distribution: Distribution, key: [u32; 2], [step, stream]: [u32; 2], start: usize, out: &mut [u32]) {
    let per_block = if distribution == Distribution::Normal { 2 } else { 4 };
    let mut done = 0;
    while done < out.len() {
        let index = start + done;
        let words = philox([(index / per_block) as u32, step, stream, 0], key);
        let first = index % per_block;
        let run = &mut out[done..];
        let n = run.len().min(per_block - first);
        for (k, o) in run[..n].iter_mut().enumerate() {
            let k = first + k;
            *o = match distribution {
                Distribution::Bits => words[k],
                Distribution::Uniform => (unit(words[k]) as f32).to_bits(),
                Distribution::Bernoulli { threshold } => u32::from(words[k] >> 8 < threshold),
                Distribution::Normal => {
                    let radius = (-2.0 * (1.0 - unit(words[2 * k])).ln()).sqrt();
                    let normal = radius * (std::f64::consts::TAU * unit(words[2 * k + 1])).cos();
                    (normal as f32).to_bits()
                }
            };
        }
        done += n;
    }
}

#[inline(always)]
fn unary(op: Unary, dtype: DType, x: &[u32], out: &mut [u32]) {
    match dtype {
        DType::F32 | DType::F16 => op.apply_f32(floats(x), floats_mut(out)),
        DType::U32 => out.iter_mut().zip(x).for_each(|(o, &x)| *o = u32::unary(op, x)),
        DType::I32 => out.iter_mut().zip(x).for_each(|(o, &x)| *o = i32::unary(op, x as i32) as u32),
    }
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

/// Without a branch, so that it vectorises.
#[inline(always)]
fn select(condition: &[u32], a: &[u32], b: &[u32], out: &mut [u32]) {
    for (((o, &c), &a), &b) in out.iter_mut().zip(condition).zip(a).zip(b) {
        let mask = u32::from(c != 0).wrapping_neg();
        *o = (a & mask) | (b & !mask);
    }
}

/// As Rust's `as`: floats saturate, integers wrap.
#[inline(always)]
fn cast(from: DType, to: DType, x: &[u32], out: &mut [u32]) {
    let float = f32::from_bits;
    match (from, to) {
        (DType::F32 | DType::F16, DType::U32) => each(x, out, |x| float(x) as u32),
        (DType::F32 | DType::F16, DType::I32) => each(x, out, |x| float(x) as i32 as u32),
        (DType::F32 | DType::F16, DType::F16) => each(x, out, |x| f16::from_f32(float(x)).to_f32().to_bits()),
        (DType::U32, DType::F32) => each(x, out, |x| (x as f32).to_bits()),
        (DType::I32, DType::F32) => each(x, out, |x| (x as i32 as f32).to_bits()),
        // Integers that f32 does not hold exactly are beyond f16's range: rounding twice rounds as once.
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
    fn draws_are_the_references_bits_wherever_a_block_starts() {
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
