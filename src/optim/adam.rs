//! Adam and AdamW.

use super::{Rule, RuleContext, penalised};
use crate::dtype::DType;
use crate::tensor::Tensor;

/// `torch.optim.Adam`; with `decoupled` weight decay `torch.optim.AdamW` (Kingma & Ba 2015; Loshchilov & Hutter
/// 2019):
///
/// `m ← β₁m + (1 − β₁)g`, `v ← β₂v + (1 − β₂)g²`, `p ← p − lr/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + ε)`. With `amsgrad`
/// (Reddi et al. 2018) the denominator uses the largest `v` so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adam {
    /// `(β₁, β₂)`.
    pub betas: (f64, f64),
    /// Added to the denominator.
    pub eps: f64,
    /// Weight decay: added to the gradient (Adam), or subtracted from the parameter directly (AdamW).
    pub weight_decay: f64,
    /// Whether the weight decay is decoupled (AdamW).
    pub decoupled: bool,
    /// Whether to use AMSGrad.
    pub amsgrad: bool,
}

impl Default for Adam {
    fn default() -> Self {
        Adam { betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.0, decoupled: false, amsgrad: false }
    }
}

impl Adam {
    /// AdamW with PyTorch's defaults.
    pub fn adamw() -> Self {
        Adam { weight_decay: 0.01, decoupled: true, ..Adam::default() }
    }
}

/// `1 − βᵗ` without cancellation: it equals `2h/(1 + h)` with `h = tanh(−t·ln β / 2)`.
fn correction<'g>(beta: f64, t: Tensor<'g>) -> Tensor<'g> {
    if beta == 0.0 {
        return t * 0.0 + 1.0;
    }
    let h = (t * (-beta.ln() / 2.0)).tanh();
    h * 2.0 / (h + 1.0)
}

impl Rule for Adam {
    fn state(&self) -> Vec<(&'static str, f64)> {
        let moments = [("exp_avg", 0.0), ("exp_avg_sq", 0.0), ("max_exp_avg_sq", 0.0)];
        moments[..if self.amsgrad { 3 } else { 2 }].to_vec()
    }

    fn update<'g>(&self, cx: RuleContext<'_, 'g>) -> (Tensor<'g>, Vec<Tensor<'g>>) {
        let (b1, b2) = self.betas;
        let mut p = cx.parameter;
        let g = if self.decoupled { cx.gradient } else { penalised(&cx, self.weight_decay) };
        if self.weight_decay != 0.0 && self.decoupled {
            p = p - p * (cx.lr * self.weight_decay);
        }
        let t = cx.step.cast(DType::F32) + 1.0;
        let m = cx.state[0] * b1 + g * (1.0 - b1);
        let v = cx.state[1] * b2 + g * g * (1.0 - b2);
        let mut state = vec![m, v];
        if self.amsgrad {
            state.push(cx.state[2].maximum(v));
        }
        let c1 = correction(b1, t).cast(p.dtype());
        let c2 = correction(b2, t).sqrt().cast(p.dtype());
        (p - (cx.lr / c1) * m / (state[state.len() - 1].sqrt() / c2 + self.eps), state)
    }
}
