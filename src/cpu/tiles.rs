//! A register-tiled matmul, `C = A · B` or `C += A · B`, with `B` packed into panels.
//!
//! It is meant for small matrices and for single blocks of a larger matmul: there is no blocking for the caches. Each
//! element is summed in the order of `k`, whatever the size of its tile.

// Loops index several register arrays at once; and the macro expands to `row + 1 <= m` for tiles of one row.
#![allow(clippy::needless_range_loop, clippy::int_plus_one)]

use super::gemm::Layout;
use super::lanes::lines_to_lanes;
use super::simd::lane_count;
use super::words::aligned;
use pulp::{Arch, Simd, WithSimd};

/// The width of the widest panel, in vectors.
const MAX_WIDTH: usize = 4;

/// The layout of `A`: row-major or column-major.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// Row-major: row `i` is contiguous and starts at `i · stride`.
    Dense { stride: usize },
    /// Column-major: element `p` of row `i` is at `i + p · stride`.
    Transposed { stride: usize },
}

/// The width of a panel in vectors, for `n` columns; chosen so that the last panel is not much narrower.
fn width(n: usize, lanes: usize) -> usize {
    let vectors = n.div_ceil(lanes);
    match (vectors % 4, vectors % 3) {
        (0 | 3, _) if vectors > 3 => 4,
        (_, 0 | 2) if vectors > 4 => 3,
        _ => vectors.clamp(1, MAX_WIDTH),
    }
}

/// A packed `B` of `k × n` elements: panels of a few vectors of columns, one after the other. A panel is row-major,
/// with `k` rows, and columns beyond `n` are 0.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packed<'a> {
    pub(super) data: &'a [f32],
    pub(super) k: usize,
    pub(super) n: usize,
}

/// The number of elements of a packed matrix.
fn packed_size(k: usize, n: usize) -> usize {
    k * n.next_multiple_of(lane_count())
}

impl<'a> Packed<'a> {
    /// Packs the matrix with this layout in `b`.
    pub(super) fn new(k: usize, n: usize, b: &[f32], layout: Layout, memory: &'a mut Vec<f32>) -> Self {
        let data = aligned(memory, packed_size(k, n));
        Arch::new().dispatch(Pack { k, n, b, layout, data });
        Packed { data, k, n }
    }
}

/// Packs a matrix into panels.
struct Pack<'a> {
    k: usize,
    n: usize,
    b: &'a [f32],
    layout: Layout,
    data: &'a mut [f32],
}

impl WithSimd for Pack<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Pack { k, n, b, layout, data } = self;
        let lanes = S::F32_LANES;
        let columns = width(n, lanes) * lanes;
        for (j, panel) in data.chunks_mut((k * columns).max(1)).enumerate() {
            let (first, row) = (j * columns, panel.len() / k);
            let used = (n - first).min(row);
            let from = |p: usize, j: usize| {
                (layout.offset as isize + p as isize * layout.rows + (first + j) as isize * layout.columns) as usize
            };
            if layout.columns == 1 {
                for (p, to) in panel.chunks_exact_mut(row).enumerate() {
                    let line = &b[from(p, 0)..][..used];
                    let (whole, rest) = S::as_simd_f32s(line);
                    let to = S::as_mut_simd_f32s(to).0;
                    for (to, from) in to.iter_mut().zip(whole) {
                        *to = *from;
                    }
                    if let Some(last) = to.get_mut(whole.len()) {
                        *last = simd.partial_load_f32s(rest);
                    }
                }
                continue;
            }
            if layout.rows == 1 && layout.columns > 0 && 2 * k > lanes && lanes >= 8 {
                let (pitch, step) = (layout.columns as usize, row / lanes);
                let to = S::as_mut_simd_f32s(panel).0;
                for w in 0..step {
                    let count = (used - w * lanes).min(lanes);
                    lines_to_lanes(simd, &b[from(0, w * lanes)..], pitch, count, &mut to[w..], step, k);
                }
                continue;
            }
            if used < row {
                panel.fill(0.0);
            }
            if layout.rows == 1 {
                transpose(used, k, |j| &b[from(0, j)..][..k], panel, row);
            } else {
                for (p, to) in panel.chunks_exact_mut(row).enumerate() {
                    (0..used).for_each(|j| to[j] = b[from(p, j)]);
                }
            }
        }
    }
}

/// `to[p · stride + j] = line(j)[p]` for lines of `length` elements, four lines at a time.
#[inline(always)]
fn transpose<'a>(lines: usize, length: usize, line: impl Fn(usize) -> &'a [f32], to: &mut [f32], stride: usize) {
    let mut j = 0;
    while j + 4 <= lines {
        let from: [&[f32]; 4] = std::array::from_fn(|i| &line(j + i)[..length]);
        for (p, to) in to.chunks_exact_mut(stride).take(length).enumerate() {
            to[j..j + 4].copy_from_slice(&[from[0][p], from[1][p], from[2][p], from[3][p]]);
        }
        j += 4;
    }
    for j in j..lines {
        to[j..].iter_mut().step_by(stride).zip(line(j)).for_each(|(to, &x)| *to = x);
    }
}

