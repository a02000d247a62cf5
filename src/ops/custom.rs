//! Operations from outside of this crate.

use super::Operation;
use crate::shape::TensorType;

/// An [`Operation`] that brings a shader of its own. [`custom::CustomKernel`](crate::custom::CustomKernel) is the convenient way
/// to write one, and says what each part is for; [`Graph::custom`](crate::Graph::custom) makes this of it.
pub trait CustomOperation: Operation {
    /// The shader for operands of these types.
    fn wgsl(&self, inputs: &[TensorType], output: &TensorType) -> String;
    /// The words of the uniform.
    fn params(&self, inputs: &[TensorType], output: &TensorType) -> Vec<u32>;
    /// How many workgroups to run; by default one invocation for each element of the output.
    fn workgroups(&self, inputs: &[TensorType], output: &TensorType) -> Option<u64>;
    /// Floating-point operations of one launch.
    fn flops(&self, inputs: &[TensorType], output: &TensorType) -> u64;
    /// Computes the output on the host, if there is a faster way than the reference; whether it did. Each element is a
    /// 32-bit word: the bits of an `f32` (also for `f16`, which is rounded afterwards), a `u32` or an `i32`.
    fn host(&self, inputs: &[&[u32]], output: &mut [u32]) -> bool;
}
