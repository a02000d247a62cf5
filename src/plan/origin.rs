//! Operands of kernels that do not support offsets.
//!
//! A slice starts at an offset in its buffer, and a parameter or a gradient may have been moved into an arena. A kernel
//! that binds whole buffers gets a copy of such an input, and writes such an output to a new buffer, which is copied to
//! the destination.

use super::{Buffer, BufferKind, Lazy, Plan};
use crate::kernels::elementwise::ElementwiseKernel;
use crate::kernels::{BufferId, Launch, Operand};
use crate::shape::{TensorType, View};

/// Adds the copies.
pub(super) fn copy(plan: &mut Plan) {
    if !plan.launches.iter().any(|launch| launch.kernel.info().needs_origin()) {
        return;
    }
    let mut launches = Vec::with_capacity(plan.launches.len());
    for mut launch in std::mem::take(&mut plan.launches) {
        let mut after = Vec::new();
        if launch.kernel.info().needs_origin() {
            for input in launch.inputs.iter_mut().filter(|o| has_offset(o)) {
                let fresh = fresh(&mut plan.buffers, input);
                launches.push(copy_launch(std::mem::replace(input, fresh.clone()), fresh));
            }
            for output in launch.outputs.iter_mut().filter(|o| has_offset(o)) {
                let fresh = fresh(&mut plan.buffers, output);
                after.push(copy_launch(fresh.clone(), std::mem::replace(output, fresh)));
            }
        }
        launches.push(launch);
        launches.append(&mut after);
    }
    plan.launches = launches;
}

/// Whether the operand starts at an offset in its buffer.
fn has_offset(operand: &Operand) -> bool {
    operand.view.offset != 0 && operand.view.shape.elements() > 0
}

/// A dense operand in a new buffer, for the same elements.
fn fresh(buffers: &mut Vec<Buffer>, operand: &Operand) -> Operand {
    let ty = TensorType::new(&operand.view.shape, operand.dtype);
    buffers.push(Buffer { ty, kind: BufferKind::Scratch });
    let buffer = BufferId(buffers.len() as u32 - 1);
    Operand { buffer, dtype: operand.dtype, view: View::dense(operand.view.shape.clone()) }
}

fn copy_launch(from: Operand, to: Operand) -> Launch {
    let lazy = Lazy::load(from);
    let kernel = ElementwiseKernel { shape: lazy.shape.clone(), expr: lazy.expr };
    Launch::new(kernel, lazy.loads, vec![to])
}
