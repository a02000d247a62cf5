//! Constant folding: values that do not change between runs are computed once.

use super::simplify::{Rewrite, fill};
use crate::array::Array;
use crate::dtype::DType;
use crate::graph::{Node, NodeId};
use crate::ops::Op;
use crate::ops::elementwise::Elementwise;
use crate::ops::leaf::Leaf;
use crate::ops::movement::Movement;
use crate::ops::table::{Binary, Unary};
use crate::reference::RefTensor;
use crate::shape::{Shape, TensorType};
use std::sync::Arc;

/// Larger arrays are not folded: they would take memory, and time to compile.
const MAX_ELEMENTS: usize = 4096;

/// The value of `dtype` that is nearest to `value`; integers are unchanged.
pub(super) fn rounded(value: f64, dtype: DType) -> f64 {
    match dtype {
        DType::F32 => f64::from(value as f32),
        DType::F16 => half::f16::from_f64(value).to_f64(),
        DType::U32 | DType::I32 => value,
    }
}

/// The value of a fill leaf, as a device would hold it.
pub(super) fn fill_value(node: &Node) -> Option<f64> {
    match node.op {
        Op::Leaf(Leaf::Fill(bits)) => Some(rounded(f64::from_bits(bits), node.ty.dtype)),
        _ => None,
    }
}

/// A leaf that replaces a node whose operands are constants.
pub(super) fn rewrite(nodes: &[Node], node: &Node) -> Option<Rewrite> {
    match &node.op {
        Op::Leaf(Leaf::Constant(array)) => uniform(array),
        Op::Elementwise(_) => fold_fills(nodes, node).or_else(|| fold_constants(nodes, node)),
        // A broadcast is free as a view, but takes memory as an array.
        Op::Movement(op) if !matches!(op, Movement::Broadcast(_)) => fold_constants(nodes, node),
        _ => None,
    }
}

/// A small array whose elements all equal one finite number becomes a fill, which needs no memory.
fn uniform(array: &Array) -> Option<Rewrite> {
    let size = array.dtype().size();
    let first = array.bytes().get(..size).filter(|_| array.len() <= MAX_ELEMENTS)?;
    let same = array.bytes().chunks_exact(size).all(|element| element == first);
    let value = array.to_f64()[0];
    (same && value.is_finite()).then(|| fill(value))
}

/// Folds an element-wise operation on fills. Functions such as `exp` are rounded once, so the folded value is more
/// accurate than a device's own. A result that is not finite is left to the device.
fn fold_fills(nodes: &[Node], node: &Node) -> Option<Rewrite> {
    let inputs: Option<Vec<RefTensor>> = node
        .inputs
        .iter()
        .map(|id| {
            let input = &nodes[id.index()];
            let value = fill_value(input)?;
            Some(RefTensor::from_fn(&Shape::scalar(), input.ty.dtype, |_| value))
        })
        .collect();
    let inputs = inputs?;
    let ty = TensorType::new((), node.ty.dtype);
    let value = node.op.definition().reference(&inputs.iter().collect::<Vec<_>>(), &ty).data[0];
    let value = rounded(value, node.ty.dtype);
    value.is_finite().then(|| fill(value))
}

/// Folds movement operations, and element-wise operations that are exact or correctly rounded, on small constants.
fn fold_constants(nodes: &[Node], node: &Node) -> Option<Rewrite> {
    if node.ty.shape.elements() > MAX_ELEMENTS || !is_exact(node) {
        return None;
    }
    let inputs = node.inputs.iter().map(|id| constant(nodes, *id)).collect::<Option<Vec<_>>>()?;
    let value = node.op.definition().reference(&inputs.iter().collect::<Vec<_>>(), &node.ty);
    let array = value.to_array().ok()?;
    let finite = array.to_f64().iter().all(|v| v.is_finite());
    finite.then(|| Rewrite::As(Op::Leaf(Leaf::Constant(Arc::new(array))), Vec::new()))
}

/// Whether every device computes a node to the same bits as the reference rounded to the dtype. (Computing `a + b`,
/// `a - b`, `a · b` or `a / b` in `f64` and rounding the result to `f32` or `f16` is correctly rounded.)
fn is_exact(node: &Node) -> bool {
    match node.op {
        Op::Movement(_) => true,
        Op::Elementwise(op) => match op {
            Elementwise::Compare(_) | Elementwise::Select | Elementwise::Cast(_) => true,
            _ if !node.ty.dtype.is_float() => true,
            Elementwise::Unary(op) => {
                matches!(op, Unary::Neg | Unary::Abs | Unary::Sign | Unary::Floor | Unary::Ceil | Unary::Round)
            }
            Elementwise::Binary(op) => {
                matches!(op, Binary::Add | Binary::Sub | Binary::Mul | Binary::Div | Binary::Max | Binary::Min)
            }
        },
        _ => false,
    }
}

/// The elements of a constant, as a device would hold them.
fn constant(nodes: &[Node], id: NodeId) -> Option<RefTensor> {
    let node = &nodes[id.index()];
    if node.ty.shape.elements() > MAX_ELEMENTS {
        return None;
    }
    match &node.op {
        Op::Leaf(Leaf::Constant(array)) => Some(RefTensor::from_array(array)),
        Op::Leaf(Leaf::Fill(_)) => {
            let value = fill_value(node)?;
            Some(RefTensor::from_fn(&node.ty.shape, node.ty.dtype, |_| value))
        }
        Op::Movement(op @ Movement::Broadcast(_)) => {
            let x = constant(nodes, node.inputs[0])?;
            Some(crate::ops::Operation::reference(op, &[&x], &node.ty))
        }
        _ => None,
    }
}
