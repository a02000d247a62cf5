//! Reductions.

use super::CpuContext;
use crate::ops::reduce::ReduceKernel;

/// Runs the kernel.
pub fn run(kernel: &ReduceKernel, cx: &mut CpuContext<'_>) {
    let _ = cx;
    unimplemented!("{kernel:?}")
}
