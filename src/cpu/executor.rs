//! The CPU executor: runs plans on the host.

use super::CpuContext;
use super::context::{SPARES, Scratch};
use super::simd::lane_count;
use super::threads::region;
use super::words::{array_of, copy_words, words_of, zeros};
use crate::array::Array;
use crate::error::Result;
use crate::executor::{Executor, LaunchSeconds, unused};
use crate::graph::{Graph, NodeId};
use crate::kernels::{Kernel, Launch, Operand};
use crate::memory;
use crate::passes::Passes;
use crate::plan::{Backend, BufferKind, Placement, Plan, Storage, Target, lower};
use crate::shape::TensorType;
use crate::variable::Variable;
use std::collections::HashMap;
use std::sync::Arc;

/// Options of the CPU executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuOptions {
    /// The enabled passes.
    pub passes: Passes,
}

/// The CPU executor.
#[derive(Debug, Default)]
pub struct CpuExecutor {
    options: CpuOptions,
    programs: Vec<Compiled>,
    /// The storage and offset of each variable.
    placed: Placement,
    /// The contents of variables' storages, by storage id.
    variables: HashMap<u64, Vec<u32>>,
    /// Values written to variables that no program uses yet.
    pending: HashMap<u64, Array>,
    scratch: Scratch,
}

/// The planner's description of the CPU backend.
#[derive(Debug, Clone, Copy)]
struct Host;

impl Backend for Host {
    fn channel_lanes(&self) -> Option<usize> {
        Some(lane_count())
    }
    fn takes_channels_last(&self, launch: &Launch, channels_last: &[bool]) -> bool {
        match &launch.kernel {
            Kernel::Conv(kernel) => super::conv::takes_channels_last(kernel, launch, channels_last),
            _ => !channels_last.contains(&true),
        }
    }
}

/// Dispatches the context's launch to its kernel.
fn run(cx: &mut CpuContext<'_>) {
    match &cx.launch.kernel {
        Kernel::Elementwise(kernel) => super::elementwise::run(kernel, cx),
        Kernel::Reduce(kernel) => super::reduce::run(kernel, cx),
        Kernel::Matmul(kernel) => super::matmul::run(kernel, cx),
        Kernel::Conv(kernel) => super::conv::run(kernel, cx),
        Kernel::Pool(kernel) => super::pool::run(kernel, cx),
        Kernel::Softmax(kernel) => super::softmax::run(kernel, cx),
        Kernel::CrossEntropy(kernel) => super::cross_entropy::run(kernel, cx),
        Kernel::Index(kernel) => super::index::run(kernel, cx),
        Kernel::TopK(kernel) => super::topk::run(kernel, cx),
        Kernel::Scan(kernel) => super::scan::run(kernel, cx),
        Kernel::User(kernel) => super::custom::run(kernel, cx),
    }
}

#[derive(Debug)]
struct Compiled {
    plan: Plan,
    /// The plan's buffers, then the spare ones. Buffers of variables are empty between runs: they are swapped with the
    /// executor's for the duration of a run, so that programs share them.
    buffers: Vec<Vec<u32>>,
}

impl CpuExecutor {
    /// An executor with these options.
    pub fn with_options(options: CpuOptions) -> Self {
        CpuExecutor { options, ..CpuExecutor::default() }
    }

    /// Allocates a storage and copies its variables' pending or initial values into it.
    fn place(&mut self, storage: &Arc<Storage>) {
        if !self.placed.put(storage) {
            return;
        }
        let mut words = zeros(&storage.ty);
        for (variable, offset) in &storage.slots {
            let pending = self.pending.remove(&variable.id());
            copy_words(pending.as_ref().unwrap_or(variable.initial()), *offset, &mut words);
        }
        self.variables.insert(storage.id(), words);
    }
}

impl Compiled {
    /// Swaps the contents of variables between the executor and this program's buffers.
    fn swap_variables(&mut self, variables: &mut HashMap<u64, Vec<u32>>) {
        for (buffer, words) in self.plan.buffers.iter().zip(&mut self.buffers) {
            if let BufferKind::Variable(storage) = &buffer.kind {
                std::mem::swap(words, variables.entry(storage.id()).or_default());
            }
        }
    }
}

impl Executor for CpuExecutor {
    fn name(&self) -> String {
        "cpu".into()
    }

