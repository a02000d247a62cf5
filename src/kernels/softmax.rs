//! Softmax and log-softmax of rows.

use super::KernelInfo;

/// Softmax along the rows of a dense operand.
#[derive(Debug, Clone)]
pub struct SoftmaxKernel {
    /// Whether it is log-softmax.
    pub log: bool,
    /// The number of rows.
    pub rows: usize,
    /// The number of elements per row.
    pub cols: usize,
}

impl KernelInfo for SoftmaxKernel {
    fn name(&self) -> &'static str {
        "softmax"
    }
    fn describe(&self) -> String {
        format!("{} rows of {}", self.rows, self.cols)
    }
    fn flops(&self) -> u64 {
        5 * (self.rows * self.cols) as u64
    }
}
