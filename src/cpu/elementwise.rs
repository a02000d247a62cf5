//! Elementwise expressions, in blocks.

use super::CpuContext;
use super::expr::Interpreter;
use super::strided::Walk;
use crate::ops::elementwise::ElementwiseKernel;

/// Runs the kernel. A block's loads all precede its stores, so an output may be an input's buffer seen through the
/// same view.
pub fn run(kernel: &ElementwiseKernel, cx: &mut CpuContext<'_>) {
    let points = kernel.shape.elements();
    if points == 0 {
        return;
    }
    let (launch, buffers) = (cx.launch, &mut *cx.buffers);
    let sizes = kernel.shape.iter().copied();
    let scratch = &mut cx.scratch.expr;
    let mut interpreter = Interpreter::new(&kernel.expr, &launch.inputs, sizes, (cx.step, cx.seed), scratch, buffers);
    for start in (0..points).step_by(interpreter.block) {
        let len = interpreter.block.min(points - start);
        interpreter.eval(start, len, buffers);
        for (root, output) in launch.outputs.iter().enumerate() {
            let words = &mut buffers[output.buffer.index()];
            Walk::new(&output.view).store(words, output.dtype, start, interpreter.root(root, len));
        }
    }
}
