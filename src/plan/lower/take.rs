//! Elements selected along an axis by an index of the same rank: table look-ups in an expression.

use super::{Lowering, Value};
use crate::dtype::DType;
use crate::error::Result;
use crate::kernels::{Expr, Instr, Operand};
use crate::ops::table::Binary;
use crate::ops::take::Take;
use crate::plan::Lazy;
use crate::shape::{Shape, View};

pub(super) fn lower(op: &Take, cx: &mut Lowering<'_>) -> Result<Value> {
    let (x, index, ty) = (cx.dense(0), cx.operand(1), cx.output_type());
    if ty.shape.elements() == 0 {
        return Ok(Value::Stored(cx.allocate(ty)));
    }
    Ok(Value::Lazy(look_up(x, index, op.axis, &ty.shape)))
}

/// The selected elements as an expression: look-ups in the whole of `x`, which is dense.
fn look_up(x: Operand, index: Operand, axis: usize, shape: &Shape) -> Lazy {
    let mut expr = Expr::default();
    let fill = |expr: &mut Expr, n: usize| expr.push(Instr::Fill { dtype: DType::U32, bits: n as u32 });
    let binary = |op, a, b| Instr::Binary { op, dtype: DType::U32, a, b };
    let strides = x.view.shape.strides();
    let index_slot = expr.push(Instr::Load { input: 0, dtype: DType::U32 });
    let last = fill(&mut expr, x.view.shape[axis] - 1);
    let clamped = expr.push(binary(Binary::Min, index_slot, last));
    let mut position = None;
    for k in (0..shape.rank()).filter(|&k| k == axis || shape[k] > 1) {
        let along = if k == axis { clamped } else { expr.push(Instr::Iota { axis: k as u8 }) };
        let stride = fill(&mut expr, strides[k] as usize);
        let offset = expr.push(binary(Binary::Mul, along, stride));
        position = Some(position.map_or(offset, |p| expr.push(binary(Binary::Add, p, offset))));
    }
    let rows = x.view.shape.elements() as u32;
    let position = position.unwrap_or(clamped);
    let root = expr.push(Instr::Gather { input: 1, dtype: x.dtype, rows, stride: 1, index: position });
    expr.roots = vec![root];
    let table = View { shape: shape.clone(), strides: vec![0; shape.rank()], offset: x.view.offset };
    let dtype = x.dtype;
    Lazy { expr, loads: vec![index, Operand { view: table, ..x }], shape: shape.clone(), dtype }
}
