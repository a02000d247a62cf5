//! Indexing along an axis with a 1-D integer tensor, and its adjoint:
//! - select: `y[o, k, i] = x[o, index[k], i]`,
//! - scatter-add: `x[o, r, i] = Σ_{k: index[k] = r} y[o, k, i]`, summed in the order of `k` (reproducible: no
//!   atomics).
//!
//! `o` runs over the axes before the indexed one, `i` over those after it. A kernel cannot report an index out of
//! range, so it is clamped to the last slice; negative `i32` indices are clamped to the first.

use super::{GradContext, Op, Operation};
use crate::error::Result;
use crate::reference::RefTensor;
use crate::shape::{Shape, TensorType};
use crate::tensor::Tensor;

/// An indexing operation. The operands are the values and the index.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Index {
    /// Picks slices: `torch.index_select`.
    Select {
        /// The axis.
        axis: usize,
    },
    /// Adds slices to zeros: `torch.index_add` on zeros.
    ScatterAdd {
        /// The axis.
        axis: usize,
        /// Number of slices of the result.
        size: usize,
    },
}

/// The sizes of the tensor that the index points into (the values of a select, the result of a scatter-add): the axes
/// before the indexed axis, that axis (`rows`), and the axes after it.
pub(crate) struct Sizes {
    pub(crate) outer: usize,
    pub(crate) rows: usize,
    pub(crate) inner: usize,
}

impl Index {
    fn axis(&self) -> usize {
        match self {
            Index::Select { axis } | Index::ScatterAdd { axis, .. } => *axis,
        }
    }
    pub(crate) fn sizes(&self, values: &Shape) -> Sizes {
        let axis = self.axis();
        let rows = match self {
            Index::Select { .. } => values[axis],
            Index::ScatterAdd { size, .. } => *size,
        };
        Sizes { outer: values[..axis].iter().product(), rows, inner: values[axis + 1..].iter().product() }
    }
    /// Calls `f(row position, indexed position)` for every element that is picked or added.
    fn for_each(&self, values: &RefTensor, index: &RefTensor, mut f: impl FnMut(usize, usize)) {
        let (k, count) = (self.sizes(&values.shape), index.data.len());
        for o in 0..k.outer {
            for (n, &row) in index.data.iter().enumerate() {
                let row = (row.max(0.0) as usize).min(k.rows.saturating_sub(1));
                for i in 0..k.inner {
                    f((o * k.rows + row) * k.inner + i, (o * count + n) * k.inner + i);
                }
            }
        }
    }
    fn scatter(&self, values: &RefTensor, index: &RefTensor, output: &TensorType) -> RefTensor {
        let mut out = RefTensor::from_fn(&output.shape, output.dtype, |_| 0.0);
        self.for_each(values, index, |row, from| out.data[row] += values.data[from]);
        out
    }
}

impl Operation for Index {
    fn name(&self) -> &'static str {
        match self {
            Index::Select { .. } => "index_select",
            Index::ScatterAdd { .. } => "scatter_add",
        }
    }

    fn attributes(&self) -> String {
        format!("axis={}", self.axis())
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<TensorType, String> {
        let [x, index] = inputs else { return Err(format!("takes two operands, but {} were given", inputs.len())) };
        if index.dtype.is_float() || index.shape.rank() != 1 {
            return Err(format!("the index must be a 1-D u32 or i32 tensor, but is {index}"));
        }
        let axis = self.axis();
        if axis >= x.shape.rank() {
            return Err(format!("axis {axis} is out of range for shape {}", x.shape));
        }
        let mut shape = x.shape.to_vec();
        shape[axis] = match self {
            Index::Select { .. } => {
                if x.shape[axis] == 0 && index.shape[0] > 0 {
                    return Err(format!("axis {axis} of {} is empty, so there is nothing to select", x.shape));
                }
                index.shape[0]
            }
            Index::ScatterAdd { size, .. } => {
                if x.shape[axis] != index.shape[0] {
                    return Err(format!("axis {axis} of {} and the index {} differ in length", x.shape, index.shape));
                }
                if *size == 0 && index.shape[0] > 0 {
                    return Err("cannot add into an axis of size 0".into());
                }
                if !x.dtype.is_float() {
                    return Err(format!("takes f32 or f16 values, but they are {}", x.dtype));
                }
                *size
            }
        };
        Ok(TensorType { shape: shape.into(), dtype: x.dtype })
    }

    fn grad<'g>(&self, cx: &GradContext<'_, 'g>) -> Vec<Option<Tensor<'g>>> {
        let (index, g, axis) = (cx.inputs[1], cx.upstream, self.axis());
        let dx = match self {
            Index::Select { .. } => {
                let size = cx.inputs[0].shape()[axis];
                g.graph().apply(Op::Index(Index::ScatterAdd { axis, size }), &[g, index])
            }
            Index::ScatterAdd { .. } => g.graph().apply(Op::Index(Index::Select { axis }), &[g, index]),
        };
        vec![Some(dx), None]
    }

    fn reference(&self, inputs: &[&RefTensor], output: &TensorType) -> RefTensor {
        let (values, index) = (inputs[0], inputs[1]);
        match self {
            Index::Select { .. } => {
                let mut out = RefTensor::from_fn(&output.shape, output.dtype, |_| 0.0);
                self.for_each(values, index, |row, to| out.data[to] = values.data[row]);
                out
            }
            Index::ScatterAdd { .. } => self.scatter(values, index, output),
        }
    }

    fn error_scale(&self, inputs: &[&RefTensor], value: &RefTensor) -> Vec<f64> {
        match self {
            Index::Select { .. } => vec![0.0; value.data.len()],
            Index::ScatterAdd { .. } => {
                let output = TensorType::new(&value.shape, value.dtype);
                let scale = super::matmul::accumulation_error(inputs[1].data.len());
                self.scatter(&inputs[0].abs(), inputs[1], &output).data.iter().map(|m| scale * m).collect()
            }
        }
    }
}
