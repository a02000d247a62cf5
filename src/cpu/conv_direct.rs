//! One-dimensional convolutions with few channels, without a patch matrix: channels are vector lanes.
//!
//! - forward: `y[n, p, :] = Σ x[n, c, p·stride + q] · w[c, q, :]`, lanes are output channels. A tile of positions keeps
//!   its sums in registers; each of its products is one fused multiply-add with an element of `x` that all lanes share.
//! - input gradient: input positions of one residue modulo the stride form a forward pass of stride 1 over `dy`, with
//!   those kernel positions that meet them, in reverse; lanes are input channels.
//! - weight gradient: `dw[c, q, :] += x[n, c, p·stride + q] · dy[n, p, :]`; a tile of `(c, q)` stays in registers.
//!
//! Sums are taken in a fixed order.

use super::after::After;
use super::context::{aligned, sized};
use super::lanes::{COPY, MOST_LANES, from_lanes, pack, packed_len, pad_rows, to_lanes};
use super::simd::lane_count;
use super::threads::{MOST, parts, split, with_panels};
use crate::ops::conv::{ConvGeometry, ConvPass};
use pulp::{Arch, Simd, WithSimd};

/// Positions of the largest tile.
const TILE: usize = 12;
/// Samples whose weight gradient is summed before the next tile of kernel positions.
const GROUP: usize = 8;
/// Whether this form fits and fills enough of the lanes.
pub(super) fn suits(pass: ConvPass, g: &ConvGeometry) -> bool {
    let line = g.input[0] == 1 && g.kernel[0] == 1 && g.output[0] == 1 && g.padding[0] == 0;
    let (kernel, stride) = (g.kernel[1], g.stride[1]);
    let shape = g.groups == 1 && g.dilation[1] == 1 && stride <= kernel && stride <= 2;
    let sizes = [g.batch, g.in_channels, g.out_channels, g.input[1]].iter().all(|&size| size > 0);
    let lanes = if pass == ConvPass::InputGrad { g.in_channels } else { g.out_channels };
    let small = g.in_channels * g.out_channels * kernel <= 1 << 14;
    let kernel_fits = pass != ConvPass::WeightGrad || (kernel <= 5 && g.padding[1] == 0);
    let width = lane_count();
    line && shape && sizes && small && kernel_fits && width > 1 && lanes.next_multiple_of(width) <= 2 * lanes
}

/// Runs the pass, where [`suits`] holds: samples, or partial sums over samples, on several threads. With a weight gradient
/// go the sums of `b` for each output channel, if `totals` is not empty.
#[allow(clippy::too_many_arguments)]
pub(super) fn run(
    pass: ConvPass,
    g: &ConvGeometry,
    a: &[f32],
    b: &[f32],
    out: &mut [f32],
    panels: &mut [Vec<f32>; 3],
    after: After<'_>,
    totals: &mut [f32],
) {
    let (x, y) = (g.in_channels * g.input[1], g.out_channels * g.output[1]);
    // Besides the products, elements are moved between lines and lanes.
    let products = 2 * g.batch * g.in_channels.max(lane_count()) * g.out_channels * g.kernel[1] * g.output[1];
    let work = products + 16 * g.batch * (x + y);
    if pass == ConvPass::WeightGrad {
        let parts = parts(work, g.batch.min(MOST));
        let part = |first: usize, end: usize, sums: &mut [f32], totals: &mut [f32], panels: &mut [Vec<f32>; 3]| {
            let (g, a, b) = (ConvGeometry { batch: end - first, ..*g }, &a[first * x..end * x], &b[first * y..end * y]);
            Arch::new().dispatch(Run { pass, g: &g, a, b, out: sums, panels, after: After::Nothing, start: 0, totals });
        };
        if parts == 1 {
            part(0, g.batch, out, totals, panels);
        } else {
            let (own, first) = (out.len(), |part: usize| g.batch * part / parts);
            let size = own + totals.len();
            let sums = sized(&mut panels[2], size * parts);
            split(sums, size, parts, work, &|start, block| {
                for (i, sums) in block.chunks_exact_mut(size).enumerate() {
                    let (sums, totals) = sums.split_at_mut(own);
                    with_panels(|panels| part(first(start + i), first(start + i + 1), sums, totals, panels));
                }
            });
            let (first, rest) = sums.split_at(size);
            out.copy_from_slice(&first[..own]);
            totals.copy_from_slice(&first[own..]);
            for sums in rest.chunks_exact(size) {
                out.iter_mut().chain(&mut *totals).zip(sums).for_each(|(to, &x)| *to += x);
            }
        }
        after.finish(0, out);
        return;
    }
    let (from, to) = if pass == ConvPass::Forward { (x, y) } else { (y, x) };
    // Two samples at once.
    split(out, 2 * to, parts(work, (g.batch / 2).min(MOST)), work, &|first, block| {
        let (start, batch) = (2 * first, block.len() / to);
        let (g, a) = (ConvGeometry { batch, ..*g }, &a[start * from..][..batch * from]);
        let start = start * to;
        with_panels(|panels| {
            Arch::new().dispatch(Run { pass, g: &g, a, b, out: block, panels, after, start, totals: &mut [] });
        });
    });
}

