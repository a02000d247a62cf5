//! Softmax and log-softmax: `shaders/softmax.wgsl`.

use super::{Dispatch, Dispatches, Shader, share};
use crate::error::Result;
use crate::kernels::softmax::SoftmaxKernel;

pub(super) fn dispatches(kernel: &SoftmaxKernel, cx: &mut Dispatches<'_>) -> Result<()> {
    let (launch, target) = (cx.launch, cx.target);
    let (x, y) = (&launch.inputs[0], &launch.outputs[0]);
    let lanes = share(kernel.rows, kernel.cols, target);
    let shader = Shader::file("softmax", include_str!("../../shaders/softmax.wgsl"))
        .constant("WORKGROUP", lanes.workgroup)
        .constant("LANES", lanes.lanes)
        .constant("LOG", u32::from(kernel.log))
        .alias("T", x.dtype);
    let params = [kernel.rows, kernel.cols, x.view.offset, y.view.offset].map(|size| size as u32);
    cx.push(Dispatch::new(launch.into(), shader, params.to_vec(), lanes.workgroups));
    Ok(())
}
