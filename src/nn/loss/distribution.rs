//! Losses of probability distributions.

use super::{Reduction, check, option_in, same_shape};
use crate::tensor::Tensor;

/// As [`Reduction`], and the mean over the batch, which is the divergence's mathematical definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KlReduction {
    /// No reduction.
    None,
    /// The mean of the elements: PyTorch's default, though it is not the mean of the divergences.
    #[default]
    Mean,
    /// The sum of the elements.
    Sum,
    /// The sum divided by the size of the first axis: the mean of the samples' divergences.
    BatchMean,
}

/// Options of [`kl_div`].
#[derive(Debug, Clone, Copy, Default)]
pub struct KlDiv {
    /// Whether the target holds log-probabilities too.
    pub log_target: bool,
    /// How the elements are reduced.
    pub reduction: KlReduction,
}

/// The Kullback–Leibler divergence of a distribution with log-probabilities `x` from the target `t`, element-wise, of
/// any shape: `t·(log t − x)` (0 where `t` is 0), or `eᵗ·(t − x)` with `log_target`: `torch.nn.functional.kl_div`.
#[track_caller]
pub fn kl_div<'g>(input: Tensor<'g>, target: Tensor<'g>, options: KlDiv) -> Tensor<'g> {
    check!(same_shape("kl_div", input, target));
    let values = if options.log_target {
        target.exp() * (target - input)
    } else {
        let positive = target.gt(0.0);
        positive.select(target * positive.select(target, 1.0).log(), 0.0) - target * input
    };
    match options.reduction {
        KlReduction::None => values,
        KlReduction::Mean => values.mean(..),
        KlReduction::Sum => values.sum(..),
        KlReduction::BatchMean => match input.shape().first() {
            Some(&n) => values.sum(..) * (1.0 / n.max(1) as f64),
            None => {
                input.graph().fail("kl_div", "the mean over the batch needs a batch axis, but the input is a scalar")
            }
        },
    }
}

/// Options of [`gaussian_nll`].
#[derive(Debug, Clone, Copy)]
pub struct GaussianNll {
    /// Whether the constant `log(2π)/2` is added.
    pub full: bool,
    /// The lower bound of the variance.
    pub eps: f64,
    /// How the elements' losses are reduced.
    pub reduction: Reduction,
}

impl Default for GaussianNll {
    fn default() -> Self {
        GaussianNll { full: false, eps: 1e-6, reduction: Reduction::Mean }
    }
}

/// The negative log-likelihood of targets `t` under normal distributions with mean `x` and variance `v`: `(log v + (x
/// − t)²/v)/2`, `torch.nn.functional.gaussian_nll_loss`. `v` is clamped to at least `eps`; the gradient ignores the
/// clamp.
///
/// `var` has the input's shape or broadcasts to it: `[n, 1]` or a scalar for `[n, d]`.
#[track_caller]
pub fn gaussian_nll<'g>(input: Tensor<'g>, target: Tensor<'g>, var: Tensor<'g>, options: GaussianNll) -> Tensor<'g> {
    let name = "gaussian_nll";
    check!(same_shape(name, input, target), option_in(name, input, "eps", options.eps, options.eps > 0.0));
    let (shape, spread) = (input.shape(), var.shape());
    if !input.is_poisoned() && !var.is_poisoned() && spread.broadcast(&shape).as_ref() != Some(&shape) {
        let message = format!("a variance of shape {spread} does not broadcast to the input's {shape}");
        return input.graph().fail(name, message);
    }
    let var = var + (var.maximum(options.eps) - var).detach();
    let values = (var.log() + (input - target).square() / var) * 0.5;
    let constant = 0.5 * (2.0 * std::f64::consts::PI).ln();
    options.reduction.apply(if options.full { values + constant } else { values })
}

/// Options of [`poisson_nll`].
#[derive(Debug, Clone, Copy)]
pub struct PoissonNll {
    /// Whether the input is the logarithm of the rate.
    pub log_input: bool,
    /// Whether Stirling's approximation of `log t!` is added for targets above 1: `t·log t − t + log(2πt)/2`.
    pub full: bool,
    /// Added to the rate before its logarithm is taken, without `log_input`.
    pub eps: f64,
    /// How the elements' losses are reduced.
    pub reduction: Reduction,
}

impl Default for PoissonNll {
    fn default() -> Self {
        PoissonNll { log_input: true, full: false, eps: 1e-8, reduction: Reduction::Mean }
    }
}

/// The negative log-likelihood of counts `t` under Poisson distributions, of any shape: `eˣ − t·x` for the logarithm
/// `x` of the rate, or `x − t·log(x + eps)` for the rate itself, `torch.nn.functional.poisson_nll_loss`.
#[track_caller]
pub fn poisson_nll<'g>(input: Tensor<'g>, target: Tensor<'g>, options: PoissonNll) -> Tensor<'g> {
    let name = "poisson_nll";
    check!(same_shape(name, input, target), option_in(name, input, "eps", options.eps, options.eps > 0.0));
    let values =
        if options.log_input { input.exp() - target * input } else { input - target * (input + options.eps).log() };
    if !options.full {
        return options.reduction.apply(values);
    }
    let large = target.gt(1.0);
    let t = large.select(target, 1.0);
    let stirling = t * t.log() - t + (t * (2.0 * std::f64::consts::PI)).log() * 0.5;
    options.reduction.apply(values + large.select(stirling, 0.0))
}
