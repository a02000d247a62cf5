//! Runs single shaders on a device and returns their buffers, to find out how a driver behaves.
//!
//! ```
//! use wgrad::GpuChoice;
//! use wgrad::gpu::{Limits, Probe, ProbeBuffer, ProbeShader};
//! let wgsl = "@group(0) @binding(0) var<storage, read_write> x: array<u32>;
//!     @compute @workgroup_size(4) fn main(@builtin(global_invocation_id) id: vec3<u32>) { x[id.x] *= 2u; }";
//! // Skipped without a GPU.
//! if let Ok(probe) = Probe::open(&GpuChoice::Fastest, Limits::Webgpu) {
//!     let mut buffers = [ProbeBuffer::of(&[1u32, 2, 3, 4])];
//!     probe.run(&ProbeShader::new("double", wgsl), &mut buffers, 1)?;
//!     assert_eq!(buffers[0].to::<u32>(), [2, 4, 6, 8]);
//! }
//! # Ok::<(), wgrad::Error>(())
//! ```

use super::adapter::{self, AdapterInfo};
use super::device::Gpu;
use super::limits::Limits;
use super::program::staging;
use crate::device::GpuChoice;
use crate::error::Result;
use std::num::NonZeroU64;
use std::ops::Range;
use std::time::Instant;

/// A device for running single shaders.
#[derive(Debug)]
pub struct Probe {
    gpu: Gpu,
}

/// A shader to run. It is compiled like wgrad's kernels, with the checks of wgpu and the driver.
#[derive(Debug, Clone, Copy)]
pub struct ProbeShader<'a> {
    /// Its name, for messages.
    pub name: &'a str,
    /// The WGSL source. It may bind only storage buffers, in group 0, numbered from 0.
    pub wgsl: &'a str,
    /// The entry point.
    pub entry: &'a str,
    /// Whether workgroup memory is zero-initialised, as WGSL specifies. For wgrad's kernels it is not.
    pub zeroed: bool,
}

impl<'a> ProbeShader<'a> {
    /// A shader with the entry point `main` and zero-initialised workgroup memory.
    pub fn new(name: &'a str, wgsl: &'a str) -> Self {
        ProbeShader { name, wgsl, entry: "main", zeroed: true }
    }
    /// The same shader with another entry point.
    pub fn entry(self, entry: &'a str) -> Self {
        ProbeShader { entry, ..self }
    }
    /// The same shader without zero-initialisation of workgroup memory.
    pub fn not_zeroed(self) -> Self {
        ProbeShader { zeroed: false, ..self }
    }
}

/// A storage buffer of a probe: its contents before a run, and after it the new contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeBuffer {
    /// The whole contents.
    pub bytes: Vec<u8>,
    /// The bound range of bytes. Its start is a multiple of the device's offset alignment; 256 always is.
    pub bound: Range<usize>,
    /// Whether the shader may write to it (`read_write`).
    pub written: bool,
}

impl ProbeBuffer {
    /// A buffer that is bound whole and read-write.
    pub fn of<T: bytemuck::NoUninit>(values: &[T]) -> Self {
        let bytes: Vec<u8> = bytemuck::cast_slice(values).to_vec();
        ProbeBuffer { bound: 0..bytes.len(), bytes, written: true }
    }
    /// A buffer that is bound whole and read-only.
    pub fn read_only<T: bytemuck::NoUninit>(values: &[T]) -> Self {
        ProbeBuffer { written: false, ..ProbeBuffer::of(values) }
    }
    /// The same buffer with only this range of bytes bound.
    pub fn bound(self, bound: Range<usize>) -> Self {
        ProbeBuffer { bound, ..self }
    }
    /// All values. Bytes at the end that do not form a whole value are left out.
    pub fn to<T: bytemuck::AnyBitPattern + bytemuck::NoUninit>(&self) -> Vec<T> {
        let whole = self.bytes.len() / size_of::<T>() * size_of::<T>();
        bytemuck::pod_collect_to_vec(&self.bytes[..whole])
    }
}

