//! Cross-entropy and its gradient: `shaders/cross_entropy.wgsl`.

use super::generate::{Piece, fuse};
use super::rows::Rows;
use super::{Dispatch, Dispatches, Operands, Work};
use crate::error::Result;
use crate::kernels::cross_entropy::CrossEntropyKernel;

pub(super) fn dispatches(kernel: &CrossEntropyKernel, cx: &mut Dispatches<'_>) -> Result<()> {
    let launch = cx.launch;
    let shared = Rows::new(cx, kernel.rows, kernel.classes, kernel.loss && kernel.smoothing > 0.0);
    // Only the gradient has elements to share; the loss is one number a row.
    let segments = if kernel.upstream.is_some() { shared.parts } else { 1 };
    let x = &launch.inputs[0];
    let mut shader = shared
        .shader("cross_entropy", include_str!("../../shaders/cross_entropy.wgsl"))
        .constant("GRAD", kernel.upstream.is_some().into())
        .constant("LOSS", kernel.loss.into())
        .alias("T", x.dtype);
    let mut outputs = launch.outputs.iter().map(|operand| operand.view.offset as u32);
    let mut grad_offset = 0;
    let inputs = shared.inputs(x);
    let mut named = ["x", "partials"][..inputs.len()].to_vec();
    let (labels, upstream) = kernel.loads(launch);
    let mut pieces = vec![Piece::prologue(&kernel.labels, "labels", labels)];
    match &kernel.upstream {
        Some(fused) => {
            grad_offset = outputs.next().unwrap_or(0);
            named.push("d");
            pieces.push(Piece::prologue(fused, "upstream", upstream));
        }
        None => shader = shader.replace("grad", "fn store_grad(at: u32, value: f32) {}"),
    }
    if kernel.loss {
        named.push("loss");
    } else {
        shader = shader.replace("loss", "fn store_loss(at: u32, value: f32) {}");
    }
    let mut params = vec![kernel.rows as u32, kernel.classes as u32, x.view.offset as u32, grad_offset];
    params.extend([outputs.next().unwrap_or(0), kernel.smoothing.to_bits()]);
    params.extend([shared.parts, shared.length, segments, 0, 0, 0].map(|size| size as u32));
    let operands = Operands::new(&inputs, &launch.outputs);
    let work = shared.work(shared.parts > 1, kernel.upstream.is_some(), kernel.rows * kernel.classes);
    let workgroups = shared.workgroups(kernel.rows * segments);
    let dispatch = Dispatch::new(operands, shader, params, workgroups).work(Work { waits: work.waits + 2, ..work });
    cx.push(fuse(dispatch, &named, launch.into(), &pieces));
    Ok(())
}
