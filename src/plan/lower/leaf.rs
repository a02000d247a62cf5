//! Leaves: buffers, or expressions without loads.

use super::{Lowering, Value};
use crate::dtype::DType;
use crate::error::Result;
use crate::kernels::Instr;
use crate::ops::leaf::{Leaf, fill_bits};
use crate::plan::Lazy;

pub(super) fn lower(op: &Leaf, cx: &mut Lowering<'_>) -> Result<Value> {
    let ty = cx.output_type();
    let lazy = |instr| Ok(Value::Lazy(Lazy::leaf(instr, ty.shape.clone(), ty.dtype)));
    match op {
        Leaf::Fill(bits) => {
            let bits = fill_bits(f64::from_bits(*bits), ty.dtype);
            lazy(Instr::Fill { dtype: ty.dtype.compute(), bits })
        }
        Leaf::Step => lazy(Instr::Step),
        Leaf::Iota { axis } => lazy(Instr::Iota { axis: *axis as u8 }),
        Leaf::Poison => lazy(Instr::Fill { dtype: DType::F32, bits: 0 }),
        Leaf::Constant(_) | Leaf::Input { .. } | Leaf::Variable(_) => Ok(Value::Stored(cx.leaf(op))),
    }
}
