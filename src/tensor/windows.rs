//! Transposed convolution and pooling.

use super::Tensor;
use crate::ops::Op;
use crate::ops::conv::{Conv, ConvKind, ConvOptions, PerAxis, per_axis};
use crate::ops::pool::{Pool, PoolKind, PoolOptions, Windows};

impl<'g> Tensor<'g> {
    /// Transposed convolution, `[n, c, …] → [n, o, …]` with a weight `[c, o/groups, …]`: the adjoint of a convolution
    /// with these options, as `torch.nn.functional.conv_transpose1d` and `conv_transpose2d`. Several input sizes of the
    /// convolution may give this tensor's size; `output_padding` selects among them by adding to the smallest. It must
    /// be less than the stride or the dilation.
    ///
    /// ```
    /// use wgrad::{ConvOptions, DType, Graph};
    /// let g = Graph::new();
    /// let x = g.input("x", [8, 15, 19], DType::F32);
    /// let w = g.input("w", [15, 1, 3], DType::F32);
    /// assert_eq!(*x.conv_transpose(w, &ConvOptions::new().stride(2), 1).shape(), [8, 1, 40]);
    /// ```
    #[track_caller]
    pub fn conv_transpose(self, weight: Tensor<'g>, options: &ConvOptions, output_padding: impl PerAxis) -> Tensor<'g> {
        const NAME: &str = "conv_transpose";
        let (x, w) = (self.shape(), weight.shape());
        let rank = x.rank().wrapping_sub(2);
        let conv = |size| Op::Conv(Conv { kind: ConvKind::InputGrad(size), options: options.clone() });
        if self.is_poisoned() || weight.is_poisoned() {
            return self.graph.apply(conv(Vec::new()), &[self, weight]);
        }
        if !(1..=2).contains(&rank) || w.rank() != x.rank() {
            let message = format!("takes two operands of rank 3 (1-D) or 4 (2-D), but their shapes are {x} and {w}");
            return self.graph.fail(NAME, message);
        }
        let more = output_padding.list();
        let settings = [
            per_axis("the stride", &options.stride, rank, 1),
            per_axis("the padding", &options.padding, rank, 0),
            per_axis("the dilation", &options.dilation, rank, 1),
            per_axis("the output padding", &more, rank, 0),
        ];
        let [stride, padding, dilation, more] = match settings {
            [Ok(stride), Ok(padding), Ok(dilation), Ok(more)] => [stride, padding, dilation, more],
            wrong => {
                let message = wrong.into_iter().find_map(Result::err).unwrap_or_default();
                return self.graph.fail(NAME, message);
            }
        };
        let (mut size, mut padded) = (Vec::new(), self);
        for axis in 0..rank {
            // For a 1-D operand the second number is that of its only axis.
            let [stride, padding, dilation, more] = [stride, padding, dilation, more].map(|each| each[axis + 2 - rank]);
            if more >= stride.max(dilation) {
                let message = format!(
                    "the output padding {more} must be less than the stride {stride} or the dilation {dilation}"
                );
                return self.graph.fail(NAME, message);
            }
            let reach = dilation.saturating_mul(w[2 + axis].saturating_sub(1)) + 1;
            let whole = x[2 + axis].saturating_sub(1).saturating_mul(stride).saturating_add(reach + more);
            let Some(length) = whole.checked_sub(2 * padding).filter(|&n| n > 0 && x[2 + axis] > 0) else {
                let message = format!("nothing is left of axis {} of {x} with a padding of {padding}", 2 + axis);
                return self.graph.fail(NAME, message);
            };
            // The convolution may have more outputs for this input size than there are elements: the missing ones are
            // zeros.
            let outputs = (length + 2 * padding - reach) / stride + 1;
            padded = padded.pad(2 + axis as isize, 0, outputs - x[2 + axis], 0.0);
            size.push(length);
        }
        self.graph.apply(conv(size), &[padded, weight])
    }

    #[track_caller]
    fn pool(self, kind: PoolKind, windows: Windows) -> Tensor<'g> {
        self.graph.apply(Op::Pool(Pool { kind, windows }), &[self])
    }

    /// The largest element of each window of the spatial axes, `[n, c, l]` or `[n, c, h, w]`; see [`PoolOptions`]. Of
    /// equal elements the first gets the gradient; a NaN counts as larger than any number.
    #[track_caller]
    pub fn max_pool(self, options: &PoolOptions) -> Tensor<'g> {
        self.pool(PoolKind::Max, Windows::Sliding(options.clone()))
    }

    /// The row-major index, within its plane, of the element that [`Tensor::max_pool`] selects, as `u32`.
    #[track_caller]
    pub fn max_pool_indices(self, options: &PoolOptions) -> Tensor<'g> {
        self.pool(PoolKind::ArgMax, Windows::Sliding(options.clone()))
    }

    /// The average of each window of the spatial axes, `[n, c, l]` or `[n, c, h, w]`; see [`PoolOptions`].
    #[track_caller]
    pub fn avg_pool(self, options: &PoolOptions) -> Tensor<'g> {
        self.pool(PoolKind::Average, Windows::Sliding(options.clone()))
    }

    /// Averages over `output_size` windows along each spatial axis. The windows have nearly equal sizes and cover the
    /// axis.
    #[track_caller]
    pub fn adaptive_avg_pool(self, output_size: impl PerAxis) -> Tensor<'g> {
        let output_size = output_size.list();
        if self.shape().rank() > 2
            && output_size.iter().all(|&n| n == 1)
            && (1..=self.shape().rank() - 2).contains(&output_size.len())
        {
            // A single window is a mean, which many threads compute together.
            let axes: Vec<isize> = (2..self.shape().rank() as isize).collect();
            return self.mean_keepdim(axes);
        }
        self.pool(PoolKind::Average, Windows::Adaptive(output_size))
    }

    /// The maximum over `output_size` windows along each spatial axis, laid out as in [`Tensor::adaptive_avg_pool`].
    #[track_caller]
    pub fn adaptive_max_pool(self, output_size: impl PerAxis) -> Tensor<'g> {
        self.pool(PoolKind::Max, Windows::Adaptive(output_size.list()))
    }
}
