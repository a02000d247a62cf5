//! Convolutions. The common one-dimensional ones are done for a whole batch at once, in `conv_line`; the others as
//! matrix products over patches: for a sample and a group, `columns[(c, q), p]` holds the input
//! element that kernel position `q` meets at output position `p` in channel `c`, or 0 in the padding. Then
//! - forward: `y[o, p] = Σ w[o, (c, q)] · columns[(c, q), p]`,
//! - weight gradient: `dw[o, (c, q)] = Σ dy[o, p] · columns[(c, q), p]`, summed over the samples,
//! - input gradient: `columns[(c, q), p] = Σ w[o, (c, q)] · dy[o, p]`, whose elements are added up where they came from.

use super::CpuContext;
use super::context::{floats, floats_mut, sized};
use super::gemm::{Layout, gemm};
use super::{conv_direct, conv_line};
use crate::ops::conv::{ConvGeometry, ConvKernel, ConvPass};

/// Runs the kernel.
pub fn run(kernel: &ConvKernel, cx: &mut CpuContext<'_>) {
    let g = &kernel.geometry;
    cx.dense(|[a, b], out, scratch| {
        let (a, b, out) = (floats(a), floats(b), floats_mut(out));
        if conv_direct::suits(kernel.pass, g) {
            conv_direct::run(kernel.pass, g, a, b, out, &mut scratch.panels);
        } else if conv_line::suits(g) {
            conv_line::run(kernel.pass, g, a, b, out, &mut scratch.panels);
        } else {
            by_sample(kernel.pass, g, a, b, out, &mut scratch.panels[0]);
        }
    });
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
mod tests {
    use super::*;
    use crate::ops::conv::{Conv, ConvKind};
    use crate::{ConvOptions, Shape};

    fn values(n: usize, seed: f32) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * 0.7 + seed).sin()).collect()
    }

    /// Independent ways to compute the same thing, over every small geometry and a few longer lines.
    #[test]
    fn whole_batches_agree_with_single_samples() {
        let lengths = (1..9).chain([19, 40, 57]);
        let sizes = lengths.flat_map(|length| (1..6).map(move |kernel| (length, kernel)));
        let (mut lines, mut direct) = (0, 0);
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
                        conv_direct::run(pass, &g, a, b, &mut three, &mut panels);
                        agrees(&three);
                        direct += 1;
                    }
                }
            }
        }
        assert!(lines > 3000, "{lines}");
        // Without vector instructions the direct form is not used.
        assert!(direct > 1000 || super::super::simd::lane_count() == 1, "{direct}");
    }
}
