//! Cross-entropy and its gradient: `shaders/cross_entropy.wgsl`.

use super::generate::{Piece, fuse};
use super::{Dispatch, Dispatches, Operands, Shader, share};
use crate::error::Result;
use crate::kernels::cross_entropy::CrossEntropyKernel;

pub(super) fn dispatches(kernel: &CrossEntropyKernel, cx: &mut Dispatches<'_>) -> Result<()> {
    let (launch, target) = (cx.launch, cx.target);
    let lanes = share(kernel.rows, kernel.classes, target);
    let mut shader = Shader::file("cross_entropy", include_str!("../../shaders/cross_entropy.wgsl"))
        .constant("WORKGROUP", lanes.workgroup)
        .constant("LANES", lanes.lanes)
        .constant("GRAD", kernel.upstream.is_some().into())
        .constant("LOSS", kernel.loss.into())
        .alias("T", launch.inputs[0].dtype);
    let mut params = vec![kernel.rows as u32, kernel.classes as u32, launch.inputs[0].view.offset as u32];
    let mut outputs = launch.outputs.iter().map(|operand| operand.view.offset as u32);
    let named: &[&str] = match (&kernel.upstream, kernel.loss) {
        (Some(_), true) => &["x", "d", "loss"],
        (Some(_), false) => &["x", "d"],
        (None, _) => &["x", "loss"],
    };
    let (labels, upstream) = kernel.loads(launch);
    let mut pieces = vec![Piece::prologue(&kernel.labels, "labels", labels)];
    match &kernel.upstream {
        Some(fused) => {
            params.push(outputs.next().unwrap_or(0));
            pieces.push(Piece::prologue(fused, "upstream", upstream));
        }
        None => {
            params.push(0);
            shader = shader.replace("grad", "fn store_grad(at: u32, value: f32) {}");
        }
    }
    params.push(outputs.next().unwrap_or(0));
    if !kernel.loss {
        shader = shader.replace("loss", "fn store_loss(at: u32, value: f32) {}");
    }
    params.push(kernel.smoothing.to_bits());
    let dispatch =
        Dispatch::new(Operands::from(launch).first(1, launch.outputs.len()), shader, params, lanes.workgroups);
    cx.push(fuse(dispatch, named, launch.into(), &pieces));
    Ok(())
}
