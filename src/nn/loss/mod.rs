//! Loss functions, with the semantics of `torch.nn.functional`.
//!
//! PyTorch's keyword arguments are fields of option structs, with PyTorch's defaults. Predictions and targets must
//! have the same shape: a `[n, 1]` prediction against `[n]` targets is an error and does not broadcast to `[n, n]`.
//!
//! ```
//! use wgrad::nn::loss::{self, CrossEntropy, Reduction};
//! use wgrad::{Array, Device, Graph, Session};
//! let g = Graph::new();
//! let logits = g.constant(Array::new([2, 3], vec![2.0f32, 0.0, 0.0, 0.0, 1.0, 0.0])?);
//! let labels = g.constant(Array::from([0u32, 2]));
//! let smooth = CrossEntropy { label_smoothing: 0.1, ..CrossEntropy::default() };
//! let each = loss::cross_entropy(logits, labels, CrossEntropy { reduction: Reduction::None, ..smooth });
//! let mean = loss::cross_entropy(logits, labels, smooth);
//! let mut session = Session::new(Device::cpu())?;
//! let program = session.compile(&g, &[each, mean])?;
//! let out = session.run(&program, &[])?;
//! let each = out[0].to_f64();
//! assert!((out[1].item()? - (each[0] + each[1]) / 2.0).abs() < 1e-6);
//! # Ok::<(), wgrad::Error>(())
//! ```

mod binary;
mod classes;
mod distance;
mod distribution;

pub use binary::{Bce, BceWithLogits, bce, bce_with_logits, hinge_embedding_loss, soft_margin_loss};
pub use classes::{CrossEntropy, MultiMargin, NllLoss, cross_entropy, multi_margin_loss, nll_loss};
pub use distance::{huber, l1, mse, smooth_l1};
pub use distribution::{GaussianNll, KlDiv, KlReduction, PoissonNll, gaussian_nll, kl_div, poisson_nll};

use crate::tensor::Tensor;

/// How the losses of the samples or elements are reduced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reduction {
    /// No reduction.
    None,
    /// The mean.
    #[default]
    Mean,
    /// The sum.
    Sum,
}

impl Reduction {
    #[track_caller]
    fn apply<'g>(self, values: Tensor<'g>) -> Tensor<'g> {
        match self {
            Reduction::None => values,
            Reduction::Mean => values.mean(..),
            Reduction::Sum => values.sum(..),
        }
    }
}

/// Records an error unless both tensors have the same shape.
#[track_caller]
fn same_shape<'g>(name: &str, input: Tensor<'g>, target: Tensor<'g>) -> Result<(), Tensor<'g>> {
    let (a, b) = (input.shape(), target.shape());
    if a == b || input.is_poisoned() || target.is_poisoned() {
        return Ok(());
    }
    let message = format!("the prediction's shape {a} and the target's {b} must be the same; reshape or broadcast one");
    Err(input.graph().fail(name, message))
}

/// Records an error unless `fits`: an option's value is out of its range.
#[track_caller]
fn option_in<'g>(name: &str, input: Tensor<'g>, option: &str, value: f64, fits: bool) -> Result<(), Tensor<'g>> {
    if fits { Ok(()) } else { Err(input.graph().fail(name, format!("{option} cannot be {value}"))) }
}

/// Returns the poisoned tensor of a failed check.
macro_rules! check {
    ($($result:expr),+) => {$(
        if let Err(poisoned) = $result {
            return poisoned;
        }
    )+};
}
use check;

/// `log(1 + eˣ)` for any `x`. [`Tensor::softplus`], like PyTorch's, drops the small term above its threshold.
#[track_caller]
fn softplus(x: Tensor<'_>) -> Tensor<'_> {
    -(-x).log_sigmoid()
}
