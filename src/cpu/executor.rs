//! Runs plans on the host.

use crate::array::Array;
use crate::error::Result;
use crate::graph::{Graph, NodeId};
use crate::plan::Plan;
use crate::session::Executor;
use crate::variable::Variable;

/// The CPU executor.
#[derive(Debug, Default)]
pub struct CpuExecutor {}

impl Executor for CpuExecutor {
    fn name(&self) -> String {
        "cpu".into()
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
