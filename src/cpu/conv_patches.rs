//! Convolutions with many channels, as matmuls with a patch matrix (im2col) that is built panel by panel in the cache.
//!
//! Each sample is copied with its padding. Row `(c, q)` of its patch matrix, the elements that kernel position `q`
//! reads in channel `c`, then consists of runs of that copy, contiguous or with stride `stride`.
//! - forward: `y[o, p] = Σ w[o, (c, q)] · patch[(c, q), p]`, for panels of three vectors of positions,
//! - input gradient of stride 1: a forward pass over `dy` with the kernel reversed,
//! - weight gradient: `dw[(c, q), o] += Σ patch[(c, q), p] · dy[p, o]`, for [`BLOCK`] positions at a time.
//!
//! Threads process whole samples. A weight gradient is the sum of partial results, whose number depends only on the
//! sizes; they are added up in order.

use super::epilogue::Epilogue;
use super::gemm::Layout;
use super::simd::{fast, lane_count};
use super::threads::{MOST, parts, split, with_panels};
use super::tiles::{Packed, PackedMatmul, Rows};
use super::words::{aligned, sized};
use crate::kernels::conv::ConvPass;
use crate::ops::conv::ConvGeometry;

/// Elements per block copy; the patch matrix needs this many elements of slack at the end.
const COPY: usize = 16;
/// Positions per block of the weight gradient.
const BLOCK: usize = 256;

/// Whether this algorithm supports the pass, and each element of the patch matrix is reused often enough.
pub(super) fn suits(pass: ConvPass, g: &ConvGeometry) -> bool {
    let sizes = [g.batch, g.group_in(), g.group_out(), g.output[0], g.output[1]];
    let channels = if pass == ConvPass::InputGrad { g.group_in() } else { g.group_out() };
    let positions = g.output[0] * g.output[1];
    let gradient = pass != ConvPass::InputGrad || reversed(g).is_some();
    lane_count() > 1 && sizes.iter().all(|&n| n > 0) && channels >= 8 && positions >= lane_count() && gradient
}

/// FLOPs of a pass.
pub(super) fn flops(g: &ConvGeometry) -> usize {
    2 * g.batch * g.out_channels * g.group_in() * g.kernel[0] * g.kernel[1] * g.output[0] * g.output[1]
}

/// The convolution of `dy` that computes the input gradient, if the stride is 1 and the padding is less than the
/// kernel's extent.
fn reversed(g: &ConvGeometry) -> Option<ConvGeometry> {
    let padding = |axis: usize| (g.dilation[axis] * (g.kernel[axis] - 1)).checked_sub(g.padding[axis]);
    let padding = [padding(0)?, padding(1)?];
    let (in_channels, out_channels, input, output) = (g.out_channels, g.in_channels, g.output, g.input);
    let back = ConvGeometry { in_channels, out_channels, input, output, padding, ..*g };
    (g.stride == [1, 1]).then_some(back)
}

/// Runs the pass, which must satisfy [`suits`].
pub(super) fn run(
    pass: ConvPass,
    g: &ConvGeometry,
    a: &[f32],
    b: &[f32],
    out: &mut [f32],
    panels: &mut [Vec<f32>; 3],
    epilogue: Epilogue<'_>,
) {
    match (pass, reversed(g)) {
        (ConvPass::WeightGrad, _) => weight_grad(g, a, b, out, &mut panels[0], epilogue),
        (ConvPass::InputGrad, Some(back)) => {
            let w = sized(&mut panels[0], b.len());
            let (inputs, outputs, kernel) = (g.group_in(), g.group_out(), g.kernel[0] * g.kernel[1]);
            // `w[group][c][o][q reversed]` from `w[group][o][c][q]`.
            for (index, w) in w.chunks_exact_mut(kernel).enumerate() {
                let (group, c, o) = (index / (inputs * outputs), index / outputs % inputs, index % outputs);
                let from = &b[((group * outputs + o) * inputs + c) * kernel..][..kernel];
                w.iter_mut().zip(from.iter().rev()).for_each(|(to, &x)| *to = x);
            }
            forward(&back, a, w, out, epilogue);
        }
        _ => forward(g, a, b, out, epilogue),
    }
}

