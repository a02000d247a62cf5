//! Cross-entropy and its gradient; labels and the upstream gradient are prologues.

use super::{Lowering, Value};
use crate::error::Result;
use crate::kernels::cross_entropy::CrossEntropyKernel;
use crate::ops::cross_entropy::CrossEntropy;

pub(super) fn lower(op: &CrossEntropy, cx: &mut Lowering<'_>) -> Result<Value> {
    let (ty, x) = (cx.output_type(), cx.dense(0));
    let (labels, mut loads) = cx.prologue(1);
    let mut kernel = CrossEntropyKernel {
        loss: !op.is_grad(),
        upstream: None,
        rows: x.view.shape[0],
        classes: x.view.shape[1],
        smoothing: op.smoothing() as f32,
        labels,
    };
    if op.is_grad() {
        let (upstream, more) = cx.prologue(2);
        kernel.upstream = Some(upstream);
        loads.extend(more);
    }
    let output = cx.allocate(ty);
    cx.launch(kernel, std::iter::once(x).chain(loads).collect(), vec![output.clone()]);
    Ok(Value::Stored(output))
}
