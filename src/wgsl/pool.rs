//! Pooling and its gradients: `shaders/pool.wgsl` and `shaders/pool_grad.wgsl`.

use super::{Apart, Dispatch, Dispatches, Shader, Work};
use crate::error::Result;
use crate::kernels::pool::{PoolKernel, PoolPass};

/// What the shader has in the place of an output that is not wanted, or is the only one.
const NO_VALUE: &str = "fn store_value(at: u32, value: f32) {\n}";
const NO_PLACE: &str = "fn store_place(at: u32, place: u32) {\n}";
const ONLY_PLACE: &str = "@group(0) @binding(2) var<storage, read_write> places: array<u32>;
fn store_place(at: u32, place: u32) {
    places[p.places_offset + at] = place;
}";
const NO_PLACES: &str = "fn from_window(plane: u32, window: u32, element: u32) -> bool {\n    return true;\n}
@group(0) @binding(2) var<storage, read_write> x: array<T>;";

pub(super) fn dispatches(kernel: &PoolKernel, cx: &mut Dispatches<'_>) -> Result<()> {
    let (launch, target) = (cx.launch, cx.target);
    let g = &kernel.geometry;
    let elements = g.planes * if kernel.is_grad() { g.input_size() } else { g.output_size() };
    let way = cx.choose(Apart::SINGLE, || Apart::single(target));
    let workgroup = way.workgroup(elements, target);
    let average = matches!(kernel.pass, PoolPass::Average | PoolPass::AverageGrad);
    let shader = match kernel.pass {
        PoolPass::Put | PoolPass::AverageGrad => {
            let shader = Shader::file("pool_grad", include_str!("../../shaders/pool_grad.wgsl"));
            if average { shader.replace("places", NO_PLACES) } else { shader }
        }
        PoolPass::Max { .. } | PoolPass::Average => {
            let shader = Shader::file("pool", include_str!("../../shaders/pool.wgsl"));
            match kernel.pass {
                PoolPass::Max { value: true, place: true } => shader,
                PoolPass::Max { value: false, .. } => shader.replace("value", NO_VALUE).replace("place", ONLY_PLACE),
                _ => shader.replace("place", NO_PLACE),
            }
        }
    };
    let shader = shader
        .constant("WORKGROUP", workgroup)
        .constant("AVERAGE", average.into())
        .constant("ADAPTIVE", g.adaptive.into())
        .constant("INCLUDE_PADDING", g.include_padding.into())
        .alias("T", launch.inputs[0].dtype);
    let [y, x] = &g.axes;
    // The offsets of x, of the windows' values, and of the places, in whichever are inputs or outputs.
    let offset = |k: usize| launch.inputs.iter().chain(&launch.outputs).nth(k).map_or(0, |o| o.view.offset);
    let offsets = match kernel.pass {
        PoolPass::Max { value: true, .. } => [offset(0), offset(1), offset(2)],
        PoolPass::Max { value: false, .. } => [offset(0), 0, offset(1)],
        PoolPass::Average => [offset(0), offset(1), 0],
        PoolPass::Put => [offset(2), offset(0), offset(1)],
        PoolPass::AverageGrad => [offset(1), offset(0), 0],
    };
    let params = [
        elements,
        offsets[0],
        offsets[1],
        offsets[2],
        y.input,
        x.input,
        y.output,
        x.output,
        y.kernel,
        x.kernel,
        y.stride,
        x.stride,
        y.padding,
        x.padding,
        y.dilation,
        x.dilation,
        g.divisor.unwrap_or(0),
        0,
        0,
        0,
    ];
    let params = params.into_iter().map(|word| word as u32).collect();
    // Elements of a window, or windows around an element.
    let window = [y, x].map(|axis| if kernel.is_grad() { axis.kernel.div_ceil(axis.stride) } else { axis.kernel });
    let waits = window[0] * window[1].div_ceil(4) * if kernel.is_grad() { 2 } else { 1 };
    let each = window[0] * window[1] * 10 + 40;
    let work = Work::of(workgroup, waits, 0, each).needed(elements * window[0] * window[1]);
    let workgroups = (elements as u64).div_ceil(workgroup.into());
    cx.push(Dispatch::new(launch.into(), shader, params, workgroups).work(work));
    Ok(())
}
