//! Softmax and log-softmax over the last axis. The row's maximum `m` is subtracted first, so no exponential
//! overflows:
//! - softmax `y_j = e^(x_j − m) / Σ_k e^(x_k − m)`,
//! - log-softmax `y_j = (x_j − m) − log Σ_k e^(x_k − m)`.

use super::matmul::accumulation_error;
use super::{GradContext, Operation};
use crate::error::Result;
use crate::reference::RefTensor;
use crate::shape::TensorType;
use crate::tensor::Tensor;

/// Softmax or log-softmax over the last axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Softmax {
    /// Whether this is log-softmax.
    pub log: bool,
}

/// The row's maximum and `log Σ e^(x − max)`.
pub(super) fn shifted_log_sum(row: &[f64]) -> (f64, f64) {
    let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (max, row.iter().map(|x| (x - max).exp()).sum::<f64>().ln())
}

impl Operation for Softmax {
    fn name(&self) -> &'static str {
        if self.log { "log_softmax" } else { "softmax" }
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<TensorType, String> {
        let [x] = inputs else { return Err(format!("takes one operand, but {} were given", inputs.len())) };
        if !x.dtype.is_float() || x.shape.rank() == 0 {
            return Err(format!("takes an f32 or f16 tensor of rank 1 or more, but the operand is {x}"));
        }
        Ok(x.clone())
    }

    fn grad<'g>(&self, cx: &GradContext<'_, 'g>) -> Vec<Option<Tensor<'g>>> {
        let (y, g) = (cx.output, cx.upstream);
        vec![Some(if self.log { g - y.exp() * g.sum_keepdim(-1) } else { y * (g - (g * y).sum_keepdim(-1)) })]
    }

    fn reference(&self, inputs: &[&RefTensor], output: &TensorType) -> RefTensor {
        let cols = output.shape[output.shape.rank() - 1];
        let mut data = Vec::with_capacity(inputs[0].data.len());
        for row in inputs[0].data.chunks_exact(cols.max(1)) {
            let (max, log_sum) = shifted_log_sum(row);
            data.extend(row.iter().map(|x| {
                let y = (x - max) - log_sum;
                if self.log { y } else { y.exp() }
            }));
        }
        RefTensor { shape: output.shape.clone(), dtype: output.dtype, data }
    }

    fn error_scale(&self, inputs: &[&RefTensor], value: &RefTensor) -> Vec<f64> {
        // The subtraction x − max rounds; exp turns that error, and its own of 3 + 2|x| ulp, into a relative error.
        let cols = value.shape[value.shape.rank() - 1];
        let sum = accumulation_error(cols);
        let rows = inputs[0].data.chunks_exact(cols.max(1)).zip(value.data.chunks_exact(cols.max(1)));
        rows.flat_map(|(row, out)| {
            let (max, log_sum) = shifted_log_sum(row);
            row.iter()
                .zip(out)
                .map(|(x, y)| {
                    let distance = (x - max).abs();
                    let shared = 3.0 + sum + log_sum;
                    if self.log { shared + distance + y.abs() } else { y * (6.0 + 3.0 * distance + shared) }
                })
                .collect::<Vec<_>>()
        })
        .collect()
    }
}
