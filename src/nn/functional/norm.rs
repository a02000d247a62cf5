//! Normalisation: groups of elements are shifted to mean 0 and scaled to variance 1.

use crate::shape::Shape;
use crate::tensor::Tensor;

/// `y·weight + bias`, where given.
#[track_caller]
fn affine<'g>(y: Tensor<'g>, weight: Option<Tensor<'g>>, bias: Option<Tensor<'g>>) -> Tensor<'g> {
    // No closures: `#[track_caller]` does not reach through them.
    let y = match weight {
        Some(weight) => y * weight,
        None => y,
    };
    match bias {
        Some(bias) => y + bias,
        None => y,
    }
}

/// A parameter `[c]`, reshaped to broadcast along axis 1 of a tensor of rank `rank`.
#[track_caller]
fn by_channel(parameter: Tensor<'_>, rank: usize) -> Tensor<'_> {
    if parameter.is_poisoned() {
        return parameter;
    }
    parameter.reshape([vec![parameter.shape().elements()], vec![1; rank - 2]].concat())
}

/// The trailing axes of `normalized_shape`, or an error.
#[track_caller]
fn trailing<'g>(name: &str, x: Tensor<'g>, normalized: &Shape) -> Result<Vec<isize>, Tensor<'g>> {
    if x.is_poisoned() {
        return Err(x);
    }
    let shape = x.shape();
    if normalized.rank() == 0 || !shape.ends_with(normalized) {
        let message = format!("the normalised shape {normalized} must be the last axes of the operand's, {shape}");
        return Err(x.graph().fail(name, message));
    }
    Ok((1..=normalized.rank() as isize).map(|k| -k).collect())
}

#[track_caller]
fn standardized<'g>(x: Tensor<'g>, axes: &[isize], eps: f64) -> Tensor<'g> {
    let centred = x - x.mean_keepdim(axes);
    centred * (centred.square().mean_keepdim(axes) + eps).rsqrt()
}

/// `(x − mean)/√(variance + eps)·weight + bias` over the last axes, those of `normalized_shape`:
/// `torch.nn.functional.layer_norm`. Weight and bias have the shape `normalized_shape`.
#[track_caller]
pub fn layer_norm<'g>(
    x: Tensor<'g>,
    normalized_shape: impl Into<Shape>,
    weight: Option<Tensor<'g>>,
    bias: Option<Tensor<'g>>,
    eps: f64,
) -> Tensor<'g> {
    match trailing("layer_norm", x, &normalized_shape.into()) {
        Ok(axes) => affine(standardized(x, &axes, eps), weight, bias),
        Err(poison) => poison,
    }
}

/// `x/√(mean x² + eps)·weight` over the last axes, those of `normalized_shape`: `torch.nn.functional.rms_norm`. The
/// weight has the shape `normalized_shape`; `eps` is the dtype's epsilon by default.
#[track_caller]
pub fn rms_norm<'g>(
    x: Tensor<'g>,
    normalized_shape: impl Into<Shape>,
    weight: Option<Tensor<'g>>,
    eps: Option<f64>,
) -> Tensor<'g> {
    match trailing("rms_norm", x, &normalized_shape.into()) {
        Ok(axes) => {
            let eps = eps.unwrap_or(x.dtype().epsilon());
            affine(x * (x.square().mean_keepdim(axes) + eps).rsqrt(), weight, None)
        }
        Err(poison) => poison,
    }
}

/// As [`layer_norm`], over `num_groups` groups of the channels of `[n, c, …]`: `torch.nn.functional.group_norm`.
/// Weight and bias are `[c]`.
#[track_caller]
pub fn group_norm<'g>(
    x: Tensor<'g>,
    num_groups: usize,
    weight: Option<Tensor<'g>>,
    bias: Option<Tensor<'g>>,
    eps: f64,
) -> Tensor<'g> {
    if x.is_poisoned() {
        return x;
    }
    let shape = x.shape();
    if shape.rank() < 2 || num_groups == 0 || !shape[1].is_multiple_of(num_groups) {
        return x
            .graph()
            .fail("group_norm", format!("{num_groups} groups do not divide the channels of shape {shape}"));
    }
    let size = shape[1..].iter().product::<usize>() / num_groups;
    let y = standardized(x.reshape([shape[0], num_groups, size]), &[-1], eps).reshape(&shape);
    let [weight, bias] = [weight, bias].map(|p| p.map(|p| by_channel(p, shape.rank())));
    affine(y, weight, bias)
}

/// As [`layer_norm`], over each channel of each sample of `[n, c, …]`: `torch.nn.functional.instance_norm`. Weight
/// and bias are `[c]`.
#[track_caller]
pub fn instance_norm<'g>(x: Tensor<'g>, weight: Option<Tensor<'g>>, bias: Option<Tensor<'g>>, eps: f64) -> Tensor<'g> {
    if x.is_poisoned() {
        return x;
    }
    let channels = x.shape().get(1).copied().unwrap_or(0);
    group_norm(x, channels, weight, bias, eps)
}

