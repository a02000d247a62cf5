//! The reference executor: interprets the unoptimised graph in f64.

use crate::array::Array;
use crate::error::Result;
use crate::executor::{Executor, LaunchSeconds, unused};
use crate::graph::{Graph, NodeId};
use crate::plan::Plan;
use crate::reference::{Environment, RefTensor, evaluate};
use crate::variable::Variable;
use std::collections::HashMap;

struct Compiled {
    graph: Graph,
    wanted: Vec<NodeId>,
    outputs: usize,
    results: Vec<RefTensor>,
}

#[derive(Default)]
pub(super) struct ReferenceExecutor {
    programs: Vec<Compiled>,
    variables: HashMap<u64, RefTensor>,
}

impl Executor for ReferenceExecutor {
    fn name(&self) -> String {
        "reference (f64 interpreter)".into()
    }

    fn compile(&mut self, graph: &Graph, outputs: &[NodeId]) -> Result<usize> {
        for variable in graph.variables() {
            self.variables.entry(variable.id()).or_insert_with(|| RefTensor::from_array(variable.initial()));
        }
        let updates = graph.updates();
        let wanted = outputs.iter().copied().chain(updates.iter().map(|(_, id)| *id)).collect();
        self.programs.push(Compiled { graph: graph.clone(), wanted, outputs: outputs.len(), results: Vec::new() });
        Ok(self.programs.len() - 1)
    }

    fn run(&mut self, program: usize, inputs: &[(&str, &Array)], first: u32, count: u32, seed: u64) -> Result<()> {
        let program = &mut self.programs[program];
        let inputs = inputs.iter().map(|(name, array)| (name.to_string(), RefTensor::from_array(array))).collect();
        for step in first..first + count {
            let environment = Environment { inputs: &inputs, variables: &self.variables, step, seed };
            let mut values = evaluate(&program.graph, &program.wanted, environment)?;
            let updated = values.split_off(program.outputs);
            for ((variable, _), value) in program.graph.updates().iter().zip(updated) {
                self.variables.insert(variable.id(), value);
            }
            program.results = values;
        }
        Ok(())
    }

    fn outputs(&mut self, program: usize) -> Result<Vec<Array>> {
        self.programs[program].results.iter().map(RefTensor::to_array).collect()
    }

    fn read(&mut self, variable: &Variable) -> Result<Array> {
        match self.variables.get(&variable.id()) {
            Some(value) => value.to_array(),
            None => Err(unused(variable)),
        }
    }

    fn write(&mut self, variable: &Variable, value: &Array) -> Result<()> {
        self.variables.insert(variable.id(), RefTensor::from_array(value));
        Ok(())
    }

    fn plan(&self, _: usize) -> Option<&Plan> {
        None
    }

    fn profile(&mut self, _: usize, _: u32, _: u64) -> Result<Vec<LaunchSeconds>> {
        Ok(Vec::new())
    }

    fn allocated_bytes(&self) -> u64 {
        let results = self.programs.iter().flat_map(|p| &p.results);
        self.variables.values().chain(results).map(|v| v.data.len() as u64 * 8).sum()
    }
}
