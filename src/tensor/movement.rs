//! Methods that rearrange elements: reshaping, slicing, concatenation, indexing.

use super::Tensor;
use crate::dtype::DType;
use crate::ops::Op;
use crate::ops::index::Index;
use crate::ops::movement::Movement;
use crate::ops::take::Take;
use crate::shape::{Shape, resolve_axis};

impl<'g> Tensor<'g> {
    #[track_caller]
    fn movement(self, movement: Movement) -> Tensor<'g> {
        self.graph.apply(Op::Movement(movement), &[self])
    }
    /// The same elements, row-major, in another shape with the same number of elements.
    #[track_caller]
    pub fn reshape(self, shape: impl Into<Shape>) -> Tensor<'g> {
        let shape = shape.into();
        if self.shape() == shape { self } else { self.movement(Movement::Reshape(shape)) }
    }
    /// Merges the axes from `start` on into one: `[n, c, l]` flattened from 1 is `[n, c·l]`.
    #[track_caller]
    pub fn flatten(self, start: isize) -> Tensor<'g> {
        let shape = self.shape();
        match resolve_axis(start, shape.rank()) {
            Ok(axis) => {
                let rest: usize = shape[axis..].iter().product();
                self.reshape([&shape[..axis], &[rest]].concat())
            }
            Err(message) => self.graph.fail("flatten", message),
        }
    }
    /// Reorders the axes: axis `k` of the result is axis `axes[k]` of this.
    #[track_caller]
    pub fn permute(self, axes: &[isize]) -> Tensor<'g> {
        let rank = self.shape().rank();
        match axes.iter().map(|&a| resolve_axis(a, rank)).collect::<Result<Vec<_>, _>>() {
            Ok(axes) => self.movement(Movement::Permute(axes)),
            Err(message) => self.graph.fail("permute", message),
        }
    }
    /// Swaps two axes.
    #[track_caller]
    pub fn transpose(self, a: isize, b: isize) -> Tensor<'g> {
        let rank = self.shape().rank();
        match (resolve_axis(a, rank), resolve_axis(b, rank)) {
            (Ok(a), Ok(b)) => {
                let mut axes: Vec<usize> = (0..rank).collect();
                axes.swap(a, b);
                self.movement(Movement::Permute(axes))
            }
            (Err(message), _) | (_, Err(message)) => self.graph.fail("transpose", message),
        }
    }
    /// The transpose of a matrix; with more axes, of the last two.
    #[track_caller]
    pub fn t(self) -> Tensor<'g> {
        self.transpose(-2, -1)
    }
    /// Broadcasts to `shape`: stretches axes of size 1 and adds leading axes.
    #[track_caller]
    pub fn broadcast_to(self, shape: impl Into<Shape>) -> Tensor<'g> {
        let shape = shape.into();
        if self.shape() == shape { self } else { self.movement(Movement::Broadcast(shape)) }
    }
    /// Adds an axis of size 1.
    #[track_caller]
    pub fn unsqueeze(self, axis: isize) -> Tensor<'g> {
        let shape = self.shape();
        match resolve_axis(axis, shape.rank() + 1) {
            Ok(axis) => self.reshape([&shape[..axis], &[1], &shape[axis..]].concat()),
            Err(message) => self.graph.fail("unsqueeze", message),
        }
    }
    /// Removes an axis of size 1.
    #[track_caller]
    pub fn squeeze(self, axis: isize) -> Tensor<'g> {
        let shape = self.shape();
        match resolve_axis(axis, shape.rank()) {
            Ok(axis) if shape[axis] == 1 => self.reshape([&shape[..axis], &shape[axis + 1..]].concat()),
            Ok(axis) => self.graph.fail("squeeze", format!("axis {axis} of {shape} has size {}, not 1", shape[axis])),
            Err(message) => self.graph.fail("squeeze", message),
        }
    }
    /// The elements of `axis` in `range`: NumPy's `x[start:end]`.
    #[track_caller]
    pub fn slice(self, axis: isize, range: std::ops::Range<usize>) -> Tensor<'g> {
        self.slice_step(axis, range, 1)
    }
    /// Every `step`-th element of `axis` in `range`: NumPy's `x[start:end:step]`.
    #[track_caller]
    pub fn slice_step(self, axis: isize, range: std::ops::Range<usize>, step: usize) -> Tensor<'g> {
        match resolve_axis(axis, self.shape().rank()) {
            // A step larger than the axis selects one element, as a step of the axis's length does.
            Ok(axis) => {
                let step = step.min(self.shape()[axis].max(1));
                self.movement(Movement::Slice { axis, start: range.start, end: range.end, step })
            }
            Err(message) => self.graph.fail("slice", message),
        }
    }
    /// Pads `axis` with `before` and `after` elements equal to `value`.
    #[track_caller]
    pub fn pad(self, axis: isize, before: usize, after: usize, value: f64) -> Tensor<'g> {
        match resolve_axis(axis, self.shape().rank()) {
            Ok(axis) => self.movement(Movement::Pad { axis, before, after, interior: 0, value: value.to_bits() }),
            Err(message) => self.graph.fail("pad", message),
        }
    }
    /// Reverses `axis`.
    #[track_caller]
    pub fn flip(self, axis: isize) -> Tensor<'g> {
        match resolve_axis(axis, self.shape().rank()) {
            Ok(axis) => self.movement(Movement::Flip { axis }),
            Err(message) => self.graph.fail("flip", message),
        }
    }
    /// Concatenates this tensor and `others` along `axis`; all other axes must agree: `torch.cat`.
    #[track_caller]
    pub fn concat(self, others: &[Tensor<'g>], axis: isize) -> Tensor<'g> {
        match resolve_axis(axis, self.shape().rank()) {
            Ok(axis) => {
                let all: Vec<Tensor<'g>> = std::iter::once(self).chain(others.iter().copied()).collect();
                self.graph.apply(Op::Movement(Movement::Concat { axis }), &all)
            }
            Err(message) => self.graph.fail("concat", message),
        }
    }
    /// Joins this tensor and `others`, all of one shape, along a new axis: `torch.stack`.
    #[track_caller]
    pub fn stack(self, others: &[Tensor<'g>], axis: isize) -> Tensor<'g> {
        // A loop rather than a closure, so that errors are attributed to the caller's line.
        let mut parts = Vec::with_capacity(others.len());
        for other in others {
            parts.push(other.unsqueeze(axis));
        }
        self.unsqueeze(axis).concat(&parts, axis)
    }
    /// Slices of length `size` along `axis`; the last one may be shorter: `torch.split`.
    #[track_caller]
    pub fn split(self, size: usize, axis: isize) -> Vec<Tensor<'g>> {
        let shape = self.shape();
        match resolve_axis(axis, shape.rank()) {
            Ok(k) if size > 0 => {
                let starts = (0..shape[k].max(1)).step_by(size);
                starts.map(|start| self.slice(axis, start..start.saturating_add(size).min(shape[k]))).collect()
            }
            Ok(_) => vec![self.graph.fail("split", "the size must not be 0")],
            Err(message) => vec![self.graph.fail("split", message)],
        }
    }
    /// At most `chunks` slices along `axis`, of equal size except that the last may be shorter: `torch.chunk`.
    #[track_caller]
    pub fn chunk(self, chunks: usize, axis: isize) -> Vec<Tensor<'g>> {
        match resolve_axis(axis, self.shape().rank()) {
            Ok(k) if chunks > 0 => self.split(self.shape()[k].div_ceil(chunks).max(1), axis),
            Ok(_) => vec![self.graph.fail("chunk", "the number of chunks must not be 0")],
            Err(message) => vec![self.graph.fail("chunk", message)],
        }
    }
    /// The tensor repeated `repeats[k]` times along axis `k`, as `torch.Tensor.repeat`. More numbers than axes add
    /// leading axes.
    #[track_caller]
    pub fn repeat(self, repeats: &[usize]) -> Tensor<'g> {
        if self.is_poisoned() {
            return self;
        }
        let shape = self.shape();
        let Some(lead) = repeats.len().checked_sub(shape.rank()) else {
            let message =
                format!("{repeats:?} has fewer numbers than {shape} has axes; use 1 for axes that are not repeated");
            return self.graph.fail("repeat", message);
        };
        let mut sizes = [vec![1; lead], shape.to_vec()].concat();
        let mut t = self.reshape(&sizes[..]);
        for (k, &count) in repeats.iter().enumerate().filter(|(_, count)| **count != 1) {
            let (outer, inner) = (Shape::from(&sizes[..k]).elements(), Shape::from(&sizes[k..]).elements());
            sizes[k] = sizes[k].saturating_mul(count);
            t = t.reshape([outer, 1, inner]).broadcast_to([outer, count, inner]).reshape(&sizes[..]);
        }
        t
    }
    /// As [`Tensor::repeat`], but missing leading numbers are 1: `torch.tile`.
    #[track_caller]
    pub fn tile(self, repeats: &[usize]) -> Tensor<'g> {
        let lead = self.shape().rank().saturating_sub(repeats.len());
        self.repeat(&[&vec![1; lead], repeats].concat())
    }
    /// Each element repeated `count` times in a row along `axis`: `torch.repeat_interleave`.
    #[track_caller]
    pub fn repeat_interleave(self, count: usize, axis: isize) -> Tensor<'g> {
        let mut sizes = self.shape().to_vec();
        match resolve_axis(axis, sizes.len()) {
            Ok(k) => {
                let (outer, inner) = (sizes[..=k].iter().product::<usize>(), sizes[k + 1..].iter().product::<usize>());
                sizes[k] = sizes[k].saturating_mul(count);
                self.reshape([outer, 1, inner]).broadcast_to([outer, count, inner]).reshape(sizes)
            }
            Err(message) => self.graph.fail("repeat_interleave", message),
        }
    }
    /// The outer product of two vectors: `[n]`, `[m]` → `[n, m]`.
    #[track_caller]
    pub fn outer(self, other: Tensor<'g>) -> Tensor<'g> {
        if self.is_poisoned() || other.is_poisoned() {
            return if self.is_poisoned() { self } else { other };
        }
        if self.shape().rank() != 1 || other.shape().rank() != 1 {
            let message = format!("takes two vectors, but the shapes are {} and {}", self.shape(), other.shape());
            return self.graph.fail("outer", message);
        }
        self.unsqueeze(1) * other.unsqueeze(0)
    }
    /// The same value, cut off from the gradient: no gradient flows to this tensor.
    #[track_caller]
    pub fn detach(self) -> Tensor<'g> {
        self.movement(Movement::Detach)
    }

    /// Slices along `axis` selected by a 1-D integer `index`: `torch.index_select`. An index out of range is clamped to
    /// the last slice, because a kernel cannot raise an error.
    #[track_caller]
    pub fn index_select(self, axis: isize, index: Tensor<'g>) -> Tensor<'g> {
        match resolve_axis(axis, self.shape().rank()) {
            Ok(axis) => self.graph.apply(Op::Index(Index::Select { axis }), &[self, index]),
            Err(message) => self.graph.fail("index_select", message),
        }
    }
    /// Integers as `u32`, with negative ones clamped to 0; used for indices and labels. Other dtypes are left
    /// unchanged, for the operation to reject.
    #[track_caller]
    pub(crate) fn as_index(self) -> Tensor<'g> {
        if self.dtype() == DType::I32 { self.maximum(0).cast(DType::U32) } else { self }
    }
    /// Elements along `axis` selected by an integer `index` of this tensor's rank: `torch.gather`. Element `[i, j, k]`
    /// of the result is `self[i, index[i, j, k], k]` for axis 1; the other axes of `index` may be shorter than this
    /// tensor's. An index out of range is clamped.
    #[track_caller]
    pub fn gather(self, axis: isize, index: Tensor<'g>) -> Tensor<'g> {
        if self.is_poisoned() || index.is_poisoned() {
            return self.graph.apply(Op::Index(Index::Select { axis: 0 }), &[self, index]);
        }
        let (shape, picked) = (self.shape(), index.shape());
        let axis = match resolve_axis(axis, shape.rank()) {
            Ok(axis) => axis,
            Err(message) => return self.graph.fail("gather", message),
        };
        let fits = shape.rank() == picked.rank() && (0..shape.rank()).all(|k| k == axis || picked[k] <= shape[k]);
        if !fits || index.dtype().is_float() || shape[axis] == 0 {
            let message = format!("an index {} does not match a tensor of shape {shape}", index.tensor_type());
            return self.graph.fail("gather", message);
        }
        let mut values = self;
        for k in (0..shape.rank()).filter(|&k| k != axis) {
            values = if picked[k] < shape[k] { values.slice(k as isize, 0..picked[k]) } else { values };
        }
        self.graph.apply(Op::Take(Take { axis }), &[values, index.as_index()])
    }
    /// A tensor of zeros with `size` slices along `axis`, to which slice `k` of this tensor is added at `index[k]`; the
    /// adjoint of [`Tensor::index_select`]. Deterministic: each output is summed in the order of `k`.
    #[track_caller]
    pub fn scatter_add(self, axis: isize, index: Tensor<'g>, size: usize) -> Tensor<'g> {
        match resolve_axis(axis, self.shape().rank()) {
            Ok(axis) => self.graph.apply(Op::Index(Index::ScatterAdd { axis, size }), &[self, index]),
            Err(message) => self.graph.fail("scatter_add", message),
        }
    }
    /// One-hot encoding, `[…] → […, classes]`: 1 at the index, otherwise 0, as `f32`.
    #[track_caller]
    pub fn one_hot(self, classes: usize) -> Tensor<'g> {
        let shape = Shape::from([&self.shape()[..], &[classes]].concat());
        let axis = shape.rank() as isize - 1;
        self.cast(DType::U32).unsqueeze(-1).eq(self.graph.iota(shape, axis)).cast(DType::F32)
    }
}