    fn compile(&mut self, graph: &Graph, outputs: &[NodeId]) -> Result<usize> {
        // Unlike a shader, a loop on the host can read any number of buffers.
        let target = Target {
            max_buffers: usize::MAX,
            passes: self.options.passes,
            placed: self.placed.clone(),
            backend: &Host,
        };
        let plan = lower(graph, outputs, &target)?;
        memory::check(
            "a program and its variables",
            plan.new_bytes(&self.placed),
            "use a smaller batch or smaller layers",
        )?;
        for buffer in &plan.buffers {
            if let BufferKind::Variable(storage) = &buffer.kind {
                self.place(storage);
            }
        }
        for variable in graph.variables() {
            if self.placed.get(&variable).is_none() {
                self.place(&Arc::new(Storage::alone(&variable)));
            }
        }
        let buffers = plan.buffers.iter().map(|buffer| match &buffer.kind {
            BufferKind::Constant(array) => words_of(array),
            BufferKind::Variable(_) => Vec::new(),
            BufferKind::Input(_) | BufferKind::Scratch => zeros(&buffer.ty),
        });
        let buffers = buffers.chain([const { Vec::new() }; SPARES]).collect();
        self.programs.push(Compiled { plan, buffers });
        Ok(self.programs.len() - 1)
    }

    fn run(&mut self, program: usize, inputs: &[(&str, &Array)], first: u32, count: u32, seed: u64) -> Result<()> {
        let program = &mut self.programs[program];
        for (buffer, words) in program.plan.buffers.iter().zip(&mut program.buffers) {
            let BufferKind::Input(name) = &buffer.kind else { continue };
            if let Some((_, array)) = inputs.iter().find(|(input, _)| input == name) {
                copy_words(array, 0, words);
            }
        }
        program.swap_variables(&mut self.variables);
        let scratch = &mut self.scratch;
        let mut steps = || {
            for step in first..first + count {
                for launch in &program.plan.launches {
                    let buffers = &mut program.buffers[..];
                    run(&mut CpuContext { buffers, launch, step, seed, scratch });
                }
            }
        };
        if count > 1 {
            region(steps);
        } else {
            steps();
        }
        program.swap_variables(&mut self.variables);
        self.scratch.error.take().map_or(Ok(()), Err)
    }

    fn outputs(&mut self, program: usize) -> Result<Vec<Array>> {
        let program = &self.programs[program];
        let read = |operand: &Operand| {
            let words = match &program.plan.buffers[operand.buffer.index()].kind {
                BufferKind::Variable(storage) => &self.variables[&storage.id()],
                _ => &program.buffers[operand.buffer.index()],
            };
            array_of(&TensorType::new(&operand.view.shape, operand.dtype), words, operand.view.offset)
        };
        program.plan.outputs.iter().map(read).collect()
    }

    fn read(&mut self, variable: &Variable) -> Result<Array> {
        match self.placed.find(variable) {
            Some((storage, offset)) => array_of(&variable.tensor_type(), &self.variables[&storage.id()], offset),
            None => self.pending.get(&variable.id()).cloned().ok_or_else(|| unused(variable)),
        }
    }

    fn write(&mut self, variable: &Variable, value: &Array) -> Result<()> {
        let words = self.placed.find(variable).map(|(storage, offset)| (storage.id(), offset));
        match words.and_then(|(id, offset)| Some((self.variables.get_mut(&id)?, offset))) {
            Some((words, offset)) => copy_words(value, offset, words),
            None => {
                self.pending.insert(variable.id(), value.clone());
            }
        }
        Ok(())
    }

    fn plan(&self, program: usize) -> Option<&Plan> {
        self.programs.get(program).map(|program| &program.plan)
    }

    fn profile(&mut self, program: usize, step: u32, seed: u64) -> Result<Vec<LaunchSeconds>> {
        let program = &mut self.programs[program];
        program.swap_variables(&mut self.variables);
        let (plan, buffers, scratch) = (&program.plan, &mut program.buffers[..], &mut self.scratch);
        let time = |launch: &Launch| {
            let start = std::time::Instant::now();
            run(&mut CpuContext { buffers, launch, step, seed, scratch });
            vec![start.elapsed().as_secs_f64()]
        };
        let seconds = region(|| plan.launches.iter().map(time).collect());
        program.swap_variables(&mut self.variables);
        self.scratch.error.take().map_or(Ok(seconds), Err)
    }

    fn allocated_bytes(&self) -> u64 {
        let buffers = self.programs.iter().flat_map(|program| &program.buffers);
        let words: usize = self.variables.values().chain(buffers).map(Vec::len).sum();
        4 * words as u64 + self.scratch.bytes()
    }
}
