//! Top-k along rows: the largest or smallest elements.

use super::KernelInfo;

/// Top-k along the rows of a dense operand.
#[derive(Debug, Clone)]
pub struct TopKKernel {
    /// The number of rows.
    pub rows: usize,
    /// The number of elements per row.
    pub columns: usize,
    /// The number of indices per row.
    pub k: usize,
    /// Whether to select the largest elements, else the smallest.
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
