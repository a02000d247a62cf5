//! Which elements of an axis a pooling window sees.

use crate::ops::conv::{PerAxis, per_axis};
use crate::shape::Shape;
use std::ops::Range;

/// A pooling's settings; names and meaning as in `torch.nn.MaxPool2d` and `AvgPool2d`.
///
/// A per-axis setting holds one number for each spatial axis, or one number for all of them.
///
/// ```
/// use wgrad::{DType, Graph, PoolOptions};
/// let g = Graph::new();
/// let x = g.input("x", [8, 3, 20, 30], DType::F32);
/// let y = x.max_pool(&PoolOptions::new(3).stride(2).padding(1));
/// assert_eq!(*y.shape(), [8, 3, 10, 15]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PoolOptions {
    /// Elements of a window along each spatial axis.
    pub kernel: Vec<usize>,
    /// Elements between neighbouring windows; the kernel's size if `None`.
    pub stride: Option<Vec<usize>>,
    /// Elements added on both sides of each spatial axis: 0 for an average, never the largest for a maximum.
    pub padding: Vec<usize>,
    /// Elements between a window's neighbours; 1 for averages.
    pub dilation: Vec<usize>,
    /// Whether a window that only begins inside the padded axis counts.
    pub ceil_mode: bool,
    /// Whether an average counts the padding's elements.
    pub count_include_pad: bool,
    /// What an average's sum is divided by instead of the window's elements.
    pub divisor_override: Option<usize>,
}

impl PoolOptions {
    /// Windows of this size next to each other.
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
    /// Sets the padding: at most half of a window's reach.
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
    /// Sets whether an average counts padding.
    pub fn count_include_pad(mut self, on: bool) -> Self {
        self.count_include_pad = on;
        self
    }
    /// Sets what an average divides by.
    pub fn divisor_override(mut self, divisor: usize) -> Self {
        self.divisor_override = Some(divisor);
        self
    }
}

/// Where the windows are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Windows {
    /// Of one size, evenly spaced.
    Sliding(PoolOptions),
    /// So many along each spatial axis, of nearly equal sizes: window `o` of `n` over `size` elements goes from
    /// `⌊o·size/n⌋` to `⌈(o+1)·size/n⌉`.
    Adaptive(Vec<usize>),
}

/// The windows along one axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AxisWindows {
    /// Elements of the axis.
    pub input: usize,
    /// Windows.
    pub output: usize,
    /// Elements of a window, padding included; unused if adaptive.
    pub kernel: usize,
    /// Elements between neighbouring windows.
    pub stride: usize,
    /// Padding before the first element.
    pub padding: usize,
    /// Elements between a window's neighbours.
    pub dilation: usize,
}

/// The sizes of a pooling; a 1-D one has height 1. `axes[0]` is height, `axes[1]` width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PoolGeometry {
    /// Samples times channels.
    pub planes: usize,
    /// The windows along each axis.
    pub axes: [AxisWindows; 2],
    /// Whether the windows are adaptive.
    pub adaptive: bool,
    /// Whether an average counts padding.
    pub include_padding: bool,
    /// What an average divides by, if not by the elements counted.
    pub divisor: Option<usize>,
}

impl AxisWindows {
    /// The first element of window `o`, which may lie in the padding, and how many elements it has.
    fn window(&self, adaptive: bool, o: usize) -> (isize, usize) {
        if adaptive {
            let start = o * self.input / self.output;
            return (start as isize, ((o + 1) * self.input).div_ceil(self.output) - start);
        }
        ((o * self.stride) as isize - self.padding as isize, self.kernel)
    }
    /// The elements of the axis that window `o` sees.
    pub fn seen(&self, adaptive: bool, o: usize) -> std::iter::StepBy<Range<usize>> {
        let (start, count) = self.window(adaptive, o);
        let (step, end) = (self.dilation, start + (count * self.dilation) as isize);
        let before = start.min(0).unsigned_abs().div_ceil(step) * step;
        let first = (start + before as isize) as usize;
        (first..(end.max(0) as usize).min(self.input).max(first)).step_by(step)
    }
    /// How many elements of window `o` an average counts.
    pub fn counted(&self, adaptive: bool, include_padding: bool, o: usize) -> usize {
        if !include_padding || adaptive {
            return self.seen(adaptive, o).len();
        }
        // As far as the padded axis goes.
        let (start, count) = self.window(adaptive, o);
        (start + count as isize).min((self.input + self.padding) as isize).saturating_sub(start) as usize
    }
    /// The windows among which those that see element `i` are.
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
    /// The sizes for an input of this shape, `[n, c, l]` or `[n, c, h, w]`, or what is wrong; `average` if the windows are
    /// averaged.
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
                            "cannot make {output} windows of the {} elements of an axis of {shape}",
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
                    return Err("an average's windows have no dilation".into());
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
                            "a window of {} elements with dilation {} sees nothing but padding of an axis of size {}",
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
        let (reach, room) = ((self.kernel - 1) * self.dilation + 1, self.input + 2 * self.padding);
        if self.padding > reach / 2 {
            return Err(format!("the padding {} must be at most half of the window's reach {reach}", self.padding));
        }
        if self.input == 0 || reach > room {
            return Err(format!(
                "a window of {} elements with dilation {} does not fit an axis of size {} with padding {}",
                self.kernel, self.dilation, self.input, self.padding
            ));
        }
        let free = room - reach;
        if !ceil_mode {
            return Ok(free / self.stride + 1);
        }
        // The last window must begin inside the axis or the padding before it.
        let windows = free.div_ceil(self.stride) + 1;
        Ok(if (windows - 1) * self.stride >= self.input + self.padding { windows - 1 } else { windows })
    }
}

impl PoolGeometry {
    /// Elements of a plane of the input.
    pub fn input_size(&self) -> usize {
        self.axes[0].input * self.axes[1].input
    }
    /// Windows of a plane.
    pub fn output_size(&self) -> usize {
        self.axes[0].output * self.axes[1].output
    }
    /// Elements of the largest window.
    pub fn window_size(&self) -> usize {
        let largest = |axis: &AxisWindows| {
            if self.adaptive { axis.input.div_ceil(axis.output) + 1 } else { axis.kernel }
        };
        self.axes.iter().map(largest).product()
    }
    /// The output's spatial size, for an operand of `rank` axes.
    pub fn output_shape(&self, rank: usize) -> Vec<usize> {
        let sizes = [self.axes[0].output, self.axes[1].output];
        sizes[4 - rank..].to_vec()
    }
    /// What window `(oy, ox)` of an average is divided by.
    pub fn divisor(&self, oy: usize, ox: usize) -> usize {
        let count = |k: usize, o| self.axes[k].counted(self.adaptive, self.include_padding, o);
        self.divisor.unwrap_or_else(|| count(0, oy) * count(1, ox))
    }
    /// The linear indices, within a plane, of what window `(oy, ox)` sees, row-major.
    pub fn window(&self, oy: usize, ox: usize) -> impl Iterator<Item = usize> + '_ {
        let columns = self.axes[1].seen(self.adaptive, ox);
        let width = self.axes[1].input;
        self.axes[0].seen(self.adaptive, oy).flat_map(move |y| columns.clone().map(move |x| y * width + x))
    }
}
