//! Which elements of an axis a pooling window covers.

use crate::ops::conv::{PerAxis, per_axis};
use crate::shape::Shape;
use std::ops::Range;

/// Pooling settings, with the names and semantics of `torch.nn.MaxPool2d` and `AvgPool2d`.
///
/// Each per-axis setting has one number per spatial axis, or one number for all of them.
///
/// ```
/// use wgrad::{DType, Graph, PoolOptions};
/// let g = Graph::new();
/// let x = g.input("x", [8, 3, 20, 30], DType::F32);
/// let y = x.max_pool(&PoolOptions::new(3).stride(2).padding(1));
/// assert_eq!(*y.shape(), [8, 3, 10, 15]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct PoolOptions {
    /// Size of a window along each spatial axis.
    pub kernel: Vec<usize>,
    /// Distance between neighbouring windows; the kernel size if `None`.
    pub stride: Option<Vec<usize>>,
    /// Padding on both sides of each spatial axis: zeros for an average; ignored by a maximum.
    pub padding: Vec<usize>,
    /// Distance between neighbouring elements of a window; average pooling allows only 1.
    pub dilation: Vec<usize>,
    /// Whether the number of windows is rounded up: a window that only begins inside of the padded axis counts.
    pub ceil_mode: bool,
    /// Whether an average counts the elements of the padding.
    pub count_include_pad: bool,
    /// The divisor of an average, instead of the number of elements of the window.
    pub divisor_override: Option<usize>,
}

impl PoolOptions {
    /// Windows of this size, next to each other without padding.
    pub fn new(kernel: impl PerAxis) -> Self {
        PoolOptions {
            kernel: kernel.list(),
            stride: None,
            padding: vec![0],
            dilation: vec![1],
            ceil_mode: false,
            count_include_pad: true,
            divisor_override: None,
        }
    }
    /// Sets the stride.
    pub fn stride(mut self, stride: impl PerAxis) -> Self {
        self.stride = Some(stride.list());
        self
    }
    /// Sets the padding: at most half of a window's extent.
    pub fn padding(mut self, padding: impl PerAxis) -> Self {
        self.padding = padding.list();
        self
    }
    /// Sets the dilation.
    pub fn dilation(mut self, dilation: impl PerAxis) -> Self {
        self.dilation = dilation.list();
        self
    }
    /// Sets whether the number of windows is rounded up.
    pub fn ceil_mode(mut self, on: bool) -> Self {
        self.ceil_mode = on;
        self
    }
    /// Sets whether an average counts the padding.
    pub fn count_include_pad(mut self, on: bool) -> Self {
        self.count_include_pad = on;
        self
    }
    /// Sets the divisor of an average.
    pub fn divisor_override(mut self, divisor: usize) -> Self {
        self.divisor_override = Some(divisor);
        self
    }
}

/// Where the windows lie.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Windows {
    /// Windows of one size, evenly spaced.
    Sliding(PoolOptions),
    /// As many windows along each spatial axis as the list says, of nearly equal sizes: window `o` of `n` over `size`
    /// elements covers `⌊o·size/n⌋` to `⌈(o+1)·size/n⌉` (exclusive).
    Adaptive(Vec<usize>),
}

/// The windows along one axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AxisWindows {
    /// Number of elements of the axis.
    pub input: usize,
    /// Number of windows.
    pub output: usize,
    /// Number of elements of a window, including padding; unused if adaptive.
    pub kernel: usize,
    /// Distance between neighbouring windows.
    pub stride: usize,
    /// Padding before the first element.
    pub padding: usize,
    /// Distance between neighbouring elements of a window.
    pub dilation: usize,
}

/// The sizes of a pooling. `axes[0]` is the height, `axes[1]` the width; a 1-D pooling has height 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PoolGeometry {
    /// Number of planes: samples times channels.
    pub planes: usize,
    /// The windows along each axis.
    pub axes: [AxisWindows; 2],
    /// Whether the windows are adaptive.
    pub adaptive: bool,
    /// Whether an average counts the padding.
    pub include_padding: bool,
    /// The divisor of an average, if it is not the number of elements counted.
    pub divisor: Option<usize>,
}

impl AxisWindows {
    /// The first element of window `o`, which may lie in the padding, and the window's number of elements.
    fn window(&self, adaptive: bool, o: usize) -> (isize, usize) {
        if adaptive {
            let start = o * self.input / self.output;
            return (start as isize, ((o + 1) * self.input).div_ceil(self.output) - start);
        }
        ((o * self.stride) as isize - self.padding as isize, self.kernel)
    }
    /// The elements of the axis that window `o` covers.
    pub fn seen(&self, adaptive: bool, o: usize) -> std::iter::StepBy<Range<usize>> {
        let (start, count) = self.window(adaptive, o);
        let (step, end) = (self.dilation, start + (count * self.dilation) as isize);
        let before = start.min(0).unsigned_abs().div_ceil(step) * step;
        let first = (start + before as isize) as usize;
        (first..(end.max(0) as usize).min(self.input).max(first)).step_by(step)
    }
    /// The number of elements of window `o` that an average counts.
    pub fn counted(&self, adaptive: bool, include_padding: bool, o: usize) -> usize {
        if !include_padding || adaptive {
            return self.seen(adaptive, o).len();
        }
        // Only as far as the padded axis goes.
        let (start, count) = self.window(adaptive, o);
        (start + count as isize).min((self.input + self.padding) as isize).saturating_sub(start) as usize
    }
    /// A range of windows that includes all those that cover element `i`.
    pub fn covering(&self, adaptive: bool, i: usize) -> Range<usize> {
        if adaptive {
            return i * self.output / self.input..((i + 1) * self.output).div_ceil(self.input);
        }
        let reach = (self.kernel - 1) * self.dilation;
        let first = (i + self.padding).saturating_sub(reach).div_ceil(self.stride);
        let last = (i + self.padding) / self.stride;
        first..(last + 1).min(self.output).max(first)
    }
}

