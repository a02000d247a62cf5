//! The forward pass and the input gradient.
//!
//! - forward: `y[n, p, :] = Σ x[n, c, p·stride + q] · w[c, q, :]`; lanes are output channels. The sums of a tile of
//!   positions are accumulated in registers, by fused multiply-adds of an element of `x`, broadcast to all lanes, and a
//!   vector of weights.
//! - input gradient: the input positions with the same residue modulo the stride are computed by a forward pass of
//!   stride 1 over `dy`, with the kernel positions that read them, in reverse order; lanes are input channels.

// Loops index several register arrays at once.
#![allow(clippy::needless_range_loop)]

use super::{Conv, MemoryFormat};
use crate::cpu::epilogue::Epilogue;
use crate::cpu::lanes::{COPY, from_lanes, lines_to_lanes, pad_rows};
use crate::cpu::words::aligned;
use crate::kernels::conv::ConvPass;
use pulp::Simd;

/// The number of positions of the largest tile.
const TILE: usize = 12;

/// A pass: for each position, a sum over input channels and taps of an element times a vector of weights.
struct Positions<'a, S: Simd> {
    simd: S,
    /// The input of all samples.
    x: &'a [f32],
    format: MemoryFormat,
    /// Input channels, and positions of each.
    inputs: usize,
    length: usize,
    /// Zeros before and after the positions of the input.
    padding: [usize; 2],
    /// Output channels, and positions of each.
    channels: usize,
    out_length: usize,
    out_format: MemoryFormat,
    /// The epilogue, and the offset of the output in the whole result.
    epilogue: (Epilogue<'a>, usize),
}

/// Output positions that have the same taps.
#[derive(Clone, Copy)]
struct Part<'a, S: Simd> {
    /// Vectors of weights: `[block of lanes][input channel][tap]`.
    weights: &'a [S::f32s],
    /// For each input channel and tap, the offset of the element it reads from a position's first element.
    offsets: &'a [u32],
    /// The padded input position that the first output position starts at.
    start: usize,
    /// The first output position, and the distance between them.
    first: usize,
    step: usize,
    positions: usize,
}

/// Allocates weights and offsets of parts from scratch memory; holds what is still free.
struct Memory<'a, S: Simd> {
    simd: S,
    weights: &'a mut [S::f32s],
    offsets: &'a mut [u32],
    channels: usize,
    inputs: usize,
    /// The strides between positions and between channels.
    pitch: [usize; 2],
}

impl<'a, S: Simd> Memory<'a, S> {
    /// Packs the weights of a part with this many taps, and computes its offsets. The index of a weight in `w` is
    /// `at(output channel, input channel, tap)`.
    #[inline(always)]
    fn take(
        &mut self,
        taps: usize,
        w: &[f32],
        at: impl Fn(usize, usize, usize) -> usize,
    ) -> (&'a [S::f32s], &'a [u32]) {
        let (lanes, terms) = (S::F32_LANES, self.inputs * taps);
        let blocks = self.channels.div_ceil(lanes);
        let (weights, rest) = std::mem::take(&mut self.weights).split_at_mut(blocks * terms);
        self.weights = rest;
        let (offsets, rest) = std::mem::take(&mut self.offsets).split_at_mut(terms);
        self.offsets = rest;
        let pairs = (0..self.inputs).flat_map(|c| (0..taps).map(move |tap| (c, tap)));
        for (offset, (c, tap)) in offsets.iter_mut().zip(pairs) {
            *offset = (c * self.pitch[1] + tap * self.pitch[0]) as u32;
        }
        for (block, weights) in weights.chunks_exact_mut(terms.max(1)).enumerate() {
            let first = block * lanes;
            let used = (self.channels - first).min(lanes);
            let start = at(first, 0, 0);
            if at(first, self.inputs, 0) == start + terms && at(first + 1, 0, 0) == start + terms && lanes < 2 * terms {
                // The weights of each lane are contiguous, so a transpose packs them.
                lines_to_lanes(self.simd, &w[start..], terms, used, weights, 1, terms);
                continue;
            }
            let mut vectors = bytemuck::cast_slice_mut::<_, f32>(weights).chunks_exact_mut(lanes);
            for c in 0..self.inputs {
                for (tap, vector) in vectors.by_ref().take(taps).enumerate() {
                    vector[used..].fill(0.0);
                    for lane in 0..used {
                        vector[lane] = w[at(first + lane, c, tap)];
                    }
                }
            }
        }
        (weights, offsets)
    }
}