struct Run<'a> {
    pass: ConvPass,
    g: &'a ConvGeometry,
    a: &'a [f32],
    b: &'a [f32],
    out: &'a mut [f32],
    panels: &'a mut [Vec<f32>; 3],
    /// What is done to the output, which starts at this element of the whole result.
    after: After<'a>,
    start: usize,
    totals: &'a mut [f32],
}

impl WithSimd for Run<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Run { pass, g, a, b, out, panels, after, start, totals } = self;
        let after = (after, start);
        match (pass, g.stride[1]) {
            (ConvPass::Forward, 1) => forward::<S, 1>(simd, g, a, b, out, panels, after),
            (ConvPass::Forward, _) => forward::<S, 2>(simd, g, a, b, out, panels, after),
            (ConvPass::InputGrad, 1) => input_grad::<S, 1>(simd, g, a, b, out, panels, after),
            (ConvPass::InputGrad, _) => input_grad::<S, 2>(simd, g, a, b, out, panels, after),
            (ConvPass::WeightGrad, _) => weight_grad(simd, g, a, b, out, panels, totals),
        }
    }
}

/// A pass over positions: sums, over a sample's lines and taps, of line elements times vectors of weights.
struct Lines<'a, S: Simd> {
    simd: S,
    /// All samples' lines.
    x: &'a [f32],
    /// Lines of a sample.
    lines: usize,
    /// Elements of a line.
    length: usize,
    /// Zeros before and after each line.
    padding: [usize; 2],
    /// Output channels, and elements of each.
    channels: usize,
    out_length: usize,
    /// What is done to the output, and which of the whole result's elements is its first.
    after: (After<'a>, usize),
}

/// Those positions of an output line that share their taps.
struct Part<'a, S: Simd> {
    /// `[block of lanes][line][tap]`.
    weights: &'a [S::f32s],
    taps: usize,
    /// The first position's element of a padded line.
    start: usize,
    /// The first position's element of an output line.
    first: usize,
    positions: usize,
}

