//! The ways to run a matmul: tiles through workgroup memory, or within subgroups.

use super::shared_tile::SharedTile;
use crate::wgsl::GpuTarget;
use crate::wgsl::variant::Split;

/// The tile of the output that a workgroup computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tile {
    /// `matmul.wgsl`.
    Shared(SharedTile),
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

/// A way to run a matmul: a tile, and the parts of k.
pub(super) type Variant = Split<Tile>;

/// The rule's choice for a batch of matmuls: `[batches, m, n, k]`.
pub(super) fn rule(sizes: [usize; 4], row_sums: bool, target: &GpuTarget) -> Variant {
    if !target.broadcasts() {
        return SharedTile::rule(sizes, row_sums, target).map(Tile::Shared);
    }
    let [_, m, n, k] = sizes;
    // As many rows as there are, up to a most, in tiles of equal size. A shorter shader compiles faster for narrow
    // matmuls, and more threads share the work.
    let most = if n <= 256 { 16 } else { 32 };
    let rows = m.div_ceil(m.div_ceil(most)).next_multiple_of(8) as u32;
    // Few columns: one subgroup a workgroup, so that one pipeline serves them all.
    let threads = if n <= 256 { 8 } else { 32 };
    let wide = n.next_multiple_of(256) == n.next_multiple_of(128);
    Split::whole(Tile::Lanes { rows, threads, quads: if wide { 2 } else { 1 } }, k)
}

/// All that may be worth a try.
pub(super) fn all(sizes: [usize; 4], target: &GpuTarget) -> Vec<Variant> {
    let [_, m, n, k] = sizes;
    let mut all: Vec<Variant> = SharedTile::variants(sizes, target).into_iter().map(|v| v.map(Tile::Shared)).collect();
    if target.broadcasts() {
        let lanes = [8, 16, 32].map(|rows| Tile::Lanes { rows, threads: 32, quads: 1 });
        let fits = |tile: &Tile| {
            let [rows, columns] = tile.size();
            rows < 4 * m.max(4) && columns < 4 * n.max(4)
        };
        all.extend(lanes.into_iter().filter(fits).map(|tile| Split::whole(tile, k)));
    }
    all
}

impl Tile {
    fn size(self) -> [usize; 2] {
        match self {
            Tile::Shared(tile) => tile.size(),
            Tile::Lanes { rows, threads, quads } => [rows as usize, 4 * (quads * threads) as usize],
        }
    }

    /// Tiles along rows and columns.
    pub(super) fn tiles(self, m: usize, n: usize) -> [usize; 2] {
        let [rows, columns] = self.size();
        [m.div_ceil(rows), n.div_ceil(columns)]
    }
}

impl std::fmt::Display for Tile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [rows, columns] = self.size();
        match self {
            Tile::Shared(tile) => tile.fmt(f),
            Tile::Lanes { .. } => write!(f, "lanes-{rows}x{columns}"),
        }
    }
}
