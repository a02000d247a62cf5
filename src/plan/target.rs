//! What a plan is made for.

use super::Placement;
use crate::error::Result;
use crate::kernels::Launch;
use crate::passes::Passes;

/// What the planner asks of the backend that will run the plan. The defaults are those of a backend that takes every
/// launch as it is.
pub trait Backend {
    /// The vector width, in channels, if the backend runs convolutions best with their channels innermost: values that
    /// only convolutions read and write are then stored so, their channels padded with zeros to whole vectors.
    fn channel_lanes(&self) -> Option<usize> {
        None
    }
    /// Whether the backend runs this launch with those operands channels-last for which `lies` is true: the inputs, then
    /// the outputs. `f32` operands `[batch, channels, positions]` only.
    fn takes_channels_last(&self, _launch: &Launch, lies: &[bool]) -> bool {
        !lies.contains(&true)
    }
    /// The sizes in bytes of the scratch buffers that running this launch takes.
    ///
    /// # Errors
    /// If the backend cannot run the launch.
    fn scratch(&self, _launch: &Launch) -> Result<Vec<u64>> {
        Ok(Vec::new())
    }
}

/// A backend of which nothing is known.
#[derive(Debug, Clone, Copy)]
pub struct AnyBackend;

impl Backend for AnyBackend {}

/// What a plan is made for.
#[derive(Clone)]
pub struct Target<'a> {
    /// Buffers one launch may touch.
    pub max_buffers: usize,
    /// Which rewrites to make.
    pub passes: Passes,
    /// Where variables already are.
    pub placed: Placement,
    /// What will run the plan.
    pub backend: &'a dyn Backend,
}

impl Default for Target<'_> {
    /// WebGPU's guaranteed limits, and no backend in particular.
    fn default() -> Self {
        Target { max_buffers: 8, passes: Passes::all(), placed: Placement::default(), backend: &AnyBackend }
    }
}
