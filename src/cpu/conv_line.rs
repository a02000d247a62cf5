//! 1-d convolutions as one matmul over the whole batch.
//!
//! The input is copied to a channels-last panel, padding included: element `(n, l, c)` of the padded input is at
//! `(n · slots · stride + l) · channels + c`, with `slots · stride` positions per sample. The patch of output position
//! `p` of sample `n` is then a contiguous run of `kernel · channels` elements, which starts at
//! `(n · slots + p) · stride · channels`: the patches of the batch are the rows of one matrix, whose row stride is so
//! small that rows overlap. A sample has a few more slots than output positions, so that its last patch ends within it;
//! results in the unused slots are discarded.
//! - forward: `y[(n, p), o] = Σ patch(n, p) · w[o]`, one matmul,
//! - weight gradient: `dw[o] = Σ dy[(n, p), o] · patch(n, p)`, one matmul, `dy` being 0 in the unused slots,
//! - input gradient: `patch(n, p) += Σ dy[(n, p), o] · w[o]`. One matmul cannot accumulate into rows that overlap, so
//!   there is one for every `stride` kernel positions: those parts of the rows do not overlap.

use super::gemm::{Layout, gemm};
use super::words::sized;
use crate::kernels::conv::ConvPass;
use crate::ops::conv::ConvGeometry;

/// Whether this algorithm supports the convolution: 1-d, one group, no dilation, `stride <= kernel`, no empty tensors.
pub(super) fn suits(g: &ConvGeometry) -> bool {
    let line = g.input[0] == 1 && g.kernel[0] == 1 && g.output[0] == 1 && g.padding[0] == 0;
    let patches = g.groups == 1 && g.dilation[1] == 1 && g.stride[1] <= g.kernel[1];
    let sizes = [g.batch, g.in_channels, g.out_channels, g.input[1]];
    line && patches && sizes.iter().all(|&size| size > 0)
}

/// The geometry of the convolution and its panels.
struct Line {
    batch: usize,
    inputs: usize,
    outputs: usize,
    length: usize,
    positions: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    /// Rows of the patch matrix per sample.
    slots: usize,
}

impl Line {
    fn new(g: &ConvGeometry) -> Self {
        let (kernel, stride, positions) = (g.kernel[1], g.stride[1], g.output[1]);
        Line {
            batch: g.batch,
            inputs: g.in_channels,
            outputs: g.out_channels,
            length: g.input[1],
            positions,
            kernel,
            stride,
            padding: g.padding[1],
            slots: positions + (kernel - stride).div_ceil(stride),
        }
    }
    /// Rows of the patch matrix; each ends within the panel.
    fn rows(&self) -> usize {
        // Without the unused slots of the last sample, whose patches would exceed the panel.
        (self.batch * self.slots).saturating_sub(self.slots - self.positions)
    }
    fn patch(&self) -> usize {
        self.kernel * self.inputs
    }
    fn panel(&self) -> usize {
        self.batch * self.slots * self.stride * self.inputs
    }
    fn patches(&self) -> Layout {
        Layout::dense(self.stride * self.inputs)
    }
    /// The number of input positions that are copied to a sample's panel: those beyond the last patch are not.
    fn covered(&self) -> usize {
        self.length.min((self.slots * self.stride).saturating_sub(self.padding))
    }
    /// Copies the input to the panel.
    fn gather(&self, x: &[f32], panel: &mut [f32]) {
        let (c, width) = (self.inputs, self.slots * self.stride * self.inputs);
        for (x, panel) in x.chunks_exact(self.length * c).zip(panel.chunks_exact_mut(width)) {
            let end = self.padding.min(self.slots * self.stride) + self.covered();
            panel[..self.padding.min(self.slots * self.stride) * c].fill(0.0);
            panel[end * c..].fill(0.0);
            if self.covered() > 0 {
                transpose(x, self.length, &mut panel[self.padding * c..], c, [c, self.covered()]);
            }
        }
    }
    /// Copies the panel back to the input, for the input gradient.
    fn scatter(&self, panel: &[f32], x: &mut [f32]) {
        let (c, width, covered) = (self.inputs, self.slots * self.stride * self.inputs, self.covered());
        for (x, panel) in x.chunks_exact_mut(self.length * c).zip(panel.chunks_exact(width)) {
            if covered < self.length {
                x.fill(0.0);
            }
            if covered > 0 {
                transpose(&panel[self.padding * c..], c, x, self.length, [covered, c]);
            }
        }
    }
    /// Copies the output's gradient to rows, with 0 in the unused slots.
    fn output_rows(&self, y: &[f32], rows: &mut [f32]) {
        let (o, p) = (self.outputs, self.positions);
        for (y, rows) in y.chunks_exact(o * p).zip(rows.chunks_mut(self.slots * o)) {
            transpose(y, p, rows, o, [o, p]);
            rows[p * o..].fill(0.0);
        }
    }
}

