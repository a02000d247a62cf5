//! The tiles of `matmul.wgsl`, and how k is split: the variants, and the rule that chooses one.

use crate::wgsl::estimate::{fastest, seconds};
use crate::wgsl::reduce_shape::partial_sums;
use crate::wgsl::shader::Shader;
use crate::wgsl::variant::Split;
use crate::wgsl::{GpuTarget, Work, threads};

/// The tile of the output that a workgroup computes through workgroup memory: `4·r·ty` rows by `4·r·tx` columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::wgsl) struct SharedTile {
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
}

/// What an estimate of a batch of matmuls needs besides its sizes.
#[derive(Debug, Clone, Copy)]
pub(in crate::wgsl) struct Also {
    /// Bytes of the operands.
    pub(in crate::wgsl) operands: usize,
    /// See [`SharedTile::work`].
    pub(in crate::wgsl) again: usize,
    /// Whether the sums of rows are wanted too: of parts of k they are added by a dispatch of their own.
    pub(in crate::wgsl) row_sums: bool,
}

/// Workgroups that fill a device.
const FULL: usize = threads::FULL as usize;
/// k of a part that is not short.
const LONG: usize = 1024;
/// Instructions that take as long as a load.
const HIDES: usize = 256;
/// k of the shortest part: what a part reads should be more than the partial result it stores.
const SHORTEST: usize = 128;

