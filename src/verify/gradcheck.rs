//! Gradients against central finite differences, in f64 on the reference device.

use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::ops::Op;
use crate::ops::leaf::Leaf;
use crate::ops::random::{Distribution, draw};
use crate::ops::samples::Sample;
use crate::reference::{Environment, RefTensor, evaluate};
use crate::tensor::Tensor;
use std::collections::HashMap;

/// Settings of [`gradcheck`]; the defaults are PyTorch's.
#[derive(Debug, Clone, Copy)]
pub struct GradcheckOptions {
    /// The perturbation of an element.
    pub eps: f64,
    /// Absolute tolerance.
    pub atol: f64,
    /// Relative tolerance.
    pub rtol: f64,
    /// The index of the run, for graphs that use it.
    pub step: u32,
    /// The seed of random operations, which draw the same numbers in every evaluation.
    pub seed: u64,
}

impl Default for GradcheckOptions {
    fn default() -> Self {
        GradcheckOptions { eps: 1e-6, atol: 1e-5, rtol: 1e-3, step: 0, seed: 0 }
    }
}

/// Checks the gradients of `outputs` with respect to each of `leaves` against central differences, like
/// `torch.autograd.gradcheck`, in f64 on the reference device: this checks gradient rules, not another device.
///
/// `leaves` are inputs or variables of `graph`, each with the value to check at. Integer leaves need values too, but
/// are not differentiated. Outputs may have any shape: their elements are summed with different weights, so that errors
/// of different elements do not cancel. Integer outputs are ignored. Adds nodes to the graph. Returns the largest error
/// in units of its tolerance `atol + rtol·|difference|`.
///
/// ```
/// use wgrad::reference::RefTensor;
/// use wgrad::verify::{GradcheckOptions, gradcheck, gradgradcheck};
/// use wgrad::{Array, DType, Graph, Variable};
/// let g = Graph::new();
/// let x = g.input("x", [2, 3], DType::F32);
/// let w = g.variable(&Variable::new("w", Array::zeros([3, 2], DType::F32)?));
/// let y = x.matmul(w).tanh();
/// let value = |t: wgrad::Tensor<'_>| RefTensor::from_fn(&t.shape(), t.dtype(), |i| (i as f64 * 0.7).sin());
/// let leaves = [(x, value(x)), (w, value(w))];
/// let worst = gradcheck(&g, &[y, x.exp().mean(..)], &leaves, GradcheckOptions::default())?;
/// assert!(worst < 1.0);
/// gradgradcheck(&g, &[y], &leaves, GradcheckOptions::default())?;
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// The errors recorded while building the graph; [`Error::Value`] naming the first leaf and element whose gradient is
/// wrong, a leaf that is not an input or a variable, a value of the wrong shape, or an input without a value.
pub fn gradcheck(
    graph: &Graph,
    outputs: &[Tensor<'_>],
    leaves: &[(Tensor<'_>, RefTensor)],
    options: GradcheckOptions,
) -> Result<f64> {
    check_graph(graph, outputs, leaves)?;
    let point = Point::new(graph, leaves, options)?;
    let (objective, wrt) = objective(graph, outputs, leaves)?;
    let gradients = objective.grad(&wrt.iter().map(|&k| graph.tensor(leaves[k].0.id())).collect::<Vec<_>>());
    graph.check()?;
    point.compare(objective, &gradients, &wrt, leaves)
}

/// As [`gradcheck`], for second-order gradients, like `torch.autograd.gradgradcheck`.
///
/// # Errors
/// The errors of [`gradcheck`].
pub fn gradgradcheck(
    graph: &Graph,
    outputs: &[Tensor<'_>],
    leaves: &[(Tensor<'_>, RefTensor)],
    options: GradcheckOptions,
) -> Result<f64> {
    check_graph(graph, outputs, leaves)?;
    let (objective, wrt) = objective(graph, outputs, leaves)?;
    let tensors: Vec<Tensor<'_>> = wrt.iter().map(|&k| graph.tensor(leaves[k].0.id())).collect();
    gradcheck(graph, &objective.grad(&tensors), leaves, options)
}

/// Checks that the graph has no recorded error and that all tensors belong to it.
fn check_graph(graph: &Graph, outputs: &[Tensor<'_>], leaves: &[(Tensor<'_>, RefTensor)]) -> Result<()> {
    graph.check()?;
    if outputs.iter().chain(leaves.iter().map(|(t, _)| t)).all(|t| std::ptr::eq(t.graph(), graph)) {
        return Ok(());
    }
    Err(Error::value("gradcheck", "an output or a leaf belongs to another graph"))
}

/// `Σ weights · output` over all float outputs, and the indices of the float leaves.
fn objective<'g>(
    graph: &'g Graph,
    outputs: &[Tensor<'_>],
    leaves: &[(Tensor<'_>, RefTensor)],
) -> Result<(Tensor<'g>, Vec<usize>)> {
    let floats = outputs.iter().filter(|t| t.dtype().is_float()).map(|t| graph.tensor(t.id()));
    let weighted = floats.enumerate().map(|(k, output)| {
        let weights = RefTensor::from_fn(&output.shape(), output.dtype(), |i| {
            0.5 + draw(Distribution::Uniform, [11, 13], k as u32, 0, i as u32)
        });
        Ok((output * graph.constant(weights.to_array()?)).sum(..))
    });
    let terms: Vec<Tensor<'g>> = weighted.collect::<Result<_>>()?;
    let Some(objective) = terms.into_iter().reduce(|a, b| a + b.cast(a.dtype())) else {
        return Err(Error::value("gradcheck", "no output is a float tensor"));
    };
    Ok((objective, (0..leaves.len()).filter(|&k| leaves[k].0.dtype().is_float()).collect()))
}

/// The point at which to differentiate.
struct Point<'a> {
    graph: &'a Graph,
    inputs: HashMap<String, RefTensor>,
    variables: HashMap<u64, RefTensor>,
    options: GradcheckOptions,
}

/// Identifies a leaf.
enum Key {
    Input(String),
    Variable(u64, String),
}

impl Key {
    fn of(graph: &Graph, leaf: Tensor<'_>) -> Result<Key> {
        match &graph.nodes()[leaf.id().index()].op {
            Op::Leaf(Leaf::Input { name }) => Ok(Key::Input(name.clone())),
            Op::Leaf(Leaf::Variable(v)) => Ok(Key::Variable(v.id(), v.name().into())),
            op => {
                let message =
                    format!("{leaf:?} is the result of `{}`, not an input or a variable", op.definition().name());
                Err(Error::value("gradcheck", message))
            }
        }
    }
}

impl<'a> Point<'a> {
    fn new(graph: &'a Graph, leaves: &[(Tensor<'_>, RefTensor)], options: GradcheckOptions) -> Result<Self> {
        let (mut inputs, mut variables) = (HashMap::new(), HashMap::new());
        for (leaf, value) in leaves {
            if value.shape != leaf.shape() || value.data.len() != leaf.shape().elements() {
                let message = format!("the value for {leaf:?} has shape {}", value.shape);
                return Err(Error::value("gradcheck", message));
            }
            match Key::of(graph, *leaf)? {
                Key::Input(name) => drop(inputs.insert(name, value.clone())),
                Key::Variable(id, _) => drop(variables.insert(id, value.clone())),
            }
        }
        Ok(Point { graph, inputs, variables, options })
    }

    fn run(&self, wanted: &[Tensor<'_>]) -> Result<Vec<RefTensor>> {
        let ids: Vec<_> = wanted.iter().map(|t| t.id()).collect();
        let (inputs, variables) = (&self.inputs, &self.variables);
        let environment = Environment { inputs, variables, step: self.options.step, seed: self.options.seed };
        evaluate(self.graph, &ids, environment)
    }

    /// The objective with one element of a leaf set to `value`.
    fn at(&mut self, key: &Key, element: usize, value: f64, objective: Tensor<'_>) -> Result<f64> {
        let leaf = match key {
            Key::Input(name) => self.inputs.get_mut(name),
            Key::Variable(id, _) => self.variables.get_mut(id),
        };
        let before = leaf.map(|leaf| std::mem::replace(&mut leaf.data[element], value));
        let result = self.run(&[objective]).map(|mut values| values.remove(0).data[0]);
        let leaf = match key {
            Key::Input(name) => self.inputs.get_mut(name),
            Key::Variable(id, _) => self.variables.get_mut(id),
        };
        if let Some((leaf, before)) = leaf.zip(before) {
            leaf.data[element] = before;
        }
        result
    }

    fn compare(
        mut self,
        objective: Tensor<'_>,
        gradients: &[Tensor<'_>],
        wrt: &[usize],
        leaves: &[(Tensor<'_>, RefTensor)],
    ) -> Result<f64> {
        let GradcheckOptions { eps, atol, rtol, .. } = self.options;
        let analytic = self.run(gradients)?;
        let mut worst = 0f64;
        for (&k, analytic) in wrt.iter().zip(&analytic) {
            let (leaf, value) = &leaves[k];
            let key = Key::of(self.graph, *leaf)?;
            for (i, &x) in value.data.iter().enumerate() {
                let (high, low) = (self.at(&key, i, x + eps, objective)?, self.at(&key, i, x - eps, objective)?);
                let numeric = (high - low) / (2.0 * eps);
                let error = (numeric - analytic.data[i]).abs() / (atol + rtol * numeric.abs());
                worst = worst.max(error);
                if error.is_nan() || error > 1.0 {
                    let (kind, name) = match &key {
                        Key::Input(name) => ("input", name),
                        Key::Variable(_, name) => ("variable", name),
                    };
                    let message = format!(
                        "element {i} of {}, at {x}: the gradient is {}, but finite differences give {numeric}",
                        value.shape, analytic.data[i]
                    );
                    return Err(Error::value(format!("gradcheck of {kind} `{name}`"), message));
                }
            }
        }
        Ok(worst)
    }
}

/// Checks the gradient of a sample in the middle of a graph: a smooth function is applied to each float input and to
/// the output, so that the upstream gradient of the operation is not 1.
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
    // A slowly growing function, so that large outputs do not swamp the differences.
    let after = (output * 0.5).sin() + output * 0.25;
    gradcheck(&graph, &[after], &inputs, GradcheckOptions::default())
}
