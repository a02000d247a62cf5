//! Gradients against central finite differences, in f64 on the reference.

use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::ops::random::{Distribution, draw};
use crate::ops::samples::Sample;
use crate::reference::{Environment, RefTensor, evaluate};
use crate::tensor::Tensor;
use std::collections::HashMap;

/// Settings of [`gradcheck`]; the defaults are PyTorch's.
#[derive(Debug, Clone, Copy)]
pub struct GradcheckOptions {
    /// The step of the difference.
    pub eps: f64,
    /// Absolute tolerance.
    pub atol: f64,
    /// Relative tolerance.
    pub rtol: f64,
}

impl Default for GradcheckOptions {
    fn default() -> Self {
        GradcheckOptions { eps: 1e-6, atol: 1e-5, rtol: 1e-3 }
    }
}

/// Checks the gradient of `Σ weights · output` with respect to each of `inputs` against central differences.
///
/// `inputs` are input nodes of `graph` with their values; integer inputs are left alone. Returns the largest error in
/// units of its tolerance, or an error naming the first element that is off.
pub fn gradcheck(
    graph: &Graph,
    output: Tensor<'_>,
    inputs: &[(Tensor<'_>, RefTensor)],
    options: GradcheckOptions,
) -> Result<f64> {
    graph.check()?;
    let output = graph.tensor(output.id());
    let weights = RefTensor::from_fn(&output.shape(), output.dtype(), |i| {
        0.5 + draw(Distribution::Uniform, [11, 13], 0, 0, i as u32)
    });
    let weight = graph.input("gradcheck.weights", output.shape(), output.dtype());
    let floats: Vec<usize> = (0..inputs.len()).filter(|&k| inputs[k].0.dtype().is_float()).collect();
    let wrt: Vec<Tensor<'_>> = floats.iter().map(|&k| graph.tensor(inputs[k].0.id())).collect();
    let gradients = output.vjp(weight, &wrt);
    graph.check()?;
    let mut feed: HashMap<String, RefTensor> = inputs.iter().map(|(t, v)| (name(graph, *t), v.clone())).collect();
    feed.insert("gradcheck.weights".into(), weights.clone());
    let variables = HashMap::new();
    let run = |feed: &HashMap<String, RefTensor>, wanted: &[Tensor<'_>]| {
        let ids: Vec<_> = wanted.iter().map(|t| t.id()).collect();
        evaluate(graph, &ids, Environment { inputs: feed, variables: &variables, step: 0, seed: 0 })
    };
    let analytic = run(&feed, &gradients)?;
    let mut worst = 0f64;
    for (&k, analytic) in floats.iter().zip(&analytic) {
        let key = name(graph, inputs[k].0);
        for i in 0..inputs[k].1.data.len() {
            let x = inputs[k].1.data[i];
            let mut at = |value: f64| -> Result<Vec<f64>> {
                if let Some(t) = feed.get_mut(&key) {
                    t.data[i] = value;
                }
                Ok(run(&feed, &[output])?.remove(0).data)
            };
            let (high, low) = (at(x + options.eps)?, at(x - options.eps)?);
            at(x)?;
            let products = high.iter().zip(&low).zip(&weights.data);
            let numeric: f64 = products.map(|((h, l), w)| (h - l) * w).sum::<f64>() / (2.0 * options.eps);
            let error = (numeric - analytic.data[i]).abs() / (options.atol + options.rtol * numeric.abs());
            worst = worst.max(error);
            if error.is_nan() || error > 1.0 {
                return Err(Error::Value {
                    subject: format!("gradcheck of input `{key}`"),
                    message: format!(
                        "element {i} of {}: the gradient is {}, finite differences give {numeric}",
                        inputs[k].1.shape, analytic.data[i]
                    ),
                });
            }
        }
    }
    Ok(worst)
}

fn name(graph: &Graph, input: Tensor<'_>) -> String {
    graph.nodes()[input.id().index()].op.definition().attributes()
}

/// Checks a sample's gradient with the operation in the middle of a graph: each float input comes out of a smooth
/// function, and the output goes through another, so the operation sees a non-unit upstream gradient.
pub fn gradcheck_sample(sample: &Sample, seed: u32) -> Result<f64> {
    let graph = Graph::new();
    let inputs: Vec<(Tensor<'_>, RefTensor)> = sample
        .values(seed)
        .iter()
        .enumerate()
        .map(|(k, v)| (graph.input(format!("x{k}"), v.shape(), v.dtype()), RefTensor::from_array(v)))
        .collect();
    let before: Vec<Tensor<'_>> =
        inputs.iter().map(|(t, _)| if t.dtype().is_float() { *t * 0.75 + 0.125 * t.sin() } else { *t }).collect();
    let output = (sample.build)(&graph, &before);
    let output = if output.dtype().is_float() { output } else { output.cast(crate::DType::F32) };
    // Bounded, so that large outputs do not swamp the differences.
    let after = (output * 0.5).sin() + output * 0.25;
    gradcheck(&graph, after, &inputs, GradcheckOptions::default())
}
