//! How many threads share the work of a dispatch.

use super::GpuTarget;

/// Threads a workgroup for `points` independent ones: small workgroups spread small launches over the device.
pub fn workgroup_size(points: usize, target: &GpuTarget) -> u32 {
    let wanted = if points >= 1 << 16 { 256 } else { 64 };
    wanted.min(target.max_invocations)
}

/// How a shader in which threads share an output is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lanes {
    /// Threads a workgroup.
    pub workgroup: u32,
    /// Threads an output.
    pub lanes: u32,
    /// Workgroups in all.
    pub workgroups: u64,
}

/// How many threads share an output that joins `terms` values, for `outputs` of them.
pub fn share(outputs: usize, terms: usize, target: &GpuTarget) -> Lanes {
    let workgroup = 256.min(1 << target.max_invocations.ilog2());
    // A thread wants some terms of its own, fewer where there would be too few threads to fill a device otherwise.
    let wanted = if outputs >= 1 << 14 { terms / 32 } else { terms / 4 };
    let lanes = (wanted.max(1) as u32).next_power_of_two().min(workgroup);
    // Few outputs: no more slots in a workgroup than there are outputs.
    let workgroup = workgroup.min((lanes as usize * outputs.next_power_of_two()).max(32) as u32).max(lanes);
    Lanes { workgroup, lanes, workgroups: (outputs as u64).div_ceil(u64::from(workgroup / lanes)) }
}
