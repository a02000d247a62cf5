//! The cumulative sum along the last axis: `y[j] = Σ_{i ≤ j} x[i]`, or in reverse `y[j] = Σ_{i ≥ j} x[i]`.
//!
//! Kernels cut a long row into segments: they sum each segment, scan these totals, and scan each segment starting
//! from the total of those before it.

use super::matmul::accumulation_error;
use super::{GradContext, Op, Operation};
use crate::dtype::DType;
use crate::error::Result;
use crate::reference::RefTensor;
use crate::shape::TensorType;
use crate::tensor::Tensor;

/// A cumulative sum along the last axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Scan {
    /// Whether the sum runs from the end of the axis.
    pub reverse: bool,
}

/// The running sums of `row`, with the addition of the dtype (wrapping for integers).
fn running(dtype: DType, row: impl Iterator<Item = f64>) -> impl Iterator<Item = f64> {
    row.scan(0.0, move |sum, x| {
        *sum = match dtype {
            DType::F32 | DType::F16 => *sum + x,
            DType::U32 => f64::from((*sum as u32).wrapping_add(x as u32)),
            DType::I32 => f64::from((*sum as i32).wrapping_add(x as i32)),
        };
        Some(*sum)
    })
}

impl Scan {
    fn sums(self, x: &RefTensor) -> Vec<f64> {
        let columns = x.shape[x.shape.rank() - 1].max(1);
        let row = |row: &[f64]| -> Vec<f64> {
            if !self.reverse {
                return running(x.dtype, row.iter().copied()).collect();
            }
            let mut sums: Vec<f64> = running(x.dtype, row.iter().rev().copied()).collect();
            sums.reverse();
            sums
        };
        x.data.chunks_exact(columns).flat_map(row).collect()
    }
}

impl Operation for Scan {
    fn name(&self) -> &'static str {
        "cumsum"
    }

    fn attributes(&self) -> String {
        if self.reverse { "reverse".into() } else { String::new() }
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<TensorType, String> {
        let [x] = inputs else { return Err(format!("takes one operand, but {} were given", inputs.len())) };
        if x.shape.rank() == 0 {
            return Err("takes a tensor of rank 1 or more".into());
        }
        Ok(x.clone())
    }

    fn grad<'g>(&self, cx: &GradContext<'_, 'g>) -> Vec<Option<Tensor<'g>>> {
        let op = Op::Scan(Scan { reverse: !self.reverse });
        vec![Some(cx.upstream.graph().apply(op, &[cx.upstream]))]
    }

    fn reference(&self, inputs: &[&RefTensor], output: &TensorType) -> RefTensor {
        RefTensor { shape: output.shape.clone(), dtype: output.dtype, data: self.sums(inputs[0]) }
    }

    fn error_scale(&self, inputs: &[&RefTensor], value: &RefTensor) -> Vec<f64> {
        if !value.dtype.is_float() {
            return vec![0.0; value.data.len()];
        }
        let columns = value.shape[value.shape.rank() - 1].max(1);
        let terms = |i: usize| if self.reverse { columns - i % columns } else { i % columns + 1 };
        let magnitude = self.sums(&inputs[0].abs());
        magnitude.iter().enumerate().map(|(i, m)| accumulation_error(terms(i)) * m).collect()
    }
}
