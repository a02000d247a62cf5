//! The weight gradient: `dw[c, q, :] += x[n, c, p·stride + q] · dy[n, p, :]`. Lanes are output channels, and a tile of
//! `(c, q)` is accumulated in registers.

// Loops index several register arrays at once.
#![allow(clippy::needless_range_loop)]

use super::{Conv, MemoryFormat};
use crate::cpu::lanes::{MOST_LANES, to_lanes};
use crate::cpu::words::aligned;
use pulp::Simd;

/// Samples that are processed for one tile of `(c, q)` before the next tile.
const GROUP: usize = 8;

/// Computes the weight gradient.
#[inline(always)]
pub(super) fn run<S: Simd>(
    simd: S,
    Conv { g, formats, a: x, b: dy, .. }: Conv<'_>,
    dw: &mut [f32],
    [packed, sums, _]: &mut [Vec<f32>; 3],
    totals: &mut [f32],
) {
    let lanes = S::F32_LANES;
    let (inputs, outputs, taps, positions) = (g.in_channels, g.out_channels, g.kernel[1], g.output[1]);
    let size = inputs * taps;
    let sums = aligned(sums, size * lanes);
    let transposed =
        aligned(packed, if formats.b == MemoryFormat::ChannelsFirst { GROUP * positions * lanes } else { 0 });
    let x_size = formats.a.size(inputs, g.input[1]);
    let blocks = outputs.div_ceil(lanes);
    for block in 0..blocks {
        sums.fill(0.0);
        let first = block * lanes;
        let used = (outputs - first).min(lanes);
        let mut total = [0.0f64; MOST_LANES];
        for group in (0..g.batch).step_by(GROUP) {
            let samples = GROUP.min(g.batch - group);
            let (rows, pitch) = match formats.b {
                MemoryFormat::ChannelsFirst => {
                    for n in 0..samples {
                        let dy = &dy[((group + n) * outputs + first) * positions..][..used * positions];
                        let rows = &mut transposed[n * positions * lanes..][..positions * lanes];
                        to_lanes(simd, dy, S::as_mut_simd_f32s(rows).0, positions);
                    }
                    (S::as_simd_f32s(&transposed[..samples * positions * lanes]).0, 1)
                }
                MemoryFormat::ChannelsLast(pitch) => {
                    let rows = &S::as_simd_f32s(dy).0[group * positions * pitch..][..samples * positions * pitch];
                    (&rows[block..], pitch)
                }
            };
            if !totals.is_empty() {
                for n in 0..samples {
                    let mut sum = simd.splat_f32s(0.0);
                    for &row in rows[n * positions * pitch..].iter().step_by(pitch).take(positions) {
                        sum = simd.add_f32s(sum, row);
                    }
                    let sum: &[f32] = bytemuck::cast_slice(std::slice::from_ref(&sum));
                    total.iter_mut().zip(sum).for_each(|(total, &x)| *total += f64::from(x));
                }
            }
            let sums = S::as_mut_simd_f32s(sums).0;
            let (x, length, stride) = (&x[group * x_size..][..samples * x_size], g.input[1], g.stride[1]);
            let tiles = Tiles { simd, x, x_size, inputs, length, stride, rows, pitch, positions };
            match formats.a {
                MemoryFormat::ChannelsFirst => tiles.by_taps::<0>(taps, sums),
                MemoryFormat::ChannelsLast(1) => tiles.by_taps::<1>(taps, sums),
                MemoryFormat::ChannelsLast(_) => tiles.by_taps::<2>(taps, sums),
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

/// The contribution of a group of samples to the weight gradient.
struct Tiles<'a, S: Simd> {
    simd: S,
    /// The group's samples, and the number of elements of each.
    x: &'a [f32],
    x_size: usize,
    inputs: usize,
    length: usize,
    stride: usize,
    /// `dy[n, p]` as vectors, with a stride of `pitch`.
    rows: &'a [S::f32s],
    pitch: usize,
    positions: usize,
}

impl<S: Simd> Tiles<'_, S> {
    /// `X` is the number of vectors per position of `x` if it is channels-last, and 0 if it is channels-first.
    #[inline(always)]
    fn by_taps<const X: usize>(&self, taps: usize, sums: &mut [S::f32s]) {
        macro_rules! channels {
            ($q:literal: $($c:literal)*) => {{
                let tiles = self.inputs.div_ceil([$($c),*][0]);
                let (mut channel, mut tile) = (0, 0);
                while channel < self.inputs {
                    // Tiles of about equal size.
                    let count = (self.inputs - channel).div_ceil((tiles - tile).max(1));
                    let sums = &mut sums[channel * $q..];
                    channel += $(if count >= $c {
                        self.tile::<X, $q, $c>(channel, sums);
                        $c
                    } else)* {
                        unreachable!("a tile of {count}")
                    };
                    tile = tiles.min(tile + 1);
                }
            }};
        }
        match taps {
            1 => channels!(1: 8 5 3 1),
            2 => channels!(2: 6 5 4 3 1),
            3 => channels!(3: 5 4 3 2 1),
            4 => channels!(4: 4 3 2 1),
            _ => channels!(5: 3 2 1),
        }
    }

    /// A tile of `C` channels and kernels of `Q` elements.
    #[inline(always)]
    fn tile<const X: usize, const Q: usize, const C: usize>(&self, channel: usize, sums: &mut [S::f32s]) {
        let simd = self.simd;
        let sums = &mut sums[..C * Q];
        // Loops, not `array::from_fn`: code that is not inlined is not compiled for these vector instructions.
        let mut tile = [[simd.splat_f32s(0.0); Q]; C];
        for c in 0..C {
            for q in 0..Q {
                tile[c][q] = sums[c * Q + q];
            }
        }
        let rows = self.rows.chunks(self.positions * self.pitch);
        for (x, rows) in self.x.chunks_exact(self.x_size).zip(rows) {
            let rows = rows.iter().step_by(self.pitch);
            if X == 0 {
                let mut lines = [x; C];
                for c in 0..C {
                    lines[c] = &x[(channel + c) * self.length..][..self.length];
                }
                for (p, &row) in rows.enumerate() {
                    for c in 0..C {
                        let line = &lines[c][p * self.stride..][..Q];
                        for q in 0..Q {
                            tile[c][q] = simd.mul_add_f32s(simd.splat_f32s(line[q]), row, tile[c][q]);
                        }
                    }
                }
            } else {
                let pitch = X * S::F32_LANES;
                for (p, &row) in rows.enumerate() {
                    let x = &x[p * self.stride * pitch + channel..][..(Q - 1) * pitch + C];
                    for c in 0..C {
                        for q in 0..Q {
                            tile[c][q] = simd.mul_add_f32s(simd.splat_f32s(x[q * pitch + c]), row, tile[c][q]);
                        }
                    }
                }
            }
        }
        for c in 0..C {
            for q in 0..Q {
                sums[c * Q + q] = tile[c][q];
            }
        }
    }
}
