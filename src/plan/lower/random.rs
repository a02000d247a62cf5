//! Random draws: expressions without loads.

use super::{Lowering, Value};
use crate::error::Result;
use crate::kernels::Instr;
use crate::ops::random::Random;
use crate::plan::Lazy;

pub(super) fn lower(op: &Random, cx: &mut Lowering<'_>) -> Result<Value> {
    let ty = cx.output_type();
    let instr = Instr::Random { distribution: op.distribution, stream: op.stream };
    Ok(Value::Lazy(Lazy::leaf(instr, ty.shape, ty.dtype)))
}
