//! Elementwise expressions, evaluated block by block; also prologues and epilogues of other kernels.

use super::CpuContext;
pub(super) use super::context::{FIRST, Spare};
use super::expr::{Interpreter, Loads, Roots, Source};
use super::simd::fast;
use super::strided::Walk;
use super::words::sized;
use crate::dtype::DType;
use crate::kernels::elementwise::ElementwiseKernel;
use crate::kernels::{Expr, Fused, Operand};
use crate::shape::Shape;

/// Runs the kernel.
pub(super) fn run(kernel: &ElementwiseKernel, cx: &mut CpuContext<'_>) {
    let launch = cx.launch;
    evaluate(&kernel.shape, &kernel.expr, Loads::new(&launch.inputs), &launch.outputs, cx);
}

/// Applies an epilogue to the result, which the launch's kernel has written to the first output.
pub(super) fn epilogue(fused: &Fused, inputs: &[Operand], cx: &mut CpuContext<'_>) {
    let outputs = &cx.launch.outputs;
    let result = Some(Source::from(&outputs[0]));
    evaluate(&fused.space.shape, &fused.expr, Loads { result, operands: inputs }, outputs, cx);
}

/// Like [`epilogue`], with the result in the first spare buffer.
pub(super) fn epilogue_apart(fused: &Fused, inputs: &[Operand], cx: &mut CpuContext<'_>) {
    let outputs = &cx.launch.outputs;
    let result = Some(Source { buffer: cx.spare(FIRST), view: &fused.space });
    evaluate(&fused.space.shape, &fused.expr, Loads { result, operands: inputs }, outputs, cx);
}

/// Evaluates a prologue, in the compute dtype, into a spare buffer. The caller must return it with
/// [`CpuContext::put_back`].
pub(super) fn prologue(fused: &Fused, inputs: &[Operand], spare: Spare, cx: &mut CpuContext<'_>) -> Vec<u32> {
    let points = fused.space.shape.elements();
    let at = cx.spare(spare);
    let mut values = std::mem::take(&mut cx.buffers[at]);
    sized(&mut values, points);
    if points > 0 {
        let (run, scratch) = ((cx.step, cx.seed), &mut cx.scratch.expr);
        let (sizes, axes) = (fused.space.shape.iter().copied(), 0..fused.space.shape.rank());
        let mut interpreter =
            Interpreter::new(&fused.expr, Loads::new(inputs), sizes, axes, run, Roots::InPlace, scratch);
        let buffers = &*cx.buffers;
        fast(
            #[inline(always)]
            || {
                for start in (0..points).step_by(interpreter.block) {
                    let len = interpreter.block.min(points - start);
                    interpreter.eval(start, len, buffers, None);
                    values[start..][..len].copy_from_slice(interpreter.root(0, start, len, buffers));
                }
            },
        );
    }
    values
}

/// Evaluates an expression at every point. All loads of a block precede its stores, so an output may alias an input
/// with the same view.
fn evaluate(shape: &Shape, expr: &Expr, loads: Loads<'_>, outputs: &[Operand], cx: &mut CpuContext<'_>) {
    let points = shape.elements();
    if points == 0 {
        return;
    }
    let buffers = &mut *cx.buffers;
    let (sizes, axes) = (shape.iter().copied(), 0..shape.rank());
    let (run, scratch) = ((cx.step, cx.seed), &mut cx.scratch.expr);
    let mut interpreter = Interpreter::new(expr, loads, sizes, axes, run, Roots::Copied, scratch);
    let output = &outputs[0];
    // The common case: one contiguous output, in a buffer that is not read. It is written without an intermediate copy.
    let first = Walk::new(&output.view).dense_from().filter(|_| {
        let written = output.buffer;
        interpreter.ends_in_root()
            && output.dtype != DType::F16
            && loads.iter().all(|source| source.buffer != written.index())
    });
    let mut taken = first.map(|_| std::mem::take(&mut buffers[output.buffer.index()]));
    fast(
        #[inline(always)]
        || {
            for start in (0..points).step_by(interpreter.block) {
                let len = interpreter.block.min(points - start);
                let target = taken.as_mut().zip(first).map(|(words, first)| &mut words[first + start..][..len]);
                let stored = target.is_some();
                interpreter.eval(start, len, buffers, target);
                if stored {
                    continue;
                }
                for (root, output) in outputs.iter().enumerate() {
                    let values = interpreter.root(root, start, len, &[]);
                    let words = &mut buffers[output.buffer.index()];
                    Walk::new(&output.view).store(words, output.dtype, start, values);
                }
            }
        },
    );
    if let Some(words) = taken {
        buffers[output.buffer.index()] = words;
    }
}
