//! Adagrad and Adadelta.

use super::{Rule, RuleContext, penalised};
use crate::dtype::DType;
use crate::tensor::Tensor;

/// `torch.optim.Adagrad` (Duchi et al. 2011): `s ← s + g²`, `p ← p − lr/(1 + t·lr_decay) · g/(√s + ε)`, where `t` is
/// the number of previous updates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adagrad {
    /// Decay of the learning rate with the number of updates.
    pub lr_decay: f64,
    /// L2 penalty.
    pub weight_decay: f64,
    /// Initial value of the sum of squares.
    pub initial_accumulator_value: f64,
    /// Added to the denominator.
    pub eps: f64,
}

impl Default for Adagrad {
    fn default() -> Self {
        Adagrad { lr_decay: 0.0, weight_decay: 0.0, initial_accumulator_value: 0.0, eps: 1e-10 }
    }
}

impl Rule for Adagrad {
    fn state(&self) -> Vec<(&'static str, f64)> {
        vec![("sum", self.initial_accumulator_value)]
    }

    fn update<'g>(&self, cx: RuleContext<'_, 'g>) -> (Tensor<'g>, Vec<Tensor<'g>>) {
        let g = penalised(&cx, self.weight_decay);
        let sum = cx.state[0] + g * g;
        let mut lr = cx.lr;
        if self.lr_decay != 0.0 {
            lr = lr / (cx.step.cast(DType::F32) * self.lr_decay + 1.0).cast(lr.dtype());
        }
        (cx.parameter - lr * g / (sum.sqrt() + self.eps), vec![sum])
    }
}

/// `torch.optim.Adadelta` (Zeiler 2012): `s ← ρs + (1 − ρ)g²`, `d = √(a + ε)/√(s + ε)·g`, `a ← ρa + (1 − ρ)d²`,
/// `p ← p − lr·d`. PyTorch's default learning rate is 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adadelta {
    /// Decay of the running averages.
    pub rho: f64,
    /// Added under both square roots.
    pub eps: f64,
    /// L2 penalty.
    pub weight_decay: f64,
}

impl Default for Adadelta {
    fn default() -> Self {
        Adadelta { rho: 0.9, eps: 1e-6, weight_decay: 0.0 }
    }
}

impl Rule for Adadelta {
    fn state(&self) -> Vec<(&'static str, f64)> {
        vec![("square_avg", 0.0), ("acc_delta", 0.0)]
    }

    fn update<'g>(&self, cx: RuleContext<'_, 'g>) -> (Tensor<'g>, Vec<Tensor<'g>>) {
        let g = penalised(&cx, self.weight_decay);
        let average = |old: Tensor<'g>, new: Tensor<'g>| old * self.rho + new * new * (1.0 - self.rho);
        let square = average(cx.state[0], g);
        let delta = (cx.state[1] + self.eps).sqrt() / (square + self.eps).sqrt() * g;
        (cx.parameter - cx.lr * delta, vec![square, average(cx.state[1], delta)])
    }
}
