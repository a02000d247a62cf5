//! What a session asks of a device: each kind of device has an executor.

use crate::array::Array;
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId};
use crate::plan::Plan;
use crate::variable::Variable;
use crate::wgsl::{DescribedGpu, GpuTarget};

/// The seconds that each dispatch of a launch took; a launch on the CPU is one.
pub type LaunchSeconds = Vec<f64>;

/// What runs programs on one kind of device. Programs and outputs are numbered in the order they were given.
pub trait Executor: Send {
    /// The device's name, for people.
    fn name(&self) -> String;
    /// Prepares a program: plans it and builds whatever can be built before the first run.
    fn compile(&mut self, graph: &Graph, outputs: &[NodeId]) -> Result<usize>;
    /// Runs `program` for each step in `first..first + count`; the inputs are the same in all of them and have been
    /// checked against the program.
    fn run(&mut self, program: usize, inputs: &[(&str, &Array)], first: u32, count: u32, seed: u64) -> Result<()>;
    /// The outputs of the last run of `program`.
    fn outputs(&mut self, program: usize) -> Result<Vec<Array>>;
    /// A variable's value. Its storage exists once a program that uses it was compiled, or it was written.
    fn read(&mut self, variable: &Variable) -> Result<Array>;
    /// Sets a variable's value; the type has been checked.
    fn write(&mut self, variable: &Variable, value: &Array) -> Result<()>;
    /// The plan of a program; the reference has none.
    fn plan(&self, program: usize) -> Option<&Plan>;
    /// Bytes allocated for variables and programs.
    fn allocated_bytes(&self) -> u64;
    /// Runs `program` once with each launch timed on its own, in seconds, waiting for it to end. On a GPU that includes
    /// the submission and the wait. Empty on the reference.
    fn profile(&mut self, program: usize, step: u32, seed: u64) -> Result<Vec<LaunchSeconds>>;
    /// Waits until everything asked for so far is done. A device whose runs are done when `run` returns need do
    /// nothing.
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
    /// Runs `program` as `run` does, with the inputs of its last run, and gives each run's seconds for each launch by
    /// the device's own clock; `None` (and nothing was run) if it has none.
    fn device_times(
        &mut self,
        _program: usize,
        _first: u32,
        _count: u32,
        _seed: u64,
    ) -> Result<Option<Vec<Vec<LaunchSeconds>>>> {
        Ok(None)
    }
    /// The seconds the host has spent so far on encoding and submitting runs, waits not counted; `None` on a device
    /// that has nothing to encode.
    fn host_seconds(&self) -> Option<f64> {
        None
    }
    /// What kernels are chosen for, if it is a GPU.
    fn gpu_target(&self) -> Option<GpuTarget> {
        None
    }
    /// The GPU that it only has a description of.
    fn described(&self) -> Option<&DescribedGpu> {
        None
    }
    /// The name and the specialised text of each dispatch's shader, on a GPU.
    fn wgsl(&self, _program: usize) -> Result<Vec<(String, String)>> {
        Ok(Vec::new())
    }
    /// What else is known of the device, for reports: adapter, driver, limits, features.
    fn details(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
}

/// The error for reading a variable no program of the session uses.
pub(crate) fn unused(variable: &Variable) -> Error {
    Error::value(
        format!("variable `{}`", variable.name()),
        "no program of this session uses it and it was never written",
    )
}
