//! The GPU executor: replays a plan on wgpu. The only module that names `wgpu`.

use crate::array::Array;
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId};
use crate::plan::Plan;
use crate::session::{Executor, GpuChoice};
use crate::variable::Variable;

/// Whether there is a GPU that is not a software driver.
pub fn has_hardware() -> bool {
    false
}

/// The GPU executor.
#[derive(Debug)]
pub struct GpuExecutor {}

impl GpuExecutor {
    /// Opens a GPU.
    pub fn new(choice: &GpuChoice) -> Result<Self> {
        Err(Error::Device(format!("no adapter for {choice:?}")))
    }
}

impl Executor for GpuExecutor {
    fn name(&self) -> String {
        "gpu".into()
    }
    fn compile(&mut self, _: &Graph, _: &[NodeId]) -> Result<usize> {
        unimplemented!()
    }
    fn run(&mut self, _: usize, _: &[(&str, &Array)], _: u32, _: u32, _: u64) -> Result<()> {
        unimplemented!()
    }
    fn outputs(&mut self, _: usize) -> Result<Vec<Array>> {
        unimplemented!()
    }
    fn read(&mut self, _: &Variable) -> Result<Array> {
        unimplemented!()
    }
    fn write(&mut self, _: &Variable, _: &Array) -> Result<()> {
        unimplemented!()
    }
    fn plan(&self, _: usize) -> Option<&Plan> {
        None
    }
    fn allocated_bytes(&self) -> u64 {
        0
    }
}
