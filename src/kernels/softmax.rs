//! Softmax and log-softmax of rows.

use super::KernelInfo;

/// Rows of a dense operand.
#[derive(Debug, Clone)]
pub struct SoftmaxKernel {
    /// Log-softmax.
    pub log: bool,
    /// How many rows.
    pub rows: usize,
    /// Elements of a row.
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
