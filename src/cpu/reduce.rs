//! Reductions.

use super::CpuContext;
use super::context::FIRST;
use super::expr::{ExprScratch, Interpreter, Loads, Roots};
use super::simd::fast;
use super::words::{floats, sized};
use crate::dtype::DType;
use crate::kernels::reduce::ReduceKernel;
use crate::kernels::{Instr, Operand};
use crate::ops::reduce::ReduceKind;
use half::f16;

/// The number of independent accumulators: a whole number of vectors, so that loops over them vectorise.
const LANES: usize = 16;
/// The maximum number of column sums in [`by_columns`].
const MAX_WIDTH: usize = 1 << 16;

/// The accumulator of the group that is being reduced.
#[derive(Debug, Clone, Copy)]
struct State {
    /// The sum of floats. Sums within a block are in `f32`, those of blocks are added up in `f64`.
    sum: f64,
    /// The bits of the maximum or minimum, or the sum of integers.
    word: u32,
    /// The index of the maximum or minimum within the group.
    index: u32,
}

/// Runs the kernel.
pub(super) fn run(kernel: &ReduceKernel, cx: &mut CpuContext<'_>) {
    let (groups, size) = (kernel.outer.elements(), kernel.inner.elements());
    let (output, (inputs, more)) = (&cx.launch.outputs[0], kernel.inputs(cx.launch));
    // An epilogue may read the buffer that it overwrites, so its input, the result, is kept in a spare buffer.
    let (place, offset, dtype) = match &kernel.epilogue {
        Some(epilogue) => (cx.spare(FIRST), 0, epilogue.result_dtype()),
        None => (output.buffer.index(), output.view.offset, output.dtype),
    };
    let mut target = std::mem::take(&mut cx.buffers[place]);
    if kernel.epilogue.is_some() {
        sized(&mut target, groups);
    }
    let mut write = |group: usize, word: u32| {
        let at = offset + group;
        if dtype == DType::F16 {
            let halves: &mut [f16] = bytemuck::cast_slice_mut(&mut target);
            halves[at] = f16::from_f32(f32::from_bits(word));
        } else {
            target[at] = word;
        }
    };
    if groups * size == 0 {
        (0..groups).for_each(|group| write(group, finish(kernel, initial(kernel), size)));
    } else {
        let (run, scratch) = ((cx.step, cx.seed), &mut cx.scratch.expr);
        let columns = columns(kernel, inputs);
        fast(
            #[inline(always)]
            || {
                if columns {
                    by_columns(kernel, inputs, run, scratch, cx.buffers, write);
                } else {
                    by_groups(kernel, inputs, run, scratch, cx.buffers, write);
                }
            },
        );
    }
    cx.buffers[place] = target;
    if let Some(epilogue) = &kernel.epilogue {
        super::elementwise::epilogue_apart(epilogue, more, cx);
    }
}

/// Evaluates blocks of points, in row-major order of `outer ++ inner`, and reduces them group by group.
#[inline(always)]
fn by_groups(
    kernel: &ReduceKernel,
    loads: &[Operand],
    run: (u32, u64),
    scratch: &mut ExprScratch,
    buffers: &[Vec<u32>],
    mut write: impl FnMut(usize, u32),
) {
    let size = kernel.inner.elements();
    let points = kernel.outer.elements() * size;
    let axes = 0..kernel.outer.rank() + kernel.inner.rank();
    let mut interpreter =
        Interpreter::new(&kernel.expr, Loads::new(loads), sizes(kernel), axes, run, Roots::InPlace, scratch);
    let initial = initial(kernel);
    let (mut group, mut within, mut state) = (0, 0, initial);
    for start in (0..points).step_by(interpreter.block) {
        let len = interpreter.block.min(points - start);
        interpreter.eval(start, len, buffers, None);
        let mut values = interpreter.root(0, start, len, buffers);
        while !values.is_empty() {
            let (part, later) = values.split_at(values.len().min(size - within));
            fold(kernel, part, within, &mut state);
            within += part.len();
            if within == size {
                write(group, finish(kernel, state, size));
                (group, within, state) = (group + 1, 0, initial);
            }
            values = later;
        }
    }
}

