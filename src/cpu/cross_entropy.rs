//! Cross-entropy rows.

use super::CpuContext;
use crate::ops::cross_entropy::CrossEntropyKernel;

/// Runs the kernel.
pub fn run(kernel: &CrossEntropyKernel, cx: &mut CpuContext<'_>) {
    let _ = cx;
    unimplemented!("{kernel:?}")
}
