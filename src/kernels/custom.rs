//! Custom operations as kernels.

use super::KernelInfo;
use crate::ops::custom::CustomOperation;
use crate::shape::TensorType;
use std::sync::Arc;

/// A custom operation with the types of its operands. All operands are dense and at the start of their buffers.
#[derive(Debug, Clone)]
pub struct UserKernel {
    /// The operation: its reference, which the host runs, and its shader.
    pub op: Arc<dyn CustomOperation>,
    /// The types of the inputs.
    pub inputs: Vec<TensorType>,
    /// The type of the output.
    pub output: TensorType,
}

impl KernelInfo for UserKernel {
    fn name(&self) -> &'static str {
        self.op.name()
    }
    fn describe(&self) -> String {
        format!("custom {}", self.op.attributes())
    }
    fn flops(&self) -> u64 {
        self.op.flops(&self.inputs, &self.output)
    }
    fn needs_origin(&self) -> bool {
        true
    }
}
