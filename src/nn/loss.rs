//! Losses, as means over the batch: `torch.nn.functional`'s with `reduction="mean"`.

use crate::tensor::Tensor;

/// Cross-entropy of logits `[n, classes]` against integer labels `[n]`: `−mean log softmax(x)_label`, with label
/// smoothing as PyTorch defines it. Forward and gradient are one kernel each, without stored probabilities.
#[track_caller]
pub fn cross_entropy<'g>(logits: Tensor<'g>, labels: Tensor<'g>, label_smoothing: f64) -> Tensor<'g> {
    logits.cross_entropy(labels, label_smoothing).mean(..)
}

/// `mean (x − t)²`.
#[track_caller]
pub fn mse<'g>(prediction: Tensor<'g>, target: Tensor<'g>) -> Tensor<'g> {
    (prediction - target).square().mean(..)
}

/// Binary cross-entropy of logits `x` against targets `t` in `[0, 1]`: `mean (softplus(x) − t·x)`.
///
/// `softplus(x) = (x + |x|)/2 + log(1 + e^(−|x|))` neither overflows nor has a kink at 0 in its gradient.
#[track_caller]
pub fn bce_with_logits<'g>(logits: Tensor<'g>, target: Tensor<'g>) -> Tensor<'g> {
    let size = logits.abs();
    let softplus = (logits + size) * 0.5 + ((-size).exp() + 1.0).log();
    (softplus - logits * target).mean(..)
}
