//! WGSL for elementwise expressions.

use super::{Dispatch, GpuTarget, Launch};
use crate::error::{Error, Result};
use crate::ops::elementwise::ElementwiseKernel;
use crate::ops::reduce::ReduceKernel;

/// The dispatch of an elementwise launch.
pub fn elementwise(kernel: &ElementwiseKernel, launch: &Launch, target: &GpuTarget) -> Result<Dispatch> {
    let _ = (launch, target);
    Err(Error::Internal(format!("no GPU kernel yet: {kernel:?}")))
}

/// The dispatch of a reduction.
pub fn reduce(kernel: &ReduceKernel, launch: &Launch, target: &GpuTarget) -> Result<Dispatch> {
    let _ = (launch, target);
    Err(Error::Internal(format!("no GPU kernel yet: {kernel:?}")))
}
