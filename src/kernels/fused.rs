//! Expressions fused into other kernels.

use super::{Expr, Instr};
use crate::dtype::DType;
use crate::shape::{Shape, View};

/// An expression fused into a kernel, which evaluates it on each element of the result before storing it (an epilogue),
/// or instead of loading an operand (a prologue).
///
/// Its loads are inputs of the launch, after the kernel's own. In an epilogue, load 0 is the result itself, and the
/// others follow.
#[derive(Debug, Clone, PartialEq)]
pub struct Fused {
    /// The iteration space, dense. That of an epilogue has as many points as the result has elements, in the same
    /// row-major order.
    pub space: View,
    /// The expression.
    pub expr: Expr,
}

impl Fused {
    /// The identity epilogue, which stores the result unchanged.
    pub fn result(shape: &Shape, dtype: DType) -> Fused {
        let expr = Expr { instrs: vec![Instr::Load { input: 0, dtype }], roots: vec![0] };
        Fused { space: View::dense(shape), expr }
    }

    /// The number of inputs of the launch that a prologue loads.
    pub fn prologue_inputs(&self) -> usize {
        self.expr.inputs()
    }

    /// The dtype of the result that an epilogue is applied to.
    pub fn result_dtype(&self) -> DType {
        let result = |instr: &Instr| match *instr {
            Instr::Load { input: 0, dtype } => Some(dtype),
            _ => None,
        };
        self.expr.instrs.iter().find_map(result).unwrap_or(DType::F32)
    }

    /// The number of inputs of the launch that an epilogue loads.
    pub fn epilogue_inputs(&self) -> usize {
        self.expr.inputs().saturating_sub(1)
    }

    /// An epilogue as text; its loads are the launch's inputs from `first` on.
    pub fn describe_epilogue(&self, first: usize) -> String {
        let name = |input: u16| match usize::from(input) {
            0 => "result".to_string(),
            k => format!("in{}", first + k - 1),
        };
        format!("; stores {}", self.expr.text(&name))
    }

    /// A prologue as text; its loads are the launch's inputs from `first` on.
    pub fn describe_prologue(&self, first: usize) -> String {
        self.expr.text(&|input| format!("in{}", first + usize::from(input)))
    }
}
