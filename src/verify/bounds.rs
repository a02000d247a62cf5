//! Error bounds for the values of any graph, by propagating errors through its nodes.

use crate::dtype::DType;
use crate::graph::{Graph, Node, NodeId};
use crate::ops::Op;
use crate::ops::random::{Distribution, draw};
use crate::reference::RefTensor;
use std::collections::HashMap;

/// A bound on the absolute error of each element of each node on a device, indexed by node; empty where `values` is
/// `None`.
///
/// `values` are the reference's, from [`evaluate_all`](crate::reference::evaluate_all). `given` are initial errors of
/// nodes, such as the rounding of an input. The error of a node is its own
/// [error scale](crate::ops::Operation::error_scale) times the epsilon of its dtype, plus the errors propagated from
/// its inputs: the change of its value when the inputs are perturbed by their errors.
pub fn error_bounds(graph: &Graph, values: &[Option<RefTensor>], given: &HashMap<NodeId, Vec<f64>>) -> Vec<Vec<f64>> {
    let nodes = graph.nodes();
    let mut errors: Vec<Vec<f64>> = vec![Vec::new(); nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        let Some(value) = &values[index] else { continue };
        let inputs: Vec<&RefTensor> = node.inputs.iter().filter_map(|id| values[id.index()].as_ref()).collect();
        let epsilon = node.ty.dtype.epsilon();
        let tiny = if node.ty.dtype == DType::F16 { 6e-8 } else { f64::from(f32::MIN_POSITIVE) };
        let own = node.op.definition().error_scale(&inputs, value);
        let mut error: Vec<f64> = own.iter().map(|s| epsilon * s + if *s == 0.0 { 0.0 } else { tiny }).collect();
        if let Some(given) = given.get(&NodeId::from_index(index)) {
            error.iter_mut().zip(given).for_each(|(e, g)| *e += g);
        }
        let incoming: Vec<&[f64]> = node.inputs.iter().map(|id| &errors[id.index()][..]).collect();
        for k in 0..inputs.len() {
            if is_inexact(incoming[k]) {
                add_propagated(&mut error, node, &inputs, value, k, &incoming);
            }
        }
        // The reference's own rounding, in f64.
        for (e, v) in error.iter_mut().zip(&value.data).filter(|(e, v)| **e > 0.0 && v.is_finite()) {
            *e += 4.0 * f64::EPSILON * v.abs();
        }
        errors[index] = error;
    }
    errors
}

fn is_inexact(errors: &[f64]) -> bool {
    errors.iter().any(|&e| e != 0.0)
}

/// `x` with each element perturbed by `by(index, error)`.
fn perturbed(x: &RefTensor, errors: &[f64], by: impl Fn(usize, f64) -> f64) -> RefTensor {
    let data = x.data.iter().zip(errors).enumerate().map(|(i, (x, &e))| x + by(i, e)).collect();
    RefTensor { data, ..x.clone() }
}

