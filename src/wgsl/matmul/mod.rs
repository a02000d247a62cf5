//! Matmuls: `shaders/matmul.wgsl`, and `shaders/matmul_lanes.wgsl` on software drivers.
//!
//! Where the tiles of the output are too few to fill a GPU and k is long, k is split over workgroups: a first
//! dispatch stores a partial result for each part of k, and others add these and apply the epilogue.

mod shared_tile;
mod tile;

use super::generate::{Stores, store};
use super::reduce::add_partials;
use super::{Dispatch, Dispatches, GpuTarget, Operands, Reads, Shader, Work};
use crate::dtype::DType;
use crate::error::Result;
use crate::kernels::matmul::MatmulKernel;
use crate::shape::View;
pub(super) use shared_tile::{Also, SharedTile};
use tile::{Tile, Variant};

/// Whether all vectors of four along `axis` are aligned, where that axis has `length` elements.
fn aligned(view: &View, axis: usize, length: usize) -> bool {
    let others = view.strides.iter().enumerate().filter(|&(k, _)| k != axis);
    view.strides[axis] == 1
        && length.is_multiple_of(4)
        && view.offset.is_multiple_of(4)
        && others.into_iter().all(|(k, stride)| stride % 4 == 0 || view.shape[k] == 1)
}

/// The dispatch of a matmul, and what its shader calls the buffers.
fn dispatch(
    kernel: &MatmulKernel,
    operands: Operands<'_>,
    variant: Variant,
    target: &GpuTarget,
) -> (Dispatch, Vec<&'static str>) {
    let Variant { way: tile, parts, part: part_k } = variant;
    let (a, b, c) = (&operands.inputs[0], &operands.inputs[1], &operands.outputs[0]);
    let (rank, batches) = (kernel.batch.rank(), kernel.batch.elements());
    let reads = [(["a", "a_more"], a), (["b", "b_more"], b)].map(|(names, operand)| match tile {
        Tile::Lanes { .. } => Reads::choose(names, operand, target),
        Tile::Shared(_) => Reads::storage(names),
    });
    let tiles = tile.tiles(kernel.m, kernel.n);
    // Sizes and strides of the leading axes, outermost first, in four slots.
    let batch = |of: &dyn Fn(usize) -> u32, missing: u32| -> Vec<u32> {
        (0..4).map(|k| if k + rank < 4 { missing } else { of(k + rank - 4) }).collect()
    };
    // Strides wrap around in the shader, so negative ones are what their bits say.
    let stride = |view: &View, axis: usize| view.strides[axis] as u32;
    let sums_offset = operands.outputs.get(1).map_or(0, |sums| sums.view.offset as u32);
    let mut params: Vec<u32> =
        [kernel.m, kernel.n, kernel.k, tiles[0], tiles[1], batches, a.view.offset - reads[0].first]
            .map(|size| size as u32)
            .into_iter()
            .chain([stride(&a.view, rank), stride(&a.view, rank + 1), (b.view.offset - reads[1].first) as u32])
            .chain([stride(&b.view, rank), stride(&b.view, rank + 1), c.view.offset as u32, sums_offset])
            .chain([parts as u32, part_k as u32])
            .collect();
    params.extend(batch(&|axis| kernel.batch[axis] as u32, 1));
    params.extend(batch(&|axis| stride(&a.view, axis), 0));
    params.extend(batch(&|axis| stride(&b.view, axis), 0));
    // Which axis of a side's last two, if any, is one of aligned vectors: 1 for the last, 2 for the other.
    let vectors = |view: &View, sizes: [usize; 2]| match () {
        () if aligned(view, rank + 1, sizes[1]) => 1,
        () if aligned(view, rank, sizes[0]) => 2,
        () => 0,
    };
    let (mut a_vector, b_vector) = (vectors(&a.view, [kernel.m, kernel.k]), vectors(&b.view, [kernel.k, kernel.n]));
    let shader = match tile {
        Tile::Shared(tile) => tile
            .shader()
            .join("matmul_views", include_str!("../../../shaders/matmul_views.wgsl"))
            .alias("S", operands.outputs.last().map_or(a.dtype, |output| output.dtype))
            .constant("A_BY_K", u32::from(a.view.strides[rank + 1].abs() == 1))
            .constant("B_BY_K", u32::from(b.view.strides[rank].abs() == 1 && b.view.strides[rank + 1].abs() != 1)),
        Tile::Lanes { rows, threads, quads } => {
            // It has no use for vectors of rows.
            a_vector %= 2;
            Shader::file("matmul_lanes", include_str!("../../../shaders/matmul_lanes.wgsl"))
                .constant("ROWS", rows)
                .constant("THREADS", threads)
                .constant("QUADS", quads)
                .broadcast(true)
        }
    };
    let shader = shader.constant("A_VECTOR", a_vector).constant("B_VECTOR", b_vector).row_sums(kernel.row_sums);
    let shader = if a_vector > 0 { shader.vector("A", a.dtype) } else { shader.alias("A", a.dtype) };
    let shader = if b_vector > 0 { shader.vector("B", b.dtype) } else { shader.alias("B", b.dtype) };
    let workgroups = (tiles[0] * tiles[1] * batches * parts) as u64;
    let work = match tile {
        Tile::Shared(tile) => tile.work(part_k, 1),
        Tile::Lanes { rows, threads, quads } => {
            Work::of(threads, part_k.div_ceil(4), 0, part_k * (rows * quads) as usize * 4)
        }
    };
    let (dispatch, named) = Dispatch::reading(operands, shader.alias("T", a.dtype), params, workgroups, &reads);
    (dispatch.work(work.needed(batches * kernel.m * kernel.n * kernel.k)), named)
}