/// Timestamps of the device, and the time on the host's clock.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeTicks {
    /// The timestamps before and after each dispatch.
    pub ticks: Vec<[u64; 2]>,
    /// Nanoseconds per tick, as reported by the driver.
    pub period: f64,
    /// Seconds from the submission to its completion, on the host's clock.
    pub host: f64,
}

/// The pipeline of a shader, with its bind group and buffers.
struct Prepared {
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
    buffers: Vec<wgpu::Buffer>,
}

impl Probe {
    /// Opens a device.
    ///
    /// # Errors
    /// No adapter matches, or the device cannot be opened.
    pub fn open(choice: &GpuChoice, limits: Limits) -> Result<Probe> {
        let (adapter, info) = adapter::choose(choice)?;
        Ok(Probe { gpu: Gpu::open(&adapter, info, limits)? })
    }

    /// The adapter of the device.
    pub fn adapter(&self) -> &AdapterInfo {
        &self.gpu.info
    }

    /// Dispatches `workgroups` workgroups, waits for their completion, and reads all buffers back.
    ///
    /// # Errors
    /// The source is not valid WGSL or needs a feature that the device lacks, the buffers do not match its bindings, or
    /// the device fails.
    pub fn run(&self, shader: &ProbeShader<'_>, buffers: &mut [ProbeBuffer], workgroups: u32) -> Result<()> {
        let prepared = self.prepare(shader, buffers)?;
        self.submit(shader, &prepared, workgroups, 1)?;
        self.gpu.wait(None)?;
        for (buffer, created) in buffers.iter_mut().zip(&prepared.buffers) {
            let staging = staging(&self.gpu, created.size())?;
            self.gpu.scoped("reading a buffer", || {
                let mut encoder = self.encoder();
                encoder.copy_buffer_to_buffer(created, 0, &staging, 0, created.size());
                self.gpu.queue.submit([encoder.finish()]);
            })?;
            let bytes = self.gpu.map(&staging)?;
            let all = buffer.bytes.len();
            buffer.bytes.copy_from_slice(&bytes[..all]);
        }
        Ok(())
    }

    /// The seconds that `submissions` submissions of `dispatches` dispatches each take, on the host's clock: from an
    /// idle device to an idle device, after one warm-up submission. With `wait`, the host waits for each submission
    /// before the next.
    ///
    /// # Errors
    /// As for [`Probe::run`].
    pub fn seconds(
        &self,
        shader: &ProbeShader<'_>,
        buffers: &[ProbeBuffer],
        workgroups: u32,
        [submissions, dispatches]: [u32; 2],
        wait: bool,
    ) -> Result<f64> {
        let prepared = self.prepare(shader, buffers)?;
        self.submit(shader, &prepared, workgroups, dispatches)?;
        self.gpu.wait(None)?;
        let start = Instant::now();
        for _ in 0..submissions {
            self.submit(shader, &prepared, workgroups, dispatches)?;
            if wait {
                self.gpu.wait(None)?;
            }
        }
        self.gpu.wait(None)?;
        Ok(start.elapsed().as_secs_f64())
    }

