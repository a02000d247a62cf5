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
pub use plateau::{Plateau, PlateauMode, ReduceOnPlateau, ThresholdMode};
pub use rmsprop::RmsProp;
pub use schedule::{Anneal, Schedule};
pub use sgd::Sgd;

use crate::array::Array;
use crate::tensor::{Operand, Tensor};
use crate::variable::Variable;

/// An update rule.
pub trait Rule: std::fmt::Debug {
    /// Names of the state each parameter needs, and the value all elements of each start with.
    fn state(&self) -> Vec<(&'static str, f64)>;
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

/// The gradient with an L2 penalty's, as the rules with coupled weight decay use it.
#[track_caller]
fn penalised<'g>(cx: &RuleContext<'_, 'g>, weight_decay: f64) -> Tensor<'g> {
    if weight_decay == 0.0 { cx.gradient } else { cx.gradient + cx.parameter * weight_decay }
}

/// Parameters with a rule, and so a weight decay, of their own, and a learning rate relative to the optimiser's.
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
    /// As [`ParamGroup::new`], of a boxed rule.
    pub fn boxed(rule: Box<dyn Rule>, parameters: impl IntoIterator<Item = (String, Variable)>) -> Self {
        ParamGroup { rule, lr_factor: 1.0, parameters: parameters.into_iter().collect() }
    }
    /// Multiplies the optimiser's learning rate by `factor` for this group.
    pub fn lr_factor(mut self, factor: f64) -> Self {
        self.lr_factor = factor;
        self
    }
}

/// Rules with the parameters they move and the state they keep for them.
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
    /// By group, parameter and the rule's list.
    state: Vec<Vec<Vec<Variable>>>,
    clip: Option<Clip>,
}

impl Optimizer {
    /// An optimiser of named parameters.
    pub fn new(rule: impl Rule + 'static, parameters: impl IntoIterator<Item = (String, Variable)>) -> Self {
        Optimizer::of_groups([ParamGroup::new(rule, parameters)])
    }

    /// An optimiser of groups of parameters. One that is in two groups makes [`Optimizer::apply`] record an error.
    pub fn of_groups(groups: impl IntoIterator<Item = ParamGroup>) -> Self {
        let empty = Optimizer { groups: Vec::new(), state: Vec::new(), clip: None };
        groups.into_iter().fold(empty, Optimizer::add_param_group)
    }

    /// Adds a group of parameters.
    pub fn add_param_group(mut self, group: ParamGroup) -> Self {
        let names = group.rule.state();
        let filled = |v: &Variable, value: f64| {
            let ty = v.tensor_type();
            match Array::from_f64(ty.shape.clone(), &vec![value; ty.shape.elements()], ty.dtype) {
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

    /// Limits the gradients before they are used. The norm is that of all groups' gradients together.
    pub fn clip(mut self, clip: Clip) -> Self {
        self.clip = Some(clip);
        self
    }

    /// The parameters with their names, group by group: the order [`Optimizer::apply`] takes gradients in.
    pub fn parameters(&self) -> impl Iterator<Item = &(String, Variable)> {
        self.groups.iter().flat_map(|group| &group.parameters)
    }

    /// Adds the gradient of `loss` and one update of every parameter to the loss's graph, and gives the parameters' new
    /// values. `lr` is a number or a scalar tensor. The number of updates done before is taken to be the run's step index.
    #[track_caller]
    pub fn minimize<'g>(&self, loss: Tensor<'g>, lr: impl Operand<'g>) -> Vec<Tensor<'g>> {
        let parameters: Vec<Tensor<'g>> = self.parameters().map(|(_, v)| loss.graph().variable(v)).collect();
        let gradients = loss.grad(&parameters);
        self.apply(&gradients, lr, loss.graph().step())
    }

    /// Adds one update of every parameter, given its gradients in the parameters' order, and gives their new values.
    #[track_caller]
    pub fn apply<'g>(&self, gradients: &[Tensor<'g>], lr: impl Operand<'g>, step: Tensor<'g>) -> Vec<Tensor<'g>> {
        let graph = step.graph();
        let count = self.parameters().count();
        if gradients.len() != count {
            graph.fail("optimizer", format!("{count} parameters cannot take {} gradients", gradients.len()));
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
