//! Simplification of movement operations, and of reductions that only move elements.

use super::fold::fill_value;
use super::simplify::{Rewrite, fill};
use crate::graph::{Node, NodeId};
use crate::ops::Op;
use crate::ops::movement::Movement;
use crate::ops::reduce::{Reduce, ReduceKind};

/// A simpler form of a movement, if there is one.
pub(super) fn rewrite(nodes: &[Node], node: &Node, op: &Movement) -> Option<Rewrite> {
    let x = &nodes[node.inputs[0].index()];
    if changes_nothing(node, op, x) {
        return Some(Rewrite::Is(node.inputs[0]));
    }
    if let Some(value) = fill_of_all(nodes, node, op) {
        return Some(fill(value));
    }
    let Op::Movement(inner) = &x.op else { return None };
    let of_inner = |op: Movement| Some(Rewrite::As(Op::Movement(op), x.inputs.clone()));
    match (op, inner) {
        (Movement::Reshape(shape), Movement::Reshape(_)) => of_inner(Movement::Reshape(shape.clone())),
        (Movement::Broadcast(shape), Movement::Broadcast(_)) => of_inner(Movement::Broadcast(shape.clone())),
        (Movement::Permute(axes), Movement::Permute(first)) => {
            of_inner(Movement::Permute(axes.iter().map(|&a| first[a]).collect()))
        }
        (Movement::Flip { axis: a }, Movement::Flip { axis: b }) if a == b => Some(Rewrite::Is(x.inputs[0])),
        (
            &Movement::Slice { axis, start, step, .. },
            &Movement::Slice { axis: same, start: first, step: every, .. },
        ) if axis == same && node.ty.shape[axis] > 0 => {
            let (start, step) = (first + start * every, step * every);
            of_inner(Movement::Slice { axis, start, end: start + (node.ty.shape[axis] - 1) * step + 1, step })
        }
        _ => None,
    }
}

/// Whether the result equals the first operand, element by element.
fn changes_nothing(node: &Node, op: &Movement, x: &Node) -> bool {
    match op {
        Movement::Detach => true,
        Movement::Reshape(_) | Movement::Broadcast(_) => node.ty.shape == x.ty.shape,
        Movement::Permute(axes) => axes.iter().enumerate().all(|(k, &a)| k == a),
        Movement::Slice { axis, .. } | Movement::Pad { axis, .. } => node.ty.shape[*axis] == x.ty.shape[*axis],
        Movement::Flip { axis } => x.ty.shape[*axis] <= 1,
        Movement::Concat { .. } => node.inputs.len() == 1,
    }
}

/// The value of every element of the result, if all operands are fills of that value.
fn fill_of_all(nodes: &[Node], node: &Node, op: &Movement) -> Option<f64> {
    let value = fill_value(&nodes[node.inputs[0].index()])?;
    let same = |id: &NodeId| fill_value(&nodes[id.index()]).map(f64::to_bits) == Some(value.to_bits());
    let fits = match op {
        Movement::Pad { value: padding, .. } => *padding == value.to_bits(),
        _ => node.inputs.iter().all(same),
    };
    fits.then_some(value)
}

/// Simplifies a reduction over axes of size 1 only, or of elements that are all equal.
pub(super) fn reduction(nodes: &[Node], node: &Node, op: &Reduce) -> Option<Rewrite> {
    let x = &nodes[node.inputs[0].index()];
    let count: usize = op.axes.iter().map(|&a| x.ty.shape[a]).product();
    let value = fill_value(x).filter(|v| v.is_finite());
    match (op.kind, value) {
        (ReduceKind::ArgMax | ReduceKind::ArgMin, Some(_)) => Some(fill(0.0)),
        (ReduceKind::ArgMax | ReduceKind::ArgMin, None) => (count == 1).then(|| fill(0.0)),
        _ if count == 1 => {
            Some(Rewrite::As(Op::Movement(Movement::Reshape(node.ty.shape.clone())), vec![node.inputs[0]]))
        }
        (ReduceKind::Mean | ReduceKind::Max | ReduceKind::Min, Some(value)) => Some(fill(value)),
        (ReduceKind::Sum, Some(value)) if x.ty.dtype.is_float() => {
            let sum = super::fold::rounded(value * count as f64, x.ty.dtype);
            (count > 0 && sum.is_finite()).then(|| fill(sum))
        }
        _ => None,
    }
}
