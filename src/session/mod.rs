//! A session: one device, the variables' storage on it, and the programs that share them.

mod open;
mod reference;

use crate::array::Array;
use crate::cpu::threads::{self, Beside};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::executor::{Executor, LaunchSeconds};
use crate::graph::{Graph, NodeId};
use crate::kernels::Launch;
use crate::ops::Op;
use crate::ops::leaf::Leaf;
use crate::plan::Plan;
use crate::shape::TensorType;
use crate::tensor::Tensor;
use crate::variable::Variable;
use crate::wgsl::{self, GpuTarget};

/// A compiled program of a [`Session`].
#[derive(Debug, Clone)]
pub struct Program {
    index: usize,
    session: u64,
    inputs: Vec<(String, TensorType)>,
    outputs: usize,
}

impl Program {
    /// The inputs a run needs.
    pub fn inputs(&self) -> &[(String, TensorType)] {
        &self.inputs
    }
}

/// One device with the variables and programs on it.
///
/// ```
/// use wgrad::{Array, Device, Graph, Session, Variable};
/// let count = Variable::new("count", 0.0f32);
/// let g = Graph::new();
/// let next = g.variable(&count) + 1.0;
/// next.assign_to(&count);
/// let mut session = Session::new(Device::cpu())?;
/// let program = session.compile(&g, &[])?;
/// session.run_steps(&program, &[], 10)?;
/// assert_eq!(session.read(&count)?.item()?, 10.0);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct Session {
    executor: Box<dyn Executor>,
    device: Device,
    id: u64,
    seed: u64,
    steps: Vec<u32>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({})", self.executor.name())
    }
}

impl Session {
    /// Opens `device`. Fails if there is none of its kind.
    pub fn new(device: Device) -> Result<Self> {
        let executor = device.open()?;
        Ok(Session::with_executor(device, executor))
    }

    /// A session on an executor opened by hand, with other than the default options; `device` is what it answers for.
    pub fn with_executor(device: Device, executor: Box<dyn Executor>) -> Self {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Session { executor, device, id, seed: 0, steps: Vec::new() }
    }

    /// The device asked for.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The device's name, for people.
    pub fn device_name(&self) -> String {
        self.executor.name()
    }

    /// Sets the seed of the random operations (0 at first).
    pub fn set_seed(&mut self, seed: u64) {
        self.seed = seed;
    }

