//! Indices of the largest or smallest elements: `shaders/topk.wgsl`.

use super::{Dispatch, Dispatches, Shader, share};
use crate::dtype::DType;
use crate::error::Result;
use crate::kernels::topk::TopKKernel;

/// `fn key` of the shader for integers.
const UNSIGNED: &str = "fn key(value: T) -> u32 {\n    return u32(value);\n}";
const SIGNED: &str = "fn key(value: T) -> u32 {\n    return bitcast<u32>(i32(value)) ^ 0x80000000u;\n}";

pub(super) fn dispatches(kernel: &TopKKernel, cx: &mut Dispatches<'_>) -> Result<()> {
    let (launch, target) = (cx.launch, cx.target);
    let (x, y) = (&launch.inputs[0], &launch.outputs[0]);
    let lanes = share(kernel.rows, kernel.columns, target);
    let shader = Shader::file("topk", include_str!("../../shaders/topk.wgsl"))
        .constant("WORKGROUP", lanes.workgroup)
        .constant("LANES", lanes.lanes)
        .constant("LARGEST", kernel.largest.into())
        .alias("T", x.dtype);
    let shader = match x.dtype {
        DType::F32 | DType::F16 => shader,
        DType::U32 => shader.replace("key", UNSIGNED),
        DType::I32 => shader.replace("key", SIGNED),
    };
    let params = [kernel.rows, kernel.columns, kernel.k, x.view.offset, y.view.offset, 0, 0, 0].map(|n| n as u32);
    cx.push(Dispatch::new(launch.into(), shader, params.to_vec(), lanes.workgroups));
    Ok(())
}
