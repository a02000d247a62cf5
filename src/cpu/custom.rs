//! Custom kernels: runs the kernel's host routine if it has one, otherwise its reference, rounded to the output's
//! dtype.

use super::CpuContext;
use crate::error::Result;
use crate::kernels::custom::UserKernel;
use crate::reference::RefTensor;

/// Runs the kernel.
pub(super) fn run(kernel: &UserKernel, cx: &mut CpuContext<'_>) {
    if host(kernel, cx) {
        return;
    }
    if let Err(error) = reference(kernel, cx) {
        cx.fail(error);
    }
}

/// Runs the host routine; returns whether it computed the output. Kernels with more than three inputs always use the
/// reference.
fn host(kernel: &UserKernel, cx: &mut CpuContext<'_>) -> bool {
    let mut done = false;
    if kernel.output.shape.elements() == 0 {
        return done;
    }
    match kernel.inputs.len() {
        1 => cx.dense::<1>(|inputs, output, _| done = kernel.op.host(&inputs, output)),
        2 => cx.dense::<2>(|inputs, output, _| done = kernel.op.host(&inputs, output)),
        3 => cx.dense::<3>(|inputs, output, _| done = kernel.op.host(&inputs, output)),
        _ => {}
    }
    done
}

fn reference(kernel: &UserKernel, cx: &mut CpuContext<'_>) -> Result<()> {
    let inputs = (0..kernel.inputs.len()).map(|k| Ok(RefTensor::from_array(&cx.read(k)?)));
    let inputs: Vec<RefTensor> = inputs.collect::<Result<_>>()?;
    let value = kernel.op.reference(&inputs.iter().collect::<Vec<_>>(), &kernel.output);
    value.check_length(kernel.op.name())?;
    cx.write(0, &value.to_array()?);
    Ok(())
}