/// The padded copy of one sample and group.
struct Padded<'a> {
    g: &'a ConvGeometry,
    /// Height and width.
    size: [usize; 2],
}

impl<'a> Padded<'a> {
    fn new(g: &'a ConvGeometry) -> Self {
        Padded { g, size: std::array::from_fn(|axis| g.input[axis] + 2 * g.padding[axis]) }
    }
    fn len(&self) -> usize {
        self.g.group_in() * self.size[0] * self.size[1] + COPY * self.g.stride[1]
    }
    /// Rows of the patch matrix.
    fn rows(&self) -> usize {
        self.g.group_in() * self.g.kernel[0] * self.g.kernel[1]
    }
    fn fill(&self, x: &[f32], padded: &mut [f32]) {
        let ([h, w], [before, left], length) = (self.g.input, self.g.padding, self.size[1]);
        if self.g.padding != [0, 0] {
            padded.fill(0.0);
        }
        for (x, padded) in x.chunks_exact(h * w).zip(padded.chunks_exact_mut(self.size[0] * length)) {
            for (x, line) in x.chunks_exact(w).zip(padded[before * length..].chunks_exact_mut(length)) {
                line[left..left + w].copy_from_slice(x);
            }
        }
    }
    /// Writes `count` positions, from `first` on, of all rows of the patch matrix to `patches`. The row stride there is
    /// `width`, and there are `COPY` elements of slack at the end.
    fn gather(&self, padded: &[f32], first: usize, count: usize, width: usize, patches: &mut [f32]) {
        match self.g.stride[1] {
            1 => fast(|| self.gather_by::<1>(padded, first, count, width, patches)),
            2 => fast(|| self.gather_by::<2>(padded, first, count, width, patches)),
            _ => fast(|| self.gather_by::<0>(padded, first, count, width, patches)),
        }
    }
    #[inline(always)]
    fn gather_by<const STRIDE: usize>(
        &self,
        padded: &[f32],
        first: usize,
        count: usize,
        width: usize,
        patches: &mut [f32],
    ) {
        let (g, [height, length]) = (self.g, self.size);
        let stride = if STRIDE == 0 { g.stride[1] } else { STRIDE };
        let [kh, kw] = g.kernel;
        let mut row = 0;
        for (c, qy) in (0..g.group_in()).flat_map(|c| (0..kh).map(move |qy| (c, qy))) {
            for qx in 0..kw {
                let start = (c * height + qy * g.dilation[0]) * length + qx * g.dilation[1];
                let (mut py, mut px, mut done) = (first / g.output[1], first % g.output[1], 0);
                while done < count {
                    let n = (g.output[1] - px).min(count - done);
                    let from = &padded[start + py * g.stride[0] * length + px * stride..];
                    let to = &mut patches[row + done..];
                    // Whole blocks are copied: what they write beyond the run is overwritten later.
                    for block in (0..n).step_by(COPY) {
                        let to = &mut to[block..][..COPY];
                        let from = &from[block * stride..][..(COPY - 1) * stride + 1];
                        for i in 0..COPY {
                            to[i] = from[i * stride];
                        }
                    }
                    (done, px, py) = (done + n, 0, py + 1);
                }
                row += width;
            }
        }
    }
}

