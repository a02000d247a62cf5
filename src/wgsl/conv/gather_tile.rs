//! The tiles of `conv.wgsl`, and how k is split: the variants, and the rule of software drivers.

use crate::wgsl::variant::Split;
use crate::wgsl::{GpuTarget, Work};

/// A workgroup's shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GatherTile {
    /// Threads along columns.
    pub(super) columns: usize,
    /// Threads that share a column.
    pub(super) split: usize,
    /// Rows a thread computes.
    pub(super) rows: usize,
    /// Columns a thread computes.
    pub(super) per: usize,
}

/// Steps of k a thread may be left with: Mesa's lavapipe ends a thread's loops after 65,535 iterations in all, and 16
/// steps take up to five.
const LONGEST: usize = 1 << 17;

impl GatherTile {
    /// The tile for `groups` matmuls of `m` rows, `n` columns and `k` terms.
    ///
    /// A software driver runs few threads; each element it gathers costs much and should feed many rows.
    fn choose([groups, m, n, k]: [usize; 4], target: &GpuTarget) -> GatherTile {
        let threads = target.max_invocations.min(256) as usize;
        let split = k.div_ceil(LONGEST).next_power_of_two().min(threads / 8);
        // Two columns a thread, so that an entry of `w` feeds two: reads of workgroup memory cost much too. Where there
        // are few columns, their threads are also needed to fetch `w`.
        let per = if n * groups >= 256 { 2 } else { 1 };
        let columns = (n * groups).div_ceil(2 * per).next_multiple_of(8).clamp(8, (threads / split).min(128));
        GatherTile { columns, split, rows: all_rows(m), per }
    }

    /// What a workgroup does with so many of the terms.
    pub(super) fn work(&self, terms: usize) -> Work {
        // Of eight k a thread waits for four, and it gathers each for all rows.
        let k = terms.div_ceil(self.split);
        let barriers = 2 * k.div_ceil(16) + if self.split > 1 { 2 * self.rows / 4 } else { 0 };
        let each = k * self.per * (self.rows + 31) + 8 * self.rows * self.per + 60;
        Work::of((self.columns * self.split) as u32, k.div_ceil(2), barriers, each)
    }

    /// How many workgroups `groups` matmuls of `m` rows and `n` columns take.
    pub(super) fn workgroups(&self, [groups, m, n]: [usize; 3]) -> usize {
        groups * m.div_ceil(self.rows) * n.div_ceil(self.columns * self.per)
    }
}

impl std::fmt::Display for GatherTile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.rows, self.columns * self.per)?;
        if self.per > 1 {
            write!(f, "-{}x{}", self.rows, self.per)?;
        }
        if self.split > 1 { write!(f, "-share{}", self.split) } else { Ok(()) }
    }
}

/// A way to run it: a tile, and the parts of k.
type Variant = Split<GatherTile>;

/// A software driver's choice for `groups` matmuls of `m` rows, `n` columns and `terms` terms each, of a whole k. On hardware,
/// estimates choose.
pub(super) fn rule(sizes: [usize; 4], k: usize, target: &GpuTarget) -> Variant {
    Split::whole(GatherTile::choose(sizes, target), k)
}

/// All that may be worth a try.
pub(super) fn all(sizes: [usize; 4], k: usize, may_split: bool, target: &GpuTarget) -> Vec<Variant> {
    let [_, m, n, terms] = sizes;
    let shapes = [(64, 1), (128, 1), (256, 1), (32, 4), (32, 8), (16, 4), (16, 16)];
    let tiles = shapes.into_iter().flat_map(|(columns, split)| {
        let pers: &[usize] = if split == 1 { &[1, 2] } else { &[1] };
        [4, 8, 16]
            .into_iter()
            .flat_map(move |rows| pers.iter().map(move |&per| GatherTile { columns, split, rows, per }))
    });
    let fits = |tile: &GatherTile| {
        let (threads, depth) = (tile.columns * tile.split, 16 * tile.split);
        threads <= target.max_invocations as usize
            && tile.rows <= all_rows(m)
            && tile.columns * tile.per < 4 * n.max(8)
            && depth * (4 * tile.rows + 16) + 16 * threads <= 16 * 1024
    };
    let mut all = Vec::new();
    for tile in tiles.filter(fits) {
        for parts in [1, 4, 16, 64] {
            let variant = Split::new(tile, k, parts, 1);
            let possible = parts == 1 || may_split && variant.part >= SHORTEST;
            if possible && terms.div_ceil(parts * tile.split) <= LONGEST {
                all.push(variant);
            }
        }
    }
    all
}

/// k of the shortest part.
const SHORTEST: usize = 256;

/// The rows of a tile that takes all of them, up to 16.
fn all_rows(m: usize) -> usize {
    m.div_ceil(4).min(4) * 4
}
