//! What a kernel sees of a launch on the CPU.

use crate::plan::Launch;

/// A launch's buffers on the host.
#[derive(Debug)]
pub struct CpuContext<'a> {
    /// All buffers of the program, as 32-bit words.
    pub buffers: &'a mut [Vec<u32>],
    /// The launch.
    pub launch: &'a Launch,
    /// The run's index.
    pub step: u32,
    /// The session's seed.
    pub seed: u64,
}
