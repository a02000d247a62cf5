//! An opened device: limits, errors, buffers, waiting.

use super::adapter::AdapterInfo;
use super::limits::Limits;
use super::pipeline_cache::PipelineCache;
use crate::error::{Error, Result};
use crate::wgsl::GpuTarget;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes of immediates a shader may use: the run's index and the key's two words, and room to keep the size a multiple
/// of 16.
pub(super) const IMMEDIATE_BYTES: u32 = 16;

/// What a wait that ran out of time has taken at least.
const SHORTEST_TIMEOUT: Duration = Duration::from_secs(1);

/// The first error a device reported outside a scope.
#[derive(Debug, Clone, Default)]
struct Reported(Arc<Mutex<Option<Error>>>);

impl Reported {
    fn set(&self, error: Error) {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slot.get_or_insert(error);
    }
    fn take(&self) -> Option<Error> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*slot {
            // A lost device stays lost.
            Some(lost @ Error::DeviceLost(_)) => Some(lost.clone()),
            _ => slot.take(),
        }
    }
}

/// An opened device.
#[derive(Debug)]
pub(super) struct Gpu {
    adapter: wgpu::Adapter,
    pub(super) info: AdapterInfo,
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) limits: wgpu::Limits,
    pub(super) features: wgpu::Features,
    /// Pipelines kept from earlier processes.
    pub(super) cache: Option<PipelineCache>,
    /// Whether to choose kernels as for any GPU, whatever the adapter is.
    portable: bool,
    reported: Reported,
}

/// A wgpu error as one of ours; `what` was being done.
fn convert(error: wgpu::Error, what: &str) -> Error {
    match error {
        wgpu::Error::OutOfMemory { .. } => Error::OutOfMemory(what.into()),
        wgpu::Error::Validation { description, .. } | wgpu::Error::Internal { description, .. } => {
            Error::Internal(format!("{what}: {description}"))
        }
    }
}

