//! Matmuls: `shaders/matmul.wgsl`, and `shaders/matmul_lanes.wgsl` on software drivers.
//!
//! Where the tiles of the output are too few to fill a GPU and k is long, k is split over workgroups: a first
//! dispatch stores a partial result for each part of k, and others add these and apply the epilogue.

use super::generate::{Stores, store};
use super::reduce::add_partials;
use super::{Dispatch, Dispatches, GpuTarget, Operands, Reads, Shader, split};
use crate::dtype::DType;
use crate::error::Result;
use crate::kernels::matmul::MatmulKernel;
use crate::shape::View;

/// The tile of the output that a workgroup computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tile {
    /// `matmul.wgsl`: `4·r·ty` rows by `4·r·tx` columns, through workgroup memory.
    Shared {
        /// Threads along columns.
        tx: u32,
        /// Threads along rows.
        ty: u32,
        /// A thread's vectors of four along rows, and along columns.
        r: u32,
        /// k a part reads at a time.
        bk: u32,
        /// Parts that share the k.
        split: u32,
    },
    /// `matmul_lanes.wgsl`: `rows` rows by `4·quads·threads` columns, values passed within subgroups.
    Lanes {
        /// Rows.
        rows: u32,
        /// Threads.
        threads: u32,
        /// A thread's vectors of four along columns.
        quads: u32,
    },
}

/// Workgroups that fill a device.
const FULL: usize = 96;
/// k of the shortest part: what a part reads should be more than the partial result it stores.
const SHORTEST: usize = 256;

impl Tile {
    /// The tile for a shape. The larger a tile, the less often an element is read; the smaller, the more of a device is
    /// busy; where even small ones leave it idle, threads share the k.
    fn choose([batches, m, n, k]: [usize; 4], target: &GpuTarget) -> Tile {
        if target.broadcasts() {
            // As many rows as there are, up to a most, in tiles of equal size. A shorter shader compiles faster for
            // narrow matmuls, and more threads share the work.
            let most = if n <= 256 { 16 } else { 32 };
            let rows = m.div_ceil(m.div_ceil(most)).next_multiple_of(8) as u32;
            // Few columns: one subgroup a workgroup, so that one pipeline serves them all.
            let threads = if n <= 256 { 8 } else { 32 };
            let wide = n.next_multiple_of(256) == n.next_multiple_of(128);
            return Tile::Lanes { rows, threads, quads: if wide { 2 } else { 1 } };
        }
        let tiles = |rows: usize, columns: usize| batches * m.div_ceil(rows) * n.div_ceil(columns);
        let tile = |tx, ty, r, bk, split| Tile::Shared { tx, ty, r, bk, split };
        if target.max_invocations < 256 {
            return tile(8, 8, 1, 32, 1);
        }
        match (m, n) {
            // A matrix times a vector, or a few of them.
            (_, ..=4) => tile(1, 16, 1, 4, 8),
            (..=4, _) => tile(16, 1, 1, 4, 8),
            (..=16, ..=16) if k >= 128 => tile(4, 4, 1, 8, 16),
            (..=16, ..=16) => tile(4, 4, 1, 16, 1),
            // Tall or wide.
            (_, ..=16) if k >= 128 && tiles(64, 16) < FULL => tile(4, 16, 1, 8, 4),
            (_, ..=16) => tile(4, 16, 1, 16, 1),
            (..=16, _) if k >= 128 && tiles(16, 64) < FULL => tile(16, 4, 1, 8, 4),
            (..=16, _) => tile(16, 4, 1, 16, 1),
            _ if tiles(128, 128) >= FULL => tile(16, 16, 2, 16, 1),
            _ if tiles(64, 64) >= FULL => tile(16, 16, 1, 32, 1),
            // Parts of k fill the device.
            _ if tiles(64, 64) * split(tiles(64, 64) as u64, k, SHORTEST, target) >= FULL => tile(16, 16, 1, 32, 1),
            _ if k >= 256 && tiles(32, 32) < FULL => tile(8, 8, 1, 8, 4),
            _ => tile(8, 8, 1, 32, 1),
        }
    }

