//! A convolution or one of its gradients as a batched matmul with a gathered matrix.

use crate::kernels::conv::{ConvKernel, ConvPass};
use crate::ops::conv::ConvGeometry;

/// `groups` matmuls of `m` rows; names as in `conv.wgsl`. The matrix `w` has the axes (group, row, k0, ky, kx), the
/// gathered one is of `x`.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    pub(super) groups: usize,
    pub(super) m: usize,
    /// Strides of `w`: of a group, of a row, and of k's three axes.
    pub(super) w: [usize; 5],
    /// Strides of `x`: of a group, of k0 and of j0.
    pub(super) x: [usize; 3],
    /// Height and width of `x`.
    pub(super) plane: [usize; 2],
    /// Strides of the result: of a group, of a row and of j0.
    pub(super) out: [usize; 3],
    /// Sizes of k's axes (k0, ky, kx), and how far the last two move in `x`.
    pub(super) k: ([usize; 3], [usize; 2]),
    /// The same of the columns.
    pub(super) j: ([usize; 3], [usize; 2]),
    /// The convolution's padding.
    pub(super) padding: [usize; 2],
    /// Residue classes (y, x) of columns that meet different kernel positions: the input's gradient is taken by them.
    pub(super) classes: [usize; 2],
    /// The kernel positions that a class meets are so far apart.
    pub(super) periods: [usize; 2],
}

fn area(size: [usize; 2]) -> usize {
    size[0] * size[1]
}

/// The greatest common divisor; neither is 0.
fn gcd(a: usize, b: usize) -> usize {
    if a.is_multiple_of(b) { b } else { gcd(b, a % b) }
}

/// The same convolution with planes as one line, where kernel positions are samples' positions.
fn flat(g: &ConvGeometry) -> ConvGeometry {
    let plain = g.kernel == [1, 1] && g.stride == [1, 1] && g.padding == [0, 0];
    let line = |size: [usize; 2]| if plain { [1, area(size)] } else { size };
    ConvGeometry { input: line(g.input), output: line(g.output), ..*g }
}

impl Problem {
    pub(super) fn new(kernel: &ConvKernel) -> Problem {
        let g = &flat(&kernel.geometry);
        let (input, output, window) = (area(g.input), area(g.output), area(g.kernel));
        let (gin, gout) = (g.group_in(), g.group_out());
        // Strides of an input [sample, group, channel], an output and a weight [group, output, input channel].
        let [x_sample, x_group] = [g.in_channels * input, gin * input];
        let [y_sample, y_group] = [g.out_channels * output, gout * output];
        let [w_group, w_out] = [gout * gin * window, gin * window];
        let [width, window_width] = [g.output[1], g.kernel[1]];
        let samples = |s: [usize; 2]| [g.batch, s[0], s[1]];
        let (groups, plane) = (g.groups, g.input);
        let once = ([1, 1], [1, 1]);
        let (classes, periods) = match kernel.pass {
            ConvPass::InputGrad => {
                (g.stride, [0, 1].map(|axis| g.stride[axis] / gcd(g.stride[axis], g.dilation[axis])))
            }
            _ => once,
        };
        match kernel.pass {
            ConvPass::Forward => Problem {
                groups,
                m: gout,
                w: [w_group, w_out, window, window_width, 1],
                x: [x_group, input, x_sample],
                plane,
                out: [y_group, output, y_sample],
                k: ([gin, g.kernel[0], window_width], g.dilation),
                j: (samples(g.output), g.stride),
                padding: g.padding,
                classes,
                periods,
            },
            ConvPass::InputGrad => Problem {
                groups,
                m: gin,
                w: [w_group, window, w_out, window_width, 1],
                x: [y_group, output, y_sample],
                plane: g.output,
                out: [x_group, input, x_sample],
                k: ([gout, g.kernel[0], window_width], g.dilation),
                j: (samples(g.input), [1, 1]),
                padding: g.padding,
                classes,
                periods,
            },
            ConvPass::WeightGrad => Problem {
                groups,
                m: gout,
                w: [y_group, output, y_sample, width, 1],
                x: [x_group, x_sample, input],
                plane,
                out: [w_group, w_out, window],
                k: (samples(g.output), g.stride),
                j: ([gin, g.kernel[0], window_width], g.dilation),
                padding: g.padding,
                classes,
                periods,
            },
        }
    }

    /// k.
    pub(super) fn terms(&self) -> usize {
        self.k.0.iter().product()
    }

    /// Columns.
    pub(super) fn columns(&self) -> usize {
        self.j.0.iter().product()
    }

    /// Matmuls: one for each group and residue class.
    pub(super) fn matmuls(&self) -> usize {
        self.groups * area(self.classes)
    }

    /// Columns and k of the residue class that has the most of each.
    pub(super) fn most(&self) -> [usize; 2] {
        let of =
            |sizes: [usize; 3], parts: [usize; 2]| sizes[0] * sizes[1].div_ceil(parts[0]) * sizes[2].div_ceil(parts[1]);
        [of(self.j.0, self.classes), of(self.k.0, self.periods)]
    }
}

/// The result's axes, and which component of the shaders' coordinates (j0, row, position) each is.
pub(super) fn axes(kernel: &ConvKernel) -> [(usize, u8); 3] {
    let g = &kernel.geometry;
    match kernel.pass {
        ConvPass::Forward => [(g.batch, 0), (g.out_channels, 1), (area(g.output), 2)],
        ConvPass::InputGrad => [(g.batch, 0), (g.in_channels, 1), (area(g.input), 2)],
        ConvPass::WeightGrad => [(g.out_channels, 1), (g.group_in(), 0), (area(g.kernel), 2)],
    }
}
