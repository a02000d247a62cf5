//! Scaled dot-product attention.

use crate::dtype::DType;
use crate::tensor::Tensor;

/// Settings of [`scaled_dot_product_attention`].
#[derive(Debug, Clone, Copy, Default)]
pub struct AttentionOptions<'g> {
    /// An integer mask: a query attends to a key where it is not 0. A float mask is added to the scores. Broadcasts
    /// to `[…, l, s]`.
    pub mask: Option<Tensor<'g>>,
    /// Whether a query attends only to keys up to its own position.
    pub causal: bool,
    /// The factor on the dot products of queries and keys; `1/√e` if `None`.
    pub scale: Option<f64>,
}

/// A masked score: its softmax weight is 0. It is finite, because WGSL lets devices assume that no value is infinite.
const HIDDEN: f64 = -1e30;
/// The same in `f16`.
const HIDDEN_F16: f64 = -6e4;

/// `softmax(q·kᵀ·scale + mask)·v` for queries `[…, l, e]`, keys `[…, s, e]` and values `[…, s, d]`; leading axes
/// broadcast: `torch.nn.functional.scaled_dot_product_attention`. A query whose keys are all masked weights them
/// equally (PyTorch returns NaN).
#[track_caller]
pub fn scaled_dot_product_attention<'g>(
    q: Tensor<'g>,
    k: Tensor<'g>,
    v: Tensor<'g>,
    options: &AttentionOptions<'g>,
) -> Tensor<'g> {
    let poison = [Some(q), Some(k), Some(v), options.mask].into_iter().flatten().find(|t| t.is_poisoned());
    if let Some(poison) = poison {
        return poison;
    }
    let graph = q.graph();
    if [q, k, v].iter().any(|t| t.shape().rank() < 2) {
        let message = format!(
            "queries, keys and values must be […, l, e], but their shapes are {}, {} and {}",
            q.shape(),
            k.shape(),
            v.shape()
        );
        return graph.fail("scaled_dot_product_attention", message);
    }
    let width = q.shape()[q.shape().rank() - 1];
    let scale = options.scale.unwrap_or(1.0 / (width.max(1) as f64).sqrt());
    let mut scores = (q * scale).matmul(k.t());
    if scores.is_poisoned() {
        return scores;
    }
    let hidden = if scores.dtype() == DType::F16 { HIDDEN_F16 } else { HIDDEN };
    if let Some(mask) = options.mask {
        scores = match mask.dtype() {
            DType::F32 | DType::F16 => scores + mask.cast(scores.dtype()).maximum(hidden),
            DType::I32 => mask.ne(0).select(scores, hidden),
            DType::U32 => mask.select(scores, hidden),
        };
    }
    if options.causal && !scores.is_poisoned() {
        let shape = scores.shape();
        let size = [shape[shape.rank() - 2], shape[shape.rank() - 1]];
        let seen = graph.iota(size, 0).ge(graph.iota(size, 1));
        scores = seen.select(scores, hidden);
    }
    scores.softmax(-1).matmul(v)
}
