//! Expressions that other kernels evaluate.

use super::{Expr, Instr};
use crate::dtype::DType;
use crate::shape::{Shape, View};

/// An expression that a kernel evaluates at each element of its result before storing it (an epilogue), or where it
/// would read an operand (a prologue).
///
/// What it loads is kept with the launch's inputs, after the kernel's own. In an epilogue, load 0 is the result itself and
/// the others follow.
#[derive(Debug, Clone, PartialEq)]
pub struct Fused {
    /// The iteration space, dense; an epilogue's has as many points as the result has elements, in the same row-major
    /// order.
    pub space: View,
    /// What to compute.
    pub expr: Expr,
}

impl Fused {
    /// The epilogue that stores the result as it is.
    pub fn result(shape: &Shape, dtype: DType) -> Fused {
        let expr = Expr { instrs: vec![Instr::Load { input: 0, dtype }], roots: vec![0] };
        Fused { space: View::dense(shape), expr }
    }

    /// How many of the launch's inputs a prologue loads.
    pub fn prologue_inputs(&self) -> usize {
        self.expr.inputs()
    }

    /// The dtype of the result that an epilogue takes.
    pub fn result_dtype(&self) -> DType {
        let result = |instr: &Instr| match *instr {
            Instr::Load { input: 0, dtype } => Some(dtype),
            _ => None,
        };
        self.expr.instrs.iter().find_map(result).unwrap_or(DType::F32)
    }

    /// How many of the launch's inputs an epilogue loads.
    pub fn epilogue_inputs(&self) -> usize {
        self.expr.inputs().saturating_sub(1)
    }

    /// An epilogue for people, whose inputs are the launch's from `first` on.
    pub fn describe_epilogue(&self, first: usize) -> String {
        let name = |input: u16| match usize::from(input) {
            0 => "result".to_string(),
            k => format!("in{}", first + k - 1),
        };
        format!("; stores {}", self.expr.text(&name))
    }

    /// A prologue for people, whose inputs are the launch's from `first` on.
    pub fn describe_prologue(&self, first: usize) -> String {
        self.expr.text(&|input| format!("in{}", first + usize::from(input)))
    }
}
