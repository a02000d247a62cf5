//! Adapts a user's kernel to the [`Operation`] trait.

use super::CustomKernel;
use crate::ops::custom::CustomOperation;
use crate::ops::{GradContext, Operation};
use crate::reference::RefTensor;
use crate::shape::TensorType;
use crate::tensor::Tensor;

/// The adapter.
#[derive(Debug, Clone)]
pub(super) struct Custom<K>(K);

impl<K: CustomKernel> Custom<K> {
    pub(super) fn new(kernel: &K) -> Self {
        Custom(kernel.clone())
    }

    /// The reference's result, whatever its length. The reference is not called for an output without elements, so one
    /// that divides by a size need not handle 0.
    fn values(&self, inputs: &[&RefTensor], output: &TensorType) -> RefTensor {
        let nothing = output.shape.elements() == 0;
        let data = if nothing { Vec::new() } else { self.0.reference(inputs, output) };
        RefTensor { shape: output.shape.clone(), dtype: output.dtype, data }
    }
}

impl<K: CustomKernel> Operation for Custom<K> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn attributes(&self) -> String {
        format!("{:?}", self.0)
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<TensorType, String> {
        self.0.infer(inputs)
    }

    fn grad<'g>(&self, cx: &GradContext<'_, 'g>) -> Vec<Option<Tensor<'g>>> {
        let count = cx.inputs.len();
        let problem = match self.0.grad(cx) {
            Some(gradients) if gradients.len() == count => return gradients,
            Some(gradients) => format!("its rule returned {} gradients for {count} inputs", gradients.len()),
            None => "has no gradient: write CustomKernel::grad, or detach its inputs".into(),
        };
        cx.upstream.graph().fail(self.0.name(), problem);
        vec![None; count]
    }

    fn reference(&self, inputs: &[&RefTensor], output: &TensorType) -> RefTensor {
        self.values(inputs, output)
    }

    fn error_scale(&self, inputs: &[&RefTensor], value: &RefTensor) -> Vec<f64> {
        if value.data.is_empty() { Vec::new() } else { self.0.error_scale(inputs, value) }
    }
}

impl<K: CustomKernel> CustomOperation for Custom<K> {
    fn wgsl(&self, inputs: &[TensorType], output: &TensorType) -> String {
        self.0.wgsl(inputs, output)
    }

    fn params(&self, inputs: &[TensorType], output: &TensorType) -> Vec<u32> {
        self.0.params(inputs, output)
    }

    fn workgroups(&self, inputs: &[TensorType], output: &TensorType) -> Option<u64> {
        self.0.workgroups(inputs, output)
    }

    fn flops(&self, inputs: &[TensorType], output: &TensorType) -> u64 {
        self.0.flops(inputs, output)
    }

    fn host(&self, inputs: &[&[u32]], output: &mut [u32]) -> bool {
        self.0.host(inputs, output)
    }
}
