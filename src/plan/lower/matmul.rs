//! Batched matmul of operands with any strides.

use super::{Lowering, Value};
use crate::error::Result;
use crate::kernels::matmul::MatmulKernel;
use crate::ops::matmul::Matmul;
use crate::shape::Shape;

pub(super) fn lower(_: &Matmul, cx: &mut Lowering<'_>) -> Result<Value> {
    let (ty, a, b) = (cx.output_type(), cx.operand(0), cx.operand(1));
    let rank = ty.shape.rank();
    let kernel = MatmulKernel {
        batch: Shape::from(&ty.shape[..rank - 2]),
        m: ty.shape[rank - 2],
        n: ty.shape[rank - 1],
        k: a.view.shape[rank - 1],
        epilogue: None,
        row_sums: false,
    };
    let output = cx.allocate(ty);
    cx.launch(kernel, vec![a, b], vec![output.clone()]);
    Ok(Value::Stored(output))
}
