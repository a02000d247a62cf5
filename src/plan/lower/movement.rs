//! Movement operations: views; pad and concat are copies into views of their output.

use super::{Lowering, Value};
use crate::error::Result;
use crate::kernels::{Instr, Operand};
use crate::ops::leaf::fill_bits;
use crate::ops::movement::Movement;
use crate::plan::Lazy;
use crate::shape::Shape;

pub(super) fn lower(op: &Movement, cx: &mut Lowering<'_>) -> Result<Value> {
    let ty = cx.output_type();
    if !matches!(op, Movement::Pad { .. } | Movement::Concat { .. }) {
        let expands = matches!(op, Movement::Broadcast(_)) && ty.shape.elements() > cx.input_type(0).shape.elements();
        return Ok(cx.map_view(0, &ty.shape, expands, |view| op.view(view)));
    }
    let output = cx.allocate(ty.clone());
    if matches!(op, Movement::Pad { .. }) {
        let bits = fill_bits(op.padding_value(), ty.dtype);
        let fill = Instr::Fill { dtype: ty.dtype.compute(), bits };
        cx.store_into(&Lazy::leaf(fill, ty.shape.clone(), ty.dtype), output.clone());
    }
    let shapes: Vec<Shape> = (0..cx.input_count()).map(|k| cx.input_type(k).shape).collect();
    for (k, window) in op.windows(&shapes, &ty.shape).into_iter().enumerate() {
        let lazy = cx.lazy(k);
        cx.store_into(&lazy, Operand { view: window, ..output.clone() });
    }
    Ok(Value::Stored(output))
}
