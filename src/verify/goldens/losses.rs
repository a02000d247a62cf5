//! Loss functions.

use super::case::{Case, Inputs, Trouble};
use crate::dtype::DType;
use crate::nn::loss::{self, KlReduction, Reduction};
use crate::tensor::Tensor;

/// The loss of the case, if its operation is one.
pub(super) fn build<'g>(case: &Case, inputs: &Inputs<'g>) -> Result<Option<Tensor<'g>>, Trouble> {
    let target = || inputs.any(&["target", "target_probs", "y"]);
    let signs = || target().map(|t| t.cast(DType::F32));
    let prediction = || inputs.any(&["input", "x", "prediction", "logits", "probs", "log_probs", "log_q"]);
    let weight = inputs.find("weight");
    let class_weight = inputs.find("class_weight").or(weight);
    let ignore_index = case.integer("ignore_index", -100) as i32;
    let name = case.op.strip_suffix("_loss").unwrap_or(&case.op);
    if name == "kl_div" {
        let reduction = match case.text("reduction") {
            "sum" => KlReduction::Sum,
            "none" => KlReduction::None,
            "batchmean" => KlReduction::BatchMean,
            _ => KlReduction::Mean,
        };
        let options = loss::KlDiv { log_target: case.flag("log_target", false), reduction };
        return Ok(Some(loss::kl_div(prediction()?, inputs.any(&["target_probs", "target"])?, options)));
    }
    let reduction = match case.text("reduction") {
        "sum" => Reduction::Sum,
        "none" => Reduction::None,
        "mean" | "" => Reduction::Mean,
        other => return Err(Trouble::NotCovered(format!("the reduction `{other}` of {name}"))),
    };
    Ok(Some(match name {
        "cross_entropy" => {
            case.implied(&["soft"]);
            let label_smoothing = case.number("label_smoothing", 0.0);
            let options = loss::CrossEntropy { weight: class_weight, ignore_index, label_smoothing, reduction };
            loss::cross_entropy(prediction()?, inputs.any(&["target_probs", "target"])?, options)
        }
        "nll" => {
            let options = loss::NllLoss { weight: class_weight, ignore_index, reduction };
            loss::nll_loss(prediction()?, target()?, options)
        }
        "mse" => loss::mse(prediction()?, target()?, reduction),
        "l1" => loss::l1(prediction()?, target()?, reduction),
        "huber" => loss::huber(prediction()?, target()?, case.number("delta", 1.0), reduction),
        "smooth_l1" => loss::smooth_l1(prediction()?, target()?, case.number("beta", 1.0), reduction),
        "bce_with_logits" | "binary_cross_entropy_with_logits" => {
            let options = loss::BceWithLogits { weight, pos_weight: inputs.find("pos_weight"), reduction };
            loss::bce_with_logits(prediction()?, target()?, options)
        }
        "bce" | "binary_cross_entropy" => loss::bce(prediction()?, target()?, loss::Bce { weight, reduction }),
        "gaussian_nll" => {
            let options =
                loss::GaussianNll { full: case.flag("full", false), eps: case.number("eps", 1e-6), reduction };
            loss::gaussian_nll(prediction()?, target()?, inputs.any(&["var", "variance"])?, options)
        }
        "hinge_embedding" => loss::hinge_embedding_loss(prediction()?, signs()?, case.number("margin", 1.0), reduction),
        "soft_margin" => loss::soft_margin_loss(prediction()?, signs()?, reduction),
        "multi_margin" => {
            let (p, margin) = (case.integer("p", 1) as u32, case.number("margin", 1.0));
            let options = loss::MultiMargin { p, margin, weight: class_weight, reduction };
            loss::multi_margin_loss(prediction()?, target()?, options)
        }
        _ => return Ok(None),
    }))
}