fn sizes(kernel: &ReduceKernel) -> impl Iterator<Item = usize> {
    kernel.outer.iter().chain(kernel.inner.iter()).copied()
}

/// Whether to use [`by_columns`]: for a sum of floats whose first reduced axis is the outermost in memory.
fn columns(kernel: &ReduceKernel, loads: &[Operand]) -> bool {
    let axis = kernel.outer.rank();
    let float_sum = matches!(kernel.kind, ReduceKind::Sum | ReduceKind::Mean) && kernel.dtype == DType::F32;
    let positional = kernel.expr.instrs.iter().any(|i| matches!(i, Instr::Iota { .. } | Instr::Random { .. }));
    let outermost = |operand: &Operand| {
        let strides = &operand.view.strides;
        strides[axis] != 0 && strides[..axis].iter().all(|stride| stride.abs() < strides[axis].abs())
    };
    let width = kernel.outer.elements() * kernel.inner.iter().skip(1).product::<usize>();
    let shape = axis > 0 && !kernel.inner.is_empty() && kernel.outer.elements() > 1 && width <= MAX_WIDTH;
    float_sum && !positional && shape && loads.first().is_some_and(outermost)
}

/// Evaluates blocks of points with the first reduced axis outermost, and sums over that axis elementwise, so that
/// memory is read in order.
#[inline(always)]
fn by_columns(
    kernel: &ReduceKernel,
    loads: &[Operand],
    run: (u32, u64),
    scratch: &mut ExprScratch,
    buffers: &[Vec<u32>],
    mut write: impl FnMut(usize, u32),
) {
    let (axis, rank) = (kernel.outer.rank(), kernel.outer.rank() + kernel.inner.rank());
    let size = kernel.inner.elements();
    let part = size / kernel.inner[0];
    let width = kernel.outer.elements() * part;
    let points = width * kernel.inner[0];
    let order = std::iter::once(axis).chain(0..axis).chain(axis + 1..rank);
    let sizes = std::iter::once(kernel.inner[0]).chain(kernel.outer.iter().copied());
    let sizes = sizes.chain(kernel.inner.iter().skip(1).copied());
    let mut sums = std::mem::take(&mut scratch.sums);
    sized(&mut sums, width).fill(0.0);
    let mut interpreter = Interpreter::new(&kernel.expr, Loads::new(loads), sizes, order, run, Roots::InPlace, scratch);
    let mut column = 0;
    for start in (0..points).step_by(interpreter.block) {
        let len = interpreter.block.min(points - start);
        interpreter.eval(start, len, buffers, None);
        let mut values = interpreter.root(0, start, len, buffers);
        while !values.is_empty() {
            let (run, later) = values.split_at(values.len().min(width - column));
            sums[column..][..run.len()].iter_mut().zip(floats(run)).for_each(|(sum, &x)| *sum += f64::from(x));
            column = if column + run.len() == width { 0 } else { column + run.len() };
            values = later;
        }
    }
    for (group, sums) in sums[..width].chunks_exact(part).enumerate() {
        write(group, finish(kernel, State { sum: sums.iter().sum(), ..initial(kernel) }, size));
    }
    scratch.sums = sums;
}

fn initial(kernel: &ReduceKernel) -> State {
    let (lowest, highest) = match kernel.dtype {
        DType::F32 | DType::F16 => (f32::NEG_INFINITY.to_bits(), f32::INFINITY.to_bits()),
        DType::U32 => (0, u32::MAX),
        DType::I32 => (i32::MIN as u32, i32::MAX as u32),
    };
    let word = match kernel.kind {
        ReduceKind::Max => lowest,
        ReduceKind::Min => highest,
        _ => 0,
    };
    State { sum: 0.0, word, index: 0 }
}