    /// Runs dispatches one after another, with a timestamp before and after each; `None` if the device has no timestamp
    /// queries.
    ///
    /// # Errors
    /// As for [`Probe::run`].
    pub fn ticks(
        &self,
        shader: &ProbeShader<'_>,
        buffers: &[ProbeBuffer],
        workgroups: u32,
        dispatches: u32,
    ) -> Result<Option<ProbeTicks>> {
        let gpu = &self.gpu;
        if !gpu.features.contains(wgpu::Features::TIMESTAMP_QUERY) {
            return Ok(None);
        }
        let prepared = self.prepare(shader, buffers)?;
        // Warm-up: drivers may compile a pipeline at its first dispatch.
        self.submit(shader, &prepared, workgroups, 1)?;
        let queries = 2 * dispatches;
        let bytes = u64::from(queries) * u64::from(wgpu::QUERY_SIZE);
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let resolved = gpu.buffer("timestamps", bytes, usage)?;
        let staging = staging(gpu, bytes)?;
        let set = gpu.scoped("timestamp queries", || {
            let ty = wgpu::QueryType::Timestamp;
            gpu.device.create_query_set(&wgpu::QuerySetDescriptor { label: Some("probe"), ty, count: queries })
        })?;
        gpu.wait(None)?;
        let start = Instant::now();
        gpu.scoped(&format!("probe {}", shader.name), || {
            let mut encoder = self.encoder();
            for dispatch in 0..dispatches {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                    label: None,
                    timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                        query_set: &set,
                        beginning_of_pass_write_index: Some(2 * dispatch),
                        end_of_pass_write_index: Some(2 * dispatch + 1),
                    }),
                });
                record(&mut pass, &prepared, workgroups);
            }
            encoder.resolve_query_set(&set, 0..queries, &resolved, 0);
            encoder.copy_buffer_to_buffer(&resolved, 0, &staging, 0, bytes);
            gpu.queue.submit([encoder.finish()]);
        })?;
        gpu.wait(None)?;
        let host = start.elapsed().as_secs_f64();
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&gpu.map(&staging)?[..bytes as usize]);
        let ticks = ticks.chunks_exact(2).map(|t| [t[0], t[1]]).collect();
        Ok(Some(ProbeTicks { ticks, period: f64::from(gpu.queue.get_timestamp_period()), host }))
    }

    fn encoder(&self) -> wgpu::CommandEncoder {
        self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("probe") })
    }

    fn submit(&self, shader: &ProbeShader<'_>, prepared: &Prepared, workgroups: u32, dispatches: u32) -> Result<()> {
        self.gpu.scoped(&format!("probe {}", shader.name), || {
            let mut encoder = self.encoder();
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for _ in 0..dispatches {
                record(&mut pass, prepared, workgroups);
            }
            drop(pass);
            self.gpu.queue.submit([encoder.finish()]);
        })
    }

    fn prepare(&self, shader: &ProbeShader<'_>, buffers: &[ProbeBuffer]) -> Result<Prepared> {
        let gpu = &self.gpu;
        let mut created = Vec::with_capacity(buffers.len());
        for (index, buffer) in buffers.iter().enumerate() {
            let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
            let what = format!("probe {}, buffer {index}", shader.name);
            let on_device = gpu.buffer(&what, buffer.bytes.len() as u64, usage)?;
            gpu.write(&on_device, 0, &buffer.bytes);
            created.push(on_device);
        }
        let layout = |(k, buffer): (usize, &ProbeBuffer)| wgpu::BindGroupLayoutEntry {
            binding: k as u32,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Storage { read_only: !buffer.written },
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        };
        let entries: Vec<_> = buffers.iter().enumerate().map(layout).collect();
        let part = |(k, (buffer, created)): (usize, (&ProbeBuffer, _))| wgpu::BindGroupEntry {
            binding: k as u32,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: created,
                offset: buffer.bound.start as u64,
                size: NonZeroU64::new(buffer.bound.len() as u64),
            }),
        };
        let parts: Vec<_> = buffers.iter().zip(&created).enumerate().map(part).collect();
        let (pipeline, group) = gpu.scoped(&format!("probe {}", shader.name), || {
            let label = Some(shader.name);
            let device = &gpu.device;
            let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries });
            let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label,
                bind_group_layouts: &[Some(&layout)],
                immediate_size: 0,
            });
            let source = wgpu::ShaderSource::Wgsl(shader.wgsl.into());
            let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label, source });
            let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label,
                layout: Some(&pipeline_layout),
                module: &module,
                entry_point: Some(shader.entry),
                compilation_options: wgpu::PipelineCompilationOptions {
                    zero_initialize_workgroup_memory: shader.zeroed,
                    ..Default::default()
                },
                cache: None,
            });
            let group =
                device.create_bind_group(&wgpu::BindGroupDescriptor { label, layout: &layout, entries: &parts });
            (pipeline, group)
        })?;
        Ok(Prepared { pipeline, group, buffers: created })
    }
}

fn record(pass: &mut wgpu::ComputePass<'_>, prepared: &Prepared, workgroups: u32) {
    pass.set_pipeline(&prepared.pipeline);
    pass.set_bind_group(0, &prepared.group, &[]);
    pass.dispatch_workgroups(workgroups, 1, 1);
}
