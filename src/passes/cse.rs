//! Common subexpression elimination: nodes with the same operation and the same operands become one.

use super::program::{Program, append};
use crate::graph::{Node, NodeId};
use crate::ops::Op;
use crate::ops::elementwise::Elementwise;
use crate::ops::leaf::Leaf;
use crate::ops::table::{Binary, Compare};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Merges equal nodes. Random leaves are equal only if their streams are, and two calls never share a stream. A
/// user's custom operation is never merged: nothing shows that two of them are the same.
pub(super) fn merge(program: &Program) -> Program {
    let mut known: HashMap<u64, Vec<NodeId>> = HashMap::new();
    program.rebuild(|_, node, nodes| {
        let same_hash = known.entry(hash(&node)).or_default();
        if let Some(id) = same_hash.iter().find(|id| is_same(&nodes[id.index()], &node)) {
            return Some(*id);
        }
        let id = append(nodes, node);
        same_hash.push(id);
        Some(id)
    })
}

/// A node's operands, sorted if the operation is commutative. (`maximum` is not: of 0 and -0 it may return either.)
fn operands(node: &Node) -> Vec<NodeId> {
    let mut inputs = node.inputs.clone();
    if let Op::Elementwise(
        Elementwise::Binary(Binary::Add | Binary::Mul) | Elementwise::Compare(Compare::Eq | Compare::Ne),
    ) = node.op
    {
        inputs.sort_unstable();
    }
    inputs
}

fn hash(node: &Node) -> u64 {
    let mut state = DefaultHasher::new();
    node.ty.hash(&mut state);
    operands(node).hash(&mut state);
    std::mem::discriminant(&node.op).hash(&mut state);
    match &node.op {
        Op::Leaf(leaf) => hash_leaf(leaf, &mut state),
        Op::Random(op) => op.hash(&mut state),
        Op::Elementwise(op) => op.hash(&mut state),
        Op::Reduce(op) => op.hash(&mut state),
        Op::Matmul(op) => op.hash(&mut state),
        Op::Conv(op) => op.hash(&mut state),
        Op::Movement(op) => op.hash(&mut state),
        Op::Index(op) => op.hash(&mut state),
        Op::Take(op) => op.hash(&mut state),
        Op::TopK(op) => op.hash(&mut state),
        Op::Scan(op) => op.hash(&mut state),
        Op::Pool(op) => op.hash(&mut state),
        Op::Softmax(op) => op.hash(&mut state),
        Op::CrossEntropy(op) => op.hash(&mut state),
        Op::Custom(_) => {}
    }
    state.finish()
}

fn hash_leaf(leaf: &Leaf, state: &mut DefaultHasher) {
    std::mem::discriminant(leaf).hash(state);
    match leaf {
        // The first bytes distinguish most constants; the comparison looks at all.
        Leaf::Constant(array) => array.bytes()[..array.bytes().len().min(64)].hash(state),
        Leaf::Fill(bits) => bits.hash(state),
        Leaf::Input { name } => name.hash(state),
        Leaf::Variable(variable) => variable.id().hash(state),
        Leaf::Iota { axis } => axis.hash(state),
        Leaf::Step | Leaf::Poison => {}
    }
}

fn is_same(a: &Node, b: &Node) -> bool {
    let same_op = match (&a.op, &b.op) {
        (Op::Leaf(a), Op::Leaf(b)) => is_same_leaf(a, b),
        (Op::Random(a), Op::Random(b)) => a == b,
        (Op::Elementwise(a), Op::Elementwise(b)) => a == b,
        (Op::Reduce(a), Op::Reduce(b)) => a == b,
        (Op::Matmul(a), Op::Matmul(b)) => a == b,
        (Op::Conv(a), Op::Conv(b)) => a == b,
        (Op::Movement(a), Op::Movement(b)) => a == b,
        (Op::Index(a), Op::Index(b)) => a == b,
        (Op::Take(a), Op::Take(b)) => a == b,
        (Op::TopK(a), Op::TopK(b)) => a == b,
        (Op::Scan(a), Op::Scan(b)) => a == b,
        (Op::Pool(a), Op::Pool(b)) => a == b,
        (Op::Softmax(a), Op::Softmax(b)) => a == b,
        (Op::CrossEntropy(a), Op::CrossEntropy(b)) => a == b,
        _ => false,
    };
    same_op && a.ty == b.ty && operands(a) == operands(b)
}

fn is_same_leaf(a: &Leaf, b: &Leaf) -> bool {
    match (a, b) {
        // Compared as bytes: as numbers, 0 equals -0 and a NaN equals nothing.
        (Leaf::Constant(a), Leaf::Constant(b)) => std::sync::Arc::ptr_eq(a, b) || a.bytes() == b.bytes(),
        (Leaf::Fill(a), Leaf::Fill(b)) => a == b,
        (Leaf::Input { name: a }, Leaf::Input { name: b }) => a == b,
        (Leaf::Variable(a), Leaf::Variable(b)) => a == b,
        (Leaf::Iota { axis: a }, Leaf::Iota { axis: b }) => a == b,
        (Leaf::Step, Leaf::Step) => true,
        _ => false,
    }
}
