//! Losses.

use super::case::{Case, Inputs, Trouble};
use crate::dtype::DType;
use crate::tensor::Tensor;

/// The loss that the case names, if it is one.
pub(super) fn build<'g>(case: &Case, inputs: &Inputs<'g>) -> Result<Option<Tensor<'g>>, Trouble> {
    let target = || inputs.any(&["target", "target_probs", "y"]);
    let prediction = || inputs.any(&["input", "x", "prediction", "logits"]);
    let rows = match case.op.as_str() {
        "cross_entropy" => return cross_entropy(case, inputs).map(Some),
        "nll_loss" | "nll" => {
            let p = inputs.any(&["log_probs", "input", "x"])?;
            let target = target()?;
            let picked = -by_class(p).gather(1, target.flatten(0).maximum(0).unsqueeze(1)).squeeze(1);
            return weighted(case, inputs, picked, target).map(Some);
        }
        "mse" | "mse_loss" => (prediction()? - target()?).square(),
        "l1" | "l1_loss" => (prediction()? - target()?).abs(),
        "huber" | "smooth_l1" | "huber_loss" | "smooth_l1_loss" => {
            let d = prediction()? - target()?;
            // Smooth L1 is Huber divided by its threshold.
            let (delta, scale) = if case.op.starts_with("huber") {
                (case.number("delta", 1.0), 1.0)
            } else {
                let beta = case.number("beta", 1.0);
                if beta == 0.0 {
                    return Ok(Some(reduced(case, d.abs())));
                }
                (beta, 1.0 / beta)
            };
            let line = (d.abs() - 0.5 * delta) * delta;
            d.abs().le(delta).select(d.square() * 0.5, line) * scale
        }
        "bce_with_logits" => {
            let (z, t) = (inputs.any(&["logits", "input", "x"])?, target()?);
            let tail = ((-z.abs()).exp() + 1.0).log();
            let rows = match inputs.find("pos_weight") {
                Some(weight) => (1.0 - t) * z + (1.0 + (weight - 1.0) * t) * (tail + (-z).maximum(0.0)),
                None => z.maximum(0.0) - z * t + tail,
            };
            inputs.find("weight").map_or(rows, |weight| rows * weight)
        }
        "bce" | "binary_cross_entropy" => {
            let (p, t) = (inputs.any(&["probs", "input", "x"])?, target()?);
            // PyTorch limits the logarithms.
            let log = |p: Tensor<'g>| p.log().maximum(-100.0);
            let rows = -(t * log(p) + (1.0 - t) * log(-p + 1.0));
            inputs.find("weight").map_or(rows, |weight| rows * weight)
        }
        "kl_div" => {
            let (q, t) = (inputs.any(&["log_q", "input", "x"])?, inputs.any(&["target_probs", "target"])?);
            if case.flag("log_target", false) {
                t.exp() * (t - q)
            } else {
                let zero = t.le(0.0);
                zero.select(0.0, t * (zero.select(1.0, t).log() - q))
            }
        }
        "gaussian_nll" | "gaussian_nll_loss" => {
            let (x, t) = (prediction()?, target()?);
            let var = inputs.any(&["var", "variance"])?;
            let eps = case.number("eps", 1e-6);
            // The bound has no gradient in PyTorch: the variance keeps its own.
            let var = var + (var.detach().maximum(eps) - var.detach());
            let rows = (var.log() + (x - t).square() / var) * 0.5;
            let constant = 0.5 * (2.0 * std::f64::consts::PI).ln();
            if case.flag("full", false) { rows + constant } else { rows }
        }
        "poisson_nll" | "poisson_nll_loss" => {
            let (x, t) = (prediction()?, target()?);
            if case.flag("full", false) {
                return Err(Trouble::NotCovered("`full` of poisson_nll".into()));
            }
            if case.flag("log_input", true) { x.exp() - t * x } else { x - t * (x + case.number("eps", 1e-8)).log() }
        }
        "hinge_embedding" | "hinge_embedding_loss" => {
            let (x, t) = (prediction()?, target()?.cast(DType::F32));
            let far = (-x + case.number("margin", 1.0)).relu();
            t.gt(0.0).select(x, far)
        }
        "hinge" | "hinge_loss" => {
            let (x, t) = (prediction()?, target()?.cast(DType::F32));
            (-(x * t) + 1.0).relu()
        }
        "soft_margin" | "soft_margin_loss" => {
            let (x, t) = (prediction()?, target()?.cast(DType::F32));
            (-(x * t)).softplus(1.0, 1e4)
        }
        "margin_ranking" | "margin_ranking_loss" => {
            let (a, b) = (inputs.any(&["input1", "x1", "a"])?, inputs.any(&["input2", "x2", "b"])?);
            (-(target()?.cast(DType::F32)) * (a - b) + case.number("margin", 0.0)).relu()
        }
        _ => return Ok(None),
    };
    Ok(Some(reduced(case, rows)))
}

