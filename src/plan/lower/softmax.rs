//! Softmax and log-softmax.

use super::{Lowering, Value};
use crate::error::Result;
use crate::kernels::softmax::SoftmaxKernel;
use crate::ops::softmax::Softmax;

pub(super) fn lower(op: &Softmax, cx: &mut Lowering<'_>) -> Result<Value> {
    let (x, ty) = (cx.dense(0), cx.output_type());
    let cols = ty.shape[ty.shape.rank() - 1];
    let rows = ty.shape.elements() / cols.max(1);
    let output = cx.allocate(ty);
    cx.launch(SoftmaxKernel { log: op.log, rows, cols }, vec![x], vec![output.clone()]);
    Ok(Value::Stored(output))
}