/// Settings of [`batch_norm`], with the defaults of PyTorch's layers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNormOptions {
    /// Whether the batch's own statistics are used and the running statistics updated; otherwise the running
    /// statistics are used.
    pub training: bool,
    /// The weight of the batch's statistics in the running statistics' update.
    pub momentum: f64,
    /// Added to the variance.
    pub eps: f64,
}

impl Default for BatchNormOptions {
    fn default() -> Self {
        BatchNormOptions { training: true, momentum: 0.1, eps: 1e-5 }
    }
}

/// The result of [`batch_norm`].
#[derive(Debug, Clone, Copy)]
pub struct BatchNorm<'g> {
    /// The normalised batch.
    pub output: Tensor<'g>,
    /// The new running mean and running variance, `[c]`, if running statistics were given; without gradients.
    pub running: Option<(Tensor<'g>, Tensor<'g>)>,
}

/// `(x − mean)/√(variance + eps)·weight + bias` for each channel of `[n, c]` or `[n, c, …]`, over all samples and
/// positions: `torch.nn.functional.batch_norm`. Weight, bias, running mean and running variance are `[c]`.
///
/// In training, the mean and the (biased) variance are the batch's; the running variance is updated with the unbiased
/// estimate. Otherwise the running statistics are used, or the batch's if none are given.
///
/// ```
/// use wgrad::nn::functional::{BatchNormOptions, batch_norm};
/// use wgrad::{DType, Graph};
/// let g = Graph::new();
/// let x = g.input("x", [8, 3, 20], DType::F32);
/// let running = [0.0, 1.0].map(|value| g.full([3], value, DType::F32));
/// let y = batch_norm(x, Some(running.into()), None, None, BatchNormOptions::default());
/// assert_eq!(*y.output.shape(), [8, 3, 20]);
/// assert_eq!(*y.running.unwrap().0.shape(), [3]);
/// ```
#[track_caller]
pub fn batch_norm<'g>(
    x: Tensor<'g>,
    running: Option<(Tensor<'g>, Tensor<'g>)>,
    weight: Option<Tensor<'g>>,
    bias: Option<Tensor<'g>>,
    options: BatchNormOptions,
) -> BatchNorm<'g> {
    let all = [Some(x), weight, bias, running.map(|r| r.0), running.map(|r| r.1)];
    if let Some(poison) = all.into_iter().flatten().find(|t| t.is_poisoned()) {
        return BatchNorm { output: poison, running };
    }
    let shape = x.shape();
    let other = all[1..].iter().flatten().map(|t| t.shape()).find(|other| shape.rank() > 1 && **other != shape[1..2]);
    let count = shape.elements() / shape.get(1).copied().unwrap_or(1).max(1);
    let uses_batch = options.training || running.is_none();
    let problem = match other {
        _ if shape.rank() < 2 => Some(format!("takes a tensor [n, c] or [n, c, …], but its shape is {shape}")),
        Some(other) => {
            Some(format!("the parameters of {} channels must have shape [{0}], but one has shape {other}", shape[1]))
        }
        None if uses_batch && count < 2 => {
            Some(format!("training needs more than one value per channel, but the shape is {shape}"))
        }
        None => None,
    };
    if let Some(message) = problem {
        return BatchNorm { output: x.graph().fail("batch_norm", message), running };
    }
    let channel = |t: Tensor<'g>| by_channel(t, shape.rank());
    let [weight, bias] = [weight, bias].map(|p| p.map(channel));
    if let (Some((mean, variance)), false) = (running, options.training) {
        let y = (x - channel(mean)) * (channel(variance) + options.eps).rsqrt();
        return BatchNorm { output: affine(y, weight, bias), running };
    }
    let axes: Vec<isize> = (0..shape.rank() as isize).filter(|&k| k != 1).collect();
    let mean = x.mean_keepdim(&axes[..]);
    let centred = x - mean;
    let variance = centred.square().mean_keepdim(&axes[..]);
    let output = affine(centred * (variance + options.eps).rsqrt(), weight, bias);
    let next = |old: Tensor<'g>, batch: Tensor<'g>, scale: f64| {
        let batch = batch.detach().reshape(&shape[1..2]);
        old.detach() * (1.0 - options.momentum) + batch.cast(old.dtype()) * (options.momentum * scale)
    };
    let unbiased = count as f64 / (count as f64 - 1.0);
    let running = running.map(|(m, v)| (next(m, mean, 1.0), next(v, variance, unbiased)));
    BatchNorm { output, running }
}
