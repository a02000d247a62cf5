//! Attention.

use super::functional::{AttentionOptions, scaled_dot_product_attention};
use super::parameters::{Parameters, has_parameters};
use super::{Decoding, Generator, Initializer, Mode, Module};
use crate::shape::Shape;
use crate::tensor::Tensor;

/// Multi-head scaled dot-product attention (Vaswani et al. 2017): `torch.nn.MultiheadAttention` with
/// `batch_first=True`.
///
/// Parameters: `in_proj_weight` `[3e, e]` and `in_proj_bias` `[3e]` for queries, keys and values, `out_proj.weight`
/// `[e, e]` and `out_proj.bias` `[e]`. As a [`Module`] it is self-attention, `[n, l, e] → [n, l, e]`.
#[derive(Debug, Clone)]
pub struct MultiheadAttention {
    parameters: Parameters,
    embed_dim: usize,
    num_heads: usize,
    causal: bool,
}

impl MultiheadAttention {
    /// A layer with PyTorch's default initialisation. `num_heads` must divide `embed_dim`; otherwise the forward pass
    /// records an error.
    pub fn new(embed_dim: usize, num_heads: usize, rng: &mut Generator) -> Self {
        let [inner, outer] = [3, 1].map(|parts| Shape::from([embed_dim.saturating_mul(parts), embed_dim]));
        let mut parameters = Parameters::default();
        parameters.check([("in_proj_weight", &inner), ("out_proj.weight", &outer)]);
        parameters.draw("in_proj_weight", &inner, &inner, Initializer::XAVIER_UNIFORM, rng);
        parameters.draw("in_proj_bias", embed_dim.saturating_mul(3), &inner, Initializer::ZEROS, rng);
        parameters.draw("out_proj.weight", &outer, &outer, Initializer::Default, rng);
        parameters.draw("out_proj.bias", embed_dim, &outer, Initializer::ZEROS, rng);
        MultiheadAttention { parameters, embed_dim, num_heads, causal: false }
    }
    /// Removes the biases.
    pub fn without_bias(mut self) -> Self {
        self.parameters.set("in_proj_bias", None);
        self.parameters.set("out_proj.bias", None);
        self
    }
    /// As a [`Module`], applies a causal mask: each position attends to itself and the positions before it.
    pub fn causal(mut self) -> Self {
        self.causal = true;
        self
    }

    /// Attention of `query` `[n, l, e]` to `key` and `value` `[n, s, e]`: returns `[n, l, e]`. The options' mask
    /// broadcasts to `[n, heads, l, s]`.
    #[track_caller]
    pub fn attend<'g>(
        &self,
        query: Tensor<'g>,
        key: Tensor<'g>,
        value: Tensor<'g>,
        options: &AttentionOptions<'g>,
    ) -> Tensor<'g> {
        let mixed = self.projected(query, key, value).map(|[q, k, v]| scaled_dot_product_attention(q, k, v, options));
        mixed.map_or_else(|poisoned| poisoned, |mixed| self.joined(mixed))
    }

    /// Queries, keys and values of each head, `[n, heads, l, e/heads]`; a poisoned tensor if the operands do not suit.
    #[track_caller]
    fn projected<'g>(
        &self,
        query: Tensor<'g>,
        key: Tensor<'g>,
        value: Tensor<'g>,
    ) -> Result<[Tensor<'g>; 3], Tensor<'g>> {
        let (graph, e, heads) = (query.graph(), self.embed_dim, self.num_heads);
        if let Some(poisoned) = [query, key, value].into_iter().find(Tensor::is_poisoned) {
            return Err(poisoned);
        }
        if let Some(error) = self.parameters.error() {
            return Err(graph.fail("MultiheadAttention", error));
        }
        let given = [query, key, value].map(|t| t.shape());
        if given.iter().any(|s| s.rank() != 3 || s[2] != e) || heads == 0 || !e.is_multiple_of(heads) {
            let [q, k, v] = given;
            let message = format!(
                "{heads} heads with embed_dim {e} take operands [n, l, {e}], but their shapes are {q}, {k} and {v}"
            );
            return Err(graph.fail("MultiheadAttention", message));
        }
        let weight = self.parameters.value(graph, "in_proj_weight");
        let bias = self.parameters.optional(graph, "in_proj_bias");
        // Applies rows `from..to` of the joint projection.
        let project = |x: Tensor<'g>, from: usize, to: usize| {
            let y = x.matmul(weight.slice(0, from * e..to * e).t());
            bias.map_or(y, |bias| y + bias.slice(0, from * e..to * e))
        };
        let (q, k, v) = if query.id() == key.id() && key.id() == value.id() {
            let all = project(query, 0, 3);
            (all.slice(2, 0..e), all.slice(2, e..2 * e), all.slice(2, 2 * e..3 * e))
        } else {
            (project(query, 0, 1), project(key, 1, 2), project(value, 2, 3))
        };
        if let Some(poisoned) = [q, k, v].into_iter().find(Tensor::is_poisoned) {
            return Err(poisoned);
        }
        // [n, l, e] → [n, heads, l, e/heads].
        let split = |x: Tensor<'g>| {
            let shape = x.shape();
            x.reshape([shape[0], shape[1], heads, e / heads]).permute(&[0, 2, 1, 3])
        };
        Ok([q, k, v].map(split))
    }

    /// The output projection of the heads' results `[n, heads, l, e/heads]`.
    #[track_caller]
    fn joined<'g>(&self, mixed: Tensor<'g>) -> Tensor<'g> {
        if mixed.is_poisoned() {
            return mixed;
        }
        let (graph, shape) = (mixed.graph(), mixed.shape());
        let y = mixed.permute(&[0, 2, 1, 3]).reshape([shape[0], shape[2], self.embed_dim]);
        let y = y.matmul(self.parameters.value(graph, "out_proj.weight").t());
        self.parameters.optional(graph, "out_proj.bias").map_or(y, |bias| y + bias)
    }
}

impl Module for MultiheadAttention {
    fn name(&self) -> &'static str {
        "MultiheadAttention"
    }
    #[track_caller]
    fn forward<'g>(&self, x: Tensor<'g>, _: Mode) -> Tensor<'g> {
        self.attend(x, x, x, &AttentionOptions { causal: self.causal, ..AttentionOptions::default() })
    }
    fn can_decode(&self) -> bool {
        self.causal
    }
    /// Keys and values of earlier positions are kept (a key–value cache).
    #[track_caller]
    fn decode<'g>(&self, x: Tensor<'g>, cx: &Decoding<'g>) -> Tensor<'g> {
        if !self.causal {
            return x.graph().fail(self.name(), "without a causal mask cannot be evaluated one position at a time");
        }
        let [q, k, v] = match self.projected(x, x, x) {
            Ok(parts) => parts,
            Err(poisoned) => return poisoned,
        };
        let (keys, values) = (cx.extended("keys", k), cx.extended("values", v));
        let options = AttentionOptions { mask: Some(cx.seen()), ..AttentionOptions::default() };
        self.joined(scaled_dot_product_attention(q, keys, values, &options))
    }
    has_parameters!();
}
