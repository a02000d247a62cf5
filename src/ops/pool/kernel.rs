//! The pooling kernels.

use super::windows::PoolGeometry;
use crate::cpu::CpuContext;
use crate::error::Result;
use crate::plan::{Dispatch, GpuTarget, Kernel, Launch, Shader, wgsl};
use std::any::Any;

/// What a pooling kernel computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PoolPass {
    /// `x → y, places`: either or both.
    Max {
        /// The largest of each window.
        value: bool,
        /// Where it is.
        place: bool,
    },
    /// `(g, places) → x`.
    Put,
    /// `x → y`.
    Average,
    /// `g → x`.
    AverageGrad,
}

/// A pooling over dense operands.
#[derive(Debug, Clone)]
pub struct PoolKernel {
    /// What is computed.
    pub pass: PoolPass,
    /// The sizes.
    pub geometry: PoolGeometry,
}

/// What the shader has in the place of an output that is not wanted, or is the only one.
const NO_VALUE: &str = "fn store_value(at: u32, value: f32) {\n}";
const NO_PLACE: &str = "fn store_place(at: u32, place: u32) {\n}";
const ONLY_PLACE: &str = "@group(0) @binding(2) var<storage, read_write> places: array<u32>;
fn store_place(at: u32, place: u32) {
    places[p.places_offset + at] = place;
}";
const NO_PLACES: &str = "fn from_window(plane: u32, window: u32, element: u32) -> bool {\n    return true;\n}
@group(0) @binding(2) var<storage, read_write> x: array<T>;";

impl PoolKernel {
    fn grad(&self) -> bool {
        matches!(self.pass, PoolPass::Put | PoolPass::AverageGrad)
    }
}

impl Kernel for PoolKernel {
    fn name(&self) -> &'static str {
        match self.pass {
            PoolPass::Max { value: true, place: false } => "max_pool",
            PoolPass::Max { value: false, .. } => "max_pool_indices",
            PoolPass::Max { value: true, place: true } => "max_pool_with_indices",
            PoolPass::Put => "max_pool_grad",
            PoolPass::Average => "avg_pool",
            PoolPass::AverageGrad => "avg_pool_grad",
        }
    }
    fn describe(&self) -> String {
        let [y, x] = &self.geometry.axes;
        let size =
            |y: usize, x: usize| if self.geometry.axes[0].input == 1 { x.to_string() } else { format!("{y}x{x}") };
        let windows = if self.geometry.adaptive {
            "adaptive windows".to_string()
        } else {
            format!(
                "windows of {}, stride {}, padding {}, dilation {}",
                size(y.kernel, x.kernel),
                size(y.stride, x.stride),
                size(y.padding, x.padding),
                size(y.dilation, x.dilation)
            )
        };
        let planes = self.geometry.planes;
        format!("{planes} planes of {} with {}: {windows}", size(y.input, x.input), size(y.output, x.output))
    }
    fn flops(&self) -> u64 {
        (self.geometry.planes * self.geometry.output_size() * self.geometry.window_size()) as u64
    }
    fn cpu(&self, cx: &mut CpuContext<'_>) {
        crate::cpu::pool::run(self, cx);
    }
    fn gpu(&self, launch: &Launch, target: &GpuTarget) -> Result<Dispatch> {
        let g = &self.geometry;
        let elements = g.planes * if self.grad() { g.input_size() } else { g.output_size() };
        let workgroup = wgsl::workgroup_size(elements, target);
        let average = matches!(self.pass, PoolPass::Average | PoolPass::AverageGrad);
        let shader = match self.pass {
            PoolPass::Put | PoolPass::AverageGrad => {
                let shader = Shader::file("pool_grad", include_str!("../../../shaders/pool_grad.wgsl"));
                if average { shader.replace("places", NO_PLACES) } else { shader }
            }
            PoolPass::Max { .. } | PoolPass::Average => {
                let shader = Shader::file("pool", include_str!("../../../shaders/pool.wgsl"));
                match self.pass {
                    PoolPass::Max { value: true, place: true } => shader,
                    PoolPass::Max { value: false, .. } => {
                        shader.replace("value", NO_VALUE).replace("place", ONLY_PLACE)
                    }
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
        let offsets = match self.pass {
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
        Ok(Dispatch::new(launch, shader, params, (elements as u64).div_ceil(workgroup.into())))
    }
    /// The maxima and where they are, at once.
    fn absorb(&self, own: &Launch, other: &Launch) -> Option<Launch> {
        let places: &PoolKernel = (other.kernel.as_ref() as &dyn Any).downcast_ref()?;
        let fits = self.pass == PoolPass::Max { value: true, place: false }
            && places.pass == PoolPass::Max { value: false, place: true }
            && self.geometry == places.geometry
            && own.inputs == other.inputs;
        let pass = PoolPass::Max { value: true, place: true };
        fits.then(|| own.absorbing(other, PoolKernel { pass, ..self.clone() }))
    }
}