impl Gpu {
    pub(super) fn open(adapter: &wgpu::Adapter, info: AdapterInfo, limits: Limits) -> Result<Gpu> {
        let wanted = wgpu::Features::IMMEDIATES
            | wgpu::Features::SHADER_F16
            | wgpu::Features::SUBGROUP
            | wgpu::Features::PIPELINE_CACHE
            | wgpu::Features::TIMESTAMP_QUERY
            | wgpu::Features::TIMESTAMP_QUERY_INSIDE_ENCODERS;
        let features = adapter.features() & wanted;
        let adapter_limits = adapter.limits();
        let required = match limits {
            Limits::Adapter => adapter_limits,
            Limits::Webgpu => {
                let floor = wgpu::Limits { max_immediate_size: IMMEDIATE_BYTES, ..wgpu::Limits::default() };
                floor.or_worse_values_from(&adapter_limits)
            }
        };
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("wgrad"),
            required_features: features,
            required_limits: required,
            experimental_features: wgpu::ExperimentalFeatures::disabled(),
            memory_hints: wgpu::MemoryHints::Performance,
            trace: wgpu::Trace::Off,
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))
            .map_err(|error| Error::Device(format!("{} did not open: {error}", info.label())))?;
        let reported = Reported::default();
        let (on_error, on_loss) = (reported.clone(), reported.clone());
        device.on_uncaptured_error(Arc::new(move |error| on_error.set(convert(error, "on the device"))));
        device.set_device_lost_callback(move |reason, message| {
            // Dropping the device also ends up here; nobody asks for errors then.
            on_loss.set(Error::DeviceLost(format!("{reason:?} {message}")));
        });
        let (limits, portable) = (device.limits(), limits == Limits::Webgpu);
        let cache = PipelineCache::open(&device, &adapter.get_info());
        let adapter = adapter.clone();
        Ok(Gpu { adapter, info, device, queue, limits, features, cache, portable, reported })
    }

    /// A further device of the same adapter, opened alike.
    pub(super) fn another(&self) -> Result<Gpu> {
        let limits = if self.portable { Limits::Webgpu } else { Limits::Adapter };
        Gpu::open(&self.adapter, self.info.clone(), limits)
    }

    /// What kernels may choose from.
    pub(super) fn target(&self) -> GpuTarget {
        let threads = self.limits.max_compute_invocations_per_workgroup.min(self.limits.max_compute_workgroup_size_x);
        GpuTarget {
            max_invocations: threads,
            workgroup_memory: self.limits.max_compute_workgroup_storage_size,
            storage_buffers: self.limits.max_storage_buffers_per_shader_stage,
            workgroups_per_dimension: self.limits.max_compute_workgroups_per_dimension,
            f16: self.features.contains(wgpu::Features::SHADER_F16),
            subgroups: self.features.contains(wgpu::Features::SUBGROUP),
            subgroup_size: self.info.subgroup_sizes[0],
            software: self.info.is_software() && !self.portable,
        }
    }

    /// An error the device has reported since the last call.
    pub(super) fn check(&self) -> Result<()> {
        self.reported.take().map_or(Ok(()), Err)
    }

    /// Runs `f`; errors the device reports meanwhile come back, saying what was being done.
    pub(super) fn scoped<T>(&self, what: &str, f: impl FnOnce() -> T) -> Result<T> {
        let filters = [wgpu::ErrorFilter::Internal, wgpu::ErrorFilter::OutOfMemory, wgpu::ErrorFilter::Validation];
        let mut scopes: Vec<_> = filters.into_iter().map(|filter| self.device.push_error_scope(filter)).collect();
        let value = f();
        let mut error = None;
        while let Some(scope) = scopes.pop() {
            error = error.or(pollster::block_on(scope.pop()));
        }
        match error {
            Some(error) => Err(convert(error, what)),
            None => self.check().map(|()| value),
        }
    }

    /// The size of a buffer for so many bytes: a multiple of 4, and never less than one `vec4<f32>`, which is the least a
    /// shader that loads vectors may be bound to, even if it reads nothing.
    pub(super) fn size(bytes: u64) -> u64 {
        bytes.max(16).next_multiple_of(4)
    }

    /// A buffer of [`Gpu::size`].
    pub(super) fn buffer(&self, what: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        let size = Gpu::size(bytes);
        let binding = if usage.contains(wgpu::BufferUsages::STORAGE) {
            self.limits.max_storage_buffer_binding_size
        } else if usage.contains(wgpu::BufferUsages::UNIFORM) {
            u64::MAX
        } else {
            self.limits.max_buffer_size
        };
        let limit = binding.min(self.limits.max_buffer_size);
        if size > limit {
            return Err(Error::Limit {
                what: format!("{what} (bytes of one buffer)"),
                needed: size,
                limit,
                remedy: "use a smaller batch, split the tensor, or use the cpu device".into(),
            });
        }
        let descriptor = wgpu::BufferDescriptor { label: Some(what), size, usage, mapped_at_creation: false };
        self.scoped(&format!("{what} ({size} bytes)"), || self.device.create_buffer(&descriptor))
    }

    /// Writes to a buffer from byte `start` (a multiple of 4) on, before anything submitted later. The length need not be a
    /// multiple of 4: the rest of the last word is zero.
    pub(super) fn write(&self, buffer: &wgpu::Buffer, start: u64, bytes: &[u8]) {
        let whole = bytes.len() / 4 * 4;
        if whole > 0 {
            self.queue.write_buffer(buffer, start, &bytes[..whole]);
        }
        if whole < bytes.len() {
            let mut last = [0u8; 4];
            last[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
            self.queue.write_buffer(buffer, start + whole as u64, &last);
        }
    }

    /// Waits for a submission, or for all of them.
    pub(super) fn wait(&self, submission: Option<wgpu::SubmissionIndex>) -> Result<()> {
        loop {
            let poll = wgpu::PollType::Wait { submission_index: submission.clone(), timeout: None };
            let start = Instant::now();
            let result = self.device.poll(poll);
            self.check()?;
            match result {
                // Without a timeout, too, GL waits for 2.1 seconds at most: 2^31 nanoseconds. Sooner is a failure.
                Err(wgpu::PollError::Timeout) if start.elapsed() >= SHORTEST_TIMEOUT => {}
                result => {
                    return result.map(|_| ()).map_err(|e| Error::DeviceLost(format!("waiting failed: {e}")));
                }
            }
        }
    }

    /// The contents of a staging buffer, once everything submitted is done.
    pub(super) fn map(&self, staging: &wgpu::Buffer) -> Result<Vec<u8>> {
        let (sender, receiver) = futures::channel::oneshot::channel();
        let slice = staging.slice(..);
        slice.map_async(wgpu::MapMode::Read, move |result| {
            // The receiver is only gone if waiting failed, which is reported.
            let _ = sender.send(result);
        });
        self.wait(None)?;
        match pollster::block_on(receiver) {
            Ok(Ok(())) => {}
            _ => return Err(Error::DeviceLost("its memory could not be mapped".into())),
        }
        let bytes = match slice.get_mapped_range() {
            Ok(range) => range.to_vec(),
            Err(error) => return Err(Error::Internal(format!("reading back: {error}"))),
        };
        staging.unmap();
        Ok(bytes)
    }
}
