//! Planning for a backend.

use super::Placement;
use crate::error::Result;
use crate::kernels::Launch;
use crate::passes::Passes;

/// What the planner needs to know of the backend that will run the plan. The defaults are those of a backend that runs
/// every launch unchanged.
pub trait Backend {
    /// The vector width, in channels, if the backend runs convolutions fastest in channels-last layout: values that
    /// only convolutions access are then stored in it, with their channels zero-padded to whole vectors.
    fn channel_lanes(&self) -> Option<usize> {
        None
    }
    /// Whether the backend can run this launch with those operands channels-last for which `flags` is true: the inputs,
    /// then the outputs. Only for `f32` operands `[batch, channels, positions]`.
    fn takes_channels_last(&self, _launch: &Launch, flags: &[bool]) -> bool {
        !flags.contains(&true)
    }
    /// The sizes in bytes of the scratch buffers that this launch needs.
    ///
    /// # Errors
    /// If the backend cannot run the launch.
    fn scratch(&self, _launch: &Launch) -> Result<Vec<u64>> {
        Ok(Vec::new())
    }
}

/// A backend with the default properties.
#[derive(Debug, Clone, Copy)]
pub struct AnyBackend;

impl Backend for AnyBackend {}

/// The parameters of planning.
#[derive(Clone)]
pub struct Target<'a> {
    /// Maximum number of buffers per launch.
    pub max_buffers: usize,
    /// The rewrites to apply.
    pub passes: Passes,
    /// The storage that variables already have.
    pub placed: Placement,
    /// The backend that will run the plan.
    pub backend: &'a dyn Backend,
}

impl Default for Target<'_> {
    /// The limits that WebGPU guarantees, and no particular backend.
    fn default() -> Self {
        Target { max_buffers: 8, passes: Passes::all(), placed: Placement::default(), backend: &AnyBackend }
    }
}
