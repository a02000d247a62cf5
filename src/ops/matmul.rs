//! Batched matmul: `c[…, i, j] = Σ_k a[…, i, k] · b[…, k, j]`.
//!
//! The operands may be any views: a transposed operand needs no copy.

use super::{GradContext, Operation};
use crate::error::Result;
use crate::reference::RefTensor;
use crate::shape::TensorType;
use crate::tensor::Tensor;

/// Matrix multiplication of the last two axes; the leading axes are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Matmul;

/// The error bound of a float sum of `n` terms, in epsilons times `Σ|terms|`: the rounding errors behave like a
/// random walk (Higham & Mary, *A new approach to probabilistic rounding error analysis*, 2019), with a margin for
/// the rounding of the terms themselves.
pub fn accumulation_error(n: usize) -> f64 {
    2.0 + (n as f64).sqrt()
}

fn multiply(a: &RefTensor, b: &RefTensor, output: &TensorType) -> RefTensor {
    let rank = a.shape.rank();
    let (m, k, n) = (a.shape[rank - 2], a.shape[rank - 1], b.shape[rank - 1]);
    RefTensor::from_fn(&output.shape, output.dtype, |index| {
        let (batch, i, j) = (index / (m * n), index / n % m, index % n);
        (0..k).map(|p| a.data[(batch * m + i) * k + p] * b.data[(batch * k + p) * n + j]).sum()
    })
}

impl Operation for Matmul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<TensorType, String> {
        let [a, b] = inputs else { return Err(format!("takes two operands, but {} were given", inputs.len())) };
        if a.dtype != b.dtype || !a.dtype.is_float() {
            return Err(format!("takes two f32 or two f16 operands, but they are {} and {}", a.dtype, b.dtype));
        }
        let rank = a.shape.rank();
        if rank < 2 || rank != b.shape.rank() || a.shape[..rank - 2] != b.shape[..rank - 2] {
            return Err(format!("leading axes of {} and {} differ", a.shape, b.shape));
        }
        let (inner_a, inner_b) = (a.shape[rank - 1], b.shape[rank - 2]);
        if inner_a != inner_b {
            return Err(format!(
                "inner sizes differ: {} has {inner_a} columns, {} has {inner_b} rows",
                a.shape, b.shape
            ));
        }
        let shape = [&a.shape[..rank - 1], &[b.shape[rank - 1]]].concat();
        Ok(TensorType { shape: shape.into(), dtype: a.dtype })
    }

    fn grad<'g>(&self, cx: &GradContext<'_, 'g>) -> Vec<Option<Tensor<'g>>> {
        let (a, b, g) = (cx.inputs[0], cx.inputs[1], cx.upstream);
        vec![cx.wanted[0].then(|| g.matmul(b.t())), cx.wanted[1].then(|| a.t().matmul(g))]
    }

    fn reference(&self, inputs: &[&RefTensor], output: &TensorType) -> RefTensor {
        multiply(inputs[0], inputs[1], output)
    }

    fn error_scale(&self, inputs: &[&RefTensor], value: &RefTensor) -> Vec<f64> {
        let (a, b) = (inputs[0].abs(), inputs[1].abs());
        let output = TensorType::new(&value.shape, value.dtype);
        let k = a.shape[a.shape.rank() - 1];
        multiply(&a, &b, &output).data.iter().map(|terms| accumulation_error(k) * terms).collect()
    }
}
