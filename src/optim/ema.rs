//! Averages of the weights.

use crate::graph::Graph;
use crate::tensor::Tensor;
use crate::variable::Variable;

/// An exponential moving average of parameters, `a ← decay·a + (1 − decay)·p` after each update; the first update is a
/// copy: `torch.optim.swa_utils.AveragedModel` with `get_ema_multi_avg_fn(decay)`.
///
/// A network's layers read the parameters' own variables. To use the averages in their place, run a program of
/// [`Ema::swap`], which exchanges the two, and run it once more to go on training.
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
    /// Averages of named parameters. `decay` lies in `[0, 1]`; 0.99 to 0.9999 are usual.
    pub fn new(decay: f64, parameters: impl IntoIterator<Item = (String, Variable)>) -> Self {
        let parameters: Vec<(String, Variable)> = parameters.into_iter().collect();
        let average = |(name, v): &(String, Variable)| Variable::new(format!("ema.{name}"), v.initial().clone());
        let averages = parameters.iter().map(average).collect();
        Ema { decay, parameters, averages }
    }

    /// Adds the averages' update to the graph: `values` are the parameters' new values in their order (what
    /// [`Optimizer::minimize`](super::Optimizer::minimize) gives), `step` the number of updates done before.
    #[track_caller]
    pub fn update<'g>(&self, values: &[Tensor<'g>], step: Tensor<'g>) {
        let graph = step.graph();
        if values.len() != self.averages.len() || !(0.0..=1.0).contains(&self.decay) {
            let (count, given) = (self.averages.len(), values.len());
            let message = format!(
                "the decay must lie in [0, 1] and is {}; {count} averages take as many values and are given {given}",
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

    /// Adds updates that exchange the parameters and their averages.
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