/// A matmul of `m` rows of `a` with a packed `b`; row `i` of the result starts at `c[i · ldc]`.
pub(super) struct PackedMatmul<'a> {
    pub(super) m: usize,
    pub(super) a: &'a [f32],
    pub(super) rows: Rows,
    pub(super) b: Packed<'a>,
    pub(super) c: &'a mut [f32],
    pub(super) ldc: usize,
    pub(super) accumulate: bool,
}

impl PackedMatmul<'_> {
    pub(super) fn run(self) {
        if self.m > 0 && self.b.n > 0 {
            Arch::new().dispatch(self);
        }
    }

    #[inline(always)]
    fn panels<S: Simd, const TRANSPOSED: bool>(&mut self, simd: S) {
        let Packed { data, k, n } = self.b;
        let lanes = S::F32_LANES;
        let columns = width(n, lanes) * lanes;
        for (j, first) in (0..n).step_by(columns).enumerate() {
            let used = (n - first).min(columns);
            let vectors = used.div_ceil(lanes);
            let panel = S::as_simd_f32s(&data[j * k * columns..][..k * vectors * lanes]).0;
            match vectors {
                1 => self.panel::<S, TRANSPOSED, 1, 12>(simd, panel, first, used),
                2 => self.panel::<S, TRANSPOSED, 2, 12>(simd, panel, first, used),
                3 => self.panel::<S, TRANSPOSED, 3, 8>(simd, panel, first, used),
                _ => self.panel::<S, TRANSPOSED, 4, 6>(simd, panel, first, used),
            }
        }
    }

    #[inline(always)]
    fn panel<S: Simd, const TRANSPOSED: bool, const W: usize, const R: usize>(
        &mut self,
        simd: S,
        panel: &[S::f32s],
        first: usize,
        used: usize,
    ) {
        let mut row = 0;
        macro_rules! rows {
            ($($size:expr)*) => {
                $(while row + $size <= self.m {
                    self.tile::<S, TRANSPOSED, W, $size>(simd, panel, row, first, used);
                    row += $size;
                })*
            };
        }
        rows!(R 4 2 1);
    }

    #[inline(always)]
    fn tile<S: Simd, const TRANSPOSED: bool, const W: usize, const R: usize>(
        &mut self,
        simd: S,
        panel: &[S::f32s],
        row: usize,
        first: usize,
        used: usize,
    ) {
        let (k, lanes) = (self.b.k, S::F32_LANES);
        let panel = &panel.as_chunks::<W>().0[..k];
        let mut sums = [[simd.splat_f32s(0.0); W]; R];
        if self.accumulate {
            for r in 0..R {
                let line = &self.c[(row + r) * self.ldc + first..][..used];
                for w in 0..W {
                    sums[r][w] = simd.partial_load_f32s(&line[w * lanes..used.min((w + 1) * lanes)]);
                }
            }
        }
        match self.rows {
            Rows::Dense { stride } if !TRANSPOSED => {
                let lines: [&[f32]; R] = std::array::from_fn(|r| &self.a[(row + r) * stride..][..k]);
                for p in 0..k {
                    let b = panel[p];
                    for r in 0..R {
                        let x = simd.splat_f32s(lines[r][p]);
                        for w in 0..W {
                            sums[r][w] = simd.mul_add_f32s(x, b[w], sums[r][w]);
                        }
                    }
                }
            }
            Rows::Transposed { stride } if TRANSPOSED => {
                for p in 0..k {
                    let b = panel[p];
                    let column = &self.a[row + p * stride..][..R];
                    for r in 0..R {
                        let x = simd.splat_f32s(column[r]);
                        for w in 0..W {
                            sums[r][w] = simd.mul_add_f32s(x, b[w], sums[r][w]);
                        }
                    }
                }
            }
            _ => unreachable!("`TRANSPOSED` follows from `rows`"),
        }
        for r in 0..R {
            let line = &mut self.c[(row + r) * self.ldc + first..][..used];
            if used == W * lanes {
                for (to, sum) in S::as_mut_simd_f32s(line).0.iter_mut().zip(sums[r]) {
                    *to = sum;
                }
                continue;
            }
            for w in 0..W {
                let end = used.min((w + 1) * lanes);
                simd.partial_store_f32s(&mut line[w * lanes..end], sums[r][w]);
            }
        }
    }
}

impl WithSimd for PackedMatmul<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        match self.rows {
            Rows::Dense { .. } => self.panels::<S, false>(simd),
            Rows::Transposed { .. } => self.panels::<S, true>(simd),
        }
    }
}
