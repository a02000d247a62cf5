//! Building the graph of a case from its operation and attributes.

use super::case::{Case, Inputs, Trouble};
use super::{activations, losses, reductions};
use crate::nn::functional::{
    self, AttentionOptions, BatchNormOptions, batch_norm, group_norm, instance_norm, layer_norm, rms_norm,
};
use crate::ops::conv::ConvOptions;
use crate::ops::pool::PoolOptions;
use crate::tensor::{Tensor, einsum};

type Outputs<'g> = Vec<(String, Tensor<'g>)>;

/// The outputs of a case by name, starting with the one to differentiate. `values` are the names of the golden outputs
/// that are not gradients. A single golden output may have any name.
pub(super) fn build<'g>(case: &Case, inputs: &Inputs<'g>, values: &[&str]) -> Result<Outputs<'g>, Trouble> {
    let mut outputs = if let Some(y) = losses::build(case, inputs)? {
        vec![("loss".to_string(), y)]
    } else if let Some(outputs) = several(case, inputs)? {
        outputs
    } else if let Some(y) = structured(case, inputs)? {
        vec![("out".to_string(), y)]
    } else if let Some(outputs) = reductions::build(case, inputs.x()?)? {
        outputs
    } else if let Some(y) = activations::build(case, inputs.x()?)? {
        vec![("out".to_string(), y)]
    } else {
        return Err(Trouble::NotCovered(format!("the operation `{}` is unknown", case.op)));
    };
    if let ([only], [first, ..]) = (values, &outputs[..])
        && !outputs.iter().any(|(name, _)| name == only)
    {
        let first = (only.to_string(), first.1);
        outputs.insert(0, first);
    }
    Ok(outputs)
}

fn conv_options(case: &Case) -> Result<ConvOptions, Trouble> {
    Ok(ConvOptions {
        stride: case.sizes("stride", &[1])?,
        padding: case.sizes("padding", &[0])?,
        dilation: case.sizes("dilation", &[1])?,
        groups: case.sizes("groups", &[1])?[0],
    })
}

fn pool_options(case: &Case) -> Result<PoolOptions, Trouble> {
    let kernel = case.sizes("kernel_size", &case.sizes("kernel", &[2])?)?;
    let stride = if case.has("stride") { Some(case.sizes("stride", &[])?) } else { None };
    let divisor = if case.has("divisor_override") { Some(case.sizes("divisor_override", &[])?[0]) } else { None };
    Ok(PoolOptions {
        kernel,
        stride: stride.filter(|list| !list.is_empty()),
        padding: case.sizes("padding", &[0])?,
        dilation: case.sizes("dilation", &[1])?,
        ceil_mode: case.flag("ceil_mode", false),
        count_include_pad: case.flag("count_include_pad", true),
        divisor_override: divisor,
    })
}

/// Operations with several outputs.
fn several<'g>(case: &Case, inputs: &Inputs<'g>) -> Result<Option<Outputs<'g>>, Trouble> {
    let named = |name: &str, t| (name.to_string(), t);
    Ok(Some(match case.op.as_str() {
        "clip_grad_norm" => {
            let p = case.number("norm_type", 2.0);
            let gradients: Vec<_> = inputs
                .list
                .iter()
                .filter(|(name, _, _)| name.starts_with('g'))
                .map(|(name, t, _)| (name, *t))
                .collect();
            let Some(((_, first), rest)) = gradients.split_first() else { return case.wrong("there are no gradients") };
            let norms = first.norm(p, ..).stack(&rest.iter().map(|(_, g)| g.norm(p, ..)).collect::<Vec<_>>(), 0);
            let total = norms.norm(p, ..);
            let factor = (case.number("max_norm", 1.0) / (total + 1e-6)).minimum(1.0);
            let clipped = gradients.iter().map(|(name, g)| named(name, *g * factor));
            std::iter::once(named("total_norm", total)).chain(clipped).collect()
        }
        "batch_norm" | "batch_norm1d" | "batch_norm2d" => batch_norms(case, inputs)?,
        "max_pool1d" | "max_pool2d" | "max_pool" => {
            let (x, options) = (inputs.x()?, pool_options(case)?);
            case.implied(&["return_indices"]);
            let one = case.op != "max_pool2d" && (case.op == "max_pool1d" || x.shape().rank() == 3);
            let rank = if one { 1 } else { 2 };
            let y = if one { functional::max_pool1d(x, &options) } else { functional::max_pool2d(x, &options) };
            let batch = if x.shape().rank() == rank + 2 { x } else { x.unsqueeze(0) };
            let places = batch.max_pool_indices(&options).reshape(y.shape());
            vec![named("out", y), named("indices", places)]
        }
        "split" | "chunk" => {
            let (x, axis) = (inputs.x()?, case.axis(0));
            let parts = if case.op == "split" {
                x.split(case.sizes("split_size", &case.sizes("size", &[1])?)?[0], axis)
            } else {
                x.chunk(case.sizes("chunks", &[2])?[0], axis)
            };
            parts.into_iter().enumerate().map(|(k, part)| (format!("out{k}"), part)).collect()
        }
        _ => return Ok(None),
    }))
}

