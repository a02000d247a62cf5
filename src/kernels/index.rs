//! Index-select and scatter-add.

use super::{Fused, KernelInfo};

/// Index-select or scatter-add on dense values, with the index as a prologue.
#[derive(Debug, Clone)]
pub struct IndexKernel {
    /// Whether it is a scatter-add, else an index-select.
    pub scatter: bool,
    /// The product of the sizes of the axes before the indexed one.
    pub outer: usize,
    /// The size of the indexed axis.
    pub rows: usize,
    /// The length of the index.
    pub count: usize,
    /// The product of the sizes of the axes after the indexed one.
    pub inner: usize,
    /// The index: `u32`, or `i32` if `signed`.
    pub index: Fused,
    /// Whether the index is signed.
    pub signed: bool,
}

impl KernelInfo for IndexKernel {
    fn name(&self) -> &'static str {
        if self.scatter { "scatter_add" } else { "index_select" }
    }
    fn describe(&self) -> String {
        let (verb, rows, index) = (if self.scatter { "adds to" } else { "selects" }, self.rows, &self.index);
        format!("{verb} {} of {rows} slices: {}", self.count, index.describe_prologue(1))
    }
    fn flops(&self) -> u64 {
        if self.scatter { (self.outer * self.count * self.inner) as u64 } else { 0 }
    }
}