fn finish(kernel: &ReduceKernel, state: State, size: usize) -> u32 {
    match kernel.kind {
        ReduceKind::Sum if kernel.dtype == DType::F32 => (state.sum as f32).to_bits(),
        ReduceKind::Mean => ((state.sum / size as f64) as f32).to_bits(),
        ReduceKind::Sum | ReduceKind::Max | ReduceKind::Min => state.word,
        ReduceKind::ArgMax | ReduceKind::ArgMin => state.index,
    }
}

/// Reduces `values` into the accumulator; `first` is the index of the first of them within the group.
#[inline(always)]
fn fold(kernel: &ReduceKernel, values: &[u32], first: usize, state: &mut State) {
    match kernel.dtype {
        DType::F32 | DType::F16 => fold_floats(kernel.kind, values, first, state),
        DType::U32 => fold_integers(kernel.kind, values, first, state, |x| x),
        DType::I32 => fold_integers(kernel.kind, values, first, state, |x| x as i32),
    }
}

#[inline(always)]
fn fold_floats(kind: ReduceKind, words: &[u32], first: usize, state: &mut State) {
    let values = floats(words);
    match kind {
        ReduceKind::Sum | ReduceKind::Mean => state.sum += sum(values),
        // Comparisons with NaN are false, so NaNs are ignored.
        ReduceKind::Max => state.word = best(values, state.word, |a, b| a > b),
        ReduceKind::Min => state.word = best(values, state.word, |a, b| a < b),
        ReduceKind::ArgMax => arg(words, first, state, |a, b| f32::from_bits(a) > f32::from_bits(b)),
        ReduceKind::ArgMin => arg(words, first, state, |a, b| f32::from_bits(a) < f32::from_bits(b)),
    }
}

#[inline(always)]
fn fold_integers<T: Ord>(kind: ReduceKind, values: &[u32], first: usize, state: &mut State, key: impl Fn(u32) -> T) {
    match kind {
        ReduceKind::Sum | ReduceKind::Mean => {
            state.word = values.iter().fold(state.word, |sum, &x| sum.wrapping_add(x));
        }
        ReduceKind::Max => state.word = values.iter().fold(state.word, |m, &x| if key(x) > key(m) { x } else { m }),
        ReduceKind::Min => state.word = values.iter().fold(state.word, |m, &x| if key(x) < key(m) { x } else { m }),
        ReduceKind::ArgMax => arg(values, first, state, |a, b| key(a) > key(b)),
        ReduceKind::ArgMin => arg(values, first, state, |a, b| key(a) < key(b)),
    }
}

/// The sum of a block: independent `f32` accumulators (a block is short) that are added up in `f64`.
#[inline(always)]
pub(super) fn sum(values: &[f32]) -> f64 {
    let chunks = values.chunks_exact(LANES);
    let rest: f64 = chunks.remainder().iter().copied().map(f64::from).sum();
    if values.len() < LANES {
        return rest;
    }
    let mut lanes = [0.0f32; LANES];
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += x;
        }
    }
    lanes.iter().copied().map(f64::from).sum::<f64>() + rest
}

#[inline(always)]
fn best(values: &[f32], so_far: u32, better: impl Fn(f32, f32) -> bool) -> u32 {
    let mut lanes = [f32::from_bits(so_far); LANES];
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = if better(x, *lane) { x } else { *lane };
        }
    }
    let pick = |m: f32, &x: &f32| if better(x, m) { x } else { m };
    lanes.iter().chain(rest).fold(f32::from_bits(so_far), pick).to_bits()
}

#[inline(always)]
fn arg(values: &[u32], first: usize, state: &mut State, better: impl Fn(u32, u32) -> bool) {
    for (k, &x) in values.iter().enumerate() {
        if first + k == 0 || better(x, state.word) {
            (state.word, state.index) = (x, (first + k) as u32);
        }
    }
}
