//! The RMSprop optimiser.

use super::{Rule, RuleContext, penalised};
use crate::tensor::Tensor;

/// `torch.optim.RMSprop` (Hinton's lecture 6e; centred as in Graves 2013): `s ← αs + (1 − α)g²`, `p ← p − lr·g/(√s +
/// ε)`. If centred, `a ← αa + (1 − α)g`, and `s − a²` replaces `s` under the square root. With momentum, `b ←
/// momentum·b + g/(√s + ε)` and `p ← p − lr·b`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RmsProp {
    /// Decay of the running averages.
    pub alpha: f64,
    /// Added to the denominator.
    pub eps: f64,
    /// L2 penalty.
    pub weight_decay: f64,
    /// Momentum; 0 for none.
    pub momentum: f64,
    /// Whether the gradient is divided by its standard deviation instead of its root mean square.
    pub centered: bool,
}

impl Default for RmsProp {
    fn default() -> Self {
        RmsProp { alpha: 0.99, eps: 1e-8, weight_decay: 0.0, momentum: 0.0, centered: false }
    }
}

impl Rule for RmsProp {
    fn state(&self) -> Vec<(&'static str, f64)> {
        let mut names = vec![("square_avg", 0.0)];
        names.extend(self.centered.then_some(("grad_avg", 0.0)));
        names.extend((self.momentum != 0.0).then_some(("momentum_buffer", 0.0)));
        names
    }

    fn update<'g>(&self, cx: RuleContext<'_, 'g>) -> (Tensor<'g>, Vec<Tensor<'g>>) {
        let g = penalised(&cx, self.weight_decay);
        let average = |old: Tensor<'g>, new: Tensor<'g>| old * self.alpha + new * (1.0 - self.alpha);
        let square = average(cx.state[0], g * g);
        let mut state = vec![square];
        let mut spread = square;
        if self.centered {
            let mean = average(cx.state[1], g);
            state.push(mean);
            // A variance is not negative; rounding could make it so.
            spread = (square - mean * mean).maximum(0.0);
        }
        let mut direction = g / (spread.sqrt() + self.eps);
        if self.momentum != 0.0 {
            direction = cx.state[state.len()] * self.momentum + direction;
            state.push(direction);
        }
        (cx.parameter - cx.lr * direction, state)
    }
}
