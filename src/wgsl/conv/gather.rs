//! Convolutions by threads that gather the elements of X for themselves: `shaders/conv.wgsl` and the files joined to it.

use super::gather_tile::GatherTile;
use super::problem::Problem;
use crate::kernels::KernelInfo;
use crate::kernels::conv::{ConvKernel, ConvPass};
use crate::wgsl::variant::Split;
use crate::wgsl::{Dispatch, GpuTarget, Operands, Reads, Shader};

/// The dispatch, and what its shader calls the buffers.
pub(super) fn dispatch(
    kernel: &ConvKernel,
    problem: &Problem,
    operands: Operands<'_>,
    way: Split<GatherTile>,
    target: &GpuTarget,
) -> (Dispatch, Vec<&'static str>) {
    let Split { way: tile, parts, part: part_k } = way;
    let [columns, terms] = problem.most();
    let columns = columns + usize::from(kernel.row_sums);
    let (a, b) = (&operands.inputs[0], &operands.inputs[1]);
    let reads = [Reads::choose(["x", "x_more"], a, target), Reads::choose(["w", "w_more"], b, target)];
    // Where `w` is a uniform, lanes fetch it for themselves.
    let direct = reads[1].uniform() && tile.split == 1;
    let bk = match terms {
        ..=4 => 4,
        5..=8 => 8,
        _ if direct => 8,
        _ if !tile.columns.is_multiple_of(16) => 8,
        _ => 16,
    };
    let depth = bk * tile.split;
    let tiles = [problem.m.div_ceil(tile.rows), columns.div_ceil(tile.columns * tile.per)];
    let gather = match kernel.pass {
        ConvPass::InputGrad => 2,
        _ => u32::from(problem.padding != [0, 0]),
    };
    let (w, x, [_, ky, kx]) = (&problem.w, &problem.x, problem.k.0);
    let outputs = operands.outputs;
    let sums_offset = outputs.get(1).map_or(0, |sums| sums.view.offset);
    let params: Vec<usize> = [problem.m, problem.columns(), problem.terms(), problem.groups, tiles[0], tiles[1]]
        .into_iter()
        .chain([b.view.offset - reads[1].first, w[0], w[1], w[2], w[3], w[4]])
        .chain([a.view.offset - reads[0].first, x[0], x[1], x[2], problem.plane[0], problem.plane[1]])
        .chain([outputs[0].view.offset, problem.out[0], problem.out[1], problem.out[2]])
        .chain(problem.padding)
        .chain([ky, kx, problem.k.1[0], problem.k.1[1]])
        .chain([problem.j.0[1], problem.j.0[2], problem.j.1[0], problem.j.1[1]])
        .chain([depth / (kx * ky), depth / kx % ky, depth % kx])
        .chain(problem.periods)
        .chain([sums_offset, parts, part_k])
        .collect();
    let shader = Shader::file("conv", include_str!("../../../shaders/conv.wgsl"))
        .join("conv_gather", include_str!("../../../shaders/conv_gather.wgsl"))
        .join("conv_classes", super::CLASSES)
        .join("conv_sums", include_str!("../../../shaders/conv_sums.wgsl"))
        .join("conv_direct", include_str!("../../../shaders/conv_direct.wgsl"))
        .join("conv_store", include_str!("../../../shaders/conv_store.wgsl"))
        .constant("COLUMNS", tile.columns as u32)
        .constant("PER", tile.per as u32)
        .constant("SPLIT", tile.split as u32)
        .constant("ROWS", tile.rows as u32)
        .constant("BK", bk as u32)
        .constant("GATHER", gather)
        .constant("SY", problem.classes[0] as u32)
        .constant("SX", problem.classes[1] as u32)
        .constant("DIRECT", direct.into())
        .broadcast(target.broadcasts() && tile.split == 1)
        .row_sums(kernel.row_sums)
        .alias("T", a.dtype)
        .alias("S", outputs[outputs.len() - 1].dtype);
    let workgroups = (tile.workgroups([problem.matmuls(), problem.m, columns]) * parts) as u64;
    let params = params.into_iter().map(|word| word as u32).collect();
    let work = tile.work(terms.div_ceil(parts)).needed(kernel.flops() as usize / 2);
    let (dispatch, named) = Dispatch::reading(operands, shader, params, workgroups, &reads);
    (dispatch.work(work), named)
}
