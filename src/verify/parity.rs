//! One operation on a device against its f64 meaning.

use crate::array::Array;
use crate::error::Result;
use crate::graph::Graph;
use crate::ops::samples::Sample;
use crate::reference::{Environment, RefTensor, evaluate_all};
use crate::session::Session;
use crate::tensor::Tensor;
use crate::verify::error_bounds;
use std::collections::HashMap;

/// How close a device came to the reference on one sample.
#[derive(Debug, Clone)]
pub struct Parity {
    /// The largest error, in units of what is allowed: 1 or less passes.
    pub worst: f64,
    /// Where: the element's linear index, the device's value and the reference's.
    pub at: Option<(usize, f64, f64)>,
}

impl Parity {
    /// Compares values with the reference's, each within its bound.
    pub fn of(got: &[f64], expected: &[f64], bounds: &[f64]) -> Parity {
        let mut result = Parity { worst: 0.0, at: None };
        for (index, ((&g, &r), &b)) in got.iter().zip(expected).zip(bounds).enumerate() {
            let error = if g == r || (g.is_nan() && r.is_nan()) { 0.0 } else { (g - r).abs() / b };
            if error > result.worst || error.is_nan() {
                result = Parity { worst: if error.is_nan() { f64::INFINITY } else { error }, at: Some((index, g, r)) };
            }
        }
        result
    }

    /// Whether every element is within its bound.
    pub fn passed(&self) -> bool {
        self.worst <= 1.0
    }
}

/// Runs `sample` on the session's device and compares the result with the reference, element by element.
///
/// The bound of a sample that holds several operations adds up what each may contribute: the error scale of every
/// node, carried to the result by the size of the result's slope in that node's value.
pub fn parity(session: &mut Session, sample: &Sample, seed: u32) -> Result<Parity> {
    let values = sample.values(seed);
    let graph = Graph::new();
    let inputs: Vec<Tensor<'_>> =
        values.iter().enumerate().map(|(k, v)| graph.input(format!("x{k}"), v.shape(), v.dtype())).collect();
    let output = (sample.build)(&graph, &inputs);
    let names: Vec<String> = (0..values.len()).map(|k| format!("x{k}")).collect();
    let feed: Vec<(&str, &Array)> = names.iter().map(String::as_str).zip(&values).collect();
    let program = session.compile(&graph, &[output])?;
    let needed: Vec<(&str, &Array)> =
        feed.iter().copied().filter(|(name, _)| program.inputs().iter().any(|(n, _)| n == name)).collect();
    let step = session.step(&program)?;
    let got = session.run(&program, &needed)?[0].to_f64();

    let inputs: HashMap<String, RefTensor> =
        feed.iter().map(|(name, array)| (name.to_string(), RefTensor::from_array(array))).collect();
    let variables = HashMap::new();
    let environment = Environment { inputs: &inputs, variables: &variables, step, seed: session.seed() };
    let all = evaluate_all(&graph, &[output.id()], environment)?;
    let bound = error_bounds(&graph, &all, &HashMap::new()).swap_remove(output.id().index());
    let expected = all[output.id().index()].as_ref().map(|v| v.data.clone()).unwrap_or_default();
    Ok(Parity::of(&got, &expected, &bound))
}
