//! Softmax and log-softmax: `shaders/softmax.wgsl`.

use super::rows::Rows;
use super::{Dispatch, Dispatches, Operands};
use crate::error::Result;
use crate::kernels::softmax::SoftmaxKernel;

pub(super) fn dispatches(kernel: &SoftmaxKernel, cx: &mut Dispatches<'_>) -> Result<()> {
    let (x, y) = (&cx.launch.inputs[0], &cx.launch.outputs[0]);
    let shared = Rows::new(cx, kernel.rows, kernel.cols, false);
    let mut shader = shared
        .shader("softmax", include_str!("../../shaders/softmax.wgsl"))
        .constant("LOG", kernel.log.into())
        .alias("T", x.dtype);
    let inputs = shared.inputs(x);
    shader.named = [&["x", "partials"][..inputs.len()], &["y"]].concat();
    let offsets = [x.view.offset, y.view.offset];
    let sizes = [kernel.rows, kernel.cols, shared.parts, shared.length, offsets[0], offsets[1], shared.parts, 0];
    let params = sizes.map(|size| size as u32).to_vec();
    let workgroups = shared.workgroups(kernel.rows * shared.parts);
    let work = shared.work(shared.parts > 1, true, kernel.rows * kernel.cols);
    cx.push(Dispatch::new(Operands::new(&inputs, std::slice::from_ref(y)), shader, params, workgroups).work(work));
    Ok(())
}
