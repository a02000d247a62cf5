//! Cross-checking: a device against the f64 reference, gradients against finite differences, and both against PyTorch's
//! values ([`goldens`]).
//!
//! A device's value `v` for a reference value `r` passes if `|v − r| ≤ ε·scale + tiny`, where `scale` is the error scale the
//! operation states for a correct implementation ([`Operation::error_scale`](crate::ops::Operation::error_scale)): it
//! grows with the terms that were summed and with the functions' WGSL accuracy, so no fixed tolerance is used.
//!
//! - [`check`]: every kernel and its gradients, at the edges too, and random programs;
//! - [`divergence`]: the first node of a user's graph that a device computes wrongly;
//! - [`anomaly`]: the first operation that gave a NaN or an infinity;
//! - [`bundle`]: a failing case as files, to be run again elsewhere;
//! - [`goldens`]: folders of values that PyTorch computed;
//! - [`kernels`]: every specialised shader that the samples ask for;
//! - [`gradcheck`](fn@gradcheck): a graph's gradients against finite differences.

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

/// The cases of every operation and of [`nn::functional`](crate::nn::functional): what parity, gradcheck, `wgrad check` and the
/// list of kernels go through.
pub fn samples() -> Vec<crate::ops::samples::Sample> {
    crate::ops::samples::all().into_iter().chain(crate::nn::functional::samples()).collect()
}
