//! Movement: operations that only rearrange elements.
//!
//! All except pad and concat are views and cost nothing; those two are element-wise copies into views of their
//! output.

use super::{GradContext, Op, Operation};
use crate::error::Result;
use crate::reference::RefTensor;
use crate::shape::{Shape, TensorType, View};
use crate::tensor::Tensor;

/// A movement operation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Movement {
    /// The same elements in row-major order, in another shape.
    Reshape(Shape),
    /// Axis `k` of the result is axis `axes[k]` of the input.
    Permute(Vec<usize>),
    /// Axes of size 1 are repeated, and leading axes are added.
    Broadcast(Shape),
    /// Elements `start, start + step, …` below `end` of an axis.
    Slice {
        /// The sliced axis.
        axis: usize,
        /// The index of the first element.
        start: usize,
        /// The end (exclusive).
        end: usize,
        /// The distance between elements.
        step: usize,
    },
    /// A value put around the elements of an axis and between them. With value 0 it is the adjoint of `Slice`.
    Pad {
        /// The padded axis.
        axis: usize,
        /// Number of elements before.
        before: usize,
        /// Number of elements after.
        after: usize,
        /// Number of elements between neighbours.
        interior: usize,
        /// The padding value, as the bits of an `f64`.
        value: u64,
    },
    /// The order of an axis reversed.
    Flip {
        /// The reversed axis.
        axis: usize,
    },
    /// The operands one after another along an axis.
    Concat {
        /// The concatenated axis.
        axis: usize,
    },
    /// The operand itself, without a gradient.
    Detach,
}

impl Movement {
    /// The output as a view of the operand; `None` for pad and concat, which are not views.
    pub(crate) fn view(&self, view: &View) -> Option<View> {
        Some(match self {
            Movement::Reshape(shape) => return view.reshape(shape),
            Movement::Permute(axes) => view.permute(axes),
            Movement::Broadcast(shape) => view.broadcast(shape),
            Movement::Slice { axis, start, end, step } => {
                view.slice(*axis, *start, end.saturating_sub(*start).div_ceil(*step), *step)
            }
            Movement::Flip { axis } => view.flip(*axis),
            Movement::Detach => view.clone(),
            Movement::Pad { .. } | Movement::Concat { .. } => return None,
        })
    }
    /// For pad and concat: the part of the output that each operand fills.
    pub(crate) fn windows(&self, inputs: &[Shape], output: &Shape) -> Vec<View> {
        let whole = View::dense(output);
        match self {
            Movement::Pad { axis, before, interior, .. } => {
                vec![whole.slice(*axis, *before, inputs[0][*axis], interior + 1)]
            }
            Movement::Concat { axis } => {
                let mut start = 0;
                let mut window = |shape: &Shape| {
                    start += shape[*axis];
                    whole.slice(*axis, start - shape[*axis], shape[*axis], 1)
                };
                inputs.iter().map(&mut window).collect()
            }
            _ => Vec::new(),
        }
    }
    pub(crate) fn padding_value(&self) -> f64 {
        if let Movement::Pad { value, .. } = self { f64::from_bits(*value) } else { 0.0 }
    }
}

fn with_size(shape: &Shape, axis: usize, size: usize) -> Shape {
    let mut sizes = shape.to_vec();
    sizes[axis] = size;
    sizes.into()
}

