//! Fused epilogues: the common ones (bias, ReLU, the gradient of ReLU) are applied by specialised loops to each block
//! of a result while it is in the cache. The interpreter runs all others, in a second pass over the whole result.

use super::simd::fast;
use super::strided::Walk;
use super::words::floats;
use crate::dtype::DType;
use crate::kernels::{Fused, Instr, Operand, Slot};
use crate::ops::table::{Binary, Compare, Unary};

/// An epilogue applied in place to each block of a result as soon as it is computed: once per block, on any thread.
#[derive(Clone, Copy)]
pub(super) enum Epilogue<'a> {
    /// No epilogue.
    None,
    /// Adds a bias.
    Bias(Bias<'a>),
    /// Sets the result to 0 where these values are not positive: the gradient of a `relu`, of which they are the
    /// output.
    Mask(&'a [f32]),
    /// Calls a function with the offset of the block's first element, and the block: for tests.
    #[cfg(test)]
    Call(&'a (dyn Fn(usize, &mut [f32]) + Sync)),
}

/// A broadcast bias: element `i` of the result gets `values[i / each % values.len()]` added.
#[derive(Clone, Copy)]
pub(super) struct Bias<'a> {
    pub(super) values: &'a [f32],
    pub(super) each: usize,
    /// Whether a ReLU follows.
    pub(super) relu: bool,
}

/// As in the table of unary operations: NaN stays NaN.
#[inline(always)]
fn relu(x: f32) -> f32 {
    if x <= 0.0 { 0.0 } else { x }
}

/// One of the common epilogues, with operands given by input index instead of by their elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CommonEpilogue {
    /// No epilogue.
    None,
    /// A [`Bias`], whose values are `count` elements of this input from `first` on.
    Bias { input: usize, first: usize, count: usize, each: usize, relu: bool },
    /// A mask: see [`Epilogue::Mask`].
    Mask { input: usize },
}

impl CommonEpilogue {
    /// Recognises the epilogue of a kernel; `output` is its first output. `Option::None` if it is not a common one.
    pub(super) fn of(epilogue: Option<&Fused>, inputs: &[Operand], output: &Operand) -> Option<CommonEpilogue> {
        let Some(Fused { expr, .. }) = epilogue else { return Some(CommonEpilogue::None) };
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
                Some(CommonEpilogue::Bias { input, first, count, each, relu })
            }
            Instr::Select { dtype: DType::F32, condition, a, b } if !relu && is_result(a) && is_zero(b) => {
                let Instr::Compare { op: Compare::Gt, dtype: DType::F32, a: y, b: zero } = at(condition) else {
                    return None;
                };
                let input = other(y).filter(|_| is_zero(zero))?;
                let (y, result) = (&inputs[input].view, &output.view);
                let same_layout = if result.is_dense() { y.is_dense() } else { y.strides == result.strides };
                same_layout.then_some(CommonEpilogue::Mask { input })
            }
            _ => None,
        }
    }
}

impl<'a> Epilogue<'a> {
    /// Like [`CommonEpilogue::of`], with the operands' elements. Offsets are relative to the result's first element in
    /// memory.
    pub(super) fn new(
        epilogue: Option<&Fused>,
        inputs: &[Operand],
        output: &Operand,
        buffers: &'a [Vec<u32>],
    ) -> Option<Epilogue<'a>> {
        let elements = |input: usize| floats(&buffers[inputs[input].buffer.index()]);
        Some(match CommonEpilogue::of(epilogue, inputs, output)? {
            CommonEpilogue::None => Epilogue::None,
            CommonEpilogue::Bias { input, first, count, each, relu } => {
                Epilogue::Bias(Bias { values: &elements(input)[first..][..count], each, relu })
            }
            CommonEpilogue::Mask { input } => Epilogue::Mask(&elements(input)[inputs[input].view.offset..]),
        })
    }

    /// Applies the epilogue to the block that starts at element `start`.
    pub(super) fn finish(self, start: usize, block: &mut [f32]) {
        fast(
            #[inline(always)]
            || self.block(start, block),
        );
    }

    /// Like [`Epilogue::finish`], but inlined into code that is already compiled for vector instructions.
    #[inline(always)]
    pub(super) fn block(self, start: usize, block: &mut [f32]) {
        match self {
            Epilogue::None => {}
            Epilogue::Bias(bias) if bias.relu => bias.add(start, block, relu),
            Epilogue::Bias(bias) => bias.add(start, block, |x| x),
            Epilogue::Mask(y) => {
                for (x, &y) in block.iter_mut().zip(&y[start..]) {
                    *x = if y > 0.0 { *x } else { 0.0 };
                }
            }
            #[cfg(test)]
            Epilogue::Call(f) => f(start, block),
        }
    }

    /// The bias, if the epilogue is one with a value for each of `channels` channels of `length` elements.
    pub(super) fn by_channel(self, channels: usize, length: usize) -> Option<Bias<'a>> {
        match self {
            Epilogue::Bias(bias) if bias.values.len() == channels && bias.each == length => Some(bias),
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
    fn a_bias_is_broadcast_from_any_start() {
        let values = [1.0, -20.0, 300.0];
        for (each, relu) in [(1, false), (1, true), (4, false), (4, true)] {
            let epilogue = Epilogue::Bias(Bias { values: &values, each, relu });
            for start in 0..25 {
                for len in 0..25 {
                    let mut block = vec![0.5; len];
                    epilogue.finish(start, &mut block);
                    for (k, &x) in block.iter().enumerate() {
                        let sum = 0.5 + values[(start + k) / each % 3];
                        assert_eq!(x, if relu { sum.max(0.0) } else { sum }, "{each} {start} {k}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_mask_keeps_elements_where_it_is_positive() {
        let mut block = [7.0, 8.0, 9.0];
        Epilogue::Mask(&[1.0, -0.0, 2.0, f32::NAN]).finish(1, &mut block);
        assert_eq!(block, [0.0, 8.0, 0.0]);
    }
}
