//! Index-select, and scatter-add of little work: `shaders/index_select.wgsl` and `shaders/scatter_add.wgsl`.

use super::generate::{Piece, fuse};
use super::{Apart, Dispatch, Dispatches, Operands, Shader, Work, work};
use crate::dtype::DType;
use crate::error::Result;
use crate::kernels::index::IndexKernel;

pub(super) fn dispatches(kernel: &IndexKernel, cx: &mut Dispatches<'_>) -> Result<()> {
    let (launch, target) = (cx.launch, cx.target);
    let (values, out) = (&launch.inputs[0], &launch.outputs[0]);
    if kernel.scatter && super::scatter_add::sorts(kernel.count, out.view.shape.elements(), target) {
        return super::scatter_add::dispatches(kernel, cx);
    }
    let offsets = [values.view.offset, out.view.offset];
    // Where slices are made of aligned vectors of four, those are what is copied.
    let quads = !kernel.scatter && [kernel.inner, offsets[0], offsets[1]].iter().all(|n| n.is_multiple_of(4));
    let unit = if quads { 4 } else { 1 };
    let (elements, offsets) = (out.view.shape.elements() / unit, offsets.map(|offset| offset / unit));
    let sizes = [elements, kernel.rows, kernel.count, kernel.inner / unit];
    let shader = if kernel.scatter {
        Shader::file("scatter_add", include_str!("../../shaders/scatter_add.wgsl"))
    } else {
        Shader::file("index_select", include_str!("../../shaders/index_select.wgsl"))
    };
    let way = cx.choose(Apart::SINGLE, || Apart::single(target));
    let workgroup = way.workgroup(elements, target);
    let shader = shader.constant("WORKGROUP", workgroup);
    let shader = if quads { shader.vector("T", values.dtype) } else { shader.alias("T", values.dtype) };
    let shader = shader.alias("I", if kernel.signed { DType::I32 } else { DType::U32 });
    let params = sizes.into_iter().chain(offsets).map(|size| size as u32).collect();
    let workgroups = (elements as u64).div_ceil(workgroup.into());
    let work = if kernel.scatter {
        Work::of(workgroup, kernel.count.div_ceil(4), 0, 12 * kernel.count)
    } else {
        Work::of(workgroup, 1 + work::waits(&kernel.index.expr), 0, 20)
    };
    let dispatch = Dispatch::new(Operands::from(launch).first(1, 1), shader, params, workgroups).work(work);
    cx.push(fuse(
        dispatch,
        &["values", "out"],
        launch.into(),
        &[Piece::prologue(&kernel.index, "index", &launch.inputs[1..])],
    ));
    Ok(())
}
