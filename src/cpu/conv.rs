//! Convolutions. One-dimensional ones with few channels are in `conv_direct`, those with many channels in
//! `conv_patches`, what is left of one-dimensional ones is done for a whole batch at once in `conv_line`, and the others
//! as matmuls over patches: for a sample and a group, `columns[(c, q), p]` holds the input
//! element that kernel position `q` meets at output position `p` in channel `c`, or 0 in the padding. Then
//! - forward: `y[o, p] = Σ w[o, (c, q)] · columns[(c, q), p]`,
//! - weight gradient: `dw[o, (c, q)] = Σ dy[o, p] · columns[(c, q), p]`, summed over the samples,
//! - input gradient: `columns[(c, q), p] = Σ w[o, (c, q)] · dy[o, p]`, whose elements are added up where they came from.

use super::CpuContext;
use super::after::{After, Usual};
use super::conv_direct::{Conv, Order, Orders};
use super::gemm::{Layout, gemm};
use super::threads::{MOST, parts, split, with_panels};
use super::words::{floats, floats_mut, sized};
use super::{conv_direct, conv_line, conv_patches};
use crate::dtype::DType;
use crate::kernels::Launch;
use crate::kernels::conv::{ConvKernel, ConvPass};
use crate::ops::conv::ConvGeometry;

/// Runs the kernel.
pub(super) fn run(kernel: &ConvKernel, cx: &mut CpuContext<'_>) {
    let (epilogue, launch) = (kernel.epilogue.as_ref(), cx.launch);
    let (mut left, mut summed) = (false, false);
    cx.dense_and_others(|[a, b], out, buffers, scratch| {
        let after = After::new(epilogue, &launch.inputs[2..], &launch.outputs[0], buffers);
        left = after.is_none();
        let mut totals = std::mem::take(&mut scratch.totals);
        let wanted = if kernel.row_sums { kernel.geometry.out_channels } else { 0 };
        let (sums, after) = (sized(&mut totals, wanted), after.unwrap_or(After::Nothing));
        let orders = Orders::of([&launch.inputs[0], &launch.inputs[1], &launch.outputs[0]].map(|o| &o.view));
        let operands = (floats(a), floats(b), orders);
        summed = into(kernel, operands, floats_mut(out), &mut scratch.panels, after, sums);
        scratch.totals = totals;
    });
    if let Some(epilogue) = epilogue.filter(|_| left) {
        super::elementwise::epilogue(epilogue, &launch.inputs[2..], cx);
    }
    if kernel.row_sums && summed {
        super::row_sums::put_totals(kernel.geometry.out_channels, cx);
    } else if kernel.row_sums {
        super::row_sums::conv(kernel, cx);
    }
}

/// Whether the kernel runs with those of its operands channels-last for which `lies` is true: inputs, then outputs.
pub(super) fn takes_channels_last(kernel: &ConvKernel, launch: &Launch, lies: &[bool]) -> bool {
    let (pass, g) = (kernel.pass, &kernel.geometry);
    if !lies.contains(&true) {
        return true;
    }
    let f32s = launch.inputs.iter().chain(&launch.outputs).all(|operand| operand.dtype == DType::F32);
    let known = Order::is_known(g.in_channels) && Order::is_known(g.out_channels);
    if !(f32s && known && conv_direct::suits(pass, g)) {
        return false;
    }
    let (inputs, outputs) = lies.split_at(launch.inputs.len());
    let others = inputs[2..].contains(&true);
    if pass == ConvPass::WeightGrad {
        return !others && !outputs.contains(&true);
    }
    let (output, last) = (&launch.outputs[0], outputs[0]);
    let after = match Usual::of(kernel.epilogue.as_ref(), &launch.inputs[2..], output) {
        // The result must lie as what is to be kept of it.
        Some(Usual::Mask { input }) => {
            inputs[2 + input] == last && (!last || launch.inputs[2 + input].view.shape == output.view.shape)
        }
        Some(Usual::Bias { count, each, .. }) => {
            !others && (!last || [count, each] == [output.view.shape[1], output.view.shape[2]])
        }
        Some(Usual::Nothing) => !others,
        None => !others && !last,
    };
    !inputs[1] && after
}

