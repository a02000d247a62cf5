//! What a dispatch does to a device: the counts that estimates are made of.

use crate::kernels::{Expr, Instr, Operand};
use crate::ops::random::Distribution;

/// What a dispatch does. The counts of instructions and waits are the kernel's own, to about a third.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Threads of a workgroup.
    pub threads: u32,
    /// How many times the longest thread waits for memory, one after another; loads that do not depend on each other
    /// and are written next to each other are one wait.
    pub waits: u64,
    /// Barriers that the longest thread comes to.
    pub barriers: u64,
    /// Instructions of all threads, those that compute addresses among them.
    pub instructions: u64,
    /// Bytes that a workgroup reads, from the cache if others do too; 0 if they are few beside `bytes`.
    pub loaded: u64,
    /// The instructions that any way to compute the result needs: a multiply-add is one.
    pub needed: u64,
    /// Bytes that are read and written, if each element of the operands is once.
    pub bytes: u64,
}

impl Work {
    /// Of `threads` threads a workgroup, the longest of which waits and comes to barriers so often, in a loop or not, and
    /// takes `each` instructions.
    pub(super) fn of(threads: u32, waits: usize, barriers: usize, each: usize) -> Work {
        let [waits, barriers, instructions] = [waits, barriers, each].map(|count| count as u64);
        Work { threads, waits, barriers, instructions, ..Work::default() }
    }

    /// The same with so many instructions needed.
    pub(super) fn needed(self, needed: usize) -> Work {
        Work { needed: needed as u64, ..self }
    }
}

/// Instructions of an expression at one point, its loads' addresses included.
pub(super) fn instructions(expr: &Expr) -> usize {
    let of = |instr: &Instr| match instr {
        Instr::Fill { .. } => 0,
        Instr::Load { .. } => 4,
        Instr::Gather { .. } => 8,
        Instr::Iota { .. } => 4,
        // Four neighbours share the generator's ten rounds.
        Instr::Random { distribution: Distribution::Normal, .. } => 150,
        Instr::Random { .. } => 90,
        Instr::Unary { op, .. } => of_text(op.row().wgsl),
        Instr::Binary { op, .. } => of_text(op.row().wgsl),
        _ => 1,
    };
    expr.instrs.iter().map(of).sum()
}

/// Instructions of an operation, from its text: helper functions are long, and roots, logarithms, exponentials and
/// quotients take several.
fn of_text(wgsl: &str) -> usize {
    match wgsl {
        _ if wgsl.contains('_') || wgsl.contains("power") => 30,
        _ if ["exp", "log", "qrt", "/", "%"].iter().any(|part| wgsl.contains(part)) => 8,
        _ => 1,
    }
}

/// How often an expression's loads wait for each other: an element looked up waits for its index.
pub(super) fn waits(expr: &Expr) -> usize {
    1 + usize::from(expr.instrs.iter().any(|instr| matches!(instr, Instr::Gather { .. })))
}

/// Bytes of operands, each element once.
pub(super) fn bytes<'a>(operands: impl IntoIterator<Item = &'a Operand>) -> u64 {
    operands.into_iter().map(Operand::bytes).sum()
}
