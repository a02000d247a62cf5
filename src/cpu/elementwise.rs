//! Elementwise expressions, in blocks.

use super::CpuContext;
use super::expr::{Interpreter, Roots};
use super::simd::fast;
use super::strided::Walk;
use crate::dtype::DType;
use crate::ops::elementwise::ElementwiseKernel;

/// Runs the kernel. A block's loads all precede its stores, so an output may be an input's buffer seen through the
/// same view.
pub fn run(kernel: &ElementwiseKernel, cx: &mut CpuContext<'_>) {
    let points = kernel.shape.elements();
    if points == 0 {
        return;
    }
    let (launch, buffers) = (cx.launch, &mut *cx.buffers);
    let (sizes, axes) = (kernel.shape.iter().copied(), 0..kernel.shape.rank());
    let (run, scratch) = ((cx.step, cx.seed), &mut cx.scratch.expr);
    let mut interpreter = Interpreter::new(&kernel.expr, &launch.inputs, sizes, axes, run, Roots::Copied, scratch);
    let output = &launch.outputs[0];
    // The usual case: one output, dense, in a buffer that is not read.
    let first = Walk::new(&output.view).dense_from().filter(|_| {
        let written = output.buffer;
        interpreter.ends_in_root()
            && output.dtype != DType::F16
            && launch.inputs.iter().all(|input| input.buffer != written)
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
                for (root, output) in launch.outputs.iter().enumerate() {
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