impl SharedTile {
    /// A software driver's tile: the larger a tile, the less often an element is read; but not mostly empty.
    fn choose([batches, m, n, k]: [usize; 4], target: &GpuTarget) -> SharedTile {
        let tiles = |rows: usize, columns: usize| batches * m.div_ceil(rows) * n.div_ceil(columns);
        // Tiles of columns and rows with one vector of four columns and rows a thread, with two, and with shared k.
        let small = |tx, ty, bk| SharedTile::fitting([tx, ty, 1, bk, 1], target);
        let large = |tx, ty| SharedTile::fitting([tx, ty, 2, 16, 1], target);
        let share = |tx, ty, bk, split| SharedTile::buffered([tx, ty, 1, bk, split], 1);
        if target.max_invocations < 256 {
            return small(8, 8, 32);
        }
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
            _ if tiles(64, 64) >= FULL => large(8, 8),
            _ if k >= 256 && tiles(32, 32) < FULL => share(8, 8, 8, 4),
            _ => small(8, 8, 32),
        }
    }

    /// The tiles that may be worth a try for `m` rows and `n` columns: those that are not mostly empty.
    pub(super) fn all(m: usize, n: usize, target: &GpuTarget) -> Vec<SharedTile> {
        let tiles = [
            [16, 16, 2, 16, 1],
            [8, 8, 2, 16, 1],
            [16, 16, 1, 32, 1],
            [16, 16, 1, 16, 1],
            [8, 8, 1, 32, 1],
            [8, 8, 1, 16, 1],
            [8, 8, 1, 16, 4],
            [8, 8, 1, 8, 4],
            [4, 16, 1, 16, 1],
            [4, 16, 1, 8, 4],
            [16, 4, 1, 16, 1],
            [16, 4, 1, 8, 4],
            [4, 4, 1, 16, 1],
            [4, 4, 1, 16, 4],
            [4, 4, 1, 8, 4],
            [4, 4, 1, 8, 16],
            [1, 16, 1, 4, 8],
            [16, 1, 1, 4, 8],
        ];
        let buffered = |sizes| [2, 1].map(|buffers| SharedTile::buffered(sizes, buffers));
        let mut tiles: Vec<SharedTile> = tiles.into_iter().flat_map(buffered).collect();
        tiles.retain(|tile| {
            let [rows, columns] = tile.size();
            tile.threads() <= target.max_invocations
                && tile.fits(target)
                && rows < 4 * m.max(4)
                && columns < 4 * n.max(4)
        });
        tiles
    }

    /// Two tiles in workgroup memory where that has room for both; else one.
    fn fitting(sizes: [u32; 5], target: &GpuTarget) -> SharedTile {
        let double = SharedTile::buffered(sizes, 2);
        if double.fits(target) { double } else { SharedTile::buffered(sizes, 1) }
    }

    fn buffered([tx, ty, r, bk, split]: [u32; 5], buffers: u32) -> SharedTile {
        SharedTile { tx, ty, r, bk, split, buffers }
    }

    /// Whether it keeps to the target's workgroup memory.
    fn fits(self, target: &GpuTarget) -> bool {
        self.memory() <= target.workgroup_memory
    }

    fn threads(self) -> u32 {
        self.tx * self.ty * self.split
    }

    /// Vectors between those of one k of `a` and the next.
    fn pad(self) -> u32 {
        u32::from(self.buffers == 2)
    }

    /// Bytes of workgroup memory.
    fn memory(self) -> u32 {
        ((self.tx + self.ty) * self.r + self.pad()) * self.bk * self.split * self.buffers * 16
    }

    /// Its rows and columns.
    pub(super) fn size(self) -> [usize; 2] {
        [self.ty, self.tx].map(|threads| (4 * self.r * threads) as usize)
    }

    /// Tiles along rows and columns.
    pub(in crate::wgsl) fn tiles(self, m: usize, n: usize) -> [usize; 2] {
        let [rows, columns] = self.size();
        [m.div_ceil(rows), n.div_ceil(columns)]
    }

    /// With k cut into so many parts of whole tiles of k, or a few fewer.
    pub(super) fn cut(self, parts: usize, k: usize) -> Split<SharedTile> {
        Split::new(self, k, parts, (self.bk * self.split) as usize)
    }

    /// The rule's choice for a batch of matmuls: `[batches, m, n, k]`: of a typical GPU's variants the fastest, by estimate.
    /// Where tiles of 32 by 32 fill the device, k is not shared by threads, and split only if it is long: so were the
    /// measured ones.
    pub(in crate::wgsl) fn rule(sizes: [usize; 4], row_sums: bool, target: &GpuTarget) -> Split<SharedTile> {
        let of_software = || Split::whole(SharedTile::choose(sizes, target), sizes[3]);
        if target.software {
            return of_software();
        }
        let ([batches, m, n, k], variants) = (sizes, SharedTile::variants(sizes, target));
        let also = Also { operands: 4 * batches * (m * k + k * n), again: 1, row_sums };
        let plain = SharedTile::plain(sizes);
        let fits = variants.into_iter().filter(|variant| !plain || !SharedTile::shares_k(variant));
        fastest(fits, |variant| SharedTile::seconds(variant, sizes, also)).unwrap_or_else(of_software)
    }

    /// Whether results are enough that each part of a device computes some for the whole k.
    pub(in crate::wgsl) fn plain([batches, m, n, _]: [usize; 4]) -> bool {
        m.min(n) >= 32 && batches * m * n >= 1024 * FULL
    }

    /// Whether threads share the k, or workgroups a short one.
    pub(in crate::wgsl) fn shares_k(variant: &Split<SharedTile>) -> bool {
        variant.way.split > 1 || variant.parts > 1 && variant.part < LONG
    }

    /// What one way to run a batch of matmuls takes on a typical GPU: with the sums of partial results.
    pub(in crate::wgsl) fn seconds(variant: &Split<SharedTile>, sizes: [usize; 4], also: Also) -> f64 {
        let [batches, m, n, _] = sizes;
        let Split { way: tile, parts, part } = *variant;
        let [rows, columns] = tile.tiles(m, n);
        let results = batches * m * n;
        let bytes = (also.operands + 4 * parts * results) as u64;
        let work = Work { bytes, ..tile.work(part, also.again) };
        let sums = partial_sums(parts, [results, usize::from(also.row_sums) * batches * m]);
        seconds(&work, (batches * rows * columns * parts) as u64) + sums
    }

    /// All that may be worth a try: parts of k that are not too short.
    pub(in crate::wgsl) fn variants([_, m, n, k]: [usize; 4], target: &GpuTarget) -> Vec<Split<SharedTile>> {
        let most = (k / SHORTEST).max(1);
        let parts = [1, 2, 4, 8, 16, 32, 64, 128, 256].into_iter().filter(move |&parts| parts <= most);
        let tiles = SharedTile::all(m, n, target).into_iter();
        tiles.flat_map(|tile| parts.clone().map(move |parts| tile.cut(parts, k))).collect()
    }

    /// What a workgroup does with `k` of it, where an element of `b` is read `again` times in a row, all but once from the
    /// compute unit's own cache.
    pub(in crate::wgsl) fn work(self, k: usize, again: usize) -> Work {
        let [bk, split] = [self.bk, self.split].map(|size| size as usize);
        let tiles = k.div_ceil(bk * split);
        // Multiply-adds, reads of workgroup memory, and a share of the loads, as AMD's compiler has them.
        let step = if self.r == 2 { 75 } else { 22 };
        // The next tile is read while this one is computed with: where that is long, nobody waits.
        let waits = if bk * step >= HIDES { 2 } else { tiles + 1 };
        let joins = if split > 1 { 4 } else { 0 };
        let barriers = tiles * if self.buffers == 2 { 1 } else { 2 } + joins;
        let each = tiles * bk * step + 60 * (self.r * self.r) as usize + 100;
        let [rows, columns] = self.size();
        Work { loaded: 4 * (k * (rows + columns / again)) as u64, ..Work::of(self.threads(), waits, barriers, each) }
    }

    /// Its shader, to which another is to be joined.
    pub(in crate::wgsl) fn shader(self) -> Shader {
        Shader::file("matmul", include_str!("../../../shaders/matmul.wgsl"))
            .constant("TX", self.tx)
            .constant("TY", self.ty)
            .constant("R", self.r)
            .constant("BK", self.bk)
            .constant("SPLIT", self.split)
            .constant("BUFFERS", self.buffers)
            .constant("PAD", self.pad())
    }
}

