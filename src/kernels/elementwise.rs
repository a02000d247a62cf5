//! Elementwise expressions.

use super::{Expr, Instr, KernelInfo};
use crate::shape::Shape;

/// Maximum number of steps in an expression: longer ones take long to plan, and their shaders take long to compile.
pub(crate) const MAX_STEPS: usize = 256;

/// The number of arithmetic steps in an expression.
pub fn arithmetic(expr: &Expr) -> u64 {
    expr.instrs
        .iter()
        .filter(|i| {
            !matches!(
                i,
                Instr::Load { .. } | Instr::Gather { .. } | Instr::Fill { .. } | Instr::Iota { .. } | Instr::Step
            )
        })
        .count() as u64
}

/// Computes an expression at every point of `shape`; root `r` is stored to the `r`-th output of the launch, whose view
/// has this shape. An output may alias an input if both have the same dense view: each point is read before it is
/// written.
#[derive(Debug, Clone)]
pub struct ElementwiseKernel {
    /// The iteration space.
    pub shape: Shape,
    /// The expression.
    pub expr: Expr,
}

impl KernelInfo for ElementwiseKernel {
    fn name(&self) -> &'static str {
        "elementwise"
    }
    fn flops(&self) -> u64 {
        self.shape.elements() as u64 * arithmetic(&self.expr)
    }
    fn describe(&self) -> String {
        self.expr.to_string()
    }
}
