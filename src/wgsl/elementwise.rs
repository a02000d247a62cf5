//! Elementwise expressions: `shaders/elementwise.wgsl`.

use super::generate::{Piece, Region, generate};
use super::shader::ELEMENTWISE;
use super::{Dispatch, Dispatches, GpuTarget, Operands, Shader, Work, work, workgroup_size};
use crate::error::Result;
use crate::kernels::Expr;
use crate::kernels::elementwise::ElementwiseKernel;
use crate::shape::Shape;

pub(super) fn dispatches(kernel: &ElementwiseKernel, cx: &mut Dispatches<'_>) -> Result<()> {
    cx.push(dispatch(&kernel.expr, &kernel.shape, cx.launch.into(), cx.target));
    Ok(())
}

/// The dispatch that computes `expr` at each point of `shape`.
pub(super) fn dispatch(expr: &Expr, shape: &Shape, operands: Operands<'_>, target: &GpuTarget) -> Dispatch {
    let points = shape.elements();
    let piece = Piece {
        region: Region::Elementwise,
        outer: shape,
        inner: &[],
        expr,
        loads: operands.inputs.iter().map(Some).collect(),
        outputs: operands.outputs.iter().collect(),
        natural: &[],
        // Where there are few points, a GPU rather has more threads.
        quads: target.software || points >= 1 << 16,
        held: false,
        own: &[],
    };
    let instructions = work::instructions(expr);
    generate(operands, &[piece], |generated| {
        let wide = generated.parts[0].wide;
        let threads = if wide { points / 4 } else { points };
        let workgroup = workgroup_size(threads, target);
        let shader = Shader::file("elementwise", ELEMENTWISE).constant("WORKGROUP", workgroup).generated(generated);
        let each = 10 + if wide { 4 } else { 1 } * instructions;
        let work = Work::of(workgroup, work::waits(expr), 0, each).needed(points * instructions);
        (shader, (threads as u64).div_ceil(u64::from(workgroup)), work)
    })
}
