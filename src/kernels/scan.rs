//! Cumulative sums of rows.

use super::KernelInfo;

/// Cumulative sums along the rows of a dense operand.
#[derive(Debug, Clone)]
pub struct ScanKernel {
    /// Whether to sum from the end of each row.
    pub reverse: bool,
    /// The number of rows.
    pub rows: usize,
    /// The number of elements per row.
    pub columns: usize,
}

impl KernelInfo for ScanKernel {
    fn name(&self) -> &'static str {
        "cumsum"
    }
    fn describe(&self) -> String {
        let direction = if self.reverse { " from the end" } else { "" };
        format!("{} rows of {}{direction}", self.rows, self.columns)
    }
    fn flops(&self) -> u64 {
        (self.rows * self.columns) as u64
    }
}