impl Operation for Movement {
    fn name(&self) -> &'static str {
        match self {
            Movement::Reshape(_) => "reshape",
            Movement::Permute(_) => "permute",
            Movement::Broadcast(_) => "broadcast_to",
            Movement::Slice { .. } => "slice",
            Movement::Pad { .. } => "pad",
            Movement::Flip { .. } => "flip",
            Movement::Concat { .. } => "concat",
            Movement::Detach => "detach",
        }
    }

    fn attributes(&self) -> String {
        match self {
            Movement::Permute(axes) => format!("{axes:?}"),
            Movement::Slice { axis, start, end, step } => format!("axis={axis} {start}..{end} step={step}"),
            Movement::Pad { axis, before, after, interior, .. } => {
                format!("axis={axis} before={before} after={after} interior={interior} value={}", self.padding_value())
            }
            Movement::Flip { axis } | Movement::Concat { axis } => format!("axis={axis}"),
            Movement::Reshape(_) | Movement::Broadcast(_) | Movement::Detach => String::new(),
        }
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<TensorType, String> {
        let x = inputs.first().ok_or("takes an operand")?;
        let axis_of = |axis: usize| {
            if axis < x.shape.rank() {
                Ok(())
            } else {
                Err(format!("axis {axis} is out of range for shape {}", x.shape))
            }
        };
        let shape = match self {
            Movement::Reshape(shape) => {
                shape.check()?;
                if shape.elements() != x.shape.elements() {
                    return Err(format!(
                        "{} has {} elements, but {shape} has {}",
                        x.shape,
                        x.shape.elements(),
                        shape.elements()
                    ));
                }
                shape.clone()
            }
            Movement::Permute(axes) => {
                let mut sorted = axes.clone();
                sorted.sort_unstable();
                if sorted != (0..x.shape.rank()).collect::<Vec<_>>() {
                    return Err(format!(
                        "axes {axes:?} are not a permutation of the {} axes of {}",
                        x.shape.rank(),
                        x.shape
                    ));
                }
                axes.iter().map(|&a| x.shape[a]).collect::<Vec<_>>().into()
            }
            Movement::Broadcast(shape) => {
                shape.check()?;
                if x.shape.rank() > shape.rank() || x.shape.broadcast(shape).as_ref() != Some(shape) {
                    return Err(format!("{} does not broadcast to {shape}", x.shape));
                }
                shape.clone()
            }
            Movement::Slice { axis, start, end, step } => {
                axis_of(*axis)?;
                if start > end || *end > x.shape[*axis] || *step == 0 {
                    return Err(format!("{start}..{end} step {step} is not a range of axis {axis} of {}", x.shape));
                }
                with_size(&x.shape, *axis, (end - start).div_ceil(*step))
            }
            Movement::Pad { axis, before, after, interior, .. } => {
                axis_of(*axis)?;
                super::leaf::check_fill(self.padding_value(), x.dtype)?;
                let gaps = x.shape[*axis].saturating_sub(1).saturating_mul(*interior);
                let size = [*before, *after, gaps].iter().fold(x.shape[*axis], |a, &b| a.saturating_add(b));
                with_size(&x.shape, *axis, size)
            }
            Movement::Flip { axis } => {
                axis_of(*axis)?;
                x.shape.clone()
            }
            Movement::Concat { axis } => {
                axis_of(*axis)?;
                for other in inputs {
                    let fits = other.shape.rank() == x.shape.rank()
                        && with_size(&other.shape, *axis, 0) == with_size(&x.shape, *axis, 0);
                    if !fits || other.dtype != x.dtype {
                        return Err(format!("{x} and {other} cannot be concatenated along axis {axis}"));
                    }
                }
                with_size(&x.shape, *axis, inputs.iter().fold(0, |n, t| n.saturating_add(t.shape[*axis])))
            }
            Movement::Detach => x.shape.clone(),
        };
        Ok(TensorType { shape, dtype: x.dtype })
    }

    fn grad<'g>(&self, cx: &GradContext<'_, 'g>) -> Vec<Option<Tensor<'g>>> {
        let (x, g) = (cx.inputs[0], cx.upstream);
        let shape = x.shape();
        let apply = |m: Movement, t: Tensor<'g>| t.graph().apply(Op::Movement(m), &[t]);
        let dx = match self {
            Movement::Reshape(_) => g.reshape(&shape),
            Movement::Permute(axes) => {
                let mut inverse = vec![0; axes.len()];
                for (k, &a) in axes.iter().enumerate() {
                    inverse[a] = k;
                }
                apply(Movement::Permute(inverse), g)
            }
            Movement::Broadcast(to) => {
                let lead = to.rank() - shape.rank();
                let stretched: Vec<usize> =
                    (0..to.rank()).filter(|&k| k < lead || (shape[k - lead] == 1 && to[k] != 1)).collect();
                g.sum_keepdim(&stretched[..]).reshape(&shape)
            }
            Movement::Slice { axis, start, step, .. } => {
                let covered = if g.shape()[*axis] == 0 { 0 } else { (g.shape()[*axis] - 1) * step + 1 };
                let pad = Movement::Pad {
                    axis: *axis,
                    before: *start,
                    after: shape[*axis] - start - covered,
                    interior: step - 1,
                    value: 0f64.to_bits(),
                };
                apply(pad, g)
            }
            Movement::Pad { axis, before, after, interior, .. } => {
                let (axis, start, step) = (*axis, *before, interior + 1);
                apply(Movement::Slice { axis, start, end: g.shape()[axis] - after, step }, g)
            }
            Movement::Flip { axis } => apply(Movement::Flip { axis: *axis }, g),
            Movement::Concat { axis } => {
                let mut start = 0;
                return cx
                    .inputs
                    .iter()
                    .map(|input| {
                        let size = input.shape()[*axis];
                        start += size;
                        Some(g.slice(*axis as isize, start - size..start))
                    })
                    .collect();
            }
            Movement::Detach => return vec![None],
        };
        vec![Some(dx)]
    }

    fn reference(&self, inputs: &[&RefTensor], output: &TensorType) -> RefTensor {
        if let Some(view) = self.view(&View::dense(&inputs[0].shape)) {
            return RefTensor::from_fn(&output.shape, output.dtype, |i| inputs[0].data[view.index(i)]);
        }
        let mut out = RefTensor::from_fn(&output.shape, output.dtype, |_| self.padding_value());
        let shapes: Vec<Shape> = inputs.iter().map(|x| x.shape.clone()).collect();
        for (input, window) in inputs.iter().zip(self.windows(&shapes, &output.shape)) {
            for (i, &value) in input.data.iter().enumerate() {
                out.data[window.index(i)] = value;
            }
        }
        out
    }

    fn error_scale(&self, _: &[&RefTensor], value: &RefTensor) -> Vec<f64> {
        // Moving elements is exact; a padding value is rounded to the dtype once.
        let rounding = if matches!(self, Movement::Pad { .. }) && value.dtype.is_float() { 1.0 } else { 0.0 };
        value.data.iter().map(|y| rounding * y.abs()).collect()
    }
}
