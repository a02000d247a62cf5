//! Activations.

use super::{Mode, Module};
use crate::tensor::Tensor;

macro_rules! activation {
    ($($(#[$doc:meta])* $name:ident $text:literal |$x:ident| $y:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub struct $name;

        impl Module for $name {
            fn name(&self) -> &'static str {
                $text
            }
            #[track_caller]
            fn forward<'g>(&self, $x: Tensor<'g>, _: Mode) -> Tensor<'g> {
                $y
            }
        }
    )*};
}
activation! {
    /// `max(x, 0)`.
    Relu "ReLU" |x| x.relu();
    /// Hyperbolic tangent.
    Tanh "Tanh" |x| x.tanh();
    /// `1/(1+e⁻ˣ)`.
    Sigmoid "Sigmoid" |x| x.sigmoid();
    /// Softmax over the last axis.
    Softmax "Softmax" |x| x.softmax(-1);
}
