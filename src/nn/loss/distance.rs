//! Regression losses: losses of a difference.

use super::{Reduction, check, option_in, same_shape};
use crate::tensor::Tensor;

/// `(x − t)²`, of any shape: `torch.nn.functional.mse_loss`.
#[track_caller]
pub fn mse<'g>(input: Tensor<'g>, target: Tensor<'g>, reduction: Reduction) -> Tensor<'g> {
    check!(same_shape("mse", input, target));
    reduction.apply((input - target).square())
}

/// `|x − t|`, of any shape: `torch.nn.functional.l1_loss`. The gradient is 0 where both are equal.
#[track_caller]
pub fn l1<'g>(input: Tensor<'g>, target: Tensor<'g>, reduction: Reduction) -> Tensor<'g> {
    check!(same_shape("l1", input, target));
    reduction.apply((input - target).abs())
}

/// With `d = x − t`: `d²/2` where `|d| ≤ delta`, otherwise `delta·(|d| − delta/2)` (Huber 1964), of any shape:
/// `torch.nn.functional.huber_loss`. `delta` must be positive.
#[track_caller]
pub fn huber<'g>(input: Tensor<'g>, target: Tensor<'g>, delta: f64, reduction: Reduction) -> Tensor<'g> {
    check!(same_shape("huber", input, target), option_in("huber", input, "delta", delta, delta > 0.0));
    reduction.apply(quadratic_then_linear(input - target, delta))
}

/// [`huber`] divided by its threshold `beta`, or [`l1`] if `beta` is 0: `torch.nn.functional.smooth_l1_loss`.
#[track_caller]
pub fn smooth_l1<'g>(input: Tensor<'g>, target: Tensor<'g>, beta: f64, reduction: Reduction) -> Tensor<'g> {
    if beta == 0.0 {
        return l1(input, target, reduction);
    }
    check!(same_shape("smooth_l1", input, target), option_in("smooth_l1", input, "beta", beta, beta > 0.0));
    reduction.apply(quadratic_then_linear(input - target, beta) * (1.0 / beta))
}

#[track_caller]
fn quadratic_then_linear(d: Tensor<'_>, threshold: f64) -> Tensor<'_> {
    let size = d.abs();
    size.le(threshold).select(d.square() * 0.5, (size - 0.5 * threshold) * threshold)
}