/// Adds to `error` the errors propagated from input `k`; `incoming` are the errors of all inputs.
///
/// The inputs are perturbed one after the other, the last one first: when input `k` is perturbed, those after it may
/// already be. So the terms of all inputs add up to their joint effect, including products of two errors.
fn add_propagated(
    error: &mut [f64],
    node: &Node,
    inputs: &[&RefTensor],
    value: &RefTensor,
    k: usize,
    incoming: &[&[f64]],
) {
    let definition = node.op.definition();
    let evaluate = |operands: &[RefTensor]| {
        let operands: Vec<&RefTensor> = operands.iter().collect();
        definition.reference(&operands, &node.ty).data
    };
    if matches!(node.op, Op::Matmul(_) | Op::Conv(_)) {
        // Linear in each operand: the errors of the terms add up whatever their signs.
        let mut operands: Vec<RefTensor> = inputs.iter().map(|x| x.abs()).collect();
        operands[k].data = incoming[k].to_vec();
        for later in k + 1..inputs.len() {
            operands[later] = perturbed(&operands[later], incoming[later], |_, e| e);
        }
        error.iter_mut().zip(evaluate(&operands)).for_each(|(e, c)| *e += c);
        return;
    }
    let add = |error: &mut [f64], directions: &[&dyn Fn(usize, f64) -> f64], later: &[f64]| {
        let mut largest = vec![0f64; error.len()];
        for sign in later {
            let mut operands: Vec<RefTensor> = inputs.iter().map(|&x| x.clone()).collect();
            for later in k + 1..inputs.len() {
                operands[later] = perturbed(inputs[later], incoming[later], |_, e| sign * e);
            }
            let before = if *sign == 0.0 { value.data.clone() } else { evaluate(&operands) };
            for direction in directions {
                operands[k] = perturbed(inputs[k], incoming[k], direction);
                for ((most, new), old) in largest.iter_mut().zip(evaluate(&operands)).zip(&before) {
                    // Infinity that stays infinity has not changed; NaN propagates.
                    let change = if new == *old { 0.0 } else { (new - old).abs() };
                    *most = if change > *most || change.is_nan() { change } else { *most };
                }
            }
        }
        error.iter_mut().zip(largest).for_each(|(e, f)| *e += f);
    };
    let later: &[f64] = if incoming[k + 1..].iter().any(|e| is_inexact(e)) { &[0.0, 1.0, -1.0] } else { &[0.0] };
    // Sums, and elements that depend on one input element, change most when all perturbations have the same sign.
    add(error, &[&|_, e| e, &|_, e| -e], later);
    // Functions of differences (softmax) hardly change then, so their inputs are also perturbed with random signs.
    if matches!(node.op, Op::Softmax(_) | Op::CrossEntropy(_) | Op::Custom(_)) {
        for seed in 1..=4 {
            let bit = |i: usize| draw(Distribution::Bits, [seed, 17], 0, 0, i as u32) % 2.0;
            add(error, &[&|i, e| if bit(i) == 0.0 { e } else { -e }], &[0.0]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{Environment, evaluate_all};
    use crate::tensor::Tensor;

    /// The bounds of `build(x)` for an `x` with the errors `given`.
    fn bounds(x: &[f64], given: &[f64], build: impl for<'g> Fn(Tensor<'g>) -> Tensor<'g>) -> Vec<f64> {
        let graph = Graph::new();
        let input = graph.input("x", [x.len()], DType::F32);
        let output = build(input);
        let value = RefTensor { shape: [x.len()].into(), dtype: DType::F32, data: x.to_vec() };
        let inputs = HashMap::from([("x".to_string(), value)]);
        let environment = Environment { inputs: &inputs, variables: &HashMap::new(), step: 0, seed: 0 };
        let values = evaluate_all(&graph, &[output.id()], environment).unwrap_or_default();
        let given = HashMap::from([(input.id(), given.to_vec())]);
        error_bounds(&graph, &values, &given).swap_remove(output.id().index())
    }

    #[test]
    fn exact_operations_propagate_an_error_unchanged() {
        let bound = bounds(&[1.0, -2.0], &[1e-3, 0.0], |x| -(-(-x)).reshape([1, 2]).flip(1));
        assert_eq!(bound[0], 0.0);
        assert!((bound[1] - 1e-3).abs() < 1e-12, "{bound:?}");
    }

    #[test]
    fn errors_add_up_whatever_the_signs_of_their_terms() {
        let bound = bounds(&[1.0, 1.0], &[1e-3, 1e-3], |x| {
            let weight = x.graph().constant([[1f32], [-1.0]]);
            x.matmul(weight)
        });
        assert!(bound[0] >= 2e-3 && bound[0] < 2.1e-3, "{bound:?}");
        let bound = bounds(&[1.0, 1.0], &[1e-3, 1e-3], |x| x.softmax(0));
        assert!(bound.iter().all(|b| *b > 2e-4 && *b < 4e-3), "{bound:?}");
    }

    #[test]
    fn the_product_of_two_errors_is_counted() {
        // The square of a sum that cancels: only the square of its error is left.
        let squares: [fn(Tensor<'_>) -> Tensor<'_>; 3] = [
            |x| (x.slice(0, 0..1) + x.slice(0, 1..2)).square(),
            |x| (x.slice(0, 0..1) + x.slice(0, 1..2)) * (x.slice(0, 1..2) + x.slice(0, 0..1)),
            |x| {
                let sum = x.sum(0).reshape([1, 1]);
                sum.matmul(sum)
            },
        ];
        for square in squares {
            let bound = bounds(&[1.0, -1.0], &[1e-3, 1e-3], square);
            assert!(bound[0] >= 4e-6 && bound[0] < 6e-6, "{bound:?}");
        }
    }

    #[test]
    fn exact_inputs_and_exact_operations_leave_no_error() {
        assert_eq!(bounds(&[0.1, -3.0], &[0.0, 0.0], |x| x.relu().maximum(0.5)), [0.0, 0.0]);
    }
}
