//! The f64 reference: the definition of a graph's values.
//!
//! Interprets the *unoptimised* graph node by node in `f64` with plain loops. Every other executor is checked against
//! it. It stays simple: no performance work is done here.
//!
//! Floats are not rounded to their dtype (an explicit cast to `f16` does round). Integers are exact and wrap as on
//! devices.

use crate::array::Array;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId};
use crate::ops::Op;
use crate::ops::leaf::Leaf;
use crate::shape::Shape;
use std::collections::HashMap;

/// A dense row-major array of `f64`: the reference's tensor. Integers are held exactly.
#[derive(Debug, Clone, PartialEq)]
pub struct RefTensor {
    /// The shape.
    pub shape: Shape,
    /// The dtype of the tensor it stands for.
    pub dtype: DType,
    /// The elements in row-major order.
    pub data: Vec<f64>,
}

impl RefTensor {
    /// A tensor of `shape` whose element at linear index `i` is `f(i)`.
    pub fn from_fn(shape: &Shape, dtype: DType, f: impl FnMut(usize) -> f64) -> Self {
        RefTensor { shape: shape.clone(), dtype, data: (0..shape.elements()).map(f).collect() }
    }
    /// The values of a host array.
    pub fn from_array(array: &Array) -> Self {
        RefTensor { shape: array.shape().clone(), dtype: array.dtype(), data: array.to_f64() }
    }
    /// Rounds the elements to the dtype. An error if their number does not match the shape.
    pub fn to_array(&self) -> Result<Array> {
        Array::from_f64(self.shape.clone(), &self.data, self.dtype)
    }
    /// An error if the number of elements is not the shape's: only the reference of a user's operation `op` can cause
    /// that.
    pub(crate) fn check_length(&self, op: &str) -> Result<()> {
        let (found, expected) = (self.data.len(), self.shape.elements());
        if found == expected {
            return Ok(());
        }
        let message =
            format!("its reference gives {found} elements for the shape {}, which has {expected}", self.shape);
        Err(Error::value(format!("custom kernel `{op}`"), message))
    }
    /// The absolute value of every element.
    pub fn abs(&self) -> RefTensor {
        RefTensor { data: self.data.iter().map(|x| x.abs()).collect(), ..self.clone() }
    }
}

/// The values of a run's leaves.
#[derive(Debug, Clone, Copy)]
pub struct Environment<'a> {
    /// Values of the inputs, by name.
    pub inputs: &'a HashMap<String, RefTensor>,
    /// Values of the variables, by id.
    pub variables: &'a HashMap<u64, RefTensor>,
    /// The step index.
    pub step: u32,
    /// The seed of the random operations.
    pub seed: u64,
}

/// Computes the nodes of `graph` that `wanted` depends on and returns `wanted`'s values, in order.
pub fn evaluate(graph: &Graph, wanted: &[NodeId], environment: Environment<'_>) -> Result<Vec<RefTensor>> {
    let values = evaluate_all(graph, wanted, environment)?;
    Ok(wanted
        .iter()
        .map(|&id| values[id.index()].clone().unwrap_or_else(|| unreachable!("wanted nodes are evaluated")))
        .collect())
}

/// As [`evaluate`], but returns the value of every node that was computed.
pub fn evaluate_all(graph: &Graph, wanted: &[NodeId], environment: Environment<'_>) -> Result<Vec<Option<RefTensor>>> {
    let nodes = graph.nodes();
    let needed = graph.ancestors(wanted);
    let mut values: Vec<Option<RefTensor>> = vec![None; nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        if !needed[index] {
            continue;
        }
        let value = match &node.op {
            Op::Leaf(Leaf::Input { name }) => environment
                .inputs
                .get(name)
                .cloned()
                .ok_or_else(|| Error::value(format!("input `{name}`"), "no value was given"))?,
            Op::Leaf(Leaf::Variable(variable)) => environment
                .variables
                .get(&variable.id())
                .cloned()
                .unwrap_or_else(|| RefTensor::from_array(variable.initial())),
            Op::Leaf(Leaf::Step) => RefTensor::from_fn(&Shape::scalar(), DType::U32, |_| f64::from(environment.step)),
            Op::Random(random) => random.sample(&node.ty, environment.seed, environment.step),
            op => {
                let inputs: Vec<&RefTensor> = node
                    .inputs
                    .iter()
                    .map(|id| values[id.index()].as_ref().unwrap_or_else(|| unreachable!("inputs precede their users")))
                    .collect();
                op.definition().reference(&inputs, &node.ty)
            }
        };
        value.check_length(node.op.definition().name())?;
        values[index] = Some(value);
    }
    Ok(values)
}
