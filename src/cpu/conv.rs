//! Convolutions.

use super::CpuContext;
use crate::ops::conv::ConvKernel;

/// Runs the kernel.
pub fn run(kernel: &ConvKernel, cx: &mut CpuContext<'_>) {
    let _ = cx;
    unimplemented!("{kernel:?}")
}
