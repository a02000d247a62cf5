//! A user's operation as a kernel.

use super::KernelInfo;
use crate::ops::custom::CustomOperation;
use crate::shape::TensorType;
use std::sync::Arc;

/// A user's operation with its operands' types. All operands are dense and start where their buffers do.
#[derive(Debug, Clone)]
pub struct UserKernel {
    /// The operation: its reference, which is what the host runs, and its shader.
    pub op: Arc<dyn CustomOperation>,
    /// The inputs' types.
    pub inputs: Vec<TensorType>,
    /// The output's type.
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
