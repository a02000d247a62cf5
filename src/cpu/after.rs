//! What is done to a block of a result while it is in the cache: the usual epilogues, in loops of their own. The
//! interpreter does all others, over the whole result.

use super::simd::fast;
use super::strided::Walk;
use super::words::floats;
use crate::dtype::DType;
use crate::kernels::{Fused, Instr, Operand, Slot};
use crate::ops::table::{Binary, Compare, Unary};

/// What is done to each block of a dense result as soon as it is there, once for each block and on any thread.
#[derive(Clone, Copy)]
pub(super) enum After<'a> {
    /// It stays as it is.
    Nothing,
    /// A bias is added.
    Bias(Bias<'a>),
    /// It is kept where this is positive and is 0 elsewhere: the gradient of a `relu` with this result.
    Mask(&'a [f32]),
    /// A test looks at it: its first element's position, and the block.
    #[cfg(test)]
    Call(&'a (dyn Fn(usize, &mut [f32]) + Sync)),
}

/// Numbers, each added to `each` neighbours before the next one, and again from the first after the last.
#[derive(Clone, Copy)]
pub(super) struct Bias<'a> {
    pub(super) values: &'a [f32],
    pub(super) each: usize,
    /// Whether negative sums become 0.
    pub(super) relu: bool,
}

/// As the table of unary operations defines it.
#[inline(always)]
fn relu(x: f32) -> f32 {
    if x <= 0.0 { 0.0 } else { x }
}

/// One of the usual epilogues, of operands whose elements are not at hand yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Usual {
    /// None.
    Nothing,
    /// `count` numbers of this input from `first` on, as in [`Bias`].
    Bias { input: usize, first: usize, count: usize, each: usize, relu: bool },
    /// This input says what is kept.
    Mask { input: usize },
}

impl Usual {
    /// The epilogue of a kernel whose first output is the result, if it is one of those known here.
    pub(super) fn of(epilogue: Option<&Fused>, inputs: &[Operand], output: &Operand) -> Option<Usual> {
        let Some(Fused { expr, .. }) = epilogue else { return Some(Usual::Nothing) };
        let &[root] = &expr.roots[..] else { return None };
        if output.dtype != DType::F32 {
            return None;
        }
        let at = |slot: Slot| expr.instrs[usize::from(slot)];
        let is_result = |slot: Slot| at(slot) == Instr::Load { input: 0, dtype: DType::F32 };
        let is_zero = |slot: Slot| at(slot) == Instr::Fill { dtype: DType::F32, bits: 0 };
        let other = |slot: Slot| match at(slot) {
            Instr::Load { input: 1.., dtype: DType::F32 } => at(slot).input().map(|k| usize::from(k) - 1),
            _ => None,
        };
        let (sum, relu) = match at(root) {
            Instr::Unary { op: Unary::Relu, dtype: DType::F32, x } => (x, true),
            _ => (root, false),
        };
        match at(sum) {
            Instr::Binary { op: Binary::Add, dtype: DType::F32, a, b } => {
                let input = if is_result(a) { other(b) } else { other(a).filter(|_| is_result(b)) }?;
                let (first, count, each) = Walk::new(&inputs[input].view).repeats()?;
                Some(Usual::Bias { input, first, count, each, relu })
            }
            Instr::Select { dtype: DType::F32, condition, a, b } if !relu && is_result(a) && is_zero(b) => {
                let Instr::Compare { op: Compare::Gt, dtype: DType::F32, a: y, b: zero } = at(condition) else {
                    return None;
                };
                let input = other(y).filter(|_| is_zero(zero))?;
                let (y, result) = (&inputs[input].view, &output.view);
                let alike = if result.is_dense() { y.is_dense() } else { y.strides == result.strides };
                alike.then_some(Usual::Mask { input })
            }
            _ => None,
        }
    }
}

impl<'a> After<'a> {
    /// The epilogue of a kernel whose first output is the result, if it is one of those known here. Positions are those in
    /// the result's memory, from its first element on.
    pub(super) fn new(
        epilogue: Option<&Fused>,
        inputs: &[Operand],
        output: &Operand,
        buffers: &'a [Vec<u32>],
    ) -> Option<After<'a>> {
        let elements = |input: usize| floats(&buffers[inputs[input].buffer.index()]);
        Some(match Usual::of(epilogue, inputs, output)? {
            Usual::Nothing => After::Nothing,
            Usual::Bias { input, first, count, each, relu } => {
                After::Bias(Bias { values: &elements(input)[first..][..count], each, relu })
            }
            Usual::Mask { input } => After::Mask(&elements(input)[inputs[input].view.offset..]),
        })
    }

    /// Does it to the block that starts at element `start`.
    pub(super) fn finish(self, start: usize, block: &mut [f32]) {
        fast(
            #[inline(always)]
            || self.block(start, block),
        );
    }

    /// As [`After::finish`], compiled for what its caller is compiled for.
    #[inline(always)]
    pub(super) fn block(self, start: usize, block: &mut [f32]) {
        match self {
            After::Nothing => {}
            After::Bias(bias) if bias.relu => bias.add(start, block, relu),
            After::Bias(bias) => bias.add(start, block, |x| x),
            After::Mask(y) => {
                for (x, &y) in block.iter_mut().zip(&y[start..]) {
                    *x = if y > 0.0 { *x } else { 0.0 };
                }
            }
            #[cfg(test)]
            After::Call(f) => f(start, block),
        }
    }

    /// A bias that gives each of so many channels of so many elements one number.
    pub(super) fn by_channel(self, channels: usize, length: usize) -> Option<Bias<'a>> {
        match self {
            After::Bias(bias) if bias.values.len() == channels && bias.each == length => Some(bias),
            _ => None,
        }
    }
}

impl Bias<'_> {
    #[inline(always)]
    fn add(self, start: usize, mut block: &mut [f32], f: impl Fn(f32) -> f32 + Copy) {
        let Bias { values, each, .. } = self;
        let mut index = start / each % values.len();
        if each == 1 {
            while !block.is_empty() {
                let run = block.len().min(values.len() - index);
                let (now, later) = block.split_at_mut(run);
                now.iter_mut().zip(&values[index..]).for_each(|(x, &b)| *x = f(*x + b));
                (block, index) = (later, 0);
            }
            return;
        }
        let mut left = each - start % each;
        while !block.is_empty() {
            let (now, later) = block.split_at_mut(left.min(block.len()));
            now.iter_mut().for_each(|x| *x = f(*x + values[index]));
            index = if index + 1 == values.len() { 0 } else { index + 1 };
            (block, left) = (later, each);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bias_comes_round_wherever_a_block_starts() {
        let values = [1.0, -20.0, 300.0];
        for (each, relu) in [(1, false), (1, true), (4, false), (4, true)] {
            let after = After::Bias(Bias { values: &values, each, relu });
            for start in 0..25 {
                for len in 0..25 {
                    let mut block = vec![0.5; len];
                    after.finish(start, &mut block);
                    for (k, &x) in block.iter().enumerate() {
                        let sum = 0.5 + values[(start + k) / each % 3];
                        assert_eq!(x, if relu { sum.max(0.0) } else { sum }, "{each} {start} {k}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_mask_keeps_what_is_above_zero() {
        let mut block = [7.0, 8.0, 9.0];
        After::Mask(&[1.0, -0.0, 2.0, f32::NAN]).finish(1, &mut block);
        assert_eq!(block, [0.0, 8.0, 0.0]);
    }
}
