//! The first node of a graph that a device computes wrongly.
//!
//! One run from one state is compared, never several: a difference within the bounds grows from step to step, and says
//! nothing after some.

use super::bundle::Bundle;
use super::{Comparison, Element, Expected, Trial};
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId};
use crate::ops::Op;
use crate::passes::Passes;
use crate::reference::RefTensor;
use crate::session::Session;
use crate::shape::TensorType;
use crate::tensor::Tensor;
use serde::Serialize;

/// Bytes of operands of the nodes that are tried in one program.
const CHUNK_BYTES: usize = 32 << 20;
/// Nodes tried in one program: their kernels are built side by side.
const CHUNK_NODES: usize = 16;

/// Opens a session on the device to look at, which makes these rewrites.
pub type Open<'a> = dyn FnMut(Passes) -> Result<Session> + 'a;

/// Where a device first differs from the reference by more than its bound.
#[derive(Debug, Clone, Serialize)]
pub struct Divergence {
    /// The node's number, as in the graph's text.
    pub node: usize,
    /// Its operation.
    pub op: String,
    /// The operation's attributes.
    pub attributes: String,
    /// The name the user gave it, or the variable it becomes.
    pub name: Option<String>,
    /// What it is a part of, such as a layer.
    pub scope: Option<String>,
    /// The line of the user's code that asked for it.
    pub location: String,
    /// Its type.
    pub ty: String,
    /// Its operands' types.
    pub inputs: Vec<String>,
    /// The pass without which the program is right, if the node on its own is: the device computes the operation, but not
    /// what the plan made of it.
    pub pass: Option<String>,
    /// The largest error in units of its bound.
    pub worst: f64,
    /// Where that is.
    pub at: Option<Element>,
    /// The node alone, or what it needs if a pass is the cause, to be run again; `None` for a user's operation.
    #[serde(skip)]
    pub bundle: Option<Bundle>,
}

/// What the search came to.
#[derive(Debug, Clone, Serialize)]
pub struct Search {
    /// The largest error of an output or an update in the whole program, in units of its bound.
    pub worst: f64,
    /// Which of them that was.
    pub value: String,
    /// Elements that were compared.
    pub compared: usize,
    /// Elements in all; a bound may be infinite where a comparison hangs on a rounding.
    pub elements: usize,
    /// The first node that is wrong; `None` if the whole program is right.
    pub divergence: Option<Divergence>,
}

/// Runs a graph once on a device and on the reference (or on `against`, another device), and finds the first node that is wrong.
///
/// First the program as it is, with all rewrites. If its outputs and updates are within their bounds, that is all. If not,
/// each node is run on its own, with what the reference says its operands are: errors do not add up, so the first one that
/// fails is the culprit. If none fails, rewrites are left out one at a time to find the one that breaks the program, and
/// the first value that comes out wrong with it.
///
/// ```
/// use wgrad::verify::{Trial, divergence};
/// use wgrad::{Array, DType, Device, Graph, Session};
/// let g = Graph::new();
/// let x = g.input("x", [2, 3], DType::F32);
/// let y = (x.exp() + 1.0).log().sum(1);
/// let mut trial = Trial::new(&g, &[y.id()]);
/// trial.inputs = vec![("x".into(), Array::from([[0.5f32, -1.0, 2.0], [3.0, 0.0, 1.0]]))];
/// let search = divergence::search(&trial, &mut |_passes| Session::new(Device::cpu()), None)?;
/// assert!(search.divergence.is_none() && search.worst < 1.0);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// Those of building the graph, of opening the device, and of a run.
pub fn search(trial: &Trial<'_>, open: &mut Open<'_>, mut against: Option<&mut Session>) -> Result<Search> {
    let expected = trial.expected()?;
    let comparisons = compare(trial, &expected, &mut open(Passes::all())?, &mut against)?;
    let wanted = trial.wanted();
    let mut search = Search { worst: 0.0, value: String::new(), compared: 0, elements: 0, divergence: None };
    for (k, comparison) in comparisons.iter().enumerate() {
        search.compared += comparison.compared;
        search.elements += comparison.elements;
        if comparison.worst > search.worst {
            (search.worst, search.value) = (comparison.worst, name(trial, k));
        }
    }
    if search.worst <= 1.0 {
        return Ok(search);
    }
    search.divergence = match first_node(trial, &expected, open, &mut against)? {
        Some(found) => Some(found),
        None => {
            let wrong = (0..wanted.len()).find(|&k| !comparisons[k].passed()).unwrap_or(0);
            Some(first_with_passes(trial, &expected, (wrong, &comparisons[wrong]), open, &mut against)?)
        }
    };
    Ok(search)
}