/// The destination of a block of lanes: one vector per position, for one or two samples.
struct Rows<'a, S: Simd> {
    rows: &'a mut [S::f32s],
    /// In vectors: the stride between positions, the stride between samples, and the offset of the first.
    pitch: usize,
    sample: usize,
    first: usize,
}

impl<S: Simd> Positions<'_, S> {
    /// Processes all samples, with `stride` input positions between adjacent output positions.
    #[inline(always)]
    fn by_format(
        &self,
        stride: usize,
        parts: &[Part<'_, S>],
        out: &mut [f32],
        padded: &mut Vec<f32>,
        rows: &mut Vec<f32>,
    ) {
        // The inner loops are specialised for stride and memory format.
        match (stride, self.format) {
            (1, MemoryFormat::ChannelsFirst) => self.samples::<1, 0>(parts, out, padded, rows),
            (1, MemoryFormat::ChannelsLast(1)) => self.samples::<1, 1>(parts, out, padded, rows),
            (1, _) => self.samples::<1, 2>(parts, out, padded, rows),
            (_, MemoryFormat::ChannelsFirst) => self.samples::<2, 0>(parts, out, padded, rows),
            (_, MemoryFormat::ChannelsLast(1)) => self.samples::<2, 1>(parts, out, padded, rows),
            (_, _) => self.samples::<2, 2>(parts, out, padded, rows),
        }
    }

    /// Processes samples in pairs. `X` is the number of vectors per position of the input if it is channels-last, and 0
    /// if it is channels-first.
    #[inline(always)]
    fn samples<const STRIDE: usize, const X: usize>(
        &self,
        parts: &[Part<'_, S>],
        out: &mut [f32],
        padded: &mut Vec<f32>,
        rows: &mut Vec<f32>,
    ) {
        let lanes = S::F32_LANES;
        let [before, after] = self.padding;
        let length = before + self.length + after;
        let (size, padded_size) = (self.format.size(self.inputs, self.length), self.format.size(self.inputs, length));
        let padded = aligned(padded, 2 * padded_size + COPY);
        let out_size = self.out_format.size(self.channels, self.out_length);
        let rows =
            aligned(rows, if self.out_format == MemoryFormat::ChannelsFirst { 2 * self.out_length * lanes } else { 0 });
        let (finish, start) = self.epilogue;
        let bias = finish.by_channel(self.channels, self.out_length);
        for (pair, (x, out)) in self.x.chunks(2 * size).zip(out.chunks_mut(2 * out_size)).enumerate() {
            let x = if before + after == 0 {
                x
            } else if X == 0 {
                pad_rows(x, self.length, padded, length, before);
                &padded[..2 * padded_size]
            } else {
                pad_positions(x, size, padded, padded_size, before * X * lanes);
                &padded[..2 * padded_size]
            };
            let two = out.len() > out_size;
            for block in 0..self.channels.div_ceil(lanes) {
                let first = block * lanes;
                let used = (self.channels - first).min(lanes);
                let (target, pitch, column) = match self.out_format {
                    MemoryFormat::ChannelsFirst => (&mut *rows, 1, 0),
                    MemoryFormat::ChannelsLast(vectors) => (&mut *out, vectors, block),
                };
                let target = S::as_mut_simd_f32s(target).0;
                let mut to = Rows::<S> { rows: target, pitch, sample: self.out_length * pitch, first: column };
                for part in parts {
                    self.part::<STRIDE, X>(part, block, x, two, &mut to);
                }
                if let Some(bias) = bias {
                    // Lanes are channels here, so the bias is the same vector for all positions.
                    let values = self.simd.partial_load_f32s(&bias.values[first..first + used]);
                    self.bias(values, bias.relu, to.rows[column..].iter_mut().step_by(pitch));
                }
                if self.out_format == MemoryFormat::ChannelsFirst {
                    let rows = S::as_simd_f32s(rows).0;
                    for (rows, out) in rows.chunks_exact(self.out_length).zip(out.chunks_exact_mut(out_size)) {
                        let out = &mut out[first * self.out_length..][..used * self.out_length];
                        from_lanes(self.simd, rows, out, self.out_length);
                    }
                }
            }
            if bias.is_none() {
                finish.block(start + pair * 2 * out_size, out);
            }
        }
    }

    #[inline(always)]
    fn bias<'r>(&self, values: S::f32s, relu: bool, rows: impl Iterator<Item = &'r mut S::f32s>)
    where
        S: 'r,
    {
        let (simd, zero) = (self.simd, self.simd.splat_f32s(0.0));
        for row in rows {
            let sum = simd.add_f32s(*row, values);
            *row = if relu { simd.select_f32s(simd.less_than_or_equal_f32s(sum, zero), zero, sum) } else { sum };
        }
    }

    /// Computes the positions of a part for one or two samples, tile by tile.
    #[inline(always)]
    fn part<const STRIDE: usize, const X: usize>(
        &self,
        part: &Part<'_, S>,
        block: usize,
        x: &[f32],
        two: bool,
        to: &mut Rows<'_, S>,
    ) {
        let size = part.offsets.len();
        let weights = &part.weights[block * size..][..size];
        let tiles = part.positions.div_ceil(TILE);
        let pitch = if X == 0 { 1 } else { X * S::F32_LANES };
        let next = x.len() / 2;
        let mut done = 0;
        for tile in 0..tiles {
            let n = (part.positions - done).div_ceil(tiles - tile);
            let at = part.first + done * part.step;
            let from = (part.start + done * STRIDE) * pitch;
            macro_rules! sizes {
                ($($n:literal)*) => {
                    match n {
                        // As many independent accumulators as there are registers for.
                        $($n if two && (S::F32_LANES >= 16 || 2 * $n <= TILE) => {
                            let samples = [&x[from..], &x[next + from..]];
                            let sums = self.tile::<STRIDE, X, $n, 2>(samples, weights, part.offsets);
                            to.store(&sums[0], 0, at, part.step);
                            to.store(&sums[1], 1, at, part.step);
                        })*
                        $($n => {
                            let sums = self.tile::<STRIDE, X, $n, 1>([&x[from..]], weights, part.offsets);
                            to.store(&sums[0], 0, at, part.step);
                            if two && S::F32_LANES < 16 {
                                let sums = self.tile::<STRIDE, X, $n, 1>([&x[next + from..]], weights, part.offsets);
                                to.store(&sums[0], 1, at, part.step);
                            }
                        })*
                        _ => unreachable!("a tile of {n}"),
                    }
                };
            }
            sizes!(1 2 3 4 5 6 7 8 9 10 11 12);
            done += n;
        }
    }

    /// The sums of `N` samples at `T` positions.
    #[inline(always)]
    fn tile<const STRIDE: usize, const X: usize, const T: usize, const N: usize>(
        &self,
        samples: [&[f32]; N],
        weights: &[S::f32s],
        offsets: &[u32],
    ) -> [[S::f32s; T]; N] {
        let simd = self.simd;
        let pitch = if X == 0 { 1 } else { X * S::F32_LANES };
        let mut sums = [[simd.splat_f32s(0.0); T]; N];
        for (&w, &at) in weights.iter().zip(offsets) {
            // Loops, not `array::from_fn`: code that is not inlined is not compiled for these vector instructions.
            let (at, mut from) = (at as usize, samples);
            for k in 0..N {
                from[k] = &samples[k][at..at + (T - 1) * STRIDE * pitch + 1];
            }
            for k in 0..N {
                for t in 0..T {
                    sums[k][t] = simd.mul_add_f32s(simd.splat_f32s(from[k][t * STRIDE * pitch]), w, sums[k][t]);
                }
            }
        }
        sums
    }
}