pub(super) fn dispatches(kernel: &MatmulKernel, cx: &mut Dispatches<'_>) -> Result<()> {
    let (launch, target) = (cx.launch, cx.target);
    let sizes = [kernel.batch.elements(), kernel.m, kernel.n, kernel.k];
    let variant = cx.choose(tile::rule(sizes, kernel.row_sums, target), || tile::all(sizes, target));
    if variant.parts > 1 {
        split_k(kernel, variant, cx);
        return Ok(());
    }
    let own = Operands::from(launch).first(2, 1 + usize::from(kernel.row_sums));
    let (dispatch, named) = dispatch(kernel, own, variant, target);
    let axes = [(kernel.batch.elements(), 0), (kernel.m, 1), (kernel.n, 2)];
    let stores = Stores { axes: &axes, quads: Some(launch.inputs[0].dtype), held: false };
    cx.push(store(dispatch, &named, launch.into(), 2, kernel.epilogue.as_ref(), stores));
    Ok(())
}

/// Adds the dispatches of a matmul whose k is split: one of all parts, and one that adds them, or two with row sums.
fn split_k(kernel: &MatmulKernel, variant: Variant, cx: &mut Dispatches<'_>) {
    let (launch, target, parts) = (cx.launch, cx.target, variant.parts);
    let rows = kernel.batch.elements() * kernel.m;
    let mut partials = vec![cx.scratch([parts, rows * kernel.n], DType::F32)];
    if kernel.row_sums {
        partials.push(cx.scratch([parts, rows], DType::F32));
    }
    let operands = Operands::new(&launch.inputs[..2], &partials);
    let (dispatch, named) = dispatch(kernel, operands, variant, target);
    let axes = [(parts * kernel.batch.elements(), 0), (kernel.m, 1), (kernel.n, 2)];
    let stores = Stores { axes: &axes, quads: Some(DType::F32), held: false };
    cx.push(store(dispatch, &named, operands, 2, None, stores));
    add_partials(cx, &partials, kernel.epilogue.as_ref());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wgsl::dispatch::launched;

    #[test]
    fn partial_results_and_row_sums_are_added_once_each() {
        let (gpu, software) = (&GpuTarget::default(), &GpuTarget { software: true, ..GpuTarget::default() });
        // The gradients of a linear layer's weight, and of its bias.
        let of = |bias: bool, target| {
            launched(target, |g| {
                let [seed, x] = ["seed", "x"].map(|name| g.input(name, [16_384, 64], DType::F32));
                let weight = seed.t().matmul(x);
                if bias { vec![weight, seed.sum(0)] } else { vec![weight] }
            })
        };
        let (workgroups, scratch) = of(false, gpu);
        assert_eq!((workgroups.len(), workgroups[0]), (2, 128 * 4));
        assert_eq!(scratch, 128 * 64 * 64 * 4);
        let (workgroups, scratch) = of(true, gpu);
        assert_eq!((workgroups.len(), workgroups[0]), (3, 128));
        assert_eq!(scratch % (64 * 65 * 4), 0);
        assert_eq!(of(true, software).0.len(), 1);
    }
}