    /// The seed of the random operations.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Compiles a graph: everything that can be decided or built before the first run is. `outputs` are what
    /// [`Session::run`] returns. Errors made while building the graph come back here.
    pub fn compile(&mut self, graph: &Graph, outputs: &[Tensor<'_>]) -> Result<Program> {
        graph.check()?;
        if outputs.iter().any(|t| !std::ptr::eq(t.graph(), graph)) {
            return Err(Error::value("compile", "an output belongs to another graph"));
        }
        let ids: Vec<NodeId> = outputs.iter().map(|t| t.id()).collect();
        let mut wanted = ids.clone();
        wanted.extend(graph.updates().iter().map(|(_, id)| *id));
        let needed = graph.ancestors(&wanted);
        let nodes = graph.nodes();
        let inputs = nodes.iter().zip(needed).filter_map(|(node, needed)| match &node.op {
            Op::Leaf(Leaf::Input { name }) if needed => Some((name.clone(), node.ty.clone())),
            _ => None,
        });
        let inputs = inputs.collect();
        drop(nodes);
        let index = self.executor.compile(graph, &ids)?;
        self.steps.resize(index + 1, 0);
        Ok(Program { index, session: self.id, inputs, outputs: ids.len() })
    }

    /// Runs a program once and returns its outputs.
    pub fn run(&mut self, program: &Program, inputs: &[(&str, &Array)]) -> Result<Vec<Array>> {
        self.run_steps(program, inputs, 1)?;
        if program.outputs == 0 { Ok(Vec::new()) } else { self.executor.outputs(program.index) }
    }

    /// Runs a program `count` times with the same inputs, reading nothing back.
    pub fn run_steps(&mut self, program: &Program, inputs: &[(&str, &Array)], count: u32) -> Result<()> {
        self.check_program(program)?;
        for (position, (name, array)) in inputs.iter().enumerate() {
            if inputs[..position].iter().any(|(earlier, _)| earlier == name) {
                return Err(Error::value(format!("input `{name}`"), "is given twice"));
            }
            let Some((_, wanted)) = program.inputs.iter().find(|(n, _)| n == name) else {
                let known: Vec<&str> = program.inputs.iter().map(|(n, _)| n.as_str()).collect();
                return Err(Error::value(format!("input `{name}`"), format!("the program's inputs are {known:?}")));
            };
            if array.tensor_type() != *wanted {
                let message = format!("the program takes {wanted}, but {} was given", array.tensor_type());
                return Err(Error::value(format!("input `{name}`"), message));
            }
        }
        if let Some((name, ty)) = program.inputs.iter().find(|(n, _)| !inputs.iter().any(|(given, _)| given == n)) {
            return Err(Error::value(format!("input `{name}`"), format!("a run needs its value ({ty})")));
        }
        let first = self.steps[program.index];
        let Some(next) = first.checked_add(count) else {
            return Err(Error::value("run_steps", "the step index would pass 2^32"));
        };
        self.executor.run(program.index, inputs, first, count, self.seed)?;
        self.steps[program.index] = next;
        Ok(())
    }

    /// The index the program's next run will see as its `step`.
    pub fn step(&self, program: &Program) -> Result<u32> {
        self.check_program(program)?;
        Ok(self.steps[program.index])
    }

    /// Sets the index the program's next run will see as its `step`.
    pub fn set_step(&mut self, program: &Program, step: u32) -> Result<()> {
        self.check_program(program)?;
        self.steps[program.index] = step;
        Ok(())
    }

    /// A variable's present value.
    pub fn read(&mut self, variable: &Variable) -> Result<Array> {
        self.executor.read(variable)
    }

    /// Sets a variable's value; shape and dtype must be the variable's.
    pub fn write(&mut self, variable: &Variable, value: &Array) -> Result<()> {
        let (wanted, given) = (variable.tensor_type(), value.tensor_type());
        if wanted != given {
            let subject = format!("variable `{}`", variable.name());
            return Err(Error::value(subject, format!("holds {wanted}, but {given} was given")));
        }
        self.executor.write(variable, value)
    }

    /// The plan of a program; `None` on the reference device, which has none.
    pub fn plan(&self, program: &Program) -> Option<&Plan> {
        (program.session == self.id).then(|| self.executor.plan(program.index)).flatten()
    }

    /// The plan of a program for people: see [`Plan::explain`]; on a GPU with each launch's dispatches. `None` on the reference
    /// device, which has no plans.
    ///
    /// # Errors
    /// If `program` belongs to another session.
    pub fn explain(&self, program: &Program) -> Result<Option<String>> {
        self.check_program(program)?;
        let target = self.gpu_target();
        let details = |launch: &Launch| match &target {
            Some(target) => wgsl::describe(launch, target),
            None => Ok(Vec::new()),
        };
        self.executor.plan(program.index).map(|plan| plan.explain(details)).transpose()
    }

    /// Runs a program once, with the inputs of its last run, and gives the seconds that each dispatch of each of its plan's
    /// launches took on its own. On a GPU that includes a submission and a wait for each, so compare launches rather than add them up. Like any
    /// run it updates variables and advances the step. Empty on the reference device.
    pub fn profile(&mut self, program: &Program) -> Result<Vec<LaunchSeconds>> {
        self.check_program(program)?;
        let step = self.steps[program.index];
        let seconds = self.executor.profile(program.index, step, self.seed)?;
        self.steps[program.index] = step.wrapping_add(1);
        Ok(seconds)
    }

    /// Waits until the device has done all that was asked of it: [`Session::run_steps`] may return before that.
    pub fn finish(&mut self) -> Result<()> {
        self.executor.finish()
    }

    /// Runs a program `count` times, with the inputs of its last run, and gives each run's seconds for each dispatch of each launch by the
    /// device's own clock: the host's part is not in them. `None`, and nothing was run, if the device has no such clock.
    /// Like any runs these update variables and advance the step.
    pub fn device_times(&mut self, program: &Program, count: u32) -> Result<Option<Vec<Vec<LaunchSeconds>>>> {
        self.check_program(program)?;
        let first = self.steps[program.index];
        let Some(next) = first.checked_add(count) else {
            return Err(Error::value("device_times", "the step index would pass 2^32"));
        };
        let times = self.executor.device_times(program.index, first, count, self.seed)?;
        if times.is_some() {
            self.steps[program.index] = next;
        }
        Ok(times)
    }

    /// The seconds the host has spent so far in [`Session::run`] and [`Session::run_steps`] on encoding and submitting, the waits
    /// for earlier submissions not counted: what a replay costs the host. `None` if the device is no GPU.
    pub fn host_seconds(&self) -> Option<f64> {
        self.executor.host_seconds()
    }

    /// What kernels are chosen for, if the device is a GPU.
    pub fn gpu_target(&self) -> Option<GpuTarget> {
        self.executor.gpu_target()
    }

    /// The name and the WGSL text of the shader of each of a program's launches; empty if the device is no GPU.
    pub fn wgsl(&self, program: &Program) -> Result<Vec<(String, String)>> {
        self.check_program(program)?;
        self.executor.wgsl(program.index)
    }

    /// A place for a run on a thread of its own while another session runs: where the host computes, and on several threads.
    pub(crate) fn place_beside(&self) -> Option<Beside> {
        (self.gpu_target().is_none() && threads::count() > 1).then(Beside::new)
    }

    /// What else is known of the device, for reports: a GPU's adapter, driver, limits and features.
    pub fn device_details(&self) -> serde_json::Value {
        self.executor.details()
    }

    /// Bytes allocated on the device for variables and programs.
    pub fn allocated_bytes(&self) -> u64 {
        self.executor.allocated_bytes()
    }

    fn check_program(&self, program: &Program) -> Result<()> {
        if program.session == self.id {
            Ok(())
        } else {
            Err(Error::value("program", "was compiled by another session"))
        }
    }
}
