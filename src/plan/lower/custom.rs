//! A custom operation: dense operands at the start of their buffers.

use super::{Lowering, Value};
use crate::error::{Error, Result};
use crate::kernels::custom::UserKernel;
use crate::ops::custom::CustomOperation;
use std::sync::Arc;

pub(super) fn lower(op: &Arc<dyn CustomOperation>, cx: &mut Lowering<'_>) -> Result<Value> {
    let (count, limit) = (cx.input_count(), cx.max_buffers());
    if count >= limit {
        let message =
            format!("has {count} inputs and an output, but a launch binds at most {limit} buffers; concatenate inputs");
        return Err(Error::value(format!("custom kernel `{}`", op.name()), message));
    }
    let (inputs, output) = ((0..count).map(|k| cx.input_type(k)).collect(), cx.output_type());
    let kernel = UserKernel { op: op.clone(), inputs, output: output.clone() };
    let operands = (0..count).map(|k| cx.dense(k)).collect();
    let output = cx.allocate(output);
    cx.launch(kernel, operands, vec![output.clone()]);
    Ok(Value::Stored(output))
}
