//! Exponential moving averages of the weights.

use crate::graph::Graph;
use crate::tensor::Tensor;
use crate::variable::Variable;

/// An exponential moving average of parameters: `a ← decay·a + (1 − decay)·p` after each update; the first update
/// copies the parameters. This is `torch.optim.swa_utils.AveragedModel` with `get_ema_multi_avg_fn(decay)`.
///
/// A network's layers read the parameters' own variables. To evaluate with the averages, run a program with
/// [`Ema::swap`], which exchanges the two; run it again before training continues.
///
/// ```
/// use wgrad::optim::{Ema, Optimizer, Sgd};
/// use wgrad::{Device, Graph, Session, Variable};
/// let w = Variable::new("w", 4.0f32);
/// let named = [("w".to_string(), w.clone())];
/// let (optimizer, ema) = (Optimizer::new(Sgd::default(), named.clone()), Ema::new(0.5, named));
/// let g = Graph::new();
/// let new = optimizer.minimize(g.variable(&w).square(), 0.25);
/// ema.update(&new, g.step());
/// let exchange = Graph::new();
/// ema.swap(&exchange);
/// let mut session = Session::new(Device::cpu())?;
/// let (step, swap) = (session.compile(&g, &[])?, session.compile(&exchange, &[])?);
/// session.run_steps(&step, &[], 2)?;
/// // w is halved by each step: 4, 2, 1. The average is 2, then (2 + 1)/2.
/// session.run(&swap, &[])?;
/// assert_eq!(session.read(&w)?.item()?, 1.5);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug)]
pub struct Ema {
    decay: f64,
    parameters: Vec<(String, Variable)>,
    averages: Vec<Variable>,
}

impl Ema {
    /// Averages of named parameters. `decay` must lie in `[0, 1]`; 0.99 to 0.9999 are usual.
    pub fn new(decay: f64, parameters: impl IntoIterator<Item = (String, Variable)>) -> Self {
        let parameters: Vec<(String, Variable)> = parameters.into_iter().collect();
        let average = |(name, v): &(String, Variable)| Variable::new(format!("ema.{name}"), v.initial().clone());
        let averages = parameters.iter().map(average).collect();
        Ema { decay, parameters, averages }
    }

    /// Adds the update of the averages to the graph. `values` are the parameters' new values in their order (as
    /// [`Optimizer::minimize`](super::Optimizer::minimize) returns them), `step` the number of previous updates.
    #[track_caller]
    pub fn update<'g>(&self, values: &[Tensor<'g>], step: Tensor<'g>) {
        let graph = step.graph();
        if values.len() != self.averages.len() || !(0.0..=1.0).contains(&self.decay) {
            let (count, given) = (self.averages.len(), values.len());
            let message = format!(
                "the decay must lie in [0, 1] and is {}; {count} averages need {count} values, but {given} were given",
                self.decay
            );
            graph.fail("ema", message);
            return;
        }
        let first = step.eq(0.0);
        for (average, &value) in self.averages.iter().zip(values) {
            let moved = graph.variable(average) * self.decay + value * (1.0 - self.decay);
            graph.update(average, first.select(value, moved));
        }
    }

    /// Adds updates that exchange the parameters with their averages.
    #[track_caller]
    pub fn swap(&self, graph: &Graph) {
        for ((_, parameter), average) in self.parameters.iter().zip(&self.averages) {
            let (p, a) = (graph.variable(parameter), graph.variable(average));
            graph.update(parameter, a);
            graph.update(average, p);
        }
    }

    /// The averages, with the names of their parameters.
    pub fn averages(&self) -> impl Iterator<Item = (&str, &Variable)> {
        self.parameters.iter().map(|(name, _)| name.as_str()).zip(&self.averages)
    }
}
