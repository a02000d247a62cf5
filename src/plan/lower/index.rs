//! Index-select and scatter-add. Selecting elements rather than slices is a table look-up in an expression.

use super::{Lowering, Value};
use crate::dtype::DType;
use crate::error::Result;
use crate::kernels::index::IndexKernel;
use crate::kernels::{Instr, Operand};
use crate::ops::index::{Index, Sizes};
use crate::plan::Lazy;
use crate::shape::{TensorType, View};

pub(super) fn lower(op: &Index, cx: &mut Lowering<'_>) -> Result<Value> {
    let ty = cx.output_type();
    let mut index = cx.lazy(1);
    // Scatter-add reads the index once per element of the result.
    let fuses = index.is_free() && cx.passes().gathers && matches!(op, Index::Select { .. });
    if !fuses {
        index = Lazy::load(cx.dense(1));
    }
    if let (Index::Select { axis }, true) = (op, cx.passes().gathers) {
        let values = cx.operand(0);
        let line = values.view.shape.iter().enumerate().all(|(k, &size)| k == *axis || size == 1);
        if let (true, Some(value)) = (line, lookup(&values, *axis, &index, &ty)) {
            return Ok(Value::Lazy(value));
        }
    }
    let values = cx.dense(0);
    let signed = cx.input_type(1).dtype == DType::I32;
    let (index, loads) = index.into_prologue();
    let Sizes { outer, rows, inner } = op.sizes(&values.view.shape);
    let (scatter, count) = (matches!(op, Index::ScatterAdd { .. }), index.space.shape[0]);
    let kernel = IndexKernel { scatter, outer, rows, count, inner, index, signed };
    let output = cx.allocate(ty);
    cx.launch(kernel, std::iter::once(values).chain(loads).collect(), vec![output.clone()]);
    Ok(Value::Stored(output))
}

/// Look-ups in a one-dimensional table, as an expression.
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
