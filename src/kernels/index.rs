//! Index-select and scatter-add.

use super::{Fused, KernelInfo};

/// Select or scatter-add over dense values, by an index that is a prologue.
#[derive(Debug, Clone)]
pub struct IndexKernel {
    /// Scatter-add (else select).
    pub scatter: bool,
    /// Product of the axes before.
    pub outer: usize,
    /// Slices on the side the index points into.
    pub rows: usize,
    /// Length of the index.
    pub count: usize,
    /// Product of the axes after.
    pub inner: usize,
    /// The index: `u32`, or `i32` if `signed`.
    pub index: Fused,
    /// Whether the index has a sign.
    pub signed: bool,
}

impl KernelInfo for IndexKernel {
    fn name(&self) -> &'static str {
        if self.scatter { "scatter_add" } else { "index_select" }
    }
    fn describe(&self) -> String {
        let (verb, rows, index) = (if self.scatter { "adds to" } else { "picks" }, self.rows, &self.index);
        format!("{verb} {} of {rows} slices: {}", self.count, index.describe_prologue(1))
    }
    fn flops(&self) -> u64 {
        if self.scatter { (self.outer * self.count * self.inner) as u64 } else { 0 }
    }
}
