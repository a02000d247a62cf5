//! Pooling and its gradients.

use super::{Lowering, Value};
use crate::error::{Error, Result};
use crate::kernels::pool::{PoolKernel, PoolPass};
use crate::ops::pool::{Pool, PoolKind};

pub(super) fn lower(op: &Pool, cx: &mut Lowering<'_>) -> Result<Value> {
    let inputs: Vec<_> = (0..cx.input_count()).map(|k| cx.dense(k)).collect();
    let geometry = op.geometry(&inputs[0].view.shape).map_err(Error::Internal)?;
    let pass = match op.kind {
        PoolKind::Max => PoolPass::Max { value: true, place: false },
        PoolKind::ArgMax => PoolPass::Max { value: false, place: true },
        PoolKind::Put(_) => PoolPass::Put,
        PoolKind::Average => PoolPass::Average,
        PoolKind::AverageGrad(_) => PoolPass::AverageGrad,
    };
    let output = cx.allocate(cx.output_type());
    cx.launch(PoolKernel { pass, geometry }, inputs, vec![output.clone()]);
    Ok(Value::Stored(output))
}
