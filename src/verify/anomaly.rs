//! The first operation that produced NaN or infinity.
//!
//! WGSL lets a shader compiler assume that NaN and infinity do not occur, so a test in a shader is unreliable: values
//! are read back and tested on the host.

use super::Trial;
use crate::array::Array;
use crate::error::Result;
use crate::graph::{Graph, NodeId};
use crate::ops::Op;
use crate::session::Session;
use serde::Serialize;

/// The maximum bytes of values read back from one program.
const CHUNK_BYTES: usize = 64 << 20;
/// The maximum number of nodes read back from one program.
const CHUNK_NODES: usize = 32;

/// Statistics of a tensor's values.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The index of the node, as in the text form of the graph.
    pub node: usize,
    /// The name of the variable, input or named node; otherwise the operation.
    pub name: String,
    /// The type: dtype and shape.
    pub ty: String,
    /// The smallest finite value, if any.
    pub min: Option<f64>,
    /// The largest finite value, if any.
    pub max: Option<f64>,
    /// The number of NaN elements.
    pub nan: usize,
    /// The number of infinite elements.
    pub infinite: usize,
    /// The scope of the node, such as a layer.
    pub scope: Option<String>,
    /// The line of user code that added the node.
    pub location: String,
}

/// The first operation of a run that produced NaN or infinity from finite operands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Anomaly {
    /// The index of the run.
    pub step: u32,
    /// The result of the operation.
    pub output: Summary,
    /// The operation and its attributes.
    pub op: String,
    /// The operands.
    pub inputs: Vec<Summary>,
}

/// Whether all elements of an array are finite.
pub fn is_finite(array: &Array) -> bool {
    array.to_f64().iter().all(|x| x.is_finite())
}

/// Runs a graph on the session's device, reads back every intermediate value, and finds the first operation that
/// produces NaN or infinity from finite operands. The graph's updates are not applied; `trial` gives the state to run
/// from.
///
/// Operations that propagate NaN or infinity from an operand, such as the `-inf` of a mask, are not reported. `None` if
/// there is no such operation: all values are finite, or a leaf itself is not.
///
/// ```
/// use wgrad::verify::{Trial, anomaly};
/// use wgrad::{Array, DType, Device, Graph, Session};
/// let g = Graph::new();
/// let x = g.input("x", [3], DType::F32);
/// let y = (x - 1.0).log().sum(..);
/// let mut trial = Trial::new(&g, &[y.id()]);
/// trial.inputs = vec![("x".into(), Array::from([0.5f32, 2.0, 3.0]))];
/// let found = anomaly::find(&trial, &mut Session::new(Device::cpu())?)?.expect("log of a negative number");
/// assert_eq!((found.op.as_str(), found.output.nan, found.inputs[0].min), ("log", 1, Some(-0.5)));
/// # Ok::<(), wgrad::Error>(())
/// ```
pub fn find(trial: &Trial<'_>, session: &mut Session) -> Result<Option<Anomaly>> {
    trial.graph.check()?;
    // The same nodes with the same indices, without the updates.
    let graph = Graph::new();
    for node in trial.graph.nodes().iter() {
        graph.push(node.op.clone(), node.inputs.clone(), node.ty.clone());
    }
    let mut rest: Vec<NodeId> = {
        let nodes = graph.nodes();
        let needed = graph.ancestors(&trial.wanted());
        let float = |k: &usize| needed[*k] && nodes[*k].ty.dtype.is_float() && !nodes[*k].inputs.is_empty();
        (0..nodes.len()).filter(float).map(NodeId::from_index).collect()
    };
    let bytes = |id: &NodeId| graph.nodes()[id.index()].ty.bytes();
    while !rest.is_empty() {
        let mut sum = 0;
        let fits = |id: &&NodeId| {
            sum += bytes(id);
            sum <= CHUNK_BYTES
        };
        let count = rest.iter().take(CHUNK_NODES).take_while(fits).count().max(1);
        let later = rest.split_off(count);
        let values = read(trial, &graph, &rest, session)?;
        for (id, value) in rest.iter().zip(&values).filter(|(_, value)| !is_finite(value)) {
            let inputs = graph.nodes()[id.index()].inputs.clone();
            let operands = read(trial, &graph, &inputs, session)?;
            if operands.iter().all(is_finite) {
                let of = |(id, value): (&NodeId, &Array)| summary(trial, *id, value);
                let definition = graph.nodes()[id.index()].op.clone();
                let definition = definition.definition();
                return Ok(Some(Anomaly {
                    step: trial.step,
                    output: summary(trial, *id, value),
                    op: [definition.name(), &definition.attributes()].join(" ").trim_end().into(),
                    inputs: inputs.iter().zip(&operands).map(of).collect(),
                }));
            }
        }
        rest = later;
    }
    Ok(None)
}

/// Runs the graph on the device and reads back the given nodes.
fn read(trial: &Trial<'_>, graph: &Graph, ids: &[NodeId], session: &mut Session) -> Result<Vec<Array>> {
    let used = graph.variables();
    let variables = trial.variables.iter().filter(|(v, _)| used.contains(v)).cloned().collect();
    let part = Trial { graph, outputs: ids.to_vec(), variables, inputs: trial.inputs.clone(), ..*trial };
    part.run(session)
}

fn summary(trial: &Trial<'_>, id: NodeId, value: &Array) -> Summary {
    use crate::ops::leaf::Leaf;
    let nodes = trial.graph.nodes();
    let node = &nodes[id.index()];
    let own = match &node.op {
        Op::Leaf(Leaf::Variable(v)) => v.name().to_string(),
        Op::Leaf(Leaf::Input { name }) => name.clone(),
        op => op.definition().name().into(),
    };
    let data = value.to_f64();
    let finite = || data.iter().copied().filter(|x| x.is_finite());
    Summary {
        node: id.index(),
        name: trial.graph.name_of(id).unwrap_or(own),
        ty: node.ty.to_string(),
        min: finite().reduce(f64::min),
        max: finite().reduce(f64::max),
        nan: data.iter().filter(|x| x.is_nan()).count(),
        infinite: data.iter().filter(|x| x.is_infinite()).count(),
        scope: trial.graph.scope_of(id),
        location: node.location.to_string(),
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "%{} {} {}: ", self.node, self.name, self.ty)?;
        match self.min.zip(self.max) {
            Some((min, max)) => write!(f, "{min:e} to {max:e}")?,
            None => write!(f, "no finite values")?,
        }
        let scope = self.scope.as_ref().map(|scope| format!(" in {scope}")).unwrap_or_default();
        write!(f, ", {} NaN, {} infinite;{scope} at {}", self.nan, self.infinite, self.location)
    }
}

impl std::fmt::Display for Anomaly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "step {}: {} results in\n  {}\nfrom", self.step, self.op, self.output)?;
        self.inputs.iter().try_for_each(|input| write!(f, "\n  {input}"))
    }
}
