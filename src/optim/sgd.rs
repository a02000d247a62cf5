//! Stochastic gradient descent.

use super::{Rule, RuleContext, penalised};
use crate::tensor::Tensor;

/// `torch.optim.SGD`: `g ← g + weight_decay·p`, then with momentum `b ← momentum·b + (1 − dampening)·g` (`b ← g` in
/// the first step) and `p ← p − lr·b`, or with Nesterov `p ← p − lr·(g + momentum·b)`. Without momentum, `p ← p −
/// lr·g`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sgd {
    /// Momentum; 0 for none.
    pub momentum: f64,
    /// Dampening of the momentum.
    pub dampening: f64,
    /// Nesterov momentum; needs momentum.
    pub nesterov: bool,
    /// L2 penalty.
    pub weight_decay: f64,
}

impl Rule for Sgd {
    fn state(&self) -> Vec<(&'static str, f64)> {
        if self.momentum == 0.0 { Vec::new() } else { vec![("momentum", 0.0)] }
    }

    fn update<'g>(&self, cx: RuleContext<'_, 'g>) -> (Tensor<'g>, Vec<Tensor<'g>>) {
        let p = cx.parameter;
        let g = penalised(&cx, self.weight_decay);
        if self.momentum == 0.0 {
            return (p - cx.lr * g, Vec::new());
        }
        let buffer = if self.dampening == 0.0 {
            cx.state[0] * self.momentum + g
        } else {
            let damped = cx.state[0] * self.momentum + g * (1.0 - self.dampening);
            cx.step.eq(0.0).select(g, damped)
        };
        let direction = if self.nesterov { g + buffer * self.momentum } else { buffer };
        (p - cx.lr * direction, vec![buffer])
    }
}
