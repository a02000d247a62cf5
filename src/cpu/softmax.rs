//! Softmax rows.

use super::CpuContext;
use crate::ops::softmax::SoftmaxKernel;

/// Runs the kernel.
pub fn run(kernel: &SoftmaxKernel, cx: &mut CpuContext<'_>) {
    let _ = cx;
    unimplemented!("{kernel:?}")
}