impl<S: Simd> Lines<'_, S> {
    /// All samples, two at once. Positions are `STRIDE` elements apart in a line and `STEP` in an output line.
    #[inline(always)]
    fn run<const STRIDE: usize, const STEP: usize>(
        &self,
        parts: &[Part<'_, S>],
        out: &mut [f32],
        padded: &mut Vec<f32>,
        rows: &mut Vec<f32>,
    ) {
        let (size, out_size) = (self.lines * self.length, self.channels * self.out_length);
        let [before, after] = self.padding;
        let to = before + self.length + after;
        let padded = aligned(padded, 2 * self.lines * to + COPY);
        let rows = aligned(rows, 2 * self.out_length * S::F32_LANES);
        let (finish, start) = self.after;
        let bias = finish.by_channel(self.channels, self.out_length);
        for (pair, (x, out)) in self.x.chunks(2 * size).zip(out.chunks_mut(2 * out_size)).enumerate() {
            let x = if before + after == 0 {
                x
            } else {
                pad_rows(x, self.length, padded, to, before);
                &padded[..]
            };
            for block in 0..self.channels.div_ceil(S::F32_LANES) {
                let two = out.len() > out_size;
                for part in parts {
                    self.part::<STRIDE, STEP>(part, block, x, to, two, S::as_mut_simd_f32s(rows).0);
                }
                let first = block * S::F32_LANES;
                let used = (self.channels - first).min(S::F32_LANES);
                if let Some(bias) = bias {
                    // Channels are lanes here: one vector serves all positions.
                    let values = self.simd.partial_load_f32s(&bias.values[first..first + used]);
                    self.bias(values, bias.relu, S::as_mut_simd_f32s(rows).0);
                }
                let samples = S::as_simd_f32s(rows).0.chunks_exact(self.out_length);
                for (rows, out) in samples.zip(out.chunks_exact_mut(out_size)) {
                    let out = &mut out[first * self.out_length..][..used * self.out_length];
                    from_lanes(self.simd, rows, out, self.out_length);
                }
            }
            if bias.is_none() {
                finish.block(start + pair * 2 * out_size, out);
            }
        }
    }

    #[inline(always)]
    fn bias(&self, values: S::f32s, relu: bool, rows: &mut [S::f32s]) {
        let (simd, zero) = (self.simd, self.simd.splat_f32s(0.0));
        for row in rows {
            let sum = simd.add_f32s(*row, values);
            *row = if relu { simd.select_f32s(simd.less_than_or_equal_f32s(sum, zero), zero, sum) } else { sum };
        }
    }

    /// One or two samples' positions of a part, in tiles.
    #[inline(always)]
    fn part<const STRIDE: usize, const STEP: usize>(
        &self,
        part: &Part<'_, S>,
        block: usize,
        x: &[f32],
        length: usize,
        two: bool,
        rows: &mut [S::f32s],
    ) {
        let (size, half) = (self.lines * part.taps, rows.len() / 2);
        let weights = &part.weights[block * size..][..size];
        let tiles = part.positions.div_ceil(TILE);
        let mut done = 0;
        for tile in 0..tiles {
            let n = (part.positions - done).div_ceil(tiles - tile);
            let at = part.first + done * STEP;
            let x = &x[part.start + done * STRIDE..];
            let next = self.lines * length;
            macro_rules! sizes {
                (two: $($small:literal)*, one: $($large:literal)*) => {
                    match n {
                        // Small tiles take two samples at once, to have enough independent sums.
                        $($small if two => {
                            let sums = self.tile::<STRIDE, $small, 2>(x, length, weights, part.taps);
                            put::<S, STEP, $small>(&sums[0], &mut rows[at..]);
                            put::<S, STEP, $small>(&sums[1], &mut rows[half + at..]);
                        })*
                        $($small => {
                            let sums = self.tile::<STRIDE, $small, 1>(x, length, weights, part.taps);
                            put::<S, STEP, $small>(&sums[0], &mut rows[at..]);
                        })*
                        $($large => {
                            let sums = self.tile::<STRIDE, $large, 1>(x, length, weights, part.taps);
                            put::<S, STEP, $large>(&sums[0], &mut rows[at..]);
                            if two {
                                let sums = self.tile::<STRIDE, $large, 1>(&x[next..], length, weights, part.taps);
                                put::<S, STEP, $large>(&sums[0], &mut rows[half + at..]);
                            }
                        })*
                        _ => unreachable!("a tile of {n}"),
                    }
                };
            }
            sizes!(two: 1 2 3 4 5 6, one: 7 8 9 10 11 12);
            done += n;
        }
    }

    /// `N` samples' sums at `T` positions.
    #[inline(always)]
    fn tile<const STRIDE: usize, const T: usize, const N: usize>(
        &self,
        x: &[f32],
        length: usize,
        weights: &[S::f32s],
        taps: usize,
    ) -> [[S::f32s; T]; N] {
        let simd = self.simd;
        let mut sums = [[simd.splat_f32s(0.0); T]; N];
        let samples: [&[f32]; N] = std::array::from_fn(|k| &x[k * self.lines * length..]);
        for (c, weights) in weights.chunks_exact(taps).enumerate() {
            for (q, &w) in weights.iter().enumerate() {
                let at = c * length + q;
                let lines: [&[f32]; N] = std::array::from_fn(|k| &samples[k][at..][..(T - 1) * STRIDE + 1]);
                for k in 0..N {
                    for t in 0..T {
                        sums[k][t] = simd.mul_add_f32s(simd.splat_f32s(lines[k][t * STRIDE]), w, sums[k][t]);
                    }
                }
            }
        }
        sums
    }
}

