//! A session: a device, the storage of variables on it, and the programs that share them.

mod described;
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
use crate::wgsl::{self, DescribedGpu, GpuTarget};

/// A compiled program of a [`Session`].
#[derive(Debug, Clone)]
pub struct Program {
    index: usize,
    session: u64,
    inputs: Vec<(String, TensorType)>,
    outputs: usize,
}

impl Program {
    /// The inputs that a run needs.
    pub fn inputs(&self) -> &[(String, TensorType)] {
        &self.inputs
    }
}

/// A device with its variables and programs.
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
    /// Opens `device`. Fails if there is no such device.
    pub fn new(device: Device) -> Result<Self> {
        let executor = device.open()?;
        Ok(Session::with_executor(device, executor))
    }

    /// A session on an executor that was opened with custom options; `device` is what [`Session::device`] returns.
    pub fn with_executor(device: Device, executor: Box<dyn Executor>) -> Self {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Session { executor, device, id, seed: 0, steps: Vec::new() }
    }

    /// A session that plans for a GPU of which there is only a description: its programs can be explained
    /// ([`Session::explain`]), but not run.
    ///
    /// ```
    /// use wgrad::wgsl::DescribedGpu;
    /// use wgrad::{DType, Graph, Session};
    /// let g = Graph::new();
    /// let sum = g.input("x", [1 << 20], DType::F32).sum(..);
    /// let mut session = Session::described(DescribedGpu::read("h200".as_ref())?);
    /// let program = session.compile(&g, &[sum])?;
    /// let text = session.explain(&program)?.expect("there is a plan");
    /// assert!(text.contains("takes about"));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn described(gpu: DescribedGpu) -> Self {
        Session::with_executor(Device::Cpu, Box::new(described::DescribedExecutor::new(gpu)))
    }

    /// The requested device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The display name of the device.
    pub fn device_name(&self) -> String {
        self.executor.name()
    }

    /// Sets the seed of random operations (initially 0).
    pub fn set_seed(&mut self, seed: u64) {
        self.seed = seed;
    }

    /// The seed of random operations.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Compiles a graph: plans it and builds everything that a run needs. `outputs` are the values that
    /// [`Session::run`] returns. Errors made while building the graph are returned here.
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

    /// Runs a program `count` times with the same inputs, without reading its outputs back.
    pub fn run_steps(&mut self, program: &Program, inputs: &[(&str, &Array)], count: u32) -> Result<()> {
        self.check_program(program)?;
        for (position, (name, array)) in inputs.iter().enumerate() {
            if inputs[..position].iter().any(|(earlier, _)| earlier == name) {
                return Err(Error::value(format!("input `{name}`"), "is given more than once"));
            }
            let Some((_, wanted)) = program.inputs.iter().find(|(n, _)| n == name) else {
                let known: Vec<&str> = program.inputs.iter().map(|(n, _)| n.as_str()).collect();
                return Err(Error::value(
                    format!("input `{name}`"),
                    format!("is unknown: the program's inputs are {known:?}"),
                ));
            };
            if array.tensor_type() != *wanted {
                let message = format!("expected {wanted}, got {}", array.tensor_type());
                return Err(Error::value(format!("input `{name}`"), message));
            }
        }
        if let Some((name, ty)) = program.inputs.iter().find(|(n, _)| !inputs.iter().any(|(given, _)| given == n)) {
            return Err(Error::value(format!("input `{name}`"), format!("is missing: expected {ty}")));
        }
        let first = self.steps[program.index];
        let Some(next) = first.checked_add(count) else {
            return Err(Error::value("run_steps", "the step index would exceed 32 bits"));
        };
        self.executor.run(program.index, inputs, first, count, self.seed)?;
        self.steps[program.index] = next;
        Ok(())
    }

    /// The step index of the next run of a program.
    pub fn step(&self, program: &Program) -> Result<u32> {
        self.check_program(program)?;
        Ok(self.steps[program.index])
    }

    /// Sets the step index of the next run of a program.
    pub fn set_step(&mut self, program: &Program, step: u32) -> Result<()> {
        self.check_program(program)?;
        self.steps[program.index] = step;
        Ok(())
    }

    /// The current value of a variable.
    pub fn read(&mut self, variable: &Variable) -> Result<Array> {
        self.executor.read(variable)
    }

    /// Sets the value of a variable; shape and dtype must match.
    pub fn write(&mut self, variable: &Variable, value: &Array) -> Result<()> {
        let (wanted, given) = (variable.tensor_type(), value.tensor_type());
        if wanted != given {
            let subject = format!("variable `{}`", variable.name());
            return Err(Error::value(subject, format!("expected {wanted}, got {given}")));
        }
        self.executor.write(variable, value)
    }

    /// The plan of a program; `None` on the reference device, which has no plans.
    pub fn plan(&self, program: &Program) -> Option<&Plan> {
        (program.session == self.id).then(|| self.executor.plan(program.index)).flatten()
    }

    /// The plan of a program as text (see [`Plan::explain`]), on a GPU with the dispatches of each launch, and on a
    /// described one with estimates of what they take. `None` on
    /// the reference device, which has no plans.
    ///
    /// # Errors
    /// If `program` belongs to another session.
    pub fn explain(&self, program: &Program) -> Result<Option<String>> {
        self.check_program(program)?;
        let (target, described) = (self.gpu_target(), self.executor.described());
        let details = |launch: &Launch| match &target {
            Some(target) => wgsl::describe(launch, target, described),
            None => Ok(Vec::new()),
        };
        self.executor.plan(program.index).map(|plan| plan.explain(details)).transpose()
    }

    /// Runs a program once, with the inputs of its last run, and returns the seconds of each dispatch of each launch,
    /// timed one at a time. On a GPU, each time includes a submission and a wait, so compare these times rather than
    /// adding them up. Like any run, this updates variables and advances the step. Empty on the reference device.
    pub fn profile(&mut self, program: &Program) -> Result<Vec<LaunchSeconds>> {
        self.check_program(program)?;
        let step = self.steps[program.index];
        let seconds = self.executor.profile(program.index, step, self.seed)?;
        self.steps[program.index] = step.wrapping_add(1);
        Ok(seconds)
    }

    /// Waits until the device has completed all submitted work: [`Session::run_steps`] may return earlier.
    pub fn finish(&mut self) -> Result<()> {
        self.executor.finish()
    }

    /// Runs a program `count` times, with the inputs of its last run, and returns the seconds of each dispatch of each
    /// launch in each run, from the device's timestamps, without host time. If the device has no timestamps, returns
    /// `None` and runs nothing. Like any runs, these update variables and advance the step.
    pub fn device_times(&mut self, program: &Program, count: u32) -> Result<Option<Vec<Vec<LaunchSeconds>>>> {
        self.check_program(program)?;
        let first = self.steps[program.index];
        let Some(next) = first.checked_add(count) else {
            return Err(Error::value("device_times", "the step index would exceed 32 bits"));
        };
        let times = self.executor.device_times(program.index, first, count, self.seed)?;
        if times.is_some() {
            self.steps[program.index] = next;
        }
        Ok(times)
    }

    /// Host time in seconds that [`Session::run`] and [`Session::run_steps`] have spent so far on encoding and
    /// submitting, without waits for earlier submissions. `None` if the device is not a GPU.
    pub fn host_seconds(&self) -> Option<f64> {
        self.executor.host_seconds()
    }

    /// The capabilities that kernels are chosen for, if the device is a GPU.
    pub fn gpu_target(&self) -> Option<GpuTarget> {
        self.executor.gpu_target()
    }

    /// The name and the WGSL source of the shader of each dispatch of a program; empty if the device is not a GPU.
    pub fn wgsl(&self, program: &Program) -> Result<Vec<(String, String)>> {
        self.check_program(program)?;
        self.executor.wgsl(program.index)
    }

    /// Reserves a host thread for a run that overlaps with a run of another session, if the device is the host and uses
    /// several threads.
    pub(crate) fn place_beside(&self) -> Option<Beside> {
        (self.gpu_target().is_none() && threads::count() > 1).then(Beside::new)
    }

    /// Further details of the device for reports: the adapter, driver, limits and features of a GPU.
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