/// The result, with `after` done to each block of it as soon as it is there: whole samples, or a whole weight gradient.
/// Returns whether the sums of a weight gradient's second operand are in `totals`, in which they are wanted if it is not
/// empty.
pub(super) fn into(
    kernel: &ConvKernel,
    (a, b, orders): (&[f32], &[f32], Orders),
    out: &mut [f32],
    panels: &mut [Vec<f32>; 3],
    after: After<'_>,
    totals: &mut [f32],
) -> bool {
    let (pass, g) = (kernel.pass, &kernel.geometry);
    if conv_direct::suits(pass, g) {
        conv_direct::run(Conv { pass, g, orders, a, b }, out, panels, after, totals);
        return true;
    } else if conv_patches::suits(pass, g) {
        conv_patches::run(pass, g, a, b, out, panels, after);
    } else if conv_line::suits(g) {
        conv_line::run(pass, g, a, b, out, panels);
        after.finish(0, out);
    } else if pass == ConvPass::WeightGrad || out.is_empty() {
        by_sample(pass, g, a, b, out, &mut panels[0]);
        after.finish(0, out);
    } else {
        let (x, y) = (g.in_channels * g.input[0] * g.input[1], g.out_channels * g.output[0] * g.output[1]);
        let (from, to) = if pass == ConvPass::Forward { (x, y) } else { (y, x) };
        let flops = conv_patches::flops(g);
        split(out, to, parts(flops, g.batch.min(MOST)), flops, &|first, block| {
            let part = ConvGeometry { batch: block.len() / to, ..*g };
            with_panels(|[columns, ..]| by_sample(pass, &part, &a[first * from..], b, block, columns));
            after.finish(first * to, block);
        });
    }
    false
}

/// A patch matrix for each sample and group.
fn by_sample(pass: ConvPass, g: &ConvGeometry, a: &[f32], b: &[f32], out: &mut [f32], columns: &mut Vec<f32>) {
    let patches = Patches::new(g);
    let (rows, positions, outputs) = (patches.rows(), patches.positions(), g.group_out());
    let columns = sized(columns, rows * positions);
    if pass != ConvPass::Forward {
        out.fill(0.0);
    }
    let (weight, column, position) = (Layout::dense(rows), Layout::dense(positions), Layout::dense(positions));
    for n in 0..g.batch {
        for group in 0..g.groups {
            let x = (n * g.groups + group) * patches.sample();
            let w = weight.at(group * outputs * rows);
            let y = position.at((n * g.groups + group) * outputs * positions);
            match pass {
                ConvPass::Forward => {
                    let (x, at) = patches.gather(&a[x..][..patches.sample()], columns);
                    gemm([outputs, rows, positions], (&mut *out, y), false, (b, w), (x, column.at(at)));
                }
                ConvPass::WeightGrad => {
                    let (x, at) = patches.gather(&a[x..][..patches.sample()], columns);
                    gemm([outputs, positions, rows], (&mut *out, w), true, (b, y), (x, column.at(at).t()));
                }
                ConvPass::InputGrad => {
                    gemm([rows, outputs, positions], (&mut *columns, column), false, (b, w.t()), (a, y));
                    patches.scatter(columns, &mut out[x..][..patches.sample()]);
                }
            }
        }
    }
}

/// Between a group's channels of a sample and its patch matrix.
struct Patches<'a> {
    g: &'a ConvGeometry,
}

impl<'a> Patches<'a> {
    fn new(g: &'a ConvGeometry) -> Self {
        Patches { g }
    }
    fn rows(&self) -> usize {
        self.g.group_in() * self.g.kernel[0] * self.g.kernel[1]
    }
    fn positions(&self) -> usize {
        self.g.output[0] * self.g.output[1]
    }
    fn sample(&self) -> usize {
        self.g.group_in() * self.g.input[0] * self.g.input[1]
    }
    /// Whether the patch matrix is the sample itself.
    fn is_sample(&self) -> bool {
        let g = self.g;
        g.kernel == [1, 1] && g.stride == [1, 1] && g.padding == [0, 0]
    }

    /// Output positions on `axis` whose input position for kernel position `q` is inside the input.
    fn inside(&self, axis: usize, q: usize) -> std::ops::Range<usize> {
        let g = self.g;
        let (shift, padding, stride) = (q * g.dilation[axis], g.padding[axis], g.stride[axis]);
        let low = padding.saturating_sub(shift).div_ceil(stride);
        let high = (g.input[axis] + padding).saturating_sub(shift).div_ceil(stride).min(g.output[axis]);
        low.min(high)..high
    }

    /// Calls `f(first position of an output line, output columns inside, input element met by the first of them)` for
    /// each line of each row of the patch matrix; `None` where the line lies in the padding.
    fn lines(&self, mut f: impl FnMut(usize, std::ops::Range<usize>, Option<usize>)) {
        let g = self.g;
        let ([ih, iw], [oh, ow], [kh, kw]) = (g.input, g.output, g.kernel);
        for c in 0..g.group_in() {
            for (qy, qx) in (0..kh).flat_map(|qy| (0..kw).map(move |qx| (qy, qx))) {
                let row = ((c * kh + qy) * kw + qx) * oh * ow;
                let across = self.inside(1, qx);
                for py in 0..oh {
                    let from = g
                        .input_position(0, py, qy)
                        .zip(g.input_position(1, across.start, qx))
                        .map(|(iy, ix)| (c * ih + iy) * iw + ix);
                    f(row + py * ow, across.clone(), from.filter(|_| !across.is_empty()));
                }
            }
        }
    }