/// Stores sums in rows `STEP` apart.
#[inline(always)]
fn put<S: Simd, const STEP: usize, const T: usize>(sums: &[S::f32s; T], rows: &mut [S::f32s]) {
    let rows = &mut rows[..(T - 1) * STEP + 1];
    for t in 0..T {
        rows[t * STEP] = sums[t];
    }
}

#[inline(always)]
fn forward<S: Simd, const STRIDE: usize>(
    simd: S,
    g: &ConvGeometry,
    x: &[f32],
    w: &[f32],
    y: &mut [f32],
    [packed, padded, rows]: &mut [Vec<f32>; 3],
    after: (After<'_>, usize),
) {
    let (inputs, channels, taps) = (g.in_channels, g.out_channels, g.kernel[1]);
    let packed = aligned(packed, packed_len::<S>(channels, inputs, taps));
    let weights = pack::<S>(packed, channels, inputs, taps, |o, c, q| w[(o * inputs + c) * taps + q]);
    let (length, out_length, padding) = (g.input[1], g.output[1], [g.padding[1]; 2]);
    let part = Part { weights, taps, start: 0, first: 0, positions: out_length };
    let lines = Lines { simd, x, lines: inputs, length, padding, channels, out_length, after };
    lines.run::<STRIDE, 1>(&[part], y, padded, rows);
}

#[inline(always)]
fn input_grad<S: Simd, const STRIDE: usize>(
    simd: S,
    g: &ConvGeometry,
    dy: &[f32],
    w: &[f32],
    dx: &mut [f32],
    [packed, padded, rows]: &mut [Vec<f32>; 3],
    after: (After<'_>, usize),
) {
    let (channels, outputs, kernel, padding) = (g.in_channels, g.out_channels, g.kernel[1], g.padding[1]);
    let (length, out_length) = (g.output[1], g.input[1]);
    let most = kernel.div_ceil(STRIDE);
    // Element `u + most - 1` of a padded line is `dy[u]`; this is the largest `u` that an input position meets.
    let last = (out_length - 1 + padding) / STRIDE;
    let mut rest = &mut aligned(packed, packed_len::<S>(channels, outputs, kernel))[..];
    let parts: [Part<'_, S>; STRIDE] = std::array::from_fn(|residue| {
        let taps = (kernel - residue).div_ceil(STRIDE);
        let (here, later) = std::mem::take(&mut rest).split_at_mut(packed_len::<S>(channels, outputs, taps));
        rest = later;
        let weights = pack::<S>(here, channels, outputs, taps, |c, o, tap| {
            w[(o * channels + c) * kernel + residue + STRIDE * (taps - 1 - tap)]
        });
        // The first input position of this residue, counted from the padding's start.
        let first = (residue + STRIDE - padding % STRIDE) % STRIDE;
        let start = (first + padding) / STRIDE + most - taps;
        Part { weights, taps, start, first, positions: out_length.saturating_sub(first).div_ceil(STRIDE) }
    });
    let padding = [most - 1, (last + 1).saturating_sub(length)];
    let lines = Lines { simd, x: dy, lines: outputs, length, padding, channels, out_length, after };
    lines.run::<1, STRIDE>(&parts, dx, padded, rows);
}

#[inline(always)]
fn weight_grad<S: Simd>(
    simd: S,
    g: &ConvGeometry,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
    [packed, sums, _]: &mut [Vec<f32>; 3],
    totals: &mut [f32],
) {
    let lanes = S::F32_LANES;
    let (inputs, outputs, taps, positions) = (g.in_channels, g.out_channels, g.kernel[1], g.output[1]);
    let size = inputs * taps;
    let sums = aligned(sums, size * lanes);
    let rows = aligned(packed, GROUP * positions * lanes);
    let blocks = outputs.div_ceil(lanes);
    for block in 0..blocks {
        sums.fill(0.0);
        let first = block * lanes;
        let used = (outputs - first).min(lanes);
        let mut total = [0.0f64; MOST_LANES];
        for group in (0..g.batch).step_by(GROUP) {
            let samples = GROUP.min(g.batch - group);
            for n in 0..samples {
                let dy = &dy[((group + n) * outputs + first) * positions..][..used * positions];
                let rows = &mut rows[n * positions * lanes..][..positions * lanes];
                to_lanes(simd, dy, S::as_mut_simd_f32s(rows).0, positions);
            }
            let rows = S::as_simd_f32s(&rows[..samples * positions * lanes]).0;
            if !totals.is_empty() {
                for rows in rows.chunks_exact(positions) {
                    let mut sum = simd.splat_f32s(0.0);
                    for &row in rows {
                        sum = simd.add_f32s(sum, row);
                    }
                    let sum: &[f32] = bytemuck::cast_slice(std::slice::from_ref(&sum));
                    total.iter_mut().zip(sum).for_each(|(total, &x)| *total += f64::from(x));
                }
            }
            let x = &x[group * inputs * g.input[1]..];
            let sums = S::as_mut_simd_f32s(sums).0;
            let tiles = Tiles { simd, x, inputs, length: g.input[1], stride: g.stride[1], rows, positions };
            match taps {
                1 => tiles.run::<1, 8>(sums),
                2 => tiles.run::<2, 6>(sums),
                3 => tiles.run::<3, 4>(sums),
                4 => tiles.run::<4, 3>(sums),
                _ => tiles.run::<5, 2>(sums),
            }
        }
        for (to, sum) in totals.iter_mut().skip(first).zip(&total[..used]) {
            *to = *sum as f32;
        }
        for (index, vector) in sums.chunks_exact(lanes).enumerate() {
            for (lane, &sum) in vector[..used].iter().enumerate() {
                dw[(first + lane) * size + index] = sum;
            }
        }
    }
}

/// A group's part of the weight gradient.
struct Tiles<'a, S: Simd> {
    simd: S,
    /// The samples' lines, from the group's first.
    x: &'a [f32],
    inputs: usize,
    length: usize,
    stride: usize,
    /// `dy[n, p]` as vectors.
    rows: &'a [S::f32s],
    positions: usize,
}

