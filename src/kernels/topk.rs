//! The largest or smallest elements of rows.

use super::KernelInfo;

/// Rows of a dense operand.
#[derive(Debug, Clone)]
pub struct TopKKernel {
    /// How many rows.
    pub rows: usize,
    /// Elements of a row.
    pub columns: usize,
    /// How many indices.
    pub k: usize,
    /// The largest first.
    pub largest: bool,
}

impl KernelInfo for TopKKernel {
    fn name(&self) -> &'static str {
        "topk"
    }
    fn describe(&self) -> String {
        let which = if self.largest { "largest" } else { "smallest" };
        format!("the {} {which} of {} for each of {} rows", self.k, self.columns, self.rows)
    }
    fn flops(&self) -> u64 {
        (self.rows * self.columns * self.k) as u64
    }
}
