//! Optimisers and learning-rate schedules, with PyTorch's semantics.
//!
//! An optimiser adds variable updates to the graph that holds the loss: forward, backward and optimiser are one
//! program.
//!
//! ```
//! use wgrad::optim::{Optimizer, Sgd};
//! use wgrad::{Device, Graph, Session, Variable};
//! let w = Variable::new("w", 5.0f32);
//! let g = Graph::new();
//! let loss = g.variable(&w).square();
//! let optimizer = Optimizer::new(Sgd { momentum: 0.9, ..Sgd::default() }, [("w".to_string(), w.clone())]);
//! optimizer.minimize(loss, 0.05);
//! let mut session = Session::new(Device::cpu())?;
//! let step = session.compile(&g, &[])?;
//! session.run_steps(&step, &[], 200)?;
//! assert!(session.read(&w)?.item()?.abs() < 1e-3);
//! # Ok::<(), wgrad::Error>(())
//! ```

mod adam;
mod schedule;
mod sgd;

pub use adam::Adam;
pub use schedule::{Schedule, ScheduleKind, Warmup};
pub use sgd::Sgd;

use crate::array::Array;
use crate::tensor::{Operand, Tensor};
use crate::variable::Variable;

/// An update rule.
pub trait Rule: std::fmt::Debug {
    /// Names of the state each parameter needs; all start at 0.
    fn state(&self) -> Vec<&'static str>;
    /// The parameter's new value, and the new values of its state.
    ///
    /// `lr` is a scalar of the parameter's dtype; `step` the number of updates done before this one (a `u32` scalar).
    fn update<'g>(&self, cx: RuleContext<'_, 'g>) -> (Tensor<'g>, Vec<Tensor<'g>>);
}

/// What a [`Rule`] works with.
#[derive(Debug)]
pub struct RuleContext<'a, 'g> {
    /// The parameter's value.
    pub parameter: Tensor<'g>,
    /// The loss's gradient with respect to it.
    pub gradient: Tensor<'g>,
    /// The state's values, in the order of [`Rule::state`].
    pub state: &'a [Tensor<'g>],
    /// The learning rate.
    pub lr: Tensor<'g>,
    /// Updates done before this one.
    pub step: Tensor<'g>,
}

/// A rule with the parameters it moves and the state it keeps for them.
#[derive(Debug)]
pub struct Optimizer {
    rule: Box<dyn Rule>,
    parameters: Vec<(String, Variable)>,
    state: Vec<Vec<Variable>>,
}

impl Optimizer {
    /// An optimiser of named parameters.
    pub fn new(rule: impl Rule + 'static, parameters: impl IntoIterator<Item = (String, Variable)>) -> Self {
        let parameters: Vec<(String, Variable)> = parameters.into_iter().collect();
        let names = rule.state();
        let zero = |v: &Variable| match Array::zeros(v.tensor_type().shape, v.tensor_type().dtype) {
            Ok(array) => array,
            Err(_) => unreachable!("the shape is the parameter's own"),
        };
        let state = parameters
            .iter()
            .map(|(name, v)| names.iter().map(|s| Variable::new(format!("{s}.{name}"), zero(v))).collect())
            .collect();
        Optimizer { rule: Box::new(rule), parameters, state }
    }

    /// Adds the gradient of `loss` and one update of every parameter to the loss's graph. `lr` is a number or a scalar
    /// tensor. The number of updates done before is taken to be the run's step index.
    #[track_caller]
    pub fn minimize<'g>(&self, loss: Tensor<'g>, lr: impl Operand<'g>) {
        let parameters: Vec<Tensor<'g>> = self.parameters.iter().map(|(_, v)| loss.graph().variable(v)).collect();
        let gradients = loss.grad(&parameters);
        self.apply(&gradients, lr, loss.graph().step());
    }

    /// Adds one update of every parameter, given its gradients in the parameters' order.
    #[track_caller]
    pub fn apply<'g>(&self, gradients: &[Tensor<'g>], lr: impl Operand<'g>, step: Tensor<'g>) {
        let lr = lr.operand(step.graph().scalar(0.0, crate::DType::F32));
        for (((_, variable), states), &gradient) in self.parameters.iter().zip(&self.state).zip(gradients) {
            let graph = gradient.graph();
            let parameter = graph.variable(variable);
            let state: Vec<Tensor<'g>> = states.iter().map(|s| graph.variable(s)).collect();
            let lr = lr.cast(parameter.dtype());
            let (new, new_state) = self.rule.update(RuleContext { parameter, gradient, state: &state, lr, step });
            for (variable, value) in states.iter().zip(new_state) {
                graph.update(variable, value);
            }
            graph.update(variable, new);
        }
    }

    /// The state variables, named `state.parameter`.
    pub fn state(&self) -> impl Iterator<Item = &Variable> {
        self.state.iter().flatten()
    }
}