/// One step of batch normalisation, or several, each with its own input and upstream gradient.
fn batch_norms<'g>(case: &Case, inputs: &Inputs<'g>) -> Result<Outputs<'g>, Trouble> {
    let options = BatchNormOptions {
        training: case.flag("training", true),
        momentum: case.number("momentum", 0.1),
        eps: case.number("eps", 1e-5),
    };
    let steps = case.sizes("steps", &[1])?[0];
    case.implied(&["affine"]);
    let mut running = inputs.find("running_mean").zip(inputs.find("running_var"));
    let [weight, bias] = ["weight", "bias"].map(|name| inputs.find(name));
    let mut outputs = Vec::new();
    for step in 0..steps {
        let name = |name: &str| if inputs.find("x").is_some() { name.to_string() } else { format!("{name}{step}") };
        let x = inputs.get(&name("x"))?;
        let y = batch_norm(x, running, weight, bias, options);
        outputs.push((name("out"), y.output));
        if let (Some(upstream), true) = (inputs.find(&name("grad_out")), inputs.find("x").is_none()) {
            for (wrt, t) in [("x", Some(x)), ("weight", weight), ("bias", bias)] {
                if let Some(t) = t {
                    outputs.push((name(&format!("grad_{wrt}")), y.output.vjp(upstream, &[t])[0]));
                }
            }
        }
        running = y.running;
        if let Some((mean, variance)) = running {
            outputs.push((name("running_mean_after"), mean));
            outputs.push((name("running_var_after"), variance));
        }
    }
    Ok(outputs)
}

fn structured<'g>(case: &Case, inputs: &Inputs<'g>) -> Result<Option<Tensor<'g>>, Trouble> {
    let [weight, bias] = ["weight", "bias"].map(|name| inputs.find(name));
    let binary = || Ok::<_, Trouble>((inputs.any(&["a", "x", "input"])?, inputs.any(&["b", "y", "other"])?));
    let eps = |default| case.number("eps", default);
    case.implied(&["bias", "affine"]);
    Ok(Some(match case.op.as_str() {
        "matmul" | "mm" | "bmm" => {
            let operand = |t: Tensor<'g>, flag| if case.flag(flag, false) { t.t() } else { t };
            let (a, b) = binary()?;
            operand(a, "transpose_a").matmul(operand(b, "transpose_b"))
        }
        "linear" => functional::linear(inputs.x()?, inputs.get("weight")?, bias),
        "conv1d" => functional::conv1d(inputs.x()?, inputs.get("weight")?, bias, &conv_options(case)?),
        "conv2d" => functional::conv2d(inputs.x()?, inputs.get("weight")?, bias, &conv_options(case)?),
        "conv_transpose1d" | "conv_transpose2d" => {
            let (x, weight, options) = (inputs.x()?, inputs.get("weight")?, conv_options(case)?);
            let more = case.sizes("output_padding", &[0])?;
            if case.op == "conv_transpose1d" {
                functional::conv_transpose1d(x, weight, bias, &options, more)
            } else {
                functional::conv_transpose2d(x, weight, bias, &options, more)
            }
        }
        "avg_pool1d" => functional::avg_pool1d(inputs.x()?, &pool_options(case)?),
        "avg_pool2d" => functional::avg_pool2d(inputs.x()?, &pool_options(case)?),
        "adaptive_avg_pool1d" => functional::adaptive_avg_pool1d(inputs.x()?, case.sizes("output_size", &[1])?),
        "adaptive_avg_pool2d" => functional::adaptive_avg_pool2d(inputs.x()?, case.sizes("output_size", &[1])?),
        "adaptive_max_pool1d" => functional::adaptive_max_pool1d(inputs.x()?, case.sizes("output_size", &[1])?),
        "adaptive_max_pool2d" => functional::adaptive_max_pool2d(inputs.x()?, case.sizes("output_size", &[1])?),
        "layer_norm" | "rms_norm" => {
            let x = inputs.x()?;
            let last = [x.shape().last().copied().unwrap_or(1)];
            let shape = case.sizes("normalized_shape", &last)?;
            if case.op == "layer_norm" {
                layer_norm(x, shape, weight, bias, eps(1e-5))
            } else {
                // The golden values were computed in f64, so PyTorch's default is the epsilon of f64.
                rms_norm(x, shape, weight, Some(eps(f64::EPSILON)))
            }
        }
        "group_norm" => {
            let groups = case.sizes("num_groups", &case.sizes("groups", &[1])?)?[0];
            group_norm(inputs.x()?, groups, weight, bias, eps(1e-5))
        }
        "instance_norm" | "instance_norm1d" | "instance_norm2d" => instance_norm(inputs.x()?, weight, bias, eps(1e-5)),
        "prelu" => inputs.x()?.prelu(inputs.get("weight")?),
        "attention" | "scaled_dot_product_attention" | "sdpa" => attention(case, inputs)?,
        "embedding" => {
            let indices = inputs.any(&["indices", "input", "x"])?;
            let padding = if case.has("padding_idx") { Some(case.sizes("padding_idx", &[])?[0]) } else { None };
            functional::embedding(indices, inputs.get("weight")?, padding)
        }
        "add" => binary().map(|(a, b)| a + b)?,
        "sub" => binary().map(|(a, b)| a - b)?,
        "mul" => binary().map(|(a, b)| a * b)?,
        "div" => binary().map(|(a, b)| a / b)?,
        "maximum" => binary().map(|(a, b)| a.maximum(b))?,
        "minimum" => binary().map(|(a, b)| a.minimum(b))?,
        "pow" if !case.has("exponent") => binary().map(|(a, b)| a.pow(b))?,
        "outer" => binary().map(|(a, b)| a.outer(b))?,
        "einsum" => {
            let (a, b) = binary()?;
            let spec = ["equation", "spec", "subscripts"].into_iter().find(|key| case.has(key)).unwrap_or("equation");
            einsum(case.text(spec), a, b)
        }
        "where" => {
            let condition = inputs.any(&["condition", "cond", "mask"])?;
            let (a, b) = binary()?;
            condition.ne(0).select(a, b)
        }
        _ => return movement(case, inputs),
    }))
}

