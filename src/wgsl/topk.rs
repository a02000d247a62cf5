//! Indices of the largest or smallest elements: `shaders/topk.wgsl` goes through a row once for each, and
//! `shaders/topk_select.wgsl` a few times for all of them.

use super::{Dispatch, Dispatches, GpuTarget, Operands, Shader, Work, share, split};
use crate::dtype::DType;
use crate::error::Result;
use crate::kernels::Operand;
use crate::kernels::topk::TopKKernel;

/// `fn key` of the shaders for integers.
const UNSIGNED: &str = "fn key(value: T) -> u32 {\n    return u32(value);\n}";
const SIGNED: &str = "fn key(value: T) -> u32 {\n    return bitcast<u32>(i32(value)) ^ 0x80000000u;\n}";

/// The most elements that are selected: as many as are sorted in workgroup memory.
const MOST: usize = 1024;
/// Elements found one by one: as many passes as a selection makes.
const FEW: usize = 8;
/// Elements of the longest part of a row, which a thread's loops must get through (see the shader).
const LONGEST: usize = 1 << 22;

/// How a reading of candidates and the storing of them look in `topk_select.wgsl`.
const CANDIDATE: &str = "@group(0) @binding(1) var<storage, read> candidates: array<vec2<u32>>;
fn element(row: u32, j: u32) -> vec2<u32> {
    return candidates[row * p.columns + j];
}";
const STORE_CANDIDATE: &str = "@group(0) @binding(2) var<storage, read_write> kept: array<vec2<u32>>;
fn store(i: u32, found: vec2<u32>) {
    kept[i] = found;
}";

pub(super) fn dispatches(kernel: &TopKKernel, cx: &mut Dispatches<'_>) -> Result<()> {
    let (x, y) = (&cx.launch.inputs[0], &cx.launch.outputs[0]);
    let (rows, columns, k) = (kernel.rows, kernel.columns, kernel.k);
    if k <= FEW || k > MOST || cx.target.max_invocations < 256 {
        one_by_one(kernel, cx);
        return Ok(());
    }
    let parts = parts(rows, columns, k, cx.target);
    let length = columns.div_ceil(parts);
    let parts = columns.div_ceil(length);
    if parts == 1 {
        select(kernel, cx, x, y, [columns, 1, columns]);
        return Ok(());
    }
    let candidates = cx.scratch([rows, parts, k, 2], DType::U32);
    select(kernel, cx, x, &candidates, [columns, parts, length]);
    select(kernel, cx, &candidates, y, [parts * k, 1, parts * k]);
    Ok(())
}

/// Parts of a row for different workgroups: candidates should be few beside the elements that they come from.
fn parts(rows: usize, columns: usize, k: usize, target: &GpuTarget) -> usize {
    split(rows as u64, columns, 2048.max(8 * k), target).max(columns.div_ceil(LONGEST))
}

/// Adds a dispatch of a row, or a part of one, a workgroup. Candidates are the one operand of four axes.
fn select(kernel: &TopKKernel, cx: &mut Dispatches<'_>, x: &Operand, y: &Operand, sizes: [usize; 3]) {
    let [columns, parts, length] = sizes;
    let shader = Shader::file("topk_select", include_str!("../../shaders/topk_select.wgsl"))
        .constant("MOST", kernel.k.next_power_of_two().max(2) as u32)
        .constant("LARGEST", kernel.largest.into());
    let shader = if parts > 1 { shader.replace("store", STORE_CANDIDATE) } else { shader };
    let first = x.buffer == cx.launch.inputs[0].buffer;
    let shader = if first { keyed(shader, x.dtype) } else { shader.replace("element", CANDIDATE) };
    let params = [kernel.rows, columns, kernel.k, parts, length, x.view.offset, y.view.offset, 0].map(|n| n as u32);
    let operands = Operands::new(std::slice::from_ref(x), std::slice::from_ref(y));
    // Eight rounds of counting, each a scan over the threads; then a sort of the candidates.
    let (reads, sort) = (length.div_ceil(4 * 256), kernel.k.next_power_of_two().ilog2() as usize);
    let barriers = 8 * 20 + sort * (sort + 1) / 2;
    let work = Work::of(256, 9 * reads, barriers, 9 * reads * 40 + 20 * barriers);
    cx.push(Dispatch::new(operands, shader, params.to_vec(), (kernel.rows * parts) as u64).work(work));
}

/// A shader with the keys of a dtype.
fn keyed(shader: Shader, dtype: DType) -> Shader {
    let shader = shader.alias("T", dtype);
    match dtype {
        DType::F32 | DType::F16 => shader,
        DType::U32 => shader.replace("key", UNSIGNED),
        DType::I32 => shader.replace("key", SIGNED),
    }
}

/// Adds the dispatch that goes through the rows once for each element.
fn one_by_one(kernel: &TopKKernel, cx: &mut Dispatches<'_>) {
    let (launch, target) = (cx.launch, cx.target);
    let (x, y) = (&launch.inputs[0], &launch.outputs[0]);
    let lanes = share(kernel.rows, kernel.columns, target);
    let shader = Shader::file("topk", include_str!("../../shaders/topk.wgsl"))
        .constant("WORKGROUP", lanes.workgroup)
        .constant("LANES", lanes.lanes)
        .constant("LARGEST", kernel.largest.into());
    let params = [kernel.rows, kernel.columns, kernel.k, x.view.offset, y.view.offset, 0, 0, 0].map(|n| n as u32);
    let reads = kernel.columns.div_ceil(4 * lanes.lanes as usize);
    let barriers = lanes.lanes.ilog2() as usize + 2;
    let each = kernel.k * (reads * 40 + 12 * barriers);
    let work = Work::of(lanes.workgroup, kernel.k * reads, kernel.k * barriers, each);
    let dispatch = Dispatch::new(launch.into(), keyed(shader, x.dtype), params.to_vec(), lanes.workgroups);
    cx.push(dispatch.work(work));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_long_rows_are_cut() {
        let (gpu, software) = (GpuTarget::default(), GpuTarget { software: true, ..GpuTarget::default() });
        assert_eq!(
            [parts(1, 1 << 20, 100, &gpu), parts(1, 1 << 20, 1000, &gpu), parts(200, 1 << 20, 100, &gpu)],
            [512, 132, 1]
        );
        assert_eq!([parts(1, 1 << 20, 100, &software), parts(1, (1 << 22) + 1, 100, &software)], [1, 2]);
    }
}
