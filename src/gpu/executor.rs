//! Runs programs and owns the variables that they share.

use super::adapter;
use super::device::Gpu;
use super::limits::Limits;
use super::pipeline::Pipelines;
use super::program::{Program, staging, storage as storage_buffer};
use super::tuned::TunedFile;
use crate::array::Array;
use crate::device::GpuChoice;
use crate::error::{Error, Result};
use crate::executor::{Executor, LaunchSeconds, unused};
use crate::graph::{Graph, NodeId};
use crate::memory;
use crate::ops::random::key;
use crate::passes::Passes;
use crate::plan::{BufferKind, Placement, Plan, Storage, Target, lower};
use crate::variable::Variable;
use crate::wgsl::{self, Choice, GpuTarget, ShaderFolder};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// Target duration of a submission: short enough that no watchdog resets the device.
const SUBMISSION_SECONDS: f64 = 0.05;
/// The same for a software driver, which has no watchdog and shares the host's processors: longer submissions spread
/// their host overhead over more launches.
const SOFTWARE_SUBMISSION_SECONDS: f64 = 0.25;
/// Maximum number of dispatches in a submission, however short: command buffers take memory.
const SUBMISSION_DISPATCHES: usize = 16_384;
/// Maximum number of submissions in flight.
const IN_FLIGHT: usize = 2;
/// The same on a software driver: lavapipe blocks a submission until the previous one is complete, so waiting for it
/// here costs nothing and keeps the wait out of the measured submission time.
const SOFTWARE_IN_FLIGHT: usize = 1;

/// Options for opening a GPU.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GpuOptions {
    /// The limits to request.
    pub limits: Limits,
    /// The rewrites to apply.
    pub passes: Passes,
    /// Shader sources that replace the embedded ones.
    pub shaders: ShaderFolder,
    /// Which variants of kernels to run; by default those that `wgrad tune` measured on this adapter, and where it did not,
    /// those of the rule.
    pub choice: Option<Choice>,
    /// Whether to compile wgpu's bounds checks into wgrad's own shaders too, which stay in bounds without.
    pub checked_shaders: bool,
}

/// Runs that were submitted together.
#[derive(Debug)]
struct Submission {
    index: wgpu::SubmissionIndex,
    program: usize,
    runs: u32,
    since: Instant,
    /// Whether the program's run time is estimated from it.
    measured: bool,
}

/// The GPU executor.
#[derive(Debug)]
pub struct GpuExecutor {
    gpu: Gpu,
    pipelines: Pipelines,
    programs: Vec<Program>,
    options: GpuOptions,
    /// Why the file of `wgrad tune` was not used, if there is one.
    unused: Option<Error>,
    /// The storage of each variable.
    placed: Placement,
    /// The buffer of each storage, by its ID.
    variables: HashMap<u64, wgpu::Buffer>,
    /// Values written to variables that no program uses yet.
    given: HashMap<u64, Array>,
    in_flight: VecDeque<Submission>,
    /// When the last submission that was waited for completed.
    last_done: Option<Instant>,
    /// Host time spent on encoding and submitting runs.
    host_seconds: f64,
}

impl GpuExecutor {
    /// Opens a GPU.
    pub fn new(choice: &GpuChoice) -> Result<Self> {
        GpuExecutor::with_options(choice, GpuOptions::default())
    }

    /// Opens a GPU with the given options.
    pub fn with_options(choice: &GpuChoice, options: GpuOptions) -> Result<Self> {
        let (adapter, info) = adapter::choose(choice)?;
        let mut gpu = Gpu::open(&adapter, info, options.limits)?;
        let mut unused = None;
        gpu.choice = match &options.choice {
            Some(choice) => choice.clone(),
            None => {
                let (found, problem) = TunedFile::find(&gpu.info);
                unused = problem;
                found.map_or(Choice::Rule, |file| Choice::Tuned(Arc::new(file.variants)))
            }
        };
        gpu.checked = options.checked_shaders || gpu.info.is_software();
        Ok(GpuExecutor {
            gpu,
            unused,
            pipelines: Pipelines::default(),
            programs: Vec::new(),
            options,
            placed: Placement::default(),
            variables: HashMap::new(),
            given: HashMap::new(),
            in_flight: VecDeque::new(),
            last_done: None,
            host_seconds: 0.0,
        })
    }

    /// The adapter that the executor runs on.
    pub fn adapter(&self) -> &adapter::AdapterInfo {
        &self.gpu.info
    }

    /// The capabilities of its device.
    pub fn target(&self) -> GpuTarget {
        self.gpu.target()
    }

    /// Why the adapter's file of measured variants was not used, if there is one.
    pub fn unused_tuning(&self) -> Option<&Error> {
        self.unused.as_ref()
    }

