//! Direct 1-d convolutions, without a patch matrix, for few channels: vector lanes are channels.
//!
//! - [`positions`]: the forward pass and the input gradient, vectorised over the output's channels,
//! - [`weight`]: the weight gradient, a sum over positions.
//!
//! Where the planner can, it stores values between convolutions channels-last, so that no transposes are needed. Sums
//! are computed in a fixed order, which is the same for both memory formats.

mod positions;
mod weight;

use super::epilogue::Epilogue;
use super::simd::lane_count;
use super::threads::{MOST, parts, split, with_panels};
use super::words::sized;
use crate::kernels::conv::ConvPass;
use crate::ops::conv::ConvGeometry;
use crate::shape::View;
use pulp::{Arch, Simd, WithSimd};

/// The maximum number of vectors per position for which there is channels-last code.
const MAX_VECTORS: usize = 2;

/// The memory format of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MemoryFormat {
    /// Channels first, contiguous: a line of positions for each channel.
    ChannelsFirst,
    /// Channels last, padded with zeros to this many whole vectors per position.
    ChannelsLast(usize),
}

impl MemoryFormat {
    /// The memory format of an operand.
    pub(super) fn of(view: &View) -> MemoryFormat {
        if view.is_dense() {
            MemoryFormat::ChannelsFirst
        } else {
            MemoryFormat::ChannelsLast(view.strides[2] as usize / lane_count())
        }
    }
    /// Whether channels-last is supported for this many channels.
    pub(super) fn is_supported(channels: usize) -> bool {
        channels.div_ceil(lane_count()) <= MAX_VECTORS
    }
    /// The number of elements of a sample, padding channels included.
    pub(super) fn size(self, channels: usize, length: usize) -> usize {
        match self {
            MemoryFormat::ChannelsFirst => channels * length,
            MemoryFormat::ChannelsLast(vectors) => vectors * lane_count() * length,
        }
    }
}

/// The operands' memory formats. Weights and their gradients are always contiguous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Formats {
    pub(super) a: MemoryFormat,
    pub(super) b: MemoryFormat,
    pub(super) out: MemoryFormat,
}

impl Formats {
    /// The memory formats of a launch's operands.
    pub(super) fn of([a, b, out]: [&View; 3]) -> Self {
        Formats { a: MemoryFormat::of(a), b: MemoryFormat::of(b), out: MemoryFormat::of(out) }
    }
    /// All operands channels-first, as operations define them.
    pub(super) const CHANNELS_FIRST: Formats =
        Formats { a: MemoryFormat::ChannelsFirst, b: MemoryFormat::ChannelsFirst, out: MemoryFormat::ChannelsFirst };
}

/// Whether this algorithm supports the pass, and channels fill enough of the lanes.
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

/// A convolution's operands.
#[derive(Clone, Copy)]
pub(super) struct Conv<'a> {
    pub(super) pass: ConvPass,
    pub(super) g: &'a ConvGeometry,
    pub(super) formats: Formats,
    pub(super) a: &'a [f32],
    pub(super) b: &'a [f32],
}

/// Runs the pass, which must satisfy [`suits`]. Threads process samples, or compute partial sums over samples. With a
/// weight gradient, `totals` gets the sums of `b` for each output channel, unless it is empty.
pub(super) fn run(
    conv: Conv<'_>,
    out: &mut [f32],
    panels: &mut [Vec<f32>; 3],
    epilogue: Epilogue<'_>,
    totals: &mut [f32],
) {
    let Conv { pass, g, formats, a, b } = conv;
    let (x, y) = ((g.in_channels, g.input[1]), (g.out_channels, g.output[1]));
    let size = |format: MemoryFormat, (channels, length)| format.size(channels, length);
    let flops = 2 * g.batch * g.in_channels.max(lane_count()) * g.out_channels * g.kernel[1] * g.output[1];
    // Channels-first operands are transposed, which takes time too.
    let transposed = if formats == Formats::CHANNELS_FIRST { g.batch * (x.0 * x.1 + y.0 * y.1) } else { 0 };
    let work = flops + 16 * transposed;
    if pass == ConvPass::WeightGrad {
        let (x, y) = (size(formats.a, x), size(formats.b, y));
        // Half as many parts as the FLOPs alone suggest, since each part's sums are also cleared, transposed and added
        // up. The number does not depend on the memory formats, so that results are bitwise identical for all of them.
        let parts = parts(flops / 2, g.batch.min(MOST));
        let part = |first: usize, end: usize, sums: &mut [f32], totals: &mut [f32], panels: &mut [Vec<f32>; 3]| {
            let g = ConvGeometry { batch: end - first, ..*g };
            let conv = Conv { g: &g, a: &a[first * x..end * x], b: &b[first * y..end * y], ..conv };
            Arch::new().dispatch(Run { conv, out: sums, panels, epilogue: Epilogue::None, start: 0, totals });
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
        epilogue.finish(0, out);
        return;
    }
    let (from, to) = if pass == ConvPass::Forward { (x, y) } else { (y, x) };
    let (from, to) = (size(formats.a, from), size(formats.out, to));
    // Samples are processed in pairs.
    split(out, 2 * to, parts(work, (g.batch / 2).min(MOST)), work, &|first, block| {
        let (start, batch) = (2 * first, block.len() / to);
        let g = ConvGeometry { batch, ..*g };
        let conv = Conv { g: &g, a: &a[start * from..][..batch * from], ..conv };
        let start = start * to;
        with_panels(|panels| Arch::new().dispatch(Run { conv, out: block, panels, epilogue, start, totals: &mut [] }));
    });
}

struct Run<'a> {
    conv: Conv<'a>,
    out: &'a mut [f32],
    panels: &'a mut [Vec<f32>; 3],
    /// The epilogue, and the offset of `out` in the whole result.
    epilogue: Epilogue<'a>,
    start: usize,
    totals: &'a mut [f32],
}