fn reduced<'g>(case: &Case, rows: Tensor<'g>) -> Tensor<'g> {
    match case.text("reduction") {
        "sum" => rows.sum(..),
        "none" => rows,
        "batchmean" => {
            let samples = rows.shape().first().copied().unwrap_or(1);
            rows.sum(..) * (1.0 / samples as f64)
        }
        _ => rows.mean(..),
    }
}

/// Class scores `[n, c, …]` as rows `[n·…, c]`.
fn by_class(x: Tensor<'_>) -> Tensor<'_> {
    let rank = x.shape().rank() as isize;
    if rank < 3 {
        return x;
    }
    let order: Vec<isize> = std::iter::once(0).chain(2..rank).chain([1]).collect();
    let last = x.permute(&order);
    let classes = x.shape()[1];
    last.reshape([x.shape().elements() / classes.max(1), classes])
}

/// The reduction of one value a target, with class weights and without ignored targets.
fn weighted<'g>(case: &Case, inputs: &Inputs<'g>, rows: Tensor<'g>, target: Tensor<'g>) -> Result<Tensor<'g>, Trouble> {
    let flat = target.flatten(0);
    let kept = flat.ne(case.integer("ignore_index", -100) as i32).cast(DType::F32);
    let weight = match inputs.find("class_weight").or_else(|| inputs.find("weight")) {
        Some(weight) => weight.index_select(0, flat.maximum(0)) * kept,
        None => kept,
    };
    // An ignored target's value may be anything.
    let rows = kept.ne(0.0).select(rows * weight, 0.0);
    Ok(match case.text("reduction") {
        "none" => rows.reshape(target.shape()),
        "sum" => rows.sum(..),
        _ => rows.sum(..) / weight.sum(..),
    })
}

fn cross_entropy<'g>(case: &Case, inputs: &Inputs<'g>) -> Result<Tensor<'g>, Trouble> {
    let logits = inputs.any(&["logits", "input", "x"])?;
    let smoothing = case.number("label_smoothing", 0.0);
    let soft = inputs.find("target_probs").or_else(|| inputs.find("target").filter(|t| t.dtype().is_float()));
    let weight = inputs.find("class_weight").or_else(|| inputs.find("weight"));
    if let Some(target) = soft {
        case.implied(&["soft"]);
        let classes = logits.shape()[1] as f64;
        let target = target * (1.0 - smoothing) + smoothing / classes;
        let mut log_p = logits.log_softmax(1);
        if let Some(weight) = weight {
            let sizes = [vec![weight.shape().elements()], vec![1; logits.shape().rank() - 2]].concat();
            log_p = log_p * weight.reshape(sizes);
        }
        return Ok(reduced(case, -(target * log_p).sum(1)));
    }
    let target = inputs.get("target")?;
    if smoothing != 0.0 && weight.is_some() {
        return Err(Trouble::NotCovered("label smoothing with class weights".into()));
    }
    let rows = by_class(logits);
    let values = rows.cross_entropy(target.flatten(0).maximum(0), smoothing);
    weighted(case, inputs, values, target)
}
