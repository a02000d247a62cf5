//! Cross-checking: a device against the f64 reference, gradients against finite differences, and both against PyTorch's
//! values ([`goldens`]).
//!
//! A device's value `v` for a reference value `r` passes if `|v − r| ≤ ε·scale + tiny`, where `scale` is the error scale the
//! operation states for a correct implementation ([`Operation::error_scale`](crate::ops::Operation::error_scale)): it
//! grows with the terms that were summed and with the functions' WGSL accuracy, so no fixed tolerance is used.

mod bounds;
pub mod goldens;
mod gradcheck;
mod parity;

pub use bounds::error_bounds;
pub use gradcheck::{GradcheckOptions, gradcheck, gradcheck_sample};
pub use parity::{Parity, parity};
