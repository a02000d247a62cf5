//! How a GPU runs a matrix product: which shader, and the shape of a workgroup's tile.

use super::matmul::MatmulKernel;
use crate::plan::{Dispatch, GpuTarget, Launch, Shader};
use crate::shape::View;

/// A workgroup's share of a product.
#[derive(Debug, Clone, Copy)]
enum Tile {
    /// `matmul.wgsl`: `4·ty` rows by `4·tx` columns, read `bk` deep through workgroup memory.
    Shared {
        /// Threads along columns.
        tx: u32,
        /// Threads along rows.
        ty: u32,
        /// Depth.
        bk: u32,
    },
    /// `matmul_lanes.wgsl`: `rows` rows by `4·threads` columns, values passed within subgroups.
    Lanes {
        /// Rows.
        rows: u32,
        /// Threads.
        threads: u32,
    },
}

impl Tile {
    /// The tile for a shape. On a GPU: narrow ones for narrow matrices, and large ones, which read each element less
    /// often, once there are enough of them to fill a device.
    fn choose(kernel: &MatmulKernel, target: &GpuTarget) -> Tile {
        let large_tiles = kernel.m.div_ceil(64) * kernel.n.div_ceil(64) * kernel.batch.elements();
        if target.broadcasts() {
            // As many rows as there are, up to 32, in tiles of equal size.
            let rows = kernel.m.div_ceil(kernel.m.div_ceil(32)).next_multiple_of(8) as u32;
            let threads = (kernel.n.div_ceil(4).next_multiple_of(8)).min(32) as u32;
            return Tile::Lanes { rows, threads };
        }
        let (tx, ty, bk) = match (kernel.m, kernel.n) {
            (..=16, ..=16) => (4, 4, 32),
            (_, ..=16) => (4, 16, 32),
            (..=16, _) => (16, 4, 32),
            _ if large_tiles >= 64 && target.max_invocations >= 256 => (16, 16, 16),
            _ => (8, 8, 32),
        };
        Tile::Shared { tx, ty, bk }
    }

    /// Its rows and columns.
    fn size(self) -> [usize; 2] {
        match self {
            Tile::Shared { tx, ty, .. } => [4 * ty as usize, 4 * tx as usize],
            Tile::Lanes { rows, threads } => [rows as usize, 4 * threads as usize],
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

/// The dispatch of a product.
pub(super) fn dispatch(kernel: &MatmulKernel, launch: &Launch, target: &GpuTarget) -> Dispatch {
    let (a, b, c) = (&launch.inputs[0], &launch.inputs[1], &launch.outputs[0]);
    let (rank, batches) = (kernel.batch.rank(), kernel.batch.elements());
    let tile = Tile::choose(kernel, target);
    let [rows, columns] = tile.size();
    let tiles = [kernel.m.div_ceil(rows), kernel.n.div_ceil(columns)];
    // Sizes and strides of the leading axes, outermost first, in four slots.
    let batch = |of: &dyn Fn(usize) -> u32, missing: u32| -> Vec<u32> {
        (0..4).map(|k| if k + rank < 4 { missing } else { of(k + rank - 4) }).collect()
    };
    // Strides wrap around in the shader, so negative ones are what their bits say.
    let stride = |view: &View, axis: usize| view.strides[axis] as u32;
    let mut params: Vec<u32> = [kernel.m, kernel.n, kernel.k, tiles[0], tiles[1], batches, a.view.offset]
        .map(|size| size as u32)
        .into_iter()
        .chain([stride(&a.view, rank), stride(&a.view, rank + 1), b.view.offset as u32])
        .chain([stride(&b.view, rank), stride(&b.view, rank + 1), c.view.offset as u32, 0, 0, 0])
        .collect();
    params.extend(batch(&|axis| kernel.batch[axis] as u32, 1));
    params.extend(batch(&|axis| stride(&a.view, axis), 0));
    params.extend(batch(&|axis| stride(&b.view, axis), 0));
    let shader = match tile {
        Tile::Shared { tx, ty, bk } => Shader::file("matmul", include_str!("../../shaders/matmul.wgsl"))
            .constant("TX", tx)
            .constant("TY", ty)
            .constant("BK", bk)
            .constant("A_BY_K", u32::from(a.view.strides[rank + 1].abs() == 1))
            .constant("B_BY_K", u32::from(b.view.strides[rank].abs() == 1 && b.view.strides[rank + 1].abs() != 1)),
        Tile::Lanes { rows, threads } => {
            let by_columns = aligned(&b.view, rank + 1, kernel.n);
            let by_k = aligned(&b.view, rank, kernel.k);
            let (a_vector, b_vector) =
                (aligned(&a.view, rank + 1, kernel.k), if by_columns { 1 } else { 2 * u32::from(by_k) });
            let shader = Shader::file("matmul_lanes", include_str!("../../shaders/matmul_lanes.wgsl"))
                .constant("ROWS", rows)
                .constant("THREADS", threads)
                .constant("A_VECTOR", a_vector.into())
                .constant("B_VECTOR", b_vector)
                .broadcast(true);
            let shader = if a_vector { shader.vector("A", a.dtype) } else { shader.alias("A", a.dtype) };
            if b_vector > 0 { shader.vector("B", b.dtype) } else { shader.alias("B", b.dtype) }
        }
    };
    let workgroups = (tiles[0] * tiles[1] * batches) as u64;
    Dispatch::new(launch, shader.alias("T", a.dtype), params, workgroups)
}
