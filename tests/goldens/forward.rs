//! What each golden case computes, in wgrad's operations.

use super::Case;
use wgrad::ops::Op;
use wgrad::ops::conv::{Conv, ConvKind};
use wgrad::{ConvOptions, DType, Tensor};

/// The outputs of a case by name, the differentiated one first; `None` where the operation is not covered.
pub(crate) fn forward<'g>(case: &Case, x: &dyn Fn(&str) -> Tensor<'g>) -> Option<Vec<(&'static str, Tensor<'g>)>> {
    if case.op == "clip_grad_norm" {
        let (a, b) = (x("g1"), x("g2"));
        let total = (a.square().sum(..) + b.square().sum(..)).sqrt();
        let factor = (case.number("max_norm") / (total + 1e-6)).minimum(1.0);
        return Some(vec![("total_norm", total), ("g1", a * factor), ("g2", b * factor)]);
    }
    if case.name == "sum_large_f32" {
        return Some(vec![("out", x("x").sum(..)), ("mean", x("x").mean(..))]);
    }
    let (name, y) = if let Some(y) = loss(case, x) { ("loss", y) } else { ("out", operation(case, x)?) };
    Some(vec![(name, y)])
}

fn operation<'g>(case: &Case, x: &dyn Fn(&str) -> Tensor<'g>) -> Option<Tensor<'g>> {
    Some(match case.op.as_str() {
        "matmul" => {
            let side = |name, flag| if case.flag(flag) { x(name).t() } else { x(name) };
            side("a", "transpose_a").matmul(side("b", "transpose_b"))
        }
        "linear" => {
            let y = x("x").matmul(x("weight").t());
            if case.flag("bias") { y + x("bias") } else { y }
        }
        "conv1d" | "conv2d" => {
            let options = ConvOptions {
                stride: case.list("stride"),
                padding: case.list("padding"),
                dilation: case.list("dilation"),
                groups: case.list("groups")[0],
            };
            let y = x("x").conv(x("weight"), &options);
            let shape = if case.op == "conv1d" { vec![y.shape()[1], 1] } else { vec![y.shape()[1], 1, 1] };
            if case.flag("bias") { y + x("bias").reshape(shape) } else { y }
        }
        "conv_transpose1d" => {
            let (y, w) = (x("x"), x("weight"));
            let [stride, padding, dilation, extra] =
                ["stride", "padding", "dilation", "output_padding"].map(|k| case.list(k)[0]);
            let length = (y.shape()[2] - 1) * stride + dilation * (w.shape()[2] - 1) + extra + 1 - 2 * padding;
            let options = ConvOptions::new().stride(stride).padding(padding).dilation(dilation);
            let op = Op::Conv(Conv { kind: ConvKind::InputGrad(vec![length]), options });
            y.graph().apply(op, &[y, w]) + x("bias").unsqueeze(1)
        }
        "softmax" => x("x").softmax(case.integer("dim")),
        "log_softmax" => x("x").log_softmax(case.integer("dim")),
        "logsumexp" => {
            let max = x("x").max_keepdim(1).detach();
            (x("x") - max).exp().sum(1).log() + max.squeeze(1)
        }
        "layer_norm" => {
            let axes: Vec<isize> = (1..=case.list("normalized_shape").len() as isize).map(|k| -k).collect();
            let centred = x("x") - x("x").mean_keepdim(&axes[..]);
            let y = centred * (centred.square().mean_keepdim(&axes[..]) + case.number("eps")).rsqrt();
            if case.flag("affine") { y * x("weight") + x("bias") } else { y }
        }
        "attention" => {
            let (q, k, v) = (x("q"), x("k"), x("v"));
            let scores = q.matmul(k.t()) * (1.0 / (q.shape()[2] as f64).sqrt());
            let size = [scores.shape()[1], scores.shape()[2]];
            let seen = q.graph().iota(size, 0).ge(q.graph().iota(size, 1));
            let scores = if case.flag("causal") { seen.select(scores, -1e30) } else { scores };
            scores.softmax(-1).matmul(v)
        }
        "argmax" => x("x").argmax(1),
        "add" => x("a") + x("b"),
        "sub" => x("a") - x("b"),
        "mul" => x("a") * x("b"),
        "div" => x("a") / x("b"),
        "maximum" => x("a").maximum(x("b")),
        "permute" => x("x").permute(&[2, 0, 1]),
        "concat" => x("a").concat(&[x("b")], 1),
        "slice" => {
            let [start, end, step] = ["start", "end", "step"].map(|k| case.list(k)[0]);
            x("x").slice_step(1, start..end, step)
        }
        "pad" => x("x").pad(-1, case.list("pad")[0], case.list("pad")[1], 0.0),
        "embedding" => {
            let (weight, indices) = (x("weight"), x("indices"));
            let shape = [&indices.shape()[..], &weight.shape()[1..]].concat();
            weight.index_select(0, indices.flatten(0)).reshape(shape)
        }
        _ => return reduction(case, x).or_else(|| unary(case, x("x"))),
    })
}