impl<S: Simd> Tiles<'_, S> {
    /// For kernels of `Q` elements, `C` channels at once.
    #[inline(always)]
    fn run<const Q: usize, const C: usize>(&self, sums: &mut [S::f32s]) {
        let mut channel = 0;
        while channel < self.inputs {
            if channel + C <= self.inputs {
                self.tile::<Q, C>(channel, &mut sums[channel * Q..]);
                channel += C;
            } else {
                self.tile::<Q, 1>(channel, &mut sums[channel * Q..]);
                channel += 1;
            }
        }
    }

    #[inline(always)]
    fn tile<const Q: usize, const C: usize>(&self, channel: usize, sums: &mut [S::f32s]) {
        let simd = self.simd;
        let mut tile: [[S::f32s; Q]; C] = std::array::from_fn(|c| std::array::from_fn(|q| sums[c * Q + q]));
        for (n, rows) in self.rows.chunks_exact(self.positions).enumerate() {
            let first = (n * self.inputs + channel) * self.length;
            let lines: [&[f32]; C] = std::array::from_fn(|c| &self.x[first + c * self.length..][..self.length]);
            for (p, &row) in rows.iter().enumerate() {
                for c in 0..C {
                    let line = &lines[c][p * self.stride..][..Q];
                    for q in 0..Q {
                        tile[c][q] = simd.mul_add_f32s(simd.splat_f32s(line[q]), row, tile[c][q]);
                    }
                }
            }
        }
        for (sums, tile) in sums.chunks_exact_mut(Q).zip(&tile) {
            sums.copy_from_slice(tile);
        }
    }
}
