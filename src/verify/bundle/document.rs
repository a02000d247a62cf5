//! A graph as serialisable data: its operations with their attributes. The values of its leaves are separate arrays.

use crate::array::Array;
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId};
use crate::ops::Op;
use crate::ops::leaf::Leaf;
use crate::shape::TensorType;
use crate::tensor::Tensor;
use crate::variable::Variable;
use crate::verify::Trial;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The kind of a node.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// A constant: the key of its array.
    Constant(String),
    /// A variable: its index in [`Document::variables`].
    Variable(usize),
    /// Any other operation.
    Op(Op),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct NodeRecord {
    kind: Kind,
    inputs: Vec<usize>,
    #[serde(rename = "type")]
    ty: TensorType,
    /// The line of user code that added the node; informational.
    location: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct VariableRecord {
    name: String,
    array: String,
}

/// A graph without its arrays.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Document {
    nodes: Vec<NodeRecord>,
    /// The name of each input and the key of its array.
    inputs: Vec<(String, String)>,
    variables: Vec<VariableRecord>,
    outputs: Vec<usize>,
    /// The indices of the updated variables and of the nodes with their new values.
    updates: Vec<(usize, usize)>,
}

pub(super) type Arrays = BTreeMap<String, Array>;

/// Adds an array under a new key.
fn add_array(arrays: &mut Arrays, array: &Array) -> String {
    let key = format!("a{}", arrays.len());
    arrays.insert(key.clone(), array.clone());
    key
}

impl Document {
    /// The part of a trial's graph that its outputs and updates depend on, with the arrays.
    pub(super) fn of(trial: &Trial<'_>) -> Result<(Document, Arrays)> {
        let (graph, mut arrays) = (trial.graph, Arrays::new());
        let needed = graph.ancestors(&trial.wanted());
        let value = |v: &Variable| {
            let given = trial.variables.iter().find(|(other, _)| other == v);
            given.map_or_else(|| v.initial().clone(), |(_, array)| array.clone())
        };
        let updated = graph.updates();
        let nodes = graph.nodes();
        let read =
            nodes.iter().zip(&needed).filter(|(_, needed)| **needed).filter_map(|(node, _)| {
                if let Op::Leaf(Leaf::Variable(v)) = &node.op { Some(v.clone()) } else { None }
            });
        let mut variables: Vec<Variable> = read.collect::<Vec<_>>();
        variables.extend(updated.iter().map(|(v, _)| v.clone()));
        variables.sort_by_key(Variable::id);
        variables.dedup();
        let variable_index = |v: &Variable| variables.iter().position(|other| other == v).unwrap_or_default();

        let mut new_index = vec![0; needed.len()];
        let mut document = Document {
            nodes: Vec::new(),
            inputs: Vec::new(),
            variables: Vec::new(),
            outputs: Vec::new(),
            updates: Vec::new(),
        };
        for (index, node) in nodes.iter().enumerate().filter(|(index, _)| needed[*index]) {
            let kind = match &node.op {
                Op::Custom(op) => {
                    let message = format!("`{}` is a custom operation, which cannot be saved to a file", op.name());
                    return Err(Error::value("bundle", message));
                }
                Op::Leaf(Leaf::Constant(array)) => Kind::Constant(add_array(&mut arrays, array)),
                Op::Leaf(Leaf::Variable(v)) => Kind::Variable(variable_index(v)),
                Op::Leaf(Leaf::Input { name }) => {
                    let given = trial.inputs.iter().find(|(given, _)| given == name);
                    let (_, array) =
                        given.ok_or_else(|| Error::value(format!("input `{name}`"), "no value was given"))?;
                    document.inputs.push((name.clone(), add_array(&mut arrays, array)));
                    Kind::Op(node.op.clone())
                }
                op => Kind::Op(op.clone()),
            };
            new_index[index] = document.nodes.len();
            let inputs = node.inputs.iter().map(|id| new_index[id.index()]).collect();
            document.nodes.push(NodeRecord { kind, inputs, ty: node.ty.clone(), location: node.location.to_string() });
        }
        for variable in &variables {
            let array = add_array(&mut arrays, &value(variable));
            document.variables.push(VariableRecord { name: variable.name().into(), array });
        }
        document.outputs = trial.outputs.iter().map(|id| new_index[id.index()]).collect();
        document.updates = updated.iter().map(|(v, id)| (variable_index(v), new_index[id.index()])).collect();
        Ok((document, arrays))
    }

    /// Rebuilds the graph. The nodes are validated like user calls.
    pub(super) fn restore<'g>(&self, graph: &'g Graph, arrays: &Arrays) -> Result<Trial<'g>, String> {
        let array = |key: &String| arrays.get(key).cloned().ok_or_else(|| format!("array `{key}` is missing"));
        let mut variables = Vec::new();
        for record in &self.variables {
            variables.push(Variable::new(&record.name, array(&record.array)?));
        }
        let mut tensors: Vec<Tensor<'g>> = Vec::new();
        for (index, record) in self.nodes.iter().enumerate() {
            let earlier =
                |&k: &usize| tensors.get(k).copied().ok_or_else(|| format!("node {index} reads a later node"));
            let inputs = record.inputs.iter().map(earlier).collect::<Result<Vec<_>, _>>()?;
            record.ty.shape.check()?;
            let tensor = match &record.kind {
                Kind::Constant(key) => graph.constant(array(key)?),
                Kind::Variable(k) => {
                    graph.variable(variables.get(*k).ok_or_else(|| format!("node {index}: there is no variable {k}"))?)
                }
                Kind::Op(op) => leaf(graph, op, &record.ty).unwrap_or_else(|| graph.apply(op.clone(), &inputs)),
            };
            if let Err(error) = graph.check() {
                return Err(error.to_string());
            }
            if tensor.tensor_type() != record.ty {
                return Err(format!("node {index} is {}, but should be {}", tensor.tensor_type(), record.ty));
            }
            tensors.push(tensor);
        }
        let node = |k: &usize| tensors.get(*k).copied().ok_or_else(|| format!("there is no node {k}"));
        let outputs: Vec<NodeId> = self.outputs.iter().map(|k| Ok(node(k)?.id())).collect::<Result<_, String>>()?;
        for (k, value) in &self.updates {
            graph.update(variables.get(*k).ok_or_else(|| format!("there is no variable {k}"))?, node(value)?);
        }
        graph.check().map_err(|e| e.to_string())?;
        let mut trial = Trial::new(graph, &outputs);
        for (name, key) in &self.inputs {
            trial.inputs.push((name.clone(), array(key)?));
        }
        trial.variables = variables.into_iter().map(|v| (v.clone(), v.initial().clone())).collect();
        Ok(trial)
    }
}

/// Adds a leaf or a random operation to the graph; `None` for other operations.
fn leaf<'g>(graph: &'g Graph, op: &Op, ty: &TensorType) -> Option<Tensor<'g>> {
    Some(match op {
        Op::Leaf(Leaf::Fill(bits)) => graph.full(&ty.shape, f64::from_bits(*bits), ty.dtype),
        Op::Leaf(Leaf::Input { name }) => graph.input(name, &ty.shape, ty.dtype),
        Op::Leaf(Leaf::Step) => graph.step(),
        Op::Leaf(Leaf::Iota { axis }) => graph.iota(&ty.shape, *axis as isize),
        // Pushed directly, to keep its random stream.
        Op::Random(random) => {
            graph.push(op.clone(), Vec::new(), TensorType::new(&ty.shape, random.distribution.dtype()))
        }
        _ => return None,
    })
}
