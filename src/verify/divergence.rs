//! The first node of a graph whose result is wrong on a device.
//!
//! Only a single run from a given state is compared: over several steps, differences within the bounds grow until the
//! comparison is meaningless.

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

/// The maximum bytes of operands and results of the nodes tested in one program.
const CHUNK_BYTES: usize = 32 << 20;
/// The maximum number of nodes tested in one program; their kernels are compiled in parallel.
const CHUNK_NODES: usize = 16;

/// Opens a session on the device under test, with the given rewrite passes.
pub type Open<'a> = dyn FnMut(Passes) -> Result<Session> + 'a;

/// The first node whose error on a device exceeds its bound.
#[derive(Debug, Clone, Serialize)]
pub struct Divergence {
    /// The index of the node, as in the text form of the graph.
    pub node: usize,
    /// The operation.
    pub op: String,
    /// The attributes of the operation.
    pub attributes: String,
    /// The name given by the user, or the variable that the node updates.
    pub name: Option<String>,
    /// The scope of the node, such as a layer.
    pub scope: Option<String>,
    /// The line of user code that added the node.
    pub location: String,
    /// The type of the result.
    pub ty: String,
    /// The types of the operands.
    pub inputs: Vec<String>,
    /// The rewrite pass without which the program is correct, if every node is correct in isolation: the device
    /// computes the operation correctly, but not the rewritten program.
    pub pass: Option<String>,
    /// The largest error in units of its bound.
    pub worst: f64,
    /// The element with that error.
    pub at: Option<Element>,
    /// A bundle of the node alone or, if a pass is the cause, of the node with all that it depends on; `None` for
    /// custom operations.
    #[serde(skip)]
    pub bundle: Option<Bundle>,
}

/// The result of the search.
#[derive(Debug, Clone, Serialize)]
pub struct Search {
    /// The largest error of an output or an update in the whole program, in units of its bound.
    pub worst: f64,
    /// The name of that output or update.
    pub value: String,
    /// The number of elements compared.
    pub compared: usize,
    /// The total number of elements. Some are not compared: a bound is infinite where rounding may decide a comparison.
    pub elements: usize,
    /// The first wrong node; `None` if the whole program is correct.
    pub divergence: Option<Divergence>,
}

/// Runs a graph once on a device and on the reference (or on another device, `against`), and finds the first wrong
/// node.
///
/// First the whole program runs with all rewrite passes. If its outputs and updates are within their bounds, the search
/// ends. Otherwise each node runs in isolation, on the reference's values of its operands, so that errors do not
/// accumulate: the first node that fails is the culprit. If none fails, the passes are disabled one at a time to find
/// the one that breaks the program, and the first value that is wrong with it.
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
/// The errors of building the graph, of opening the device, and of a run.
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

/// Compares with the reference, or with the other device if there is one.
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

/// The name of an output or update.
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

/// Adds a node in isolation to the graph of `part`: its operands are inputs with the reference's rounded values.
fn isolated<'g>(trial: &Trial<'_>, expected: &Expected, id: NodeId, part: &mut Trial<'g>) -> Result<Tensor<'g>> {
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

/// The reference's value, clamped to the range of its dtype.
fn finite(value: &RefTensor) -> RefTensor {
    let largest = if value.dtype == crate::DType::F16 { half::f16::MAX.to_f64() } else { f64::from(f32::MAX) };
    let data = value.data.iter().map(|x| if value.dtype.is_float() { x.clamp(-largest, largest) } else { *x });
    RefTensor { data: data.collect(), ..value.clone() }
}

/// Whether an operation computes something.
fn computes(op: &Op) -> bool {
    use crate::ops::leaf::Leaf;
    !matches!(op, Op::Leaf(Leaf::Constant(_) | Leaf::Input { .. } | Leaf::Variable(_) | Leaf::Poison))
}

/// The first node that is wrong in isolation.
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
            let tensor = isolated(trial, expected, *id, &mut part)?;
            part.outputs.push(tensor.id());
        }
        let comparisons = compare(&part, &part.expected()?, &mut session, against)?;
        if let Some(k) = comparisons.iter().position(|c| !c.passed()) {
            let id = chunk[k].0;
            let mut found = describe(trial, id, None, &comparisons[k]);
            let graph = Graph::new();
            let mut part = Trial { step: trial.step, seed: trial.seed, ..Trial::new(&graph, &[]) };
            let tensor = isolated(trial, expected, id, &mut part)?;
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

/// Finds the pass that breaks a program whose nodes are all correct in isolation, and the first value that is wrong
/// with it.
fn first_with_passes(
    trial: &Trial<'_>,
    expected: &Expected,
    (wrong, comparison): (usize, &Comparison),
    open: &mut Open<'_>,
    against: &mut Against<'_>,
) -> Result<Divergence> {
    let mut pass = "a combination of rewrite passes, or the order of kernel launches".to_string();
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
        // A program with this value as its only output, without the updates.
        let graph = Graph::new();
        let part = prune(trial, &graph, id)?;
        let found = compare(&part, &part.expected()?, &mut session, against)?;
        if let Some(comparison) = found.first().filter(|c| !c.passed()) {
            let mut found = describe(trial, id, Some(pass), comparison);
            found.bundle = Bundle::record(&part, &title(&found), &mut session).ok();
            return Ok(found);
        }
    }
    // The failure needs the whole program.
    let mut found = describe(trial, trial.wanted()[wrong], Some(pass), comparison);
    found.bundle = Bundle::record(trial, &title(&found), &mut session).ok();
    Ok(found)
}

/// The part of a trial that one node depends on, in a graph of its own.
pub(super) fn prune<'g>(trial: &Trial<'_>, graph: &'g Graph, id: NodeId) -> Result<Trial<'g>> {
    let needed = trial.graph.ancestors(&[id]);
    let mut new_index = vec![id; needed.len()];
    for (index, node) in trial.graph.nodes().iter().enumerate().filter(|(index, _)| needed[*index]) {
        let inputs = node.inputs.iter().map(|input| new_index[input.index()]).collect();
        new_index[index] = graph.push(node.op.clone(), inputs, node.ty.clone()).id();
    }
    graph.check()?;
    let (inputs, variables) = (trial.inputs.clone(), trial.variables.clone());
    let used = graph.variables();
    let variables = variables.into_iter().filter(|(v, _)| used.contains(v)).collect();
    Ok(Trial { graph, outputs: vec![new_index[id.index()]], inputs, variables, step: trial.step, seed: trial.seed })
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
            writeln!(f, "  each operation is correct in isolation; broken by: {pass}")?;
        }
        let error = if self.worst >= f64::MAX { "infinite".to_string() } else { format!("{:.3e}", self.worst) };
        write!(f, "  error {error}, in units of its bound")?;
        self.at.as_ref().map_or(Ok(()), |at| write!(f, ": {at}"))
    }
}
