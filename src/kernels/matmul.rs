//! Batched matmul.

use super::{Fused, Kernel, KernelInfo, Launch};
use crate::shape::Shape;

/// `[batch…, m, k] × [batch…, k, n] → [batch…, m, n]`, with inputs of any strides and a dense output.
#[derive(Debug, Clone)]
pub struct MatmulKernel {
    /// The batch axes.
    pub batch: Shape,
    /// The number of rows of the output.
    pub m: usize,
    /// The number of columns of the output.
    pub n: usize,
    /// The size of the reduced axis.
    pub k: usize,
    /// The epilogue, applied to each element.
    pub epilogue: Option<Fused>,
    /// Whether there is a second output: the sum of each row of the first input.
    pub row_sums: bool,
}

impl KernelInfo for MatmulKernel {
    fn name(&self) -> &'static str {
        "matmul"
    }
    fn flops(&self) -> u64 {
        2 * (self.batch.elements() * self.m * self.n * self.k) as u64
    }
    fn describe(&self) -> String {
        let batch = if self.batch.elements() == 1 { String::new() } else { format!("{} of ", self.batch.elements()) };
        let epilogue = self.epilogue.as_ref().map_or(String::new(), |fused| fused.describe_epilogue(2));
        let sums = if self.row_sums { "; row sums of in0" } else { "" };
        format!("{batch}{}x{} by {}x{}{sums}{epilogue}", self.m, self.k, self.k, self.n)
    }
    fn own_inputs(&self) -> usize {
        2
    }
    fn epilogue(&self) -> Option<&Fused> {
        self.epilogue.as_ref()
    }
    fn with_epilogue(&self, epilogue: Fused) -> Option<Kernel> {
        (!self.row_sums).then(|| MatmulKernel { epilogue: Some(epilogue), ..self.clone() }.into())
    }
    fn absorb(&self, own: &Launch, other: &Launch) -> Option<Launch> {
        let (a, plain) = (&own.inputs[0], self.epilogue.is_none() && !self.row_sums);
        if !plain || self.batch.elements() != 1 || !super::reduce::sums_rows(other, a, a.view.shape.rank() - 2) {
            return None;
        }
        Some(own.absorbing(other, MatmulKernel { row_sums: true, ..self.clone() }))
    }
}
