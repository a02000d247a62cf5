//! Elementwise expressions: `shaders/elementwise.wgsl`.

use super::generate::{Piece, Region, generate};
use super::shader::ELEMENTWISE;
use super::{Dispatches, Shader, workgroup_size};
use crate::error::Result;
use crate::kernels::elementwise::ElementwiseKernel;

pub(super) fn dispatches(kernel: &ElementwiseKernel, cx: &mut Dispatches<'_>) -> Result<()> {
    let (launch, target) = (cx.launch, cx.target);
    let points = kernel.shape.elements();
    let piece = Piece {
        region: Region::Elementwise,
        outer: &kernel.shape,
        inner: &[],
        expr: &kernel.expr,
        loads: launch.inputs.iter().map(Some).collect(),
        outputs: launch.outputs.iter().collect(),
        natural: &[],
        // Where there are few points, a GPU rather has more threads.
        quads: target.software || points >= 1 << 16,
        held: false,
        own: &[],
    };
    cx.push(generate(launch.into(), &[piece], |generated| {
        let threads = if generated.parts[0].wide { points / 4 } else { points };
        let workgroup = workgroup_size(threads, target);
        let shader = Shader::file("elementwise", ELEMENTWISE).constant("WORKGROUP", workgroup).generated(generated);
        (shader, (threads as u64).div_ceil(u64::from(workgroup)))
    }));
    Ok(())
}
