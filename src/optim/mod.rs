//! Optimisers and learning-rate schedules, with PyTorch's semantics.
//!
//! An optimiser adds variable updates to the graph that holds the loss: forward pass, backward pass and update are
//! one program.
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

mod adagrad;
mod adam;
mod clip;
mod ema;
mod lion;
mod plateau;
mod rmsprop;
mod schedule;
mod sgd;

pub use adagrad::{Adadelta, Adagrad};
pub use adam::Adam;
pub use clip::{Clip, clip_grad_norm, clip_grad_value};
pub use ema::Ema;
pub use lion::Lion;
pub use plateau::{Plateau, PlateauMode, PlateauState, ReduceOnPlateau, ThresholdMode};
pub use rmsprop::RmsProp;
pub use schedule::{Anneal, Schedule};
pub use sgd::Sgd;

use crate::array::Array;
use crate::dtype::DType;
use crate::tensor::{Operand, Tensor};
use crate::variable::Variable;

/// An update rule: SGD, Adam and so on.
pub trait Rule: std::fmt::Debug {
    /// The name of each state tensor that a parameter needs, and the value that all its elements start with.
    fn state(&self) -> Vec<(&'static str, f64)>;
    /// Returns the parameter's new value, and the new values of its state.
    fn update<'g>(&self, cx: RuleContext<'_, 'g>) -> (Tensor<'g>, Vec<Tensor<'g>>);
}

/// The arguments of a [`Rule`].
#[derive(Debug)]
pub struct RuleContext<'a, 'g> {
    /// The parameter's value at the start of the run.
    pub parameter: Tensor<'g>,
    /// The gradient of the loss with respect to the parameter.
    pub gradient: Tensor<'g>,
    /// The values of the state, in the order of [`Rule::state`].
    pub state: &'a [Tensor<'g>],
    /// The learning rate, a scalar of the parameter's dtype.
    pub lr: Tensor<'g>,
    /// The number of previous updates, a `u32` scalar.
    pub step: Tensor<'g>,
}

/// The gradient plus that of an L2 penalty, for rules with coupled weight decay.
#[track_caller]
fn penalised<'g>(cx: &RuleContext<'_, 'g>, weight_decay: f64) -> Tensor<'g> {
    if weight_decay == 0.0 { cx.gradient } else { cx.gradient + cx.parameter * weight_decay }
}

/// A parameter group: parameters with their own rule (and so their own weight decay), and a learning rate relative to
/// the optimiser's.
#[derive(Debug)]
pub struct ParamGroup {
    rule: Box<dyn Rule>,
    lr_factor: f64,
    parameters: Vec<(String, Variable)>,
}

impl ParamGroup {
    /// A group of named parameters.
    pub fn new(rule: impl Rule + 'static, parameters: impl IntoIterator<Item = (String, Variable)>) -> Self {
        ParamGroup::boxed(Box::new(rule), parameters)
    }
    /// As [`ParamGroup::new`], with a boxed rule.
    pub fn boxed(rule: Box<dyn Rule>, parameters: impl IntoIterator<Item = (String, Variable)>) -> Self {
        ParamGroup { rule, lr_factor: 1.0, parameters: parameters.into_iter().collect() }
    }
    /// Sets the factor by which this group multiplies the optimiser's learning rate.
    pub fn lr_factor(mut self, factor: f64) -> Self {
        self.lr_factor = factor;
        self
    }
}

/// An optimiser: parameter groups, each with its update rule, and the state of the rules.
///
/// ```
/// use wgrad::nn::{Generator, Linear, Module, Relu, Sequential};
/// use wgrad::optim::{Adam, Clip, Optimizer, ParamGroup};
/// let mut rng = Generator::new(1);
/// let model = Sequential::new().push(Linear::new(4, 8, &mut rng)).push(Relu).push(Linear::new(8, 3, &mut rng));
/// // Biases are not decayed, and learn half as fast.
/// let (biases, weights): (Vec<_>, Vec<_>) = model.parameters().into_iter().partition(|(name, _)| name.ends_with("bias"));
/// let optimizer = Optimizer::new(Adam::adamw(), weights)
///     .add_param_group(ParamGroup::new(Adam { weight_decay: 0.0, ..Adam::adamw() }, biases).lr_factor(0.5))
///     .clip(Clip::Norm(1.0));
/// assert_eq!(optimizer.parameters().count(), 4);
/// ```
#[derive(Debug)]
pub struct Optimizer {
    groups: Vec<ParamGroup>,
    /// Indexed by group, parameter, and the rule's list of states.
    state: Vec<Vec<Vec<Variable>>>,
    clip: Option<Clip>,
}

