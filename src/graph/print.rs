//! Printing of graphs: one line per node, or Graphviz DOT.

use super::{Graph, NodeId};
use std::fmt::{self, Write};

impl Graph {
    /// The graph in Graphviz's DOT language: `dot -Tsvg graph.dot`.
    ///
    /// ```
    /// let g = wgrad::Graph::new();
    /// let y = g.scalar(2.0, wgrad::DType::F32).exp();
    /// assert!(g.to_dot().contains("n0 -> n1"));
    /// ```
    pub fn to_dot(&self) -> String {
        let mut out = String::from("digraph wgrad {\n  rankdir=TB; node [shape=box, fontname=\"monospace\"];\n");
        let updates = self.updates();
        for (index, node) in self.nodes().iter().enumerate() {
            let label = self.label(NodeId::from_index(index)).replace('\\', "\\\\").replace('"', "\\\"");
            let style = if node.inputs.is_empty() { ", style=filled, fillcolor=\"#eef3fb\"" } else { "" };
            let _ = writeln!(out, "  n{index} [label=\"{label}\\n{}\"{style}];", node.ty);
            for input in &node.inputs {
                let _ = writeln!(out, "  n{} -> n{index};", input.index());
            }
        }
        for (k, (variable, id)) in updates.iter().enumerate() {
            let name = variable.name().replace('"', "\\\"");
            let _ = writeln!(out, "  u{k} [label=\"{name} ←\", shape=cds];\n  n{} -> u{k};", id.index());
        }
        out.push_str("}\n");
        out
    }

    /// The operation with its attributes, and the node's name if it has one.
    fn label(&self, id: NodeId) -> String {
        let nodes = self.nodes();
        let definition = nodes[id.index()].op.definition();
        let attributes = definition.attributes();
        let mut label = definition.name().to_string();
        if !attributes.is_empty() {
            let _ = write!(label, " {attributes}");
        }
        if let Some(name) = self.name_of(id) {
            let _ = write!(label, " `{name}`");
        }
        label
    }
}

/// One line per node: `%4 = matmul(%1, %3) : f32[100, 10]`.
impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, node) in self.nodes().iter().enumerate() {
            let inputs: Vec<String> = node.inputs.iter().map(|id| format!("%{}", id.index())).collect();
            writeln!(f, "%{index} = {}({}) : {}", self.label(NodeId::from_index(index)), inputs.join(", "), node.ty)?;
        }
        for (variable, id) in self.updates() {
            writeln!(f, "{} <- %{}", variable.name(), id.index())?;
        }
        Ok(())
    }
}
