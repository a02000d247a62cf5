//! What a kernel sees of a launch on the CPU.

use super::expr::ExprScratch;
use super::strided::Walk;
use super::words::{array_of, copy_words, sized};
use crate::array::Array;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::kernels::Launch;
use crate::shape::{TensorType, View};

/// A launch's buffers on the host.
///
/// A buffer is a list of 32-bit words; two `f16` elements share a word, in memory order.
#[derive(Debug)]
pub struct CpuContext<'a> {
    /// All buffers of the program, and the spare ones.
    pub buffers: &'a mut [Vec<u32>],
    /// The launch.
    pub launch: &'a Launch,
    /// The run's index.
    pub step: u32,
    /// The session's seed.
    pub seed: u64,
    /// Memory kernels may use; it lives as long as the executor, so that a run does not allocate.
    pub scratch: &'a mut Scratch,
}

/// One of the buffers that hold a value only within a launch.
#[derive(Debug, Clone, Copy)]
pub struct Spare(usize);

/// A result before its epilogue, or a prologue's values.
pub const FIRST: Spare = Spare(1);
/// A second prologue's values.
pub const SECOND: Spare = Spare(2);
/// How many there are, after the plan's buffers.
pub const SPARES: usize = 2;

/// Memory that outlives a launch: it grows to what the largest launch needs and is then reused.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) expr: ExprScratch,
    /// Operands in the form a kernel wants them.
    pub(super) panels: [Vec<f32>; 3],
    /// A second output, before it is stored.
    pub(super) totals: Vec<f32>,
    /// `f16` inputs, and last the output, as `f32`.
    wide: [Vec<u32>; 4],
    /// What went wrong in a launch.
    pub(super) error: Option<Error>,
}

impl Scratch {
    /// Bytes held at present.
    pub fn bytes(&self) -> u64 {
        let panels: usize = self.panels.iter().map(Vec::capacity).sum();
        let wide: usize = self.wide.iter().map(Vec::capacity).sum();
        4 * (panels + wide + self.totals.capacity()) as u64 + self.expr.bytes()
    }
}

/// Elements of a dense view; of a channels-last one with the room after the last channel.
fn extent(view: &View) -> usize {
    if view.is_dense() {
        return view.shape.elements();
    }
    debug_assert!(matches!(view.strides[..], [_, 1, _]), "neither dense nor channels-last: {view:?}");
    view.shape[0] * view.strides[0] as usize
}

impl CpuContext<'_> {
    /// The elements of a dense input.
    pub fn read(&self, input: usize) -> Result<Array> {
        let operand = &self.launch.inputs[input];
        let ty = TensorType::new(&operand.view.shape, operand.dtype);
        array_of(&ty, &self.buffers[operand.buffer.index()], operand.view.offset)
    }

    /// Stores all elements of a dense output, of its type.
    pub fn write(&mut self, output: usize, value: &Array) {
        let operand = &self.launch.outputs[output];
        copy_words(value, operand.view.offset, &mut self.buffers[operand.buffer.index()]);
    }

    /// Makes the run fail, after its other launches.
    pub fn fail(&mut self, error: Error) {
        self.scratch.error.get_or_insert(error);
    }

    /// The position of a spare buffer.
    pub(super) fn spare(&self, spare: Spare) -> usize {
        self.buffers.len() - spare.0
    }

    /// Puts a spare buffer back.
    pub(super) fn put_back(&mut self, spare: Spare, buffer: Vec<u32>) {
        let at = self.spare(spare);
        self.buffers[at] = buffer;
    }

    /// Calls `f` with the elements of the first `N` inputs and of the first output, all of them dense and in their
    /// compute dtype: `f16` inputs are widened before and the output is rounded afterwards. The output is not an
    /// input, and its elements are stale: `f` writes all of them.
    ///
    /// Up to three inputs.
    pub fn dense<const N: usize>(&mut self, f: impl FnOnce([&[u32]; N], &mut [u32], &mut Scratch)) {
        debug_assert!(self.launch.inputs.iter().take(N).all(|input| input.view.is_dense()));
        self.dense_and_others(|inputs, output, _, scratch| f(inputs, output, scratch));
    }

    /// As [`CpuContext::dense`], with the other buffers, for what comes after the first `N` inputs. `f32` operands may
    /// also be channels-last (see [`Target::channels_last`](crate::plan::Target)); `f` gets them as they lie.
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