impl<S: Simd> Rows<'_, S> {
    /// Stores the sums of a tile, with `step` positions between them.
    #[inline(always)]
    fn store<const T: usize>(&mut self, sums: &[S::f32s; T], sample: usize, position: usize, step: usize) {
        let first = sample * self.sample + position * self.pitch + self.first;
        let step = step * self.pitch;
        let rows = &mut self.rows[first..][..(T - 1) * step + 1];
        for t in 0..T {
            rows[t * step] = sums[t];
        }
    }
}

/// Pads samples of `size` elements with zeros to samples of `to` elements, `before` of the zeros in front.
#[inline(always)]
fn pad_positions(from: &[f32], size: usize, padded: &mut [f32], to: usize, before: usize) {
    for (from, padded) in from.chunks_exact(size).zip(padded.chunks_exact_mut(to)) {
        padded[..before].fill(0.0);
        padded[before..before + size].copy_from_slice(from);
        padded[before + size..].fill(0.0);
    }
}

/// Runs a forward pass or an input gradient.
#[inline(always)]
pub(super) fn run<S: Simd>(
    simd: S,
    Conv { pass, g, formats, a: x, b: w }: Conv<'_>,
    out: &mut [f32],
    [packed, padded, rows]: &mut [Vec<f32>; 3],
    epilogue: (Epilogue<'_>, usize),
) {
    let forward = pass == ConvPass::Forward;
    let (x_end, y_end) = ((g.in_channels, g.input[1]), (g.out_channels, g.output[1]));
    let ((inputs, length), (channels, out_length)) = if forward { (x_end, y_end) } else { (y_end, x_end) };
    let (kernel, stride, padding) = (g.kernel[1], g.stride[1], g.padding[1]);
    let padding = if forward {
        [padding; 2]
    } else {
        // Position `u + before` of the padded `dy` is `dy[u]`; `last` is the largest `u` that an input position needs.
        let (before, last) = (kernel.div_ceil(stride) - 1, (out_length - 1 + padding) / stride);
        [before, (last + 1).saturating_sub(length)]
    };
    let terms = inputs * kernel;
    let size = channels.next_multiple_of(S::F32_LANES) * terms;
    let (packed, offsets) = aligned(packed, size + terms).split_at_mut(size);
    let mut memory = Memory {
        simd,
        weights: S::as_mut_simd_f32s(packed).0,
        offsets: bytemuck::cast_slice_mut(offsets),
        channels,
        inputs,
        pitch: match formats.a {
            MemoryFormat::ChannelsFirst => [1, padding[0] + length + padding[1]],
            MemoryFormat::ChannelsLast(vectors) => [vectors * S::F32_LANES, 1],
        },
    };
    let parts = if forward {
        let (weights, offsets) = memory.take(kernel, w, |o, c, q| (o * inputs + c) * kernel + q);
        let whole = Part { weights, offsets, start: 0, first: 0, step: 1, positions: out_length };
        [whole, Part { positions: 0, ..whole }]
    } else {
        let most = kernel.div_ceil(stride);
        // The stride is 1 or 2; if it is 1, the second part stays empty.
        let mut parts = [Part { weights: &[], offsets: &[], start: 0, first: 0, step: stride, positions: 0 }; 2];
        for (residue, part) in parts.iter_mut().enumerate().take(stride) {
            let taps = (kernel - residue).div_ceil(stride);
            let at = |c, o, tap| (o * channels + c) * kernel + residue + stride * (taps - 1 - tap);
            (part.weights, part.offsets) = memory.take(taps, w, at);
            // The first input position that has this residue when counted from the start of the padding.
            part.first = (residue + stride - g.padding[1] % stride) % stride;
            part.start = (part.first + g.padding[1]) / stride + most - taps;
            part.positions = out_length.saturating_sub(part.first).div_ceil(stride);
        }
        parts
    };
    let stride = if forward { stride } else { 1 };
    let (format, out_format) = (formats.a, formats.out);
    let pass = Positions { simd, x, format, inputs, length, padding, channels, out_length, out_format, epilogue };
    pass.by_format(stride, &parts, out, padded, rows);
}
