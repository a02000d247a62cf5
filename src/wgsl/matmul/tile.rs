//! The tiles of matmuls, and how k is split: the variants, and the rule that chooses one.

use crate::wgsl::variant::Split;
use crate::wgsl::{GpuTarget, split};

/// The tile of the output that a workgroup computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tile {
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
        /// Parts of a workgroup that share the k.
        split: u32,
        /// Tiles in workgroup memory.
        buffers: u32,
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
        // Tiles of columns and rows with one vector of four columns and rows a thread, with two, and with shared k.
        let small = |tx, ty, bk| Tile::shared([tx, ty, 1, bk, 1], target);
        let large = |tx, ty| Tile::shared([tx, ty, 2, 16, 1], target);
        let share = |tx, ty, bk, split| Tile::shared([tx, ty, 1, bk, split], target);
        if target.max_invocations < 256 {
            return small(8, 8, 32);
        }
        // Whether tiles of so many rows and columns, and parts of k, fill a device.
        let fills = |size| tiles(size, size) * split(tiles(size, size) as u64, k, SHORTEST, target) >= FULL;
        match (m, n) {
            // A matrix times a vector, or a few of them.
            (_, ..=4) => share(1, 16, 4, 8),
            (..=4, _) => share(16, 1, 4, 8),
            (..=16, ..=16) if k >= 128 => share(4, 4, 8, 16),
            (..=16, ..=16) => small(4, 4, 16),
            // Tall or wide.
            (_, ..=16) if k >= 128 && tiles(64, 16) < FULL => share(4, 16, 8, 4),
            (_, ..=16) => small(4, 16, 16),
            (..=16, _) if k >= 128 && tiles(16, 64) < FULL => share(16, 4, 8, 4),
            (..=16, _) => small(16, 4, 16),
            _ if tiles(128, 128) >= 2 * FULL => large(16, 16),
            _ if fills(64) => large(8, 8),
            _ if k >= 256 && tiles(32, 32) < FULL => share(8, 8, 8, 4),
            _ => small(8, 8, 32),
        }
    }

    /// A tile through workgroup memory: two of them where that has room for both, and no threads share the k.
    fn shared(sizes: [u32; 5], target: &GpuTarget) -> Tile {
        let double = Tile::buffered(sizes, 2);
        if double.fits(target) { double } else { Tile::buffered(sizes, 1) }
    }

    fn buffered([tx, ty, r, bk, split]: [u32; 5], buffers: u32) -> Tile {
        Tile::Shared { tx, ty, r, bk, split, buffers }
    }

    /// Whether it keeps to the target's workgroup memory, and to one buffer where threads share the k.
    fn fits(self, target: &GpuTarget) -> bool {
        let one = !matches!(self, Tile::Shared { split: 2.., buffers: 2.., .. });
        one && self.memory() <= target.workgroup_memory
    }

    /// Vectors between those of one k of `a` and the next.
    pub(super) fn pad(self) -> u32 {
        match self {
            Tile::Shared { buffers: 2, .. } => 1,
            _ => 0,
        }
    }

    /// Bytes of workgroup memory.
    fn memory(self) -> u32 {
        match self {
            Tile::Shared { tx, ty, r, bk, split, buffers } => ((tx + ty) * r + self.pad()) * bk * split * buffers * 16,
            Tile::Lanes { .. } => 0,
        }
    }

    /// Tiles along rows and columns.
    pub(super) fn tiles(self, m: usize, n: usize) -> [usize; 2] {
        let [rows, columns] = self.size();
        [m.div_ceil(rows), n.div_ceil(columns)]
    }

    /// Its rows and columns.
    fn size(self) -> [usize; 2] {
        match self {
            Tile::Shared { tx, ty, r, .. } => [4 * r * ty, 4 * r * tx].map(|size| size as usize),
            Tile::Lanes { rows, threads, quads } => [rows as usize, 4 * (quads * threads) as usize],
        }
    }
}

impl std::fmt::Display for Tile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [rows, columns] = self.size();
        match *self {
            Tile::Shared { r, bk, split, buffers, .. } => {
                write!(f, "{rows}x{columns}x{}-{}x{}", bk * split, 4 * r, 4 * r)?;
                write!(f, "{}", if split > 1 { format!("-share{split}") } else { String::new() })?;
                write!(f, "{}", if buffers > 1 { "-double" } else { "" })
            }
            Tile::Lanes { .. } => write!(f, "lanes-{rows}x{columns}"),
        }
    }
}

/// A way to run a matmul: a tile, and the parts of k.
pub(super) type Variant = Split<Tile>;

