//! Index-select and scatter-add.

use super::CpuContext;
use crate::ops::index::IndexKernel;

/// Runs the kernel.
pub fn run(kernel: &IndexKernel, cx: &mut CpuContext<'_>) {
    let _ = cx;
    unimplemented!("{kernel:?}")
}