type Against<'s> = Option<&'s mut Session>;

/// Compares with the reference, or with the other device.
fn compare(
    trial: &Trial<'_>,
    expected: &Expected,
    session: &mut Session,
    against: &mut Against<'_>,
) -> Result<Vec<Comparison>> {
    match against {
        None => trial.compare(session, expected),
        Some(other) => trial.compare_with(session, other, expected),
    }
}

/// What an output or update is called.
fn name(trial: &Trial<'_>, k: usize) -> String {
    match k.checked_sub(trial.outputs.len()) {
        None => trial.graph.name_of(trial.outputs[k]).unwrap_or_else(|| format!("output {k}")),
        Some(update) => trial.graph.updates().get(update).map_or_else(String::new, |(v, _)| v.name().to_string()),
    }
}

fn describe(trial: &Trial<'_>, id: NodeId, pass: Option<String>, comparison: &Comparison) -> Divergence {
    let nodes = trial.graph.nodes();
    let node = &nodes[id.index()];
    let update = trial.graph.updates().into_iter().find(|(_, value)| *value == id).map(|(v, _)| v.name().to_string());
    Divergence {
        node: id.index(),
        op: node.op.definition().name().into(),
        attributes: node.op.definition().attributes(),
        name: trial.graph.name_of(id).or(update),
        scope: trial.graph.scope_of(id),
        location: node.location.to_string(),
        ty: node.ty.to_string(),
        inputs: node.inputs.iter().map(|input| nodes[input.index()].ty.to_string()).collect(),
        pass,
        worst: comparison.worst,
        at: comparison.at.clone(),
        bundle: None,
    }
}

/// A node on its own, in a graph of such: its operands are inputs that hold the reference's values, rounded.
fn alone<'g>(trial: &Trial<'_>, expected: &Expected, id: NodeId, part: &mut Trial<'g>) -> Result<Tensor<'g>> {
    let node = trial.graph.nodes()[id.index()].clone();
    let mut operands = Vec::new();
    for input in &node.inputs {
        let value = expected.values[input.index()].as_ref();
        let value = value.ok_or_else(|| Error::Internal("an operand was not evaluated".into()))?;
        let array = finite(value).to_array()?;
        let name = format!("x{}", part.inputs.len());
        operands.push(part.graph.input(&name, array.shape(), array.dtype()));
        part.inputs.push((name, array));
    }
    let tensor = match &node.op {
        Op::Leaf(_) | Op::Random(_) => part.graph.push(node.op.clone(), Vec::new(), node.ty.clone()),
        op => part.graph.apply(op.clone(), &operands),
    };
    part.graph.check()?;
    Ok(tensor)
}

/// The reference's value as a device could hold it: an overflow is the largest number.
fn finite(value: &RefTensor) -> RefTensor {
    let largest = if value.dtype == crate::DType::F16 { half::f16::MAX.to_f64() } else { f64::from(f32::MAX) };
    let data = value.data.iter().map(|x| if value.dtype.is_float() { x.clamp(-largest, largest) } else { *x });
    RefTensor { data: data.collect(), ..value.clone() }
}

/// Whether a node computes something.
fn computes(op: &Op) -> bool {
    use crate::ops::leaf::Leaf;
    !matches!(op, Op::Leaf(Leaf::Constant(_) | Leaf::Input { .. } | Leaf::Variable(_) | Leaf::Poison))
}

/// The first node that is wrong on its own.
fn first_node(
    trial: &Trial<'_>,
    expected: &Expected,
    open: &mut Open<'_>,
    against: &mut Against<'_>,
) -> Result<Option<Divergence>> {
    let nodes: Vec<(NodeId, usize)> = {
        let nodes = trial.graph.nodes();
        let bytes = |ty: &TensorType| ty.bytes();
        let evaluated = (0..nodes.len()).filter(|&k| expected.values[k].is_some() && computes(&nodes[k].op));
        evaluated
            .map(|k| {
                let operands: usize = nodes[k].inputs.iter().map(|i| bytes(&nodes[i.index()].ty)).sum();
                (NodeId::from_index(k), operands + bytes(&nodes[k].ty))
            })
            .collect()
    };
    let mut session = open(Passes::all())?;
    let mut rest = &nodes[..];
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = |(_, size): &&(NodeId, usize)| {
            bytes += size;
            bytes <= CHUNK_BYTES
        };
        let count = rest.iter().take(CHUNK_NODES).take_while(fits).count().max(1);
        let (chunk, later) = rest.split_at(count);
        let graph = Graph::new();
        let mut part = Trial { step: trial.step, seed: trial.seed, ..Trial::new(&graph, &[]) };
        for (id, _) in chunk {
            let tensor = alone(trial, expected, *id, &mut part)?;
            part.outputs.push(tensor.id());
        }
        let comparisons = compare(&part, &part.expected()?, &mut session, against)?;
        if let Some(k) = comparisons.iter().position(|c| !c.passed()) {
            let id = chunk[k].0;
            let mut found = describe(trial, id, None, &comparisons[k]);
            let graph = Graph::new();
            let mut part = Trial { step: trial.step, seed: trial.seed, ..Trial::new(&graph, &[]) };
            let tensor = alone(trial, expected, id, &mut part)?;
            part.outputs.push(tensor.id());
            found.bundle = Bundle::record(&part, &title(&found), &mut session).ok();
            return Ok(Some(found));
        }
        rest = later;
    }
    Ok(None)
}

