//! Convolutions. There are four algorithms:
//! - `conv_direct`: 1-d convolutions with few channels, without a patch matrix,
//! - `conv_patches`: convolutions with many channels, with panels of a patch matrix,
//! - `conv_line`: other 1-d convolutions, as one matmul over the whole batch,
//! - here: all others, by im2col and a matmul for each sample and group.
//!
//! In the im2col matrix, `columns[(c, q), p]` is the input element of channel `c` that kernel position `q` reads at
//! output position `p`, or 0 in the padding. Then
//! - forward: `y[o, p] = Σ w[o, (c, q)] · columns[(c, q), p]`,
//! - weight gradient: `dw[o, (c, q)] = Σ dy[o, p] · columns[(c, q), p]`, summed over the samples,
//! - input gradient: `columns[(c, q), p] = Σ w[o, (c, q)] · dy[o, p]`, followed by col2im: each element is added to the
//!   input element it would have been read from.

use super::CpuContext;
use super::conv_direct::{Conv, Formats, MemoryFormat};
use super::epilogue::{CommonEpilogue, Epilogue};
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
    let (mut separate, mut summed) = (false, false);
    cx.dense_and_others(|[a, b], out, buffers, scratch| {
        let epilogue = Epilogue::new(epilogue, &launch.inputs[2..], &launch.outputs[0], buffers);
        separate = epilogue.is_none();
        let mut totals = std::mem::take(&mut scratch.totals);
        let sums_len = if kernel.row_sums { kernel.geometry.out_channels } else { 0 };
        let (sums, epilogue) = (sized(&mut totals, sums_len), epilogue.unwrap_or(Epilogue::None));
        let formats = Formats::of([&launch.inputs[0], &launch.inputs[1], &launch.outputs[0]].map(|o| &o.view));
        let operands = (floats(a), floats(b), formats);
        summed = into(kernel, operands, floats_mut(out), &mut scratch.panels, epilogue, sums);
        scratch.totals = totals;
    });
    if let Some(epilogue) = epilogue.filter(|_| separate) {
        super::elementwise::epilogue(epilogue, &launch.inputs[2..], cx);
    }
    if kernel.row_sums && summed {
        super::row_sums::put_totals(kernel.geometry.out_channels, cx);
    } else if kernel.row_sums {
        super::row_sums::conv(kernel, cx);
    }
}

/// Whether the kernel supports those of its operands (inputs, then outputs) being channels-last for which
/// `channels_last` is true.
pub(super) fn takes_channels_last(kernel: &ConvKernel, launch: &Launch, channels_last: &[bool]) -> bool {
    let (pass, g) = (kernel.pass, &kernel.geometry);
    if !channels_last.contains(&true) {
        return true;
    }
    let f32s = launch.inputs.iter().chain(&launch.outputs).all(|operand| operand.dtype == DType::F32);
    let supported = MemoryFormat::is_supported(g.in_channels) && MemoryFormat::is_supported(g.out_channels);
    if !(f32s && supported && conv_direct::suits(pass, g)) {
        return false;
    }
    let (inputs, outputs) = channels_last.split_at(launch.inputs.len());
    let any_epilogue_input = inputs[2..].contains(&true);
    if pass == ConvPass::WeightGrad {
        return !any_epilogue_input && !outputs.contains(&true);
    }
    let (output, last) = (&launch.outputs[0], outputs[0]);
    let epilogue_fits = match CommonEpilogue::of(kernel.epilogue.as_ref(), &launch.inputs[2..], output) {
        // The mask must have the memory format of the result.
        Some(CommonEpilogue::Mask { input }) => {
            inputs[2 + input] == last && (!last || launch.inputs[2 + input].view.shape == output.view.shape)
        }
        Some(CommonEpilogue::Bias { count, each, .. }) => {
            !any_epilogue_input && (!last || [count, each] == [output.view.shape[1], output.view.shape[2]])
        }
        Some(CommonEpilogue::None) => !any_epilogue_input,
        None => !any_epilogue_input && !last,
    };
    !inputs[1] && epilogue_fits
}