impl WithSimd for Run<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Run { conv, out, panels, epilogue, start, totals } = self;
        if S::F32_LANES == 1 {
            unreachable!("`suits` requires vector instructions");
        }
        match conv.pass {
            ConvPass::WeightGrad => weight::run(simd, conv, out, panels, totals),
            _ => positions::run(simd, conv, out, panels, (epilogue, start)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;
    use crate::cpu::epilogue::Bias;
    use crate::cpu::threads::region;
    use crate::ops::conv::{Conv as ConvOp, ConvKind, ConvOptions};

    fn values(n: usize, seed: f32) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * 0.7 + seed).sin()).collect()
    }

    /// Converts from channels-first to this memory format; padding channels are 0.
    fn convert(lines: &[f32], format: MemoryFormat, [batch, channels, length]: [usize; 3]) -> Vec<f32> {
        let MemoryFormat::ChannelsLast(vectors) = format else { return lines.to_vec() };
        let pitch = vectors * lane_count();
        let mut to = vec![0.0; batch * length * pitch];
        for (i, &x) in lines.iter().enumerate() {
            let (n, c, p) = (i / (channels * length), i / length % channels, i % length);
            to[(n * length + p) * pitch + c] = x;
        }
        to
    }

    /// Results are bitwise identical for all memory formats of the operands, with each epilogue, on one thread or more;
    /// and padding channels are 0.
    #[test]
    fn the_order_of_operands_changes_no_bit() {
        let lanes = lane_count();
        let formats =
            |channels: usize| [MemoryFormat::ChannelsFirst, MemoryFormat::ChannelsLast(channels.div_ceil(lanes))];
        let mut checked = 0;
        for (inputs, outputs) in [(1, 15), (15, 15), (5, 8), (16, 24), (31, 9)] {
            for (length, kernel, stride, padding) in [
                (40, 3, 2, 0),
                (19, 3, 2, 0),
                (9, 3, 2, 0),
                (19, 3, 1, 1),
                (7, 5, 1, 2),
                (25, 4, 2, 3),
                (1, 1, 1, 0),
                (6, 2, 2, 0),
            ] {
                let batch = if length == 19 { 101 } else { 3 };
                let options = ConvOptions::new().stride(stride).padding(padding);
                let (x, w): (Shape, Shape) = ([batch, inputs, length].into(), [outputs, inputs, kernel].into());
                let Ok(g) = (ConvOp { kind: ConvKind::Forward, options }).geometry(&x, &w) else { continue };
                let (xs, ys) = ([batch, inputs, length], [batch, outputs, g.output[1]]);
                let (x, w) = (values(x.elements(), 0.1), values(w.elements(), 0.2));
                let y = values(ys.iter().product(), 0.3);
                for pass in [ConvPass::Forward, ConvPass::InputGrad, ConvPass::WeightGrad] {
                    let supported = MemoryFormat::is_supported(inputs) && MemoryFormat::is_supported(outputs);
                    if !suits(pass, &g) || !supported {
                        continue;
                    }
                    let sums = pass == ConvPass::WeightGrad;
                    let ((a, a_shape), (b, b_shape), out_shape) = match pass {
                        ConvPass::Forward => ((&x, xs), (&w, [1; 3]), ys),
                        ConvPass::InputGrad => ((&y, ys), (&w, [1; 3]), xs),
                        ConvPass::WeightGrad => ((&x, xs), (&y, ys), [outputs, inputs, kernel]),
                    };
                    let bias = values(out_shape[1], 0.4);
                    let mask = values(out_shape.iter().product(), 0.5);
                    for epilogue in 0..if sums { 1 } else { 4 } {
                        let run = |formats: Formats| {
                            let (a, b) = (convert(a, formats.a, a_shape), convert(b, formats.b, b_shape));
                            let mask = convert(&mask, formats.out, out_shape);
                            let each = out_shape[2];
                            let epilogue = match epilogue {
                                0 => Epilogue::None,
                                1 => Epilogue::Mask(&mask),
                                _ => Epilogue::Bias(Bias { values: &bias, each, relu: epilogue == 2 }),
                            };
                            let size = out_shape[0] * formats.out.size(out_shape[1], out_shape[2]);
                            // Stale memory must not affect results.
                            let (mut out, mut panels) = (vec![f32::NAN; size], [(); 3].map(|()| vec![f32::NAN; 500]));
                            let mut totals = vec![f32::NAN; if sums { outputs } else { 0 }];
                            run(
                                Conv { pass, g: &g, formats, a: &a, b: &b },
                                &mut out,
                                &mut panels,
                                epilogue,
                                &mut totals,
                            );
                            (out, totals)
                        };
                        let (lines, totals) = run(Formats::CHANNELS_FIRST);
                        for a in formats(a_shape[1]) {
                            for other in formats(if sums { b_shape[1] } else { out_shape[1] }) {
                                let formats = match sums {
                                    true => Formats { a, b: other, out: MemoryFormat::ChannelsFirst },
                                    false => Formats { a, b: MemoryFormat::ChannelsFirst, out: other },
                                };
                                let wanted = (convert(&lines, formats.out, out_shape), totals.clone());
                                assert!(run(formats) == wanted, "{pass:?} {g:?} {formats:?} {epilogue}");
                                assert!(
                                    region(|| run(formats)) == wanted,
                                    "{pass:?} {g:?} {formats:?} {epilogue}: threads"
                                );
                                checked += 1;
                            }
                        }
                    }
                }
            }
        }
        // Without vector instructions this algorithm is not used.
        assert!(checked > 100 || lanes == 1, "{checked}");
    }
}
