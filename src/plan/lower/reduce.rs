//! Reductions: the operand's expression becomes the prologue.

use super::{Lowering, Value};
use crate::error::Result;
use crate::kernels::reduce::ReduceKernel;
use crate::ops::reduce::Reduce;
use crate::plan::Lazy;
use crate::shape::Shape;

pub(super) fn lower(op: &Reduce, cx: &mut Lowering<'_>) -> Result<Value> {
    let (x, y) = (cx.input_type(0), cx.output_type());
    let order: Vec<usize> = op.kept(x.shape.rank()).into_iter().chain(op.axes.iter().copied()).collect();
    let lazy = cx.lazy(0);
    let lazy = if lazy.is_positional() { Lazy::load(cx.operand(0)) } else { lazy };
    let shape: Shape = order.iter().map(|&a| x.shape[a]).collect::<Vec<_>>().into();
    let Some(lazy) = lazy.map_views(&shape, |view| Some(view.permute(&order))) else {
        unreachable!("a permutation is a view")
    };
    let split = x.shape.rank() - op.axes.len();
    let kernel = ReduceKernel {
        kind: op.kind,
        outer: Shape::from(&shape[..split]),
        inner: Shape::from(&shape[split..]),
        dtype: x.dtype.compute(),
        expr: lazy.expr,
        epilogue: None,
    };
    let output = cx.allocate(y);
    cx.launch(kernel, lazy.loads, vec![output.clone()]);
    Ok(Value::Stored(output))
}