    /// Parts of k for different workgroups, and the k of each but the last.
    fn parts([batches, m, n, k]: [usize; 4], tile: Tile, target: &GpuTarget) -> [usize; 2] {
        let Tile::Shared { bk, split: shared, .. } = tile else { return [1, k] };
        let [rows, columns] = tile.size();
        let workgroups = (batches * m.div_ceil(rows) * n.div_ceil(columns)) as u64;
        let parts = split(workgroups, k, SHORTEST, target);
        if parts == 1 {
            return [1, k];
        }
        let part = k.div_ceil(parts).next_multiple_of((bk * shared) as usize);
        [k.div_ceil(part), part]
    }

    /// Its rows and columns.
    fn size(self) -> [usize; 2] {
        match self {
            Tile::Shared { tx, ty, r, .. } => [4 * r * ty, 4 * r * tx].map(|size| size as usize),
            Tile::Lanes { rows, threads, quads } => [rows as usize, 4 * (quads * threads) as usize],
        }
    }
}

/// Whether all vectors of four along `axis` are aligned, where that axis has `length` elements.
fn aligned(view: &View, axis: usize, length: usize) -> bool {
    let others = view.strides.iter().enumerate().filter(|&(k, _)| k != axis);
    view.strides[axis] == 1
        && length.is_multiple_of(4)
        && view.offset.is_multiple_of(4)
        && others.into_iter().all(|(k, stride)| stride % 4 == 0 || view.shape[k] == 1)
}

