//! Losses for two classes.

use super::{Reduction, check, same_shape, softplus};
use crate::tensor::Tensor;

/// Options of [`bce`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Bce<'g> {
    /// Factor on each element's loss; broadcasts.
    pub weight: Option<Tensor<'g>>,
    /// How the elements' losses are reduced.
    pub reduction: Reduction,
}

/// Binary cross-entropy of probabilities `p` against targets `t` in `[0, 1]`, of any shape: `−(t·log p + (1 −
/// t)·log(1 − p))`, `torch.nn.functional.binary_cross_entropy`.
///
/// Logarithms are clamped to at least −100, as in PyTorch; where the clamp applies, the gradient is 0. Prefer
/// [`bce_with_logits`], which has a gradient everywhere.
#[track_caller]
pub fn bce<'g>(input: Tensor<'g>, target: Tensor<'g>, options: Bce<'g>) -> Tensor<'g> {
    check!(same_shape("bce", input, target));
    let values = -(target * bounded_log(input) + (1.0 - target) * bounded_log(1.0 - input));
    options.reduction.apply(options.weight.map_or(values, |weight| values * weight))
}

#[track_caller]
fn bounded_log(x: Tensor<'_>) -> Tensor<'_> {
    let normal = x.ge(f64::from(f32::MIN_POSITIVE));
    normal.select(normal.select(x, 1.0).log(), -100.0)
}

/// Options of [`bce_with_logits`].
#[derive(Debug, Clone, Copy, Default)]
pub struct BceWithLogits<'g> {
    /// Factor on each element's loss; broadcasts.
    pub weight: Option<Tensor<'g>>,
    /// Factor on the loss of positive targets, for unbalanced classes; broadcasts, as `[classes]` against `[n,
    /// classes]`.
    pub pos_weight: Option<Tensor<'g>>,
    /// How the elements' losses are reduced.
    pub reduction: Reduction,
}

/// Binary cross-entropy of logits `x` against targets `t` in `[0, 1]`, of any shape: `softplus(x) − t·x`, or with a
/// positive weight `w`: `(1 − t)·x + (1 + (w − 1)·t)·softplus(−x)`.
/// `torch.nn.functional.binary_cross_entropy_with_logits`.
#[track_caller]
pub fn bce_with_logits<'g>(input: Tensor<'g>, target: Tensor<'g>, options: BceWithLogits<'g>) -> Tensor<'g> {
    check!(same_shape("bce_with_logits", input, target));
    let values = match options.pos_weight {
        None => softplus(input) - input * target,
        Some(weight) => (1.0 - target) * input + (target * (weight - 1.0) + 1.0) * softplus(-input),
    };
    options.reduction.apply(options.weight.map_or(values, |weight| values * weight))
}

/// `x` where the target is 1 and `max(0, margin − x)` where it is −1, of any shape:
/// `torch.nn.functional.hinge_embedding_loss`. (For any other target the loss is the sum of both, as in PyTorch.)
#[track_caller]
pub fn hinge_embedding_loss<'g>(
    input: Tensor<'g>,
    target: Tensor<'g>,
    margin: f64,
    reduction: Reduction,
) -> Tensor<'g> {
    check!(same_shape("hinge_embedding_loss", input, target));
    let far = target.ne(1.0).select((margin - input).relu(), 0.0);
    reduction.apply(far + target.ne(-1.0).select(input, 0.0))
}

/// `log(1 + e^(−t·x))` for targets `t` of 1 and −1, of any shape: `torch.nn.functional.soft_margin_loss`.
#[track_caller]
pub fn soft_margin_loss<'g>(input: Tensor<'g>, target: Tensor<'g>, reduction: Reduction) -> Tensor<'g> {
    check!(same_shape("soft_margin_loss", input, target));
    reduction.apply(softplus(-(input * target)))
}