    /// The patch matrix, and where in the returned slice it starts.
    fn gather<'b>(&self, x: &'b [f32], columns: &'b mut [f32]) -> (&'b [f32], usize) {
        if self.is_sample() {
            return (x, 0);
        }
        let (ow, stride) = (self.g.output[1], self.g.stride[1]);
        self.lines(|line, inside, from| {
            let line = &mut columns[line..line + ow];
            let Some(from) = from else {
                line.fill(0.0);
                return;
            };
            line[..inside.start].fill(0.0);
            line[inside.end..].fill(0.0);
            let line = &mut line[inside];
            if stride == 1 {
                line.copy_from_slice(&x[from..from + line.len()]);
            } else {
                line.iter_mut().zip(x[from..].iter().step_by(stride)).for_each(|(to, &x)| *to = x);
            }
        });
        (columns, 0)
    }

    /// Adds the patch matrix to the elements it was gathered from.
    fn scatter(&self, columns: &[f32], x: &mut [f32]) {
        let stride = self.g.stride[1];
        self.lines(|line, inside, from| {
            let Some(from) = from else { return };
            let line = &columns[line..][inside];
            if stride == 1 {
                x[from..from + line.len()].iter_mut().zip(line).for_each(|(to, x)| *to += x);
            } else {
                x[from..].iter_mut().step_by(stride).zip(line).for_each(|(to, x)| *to += x);
            }
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ops::conv::{Conv, ConvKind};
    use crate::{ConvOptions, Shape};
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn values(n: usize, seed: f32) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * 0.7 + seed).sin()).collect()
    }

    /// Independent ways to compute the same thing, over every small geometry and a few longer lines.
    #[test]
    fn whole_batches_agree_with_single_samples() {
        let lengths = (1..9).chain([19, 40, 57]);
        let sizes = lengths.flat_map(|length| (1..6).map(move |kernel| (length, kernel)));
        let (mut lines, mut direct, mut patches) = (0, 0, 0);
        for ((length, kernel), [inputs, outputs]) in sizes.flat_map(|s| [(s, [2, 5]), (s, [9, 15]), (s, [12, 20])]) {
            for (stride, padding) in (1..4).flat_map(|s| (0..7).map(move |p| (s, p))) {
                let conv =
                    Conv { kind: ConvKind::Forward, options: ConvOptions::new().stride(stride).padding(padding) };
                let (x, w): (Shape, Shape) = ([3, inputs, length].into(), [outputs, inputs, kernel].into());
                let Ok(g) = conv.geometry(&x, &w) else { continue };
                if !conv_line::suits(&g) {
                    continue;
                }
                let (x, w) = (values(x.elements(), 0.1), values(w.elements(), 0.2));
                let y = values(3 * outputs * g.output[1], 0.3);
                let passes = [
                    (ConvPass::Forward, &x, &w, y.len()),
                    (ConvPass::InputGrad, &y, &w, x.len()),
                    (ConvPass::WeightGrad, &x, &y, w.len()),
                ];
                for (pass, a, b, n) in passes {
                    // Stale memory must not show.
                    let stale = || (vec![f32::NAN; n], [(); 3].map(|()| vec![f32::NAN; 5000]));
                    let (mut one, mut panels) = stale();
                    by_sample(pass, &g, a, b, &mut one, &mut panels[0]);
                    let agrees = |two: &[f32]| {
                        for (one, two) in one.iter().zip(two) {
                            assert!((one - two).abs() < 1e-4, "{pass:?} {g:?}: {one} {two}");
                        }
                    };
                    let (mut two, mut panels) = stale();
                    conv_line::run(pass, &g, a, b, &mut two, &mut panels);
                    agrees(&two);
                    lines += 1;
                    if conv_direct::suits(pass, &g) {
                        let (mut three, mut panels) = stale();
                        let conv = conv_direct::Conv { pass, g: &g, orders: Orders::LINES, a, b };
                        conv_direct::run(conv, &mut three, &mut panels, After::Nothing, &mut []);
                        agrees(&three);
                        direct += 1;
                    }
                    if conv_patches::suits(pass, &g) {
                        let (mut four, mut panels) = stale();
                        conv_patches::run(pass, &g, a, b, &mut four, &mut panels, After::Nothing);
                        agrees(&four);
                        patches += 1;
                    }
                }
            }
        }
        assert!(lines > 3000, "{lines}");
        // Without vector instructions the direct form is not used.
        assert!(direct > 1000 && patches > 100 || super::super::simd::lane_count() == 1, "{direct} {patches}");
    }

    /// Threads take whole parts, and what the parts are does not depend on the threads.
    #[test]
    fn threads_do_not_change_a_bit() {
        for (stride, padding) in [(2, 0), (1, 1)] {
            let options = ConvOptions::new().stride(stride).padding(padding);
            let (x, w): (Shape, Shape) = ([101, 15, 19].into(), [15, 15, 3].into());
            let g = Conv { kind: ConvKind::Forward, options }.geometry(&x, &w).unwrap();
            let (x, w) = (values(x.elements(), 0.1), values(w.elements(), 0.2));
            let y = values(g.batch * g.out_channels * g.output[1], 0.3);
            let passes = [
                (ConvPass::Forward, &x, &w, y.len()),
                (ConvPass::InputGrad, &y, &w, x.len()),
                (ConvPass::WeightGrad, &x, &y, w.len()),
            ];
            for (pass, a, b, n) in passes {
                let run = || {
                    let (mut out, mut panels) = (vec![f32::NAN; n], Default::default());
                    let kernel = ConvKernel { pass, geometry: g, epilogue: None, row_sums: false };
                    let done = AtomicUsize::new(0);
                    let count = |_: usize, block: &mut [f32]| {
                        done.fetch_add(block.len(), Ordering::Relaxed);
                    };
                    let mut totals = vec![f32::NAN; 15];
                    into(&kernel, (a, b, Orders::LINES), &mut out, &mut panels, After::Call(&count), &mut totals);
                    assert_eq!(done.into_inner(), n, "{pass:?}");
                    out
                };
                let (alone, together) = (run(), super::super::threads::region(run));
                let mut one = vec![0.0; n];
                by_sample(pass, &g, a, b, &mut one, &mut Vec::new());
                assert!(alone == together, "{pass:?} {stride}");
                assert!(alone.iter().zip(&one).all(|(a, b)| (a - b).abs() < 2e-3), "{pass:?} {stride}");
            }
        }
    }

    /// Two dimensions, groups, gaps, and enough work for several threads.
    #[test]
    fn patches_in_panels_agree_with_single_samples() {
        let two = |h, w| (ConvOptions::new(), [3, 16, h, w], [24, 16, 3, 3]);
        let mut cases = vec![two(9, 9), two(5, 40), two(17, 16)];
        cases.push((ConvOptions::new().padding([1, 2]), [2, 16, 9, 23], [16, 16, 3, 5]));
        cases.push((ConvOptions::new().padding(1).stride(2), [3, 8, 19, 23], [20, 8, 3, 3]));
        cases.push((ConvOptions::new().padding([0, 3]).stride([1, 3]), [3, 8, 9, 60], [20, 8, 2, 4]));
        cases.push((ConvOptions::new().padding(2).dilation(2), [2, 9, 21, 22], [17, 9, 3, 3]));
        cases.push((ConvOptions::new().padding(1).groups(2), [2, 32, 14, 14], [48, 16, 3, 3]));
        cases.push((ConvOptions::new(), [4, 64, 8, 8], [64, 64, 1, 1]));
        cases.push((ConvOptions::new().padding(1), [9, 32, 16, 16], [32, 32, 3, 3]));
        for (options, x, w) in cases {
            let (x, w): (Shape, Shape) = (x.into(), w.into());
            let conv = Conv { kind: ConvKind::Forward, options };
            let g = conv.geometry(&x, &w).unwrap();
            let (x, w) = (values(x.elements(), 0.1), values(w.elements(), 0.2));
            let y = values(g.batch * g.out_channels * g.output[0] * g.output[1], 0.3);
            let passes = [
                (ConvPass::Forward, &x, &w, y.len()),
                (ConvPass::InputGrad, &y, &w, x.len()),
                (ConvPass::WeightGrad, &x, &y, w.len()),
            ];
            for (pass, a, b, n) in passes {
                if !conv_patches::suits(pass, &g) {
                    continue;
                }
                let (mut one, mut columns) = (vec![f32::NAN; n], Vec::new());
                by_sample(pass, &g, a, b, &mut one, &mut columns);
                let run = || {
                    let (mut two, mut panels) = (vec![f32::NAN; n], [(); 3].map(|()| vec![f32::NAN; 50_000]));
                    conv_patches::run(pass, &g, a, b, &mut two, &mut panels, After::Nothing);
                    two
                };
                let (two, threads) = (run(), super::super::threads::region(run));
                for (one, two) in one.iter().zip(&two) {
                    assert!((one - two).abs() < 2e-3, "{pass:?} {g:?}: {one} {two}");
                }
                assert!(two == threads, "{pass:?} {g:?}: with threads");
            }
        }
    }
}
