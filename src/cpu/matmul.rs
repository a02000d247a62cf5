//! Matrix products.

use super::CpuContext;
use crate::ops::matmul::MatmulKernel;

/// Runs the kernel.
pub fn run(kernel: &MatmulKernel, cx: &mut CpuContext<'_>) {
    let _ = cx;
    unimplemented!("{kernel:?}")
}