fn reduction<'g>(case: &Case, input: &dyn Fn(&str) -> Tensor<'g>) -> Option<Tensor<'g>> {
    let variance = |x: Tensor<'g>, axes: &[isize], count: f64| (x - x.mean_keepdim(axes)).square().sum(axes) / count;
    Some(match case.op.as_str() {
        "sum_all" => input("x").sum(..),
        "sum_dim0" => input("x").sum(0),
        "sum_dim1_keep" => input("x").sum_keepdim(1),
        "mean_last" => input("x").mean(-1),
        "mean_dims_0_2" => input("x").mean([0, 2]),
        "max_dim1" => input("x").max(1),
        "min_dim0" => input("x").min(0),
        "var_unbiased_dim1" => variance(input("x"), &[1], 8.0),
        "var_biased_all" => variance(input("x"), &[0, 1], 36.0),
        "std_dim0" => variance(input("x"), &[0], 7.0).sqrt(),
        "norm_l2" => input("x").square().sum(..).sqrt(),
        "prod_dim1" => {
            let x = input("x");
            let columns = (0..x.shape()[1]).map(|k| x.slice(1, k..k + 1).squeeze(1));
            columns.reduce(|a, b| a * b)?
        }
        "cumsum_dim1" => {
            let x = input("x");
            let size = [x.shape()[1], x.shape()[1]];
            let earlier = x.graph().iota(size, 0).le(x.graph().iota(size, 1)).cast(DType::F32);
            x.matmul(earlier)
        }
        _ => return None,
    })
}

fn unary<'g>(case: &Case, x: Tensor<'g>) -> Option<Tensor<'g>> {
    Some(match case.op.as_str() {
        "relu" => x.relu(),
        "sigmoid" => x.sigmoid(),
        "tanh" => x.tanh(),
        "exp" => x.exp(),
        "log" => x.log(),
        "sqrt" => x.sqrt(),
        "rsqrt" => x.rsqrt(),
        "sin" => x.sin(),
        "cos" => x.cos(),
        "abs" => x.abs(),
        "square" => x.square(),
        "reciprocal" => x.recip(),
        "pow2p5" => x.pow(2.5),
        // Below, a branch that is not taken gets 0, so that it can neither overflow nor send a NaN back; and `select`
        // instead of `maximum`, which would share the gradient at the corner.
        "leaky_relu" => x.gt(0.0).select(x, x * case.number("negative_slope")),
        "elu" => x.gt(0.0).select(x, (negative(x).exp() - 1.0) * case.number("alpha")),
        "selu" => {
            let (alpha, scale) = (1.673_263_242_354_377_2, 1.050_700_987_355_480_5);
            x.gt(0.0).select(x, (negative(x).exp() - 1.0) * alpha) * scale
        }
        "gelu_erf" => x * 0.5 * ((x * std::f64::consts::FRAC_1_SQRT_2).erf() + 1.0),
        "gelu_tanh" => {
            let inner = (x + x * x * x * 0.044_715) * (2.0 / std::f64::consts::PI).sqrt();
            x * 0.5 * (inner.tanh() + 1.0)
        }
        "silu" => x * x.sigmoid(),
        "softplus" => softplus(x),
        "mish" => x * softplus(x).tanh(),
        "log_sigmoid" => x.minimum(0.0) - ((-x.abs()).exp() + 1.0).log(),
        "hardtanh" => x.lt(1.0).select(x.gt(-1.0).select(x, -1.0), 1.0),
        _ => return None,
    })
}

