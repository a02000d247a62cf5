//! Elementwise expressions: `shaders/elementwise.wgsl`.

use super::generate::{Piece, Region, generate};
use super::shader::ELEMENTWISE;
use super::{Apart, Dispatch, Dispatches, GpuTarget, Operands, Shader, Work, work};
use crate::error::Result;
use crate::kernels::Expr;
use crate::kernels::elementwise::ElementwiseKernel;
use crate::shape::Shape;

pub(super) fn dispatches(kernel: &ElementwiseKernel, cx: &mut Dispatches<'_>) -> Result<()> {
    let target = cx.target;
    let way = cx.choose(Apart::rule(kernel.shape.elements(), target), || Apart::all(target));
    cx.push(dispatch(&kernel.expr, &kernel.shape, cx.launch.into(), way, target));
    Ok(())
}

/// The dispatch that computes `expr` at each point of `shape`.
pub(super) fn dispatch(expr: &Expr, shape: &Shape, operands: Operands<'_>, way: Apart, target: &GpuTarget) -> Dispatch {
    let points = shape.elements();
    let piece = Piece {
        region: Region::Elementwise,
        outer: shape,
        inner: &[],
        expr,
        loads: operands.inputs.iter().map(Some).collect(),
        outputs: operands.outputs.iter().collect(),
        natural: &[],
        quads: way.quads,
        held: false,
        own: &[],
    };
    let instructions = work::instructions(expr);
    generate(operands, &[piece], |generated| {
        let wide = generated.parts[0].wide;
        let threads = if wide { points / 4 } else { points };
        let workgroup = way.workgroup(threads, target);
        let shader = Shader::file("elementwise", ELEMENTWISE).constant("WORKGROUP", workgroup).generated(generated);
        let each = 10 + if wide { 4 } else { 1 } * instructions;
        let work = Work::of(workgroup, work::waits(expr), 0, each).needed(points * instructions);
        (shader, (threads as u64).div_ceil(u64::from(workgroup)), work)
    })
}
