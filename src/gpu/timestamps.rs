//! Times of dispatches, from timestamp queries.

use super::device::Gpu;
use super::program::Program;
use crate::error::Result;
use crate::executor::LaunchSeconds;

/// Maximum number of timestamps in a query set.
const MAX_QUERIES: u32 = wgpu::QUERY_SET_MAX_QUERIES;

/// Runs the steps `first..first + count` and returns, for each run, the seconds of each dispatch of each launch; `None`
/// if the device has no timestamp queries or a run has too many dispatches for a query set.
///
/// Each dispatch has its own compute pass, with a timestamp at its beginning and end.
pub(super) fn measure(
    gpu: &Gpu,
    program: &Program,
    first: u32,
    count: u32,
    key: [u32; 2],
) -> Result<Option<Vec<Vec<LaunchSeconds>>>> {
    let dispatches = program.dispatch_count();
    let queries = 2 * dispatches as u32;
    if !gpu.features.contains(wgpu::Features::TIMESTAMP_QUERY) || queries == 0 || queries > MAX_QUERIES {
        return Ok(None);
    }
    let bytes = u64::from(queries) * u64::from(wgpu::QUERY_SIZE);
    let resolved = gpu.buffer("timestamps", bytes, wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC)?;
    let staging = super::program::staging(gpu, bytes)?;
    let set = gpu.scoped("timestamp queries", || {
        let ty = wgpu::QueryType::Timestamp;
        gpu.device.create_query_set(&wgpu::QuerySetDescriptor { label: Some("dispatches"), ty, count: queries })
    })?;
    // Nanoseconds per tick.
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
        // If the clock was set back in between, the result is 0 instead of a wrapped difference.
        let seconds = ticks.chunks_exact(2).map(|t| t[1].saturating_sub(t[0]) as f64 * period * 1e-9);
        runs.push(program.by_launch(&seconds.collect::<Vec<f64>>()));
    }
    Ok(Some(runs))
}
