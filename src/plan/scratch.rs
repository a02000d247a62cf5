//! Scratch buffers of launches: temporary memory of a backend between the dispatches of one launch.

use super::{Backend, Buffer, BufferKind, Plan};
use crate::dtype::DType;
use crate::error::Result;
use crate::kernels::BufferId;
use crate::shape::TensorType;

/// Gives each launch the scratch buffers that the backend requests, each a new buffer; the memory planner then shares
/// them.
pub(super) fn add(plan: &mut Plan, backend: &dyn Backend) -> Result<()> {
    for launch in &mut plan.launches {
        for bytes in backend.scratch(launch)? {
            let ty = TensorType::new([bytes.div_ceil(4) as usize], DType::U32);
            launch.scratch.push(BufferId(plan.buffers.len() as u32));
            plan.buffers.push(Buffer { ty, kind: BufferKind::Scratch });
        }
    }
    Ok(())
}
