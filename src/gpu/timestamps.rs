//! Dispatches timed by the device's own clock.

use super::device::Gpu;
use super::program::Program;
use crate::error::Result;
use crate::executor::LaunchSeconds;

/// Timestamps of a query set at most.
const MOST: u32 = wgpu::QUERY_SET_MAX_QUERIES;

/// Runs the steps `first..first + count` and gives each run's seconds for each dispatch of each launch; `None` if the device has
/// no clock or a run has more dispatches than can be timed.
///
/// Each dispatch has a compute pass of its own, with a timestamp at either end.
pub(super) fn measure(
    gpu: &Gpu,
    program: &Program,
    first: u32,
    count: u32,
    key: [u32; 2],
) -> Result<Option<Vec<Vec<LaunchSeconds>>>> {
    let dispatches = program.dispatch_count();
    let queries = 2 * dispatches as u32;
    if !gpu.features.contains(wgpu::Features::TIMESTAMP_QUERY) || queries == 0 || queries > MOST {
        return Ok(None);
    }
    let bytes = u64::from(queries) * u64::from(wgpu::QUERY_SIZE);
    let resolved = gpu.buffer("timestamps", bytes, wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC)?;
    let staging = super::program::staging(gpu, bytes)?;
    let set = gpu.scoped("timestamp queries", || {
        let ty = wgpu::QueryType::Timestamp;
        gpu.device.create_query_set(&wgpu::QuerySetDescriptor { label: Some("dispatches"), ty, count: queries })
    })?;
    // Nanoseconds a tick.
    let period = f64::from(gpu.queue.get_timestamp_period());
    let mut runs = Vec::with_capacity(count as usize);
    for step in first..first + count {
        gpu.scoped("a timed run", || {
            let mut encoder =
                gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("timed") });
            for dispatch in 0..dispatches {
                let at = 2 * dispatch as u32;
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                    label: None,
                    timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                        query_set: &set,
                        beginning_of_pass_write_index: Some(at),
                        end_of_pass_write_index: Some(at + 1),
                    }),
                });
                program.record(&mut pass, dispatch, &[step, key[0], key[1], 0]);
            }
            encoder.resolve_query_set(&set, 0..queries, &resolved, 0);
            encoder.copy_buffer_to_buffer(&resolved, 0, &staging, 0, bytes);
            gpu.queue.submit([encoder.finish()]);
        })?;
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&gpu.map(&staging)?);
        // A clock that was set back between the two gives 0, not an enormous time.
        let seconds = ticks.chunks_exact(2).map(|t| t[1].saturating_sub(t[0]) as f64 * period * 1e-9);
        runs.push(program.by_launch(&seconds.collect::<Vec<f64>>()));
    }
    Ok(Some(runs))
}
