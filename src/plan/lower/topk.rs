//! Top-k: indices of the largest or smallest elements.

use super::{Lowering, Value};
use crate::error::Result;
use crate::kernels::topk::TopKKernel;
use crate::ops::topk::TopK;

pub(super) fn lower(op: &TopK, cx: &mut Lowering<'_>) -> Result<Value> {
    let (x, output) = (cx.dense(0), cx.allocate(cx.output_type()));
    let columns = x.view.shape[x.view.shape.rank() - 1];
    let rows = x.view.shape.elements() / columns.max(1);
    let kernel = TopKKernel { rows, columns, k: op.k, largest: op.largest };
    cx.launch(kernel, vec![x], vec![output.clone()]);
    Ok(Value::Stored(output))
}
