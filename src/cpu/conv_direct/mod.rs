//! One-dimensional convolutions with few channels, without a patch matrix: channels are vector lanes.
//!
//! - forward and input gradient are passes over positions ([`positions`]),
//! - the weight gradient sums over positions ([`weight`]).
//!
//! Between convolutions values lie channels-last where the planner saw that it can be, and then nothing is moved between lines
//! and lanes. Sums are taken in a fixed order, the same for both orders.

mod positions;
mod weight;

use super::after::After;
use super::simd::lane_count;
use super::threads::{MOST, parts, split, with_panels};
use super::words::sized;
use crate::kernels::conv::ConvPass;
use crate::ops::conv::ConvGeometry;
use crate::shape::View;
use pulp::{Arch, Simd, WithSimd};

/// Vectors that the channels of a position fill at most where they lie side by side.
const MOST_VECTORS: usize = 2;

/// How the elements of a sample lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// A line of positions for each channel.
    Lines,
    /// The channels of each position side by side, in this many whole vectors; those beyond the last channel are 0.
    ChannelsLast(usize),
}

impl Order {
    /// That of an operand.
    pub(super) fn of(view: &View) -> Order {
        if view.is_dense() { Order::Lines } else { Order::ChannelsLast(view.strides[2] as usize / lane_count()) }
    }
    /// Whether there is code for it.
    pub(super) fn is_known(channels: usize) -> bool {
        channels.div_ceil(lane_count()) <= MOST_VECTORS
    }
    /// Elements of a sample.
    pub(super) fn size(self, channels: usize, length: usize) -> usize {
        match self {
            Order::Lines => channels * length,
            Order::ChannelsLast(vectors) => vectors * lane_count() * length,
        }
    }
}

/// The operands' orders. A kernel's weight and its gradient are always as they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Orders {
    pub(super) a: Order,
    pub(super) b: Order,
    pub(super) out: Order,
}

impl Orders {
    /// Those of a launch's operands.
    pub(super) fn of([a, b, out]: [&View; 3]) -> Self {
        Orders { a: Order::of(a), b: Order::of(b), out: Order::of(out) }
    }
    /// As operations define them.
    pub(super) const LINES: Orders = Orders { a: Order::Lines, b: Order::Lines, out: Order::Lines };
}

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

/// A convolution's operands.
#[derive(Clone, Copy)]
pub(super) struct Conv<'a> {
    pub(super) pass: ConvPass,
    pub(super) g: &'a ConvGeometry,
    pub(super) orders: Orders,
    pub(super) a: &'a [f32],
    pub(super) b: &'a [f32],
}

