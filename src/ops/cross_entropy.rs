//! Cross-entropy of rows of logits against class indices, and its gradient, without storing the probabilities:
//! - loss `l_n = −Σ_c t_c · log softmax(x_n)_c` with the target `t = (1 − s)·one_hot(label_n) + s/C`,
//! - gradient `dx_{n,c} = u_n · (softmax(x_n)_c − t_c)` for an upstream gradient `u`.
//!
//! A label beyond the last class counts as the last class, because a kernel cannot report an error.

use super::matmul::accumulation_error;
use super::softmax::shifted_log_sum;
use super::{GradContext, Op, Operation};
use crate::dtype::DType;
use crate::error::Result;
use crate::reference::RefTensor;
use crate::shape::TensorType;
use crate::tensor::Tensor;

/// The loss of each row, or its gradient. Operands: logits `[n, classes]`, labels `[n]` (u32), and for the gradient
/// also the upstream gradient `[n]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum CrossEntropy {
    /// The losses, `[n]`.
    Loss {
        /// Label smoothing, as the bits of an `f64`.
        smoothing: u64,
    },
    /// The gradient with respect to the logits, `[n, classes]`.
    Grad {
        /// Label smoothing, as the bits of an `f64`.
        smoothing: u64,
    },
}

impl CrossEntropy {
    pub(crate) fn smoothing(&self) -> f64 {
        match self {
            CrossEntropy::Loss { smoothing } | CrossEntropy::Grad { smoothing } => f64::from_bits(*smoothing),
        }
    }
    fn target(&self, classes: usize, label: f64, class: usize) -> f64 {
        let hit = (label as usize).min(classes - 1) == class;
        (1.0 - self.smoothing()) * f64::from(u8::from(hit)) + self.smoothing() / classes as f64
    }
    pub(crate) fn is_grad(&self) -> bool {
        matches!(self, CrossEntropy::Grad { .. })
    }
}

impl Operation for CrossEntropy {
    fn name(&self) -> &'static str {
        if self.is_grad() { "cross_entropy_grad" } else { "cross_entropy" }
    }

    fn attributes(&self) -> String {
        if self.smoothing() == 0.0 { String::new() } else { format!("label_smoothing={}", self.smoothing()) }
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<TensorType, String> {
        let wanted = if self.is_grad() { 3 } else { 2 };
        if inputs.len() != wanted {
            return Err(format!("takes {wanted} operands, but {} were given", inputs.len()));
        }
        let (x, labels) = (&inputs[0], &inputs[1]);
        if !x.dtype.is_float() || x.shape.rank() != 2 || x.shape[1] == 0 {
            return Err(format!("the logits must be an f32 or f16 [n, classes] tensor, but are {x}"));
        }
        if labels.dtype != DType::U32 || *labels.shape != x.shape[..1] {
            return Err(format!("the labels must be u32[{}] to go with logits {x}, but are {labels}", x.shape[0]));
        }
        if let Some(upstream) = inputs.get(2) {
            if upstream.dtype != x.dtype || *upstream.shape != x.shape[..1] {
                return Err(format!("the upstream gradient must be {}[{}], but is {upstream}", x.dtype, x.shape[0]));
            }
            return Ok(x.clone());
        }
        Ok(TensorType::new(&x.shape[..1], x.dtype))
    }

    fn grad<'g>(&self, cx: &GradContext<'_, 'g>) -> Vec<Option<Tensor<'g>>> {
        let (x, labels, g) = (cx.inputs[0], cx.inputs[1], cx.upstream);
        if let CrossEntropy::Loss { smoothing } = *self {
            let op = Op::CrossEntropy(CrossEntropy::Grad { smoothing });
            return vec![Some(x.graph().apply(op, &[x, labels, g])), None];
        }
        // d = u·(p − t). Its pullback of v is p·(v·u − Σ p·v·u) for the logits and Σ v·(p − t) for u.
        let (upstream, p) = (cx.inputs[2], x.softmax(-1));
        let classes = x.shape()[1];
        let s = self.smoothing();
        let t = labels.minimum(classes as u32 - 1).one_hot(classes).cast(x.dtype()) * (1.0 - s) + s / classes as f64;
        let vu = g * upstream.unsqueeze(1);
        let dx = p * (vu - (p * vu).sum_keepdim(1));
        vec![Some(dx), None, Some((g * (p - t)).sum(1))]
    }

    fn reference(&self, inputs: &[&RefTensor], output: &TensorType) -> RefTensor {
        let (x, labels) = (inputs[0], inputs[1]);
        let classes = x.shape[1];
        let mut data = Vec::with_capacity(output.shape.elements());
        for (n, row) in x.data.chunks_exact(classes).enumerate() {
            let (max, log_sum) = shifted_log_sum(row);
            let target = |c| self.target(classes, labels.data[n], c);
            let log_p = |c: usize| row[c] - max - log_sum;
            if self.is_grad() {
                data.extend((0..classes).map(|c| inputs[2].data[n] * (log_p(c).exp() - target(c))));
            } else {
                // A class with target probability 0 adds nothing, even if its log-probability is −∞.
                data.push(-(0..classes).filter(|&c| target(c) != 0.0).map(|c| target(c) * log_p(c)).sum::<f64>());
            }
        }
        RefTensor { shape: output.shape.clone(), dtype: output.dtype, data }
    }

    fn error_scale(&self, inputs: &[&RefTensor], value: &RefTensor) -> Vec<f64> {
        let (x, labels) = (inputs[0], inputs[1]);
        let classes = x.shape[1];
        let mut scale = Vec::with_capacity(value.data.len());
        for (n, row) in x.data.chunks_exact(classes).enumerate() {
            let (max, log_sum) = shifted_log_sum(row);
            let target = |c| self.target(classes, labels.data[n], c);
            let shared = 3.0 + accumulation_error(classes) + log_sum;
            if self.is_grad() {
                scale.extend(row.iter().enumerate().map(|(c, x)| {
                    let p = (x - max - log_sum).exp();
                    inputs[2].data[n].abs() * (p * (6.0 + 3.0 * (x - max).abs() + shared) + 2.0 * p + 2.0 * target(c))
                }));
            } else {
                let terms: f64 = row.iter().enumerate().map(|(c, x)| target(c) * ((x - max).abs() + log_sum)).sum();
                scale.push(shared + 4.0 * terms);
            }
        }
        scale
    }
}
