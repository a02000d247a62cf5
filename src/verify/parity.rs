//! One operation on a device against the f64 reference.

use super::{Expected, Trial};
use crate::error::Result;
use crate::graph::Graph;
use crate::ops::samples::Sample;
use crate::session::Session;
use crate::tensor::Tensor;

/// The error of a device on one sample, relative to the reference.
#[derive(Debug, Clone)]
pub struct Parity {
    /// The largest error in units of its bound: 1 or less passes.
    pub worst: f64,
    /// The element with that error: its linear index, the device's value and the reference's.
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
/// The bound of a sample of several operations adds up the errors of all nodes, each propagated to the result
/// ([`error_bounds`](super::error_bounds)).
pub fn parity(session: &mut Session, sample: &Sample, seed: u32) -> Result<Parity> {
    let values = sample.values(seed);
    let graph = Graph::new();
    let inputs: Vec<Tensor<'_>> =
        values.iter().enumerate().map(|(k, v)| graph.input(format!("x{k}"), v.shape(), v.dtype())).collect();
    let output = (sample.build)(&graph, &inputs).id();
    let mut trial = Trial::new(&graph, &[output]);
    trial.inputs = values.into_iter().enumerate().map(|(k, value)| (format!("x{k}"), value)).collect();
    trial.seed = session.seed();
    let got = trial.run(session)?.remove(0).to_f64();
    let Expected { values, bounds } = trial.expected()?;
    let expected = values[output.index()].as_ref().map(|v| v.data.as_slice()).unwrap_or_default();
    Ok(Parity::of(&got, expected, &bounds[output.index()]))
}
