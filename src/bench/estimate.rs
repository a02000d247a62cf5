//! What a case would take on a GPU that is only described.

use super::case::Case;
use crate::error::Result;
use crate::plan::{Target, lower};
use crate::wgsl::{self, DescribedGpu};

/// What a case would take on a described GPU.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CaseEstimate {
    /// Dispatches.
    pub dispatches: usize,
    /// Operations, as [`CaseResult`](super::CaseResult) counts them.
    pub flops: u64,
    /// Seconds.
    pub seconds: f64,
    /// Seconds that as many dispatches of the same bytes and needed instructions would take.
    pub least: f64,
}

/// Plans a case for a described GPU and estimates its dispatches.
///
/// ```
/// use wgrad::bench;
/// let gpu = wgrad::wgsl::DescribedGpu::read("h200".as_ref())?;
/// let sum = bench::all().into_iter().find(|case| case.name == "reduce/all-1M").expect("there is such a case");
/// let estimate = bench::estimate(&sum, &gpu)?;
/// assert!(estimate.seconds >= estimate.least && estimate.seconds < 1e-4);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// If the case cannot be planned for it.
pub fn estimate(case: &Case, gpu: &DescribedGpu) -> Result<CaseEstimate> {
    let ((graph, output), backend) = (case.graph()?, gpu.target());
    let max_buffers = backend.storage_buffers.min(16) as usize;
    let plan = lower(&graph, &[output], &Target { max_buffers, backend: &backend, ..Target::default() })?;
    let mut sum = CaseEstimate { dispatches: 0, flops: plan.flops(), seconds: 0.0, least: 0.0 };
    for launch in &plan.launches {
        for dispatch in wgsl::dispatches(launch, &backend)? {
            let one = gpu.estimate(&dispatch.work, dispatch.workgroups);
            sum.dispatches += 1;
            sum.seconds += one.seconds;
            sum.least += one.least;
        }
    }
    Ok(sum)
}