/// Runs the pass, where [`suits`] holds: samples, or partial sums over samples, on several threads. With a weight gradient
/// go the sums of `b` for each output channel, if `totals` is not empty.
pub(super) fn run(conv: Conv<'_>, out: &mut [f32], panels: &mut [Vec<f32>; 3], after: After<'_>, totals: &mut [f32]) {
    let Conv { pass, g, orders, a, b } = conv;
    let (x, y) = ((g.in_channels, g.input[1]), (g.out_channels, g.output[1]));
    let size = |order: Order, (channels, length)| order.size(channels, length);
    let products = 2 * g.batch * g.in_channels.max(lane_count()) * g.out_channels * g.kernel[1] * g.output[1];
    // Elements of lines are moved to lanes or back besides.
    let moved = if orders == Orders::LINES { g.batch * (x.0 * x.1 + y.0 * y.1) } else { 0 };
    let work = products + 16 * moved;
    if pass == ConvPass::WeightGrad {
        let (x, y) = (size(orders.a, x), size(orders.b, y));
        // A part's sums must be cleared, turned and added too. As many whatever the operands' order, for the same bits.
        let parts = parts(products / 2, g.batch.min(MOST));
        let part = |first: usize, end: usize, sums: &mut [f32], totals: &mut [f32], panels: &mut [Vec<f32>; 3]| {
            let g = ConvGeometry { batch: end - first, ..*g };
            let conv = Conv { g: &g, a: &a[first * x..end * x], b: &b[first * y..end * y], ..conv };
            Arch::new().dispatch(Run { conv, out: sums, panels, after: After::Nothing, start: 0, totals });
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
    let (from, to) = (size(orders.a, from), size(orders.out, to));
    // Two samples at once.
    split(out, 2 * to, parts(work, (g.batch / 2).min(MOST)), work, &|first, block| {
        let (start, batch) = (2 * first, block.len() / to);
        let g = ConvGeometry { batch, ..*g };
        let conv = Conv { g: &g, a: &a[start * from..][..batch * from], ..conv };
        let start = start * to;
        with_panels(|panels| Arch::new().dispatch(Run { conv, out: block, panels, after, start, totals: &mut [] }));
    });
}

struct Run<'a> {
    conv: Conv<'a>,
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
        let Run { conv, out, panels, after, start, totals } = self;
        if S::F32_LANES == 1 {
            unreachable!("`suits` wants vectors");
        }
        match conv.pass {
            ConvPass::WeightGrad => weight::run(simd, conv, out, panels, totals),
            _ => positions::run(simd, conv, out, panels, (after, start)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;
    use crate::cpu::after::Bias;
    use crate::cpu::threads::region;
    use crate::ops::conv::{Conv as ConvOp, ConvKind, ConvOptions};

    fn values(n: usize, seed: f32) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * 0.7 + seed).sin()).collect()
    }

    /// Element `(n, c, p)` of lines goes to where `order` has it; the room between is 0.
    fn reorder(lines: &[f32], order: Order, [batch, channels, length]: [usize; 3]) -> Vec<f32> {
        let Order::ChannelsLast(vectors) = order else { return lines.to_vec() };
        let pitch = vectors * lane_count();
        let mut to = vec![0.0; batch * length * pitch];
        for (i, &x) in lines.iter().enumerate() {
            let (n, c, p) = (i / (channels * length), i / length % channels, i % length);
            to[(n * length + p) * pitch + c] = x;
        }
        to
    }

    /// The same bits whatever the order of the operands, with a bias, a mask and nothing to do afterwards, on one thread or
    /// more; and 0 in the room after the last channel.
    #[test]
    fn the_order_of_operands_changes_no_bit() {
        let lanes = lane_count();
        let orders = |channels: usize| [Order::Lines, Order::ChannelsLast(channels.div_ceil(lanes))];
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
                    let known = Order::is_known(inputs) && Order::is_known(outputs);
                    if !suits(pass, &g) || !known {
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
                    for after in 0..if sums { 1 } else { 4 } {
                        let run = |orders: Orders| {
                            let (a, b) = (reorder(a, orders.a, a_shape), reorder(b, orders.b, b_shape));
                            let mask = reorder(&mask, orders.out, out_shape);
                            let each = out_shape[2];
                            let after = match after {
                                0 => After::Nothing,
                                1 => After::Mask(&mask),
                                _ => After::Bias(Bias { values: &bias, each, relu: after == 2 }),
                            };
                            let size = out_shape[0] * orders.out.size(out_shape[1], out_shape[2]);
                            // Stale memory must not show.
                            let (mut out, mut panels) = (vec![f32::NAN; size], [(); 3].map(|()| vec![f32::NAN; 500]));
                            let mut totals = vec![f32::NAN; if sums { outputs } else { 0 }];
                            run(Conv { pass, g: &g, orders, a: &a, b: &b }, &mut out, &mut panels, after, &mut totals);
                            (out, totals)
                        };
                        let (lines, totals) = run(Orders::LINES);
                        for a in orders(a_shape[1]) {
                            for other in orders(if sums { b_shape[1] } else { out_shape[1] }) {
                                let orders = match sums {
                                    true => Orders { a, b: other, out: Order::Lines },
                                    false => Orders { a, b: Order::Lines, out: other },
                                };
                                let wanted = (reorder(&lines, orders.out, out_shape), totals.clone());
                                assert!(run(orders) == wanted, "{pass:?} {g:?} {orders:?} {after}");
                                assert!(region(|| run(orders)) == wanted, "{pass:?} {g:?} {orders:?} {after}: threads");
                                checked += 1;
                            }
                        }
                    }
                }
            }
        }
        // Without vector instructions this form is not used.
        assert!(checked > 100 || lanes == 1, "{checked}");
    }
}