fn negative(x: Tensor<'_>) -> Tensor<'_> {
    x.gt(0.0).select(0.0, x)
}

/// `log(1 + eˣ)`; PyTorch returns `x` itself above 20.
fn softplus(x: Tensor<'_>) -> Tensor<'_> {
    let large = x.gt(20.0);
    large.select(x, (large.select(0.0, x).exp() + 1.0).log())
}

fn loss<'g>(case: &Case, x: &dyn Fn(&str) -> Tensor<'g>) -> Option<Tensor<'g>> {
    let rows = match case.op.as_str() {
        "cross_entropy" => return Some(cross_entropy(case, x)),
        "nll_loss" => {
            let p = x("log_probs");
            -(x("target").one_hot(p.shape()[1]) * p).sum(1)
        }
        "mse" => (x("input") - x("target")).square(),
        "l1" => (x("input") - x("target")).abs(),
        "huber" | "smooth_l1" => {
            // Smooth L1 is Huber divided by its threshold.
            let (delta, scale) = if case.op == "huber" {
                (case.number("delta"), 1.0)
            } else {
                (case.number("beta"), 1.0 / case.number("beta"))
            };
            let d = x("input") - x("target");
            let line = (d.abs() - 0.5 * delta) * delta;
            d.abs().le(delta).select(d.square() * 0.5, line) * scale
        }
        "bce_with_logits" => {
            let (z, t) = (x("logits"), x("target"));
            let tail = ((-z.abs()).exp() + 1.0).log();
            if case.name == "bce_with_logits_pos_weight" {
                let weight = 1.0 + (x("pos_weight") - 1.0) * t;
                (1.0 - t) * z + weight * (tail + (-z).maximum(0.0))
            } else {
                z.maximum(0.0) - z * t + tail
            }
        }
        "bce" => {
            let (p, t) = (x("probs"), x("target"));
            -(t * p.log() + (1.0 - t) * (-p + 1.0).log())
        }
        "kl_div" => {
            let t = x("target_probs");
            let n = t.shape()[0] as f64;
            return Some((t * (t.log() - x("log_q"))).sum(..) / n);
        }
        _ => return None,
    };
    Some(reduced(case, rows))
}

fn reduced<'g>(case: &Case, rows: Tensor<'g>) -> Tensor<'g> {
    match case.text("reduction") {
        "mean" => rows.mean(..),
        "sum" => rows.sum(..),
        _ => rows,
    }
}

fn cross_entropy<'g>(case: &Case, x: &dyn Fn(&str) -> Tensor<'g>) -> Tensor<'g> {
    let logits = x("logits");
    match case.name.as_str() {
        "cross_entropy_soft_targets" => reduced(case, -(x("target_probs") * logits.log_softmax(1)).sum(1)),
        "cross_entropy_class_weights" => {
            let weight = x("class_weight").index_select(0, x("target"));
            (logits.cross_entropy(x("target"), 0.0) * weight).sum(..) / weight.sum(..)
        }
        "cross_entropy_ignore_index" => {
            let kept = x("target").ne(-100).cast(DType::F32);
            (logits.cross_entropy(x("target").maximum(0), 0.0) * kept).sum(..) / kept.sum(..)
        }
        "cross_entropy_ncl" => {
            let rows = logits.permute(&[0, 2, 1]);
            let (n, classes) = (rows.shape()[0] * rows.shape()[1], rows.shape()[2]);
            reduced(case, rows.reshape([n, classes]).cross_entropy(x("target").flatten(0), 0.0))
        }
        "cross_entropy_smoothing" => reduced(case, logits.cross_entropy(x("target"), case.number("label_smoothing"))),
        _ => reduced(case, logits.cross_entropy(x("target"), 0.0)),
    }
}
