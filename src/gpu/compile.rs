//! Parallel compilation of pipelines on several devices.
//!
//! A software driver (Mesa's lavapipe) compiles a pipeline at its first dispatch, on the single thread of its queue,
//! and stores the result in a cache that all devices share, on disk and within the process. So one additional device
//! per additional processor compiles a share of a program's pipelines by dispatching each once, and this device then
//! finds them in the cache. These dispatches have no workgroups: they compile and run nothing. Their parameters must
//! still be those of a real launch: lavapipe evaluates a shader's branches and loops with them, and compiles another
//! variant for other values (no columns, say).
//!
//! If the first pipeline is ready at once, nothing more is done: the driver has it in its cache or compiles elsewhere.
//! This is only an optimisation, so no failure here is an error: a pipeline that was not compiled here is compiled at
//! its first use.

use super::device::{Gpu, IMMEDIATE_BYTES};
use super::pipeline::{Pipeline, PipelineRequest, Pipelines, Uniform, processors};
use crate::error::Result;
use crate::wgsl::WINDOW;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Fewer pipelines than this are compiled at their first use.
const MIN_PIPELINES: usize = 4;
/// A pipeline in the driver's cache is ready within this time.
const CACHE_HIT: Duration = Duration::from_millis(20);
/// Time for the driver's thread that writes the cache, after the last compilation: it has the lowest priority, so it
/// seems to run only when no other thread compiles.
const CACHE_WRITE: Duration = Duration::from_millis(20);

/// A device with placeholder buffers: a separate one for each binding but the parameters, so that no buffer is bound
/// both read-only and read-write.
struct Compiler<'g> {
    gpu: &'g Gpu,
    buffers: Vec<wgpu::Buffer>,
}

impl Compiler<'_> {
    fn new(gpu: &Gpu, bindings: usize) -> Result<Compiler<'_>> {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::UNIFORM;
        let buffers = (1..bindings).map(|_| gpu.buffer("placeholder", WINDOW as u64, usage)).collect::<Result<_>>()?;
        Ok(Compiler { gpu, buffers })
    }

    /// Submits a dispatch without workgroups.
    fn submit(&self, request: &PipelineRequest, pipeline: &Pipeline) -> Result<wgpu::SubmissionIndex> {
        let parameters = Uniform::new(self.gpu, std::slice::from_ref(request))?.buffer;
        self.gpu.scoped("compiling pipelines ahead of use", || {
            let device = &self.gpu.device;
            let bound = (0u32..).zip(std::iter::once(&parameters).chain(&self.buffers).take(request.key.bindings()));
            let entries: Vec<_> = bound
                .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
                .collect();
            let layout = &pipeline.layout.group;
            let group = device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries });
            let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(&pipeline.pipeline);
            pass.set_bind_group(0, &group, &[]);
            if request.key.immediates {
                pass.set_immediates(0, &[0; IMMEDIATE_BYTES as usize]);
            }
            pass.dispatch_workgroups(0, 0, 0);
            drop(pass);
            self.gpu.queue.submit([encoder.finish()])
        })
    }

    fn compile(&self, request: &PipelineRequest, pipeline: &Pipeline) -> Result<()> {
        self.submit(request, pipeline).and_then(|submission| self.gpu.wait(Some(submission)))
    }
}

/// Compiles newly built pipelines in parallel, on a software driver that would otherwise compile them at their first
/// use.
pub(super) fn compile(gpu: &Gpu, built: &Pipelines, requests: &[&PipelineRequest]) -> Result<()> {
    let processors = processors(gpu);
    if !gpu.info.is_software() || requests.len() < MIN_PIPELINES || processors == 1 {
        return Ok(());
    }
    // The longest shader first: it shows best whether the cache has it, and the load is balanced better.
    let mut requests = requests.to_vec();
    requests.sort_by_key(|request| std::cmp::Reverse(request.key.length()));
    let bindings = requests.iter().map(|request| request.key.bindings()).max().unwrap_or(0);
    let own = Compiler::new(gpu, bindings)?;
    let first = own.submit(requests[0], built.get(&requests[0].key)?)?;
    let poll = wgpu::PollType::Wait { submission_index: Some(first.clone()), timeout: Some(CACHE_HIT) };
    if !matches!(gpu.device.poll(poll), Err(wgpu::PollError::Timeout)) {
        return gpu.check();
    }
    let claimed = AtomicUsize::new(1);
    let next = || requests.get(claimed.fetch_add(1, Ordering::Relaxed)).copied();
    let worker = || -> Result<()> {
        let gpu = gpu.duplicate()?;
        let (other, mut pipelines) = (Compiler::new(&gpu, bindings)?, Pipelines::default());
        while let Some(request) = next() {
            pipelines.prepare(&gpu, std::slice::from_ref(request))?;
            other.compile(request, pipelines.get(&request.key)?)?;
        }
        Ok(())
    };
    let result: Result<()> = std::thread::scope(|scope| {
        // Opening a device takes as long as compiling a small pipeline, so each device gets two or more.
        for _ in 1..processors.min(requests.len() / 2) {
            scope.spawn(worker);
        }
        gpu.wait(Some(first))?;
        while let Some(request) = next() {
            own.compile(request, built.get(&request.key)?)?;
        }
        Ok(())
    });
    std::thread::sleep(CACHE_WRITE);
    result
}
