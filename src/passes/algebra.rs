//! Simplification of element-wise operations.

use super::fold::fill_value;
use super::simplify::{Rewrite, fill};
use crate::dtype::DType;
use crate::graph::{Node, NodeId};
use crate::ops::Op;
use crate::ops::elementwise::Elementwise;
use crate::ops::table::{Binary, Compare, Unary};

/// The operand of a node that is this unary operation; else `None`.
fn operand_of(nodes: &[Node], id: NodeId, op: Unary) -> Option<NodeId> {
    match nodes[id.index()].op {
        Op::Elementwise(Elementwise::Unary(found)) if found == op => Some(nodes[id.index()].inputs[0]),
        _ => None,
    }
}

fn unary(op: Unary, x: NodeId) -> Option<Rewrite> {
    Some(Rewrite::As(Op::Elementwise(Elementwise::Unary(op)), vec![x]))
}

fn binary(op: Binary, a: NodeId, b: NodeId) -> Option<Rewrite> {
    Some(Rewrite::As(Op::Elementwise(Elementwise::Binary(op)), vec![a, b]))
}

/// A simpler form of an element-wise node, if there is one.
pub(super) fn rewrite(nodes: &[Node], node: &Node, op: Elementwise) -> Option<Rewrite> {
    let inputs = &node.inputs;
    match op {
        Elementwise::Unary(op) => rewrite_unary(nodes, op, inputs[0]),
        Elementwise::Binary(op) => rewrite_binary(nodes, op, node.ty.dtype, inputs[0], inputs[1]),
        Elementwise::Compare(op) => {
            // A NaN does not equal itself, so this holds for integers only.
            let same = inputs[0] == inputs[1] && !nodes[inputs[0].index()].ty.dtype.is_float();
            same.then(|| fill(f64::from(u8::from(matches!(op, Compare::Eq | Compare::Le | Compare::Ge)))))
        }
        Elementwise::Select if inputs[1] == inputs[2] => Some(Rewrite::Is(inputs[1])),
        Elementwise::Select => {
            let condition = fill_value(&nodes[inputs[0].index()])?;
            Some(Rewrite::Is(inputs[if condition != 0.0 { 1 } else { 2 }]))
        }
        Elementwise::Cast(to) => rewrite_cast(nodes, to, inputs[0]),
    }
}

fn rewrite_unary(nodes: &[Node], op: Unary, x: NodeId) -> Option<Rewrite> {
    let of = |op| operand_of(nodes, x, op);
    match op {
        Unary::Neg => of(Unary::Neg).map(Rewrite::Is),
        Unary::Abs if of(Unary::Neg).is_some() => unary(Unary::Abs, of(Unary::Neg)?),
        // These are idempotent: applied to their own result they change nothing.
        Unary::Abs | Unary::Sign | Unary::Relu | Unary::Floor | Unary::Ceil | Unary::Round => {
            of(op).map(|_| Rewrite::Is(x))
        }
        _ => None,
    }
}

fn rewrite_binary(nodes: &[Node], op: Binary, dtype: DType, a: NodeId, b: NodeId) -> Option<Rewrite> {
    let value = |id: NodeId| fill_value(&nodes[id.index()]);
    let negated = |id: NodeId| operand_of(nodes, id, Unary::Neg);
    // Floats have two zeros. Adding -0 or subtracting +0 changes nothing; the other zero would turn -0 into +0.
    let zero = |id: NodeId, negative: bool| {
        value(id).is_some_and(|v| v == 0.0 && (!dtype.is_float() || v.is_sign_negative() == negative))
    };
    let is = |id: NodeId, number: f64| value(id) == Some(number);
    match op {
        Binary::Add => match (negated(a), negated(b)) {
            _ if zero(b, true) => Some(Rewrite::Is(a)),
            _ if zero(a, true) => Some(Rewrite::Is(b)),
            (_, Some(b)) => binary(Binary::Sub, a, b),
            (Some(a), _) => binary(Binary::Sub, b, a),
            _ => None,
        },
        Binary::Sub if zero(b, false) => Some(Rewrite::Is(a)),
        Binary::Sub if zero(a, true) && dtype != DType::U32 => unary(Unary::Neg, b),
        Binary::Sub if a == b && !dtype.is_float() => Some(fill(0.0)),
        Binary::Sub => binary(Binary::Add, a, negated(b)?),
        Binary::Mul if is(b, 1.0) => Some(Rewrite::Is(a)),
        Binary::Mul if is(a, 1.0) => Some(Rewrite::Is(b)),
        Binary::Mul if is(b, -1.0) => unary(Unary::Neg, a),
        Binary::Mul if is(a, -1.0) => unary(Unary::Neg, b),
        // For floats, infinity times 0 is NaN, and a negative number times 0 is -0: this rewrite is for integers
        // only.
        Binary::Mul if !dtype.is_float() && (is(a, 0.0) || is(b, 0.0)) => Some(fill(0.0)),
        Binary::Mul => binary(Binary::Mul, negated(a)?, negated(b)?),
        Binary::Div if is(b, 1.0) => Some(Rewrite::Is(a)),
        Binary::Div if is(b, -1.0) => unary(Unary::Neg, a),
        // For integers x / 0 is x, so the signs do not cancel.
        Binary::Div if dtype.is_float() => binary(Binary::Div, negated(a)?, negated(b)?),
        Binary::Pow if is(b, 0.0) => Some(fill(1.0)),
        Binary::Pow if is(b, 1.0) => Some(Rewrite::Is(a)),
        // A multiplication rounds once, while a device's power function rounds several times.
        Binary::Pow if is(b, 2.0) => binary(Binary::Mul, a, a),
        Binary::Max | Binary::Min if a == b => Some(Rewrite::Is(a)),
        _ => None,
    }
}

fn rewrite_cast(nodes: &[Node], to: DType, x: NodeId) -> Option<Rewrite> {
    let node = &nodes[x.index()];
    if node.ty.dtype == to {
        return Some(Rewrite::Is(x));
    }
    let Op::Elementwise(Elementwise::Cast(through)) = node.op else { return None };
    let from = nodes[node.inputs[0].index()].ty.dtype;
    match (from, through, to) {
        // `f32` represents every `f16` value exactly, and casts between the integer types keep the bits.
        (DType::F16, DType::F32, DType::F16)
        | (DType::U32, DType::I32, DType::U32)
        | (DType::I32, DType::U32, DType::I32) => Some(Rewrite::Is(node.inputs[0])),
        (DType::F16, DType::F32, _) => Some(Rewrite::As(Op::Elementwise(Elementwise::Cast(to)), node.inputs.clone())),
        _ => None,
    }
}
