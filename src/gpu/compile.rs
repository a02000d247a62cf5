//! Pipelines compiled by several devices at once.
//!
//! A software driver (Mesa's lavapipe) compiles a pipeline when it is first dispatched, in its queue's one thread, and keeps
//! the result in a cache that all devices share, on disk and within the process. So a further device for each further
//! processor compiles its share of a program's pipelines, by dispatching each once, and this device then finds them in the
//! cache. Such a dispatch has no workgroups: it compiles and runs nothing. The parameters must be a launch's own all the same:
//! lavapipe tries their values in a shader's branches and loops, and with others (no columns, say) compiles another shader.
//!
//! Where the first pipeline is ready at once nothing is gained and nothing more is done: its driver has a filled cache or
//! compiles elsewhere. All of this only saves time, so no failure here is an error: what was not compiled will be when it is used.

use super::device::{Gpu, IMMEDIATE_BYTES};
use super::pipeline::{Pipeline, Pipelines, Uniform, Wanted, processors};
use crate::error::Result;
use crate::wgsl::WINDOW;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Fewer pipelines are left to their first use.
const WORTH_WHILE: usize = 4;
/// A pipeline that a driver has in its cache is ready sooner.
const CACHED: Duration = Duration::from_millis(20);
/// What the driver's thread that writes the cache may need when all is compiled: it has the lowest priority, so while
/// others compile it seems to wait.
const WRITTEN: Duration = Duration::from_millis(20);

/// A device and what is bound where nothing runs: a buffer for each binding but the parameters', so that none is read and
/// written.
struct Compiler<'g> {
    gpu: &'g Gpu,
    buffers: Vec<wgpu::Buffer>,
}

impl Compiler<'_> {
    fn new(gpu: &Gpu, bindings: usize) -> Result<Compiler<'_>> {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::UNIFORM;
        let buffers = (1..bindings).map(|_| gpu.buffer("stand-in", WINDOW as u64, usage)).collect::<Result<_>>()?;
        Ok(Compiler { gpu, buffers })
    }

    /// Submits a dispatch of no workgroups.
    fn submit(&self, wanted: &Wanted, pipeline: &Pipeline) -> Result<wgpu::SubmissionIndex> {
        let parameters = Uniform::new(self.gpu, std::slice::from_ref(wanted))?.buffer;
        self.gpu.scoped("compiling ahead", || {
            let device = &self.gpu.device;
            let bound = (0u32..).zip(std::iter::once(&parameters).chain(&self.buffers).take(wanted.key.bindings()));
            let entries: Vec<_> = bound
                .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
                .collect();
            let layout = &pipeline.layout.group;
            let group = device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries });
            let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(&pipeline.pipeline);
            pass.set_bind_group(0, &group, &[]);
            if wanted.key.immediates {
                pass.set_immediates(0, &[0; IMMEDIATE_BYTES as usize]);
            }
            pass.dispatch_workgroups(0, 0, 0);
            drop(pass);
            self.gpu.queue.submit([encoder.finish()])
        })
    }

    fn compile(&self, wanted: &Wanted, pipeline: &Pipeline) -> Result<()> {
        self.submit(wanted, pipeline).and_then(|submission| self.gpu.wait(Some(submission)))
    }
}

/// Compiles pipelines that were just built, where a software driver's device would do so later and has not before.
pub(super) fn compile(gpu: &Gpu, built: &Pipelines, wanted: &[&Wanted]) -> Result<()> {
    let processors = processors(gpu);
    if !gpu.info.is_software() || wanted.len() < WORTH_WHILE || processors == 1 {
        return Ok(());
    }
    // The longest first: it tells most surely whether there is much to do, and the shares come out even.
    let mut wanted = wanted.to_vec();
    wanted.sort_by_key(|wanted| std::cmp::Reverse(wanted.key.length()));
    let bindings = wanted.iter().map(|wanted| wanted.key.bindings()).max().unwrap_or(0);
    let own = Compiler::new(gpu, bindings)?;
    let first = own.submit(wanted[0], built.get(&wanted[0].key)?)?;
    let poll = wgpu::PollType::Wait { submission_index: Some(first.clone()), timeout: Some(CACHED) };
    if !matches!(gpu.device.poll(poll), Err(wgpu::PollError::Timeout)) {
        return gpu.check();
    }
    let taken = AtomicUsize::new(1);
    let next = || wanted.get(taken.fetch_add(1, Ordering::Relaxed)).copied();
    let further = || -> Result<()> {
        let gpu = gpu.another()?;
        let (other, mut pipelines) = (Compiler::new(&gpu, bindings)?, Pipelines::default());
        while let Some(wanted) = next() {
            pipelines.prepare(&gpu, std::slice::from_ref(wanted))?;
            other.compile(wanted, pipelines.get(&wanted.key)?)?;
        }
        Ok(())
    };
    let done: Result<()> = std::thread::scope(|scope| {
        // Opening a device takes as long as a small pipeline: each gets two or more.
        for _ in 1..processors.min(wanted.len() / 2) {
            scope.spawn(further);
        }
        gpu.wait(Some(first))?;
        while let Some(wanted) = next() {
            own.compile(wanted, built.get(&wanted.key)?)?;
        }
        Ok(())
    });
    std::thread::sleep(WRITTEN);
    done
}
