//! Scatter-add of much work: the positions are sorted by the row that they go to, and the slices of each row added in
//! order.
//!
//! O(positions + outputs) and without float atomics: the pairs (row, position) are sorted (`radix_sort.rs`), chunks
//! of the sorted pairs are summed up by runs of one row (`shaders/scatter_runs.wgsl`), and what runs over several
//! chunks is joined (`shaders/scatter_join.wgsl`).

use super::generate::{Piece, fuse};
use super::radix_sort::sort;
use super::{Dispatch, Dispatches, GpuTarget, Operands, Shader, Work, workgroup_size};
use crate::dtype::DType;
use crate::error::Result;
use crate::kernels::Operand;
use crate::kernels::index::IndexKernel;

/// Sorted pairs that a thread adds up.
const CHUNK: usize = 64;

/// Whether `length` positions and so many outputs are work enough to sort the positions. In one dispatch every output
/// looks at every position, which is quicker for few positions: a GPU does so for up to 512, a software driver, which
/// a dispatch costs more, for any number, and both only as long as that is less than 2^24 comparisons.
pub(super) fn sorts(length: usize, outputs: usize, target: &GpuTarget) -> bool {
    length > 16 && ((!target.software && length > 512) || length.saturating_mul(outputs) > 1 << 24)
}

pub(super) fn dispatches(kernel: &IndexKernel, cx: &mut Dispatches<'_>) -> Result<()> {
    let (launch, target) = (cx.launch, cx.target);
    let (values, out) = (&launch.inputs[0], &launch.outputs[0]);
    let (rows, length, inner) = (kernel.rows, kernel.count, kernel.inner);
    let outputs = out.view.shape.elements();
    let outer = kernel.outer;
    let chunks = length.div_ceil(CHUNK);
    // A dispatch of so many threads.
    let dispatch = |shader: Shader, threads: usize, params: &[usize], operands: Operands<'_>, waits: usize| {
        let workgroup = workgroup_size(threads, target);
        let params = params.iter().map(|&n| n as u32).collect();
        let workgroups = (threads as u64).div_ceil(workgroup.into());
        let work = Work::of(workgroup, waits, 0, 20 * waits);
        Dispatch::new(operands, shader.constant("WORKGROUP", workgroup), params, workgroups).work(work)
    };

    let pairs = cx.scratch([length, 2], DType::U32);
    let shader = Shader::file("scatter_pairs", include_str!("../../shaders/scatter_pairs.wgsl"))
        .alias("I", if kernel.signed { DType::I32 } else { DType::U32 });
    let making = dispatch(shader, length, &[length, rows, 0, 0], Operands::new(&[], std::slice::from_ref(&pairs)), 1);
    let index = Piece::prologue(&kernel.index, "index", &launch.inputs[1..]);
    cx.push(fuse(making, &["pairs"], launch.into(), &[index]));
    let sorted = sort(cx, pairs, rows);

    let starts = cx.scratch([rows + 1], DType::U32);
    let shader = Shader::file("scatter_starts", include_str!("../../shaders/scatter_starts.wgsl"));
    let operands = Operands::new(std::slice::from_ref(&sorted), std::slice::from_ref(&starts));
    cx.push(dispatch(shader, rows + 1, &[length, rows, 0, 0], operands, length.ilog2() as usize + 1));

    let partials = [0, 1].map(|_| cx.scratch([outer, chunks, inner], DType::F32));
    let [heads, tails] = &partials;
    let shader = Shader::file("scatter_runs", include_str!("../../shaders/scatter_runs.wgsl"))
        .constant("CHUNK", CHUNK as u32)
        .alias("T", values.dtype);
    let threads = outer * chunks * inner;
    let params = [threads, rows, length, inner, chunks, values.view.offset, out.view.offset, 0];
    let (read, written) = ([sorted, values.clone()], [heads.clone(), tails.clone(), out.clone()]);
    // Four pairs at a time, and what they say to add.
    cx.push(dispatch(shader, threads, &params, Operands::new(&read, &written), CHUNK / 2));

    let shader = Shader::file("scatter_join", include_str!("../../shaders/scatter_join.wgsl"))
        .constant("CHUNK", CHUNK as u32)
        .alias("T", out.dtype);
    let params = [outputs, rows, inner, chunks, out.view.offset, 0, 0, 0];
    let read: [Operand; 3] = [starts, heads.clone(), tails.clone()];
    // Positions spread evenly over the rows.
    let waits = if length < rows { 2 } else { 3 + chunks.div_ceil(rows.max(1)).div_ceil(8) };
    let joining = dispatch(shader, outputs, &params, Operands::new(&read, std::slice::from_ref(out)), waits);
    let instructions = 20 + 30 * (waits as u64).saturating_sub(3);
    cx.push(Dispatch { work: Work { instructions, ..joining.work }, ..joining });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn much_work_is_sorted() {
        let (gpu, software) = (GpuTarget::default(), GpuTarget { software: true, ..GpuTarget::default() });
        assert!(sorts(65_536, 64_000, &gpu) && sorts(65_536, 64_000, &software));
        // Few positions: an embedding of many rows too.
        assert!(!sorts(512, 32_768, &gpu) && !sorts(16, usize::MAX, &gpu) && !sorts(0, 5, &gpu));
        assert!(sorts(64, 50_000 * 256, &gpu) && sorts(513, 1, &gpu) && !sorts(513, 1, &software));
    }
}
