//! Whether a network that is to predict the next token can see it.

use super::model::Model;
use crate::array::Array;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::nn::{Mode, Module};
use crate::session::Session;

/// Checks on the CPU that what the network outputs for earlier positions does not depend on the last token. Otherwise the
/// training would succeed, and the network be worth nothing: the next token is among what it sees.
///
/// # Errors
/// [`Error::Config`] that says what helps.
pub(super) fn check(model: &Model, tokens: usize) -> Result<()> {
    let length: usize = model.input.iter().product();
    if length < 2 {
        return Ok(());
    }
    let g = Graph::new();
    let x = g.input("x", [&[2], &model.input[..]].concat(), DType::F32);
    let output = model.network.forward(x, Mode::Eval);
    let mut session = Session::new(Device::cpu())?;
    let program = session.compile(&g, &[output.slice(1, 0..length - 1)])?;
    // Two sequences that differ in the last token only.
    let mut values: Vec<f32> = (0..2 * length).map(|k| ((k % length * 7) % tokens.max(2)) as f32).collect();
    let last = values[length - 1];
    values[2 * length - 1] = if last == 0.0 { 1.0 } else { last - 1.0 };
    let out = session.run(&program, &[("x", &Array::new(x.shape(), values)?)])?;
    let values = out[0].as_slice::<f32>()?;
    let (first, second) = values.split_at(values.len() / 2);
    // Two rows of one product may round differently.
    let size = values.iter().fold(0f32, |size, v| size.max(v.abs()));
    if first.iter().zip(second).any(|(a, b)| (a - b).abs() > 1e-4 * size) {
        let message = "an output depends on later tokens, among them the one that it is to predict: set causal = true in \
                       multihead_attention, and use no layer that mixes positions otherwise";
        return Err(Error::config("model", message));
    }
    Ok(())
}
