//! The expression interpreter: runs each step of an expression over a block of points before the next step, so that
//! the cost of choosing what to do is paid once a block and the inner loops vectorise.

use super::context::{floats, floats_mut, sized};
use super::strided::Walk;
use crate::dtype::DType;
use crate::ops::random::{Distribution, key, philox, unit};
use crate::ops::table::integer::Int;
use crate::ops::table::{Binary, Compare, Unary};
use crate::plan::{Expr, Instr, Operand, Slot};
use crate::shape::MAX_RANK;
use half::f16;

/// The registers of all steps together should stay in the first-level cache.
const REGISTER_WORDS: usize = 6 * 1024;

/// Memory of the interpreter.
#[derive(Debug, Default)]
pub(super) struct ExprScratch {
    registers: Vec<u32>,
    walks: Vec<Walk>,
    uniform: Vec<bool>,
}

impl ExprScratch {
    pub(super) fn bytes(&self) -> u64 {
        4 * self.registers.capacity() as u64
    }
}

/// An expression ready to be evaluated over blocks of an iteration space.
pub(super) struct Interpreter<'a> {
    expr: &'a Expr,
    loads: &'a [Operand],
    sizes: [usize; MAX_RANK],
    step: u32,
    key: [u32; 2],
    /// Points of a block.
    pub(super) block: usize,
    scratch: &'a mut ExprScratch,
}

impl<'a> Interpreter<'a> {
    /// `sizes` is the iteration space; it holds at least one point. Steps whose value is the same at every point are
    /// evaluated here, once.
    pub(super) fn new(
        expr: &'a Expr,
        loads: &'a [Operand],
        sizes: impl Iterator<Item = usize>,
        (step, seed): (u32, u64),
        scratch: &'a mut ExprScratch,
        buffers: &[Vec<u32>],
    ) -> Self {
        let mut all = [1; MAX_RANK];
        all.iter_mut().zip(sizes).for_each(|(to, size)| *to = size);
        let points: usize = all.iter().product();
        let count = expr.instrs.len();
        // A multiple of 4: a block of random words serves as many points.
        let block = (REGISTER_WORDS / count).clamp(64, 1024).min(points).next_multiple_of(4);
        sized(&mut scratch.registers, count * block);
        scratch.walks.clear();
        scratch.walks.extend(loads.iter().map(|operand| Walk::new(&operand.view)));
        scratch.uniform.clear();
        let mut interpreter = Interpreter { expr, loads, sizes: all, step, key: key(seed), block, scratch };
        for (slot, instr) in expr.instrs.iter().enumerate() {
            let uniform = interpreter.is_uniform(instr);
            interpreter.scratch.uniform.push(uniform);
            if uniform {
                interpreter.step(slot, 0, block.min(points), buffers);
            }
        }
        interpreter
    }

    fn is_uniform(&self, instr: &Instr) -> bool {
        let all = |slots: &[Slot]| slots.iter().all(|&s| self.scratch.uniform[s as usize]);
        match *instr {
            Instr::Fill { .. } | Instr::Step => true,
            Instr::Load { input, .. } => self.scratch.walks[input as usize].is_uniform(),
            Instr::Iota { .. } | Instr::Random { .. } => false,
            Instr::Unary { x, .. } | Instr::Cast { x, .. } => all(&[x]),
            Instr::Binary { a, b, .. } | Instr::Compare { a, b, .. } => all(&[a, b]),
            Instr::Select { condition, a, b, .. } => all(&[condition, a, b]),
        }
    }

    /// Evaluates points `start..start + len`, at most a block of them.
    pub(super) fn eval(&mut self, start: usize, len: usize, buffers: &[Vec<u32>]) {
        for slot in 0..self.expr.instrs.len() {
            if !self.scratch.uniform[slot] {
                self.step(slot, start, len, buffers);
            }
        }
    }

    /// The values of a root at the points last evaluated.
    pub(super) fn root(&self, root: usize, len: usize) -> &[u32] {
        &self.scratch.registers[self.expr.roots[root] as usize * self.block..][..len]
    }

    fn step(&mut self, slot: usize, start: usize, len: usize, buffers: &[Vec<u32>]) {
        let (done, rest) = self.scratch.registers.split_at_mut(slot * self.block);
        let out = &mut rest[..len];
        let block = self.block;
        let register = |slot: Slot| &done[slot as usize * block..][..len];
        match self.expr.instrs[slot] {
            Instr::Load { input, dtype } => {
                let words = &buffers[self.loads[input as usize].buffer.index()];
                self.scratch.walks[input as usize].load(words, dtype, start, out);
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

fn unary(op: Unary, dtype: DType, x: &[u32], out: &mut [u32]) {
    match dtype {
        DType::F32 | DType::F16 => op.apply_f32(floats(x), floats_mut(out)),
        DType::U32 => out.iter_mut().zip(x).for_each(|(o, &x)| *o = u32::unary(op, x)),
        DType::I32 => out.iter_mut().zip(x).for_each(|(o, &x)| *o = i32::unary(op, x as i32) as u32),
    }
}

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

fn compare(op: Compare, dtype: DType, a: &[u32], b: &[u32], out: &mut [u32]) {
    match dtype {
        DType::F32 | DType::F16 => op.apply(floats(a), floats(b), out),
        DType::U32 => op.apply(a, b, out),
        DType::I32 => op.apply::<i32>(bytemuck::cast_slice(a), bytemuck::cast_slice(b), out),
    }
}

/// Without a branch, so that it vectorises.
fn select(condition: &[u32], a: &[u32], b: &[u32], out: &mut [u32]) {
    for (((o, &c), &a), &b) in out.iter_mut().zip(condition).zip(a).zip(b) {
        let mask = u32::from(c != 0).wrapping_neg();
        *o = (a & mask) | (b & !mask);
    }
}

/// As Rust's `as`: floats saturate, integers wrap.
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
