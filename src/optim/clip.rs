//! Limits on gradients.

use crate::tensor::Tensor;

/// A limit on gradients.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Clip {
    /// Of the Euclidean norm of all of them: [`clip_grad_norm`].
    Norm(f64),
    /// Of each element's size: [`clip_grad_value`].
    Value(f64),
}

impl Clip {
    /// The limited gradients.
    #[track_caller]
    pub fn apply<'g>(self, gradients: &[Tensor<'g>]) -> Vec<Tensor<'g>> {
        match self {
            Clip::Norm(max_norm) => clip_grad_norm(gradients, max_norm).0,
            Clip::Value(clip_value) => clip_grad_value(gradients, clip_value),
        }
    }
}

/// Scales gradients so that their Euclidean norm, taken as of one vector, is at most `max_norm`: all of them times
/// `min(1, max_norm/(norm + 1e-6))`, as `torch.nn.utils.clip_grad_norm_` does. Gives them and the norm there was (a scalar).
#[track_caller]
pub fn clip_grad_norm<'g>(gradients: &[Tensor<'g>], max_norm: f64) -> (Vec<Tensor<'g>>, Option<Tensor<'g>>) {
    let squares = gradients.iter().map(|g| g.square().sum(..));
    let Some(norm) = squares.reduce(|a, b| a + b).map(Tensor::sqrt) else { return (Vec::new(), None) };
    if max_norm.is_nan() || max_norm < 0.0 {
        let poisoned = norm.graph().fail("clip_grad_norm", format!("the largest norm cannot be {max_norm}"));
        return (vec![poisoned; gradients.len()], Some(poisoned));
    }
    let factor = (max_norm / (norm + 1e-6)).minimum(1.0);
    (gradients.iter().map(|g| *g * factor).collect(), Some(norm))
}

/// Limits each element to `[−clip_value, clip_value]`: `torch.nn.utils.clip_grad_value_`.
#[track_caller]
pub fn clip_grad_value<'g>(gradients: &[Tensor<'g>], clip_value: f64) -> Vec<Tensor<'g>> {
    gradients.iter().map(|g| g.clamp(-clip_value, clip_value)).collect()
}