fn forward(g: &ConvGeometry, x: &[f32], w: &[f32], y: &mut [f32], epilogue: Epilogue<'_>) {
    let padded_size = Padded::new(g);
    let (rows, positions, outputs, flops) = (padded_size.rows(), g.output[0] * g.output[1], g.group_out(), flops(g));
    let size = g.out_channels * positions;
    let (group_in, group_out) = (g.group_in() * g.input[0] * g.input[1], outputs * positions);
    let lanes = lane_count();
    split(y, size, parts(flops, g.batch.min(MOST)), flops, &|first, block| {
        with_panels(|[padded, patches, _]| {
            let padded = aligned(padded, padded_size.len());
            let patches = aligned(patches, rows * 3 * lanes + COPY);
            for (n, y) in block.chunks_exact_mut(size).enumerate() {
                for (group, y) in y.chunks_exact_mut(group_out).enumerate() {
                    let x = &x[((first + n) * g.groups + group) * group_in..][..group_in];
                    padded_size.fill(x, padded);
                    let w = &w[group * outputs * rows..][..outputs * rows];
                    for at in (0..positions).step_by(3 * lanes) {
                        let count = (positions - at).min(3 * lanes);
                        let width = count.next_multiple_of(lanes);
                        padded_size.gather(padded, at, count, width, patches);
                        let b = Packed { data: &patches[..rows * width], k: rows, n: count };
                        let (m, c) = (outputs, &mut y[at..]);
                        let dense = Rows::Dense { stride: rows };
                        PackedMatmul { m, a: w, rows: dense, b, c, ldc: positions, accumulate: false }.run();
                    }
                }
                let start = (first + n) * size;
                epilogue.finish(start, y);
            }
        });
    });
}

fn weight_grad(g: &ConvGeometry, x: &[f32], dy: &[f32], dw: &mut [f32], sums: &mut Vec<f32>, epilogue: Epilogue<'_>) {
    let padded_size = Padded::new(g);
    let (rows, positions, outputs, flops) = (padded_size.rows(), g.output[0] * g.output[1], g.group_out(), flops(g));
    let (group_in, group_out) = (g.group_in() * g.input[0] * g.input[1], outputs * positions);
    let parts = parts(flops, g.batch.min(MOST));
    let sums = sized(sums, parts * dw.len());
    let size = dw.len();
    let block_size = BLOCK.min(positions.next_multiple_of(COPY));
    // `sums[part][group][(c, q)][o]`.
    split(sums, size, parts, flops, &|first, block| {
        with_panels(|[padded, patches, packed]| {
            let padded = aligned(padded, padded_size.len());
            let patches = aligned(patches, rows * block_size + COPY);
            for (part, sums) in block.chunks_exact_mut(size).enumerate() {
                let part = first + part;
                sums.fill(0.0);
                for n in g.batch * part / parts..g.batch * (part + 1) / parts {
                    for (group, sums) in sums.chunks_exact_mut(rows * outputs).enumerate() {
                        let x = &x[(n * g.groups + group) * group_in..][..group_in];
                        padded_size.fill(x, padded);
                        for at in (0..positions).step_by(block_size) {
                            let count = (positions - at).min(block_size);
                            padded_size.gather(padded, at, count, block_size, patches);
                            let column = Layout::dense(positions).t().at((n * g.groups + group) * group_out + at);
                            let b = Packed::new(count, outputs, dy, column, packed);
                            let dense = Rows::Dense { stride: block_size };
                            let c = &mut *sums;
                            PackedMatmul { m: rows, a: patches, rows: dense, b, c, ldc: outputs, accumulate: true }
                                .run();
                        }
                    }
                }
            }
        });
    });
    let (total, rest) = sums.split_at_mut(size);
    for part in rest.chunks_exact(size) {
        total.iter_mut().zip(part).for_each(|(total, x)| *total += x);
    }
    for (total, dw) in total.chunks_exact(rows * outputs).zip(dw.chunks_exact_mut(rows * outputs)) {
        for (o, dw) in dw.chunks_exact_mut(rows).enumerate() {
            dw.iter_mut().zip(total[o..].iter().step_by(outputs)).for_each(|(to, &x)| *to = x);
        }
    }
    epilogue.finish(0, dw);
}