    /// Allocates the buffer of a storage and writes the initial values of its variables.
    fn place(&mut self, storage: &Arc<Storage>) -> Result<()> {
        if self.placed.get(&storage.slots[0].0).is_some() {
            return Ok(());
        }
        let names: Vec<&str> = storage.slots.iter().map(|(variable, _)| variable.name()).collect();
        let what = format!("variable `{}`: {}", names.join("`, `"), storage.ty);
        let buffer = storage_buffer(&self.gpu, &what, &storage.ty)?;
        for (variable, offset) in &storage.slots {
            let given = self.given.remove(&variable.id());
            let value = given.as_ref().unwrap_or(variable.initial());
            self.gpu.write(&buffer, byte_offset(storage, *offset), value.bytes());
        }
        self.variables.insert(storage.id(), buffer);
        self.placed.put(storage);
        Ok(())
    }

    /// The buffer that contains a variable, and its offset there in bytes.
    fn find(&self, variable: &Variable) -> Option<(&wgpu::Buffer, u64)> {
        let (storage, offset) = self.placed.find(variable)?;
        Some((self.variables.get(&storage.id())?, byte_offset(storage, offset)))
    }

    fn is_software(&self) -> bool {
        self.gpu.info.is_software()
    }

    /// Encodes and submits runs. In between, it waits for earlier submissions, to limit the number in flight.
    fn submit(&mut self, program: usize, first: u32, runs: u32, seed: u64, measured: bool) -> Result<()> {
        let start = Instant::now();
        let dispatches = 0..self.programs[program].dispatch_count();
        let commands = self.programs[program].encode(&self.gpu, dispatches, first, runs, key(seed));
        self.host_seconds += start.elapsed().as_secs_f64();
        self.wait_until_fewer_than(if self.is_software() { SOFTWARE_IN_FLIGHT } else { IN_FLIGHT })?;
        let since = Instant::now();
        let index = self.gpu.queue.submit([commands]);
        self.host_seconds += since.elapsed().as_secs_f64();
        self.in_flight.push_back(Submission { index, program, runs, since, measured });
        self.gpu.check()
    }

    /// Waits until fewer than `most` submissions are in flight, and updates the estimated run times.
    fn wait_until_fewer_than(&mut self, most: usize) -> Result<()> {
        while self.in_flight.len() >= most.max(1) {
            let Some(oldest) = self.in_flight.pop_front() else { break };
            self.gpu.wait(Some(oldest.index))?;
            let now = Instant::now();
            // A submission starts when the previous one completes, or when it is submitted if that is later.
            let began = self.last_done.map_or(oldest.since, |done| done.max(oldest.since));
            self.last_done = Some(now);
            if oldest.measured {
                let each = now.saturating_duration_since(began).as_secs_f64() / f64::from(oldest.runs);
                let seconds = &mut self.programs[oldest.program].seconds;
                // A single measurement at most halves the estimate, so that the next submission is at most twice as
                // long.
                *seconds = each.max(*seconds / 2.0);
            }
        }
        Ok(())
    }
}

fn byte_offset(storage: &Storage, offset: usize) -> u64 {
    (offset * storage.ty.dtype.size()) as u64
}

impl Executor for GpuExecutor {
    fn name(&self) -> String {
        self.gpu.info.label()
    }

    fn compile(&mut self, graph: &Graph, outputs: &[NodeId]) -> Result<usize> {
        // More buffers allow longer chains to fuse, with little gain beyond 16.
        let backend = self.gpu.target();
        let max_buffers = backend.storage_buffers.min(16) as usize;
        let (passes, placed) = (self.options.passes, self.placed.clone());
        let target = Target { max_buffers, passes, placed, backend: &backend };
        let plan = lower(graph, outputs, &target)?;
        plan.check_buffers(max_buffers)?;
        // A software driver's memory is the host's; what a hardware GPU has left, it does not say.
        if self.is_software() {
            memory::check(
                "a program and its variables",
                plan.new_bytes(&self.placed),
                "use a smaller batch or smaller layers",
            )?;
        }
        for buffer in &plan.buffers {
            if let BufferKind::Variable(storage) = &buffer.kind {
                self.place(storage)?;
            }
        }
        for variable in graph.variables() {
            self.place(&self.placed.get(&variable).cloned().unwrap_or_else(|| Arc::new(Storage::alone(&variable))))?;
        }
        let program = Program::new(&self.gpu, &mut self.pipelines, &self.variables, &self.options.shaders, plan)?;
        // Queued writes execute at the next submission; submitting now frees their staging memory.
        self.gpu.queue.submit([]);
        self.programs.push(program);
        Ok(self.programs.len() - 1)
    }