impl Windows {
    /// The sizes for an input of shape `[n, c, l]` or `[n, c, h, w]`, or what is wrong; `average` says whether the
    /// windows are averaged.
    pub fn geometry(&self, shape: &Shape, average: bool) -> Result<PoolGeometry, String> {
        let rank = shape.rank().wrapping_sub(2);
        if !(1..=2).contains(&rank) {
            return Err(format!("takes an operand of rank 3 (1-D) or 4 (2-D), but its shape is {shape}"));
        }
        let sizes = if rank == 1 { [1, shape[2]] } else { [shape[2], shape[3]] };
        let planes = shape[0] * shape[1];
        let one = |input| AxisWindows { input, output: 1, kernel: 1, stride: 1, padding: 0, dilation: 1 };
        let mut g =
            PoolGeometry { planes, axes: sizes.map(one), adaptive: false, include_padding: true, divisor: None };
        match self {
            Windows::Adaptive(outputs) => {
                let outputs = per_axis("the output size", outputs, rank, 1)?;
                g.adaptive = true;
                for (axis, output) in g.axes.iter_mut().zip(outputs) {
                    axis.output = output;
                    if axis.input == 0 || axis.input.saturating_mul(output + 1) > 1 << 31 {
                        return Err(format!(
                            "cannot split the {} elements of an axis of {shape} into {output} windows",
                            axis.input
                        ));
                    }
                }
            }
            Windows::Sliding(o) => {
                let kernel = per_axis("the kernel size", &o.kernel, rank, 1)?;
                let stride = per_axis("the stride", o.stride.as_ref().unwrap_or(&o.kernel), rank, 1)?;
                let padding = per_axis("the padding", &o.padding, rank, 0)?;
                let dilation = per_axis("the dilation", &o.dilation, rank, 1)?;
                if average && dilation != [1, 1] {
                    return Err("average pooling does not support dilation".into());
                }
                if o.divisor_override == Some(0) {
                    return Err("the divisor must not be 0".into());
                }
                (g.include_padding, g.divisor) = (o.count_include_pad, o.divisor_override);
                for (k, axis) in g.axes.iter_mut().enumerate() {
                    let output = 0;
                    *axis = AxisWindows {
                        input: axis.input,
                        output,
                        kernel: kernel[k],
                        stride: stride[k],
                        padding: padding[k],
                        dilation: dilation[k],
                    };
                    axis.output = axis.count(o.ceil_mode)?;
                    if (0..axis.output).any(|o| axis.seen(false, o).len() == 0) {
                        return Err(format!(
                            "a window of {} elements with dilation {} covers only padding of an axis of size {}",
                            axis.kernel, axis.dilation, axis.input
                        ));
                    }
                }
            }
        }
        Ok(g)
    }
}

impl AxisWindows {
    /// The number of sliding windows.
    fn count(&self, ceil_mode: bool) -> Result<usize, String> {
        let (reach, padded) = ((self.kernel - 1) * self.dilation + 1, self.input + 2 * self.padding);
        if self.padding > reach / 2 {
            return Err(format!("the padding {} must be at most half of the window's extent {reach}", self.padding));
        }
        if self.input == 0 || reach > padded {
            return Err(format!(
                "a window of {} elements with dilation {} does not fit an axis of size {} with padding {}",
                self.kernel, self.dilation, self.input, self.padding
            ));
        }
        let free = padded - reach;
        if !ceil_mode {
            return Ok(free / self.stride + 1);
        }
        // The last window must begin inside of the axis or of the padding before it.
        let windows = free.div_ceil(self.stride) + 1;
        Ok(if (windows - 1) * self.stride >= self.input + self.padding { windows - 1 } else { windows })
    }
}

impl PoolGeometry {
    /// Number of elements of an input plane.
    pub fn input_size(&self) -> usize {
        self.axes[0].input * self.axes[1].input
    }
    /// Number of windows of a plane.
    pub fn output_size(&self) -> usize {
        self.axes[0].output * self.axes[1].output
    }
    /// Number of elements of the largest window.
    pub fn window_size(&self) -> usize {
        let largest = |axis: &AxisWindows| {
            if self.adaptive { axis.input.div_ceil(axis.output) + 1 } else { axis.kernel }
        };
        self.axes.iter().map(largest).product()
    }
    /// The output's spatial size, for an operand of rank `rank`.
    pub fn output_shape(&self, rank: usize) -> Vec<usize> {
        let sizes = [self.axes[0].output, self.axes[1].output];
        sizes[4 - rank..].to_vec()
    }
    /// The divisor of window `(oy, ox)` of an average.
    pub fn divisor(&self, oy: usize, ox: usize) -> usize {
        let count = |k: usize, o| self.axes[k].counted(self.adaptive, self.include_padding, o);
        self.divisor.unwrap_or_else(|| count(0, oy) * count(1, ox))
    }
    /// The linear indices, within a plane, of the elements that window `(oy, ox)` covers, in row-major order.
    pub fn window(&self, oy: usize, ox: usize) -> impl Iterator<Item = usize> + '_ {
        let columns = self.axes[1].seen(self.adaptive, ox);
        let width = self.axes[1].input;
        self.axes[0].seen(self.adaptive, oy).flat_map(move |y| columns.clone().map(move |x| y * width + x))
    }
}
