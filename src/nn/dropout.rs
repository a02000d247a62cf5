//! Dropout.

use super::decoding::position_wise;
use super::{Mode, Module};
use crate::tensor::Tensor;

/// In training, sets each element to 0 with probability `p` and scales the others by `1/(1−p)`: `torch.nn.Dropout`.
/// The mask comes from the graph's counter-based random numbers, so it is the same on every device.
#[derive(Debug, Clone, Copy)]
pub struct Dropout {
    p: f64,
}

impl Dropout {
    /// A layer with drop probability `p` in `[0, 1]`; for any other the forward pass records an error.
    pub fn new(p: f64) -> Self {
        Dropout { p }
    }
}

impl Module for Dropout {
    fn name(&self) -> &'static str {
        "Dropout"
    }
    #[track_caller]
    fn forward<'g>(&self, x: Tensor<'g>, mode: Mode) -> Tensor<'g> {
        if mode == Mode::Eval || self.p == 0.0 {
            return x;
        }
        let keep = x.graph().random_bernoulli(1.0 - self.p, x.shape());
        let scale = if self.p < 1.0 { 1.0 / (1.0 - self.p) } else { 0.0 };
        keep.select(x * scale, 0.0)
    }
    position_wise!();
}
