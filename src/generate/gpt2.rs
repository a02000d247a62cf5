//! GPT-2's weights, as Hugging Face publishes them in `.safetensors` files.
//!
//! Names are mapped to the same network in wgrad's layers; the projections, which GPT-2 stores as `[in, out]`, are
//! transposed. The output layer is the token embedding's weight.

use super::NetworkModel;
use crate::array::Array;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::nn::{
    Embedding, Gelu, Generator, Initializer, LayerNorm, Linear, Module, MultiheadAttention, PositionalEmbedding,
    Residual, Sequential,
};
use crate::session::Session;
use crate::train::weights;
use std::collections::BTreeMap;
use std::path::Path;

/// The sizes of a network of GPT-2's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gpt2Sizes {
    /// The number of tokens.
    pub vocabulary: usize,
    /// The longest sequence.
    pub positions: usize,
    /// The width of the embedding.
    pub width: usize,
    /// The number of blocks.
    pub blocks: usize,
    /// The number of attention heads.
    pub heads: usize,
}

impl Gpt2Sizes {
    /// The network: embeddings, blocks of attention and a perceptron, each behind a layer norm and with a residual
    /// connection, a layer norm, and the output layer. Parameters are newly drawn.
    pub fn network(&self) -> Sequential {
        let e = self.width;
        // The values are replaced; constants take no time.
        let (zeros, rng) = (Initializer::ZEROS, &mut Generator::new(0));
        let mut network = Sequential::new()
            .push(Embedding::with_init(self.vocabulary, e, zeros, rng))
            .push(PositionalEmbedding::new(self.positions, e, zeros, rng));
        for _ in 0..self.blocks {
            let attend =
                Sequential::new().push(LayerNorm::new([e])).push(MultiheadAttention::new(e, self.heads, rng).causal());
            let perceptron = Sequential::new()
                .push(LayerNorm::new([e]))
                .push(Linear::with_init(e, 4 * e, zeros, Some(zeros), rng))
                .push(Gelu { tanh: true })
                .push(Linear::with_init(4 * e, e, zeros, Some(zeros), rng));
            network = network.push(Residual::new(attend)).push(Residual::new(perceptron));
        }
        network.push(LayerNorm::new([e])).push(Linear::with_init(e, self.vocabulary, zeros, None, rng))
    }

    /// Where each parameter of the network comes from: its name, GPT-2's name, and whether it is transposed.
    fn sources(&self) -> Vec<(String, String, bool)> {
        let mut all =
            vec![("0.weight".into(), "wte.weight".into(), false), ("1.weight".into(), "wpe.weight".into(), false)];
        for block in 0..self.blocks {
            let (attention, perceptron) = (2 + 2 * block, 3 + 2 * block);
            let parts: [(usize, &str, &str, bool); 12] = [
                (attention, "0.weight", "ln_1.weight", false),
                (attention, "0.bias", "ln_1.bias", false),
                (attention, "1.in_proj_weight", "attn.c_attn.weight", true),
                (attention, "1.in_proj_bias", "attn.c_attn.bias", false),
                (attention, "1.out_proj.weight", "attn.c_proj.weight", true),
                (attention, "1.out_proj.bias", "attn.c_proj.bias", false),
                (perceptron, "0.weight", "ln_2.weight", false),
                (perceptron, "0.bias", "ln_2.bias", false),
                (perceptron, "1.weight", "mlp.c_fc.weight", true),
                (perceptron, "1.bias", "mlp.c_fc.bias", false),
                (perceptron, "3.weight", "mlp.c_proj.weight", true),
                (perceptron, "3.bias", "mlp.c_proj.bias", false),
            ];
            all.extend(parts.map(|(layer, own, theirs, transposed)| {
                (format!("{layer}.{own}"), format!("h.{block}.{theirs}"), transposed)
            }));
        }
        let last = 2 + 2 * self.blocks;
        all.push((format!("{last}.weight"), "ln_f.weight".into(), false));
        all.push((format!("{last}.bias"), "ln_f.bias".into(), false));
        all.push((format!("{}.weight", last + 1), "wte.weight".into(), false));
        all
    }
}

/// Loads GPT-2's weights from a `.safetensors` file. The number of heads is `heads`, or `n_head` of the `config.json` beside
/// the file, or a 64th of the width, as in all published sizes.
///
/// # Errors
/// [`Error::File`] that names the tensors that are missing or have another shape.
pub fn load(path: impl AsRef<Path>, heads: Option<usize>, device: Device) -> Result<NetworkModel> {
    let path = path.as_ref();
    let mut tensors = BTreeMap::new();
    for (name, array) in weights::read(path)? {
        // With and without the head's prefix; masks that some files store are not parameters.
        tensors.insert(name.strip_prefix("transformer.").unwrap_or(&name).to_string(), array);
    }
    let shape_of = |name: &str| {
        let found: Option<&Array> = tensors.get(name);
        found
            .map(|a| a.shape().to_vec())
            .filter(|shape| shape.len() == 2)
            .ok_or_else(|| Error::file(path, format!("has no matrix `{name}`: these are not GPT-2's weights")))
    };
    let (tokens, positions) = (shape_of("wte.weight")?, shape_of("wpe.weight")?);
    let blocks = (0..).take_while(|k| tensors.contains_key(&format!("h.{k}.ln_1.weight"))).count();
    let heads = match heads {
        Some(heads) => heads,
        None => heads_beside(path)?.unwrap_or((tokens[1] / 64).max(1)),
    };
    let sizes = Gpt2Sizes { vocabulary: tokens[0], positions: positions[0], width: tokens[1], blocks, heads };
    if heads == 0 || !sizes.width.is_multiple_of(heads) {
        return Err(Error::config("heads", format!("{heads} do not divide the width {}", sizes.width)));
    }
    let network = sizes.network();
    let mut session = Session::new(device)?;
    let state = network.state_dict();
    for (own, theirs, transposed) in sizes.sources() {
        let wrong = |message: String| Error::file(path, format!("`{theirs}` {message}"));
        let found = tensors.get(&theirs).ok_or_else(|| wrong("is missing".into()))?;
        let (_, variable) = (state.iter().find(|(name, _)| *name == own))
            .ok_or_else(|| Error::Internal(format!("GPT-2's network has no `{own}`")))?;
        let value = if transposed { transpose(found)? } else { found.clone() };
        let wanted = variable.tensor_type();
        if value.tensor_type() != wanted {
            return Err(wrong(format!("has shape {}, which does not suit {wanted} of `{own}`", found.shape())));
        }
        session.write(variable, &value)?;
    }
    Ok(NetworkModel::new(network, session, sizes.positions, sizes.vocabulary))
}

/// `n_head` of the `config.json` beside the weights, if there is one.
fn heads_beside(path: &Path) -> Result<Option<usize>> {
    let config = path.with_file_name("config.json");
    let Ok(text) = std::fs::read_to_string(&config) else { return Ok(None) };
    let json: serde_json::Value =
        serde_json::from_str(&text).map_err(|e| Error::file(&config, format!("is not JSON: {e}")))?;
    Ok(json["n_head"].as_u64().map(|n| n as usize))
}

fn transpose(array: &Array) -> Result<Array> {
    let [rows, columns] = array.shape()[..] else {
        return Err(Error::value("GPT-2", format!("a projection has shape {}", array.shape())));
    };
    let values = array.as_slice::<f32>()?;
    let turned = (0..columns).flat_map(|c| (0..rows).map(move |r| values[r * columns + c])).collect();
    Array::new([columns, rows], turned)
}