/// Computes the result, and applies the epilogue to each block of it (whole samples, or a whole weight gradient) as
/// soon as it is computed. If `totals` is not empty, it may get the sums of a weight gradient's second operand for each
/// output channel; returns whether it did.
pub(super) fn into(
    kernel: &ConvKernel,
    (a, b, formats): (&[f32], &[f32], Formats),
    out: &mut [f32],
    panels: &mut [Vec<f32>; 3],
    epilogue: Epilogue<'_>,
    totals: &mut [f32],
) -> bool {
    let (pass, g) = (kernel.pass, &kernel.geometry);
    if conv_direct::suits(pass, g) {
        conv_direct::run(Conv { pass, g, formats, a, b }, out, panels, epilogue, totals);
        return true;
    } else if conv_patches::suits(pass, g) {
        conv_patches::run(pass, g, a, b, out, panels, epilogue);
    } else if conv_line::suits(g) {
        conv_line::run(pass, g, a, b, out, panels);
        epilogue.finish(0, out);
    } else if pass == ConvPass::WeightGrad || out.is_empty() {
        by_sample(pass, g, a, b, out, &mut panels[0]);
        epilogue.finish(0, out);
    } else {
        let (x, y) = (g.in_channels * g.input[0] * g.input[1], g.out_channels * g.output[0] * g.output[1]);
        let (from, to) = if pass == ConvPass::Forward { (x, y) } else { (y, x) };
        let flops = conv_patches::flops(g);
        split(out, to, parts(flops, g.batch.min(MOST)), flops, &|first, block| {
            let part = ConvGeometry { batch: block.len() / to, ..*g };
            with_panels(|[columns, ..]| by_sample(pass, &part, &a[first * from..], b, block, columns));
            epilogue.finish(first * to, block);
        });
    }
    false
}

/// The im2col algorithm: a patch matrix and a matmul for each sample and group.
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

/// im2col and col2im for one sample and group.
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
    /// Whether the patch matrix is the sample itself (a pointwise convolution), so that no copy is needed.
    fn is_sample(&self) -> bool {
        let g = self.g;
        g.kernel == [1, 1] && g.stride == [1, 1] && g.padding == [0, 0]
    }

    /// The output positions along `axis` at which kernel position `q` reads the input, not the padding.
    fn inside(&self, axis: usize, q: usize) -> std::ops::Range<usize> {
        let g = self.g;
        let (shift, padding, stride) = (q * g.dilation[axis], g.padding[axis], g.stride[axis]);
        let low = padding.saturating_sub(shift).div_ceil(stride);
        let high = (g.input[axis] + padding).saturating_sub(shift).div_ceil(stride).min(g.output[axis]);
        low.min(high)..high
    }

    /// Calls `f(line, inside, from)` for each output line of each row of the patch matrix. `line` is its offset in the
    /// patch matrix, `inside` are its columns that read the input, and `from` is the offset of the input element that
    /// the first of them reads; `None` if the whole line is padding.
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

    /// im2col. Returns the slice that contains the patch matrix, and its offset there.
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

    /// col2im: adds each element of the patch matrix to the input element that [`Patches::gather`] reads it from.
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

    /// The algorithms agree on all small geometries and some longer lines.
    #[test]
    fn algorithms_agree_with_im2col_per_sample() {
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
                    // Stale memory must not affect results.
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
                        let conv = conv_direct::Conv { pass, g: &g, formats: Formats::CHANNELS_FIRST, a, b };
                        conv_direct::run(conv, &mut three, &mut panels, Epilogue::None, &mut []);
                        agrees(&three);
                        direct += 1;
                    }
                    if conv_patches::suits(pass, &g) {
                        let (mut four, mut panels) = stale();
                        conv_patches::run(pass, &g, a, b, &mut four, &mut panels, Epilogue::None);
                        agrees(&four);
                        patches += 1;
                    }
                }
            }
        }
        assert!(lines > 3000, "{lines}");
        // Without vector instructions these two algorithms are not used.
        assert!(direct > 1000 && patches > 100 || super::super::simd::lane_count() == 1, "{direct} {patches}");
    }

    /// Each part is computed by one thread, and the parts do not depend on the number of threads.
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
                    into(
                        &kernel,
                        (a, b, Formats::CHANNELS_FIRST),
                        &mut out,
                        &mut panels,
                        Epilogue::Call(&count),
                        &mut totals,
                    );
                    assert_eq!(done.into_inner(), n, "{pass:?}");
                    out
                };
                let (outside, inside) = (run(), super::super::threads::region(run));
                let mut one = vec![0.0; n];
                by_sample(pass, &g, a, b, &mut one, &mut Vec::new());
                assert!(outside == inside, "{pass:?} {stride}");
                assert!(outside.iter().zip(&one).all(|(a, b)| (a - b).abs() < 2e-3), "{pass:?} {stride}");
            }
        }
    }

    /// Two dimensions, groups, dilation, and enough work for several threads.
    #[test]
    fn patch_panels_agree_with_im2col_per_sample() {
        let conv_3x3 = |h, w| (ConvOptions::new(), [3, 16, h, w], [24, 16, 3, 3]);
        let mut cases = vec![conv_3x3(9, 9), conv_3x3(5, 40), conv_3x3(17, 16)];
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
                    conv_patches::run(pass, &g, a, b, &mut two, &mut panels, Epilogue::None);
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
