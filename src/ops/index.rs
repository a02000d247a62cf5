//! Indexing along an axis with a 1-D integer tensor, and its adjoint:
//! - select: `y[o, k, i] = x[o, index[k], i]`,
//! - scatter-add: `x[o, r, i] = Σ_{k: index[k] = r} y[o, k, i]`, summed in the order of `k` (reproducible: no atomics).
//!
//! `o` runs over the axes before, `i` over those after. A device cannot stop to report an index out of range, so it is
//! clamped to the last slice; negative `i32` indices clamp to the first.

use super::{GradContext, Op, Operation};
use crate::cpu::CpuContext;
use crate::error::Result;
use crate::plan::{Dispatch, GpuTarget, Kernel, Launch, Lowering, Shader, Value, wgsl};
use crate::reference::RefTensor;
use crate::shape::{Shape, TensorType};
use crate::tensor::Tensor;

/// An indexing operation; the operands are the values and the index.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Index {
    /// Picks slices.
    Select {
        /// The axis.
        axis: usize,
    },
    /// Adds slices into zeros.
    ScatterAdd {
        /// The axis.
        axis: usize,
        /// Slices of the result.
        size: usize,
    },
}

impl Index {
    fn axis(&self) -> usize {
        match self {
            Index::Select { axis } | Index::ScatterAdd { axis, .. } => *axis,
        }
    }
    fn kernel(&self, values: &Shape, count: usize) -> IndexKernel {
        let axis = self.axis();
        let (scatter, rows) = match self {
            Index::Select { .. } => (false, values[axis]),
            Index::ScatterAdd { size, .. } => (true, *size),
        };
        IndexKernel {
            scatter,
            outer: values[..axis].iter().product(),
            rows,
            count,
            inner: values[axis + 1..].iter().product(),
        }
    }
    /// Calls `f(row position, indexed position)` for every element picked or added.
    fn for_each(&self, values: &RefTensor, index: &RefTensor, mut f: impl FnMut(usize, usize)) {
        let k = self.kernel(&values.shape, index.data.len());
        for o in 0..k.outer {
            for (n, &row) in index.data.iter().enumerate() {
                let row = (row.max(0.0) as usize).min(k.rows.saturating_sub(1));
                for i in 0..k.inner {
                    f((o * k.rows + row) * k.inner + i, (o * k.count + n) * k.inner + i);
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
                    return Err(format!("axis {axis} of {} holds nothing to select", x.shape));
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

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<Value> {
        let (values, index, ty) = (cx.dense(0), cx.dense(1), cx.output_type());
        let kernel = self.kernel(&values.view.shape, index.view.shape[0]);
        let output = cx.allocate(ty);
        cx.launch(kernel, vec![values, index], vec![output.clone()]);
        Ok(Value::Stored(output))
    }
}

/// Select or scatter-add over dense operands: values, then the index (`u32` or `i32`).
#[derive(Debug, Clone)]
pub struct IndexKernel {
    /// Scatter-add (else select).
    pub scatter: bool,
    /// Product of the axes before.
    pub outer: usize,
    /// Slices on the side the index points into.
    pub rows: usize,
    /// Length of the index.
    pub count: usize,
    /// Product of the axes after.
    pub inner: usize,
}

impl Kernel for IndexKernel {
    fn name(&self) -> &'static str {
        if self.scatter { "scatter_add" } else { "index_select" }
    }
    fn flops(&self) -> u64 {
        if self.scatter { (self.outer * self.count * self.inner) as u64 } else { 0 }
    }
    fn cpu(&self, cx: &mut CpuContext<'_>) {
        crate::cpu::index::run(self, cx);
    }
    fn gpu(&self, launch: &Launch, target: &GpuTarget) -> Result<Dispatch> {
        let (values, index, out) = (&launch.inputs[0], &launch.inputs[1], &launch.outputs[0]);
        let elements = out.view.shape.elements();
        let offsets = [values.view.offset, index.view.offset, out.view.offset];
        let sizes = [elements, self.rows, self.count, self.inner];
        let shader = if self.scatter {
            Shader::file("scatter_add", include_str!("../../shaders/scatter_add.wgsl"))
        } else {
            Shader::file("index_select", include_str!("../../shaders/index_select.wgsl"))
        };
        let workgroup = wgsl::workgroup_size(elements, target);
        let shader = shader.constant("WORKGROUP", workgroup).alias("T", values.dtype).alias("I", index.dtype);
        let params = sizes.into_iter().chain(offsets).map(|size| size as u32).collect();
        Ok(Dispatch::new(launch, shader, params, (elements as u64).div_ceil(workgroup.into())))
    }
}
