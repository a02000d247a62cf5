//! The indices of the `k` largest (or smallest) elements of each row of the last axis, sorted by value.
//!
//! As in PyTorch, a NaN counts as larger than any number. Among equal elements the one with the smaller index comes
//! first.

use super::{GradContext, Operation};
use crate::dtype::DType;
use crate::error::Result;
use crate::reference::RefTensor;
use crate::shape::TensorType;
use crate::tensor::Tensor;
use std::cmp::Ordering;

/// The sorted indices of the `k` largest or smallest elements of each row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct TopK {
    /// Number of elements per row.
    pub k: usize,
    /// Whether the largest are selected; else the smallest.
    pub largest: bool,
}

/// The total order of numbers, with NaN above all others.
fn order(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

impl Operation for TopK {
    fn name(&self) -> &'static str {
        "topk"
    }

    fn attributes(&self) -> String {
        format!("k={} {}", self.k, if self.largest { "largest" } else { "smallest" })
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<TensorType, String> {
        let [x] = inputs else { return Err(format!("takes one operand, but {} were given", inputs.len())) };
        let Some((&size, lead)) = x.shape.split_last() else {
            return Err("takes a tensor of rank 1 or more".into());
        };
        if self.k > size {
            return Err(format!("k = {} is more than the {size} elements of the axis", self.k));
        }
        Ok(TensorType::new([lead, &[self.k]].concat(), DType::U32))
    }

    fn grad<'g>(&self, _: &GradContext<'_, 'g>) -> Vec<Option<Tensor<'g>>> {
        vec![None]
    }

    fn reference(&self, inputs: &[&RefTensor], output: &TensorType) -> RefTensor {
        let x = inputs[0];
        let size = x.shape[x.shape.rank() - 1].max(1);
        let mut data = Vec::with_capacity(output.shape.elements());
        for row in x.data.chunks_exact(size) {
            let mut indices: Vec<usize> = (0..row.len()).collect();
            // The sort is stable, so equal elements keep their order.
            indices.sort_by(|&a, &b| {
                let order = order(row[a], row[b]);
                if self.largest { order.reverse() } else { order }
            });
            data.extend(indices[..self.k].iter().map(|&i| i as f64));
        }
        RefTensor { shape: output.shape.clone(), dtype: DType::U32, data }
    }

    fn error_scale(&self, _: &[&RefTensor], value: &RefTensor) -> Vec<f64> {
        vec![0.0; value.data.len()]
    }
}