impl Optimizer {
    /// An optimiser of named parameters.
    pub fn new(rule: impl Rule + 'static, parameters: impl IntoIterator<Item = (String, Variable)>) -> Self {
        Optimizer::of_groups([ParamGroup::new(rule, parameters)])
    }

    /// An optimiser with several parameter groups. If a parameter is in two groups, [`Optimizer::apply`] records an
    /// error.
    pub fn of_groups(groups: impl IntoIterator<Item = ParamGroup>) -> Self {
        let empty = Optimizer { groups: Vec::new(), state: Vec::new(), clip: None };
        groups.into_iter().fold(empty, Optimizer::add_param_group)
    }

    /// Adds a parameter group.
    pub fn add_param_group(mut self, group: ParamGroup) -> Self {
        let names = group.rule.state();
        let filled = |v: &Variable, value: f64| {
            let ty = v.tensor_type();
            let full = match ty.dtype {
                DType::F32 => Array::full(ty.shape.clone(), value as f32),
                _ => Array::from_f64(ty.shape.clone(), &vec![value; ty.shape.elements()], ty.dtype),
            };
            match full {
                Ok(array) => array,
                Err(_) => unreachable!("the shape is the parameter's own"),
            }
        };
        let variables = |(name, v): &(String, Variable)| {
            names.iter().map(|(state, start)| Variable::new(format!("{state}.{name}"), filled(v, *start))).collect()
        };
        self.state.push(group.parameters.iter().map(variables).collect());
        self.groups.push(group);
        self
    }

    /// Sets gradient clipping. A norm is taken over the gradients of all groups together.
    pub fn clip(mut self, clip: Clip) -> Self {
        self.clip = Some(clip);
        self
    }

    /// The parameters with their names, group by group. [`Optimizer::apply`] takes gradients in this order.
    pub fn parameters(&self) -> impl Iterator<Item = &(String, Variable)> {
        self.groups.iter().flat_map(|group| &group.parameters)
    }

    /// Adds the gradient of `loss` and one update of every parameter to the graph of the loss. Returns the
    /// parameters' new values. `lr` is a number or a scalar tensor. The number of previous updates is taken to be the
    /// run's step index.
    #[track_caller]
    pub fn minimize<'g>(&self, loss: Tensor<'g>, lr: impl Operand<'g>) -> Vec<Tensor<'g>> {
        let parameters: Vec<Tensor<'g>> = self.parameters().map(|(_, v)| loss.graph().variable(v)).collect();
        let gradients = loss.grad(&parameters);
        self.apply(&gradients, lr, loss.graph().step())
    }

    /// Adds one update of every parameter, from gradients in the order of [`Optimizer::parameters`]. Returns the new
    /// values.
    #[track_caller]
    pub fn apply<'g>(&self, gradients: &[Tensor<'g>], lr: impl Operand<'g>, step: Tensor<'g>) -> Vec<Tensor<'g>> {
        let graph = step.graph();
        let count = self.parameters().count();
        if gradients.len() != count {
            graph.fail(
                "optimizer",
                format!("{count} parameters need {count} gradients, but {} were given", gradients.len()),
            );
            return Vec::new();
        }
        let lr = lr.operand(graph.scalar(0.0, crate::DType::F32));
        let clipped = self.clip.map(|clip| clip.apply(gradients));
        let mut gradients = clipped.as_deref().unwrap_or(gradients).iter();
        let mut values = Vec::with_capacity(count);
        for (group, states) in self.groups.iter().zip(&self.state) {
            let lr = if group.lr_factor == 1.0 { lr } else { lr * group.lr_factor };
            for (((_, variable), states), &gradient) in group.parameters.iter().zip(states).zip(&mut gradients) {
                let parameter = graph.variable(variable);
                let state: Vec<Tensor<'g>> = states.iter().map(|s| graph.variable(s)).collect();
                let lr = lr.cast(parameter.dtype());
                let (new, new_state) = group.rule.update(RuleContext { parameter, gradient, state: &state, lr, step });
                for (variable, value) in states.iter().zip(new_state) {
                    graph.update(variable, value);
                }
                graph.update(variable, new);
                values.push(new);
            }
        }
        values
    }

    /// The state variables, named `state.parameter`.
    pub fn state(&self) -> impl Iterator<Item = &Variable> {
        self.state.iter().flatten().flatten()
    }
}
