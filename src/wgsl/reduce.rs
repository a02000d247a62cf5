//! Reductions: `shaders/reduce.wgsl`.

use super::generate::{Piece, Region, generate};
use super::shader::REDUCE;
use super::{Dispatches, Shader, share};
use crate::error::Result;
use crate::kernels::Fused;
use crate::kernels::reduce::ReduceKernel;
use crate::ops::reduce::ReduceKind;

pub(super) fn dispatches(kernel: &ReduceKernel, cx: &mut Dispatches<'_>) -> Result<()> {
    let (launch, target) = (cx.launch, cx.target);
    let (outer, inner) = (kernel.outer.elements(), kernel.inner.elements());
    let lanes = share(outer, inner, target);
    let (loads, more) = kernel.inputs(launch);
    let value = Piece {
        region: Region::Value,
        outer: &kernel.outer,
        inner: &kernel.inner,
        expr: &kernel.expr,
        loads: loads.iter().map(Some).collect(),
        outputs: Vec::new(),
        natural: &[],
        quads: false,
        held: false,
    };
    let plain = Fused::result(&launch.outputs[0].view.shape, kernel.dtype);
    let store = Piece::epilogue(
        kernel.epilogue.as_ref().unwrap_or(&plain),
        Region::Reduced(kernel.kind),
        more,
        &launch.outputs,
    );
    // Where neighbouring outputs, not neighbouring terms, are neighbours in memory, neighbouring threads take those.
    let spread = loads.first().is_some_and(|operand| {
        let split = kernel.outer.rank();
        let last = |range: std::ops::Range<usize>| {
            range.rev().find(|&k| operand.view.shape[k] != 1).map(|k| operand.view.strides[k].abs())
        };
        let (kept, reduced) = (last(0..split), last(split..operand.view.shape.rank()));
        kept == Some(1) && reduced.is_some_and(|stride| stride > 1)
    });
    let kind = match kernel.kind {
        ReduceKind::Sum => 0,
        ReduceKind::Mean => 1,
        ReduceKind::Max => 2,
        ReduceKind::Min => 3,
        ReduceKind::ArgMax => 4,
        ReduceKind::ArgMin => 5,
    };
    cx.push(generate(launch.into(), &[value, store], |generated| {
        let shader = Shader::file("reduce", REDUCE)
            .constant("WORKGROUP", lanes.workgroup)
            .constant("LANES", lanes.lanes)
            .constant("SPREAD", u32::from(spread))
            .constant("KIND", kind)
            .constant("LONG", u32::from(inner / lanes.lanes as usize > 4096))
            .alias("T", kernel.dtype)
            .generated(generated);
        (shader, lanes.workgroups)
    }));
    Ok(())
}