fn attention<'g>(case: &Case, inputs: &Inputs<'g>) -> Result<Tensor<'g>, Trouble> {
    let mask = inputs.find("mask").or_else(|| inputs.find("attn_mask")).or_else(|| inputs.find("bias"));
    let causal = case.flag("causal", case.flag("is_causal", false));
    let scale = match case.text("scale") {
        "" if case.has("scale") => Some(case.number("scale", 1.0)),
        "" | "1/sqrt(E)" => None,
        other => match other.parse() {
            Ok(scale) => Some(scale),
            Err(_) => return Err(Trouble::NotCovered(format!("`scale` is {other}"))),
        },
    };
    let [q, k, v] = [["q", "query"], ["k", "key"], ["v", "value"]].map(|names| inputs.any(&names));
    Ok(functional::scaled_dot_product_attention(q?, k?, v?, &AttentionOptions { mask, causal, scale }))
}

/// Movement and indexing operations.
fn movement<'g>(case: &Case, inputs: &Inputs<'g>) -> Result<Option<Tensor<'g>>, Trouble> {
    let x = || inputs.x();
    let index = || inputs.any(&["index", "indices", "idx"]);
    let list = |key: &str| case.integers(key).ok_or_else(|| Trouble::NotCovered(format!("there is no list `{key}`")));
    Ok(Some(match case.op.as_str() {
        "permute" => x()?.permute(&list("dims")?),
        "transpose" => {
            let axes = [case.integer("dim0", 0), case.integer("dim1", 1)];
            x()?.transpose(axes[0], axes[1])
        }
        "reshape" | "view" => x()?.reshape(case.sizes("shape", &[])?),
        "flatten" => x()?.flatten(case.integer("start_dim", 0)),
        "expand" | "broadcast_to" => x()?.broadcast_to(case.sizes("shape", &case.sizes("size", &[])?)?),
        "squeeze" => x()?.squeeze(case.axis(0)),
        "unsqueeze" => x()?.unsqueeze(case.axis(0)),
        "flip" => list("dims").or_else(|_| list("dim"))?.into_iter().fold(x()?, Tensor::flip),
        "concat" | "cat" | "stack" => {
            let all = inputs.all();
            let Some((first, others)) = all.split_first() else { return case.wrong("there are no inputs") };
            let axis = case.axis(0);
            if case.op == "stack" { first.stack(others, axis) } else { first.concat(others, axis) }
        }
        "slice" => {
            let x = x()?;
            let axis = case.axis(0);
            let size = x
                .shape()
                .get(if axis < 0 { x.shape().rank().wrapping_add_signed(axis) } else { axis as usize })
                .copied();
            let step = case.sizes("step", &[1])?[0];
            x.slice_step(axis, case.sizes("start", &[0])?[0]..case.sizes("end", &[size.unwrap_or(0)])?[0], step)
        }
        "pad" => {
            let mode = case.text("mode");
            if !mode.is_empty() && mode != "constant" {
                return Err(Trouble::NotCovered(format!("padding mode `{mode}`")));
            }
            let (pairs, value) = (case.sizes("pad", &[])?, case.number("value", 0.0));
            pairs.chunks_exact(2).enumerate().fold(x()?, |t, (k, pair)| t.pad(-1 - k as isize, pair[0], pair[1], value))
        }
        "repeat" => x()?.repeat(&case.sizes("repeats", &case.sizes("sizes", &[])?)?),
        "tile" => x()?.tile(&case.sizes("dims", &case.sizes("reps", &[])?)?),
        "repeat_interleave" => x()?.repeat_interleave(case.sizes("repeats", &[1])?[0], case.axis(0)),
        "gather" => x()?.gather(case.axis(0), index()?),
        "index_select" => x()?.index_select(case.axis(0), index()?),
        "one_hot" => index().or_else(|_| x())?.one_hot(case.sizes("num_classes", &[1])?[0]),
        _ => return Ok(None),
    }))
}
