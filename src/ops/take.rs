//! Elements along an axis, picked by an index tensor of the same rank: `y[…, k, …] = x[…, index[…, k, …], …]`.
//!
//! A kernel cannot report an index out of range, so it is clamped to the last element.

use super::{GradContext, Operation};
use crate::dtype::DType;
use crate::error::Result;
use crate::reference::RefTensor;
use crate::shape::{TensorType, View};
use crate::tensor::Tensor;

/// Picks elements along an axis. The operands are the values and the `u32` index; its other axes equal the values'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Take {
    /// The indexed axis.
    pub axis: usize,
}

impl Operation for Take {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn attributes(&self) -> String {
        format!("axis={}", self.axis)
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<TensorType, String> {
        let [x, index] = inputs else { return Err(format!("takes two operands, but {} were given", inputs.len())) };
        let same = x.shape.rank() == index.shape.rank()
            && x.shape.iter().zip(index.shape.iter()).enumerate().all(|(k, (a, b))| k == self.axis || a == b);
        if index.dtype != DType::U32 || !same || self.axis >= x.shape.rank() {
            return Err(format!("an index {index} does not match {x} along axis {}", self.axis));
        }
        if x.shape[self.axis] == 0 && index.shape.elements() > 0 {
            return Err(format!("axis {} of {} is empty, so there is nothing to pick", self.axis, x.shape));
        }
        Ok(TensorType::new(&index.shape, x.dtype))
    }

    /// The gradient is a scatter-add, one line along the axis at a time: each element gets the sum of the upstream
    /// elements that picked it. No atomics.
    fn grad<'g>(&self, cx: &GradContext<'_, 'g>) -> Vec<Option<Tensor<'g>>> {
        let (x, index, g) = (cx.inputs[0], cx.inputs[1], cx.upstream);
        let (shape, axis) = (x.shape(), self.axis);
        let (size, picked) = (shape[axis], index.shape()[axis]);
        let (outer, inner): (usize, usize) = (shape[..axis].iter().product(), shape[axis + 1..].iter().product());
        let space = [outer, size, inner, picked];
        let line = |t: Tensor<'g>| t.reshape([outer, 1, picked, inner]).permute(&[0, 1, 3, 2]).broadcast_to(space);
        let place = g.graph().iota(space, 1);
        let hit = line(index.minimum(size.max(1) as u32 - 1)).eq(place);
        vec![Some(hit.select(line(g), 0.0).sum(-1).reshape(shape)), None]
    }

    fn reference(&self, inputs: &[&RefTensor], output: &TensorType) -> RefTensor {
        let (x, index) = (inputs[0], inputs[1]);
        let (strides, lines) = (x.shape.strides(), View::dense(&output.shape));
        RefTensor::from_fn(&output.shape, output.dtype, |i| {
            let mut rest = i;
            let mut at = 0;
            for k in (0..lines.shape.rank()).rev() {
                let along = rest % lines.shape[k];
                rest /= lines.shape[k];
                let picked = (index.data[i] as usize).min(x.shape[k].max(1) - 1);
                at += strides[k] as usize * if k == self.axis { picked } else { along };
            }
            x.data[at]
        })
    }

    fn error_scale(&self, _: &[&RefTensor], value: &RefTensor) -> Vec<f64> {
        vec![0.0; value.data.len()]
    }
}