/// Runs the pass, which must satisfy [`suits`].
pub(super) fn run(pass: ConvPass, g: &ConvGeometry, a: &[f32], b: &[f32], out: &mut [f32], panels: &mut [Vec<f32>; 3]) {
    let line = Line::new(g);
    let [panel, rows, weight] = panels;
    let (outputs, inputs, patch, count) = (line.outputs, line.inputs, line.patch(), line.rows());
    let panel = sized(panel, line.panel());
    let rows = sized(rows, count * outputs);
    // The weight, channels-last: `w[o, q, c]`.
    let weight = sized(weight, outputs * patch);
    let (row, kernel) = (Layout::dense(outputs), Layout::dense(patch));
    match pass {
        ConvPass::Forward => {
            line.gather(a, panel);
            swap_axes(b, weight, outputs, inputs, line.kernel);
            gemm([count, patch, outputs], (rows, row), false, (panel, line.patches()), (weight, kernel.t()));
            let size = outputs * line.positions;
            for (y, rows) in out.chunks_exact_mut(size).zip(rows.chunks(line.slots * outputs)) {
                transpose(rows, outputs, y, line.positions, [line.positions, outputs]);
            }
        }
        ConvPass::WeightGrad => {
            line.gather(a, panel);
            line.output_rows(b, rows);
            gemm([outputs, count, patch], (&mut *weight, kernel), false, (rows, row.t()), (panel, line.patches()));
            swap_axes(weight, out, outputs, line.kernel, inputs);
        }
        ConvPass::InputGrad => {
            line.output_rows(a, rows);
            swap_axes(b, weight, outputs, inputs, line.kernel);
            panel.fill(0.0);
            for first in (0..line.kernel).step_by(line.stride) {
                let width = line.stride.min(line.kernel - first) * inputs;
                let part = line.patches().at(first * inputs);
                gemm([count, outputs, width], (panel, part), true, (rows, row), (weight, kernel.at(first * inputs)));
            }
            line.scatter(panel, out);
        }
    }
}

/// Swaps the last two of three axes: `to[o, b, a] = from[o, a, b]`.
fn swap_axes(from: &[f32], to: &mut [f32], outer: usize, a: usize, b: usize) {
    for (from, to) in from.chunks_exact(a * b).zip(to.chunks_exact_mut(a * b)).take(outer) {
        transpose(from, b, to, a, [a, b]);
    }
}

/// Transposes a `rows × columns` matrix: `to[j · to_stride + i] = from[i · from_stride + j]`.
fn transpose(from: &[f32], from_stride: usize, to: &mut [f32], to_stride: usize, [rows, columns]: [usize; 2]) {
    if rows == 1 {
        to.iter_mut().step_by(to_stride).zip(&from[..columns]).for_each(|(t, &f)| *t = f);
        return;
    }
    for j in 0..columns {
        let line = &mut to[j * to_stride..][..rows];
        line.iter_mut().zip(from[j..].iter().step_by(from_stride)).for_each(|(t, &f)| *t = f);
    }
}
