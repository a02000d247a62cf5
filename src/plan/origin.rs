//! Operands for kernels that know of no offsets.
//!
//! A slice starts somewhere in its buffer, and a parameter or a gradient may have been moved into an arena. A kernel that
//! takes whole buffers gets a copy there, and writes to a buffer that is copied to where the result belongs.

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
            for input in launch.inputs.iter_mut().filter(|o| is_inside(o)) {
                let fresh = fresh(&mut plan.buffers, input);
                launches.push(between(std::mem::replace(input, fresh.clone()), fresh));
            }
            for output in launch.outputs.iter_mut().filter(|o| is_inside(o)) {
                let fresh = fresh(&mut plan.buffers, output);
                after.push(between(fresh.clone(), std::mem::replace(output, fresh)));
            }
        }
        launches.push(launch);
        launches.append(&mut after);
    }
    plan.launches = launches;
}

/// Whether it does not start where its buffer does.
fn is_inside(operand: &Operand) -> bool {
    operand.view.offset != 0 && operand.view.shape.elements() > 0
}

/// A new buffer for as much as the operand holds.
fn fresh(buffers: &mut Vec<Buffer>, operand: &Operand) -> Operand {
    let ty = TensorType::new(&operand.view.shape, operand.dtype);
    buffers.push(Buffer { ty, kind: BufferKind::Scratch });
    let buffer = BufferId(buffers.len() as u32 - 1);
    Operand { buffer, dtype: operand.dtype, view: View::dense(operand.view.shape.clone()) }
}

fn between(from: Operand, to: Operand) -> Launch {
    let lazy = Lazy::load(from);
    let kernel = ElementwiseKernel { shape: lazy.shape.clone(), expr: lazy.expr };
    Launch::new(kernel, lazy.loads, vec![to])
}
