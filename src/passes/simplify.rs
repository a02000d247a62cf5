//! Algebraic simplification: replaces nodes by other nodes of equal value, or by simpler nodes.
//!
//! Every rewrite is exact: results for finite inputs do not change, signs of zeros included, except where a rewrite
//! makes a rounding error smaller. So `x + 0` stays (for `x = -0` it is `+0`), while `x + -0` and `x - 0` become `x`.
//! The rules are in [`algebra`](super::algebra), [`movement`](super::movement) and [`fold`](super::fold).

use super::program::{Program, append};
use super::{algebra, fold, movement};
use crate::graph::{Node, NodeId};
use crate::ops::Op;
use crate::ops::leaf::Leaf;
use crate::ops::matmul::Matmul;
use crate::ops::movement::Movement;
use crate::shape::TensorType;

/// What replaces a node.
pub(super) enum Rewrite {
    /// An existing node.
    Is(NodeId),
    /// A new node of the same type.
    As(Op, Vec<NodeId>),
}

/// A fill: a leaf whose elements all have one value.
pub(super) fn fill(value: f64) -> Rewrite {
    Rewrite::As(Op::Leaf(Leaf::Fill(value.to_bits())), Vec::new())
}

/// Simplifies until nothing changes. A node that a rewrite leaves without users stays: dead code elimination removes
/// it.
pub(super) fn simplify(mut program: Program) -> Program {
    // One sweep completes most rewrites; what a later node's rewrite enables needs another sweep.
    for _ in 0..8 {
        let mut changed = false;
        program = sweep(&program, &mut changed);
        if !changed {
            break;
        }
    }
    // A variable that keeps its value needs no update.
    let Program { nodes, updates, .. } = &mut program;
    updates.retain(|(variable, id)| !matches!(&nodes[id.index()].op, Op::Leaf(Leaf::Variable(v)) if v == variable));
    program
}

fn sweep(program: &Program, changed: &mut bool) -> Program {
    let (uses, live) = (program.uses(), program.live());
    program.rebuild(|index, node, nodes| {
        let transposed = match program.nodes[index].inputs[..] {
            // The untransposed matmul stays behind without users, so only a live matmul with one use is worth
            // rewriting.
            [matmul] if live[index] && uses[matmul.index()] == 1 => transposed_matmul(&node, nodes),
            _ => None,
        };
        if let Some(id) = transposed {
            *changed = true;
            return Some(id);
        }
        Some(add(nodes, node, changed))
    })
}

/// Adds a node in its simplest form.
fn add(nodes: &mut Vec<Node>, mut node: Node, changed: &mut bool) -> NodeId {
    while let Some(rewrite) = rewrite(nodes, &node) {
        *changed = true;
        match rewrite {
            Rewrite::Is(id) => {
                debug_assert_eq!(nodes[id.index()].ty, node.ty);
                return id;
            }
            Rewrite::As(op, inputs) => node = Node { op, inputs, ..node },
        }
    }
    append(nodes, node)
}

fn rewrite(nodes: &[Node], node: &Node) -> Option<Rewrite> {
    let rewrite = match &node.op {
        Op::Elementwise(op) => algebra::rewrite(nodes, node, *op),
        Op::Movement(op) => movement::rewrite(nodes, node, op),
        Op::Reduce(op) => movement::reduction(nodes, node, op),
        _ => None,
    };
    rewrite.or_else(|| fold::rewrite(nodes, node))
}

/// The permutation that swaps the last two axes.
fn swap_last_two(rank: usize) -> Vec<usize> {
    let mut axes: Vec<usize> = (0..rank).collect();
    axes.swap(rank - 2, rank - 1);
    axes
}

/// Rewrites the transpose of a matmul as the matmul of the transposes, `(a·b)ᵀ = bᵀ·aᵀ`. A transposed operand is a
/// view and costs nothing, and a weight's gradient gets the layout of the weight.
fn transposed_matmul(node: &Node, nodes: &mut Vec<Node>) -> Option<NodeId> {
    let Op::Movement(Movement::Permute(axes)) = &node.op else { return None };
    let matmul = nodes[node.inputs[0].index()].clone();
    if !matches!(matmul.op, Op::Matmul(_)) || *axes != swap_last_two(axes.len()) {
        return None;
    }
    let mut transpose = |id: NodeId| {
        let ty = &nodes[id.index()].ty;
        let shape = axes.iter().map(|&a| ty.shape[a]).collect::<Vec<_>>();
        let ty = TensorType::new(shape, ty.dtype);
        let op = Op::Movement(Movement::Permute(axes.clone()));
        add(nodes, Node { op, inputs: vec![id], ty, location: node.location }, &mut false)
    };
    let inputs = vec![transpose(matmul.inputs[1]), transpose(matmul.inputs[0])];
    Some(append(nodes, Node { op: Op::Matmul(Matmul), inputs, ..node.clone() }))
}
