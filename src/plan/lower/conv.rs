//! Convolution and its gradients.

use super::{Lowering, Value};
use crate::error::{Error, Result};
use crate::kernels::conv::{ConvKernel, ConvPass};
use crate::ops::conv::{Conv, ConvKind};

pub(super) fn lower(op: &Conv, cx: &mut Lowering<'_>) -> Result<Value> {
    let (a, b, ty) = (cx.dense(0), cx.dense(1), cx.output_type());
    let geometry = op.geometry(&a.view.shape, &b.view.shape).map_err(Error::Internal)?;
    let pass = match op.kind {
        ConvKind::Forward => ConvPass::Forward,
        ConvKind::InputGrad(_) => ConvPass::InputGrad,
        ConvKind::WeightGrad(_) => ConvPass::WeightGrad,
    };
    let output = cx.allocate(ty);
    let kernel = ConvKernel { pass, geometry, epilogue: None, row_sums: false };
    cx.launch(kernel, vec![a, b], vec![output.clone()]);
    Ok(Value::Stored(output))
}