impl std::fmt::Display for SharedTile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [rows, columns] = self.size();
        write!(f, "{rows}x{columns}x{}-{}x{}", self.bk * self.split, 4 * self.r, 4 * self.r)?;
        write!(f, "{}", if self.split > 1 { format!("-share{}", self.split) } else { String::new() })?;
        write!(f, "{}", if self.buffers > 1 { "-double" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_results_of_long_k_are_split() {
        let (gpu, software) = (GpuTarget::default(), GpuTarget { software: true, ..GpuTarget::default() });
        let chosen = |sizes, target: &GpuTarget| {
            let Split { way, parts, part } = SharedTile::rule(sizes, false, target);
            let [rows, columns] = way.tiles(sizes[1], sizes[2]);
            (sizes[0] * rows * columns * parts, parts, part)
        };
        // Workgroups for a large GPU, or parts that are as short as is sensible.
        for sizes in [[1, 64, 64, 16_384], [1, 512, 512, 8192], [1, 4096, 1, 4096], [1, 1, 4096, 4096], [1, 7, 9, 1027]]
        {
            let (workgroups, parts, part) = chosen(sizes, &gpu);
            assert!(
                parts > 1 && (workgroups >= 96 || part <= 256),
                "{sizes:?}: {workgroups} workgroups, parts of {part}"
            );
        }
        // Tiles enough, a short k, and a software driver.
        assert_eq!(chosen([1, 1024, 1024, 1024], &gpu).1, 1);
        assert_eq!(chosen([1, 64, 64, 127], &gpu).1, 1);
        assert_eq!(chosen([1, 64, 64, 16_384], &software).1, 1);
        // Whole tiles of k, and a short last part.
        for k in [5000, 65_537, 1 << 20] {
            let (_, parts, part) = chosen([2, 33, 7, k], &gpu);
            assert!(parts > 1 && part * (parts - 1) < k && k <= part * parts && part % 8 == 0, "{k}: {parts} × {part}");
        }
    }

    #[test]
    fn large_matmuls_take_the_tiles_that_were_measured() {
        let large = GpuTarget { workgroup_memory: 48 * 1024, max_invocations: 1024, ..GpuTarget::default() };
        let chosen = |n| SharedTile::rule([1, n, n, n], false, &large).to_string();
        assert_eq!(
            [512, 1024, 2048, 4096, 8192].map(chosen),
            [
                "32x32x32-4x4-double",
                "64x64x16-8x8-double",
                "128x128x16-8x8-double",
                "128x128x16-8x8-double",
                "128x128x16-8x8-double"
            ]
        );
    }

    /// What the shader's header asks of its constants.
    #[test]
    fn tiles_keep_to_the_shaders_ranges() {
        let target = GpuTarget::default();
        let large = GpuTarget { workgroup_memory: 48 * 1024, ..GpuTarget::default() };
        let sizes = [1, 4, 5, 16, 17, 33, 100, 512, 1024, 4096];
        let shapes = sizes.iter().flat_map(|&m| sizes.iter().flat_map(move |&n| sizes.map(|k| [1, m, n, k])));
        for (shape, target) in shapes.flat_map(|shape| [(shape, &target), (shape, &large)]) {
            let rule = SharedTile::rule(shape, false, target);
            for Split { way: tile, parts, part } in [vec![rule], SharedTile::variants(shape, target)].concat() {
                let SharedTile { tx, ty, r, bk, split, .. } = tile;
                let (threads, memory) = (tx * ty * split, tile.memory());
                assert!(threads <= 256 && memory <= target.workgroup_memory, "{shape:?}: {tile:?}");
                assert!((tx + ty) * r * bk <= 8 * tx * ty && [4, 8, 16, 32].contains(&bk), "{shape:?}: {tile:?}");
                assert!(split == 1 || r == 1 && memory >= 32 * threads, "{shape:?}: {tile:?}");
                assert!(
                    parts == 1 || part % (bk * split) as usize == 0 && part * (parts - 1) < shape[3],
                    "{parts} × {part}"
                );
            }
        }
    }
}
