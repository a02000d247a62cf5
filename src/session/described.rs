//! An executor that plans for a GPU that is only described, and runs nothing.

use crate::array::Array;
use crate::error::{Error, Result};
use crate::executor::{Executor, LaunchSeconds};
use crate::graph::{Graph, NodeId};
use crate::passes::Passes;
use crate::plan::{Placement, Plan, Target, lower};
use crate::variable::Variable;
use crate::wgsl::{DescribedGpu, GpuTarget};

/// Plans for [`DescribedGpu`], of which [`Session::explain`](crate::Session::explain) gives estimates.
#[derive(Debug)]
pub(super) struct DescribedExecutor {
    gpu: DescribedGpu,
    plans: Vec<Plan>,
}

impl DescribedExecutor {
    /// For this GPU.
    pub(super) fn new(gpu: DescribedGpu) -> Self {
        DescribedExecutor { gpu, plans: Vec::new() }
    }

    fn refuse<T>(&self) -> Result<T> {
        Err(Error::Device(format!("{} is a description: it can plan, but not run", self.gpu.name)))
    }
}

impl Executor for DescribedExecutor {
    fn name(&self) -> String {
        self.gpu.name.clone()
    }
    fn compile(&mut self, graph: &Graph, outputs: &[NodeId]) -> Result<usize> {
        let backend = self.gpu.target();
        let max_buffers = backend.storage_buffers.min(16) as usize;
        let target = Target { max_buffers, passes: Passes::all(), placed: Placement::default(), backend: &backend };
        self.plans.push(lower(graph, outputs, &target)?);
        Ok(self.plans.len() - 1)
    }
    fn run(&mut self, _: usize, _: &[(&str, &Array)], _: u32, _: u32, _: u64) -> Result<()> {
        self.refuse()
    }
    fn outputs(&mut self, _: usize) -> Result<Vec<Array>> {
        self.refuse()
    }
    fn read(&mut self, _: &Variable) -> Result<Array> {
        self.refuse()
    }
    fn write(&mut self, _: &Variable, _: &Array) -> Result<()> {
        self.refuse()
    }
    fn plan(&self, program: usize) -> Option<&Plan> {
        self.plans.get(program)
    }
    fn allocated_bytes(&self) -> u64 {
        0
    }
    fn profile(&mut self, _: usize, _: u32, _: u64) -> Result<Vec<LaunchSeconds>> {
        self.refuse()
    }
    fn gpu_target(&self) -> Option<GpuTarget> {
        Some(self.gpu.target())
    }
    fn described(&self) -> Option<&DescribedGpu> {
        Some(&self.gpu)
    }
}
