//! Indexing along an axis with a 1-D integer tensor, and its adjoint:
//! - select: `y[o, k, i] = x[o, index[k], i]`,
//! - scatter-add: `x[o, r, i] = Σ_{k: index[k] = r} y[o, k, i]`, summed in the order of `k` (reproducible: no atomics).
//!
//! `o` runs over the axes before, `i` over those after. A device cannot stop to report an index out of range, so it is
//! clamped to the last slice; negative `i32` indices clamp to the first.

use super::{GradContext, Op, Operation};
use crate::cpu::CpuContext;
use crate::dtype::DType;
use crate::error::Result;
use crate::plan::{Dispatch, Fused, GpuTarget, Instr, Kernel, Launch, Lazy, Lowering, Operand, Shader, Value, wgsl};
use crate::reference::RefTensor;
use crate::shape::{Shape, TensorType, View};
use crate::tensor::Tensor;

/// An indexing operation; the operands are the values and the index.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
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

/// The values' (or the result's) sizes: the axes before, the indexed one on the side the index points into, and the axes
/// after.
struct Sizes {
    outer: usize,
    rows: usize,
    inner: usize,
}

impl Index {
    fn axis(&self) -> usize {
        match self {
            Index::Select { axis } | Index::ScatterAdd { axis, .. } => *axis,
        }
    }
    fn sizes(&self, values: &Shape) -> Sizes {
        let axis = self.axis();
        let rows = match self {
            Index::Select { .. } => values[axis],
            Index::ScatterAdd { size, .. } => *size,
        };
        Sizes { outer: values[..axis].iter().product(), rows, inner: values[axis + 1..].iter().product() }
    }
    /// Calls `f(row position, indexed position)` for every element picked or added.
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
        let ty = cx.output_type();
        let mut index = cx.lazy(1);
        // Scattering reads the index once for each element of the result.
        let fuses = index.is_free() && cx.passes().gathers && matches!(self, Index::Select { .. });
        if !fuses {
            index = Lazy::load(cx.dense(1));
        }
        if let (Index::Select { axis }, true) = (self, cx.passes().gathers) {
            let values = cx.operand(0);
            let line = values.view.shape.iter().enumerate().all(|(k, &size)| k == *axis || size == 1);
            if let (true, Some(value)) = (line, lookup(&values, *axis, &index, &ty)) {
                return Ok(Value::Lazy(value));
            }
        }
        let values = cx.dense(0);
        let signed = cx.input_type(1).dtype == DType::I32;
        let (index, loads) = Fused::prologue(index);
        let Sizes { outer, rows, inner } = self.sizes(&values.view.shape);
        let (scatter, count) = (matches!(self, Index::ScatterAdd { .. }), index.space.shape[0]);
        let kernel = IndexKernel { scatter, outer, rows, count, inner, index, signed };
        let output = cx.allocate(ty);
        cx.launch(kernel, std::iter::once(values).chain(loads).collect(), vec![output.clone()]);
        Ok(Value::Stored(output))
    }
}

/// Elements of a table of one axis, looked up where they are used.
fn lookup(values: &Operand, axis: usize, index: &Lazy, ty: &TensorType) -> Option<Lazy> {
    let (rows, stride) = (u32::try_from(values.view.shape[axis]).ok()?, i32::try_from(values.view.strides[axis]).ok()?);
    let view = View { shape: ty.shape.clone(), strides: vec![0; ty.shape.rank()], offset: values.view.offset };
    if rows == 0 || ty.shape.elements() == 0 {
        return None;
    }
    let Lazy { mut expr, mut loads, shape, dtype } = index.along(&ty.shape, axis)?;
    debug_assert!(shape == ty.shape && !dtype.is_float());
    let input = loads.len() as u16;
    loads.push(Operand { view, ..values.clone() });
    let root = expr.push(Instr::Gather { input, dtype: values.dtype, rows, stride, index: expr.roots[0] });
    expr.roots = vec![root];
    Some(Lazy { expr, loads, shape, dtype: values.dtype })
}

/// Select or scatter-add over dense values, by an index that is a prologue.
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
    /// The index: `u32`, or `i32` if `signed`.
    pub index: Fused,
    /// Whether the index has a sign.
    pub signed: bool,
}

impl Kernel for IndexKernel {
    fn name(&self) -> &'static str {
        if self.scatter { "scatter_add" } else { "index_select" }
    }
    fn describe(&self) -> String {
        let (verb, rows, index) = (if self.scatter { "adds to" } else { "picks" }, self.rows, &self.index);
        format!("{verb} {} of {rows} slices: {}", self.count, index.describe_prologue(1))
    }
    fn flops(&self) -> u64 {
        if self.scatter { (self.outer * self.count * self.inner) as u64 } else { 0 }
    }
    fn cpu(&self, cx: &mut CpuContext<'_>) {
        crate::cpu::index::run(self, cx);
    }
    fn gpu(&self, launch: &Launch, target: &GpuTarget) -> Result<Dispatch> {
        let (values, out) = (&launch.inputs[0], &launch.outputs[0]);
        let offsets = [values.view.offset, out.view.offset];
        // Where slices are made of aligned vectors of four, those are what is copied.
        let quads = !self.scatter && [self.inner, offsets[0], offsets[1]].iter().all(|n| n.is_multiple_of(4));
        let unit = if quads { 4 } else { 1 };
        let (elements, offsets) = (out.view.shape.elements() / unit, offsets.map(|offset| offset / unit));
        let sizes = [elements, self.rows, self.count, self.inner / unit];
        let shader = if self.scatter {
            Shader::file("scatter_add", include_str!("../../shaders/scatter_add.wgsl"))
        } else {
            Shader::file("index_select", include_str!("../../shaders/index_select.wgsl"))
        };
        let workgroup = wgsl::workgroup_size(elements, target);
        let shader = shader.constant("WORKGROUP", workgroup);
        let shader = if quads { shader.vector("T", values.dtype) } else { shader.alias("T", values.dtype) };
        let shader = shader.alias("I", if self.signed { DType::I32 } else { DType::U32 });
        let params = sizes.into_iter().chain(offsets).map(|size| size as u32).collect();
        let workgroups = (elements as u64).div_ceil(workgroup.into());
        let dispatch = Dispatch::new(&launch.first(1, 1), shader, params, workgroups);
        Ok(wgsl::fuse(dispatch, &["values", "out"], launch, &[self.index.operand("index", &launch.inputs[1..])]))
    }
}