/// With parts of whole tiles of k.
fn cut(tile: Tile, parts: usize, k: usize) -> Variant {
    match tile {
        Tile::Shared { bk, split, .. } => Split::new(tile, k, parts, (bk * split) as usize),
        Tile::Lanes { .. } => Split::whole(tile, k),
    }
}

/// The rule's choice.
pub(super) fn rule(sizes: [usize; 4], target: &GpuTarget) -> Variant {
    let ([batches, m, n, k], tile) = (sizes, Tile::choose(sizes, target));
    let [rows, columns] = tile.tiles(m, n);
    cut(tile, split((batches * rows * columns) as u64, k, SHORTEST, target), k)
}

/// All that may be worth a try: tiles that are not mostly empty, and parts of k that are not too short.
pub(super) fn all([_, m, n, k]: [usize; 4], target: &GpuTarget) -> Vec<Variant> {
    let threads = target.max_invocations;
    let tiles = [
        [16, 16, 2, 16, 1],
        [8, 8, 2, 16, 1],
        [16, 16, 1, 32, 1],
        [8, 8, 1, 32, 1],
        [8, 8, 1, 16, 1],
        [8, 8, 1, 8, 4],
        [4, 16, 1, 16, 1],
        [4, 16, 1, 8, 4],
        [16, 4, 1, 16, 1],
        [16, 4, 1, 8, 4],
        [4, 4, 1, 16, 1],
        [4, 4, 1, 8, 16],
        [1, 16, 1, 4, 8],
        [16, 1, 1, 4, 8],
    ];
    let tiles = tiles.into_iter().filter(|[tx, ty, _, _, split]| tx * ty * split <= threads);
    let mut tiles: Vec<Tile> = tiles.flat_map(|sizes| [2, 1].map(|buffers| Tile::buffered(sizes, buffers))).collect();
    if target.broadcasts() {
        tiles.extend([8, 16, 32].map(|rows| Tile::Lanes { rows, threads: 32, quads: 1 }));
    }
    tiles.retain(|tile| {
        let [rows, columns] = tile.size();
        tile.fits(target) && rows < 4 * m.max(4) && columns < 4 * n.max(4)
    });
    let parts = |tile: Tile| {
        let most = (k / SHORTEST).max(1);
        [1, 2, 4, 8, 16, 32, 64]
            .into_iter()
            .filter(move |&parts| parts <= most)
            .map(move |parts| cut(tile, parts, k))
    };
    tiles.into_iter().flat_map(parts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k_is_split_where_tiles_are_few() {
        let (gpu, software) = (GpuTarget::default(), GpuTarget { software: true, ..GpuTarget::default() });
        let parts = |sizes, target| {
            let Variant { parts, part, .. } = rule(sizes, target);
            [parts, part]
        };
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

    /// What the shader's header asks of its constants.
    #[test]
    fn tiles_keep_to_the_shaders_ranges() {
        let target = GpuTarget::default();
        let large = GpuTarget { workgroup_memory: 48 * 1024, ..GpuTarget::default() };
        let sizes = [1, 4, 5, 16, 17, 33, 100, 512, 1024, 4096];
        let shapes = sizes.iter().flat_map(|&m| sizes.iter().flat_map(move |&n| sizes.map(|k| [1, m, n, k])));
        let mut chosen = Vec::new();
        for (shape, target) in shapes.flat_map(|shape| [(shape, &target), (shape, &large)]) {
            let rule = rule(shape, target);
            for Variant { way: tile, parts, part } in [vec![rule], all(shape, target)].concat() {
                let Tile::Shared { tx, ty, r, bk, split, buffers } = tile else { panic!("{tile:?}") };
                let (threads, memory) = (tx * ty * split, tile.memory());
                assert!(threads <= 256 && memory <= target.workgroup_memory, "{shape:?}: {tile:?}");
                assert!((tx + ty) * r * bk <= 8 * tx * ty && [4, 8, 16, 32].contains(&bk), "{shape:?}: {tile:?}");
                assert!(split == 1 || r == 1 && buffers == 1 && memory >= 16 * threads, "{shape:?}: {tile:?}");
                assert!(
                    parts == 1 || part % (bk * split) as usize == 0 && part * (parts - 1) < shape[3],
                    "{parts} × {part}"
                );
            }
            if !chosen.contains(&rule.way) {
                chosen.push(rule.way);
            }
        }
        // Each tile of the rule is met, with as many buffers as either target has memory for.
        assert_eq!(chosen.len(), 15, "{chosen:?}");
    }
}
