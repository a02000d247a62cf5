//! One run of a graph, on a device and on the reference.

use super::{Comparison, error_bounds};
use crate::array::Array;
use crate::error::Result;
use crate::graph::{Graph, NodeId};
use crate::reference::{Environment, RefTensor, evaluate_all};
use crate::session::{Program, Session};
use crate::variable::Variable;
use std::collections::HashMap;

/// A graph with the values of its leaves: everything that one run needs.
#[derive(Clone)]
pub struct Trial<'g> {
    /// The graph.
    pub graph: &'g Graph,
    /// The outputs to compare, in addition to the graph's updates.
    pub outputs: Vec<NodeId>,
    /// The values of the inputs, by name; those that a program does not use are ignored.
    pub inputs: Vec<(String, Array)>,
    /// The values of variables before the run, where they differ from the initial ones.
    pub variables: Vec<(Variable, Array)>,
    /// The index of the run.
    pub step: u32,
    /// The seed of the random operations.
    pub seed: u64,
}

/// The reference's values of a [`Trial`], with error bounds for a device.
pub struct Expected {
    /// The value of each node; `None` for nodes that no output or update depends on.
    pub values: Vec<Option<RefTensor>>,
    /// The error bounds of each node, one per element.
    pub bounds: Vec<Vec<f64>>,
}

impl<'g> Trial<'g> {
    /// A trial of a graph without inputs, whose variables have their initial values.
    pub fn new(graph: &'g Graph, outputs: &[NodeId]) -> Self {
        let (inputs, variables) = (Vec::new(), Vec::new());
        Trial { graph, outputs: outputs.to_vec(), inputs, variables, step: 0, seed: 0 }
    }

    /// The nodes to compare: the outputs, then the updates.
    pub fn wanted(&self) -> Vec<NodeId> {
        self.outputs.iter().copied().chain(self.graph.updates().iter().map(|(_, id)| *id)).collect()
    }

    /// The reference's values of every node that `wanted` depends on, with `change` applied to the inputs that `only`
    /// selects.
    pub(super) fn evaluate(&self, change: impl Fn(f64) -> f64, only: impl Fn(usize) -> bool) -> Result<Expected> {
        let value = |(k, array): (usize, &Array)| {
            let mut value = RefTensor::from_array(array);
            if only(k) {
                value.data.iter_mut().for_each(|x| *x = change(*x));
            }
            value
        };
        let inputs: HashMap<String, RefTensor> =
            self.inputs.iter().enumerate().map(|(k, (name, array))| (name.clone(), value((k, array)))).collect();
        let variables = self.variables.iter().map(|(v, array)| (v.id(), RefTensor::from_array(array))).collect();
        let environment = Environment { inputs: &inputs, variables: &variables, step: self.step, seed: self.seed };
        let values = evaluate_all(self.graph, &self.wanted(), environment)?;
        let bounds = error_bounds(self.graph, &values, &HashMap::new());
        Ok(Expected { values, bounds })
    }

    /// The reference's values and their error bounds.
    pub fn expected(&self) -> Result<Expected> {
        self.graph.check()?;
        self.evaluate(|x| x, |_| false)
    }

    /// Runs the graph on the session's device. Returns the outputs, then the values of the updated variables.
    pub fn run(&self, session: &mut Session) -> Result<Vec<Array>> {
        let program = self.compile(session)?;
        self.run_program(session, &program)
    }

    /// Compiles the graph.
    pub fn compile(&self, session: &mut Session) -> Result<Program> {
        let outputs: Vec<_> = self.outputs.iter().map(|&id| self.graph.tensor(id)).collect();
        session.compile(self.graph, &outputs)
    }

    /// As [`Trial::run`], with the program that [`Trial::compile`] gave.
    pub fn run_program(&self, session: &mut Session, program: &Program) -> Result<Vec<Array>> {
        // Every variable is written: an earlier run may have updated it.
        for variable in self.graph.variables() {
            let given = self.variables.iter().find(|(given, _)| *given == variable);
            session.write(&variable, given.map_or(variable.initial(), |(_, value)| value))?;
        }
        let needed = |name: &str| program.inputs().iter().any(|(n, _)| n == name);
        let feed: Vec<(&str, &Array)> =
            self.inputs.iter().filter(|(name, _)| needed(name)).map(|(name, value)| (name.as_str(), value)).collect();
        let seed = session.seed();
        session.set_seed(self.seed);
        session.set_step(program, self.step)?;
        let got = session.run(program, &feed);
        session.set_seed(seed);
        let mut got = got?;
        for (variable, _) in self.graph.updates() {
            got.push(session.read(&variable)?);
        }
        Ok(got)
    }

    /// As [`Trial::compare`], against another device instead of the reference. The bounds are doubled, because both
    /// devices have errors.
    pub fn compare_with(
        &self,
        session: &mut Session,
        other: &mut Session,
        expected: &Expected,
    ) -> Result<Vec<Comparison>> {
        let (got, others) = (self.run(session)?, self.run(other)?);
        let each = self.wanted().into_iter().zip(got.iter().zip(&others));
        let compare = |(id, (got, other)): (NodeId, (&Array, &Array))| {
            let bounds: Vec<f64> = expected.bounds[id.index()].iter().map(|b| 2.0 * b).collect();
            Comparison::of(&got.to_f64(), &other.to_f64(), &bounds, got.dtype())
        };
        Ok(each.map(compare).collect())
    }

    /// Runs the graph on the session's device and compares every output and update with the reference.
    pub fn compare(&self, session: &mut Session, expected: &Expected) -> Result<Vec<Comparison>> {
        let got = self.run(session)?;
        Ok(self.wanted().iter().zip(&got).map(|(id, got)| expected.compare(*id, &got.to_f64())).collect())
    }
}

impl Expected {
    /// Compares the values of a node with the reference's.
    pub fn compare(&self, id: NodeId, got: &[f64]) -> Comparison {
        match &self.values[id.index()] {
            Some(value) => Comparison::of(got, &value.data, &self.bounds[id.index()], value.dtype),
            None => Comparison::default(),
        }
    }
}
