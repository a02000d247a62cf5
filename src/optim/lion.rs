//! The Lion optimiser.

use super::{Rule, RuleContext};
use crate::tensor::Tensor;

/// Lion (Chen et al. 2023, algorithm 2): `p ← p − lr·(sign(β₁m + (1 − β₁)g) + weight_decay·p)`, `m ← β₂m + (1 − β₂)g`.
/// Every element changes by about the learning rate, so use a rate three to ten times smaller than Adam's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lion {
    /// `(β₁, β₂)`.
    pub betas: (f64, f64),
    /// Weight decay, subtracted from the parameter directly, as in AdamW.
    pub weight_decay: f64,
}

impl Default for Lion {
    fn default() -> Self {
        Lion { betas: (0.9, 0.99), weight_decay: 0.0 }
    }
}

impl Rule for Lion {
    fn state(&self) -> Vec<(&'static str, f64)> {
        vec![("exp_avg", 0.0)]
    }

    fn update<'g>(&self, cx: RuleContext<'_, 'g>) -> (Tensor<'g>, Vec<Tensor<'g>>) {
        let average = |beta: f64| cx.state[0] * beta + cx.gradient * (1.0 - beta);
        let mut direction = average(self.betas.0).sign();
        if self.weight_decay != 0.0 {
            direction = direction + cx.parameter * self.weight_decay;
        }
        (cx.parameter - cx.lr * direction, vec![average(self.betas.1)])
    }
}
