//! The context of a kernel launch on the CPU.

use super::expr::ExprScratch;
use super::strided::Walk;
use super::words::{array_of, copy_words, sized};
use crate::array::Array;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::kernels::Launch;
use crate::shape::{TensorType, View};

/// A kernel launch with its buffers in host memory.
///
/// A buffer is an array of 32-bit words; a word holds two `f16` elements, in memory order.
#[derive(Debug)]
pub struct CpuContext<'a> {
    /// All buffers of the program, then the spare ones.
    pub buffers: &'a mut [Vec<u32>],
    /// The launch.
    pub launch: &'a Launch,
    /// The index of the step.
    pub step: u32,
    /// The session's seed.
    pub seed: u64,
    /// Scratch memory for kernels. It lives as long as the executor, so that a run does not allocate.
    pub scratch: &'a mut Scratch,
}

/// A temporary buffer, whose contents are valid only within one launch.
#[derive(Debug, Clone, Copy)]
pub struct Spare(usize);

/// The result that an epilogue reads, or the values of a prologue.
pub const FIRST: Spare = Spare(1);
/// The values of a second prologue.
pub const SECOND: Spare = Spare(2);
/// The number of spare buffers; they follow the plan's buffers.
pub const SPARES: usize = 2;

/// Scratch memory reused by all launches: it grows to the size that the largest launch needs.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) expr: ExprScratch,
    /// Packed operands and other `f32` temporaries of kernels.
    pub(super) panels: [Vec<f32>; 3],
    /// A second output before it is written to its buffer.
    pub(super) totals: Vec<f32>,
    /// Three `f16` inputs widened to `f32`, and the output before it is rounded to `f16`.
    wide: [Vec<u32>; 4],
    /// The first error in a launch of the current run.
    pub(super) error: Option<Error>,
}

impl Scratch {
    /// Bytes allocated.
    pub fn bytes(&self) -> u64 {
        let panels: usize = self.panels.iter().map(Vec::capacity).sum();
        let wide: usize = self.wide.iter().map(Vec::capacity).sum();
        4 * (panels + wide + self.totals.capacity()) as u64 + self.expr.bytes()
    }
}

/// The number of elements a contiguous view spans; for a channels-last view this includes the padding channels.
fn extent(view: &View) -> usize {
    if view.is_dense() {
        return view.shape.elements();
    }
    debug_assert!(matches!(view.strides[..], [_, 1, _]), "neither dense nor channels-last: {view:?}");
    view.shape[0] * view.strides[0] as usize
}

impl CpuContext<'_> {
    /// Copies a contiguous input.
    pub fn read(&self, input: usize) -> Result<Array> {
        let operand = &self.launch.inputs[input];
        let ty = TensorType::new(&operand.view.shape, operand.dtype);
        array_of(&ty, &self.buffers[operand.buffer.index()], operand.view.offset)
    }

    /// Writes all elements of a contiguous output. The value must have the output's type.
    pub fn write(&mut self, output: usize, value: &Array) {
        let operand = &self.launch.outputs[output];
        copy_words(value, operand.view.offset, &mut self.buffers[operand.buffer.index()]);
    }

    /// Records an error, with which the run fails after its other launches; the first one wins.
    pub fn fail(&mut self, error: Error) {
        self.scratch.error.get_or_insert(error);
    }

    /// The index of a spare buffer.
    pub(super) fn spare(&self, spare: Spare) -> usize {
        self.buffers.len() - spare.0
    }

    /// Returns a spare buffer that a kernel has taken.
    pub(super) fn put_back(&mut self, spare: Spare, buffer: Vec<u32>) {
        let at = self.spare(spare);
        self.buffers[at] = buffer;
    }

    /// Calls `f` with the elements of the first `N` inputs (at most three) and of the first output, all contiguous and
    /// in their compute dtype: `f16` inputs are widened first, and an `f16` output is rounded afterwards. The output
    /// does not alias an input. `f` must write all of its elements: their old contents are undefined.
    pub fn dense<const N: usize>(&mut self, f: impl FnOnce([&[u32]; N], &mut [u32], &mut Scratch)) {
        debug_assert!(self.launch.inputs.iter().take(N).all(|input| input.view.is_dense()));
        self.dense_and_others(|inputs, output, _, scratch| f(inputs, output, scratch));
    }

    /// Like [`CpuContext::dense`], but also passes all buffers, so that `f` can read the inputs after the first `N`.
    /// `f32` operands may be channels-last (see [`Backend`](crate::plan::Backend)); `f` gets them in that memory
    /// format.
    pub(super) fn dense_and_others<const N: usize>(
        &mut self,
        f: impl FnOnce([&[u32]; N], &mut [u32], &[Vec<u32>], &mut Scratch),
    ) {
        let mut wide = std::mem::take(&mut self.scratch.wide);
        let (inputs, output) = (&self.launch.inputs, &self.launch.outputs[0]);
        for (input, wide) in inputs.iter().zip(&mut wide).take(N).filter(|(input, _)| input.dtype == DType::F16) {
            let n = input.view.shape.elements();
            Walk::new(&input.view).load(&self.buffers[input.buffer.index()], DType::F16, 0, sized(wide, n));
        }
        let mut target = std::mem::take(&mut self.buffers[output.buffer.index()]);
        let (wide_inputs, wide_output) = wide.split_at_mut(3);
        let slices = std::array::from_fn(|k| {
            let input = &inputs[k];
            let n = extent(&input.view);
            match input.dtype {
                DType::F16 => &wide_inputs[k][..n],
                _ => &self.buffers[input.buffer.index()][input.view.offset..][..n],
            }
        });
        let n = extent(&output.view);
        if output.dtype == DType::F16 {
            let rounded = sized(&mut wide_output[0], n);
            f(slices, rounded, self.buffers, self.scratch);
            Walk::new(&output.view).store(&mut target, DType::F16, 0, rounded);
        } else {
            f(slices, &mut target[output.view.offset..][..n], self.buffers, self.scratch);
        }
        self.buffers[output.buffer.index()] = target;
        self.scratch.wide = wide;
    }
}