fn title(found: &Divergence) -> String {
    match &found.pass {
        None => format!("node {} {}", found.node, found.op),
        Some(pass) => format!("node {} {} with {pass}", found.node, found.op),
    }
}

/// Which pass breaks a program whose nodes are all right, and the first value that is wrong with it.
fn first_with_passes(
    trial: &Trial<'_>,
    expected: &Expected,
    (wrong, comparison): (usize, &Comparison),
    open: &mut Open<'_>,
    against: &mut Against<'_>,
) -> Result<Divergence> {
    let mut pass = "the rewrites together, or the order of launches".to_string();
    for name in Passes::NAMES {
        let Some(passes) = Passes::all().without(name) else { continue };
        let comparisons = compare(trial, expected, &mut open(passes)?, against)?;
        if comparisons.iter().all(Comparison::passed) {
            pass = name.to_string();
            break;
        }
    }
    let mut session = open(Passes::all())?;
    let candidates: Vec<NodeId> = {
        let nodes = trial.graph.nodes();
        let evaluated = (0..nodes.len()).filter(|&k| expected.values[k].is_some() && computes(&nodes[k].op));
        evaluated.map(NodeId::from_index).collect()
    };
    for id in candidates {
        // Without the updates: a program of this value alone.
        let graph = Graph::new();
        let part = prune(trial, &graph, id)?;
        let found = compare(&part, &part.expected()?, &mut session, against)?;
        if let Some(comparison) = found.first().filter(|c| !c.passed()) {
            let mut found = describe(trial, id, Some(pass), comparison);
            found.bundle = Bundle::record(&part, &title(&found), &mut session).ok();
            return Ok(found);
        }
    }
    // It takes the whole program.
    let mut found = describe(trial, trial.wanted()[wrong], Some(pass), comparison);
    found.bundle = Bundle::record(trial, &title(&found), &mut session).ok();
    Ok(found)
}

/// The part of a trial that one node needs, in a graph of its own.
pub(super) fn prune<'g>(trial: &Trial<'_>, graph: &'g Graph, id: NodeId) -> Result<Trial<'g>> {
    let needed = trial.graph.ancestors(&[id]);
    let mut moved = vec![id; needed.len()];
    for (index, node) in trial.graph.nodes().iter().enumerate().filter(|(index, _)| needed[*index]) {
        let inputs = node.inputs.iter().map(|input| moved[input.index()]).collect();
        moved[index] = graph.push(node.op.clone(), inputs, node.ty.clone()).id();
    }
    graph.check()?;
    let (inputs, variables) = (trial.inputs.clone(), trial.variables.clone());
    let used = graph.variables();
    let variables = variables.into_iter().filter(|(v, _)| used.contains(v)).collect();
    Ok(Trial { graph, outputs: vec![moved[id.index()]], inputs, variables, step: trial.step, seed: trial.seed })
}

impl std::fmt::Display for Divergence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.name.as_ref().map(|name| format!(" `{name}`")).unwrap_or_default();
        let attributes = if self.attributes.is_empty() { String::new() } else { format!(" {}", self.attributes) };
        writeln!(f, "%{} = {}{attributes}{name}({}) : {}", self.node, self.op, self.inputs.join(", "), self.ty)?;
        writeln!(f, "  at {}", self.location)?;
        if let Some(scope) = &self.scope {
            writeln!(f, "  in {scope}")?;
        }
        if let Some(pass) = &self.pass {
            writeln!(f, "  each operation is right on its own; what breaks it: {pass}")?;
        }
        let times = if self.worst >= f64::MAX { "no number".to_string() } else { format!("{:.3e}", self.worst) };
        write!(f, "  {times} times what is allowed")?;
        self.at.as_ref().map_or(Ok(()), |at| write!(f, ": {at}"))
    }
}
