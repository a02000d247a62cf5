//! Operations defined outside of this crate.

use super::Operation;
use crate::shape::TensorType;

/// An [`Operation`] with a shader of its own. [`custom::CustomKernel`](crate::custom::CustomKernel) is the convenient
/// way to write one, and documents each part; [`Graph::custom`](crate::Graph::custom) wraps it as one of these.
pub trait CustomOperation: Operation {
    /// The WGSL shader for operands of these types.
    fn wgsl(&self, inputs: &[TensorType], output: &TensorType) -> String;
    /// The 32-bit words of the uniform buffer.
    fn params(&self, inputs: &[TensorType], output: &TensorType) -> Vec<u32>;
    /// The number of workgroups to dispatch; `None` means one thread per element of the output.
    fn workgroups(&self, inputs: &[TensorType], output: &TensorType) -> Option<u64>;
    /// Floating-point operations of one launch.
    fn flops(&self, inputs: &[TensorType], output: &TensorType) -> u64;
    /// Computes the output on the host, if there is a faster routine than the reference. Returns whether it did. Each
    /// element is a 32-bit word: the bits of an `f32` (also for `f16`, which is rounded afterwards), a `u32` or an
    /// `i32`.
    fn host(&self, inputs: &[&[u32]], output: &mut [u32]) -> bool;
}
