//! Verification: a device against the f64 reference, gradients against finite differences, and both against values
//! computed by PyTorch ([`goldens`]).
//!
//! A device's value `v` for a reference value `r` passes if `|v − r| ≤ ε·scale + tiny`. `scale` is the operation's
//! error scale ([`Operation::error_scale`](crate::ops::Operation::error_scale)): it grows with the number of terms of
//! sums and with the error that WGSL allows for functions, so there is no fixed tolerance.
//!
//! - [`check`]: every kernel and its gradients, including edge cases, and random programs;
//! - [`divergence`]: the first node of a user's graph whose result is wrong on a device;
//! - [`anomaly`]: the first operation that produced NaN or infinity;
//! - [`bundle`]: a failing case as files, to be replayed elsewhere;
//! - [`goldens`]: folders of golden values computed by PyTorch;
//! - [`kernels`]: every specialised shader that the samples use;
//! - [`gradcheck`](fn@gradcheck): the gradients of a graph against finite differences.

pub mod anomaly;
mod bounds;
pub mod bundle;
mod cases;
pub mod check;
mod compare;
pub mod divergence;
mod fuzz;
pub mod goldens;
mod gradcheck;
pub mod kernels;
mod parity;
mod trial;

pub use bounds::error_bounds;
pub use check::custom as check_custom;
pub use compare::{Comparison, Element};
pub use gradcheck::{GradcheckOptions, gradcheck, gradcheck_sample, gradgradcheck};
pub use parity::{Parity, parity};
pub use trial::{Expected, Trial};

/// The samples of every operation and of [`nn::functional`](crate::nn::functional), on which parity, gradcheck,
/// `wgrad check` and the list of kernels are based.
pub fn samples() -> Vec<crate::ops::samples::Sample> {
    crate::ops::samples::all().into_iter().chain(crate::nn::functional::samples()).collect()
}