/// The dispatch of a matmul in so many parts of so many k, and what its shader calls the buffers.
fn dispatch(
    kernel: &MatmulKernel,
    operands: Operands<'_>,
    tile: Tile,
    [parts, part_k]: [usize; 2],
    target: &GpuTarget,
) -> (Dispatch, Vec<&'static str>) {
    let (a, b, c) = (&operands.inputs[0], &operands.inputs[1], &operands.outputs[0]);
    let (rank, batches) = (kernel.batch.rank(), kernel.batch.elements());
    let reads = [Reads::choose(["a", "a_more"], a, target), Reads::choose(["b", "b_more"], b, target)];
    let [rows, columns] = tile.size();
    let tiles = [kernel.m.div_ceil(rows), kernel.n.div_ceil(columns)];
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
        Tile::Shared { tx, ty, r, bk, split } => Shader::file("matmul", include_str!("../../shaders/matmul.wgsl"))
            .constant("TX", tx)
            .constant("TY", ty)
            .constant("R", r)
            .constant("BK", bk)
            .constant("SPLIT", split)
            .alias("S", operands.outputs.last().map_or(a.dtype, |output| output.dtype))
            .constant("A_BY_K", u32::from(a.view.strides[rank + 1].abs() == 1))
            .constant("B_BY_K", u32::from(b.view.strides[rank].abs() == 1 && b.view.strides[rank + 1].abs() != 1)),
        Tile::Lanes { rows, threads, quads } => {
            // It has no use for vectors of rows.
            a_vector %= 2;
            Shader::file("matmul_lanes", include_str!("../../shaders/matmul_lanes.wgsl"))
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
    Dispatch::reading(operands, shader.alias("T", a.dtype), params, workgroups, &reads)
}

pub(super) fn dispatches(kernel: &MatmulKernel, cx: &mut Dispatches<'_>) -> Result<()> {
    let (launch, target) = (cx.launch, cx.target);
    let sizes = [kernel.batch.elements(), kernel.m, kernel.n, kernel.k];
    let tile = Tile::choose(sizes, target);
    let [parts, part_k] = Tile::parts(sizes, tile, target);
    if parts > 1 {
        split_k(kernel, tile, [parts, part_k], cx);
        return Ok(());
    }
    let own = Operands::from(launch).first(2, 1 + usize::from(kernel.row_sums));
    let (dispatch, named) = dispatch(kernel, own, tile, [parts, part_k], target);
    let axes = [(kernel.batch.elements(), 0), (kernel.m, 1), (kernel.n, 2)];
    let stores = Stores { axes: &axes, quads: Some(launch.inputs[0].dtype), held: false };
    cx.push(store(dispatch, &named, launch.into(), 2, kernel.epilogue.as_ref(), stores));
    Ok(())
}

/// Adds the dispatches of a matmul whose k is split: one of all parts, and one that adds them, or two with row sums.
fn split_k(kernel: &MatmulKernel, tile: Tile, split: [usize; 2], cx: &mut Dispatches<'_>) {
    let (launch, target, parts) = (cx.launch, cx.target, split[0]);
    let rows = kernel.batch.elements() * kernel.m;
    let mut partials = vec![cx.scratch([parts, rows * kernel.n], DType::F32)];
    if kernel.row_sums {
        partials.push(cx.scratch([parts, rows], DType::F32));
    }
    let operands = Operands::new(&launch.inputs[..2], &partials);
    let (dispatch, named) = dispatch(kernel, operands, tile, split, target);
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
    fn k_is_split_where_tiles_are_few() {
        let (gpu, software) = (GpuTarget::default(), GpuTarget { software: true, ..GpuTarget::default() });
        let parts = |sizes, target| Tile::parts(sizes, Tile::choose(sizes, target), target);
        assert_eq!(parts([1, 64, 64, 16_384], &gpu), [64, 256]);
        assert_eq!(parts([1, 512, 512, 8192], &gpu), [16, 512]);
        // Tiles enough, a short k, and a software driver.
        assert_eq!(parts([1, 1024, 1024, 4096], &gpu), [1, 4096]);
        assert_eq!(parts([1, 64, 64, 1023], &gpu), [1, 1023]);
        assert_eq!(parts([1, 64, 64, 16_384], &software), [1, 16_384]);
        // A matrix times a vector, either way; whole tiles of k, and a short last part.
        assert_eq!(parts([1, 4096, 1, 4096], &gpu), [16, 256]);
        assert_eq!(parts([1, 1, 4096, 4096], &gpu), [16, 256]);
        assert_eq!(parts([1, 7, 9, 1027], &gpu), [5, 256]);
        for k in [1024, 1027, 5000, 65_537, 1 << 20] {
            let [parts, part] = parts([2, 33, 7, k], &gpu);
            assert!(
                parts > 1 && part * (parts - 1) < k && k <= part * parts && part % 32 == 0,
                "{k}: {parts} × {part}"
            );
        }
    }

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
        assert_eq!((workgroups.len(), workgroups[0]), (2, 64 * 4));
        assert_eq!(scratch, 64 * 64 * 64 * 4);
        let (workgroups, scratch) = of(true, gpu);
        assert_eq!((workgroups.len(), workgroups[0]), (3, 64 * 4));
        assert_eq!(scratch, 64 * 64 * 65 * 4);
        assert_eq!(of(true, software).0.len(), 1);
    }

    /// What the shader's header asks of its constants.
    #[test]
    fn tiles_keep_to_the_shaders_ranges() {
        let target = GpuTarget::default();
        let sizes = [1, 4, 5, 16, 17, 33, 100, 512, 1024, 4096];
        let shapes = sizes.iter().flat_map(|&m| sizes.iter().flat_map(move |&n| sizes.map(|k| [1, m, n, k])));
        let mut seen = Vec::new();
        for shape in shapes {
            let tile = Tile::choose(shape, &target);
            let Tile::Shared { tx, ty, r, bk, split } = tile else { panic!("{tile:?}") };
            let (threads, memory) = (tx * ty * split, (tx + ty) * r * bk * split * 16);
            assert!(threads <= 256 && memory <= 16 * 1024, "{shape:?}: {tile:?}");
            assert!((tx + ty) * r * bk <= 8 * tx * ty && bk % 4 == 0, "{shape:?}: {tile:?}");
            assert!(split == 1 || r == 1 && memory >= 16 * threads, "{shape:?}: {tile:?}");
            if !seen.contains(&tile) {
                seen.push(tile);
            }
        }
        assert_eq!(seen.len(), 12, "{seen:?}");
    }
}
