//! Elementwise expressions, in blocks.

use super::CpuContext;
use crate::ops::elementwise::ElementwiseKernel;

/// Runs the kernel.
pub fn run(kernel: &ElementwiseKernel, cx: &mut CpuContext<'_>) {
    let _ = cx;
    unimplemented!("{kernel:?}")
}
