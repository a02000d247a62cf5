//! Elementwise operations: lazy expressions.

use super::{Lowering, Value};
use crate::error::Result;
use crate::kernels::elementwise::MAX_STEPS;
use crate::kernels::{Instr, Slot, distinct_buffers};
use crate::ops::elementwise::Elementwise;
use crate::plan::Lazy;

pub(super) fn lower(op: &Elementwise, cx: &mut Lowering<'_>) -> Result<Value> {
    let ty = cx.output_type();
    let mut parts: Vec<Lazy> = (0..cx.input_count()).map(|k| cx.lazy(k)).collect();
    // Launches have a maximum number of buffers and steps: store the largest operand until the others fit.
    loop {
        let buffers = distinct_buffers(parts.iter().flat_map(|p| &p.loads));
        let steps: usize = parts.iter().map(|p| p.expr.instrs.len()).sum();
        let largest = if buffers.len() >= cx.max_buffers() {
            (0..parts.len()).max_by_key(|&k| parts[k].buffers().len())
        } else if steps > MAX_STEPS {
            (0..parts.len()).max_by_key(|&k| parts[k].expr.instrs.len())
        } else {
            break;
        };
        let Some(largest) = largest else { break };
        parts[largest] = Lazy::load(cx.operand(largest));
    }
    let compute = cx.input_type(cx.input_count() - 1).dtype.compute();
    let instr = |s: &[Slot]| match *op {
        Elementwise::Unary(op) => Instr::Unary { op, dtype: compute, x: s[0] },
        Elementwise::Binary(op) => Instr::Binary { op, dtype: compute, a: s[0], b: s[1] },
        Elementwise::Compare(op) => Instr::Compare { op, dtype: compute, a: s[0], b: s[1] },
        Elementwise::Select => Instr::Select { dtype: compute, condition: s[0], a: s[1], b: s[2] },
        Elementwise::Cast(to) => Instr::Cast { from: compute, to, x: s[0] },
    };
    Ok(Value::Lazy(Lazy::combine(&parts, &ty.shape, ty.dtype, instr)))
}
