//! Reductions and other operations along axes. The name of a case may imply attributes: `var_biased_all`, `norm_l1`.

use super::case::{Case, Trouble};
use crate::tensor::Tensor;

type Outputs<'g> = Vec<(String, Tensor<'g>)>;

/// The outputs of the case for `x`, if it is such an operation. The main output is called `out`.
pub(super) fn build<'g>(case: &Case, x: Tensor<'g>) -> Result<Option<Outputs<'g>>, Trouble> {
    let (axes, keep) = (case.axes(), case.keepdim());
    let pick = |kept: fn(Tensor<'g>, crate::Axes) -> Tensor<'g>, plain: fn(Tensor<'g>, crate::Axes) -> Tensor<'g>| {
        if keep { kept(x, axes.clone()) } else { plain(x, axes.clone()) }
    };
    let head = case.op.split('_').next().unwrap_or_default();
    let one = |y: Tensor<'g>| Ok(Some(vec![("out".to_string(), y)]));
    match head {
        "sum" => {
            let y = pick(Tensor::sum_keepdim, Tensor::sum);
            Ok(Some(vec![("out".into(), y), ("mean".into(), pick(Tensor::mean_keepdim, Tensor::mean))]))
        }
        "mean" => one(pick(Tensor::mean_keepdim, Tensor::mean)),
        "max" | "amax" | "min" | "amin" if !case.op.contains("pool") => {
            let largest = head.ends_with("max");
            let value =
                if largest { pick(Tensor::max_keepdim, Tensor::max) } else { pick(Tensor::min_keepdim, Tensor::min) };
            let place = if largest {
                pick(Tensor::argmax_keepdim, Tensor::argmax)
            } else {
                pick(Tensor::argmin_keepdim, Tensor::argmin)
            };
            let named = |name: &str, t| (name.to_string(), t);
            Ok(Some(vec![named("out", value), named("values", value), named("indices", place)]))
        }
        "argmax" => one(pick(Tensor::argmax_keepdim, Tensor::argmax)),
        "argmin" => one(pick(Tensor::argmin_keepdim, Tensor::argmin)),
        "prod" => one(pick(Tensor::prod_keepdim, Tensor::prod)),
        "logsumexp" => one(pick(Tensor::logsumexp_keepdim, Tensor::logsumexp)),
        "cumsum" => one(x.cumsum(case.axis(-1))),
        "var" | "std" => {
            let biased = case.op.contains("_biased") || case.op.contains("population");
            let unbiased = case.flag("unbiased", !biased);
            let correction = case.number("correction", if unbiased { 1.0 } else { 0.0 });
            one(match (head, keep) {
                ("var", false) => x.var(axes, correction),
                ("var", true) => x.var_keepdim(axes, correction),
                (_, false) => x.std(axes, correction),
                (_, true) => x.std_keepdim(axes, correction),
            })
        }
        "norm" => {
            let named = case.op.split('_').find_map(|word| word.strip_prefix('l')?.parse::<f64>().ok()).unwrap_or(2.0);
            let p = case.number("p", case.number("ord", named));
            one(if keep { x.norm_keepdim(p, axes) } else { x.norm(p, axes) })
        }
        "topk" => {
            let size = case.sizes("k", &[1])?[0];
            let (values, indices) = x.topk(size, case.axis(-1), case.flag("largest", true));
            // The golden values are in PyTorch's order, whether `sorted` is set or not.
            case.implied(&["sorted"]);
            Ok(Some(vec![("values".into(), values), ("out".into(), values), ("indices".into(), indices)]))
        }
        _ => Ok(None),
    }
}
