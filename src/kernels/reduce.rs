//! Reductions of an expression over some axes.

use super::{Expr, Fused, Kernel, KernelInfo, Launch, Operand};
use crate::dtype::DType;
use crate::ops::reduce::ReduceKind;
use crate::shape::Shape;

/// Whether a launch only computes the sum of each row of `matrix`: over all axes after the axis `row`.
pub(super) fn sums_rows(launch: &Launch, matrix: &Operand, row: usize) -> bool {
    let Kernel::Reduce(kernel) = &launch.kernel else { return false };
    let [sum] = &launch.inputs[..] else { return false };
    let kept = |sizes: &[usize], strides: &[isize]| -> Vec<(usize, isize)> {
        sizes.iter().copied().zip(strides.iter().copied()).filter(|&(size, _)| size != 1).collect()
    };
    let (view, split) = (&matrix.view, kernel.outer.rank());
    let same = |own: std::ops::Range<usize>, other: std::ops::Range<usize>| {
        kept(&view.shape[own.clone()], &view.strides[own])
            == kept(&sum.view.shape[other.clone()], &sum.view.strides[other])
    };
    kernel.kind == ReduceKind::Sum
        && kernel.epilogue.is_none()
        && kernel.expr.instrs.len() == 1
        && (sum.buffer, sum.dtype, sum.view.offset) == (matrix.buffer, matrix.dtype, view.offset)
        && same(row..row + 1, 0..split)
        && same(row + 1..view.shape.rank(), split..sum.view.shape.rank())
}

/// Reduces an expression: output element `o` (row-major over `outer`, dense) is the reduction over `inner` of the
/// expression at the points `(o, i)`. The views of the loads have the shape `outer ++ inner`.
#[derive(Debug, Clone)]
pub struct ReduceKernel {
    /// The reduction.
    pub kind: ReduceKind,
    /// The kept axes.
    pub outer: Shape,
    /// The reduced axes.
    pub inner: Shape,
    /// The compute dtype of the expression's value.
    pub dtype: DType,
    /// The expression to reduce.
    pub expr: Expr,
    /// The epilogue, applied to each result.
    pub epilogue: Option<Fused>,
}

impl ReduceKernel {
    /// The loads of the expression and those of the epilogue, among the inputs of a launch.
    pub fn inputs<'a>(&self, launch: &'a Launch) -> (&'a [Operand], &'a [Operand]) {
        let more = self.epilogue.as_ref().map_or(0, Fused::epilogue_inputs);
        launch.inputs.split_at(launch.inputs.len() - more)
    }
}

impl KernelInfo for ReduceKernel {
    fn name(&self) -> &'static str {
        "reduce"
    }
    fn flops(&self) -> u64 {
        (self.outer.elements() * self.inner.elements()) as u64 * (1 + super::elementwise::arithmetic(&self.expr))
    }
    fn describe(&self) -> String {
        let epilogue =
            self.epilogue.as_ref().map_or(String::new(), |fused| fused.describe_epilogue(self.expr.inputs()));
        format!("{} over {} for each of {} of: {}{epilogue}", self.kind.name(), self.inner, self.outer, self.expr)
    }
    fn own_inputs(&self) -> usize {
        self.expr.inputs()
    }
    fn epilogue(&self) -> Option<&Fused> {
        self.epilogue.as_ref()
    }
    fn with_epilogue(&self, epilogue: Fused) -> Option<Kernel> {
        Some(ReduceKernel { epilogue: Some(epilogue), ..self.clone() }.into())
    }
    fn updates_in_place(&self) -> bool {
        true
    }
}
