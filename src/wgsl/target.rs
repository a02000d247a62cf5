//! What a GPU can do, as far as the choice of kernels needs to know.

use super::Choice;
use crate::error::Result;
use crate::kernels::Launch;
use crate::plan::Backend;

/// What a GPU can do, as far as kernel choice needs to know.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct GpuTarget {
    /// Threads a workgroup may have.
    pub max_invocations: u32,
    /// Bytes of workgroup memory.
    pub workgroup_memory: u32,
    /// Storage buffers a shader may bind.
    pub storage_buffers: u32,
    /// The largest binding of a storage buffer, in bytes.
    pub max_binding: u64,
    /// Workgroups a dimension may have.
    pub workgroups_per_dimension: u32,
    /// Whether shaders may use `f16`.
    pub f16: bool,
    /// Whether subgroup built-ins exist.
    pub subgroups: bool,
    /// The fewest threads a subgroup may have; 0 without subgroups.
    pub subgroup_size: u32,
    /// Whether it is a software driver: a few CPU cores that run a workgroup's threads in vectors.
    pub software: bool,
    /// Which variants of kernels are taken.
    #[serde(skip)]
    pub choice: Choice,
}

impl GpuTarget {
    /// Whether kernels should pass values between eight lanes of a subgroup rather than read them in every thread: on a
    /// software driver a read by eight threads costs eight, and passing values costs nothing.
    pub fn broadcasts(&self) -> bool {
        self.software && self.subgroups && self.subgroup_size >= 8
    }
}

impl Default for GpuTarget {
    /// WebGPU's guaranteed limits.
    fn default() -> Self {
        GpuTarget {
            max_invocations: 256,
            workgroup_memory: 16 * 1024,
            storage_buffers: 8,
            max_binding: 128 << 20,
            workgroups_per_dimension: 65_535,
            f16: false,
            subgroups: false,
            subgroup_size: 0,
            software: false,
            choice: Choice::Rule,
        }
    }
}

impl Backend for GpuTarget {
    fn scratch(&self, launch: &Launch) -> Result<Vec<u64>> {
        super::scratch(launch, self)
    }
}
