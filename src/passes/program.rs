//! The program that the passes rewrite: a graph's nodes as plain data.

use crate::graph::{Graph, Node, NodeId};
use crate::variable::Variable;
use std::fmt;

/// What a run computes: nodes in topological order, the outputs, and the variable updates.
#[derive(Debug, Clone)]
pub struct Program {
    /// The nodes; operands precede their users.
    pub nodes: Vec<Node>,
    /// The nodes whose values a run returns.
    pub outputs: Vec<NodeId>,
    /// The variables a run updates. All new values are computed from the variables' values before the run.
    pub updates: Vec<(Variable, NodeId)>,
}

impl Program {
    /// The graph as written, with all its nodes.
    pub fn new(graph: &Graph, outputs: &[NodeId]) -> Self {
        Program { nodes: graph.nodes().clone(), outputs: outputs.to_vec(), updates: graph.updates() }
    }

    /// The nodes that are outputs or updates.
    pub fn wanted(&self) -> impl Iterator<Item = NodeId> {
        self.outputs.iter().copied().chain(self.updates.iter().map(|(_, id)| *id))
    }

    /// Whether an output or an update needs each node, indexed by node.
    pub fn live(&self) -> Vec<bool> {
        let mut live = vec![false; self.nodes.len()];
        self.wanted().for_each(|id| live[id.index()] = true);
        for index in (0..self.nodes.len()).rev() {
            if live[index] {
                self.nodes[index].inputs.iter().for_each(|input| live[input.index()] = true);
            }
        }
        live
    }

    /// The number of uses of each node by live nodes, outputs and updates.
    pub fn uses(&self) -> Vec<usize> {
        let live = self.live();
        let mut uses = vec![0; self.nodes.len()];
        self.wanted().for_each(|id| uses[id.index()] += 1);
        for (node, _) in self.nodes.iter().zip(live).filter(|(_, live)| *live) {
            node.inputs.iter().for_each(|input| uses[input.index()] += 1);
        }
        uses
    }

    /// The program made of new nodes: `place` is handed each node with its inputs renamed, and the nodes placed so far,
    /// and says where the node's value is now; `None` leaves it out.
    pub(super) fn rebuild(&self, mut place: impl FnMut(usize, Node, &mut Vec<Node>) -> Option<NodeId>) -> Program {
        let mut nodes = Vec::with_capacity(self.nodes.len());
        let mut moved: Vec<Option<NodeId>> = Vec::with_capacity(self.nodes.len());
        for (index, node) in self.nodes.iter().enumerate() {
            let inputs: Option<Vec<NodeId>> = node.inputs.iter().map(|id| moved[id.index()]).collect();
            moved.push(inputs.and_then(|inputs| place(index, Node { inputs, ..node.clone() }, &mut nodes)));
        }
        let new = |id: &NodeId| moved[id.index()].unwrap_or_else(|| unreachable!("wanted nodes are kept"));
        Program {
            nodes,
            outputs: self.outputs.iter().map(new).collect(),
            updates: self.updates.iter().map(|(variable, id)| (variable.clone(), new(id))).collect(),
        }
    }
}

/// Appends a node and returns its id.
pub(super) fn append(nodes: &mut Vec<Node>, node: Node) -> NodeId {
    nodes.push(node);
    NodeId::from_index(nodes.len() - 1)
}

/// One line per node, then the outputs and updates, in the format of a printed [`Graph`].
impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, node) in self.nodes.iter().enumerate() {
            let (definition, ty) = (node.op.definition(), &node.ty);
            let inputs: Vec<String> = node.inputs.iter().map(|id| format!("%{}", id.index())).collect();
            let label = [definition.name(), &definition.attributes()].join(" ");
            writeln!(f, "%{index} = {}({}) : {ty}", label.trim_end(), inputs.join(", "))?;
        }
        for id in &self.outputs {
            writeln!(f, "output %{}", id.index())?;
        }
        for (variable, id) in &self.updates {
            writeln!(f, "{} <- %{}", variable.name(), id.index())?;
        }
        Ok(())
    }
}
