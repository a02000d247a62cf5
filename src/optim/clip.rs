//! Gradient clipping.

use crate::tensor::Tensor;

/// How gradients are clipped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Clip {
    /// By the Euclidean norm of all gradients together: [`clip_grad_norm`].
    Norm(f64),
    /// By the absolute value of each element: [`clip_grad_value`].
    Value(f64),
}

impl Clip {
    /// The clipped gradients.
    #[track_caller]
    pub fn apply<'g>(self, gradients: &[Tensor<'g>]) -> Vec<Tensor<'g>> {
        match self {
            Clip::Norm(max_norm) => clip_grad_norm(gradients, max_norm).0,
            Clip::Value(clip_value) => clip_grad_value(gradients, clip_value),
        }
    }
}

/// Scales the gradients so that their Euclidean norm, as one vector, is at most `max_norm`: multiplies all of them by
/// `min(1, max_norm/(norm + 1e-6))`, as `torch.nn.utils.clip_grad_norm_` does. Returns them and the norm before
/// clipping (a scalar).
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

/// Clamps each element to `[−clip_value, clip_value]`: `torch.nn.utils.clip_grad_value_`.
#[track_caller]
pub fn clip_grad_value<'g>(gradients: &[Tensor<'g>], clip_value: f64) -> Vec<Tensor<'g>> {
    gradients.iter().map(|g| g.clamp(-clip_value, clip_value)).collect()
}
