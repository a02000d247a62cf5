//! Cumulative sums.

use super::{Lowering, Value};
use crate::error::Result;
use crate::kernels::scan::ScanKernel;
use crate::ops::scan::Scan;

pub(super) fn lower(op: &Scan, cx: &mut Lowering<'_>) -> Result<Value> {
    let (x, output) = (cx.dense(0), cx.allocate(cx.output_type()));
    let columns = x.view.shape[x.view.shape.rank() - 1];
    let rows = x.view.shape.elements() / columns.max(1);
    cx.launch(ScanKernel { reverse: op.reverse, rows, columns }, vec![x], vec![output.clone()]);
    Ok(Value::Stored(output))
}