    fn run(&mut self, program: usize, inputs: &[(&str, &Array)], first: u32, count: u32, seed: u64) -> Result<()> {
        for (name, value) in inputs {
            self.programs[program].write_input(&self.gpu, name, value);
        }
        if self.programs[program].is_empty() {
            self.gpu.queue.submit([]);
            return self.gpu.check();
        }
        let longest = if self.is_software() { SOFTWARE_SUBMISSION_SECONDS } else { SUBMISSION_SECONDS };
        let most = (SUBMISSION_DISPATCHES / self.programs[program].dispatch_count().max(1)).max(1) as u32;
        // Multiple runs are timed; the first submission is timed from an idle device to an idle device.
        let measured = count > 1;
        // Submissions of an earlier call may have completed long ago, so they are not timed.
        self.in_flight.iter_mut().for_each(|earlier| earlier.measured = false);
        let mut done = 0;
        while done < count {
            let seconds = self.programs[program].seconds;
            let wanted = if seconds > 0.0 { (longest / seconds) as u32 } else { 1 };
            let chunk = wanted.clamp(1, most).min(count - done);
            let unknown = measured && seconds == 0.0;
            if unknown {
                self.finish()?;
            }
            self.submit(program, first + done, chunk, seed, measured)?;
            if unknown {
                self.wait_until_fewer_than(1)?;
            }
            done += chunk;
        }
        Ok(())
    }

    fn outputs(&mut self, program: usize) -> Result<Vec<Array>> {
        let outputs = self.programs[program].read(&self.gpu);
        self.in_flight.clear();
        outputs
    }

    fn read(&mut self, variable: &Variable) -> Result<Array> {
        let Some((buffer, start)) = self.find(variable) else {
            let given = self.given.get(&variable.id()).cloned();
            return given.ok_or_else(|| unused(variable));
        };
        let ty = variable.tensor_type();
        if ty.bytes() == 0 {
            return Array::from_bytes(&ty, &[]);
        }
        // Slots start at multiples of 4 bytes and are padded, so the copy may be rounded up.
        let staging = staging(&self.gpu, ty.bytes() as u64)?;
        self.gpu.scoped("reading a variable", || {
            let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            encoder.copy_buffer_to_buffer(buffer, start, &staging, 0, staging.size());
            self.gpu.queue.submit([encoder.finish()]);
        })?;
        let bytes = self.gpu.map(&staging)?;
        self.in_flight.clear();
        Array::from_bytes(&ty, &bytes[..ty.bytes()])
    }

    fn write(&mut self, variable: &Variable, value: &Array) -> Result<()> {
        match self.find(variable) {
            Some((buffer, start)) => self.gpu.write(buffer, start, value.bytes()),
            None => {
                self.given.insert(variable.id(), value.clone());
            }
        }
        self.gpu.check()
    }

    fn plan(&self, program: usize) -> Option<&Plan> {
        self.programs.get(program).map(|p| &p.plan)
    }

    fn profile(&mut self, program: usize, step: u32, seed: u64) -> Result<Vec<LaunchSeconds>> {
        self.in_flight.clear();
        self.gpu.wait(None)?;
        let program = &self.programs[program];
        let mut seconds = Vec::with_capacity(program.dispatch_count());
        for dispatch in 0..program.dispatch_count() {
            let start = Instant::now();
            let commands = program.encode(&self.gpu, dispatch..dispatch + 1, step, 1, key(seed));
            let submission = self.gpu.queue.submit([commands]);
            self.gpu.wait(Some(submission))?;
            seconds.push(start.elapsed().as_secs_f64());
        }
        let seconds = program.by_launch(&seconds);
        self.gpu.check()?;
        Ok(seconds)
    }

    fn finish(&mut self) -> Result<()> {
        self.in_flight.clear();
        self.gpu.wait(None)
    }

    fn device_times(
        &mut self,
        program: usize,
        first: u32,
        count: u32,
        seed: u64,
    ) -> Result<Option<Vec<Vec<LaunchSeconds>>>> {
        self.finish()?;
        super::timestamps::measure(&self.gpu, &self.programs[program], first, count, key(seed))
    }

    fn host_seconds(&self) -> Option<f64> {
        Some(self.host_seconds)
    }

    fn gpu_target(&self) -> Option<GpuTarget> {
        Some(self.target())
    }

    fn wgsl(&self, program: usize) -> Result<Vec<(String, String)>> {
        let mut texts = Vec::new();
        for launch in &self.programs[program].plan.launches {
            for dispatch in wgsl::dispatches(launch, &self.programs[program].target)? {
                let shader = self.options.shaders.apply(dispatch.shader);
                texts.push((shader.name().to_string(), shader.wgsl()?));
            }
        }
        Ok(texts)
    }

    fn details(&self) -> serde_json::Value {
        let features: Vec<String> = self.gpu.features.iter_names().map(|(name, _)| name.to_string()).collect();
        let replaced = self.options.shaders.names();
        let (adapter, limits) = (&self.gpu.info, self.target());
        serde_json::json!({
            "adapter": adapter,
            "limits": limits,
            "features": features,
            "replaced_shaders": replaced,
            "variants": limits.choice.to_string(),
        })
    }

    fn allocated_bytes(&self) -> u64 {
        let variables: u64 = self.variables.values().map(wgpu::Buffer::size).sum();
        variables + self.programs.iter().map(|p| p.bytes).sum::<u64>()
    }
}
