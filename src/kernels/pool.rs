//! The pooling kernels.

use super::{Kernel, KernelInfo, Launch};
use crate::ops::pool::PoolGeometry;

/// What a pooling kernel computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PoolPass {
    /// `x → y, indices`: either or both.
    Max {
        /// Whether the maximum of each window is computed.
        value: bool,
        /// Whether the index of the maximum is computed.
        place: bool,
    },
    /// `(g, indices) → x`.
    Put,
    /// `x → y`.
    Average,
    /// `g → x`.
    AverageGrad,
}

/// A pooling operation on dense operands.
#[derive(Debug, Clone)]
pub struct PoolKernel {
    /// What is computed.
    pub pass: PoolPass,
    /// The sizes.
    pub geometry: PoolGeometry,
}

impl PoolKernel {
    /// Whether it computes the gradient of the input.
    pub fn is_grad(&self) -> bool {
        matches!(self.pass, PoolPass::Put | PoolPass::AverageGrad)
    }
}

impl KernelInfo for PoolKernel {
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
    /// Merges the maxima and their indices into one launch.
    fn absorb(&self, own: &Launch, other: &Launch) -> Option<Launch> {
        let Kernel::Pool(indices) = &other.kernel else { return None };
        let mergeable = self.pass == PoolPass::Max { value: true, place: false }
            && indices.pass == PoolPass::Max { value: false, place: true }
            && self.geometry == indices.geometry
            && own.inputs == other.inputs;
        let pass = PoolPass::Max { value: true, place: true };
        mergeable.then(|| own.absorbing(other, PoolKernel { pass, ..self.clone() }))
    }
}
