//! An open device: limits, errors, buffers, waiting for submissions.

use super::adapter::AdapterInfo;
use super::limits::Limits;
use super::pipeline_cache::PipelineCache;
use crate::error::{Error, Result};
use crate::wgsl::{Choice, GpuTarget};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes of immediates per shader: the run's index and the two words of the random key, padded to a multiple of 16.
pub(super) const IMMEDIATE_BYTES: u32 = 16;

/// A wait that times out sooner than this has failed.
const MIN_TIMEOUT: Duration = Duration::from_secs(1);

/// The first error that the device reported outside an error scope.
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

/// An open device.
#[derive(Debug)]
pub(super) struct Gpu {
    adapter: wgpu::Adapter,
    pub(super) info: AdapterInfo,
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) limits: wgpu::Limits,
    pub(super) features: wgpu::Features,
    /// Pipelines compiled by earlier processes.
    pub(super) cache: Option<PipelineCache>,
    /// Whether kernels are chosen as for any GPU, regardless of the adapter.
    portable: bool,
    /// Which variants of kernels are taken.
    pub(super) choice: Choice,
    /// Whether wgpu's checks are compiled into wgrad's own shaders too.
    pub(super) checked: bool,
    reported: Reported,
}

/// Converts a wgpu error; `what` is the operation that failed.
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
            .map_err(|error| Error::Device(format!("{} could not be opened: {error}", info.label())))?;
        let reported = Reported::default();
        let (on_error, on_loss) = (reported.clone(), reported.clone());
        device.on_uncaptured_error(Arc::new(move |error| on_error.set(convert(error, "on the device"))));
        device.set_device_lost_callback(move |reason, message| {
            // Also called when the device is dropped; its errors are not read then.
            on_loss.set(Error::DeviceLost(format!("{reason:?} {message}")));
        });
        let (limits, portable) = (device.limits(), limits == Limits::Webgpu);
        let cache = PipelineCache::open(&device, &adapter.get_info());
        let adapter = adapter.clone();
        let (choice, checked) = (Choice::Rule, true);
        Ok(Gpu { adapter, info, device, queue, limits, features, cache, portable, choice, checked, reported })
    }

    /// Another device on the same adapter, opened with the same options.
    pub(super) fn duplicate(&self) -> Result<Gpu> {
        let limits = if self.portable { Limits::Webgpu } else { Limits::Adapter };
        let gpu = Gpu::open(&self.adapter, self.info.clone(), limits)?;
        Ok(Gpu { choice: self.choice.clone(), checked: self.checked, ..gpu })
    }

    /// The capabilities that kernels are chosen for.
    pub(super) fn target(&self) -> GpuTarget {
        let threads = self.limits.max_compute_invocations_per_workgroup.min(self.limits.max_compute_workgroup_size_x);
        GpuTarget {
            max_invocations: threads,
            workgroup_memory: self.limits.max_compute_workgroup_storage_size,
            storage_buffers: self.limits.max_storage_buffers_per_shader_stage,
            max_binding: self.limits.max_storage_buffer_binding_size.min(self.limits.max_buffer_size),
            workgroups_per_dimension: self.limits.max_compute_workgroups_per_dimension,
            f16: self.features.contains(wgpu::Features::SHADER_F16),
            subgroups: self.features.contains(wgpu::Features::SUBGROUP),
            subgroup_size: self.info.subgroup_sizes[0],
            software: self.info.is_software() && !self.portable,
            choice: self.choice.clone(),
        }
    }

    /// The first error that the device has reported since the last call.
    pub(super) fn check(&self) -> Result<()> {
        self.reported.take().map_or(Ok(()), Err)
    }

    /// Runs `f` in error scopes; an error that the device reports meanwhile is returned, with `what` as its context.
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

    /// The size of a buffer for this many bytes: a multiple of 4, and at least one `vec4<f32>`, which is the smallest
    /// binding that a shader with vector loads accepts, even if it reads nothing.
    pub(super) fn size(bytes: u64) -> u64 {
        bytes.max(16).next_multiple_of(4)
    }

    /// Creates a buffer of [`Gpu::size`] bytes.
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

    /// Writes to a buffer at byte offset `start` (a multiple of 4), before any later submission. If the length is not a
    /// multiple of 4, the last word is padded with zeros.
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
                // Even without a timeout, GL waits at most 2.1 seconds (2^31 nanoseconds). An earlier timeout is a
                // failure.
                Err(wgpu::PollError::Timeout) if start.elapsed() >= MIN_TIMEOUT => {}
                result => {
                    return result.map(|_| ()).map_err(|e| Error::DeviceLost(format!("waiting failed: {e}")));
                }
            }
        }
    }

    /// Maps a staging buffer and returns its contents, once all submitted work is complete.
    pub(super) fn map(&self, staging: &wgpu::Buffer) -> Result<Vec<u8>> {
        let (sender, receiver) = futures::channel::oneshot::channel();
        let slice = staging.slice(..);
        slice.map_async(wgpu::MapMode::Read, move |result| {
            // The receiver is dropped only if the wait failed, and that error is returned.
            let _ = sender.send(result);
        });
        self.wait(None)?;
        match pollster::block_on(receiver) {
            Ok(Ok(())) => {}
            _ => return Err(Error::DeviceLost("the staging buffer could not be mapped".into())),
        }
        let bytes = match slice.get_mapped_range() {
            Ok(range) => range.to_vec(),
            Err(error) => return Err(Error::Internal(format!("mapping the staging buffer: {error}"))),
        };
        staging.unmap();
        Ok(bytes)
    }
}
