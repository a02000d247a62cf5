//! Elementwise expressions.

use super::{Expr, Instr, KernelInfo};
use crate::shape::Shape;

/// Steps an expression may have: longer ones take long to plan and make shaders that take long to compile.
pub(crate) const MAX_STEPS: usize = 256;

/// Steps of an expression that compute.
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

/// Computes an expression at every point of `shape`; root `r` goes to the launch's `r`-th output, whose view has this
/// shape. An output may be the same buffer as an input seen through the same dense view: each point reads before it
/// writes.
#[derive(Debug, Clone)]
pub struct ElementwiseKernel {
    /// The iteration space.
    pub shape: Shape,
    /// What to compute.
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
