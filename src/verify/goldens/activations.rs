//! Activation functions and other functions of one tensor, elementwise or along one axis.

use super::case::{Case, Trouble};
use crate::tensor::Tensor;

/// The function of `x` that the case names, if it is one.
pub(super) fn build<'g>(case: &Case, x: Tensor<'g>) -> Result<Option<Tensor<'g>>, Trouble> {
    let number = |key, default| case.number(key, default);
    let lambda = || number("lambd", number("lambda", 0.5));
    Ok(Some(match case.op.trim_end_matches("_extreme") {
        "relu" => x.relu(),
        "relu6" => x.relu6(),
        "sigmoid" => x.sigmoid(),
        "tanh" => x.tanh(),
        "exp" => x.exp(),
        "log" => x.log(),
        "sqrt" => x.sqrt(),
        "rsqrt" => x.rsqrt(),
        "sin" => x.sin(),
        "cos" => x.cos(),
        "abs" => x.abs(),
        "neg" | "negative" => -x,
        "sign" => x.sign(),
        "erf" => x.erf(),
        "floor" => x.floor(),
        "ceil" => x.ceil(),
        "round" => x.round(),
        "square" => x.square(),
        "reciprocal" => x.recip(),
        "pow" | "pow_scalar" if case.has("exponent") => x.pow(number("exponent", 2.0)),
        "clamp" | "clip" => {
            let most = f64::from(f32::MAX);
            x.clamp(number("min", -most), number("max", most))
        }
        "hardtanh" => x.hardtanh(number("min_val", -1.0), number("max_val", 1.0)),
        "leaky_relu" => x.leaky_relu(number("negative_slope", 0.01)),
        "elu" => x.elu(number("alpha", 1.0)),
        "celu" => x.celu(number("alpha", 1.0)),
        "selu" => x.selu(),
        "gelu" | "gelu_erf" | "gelu_tanh" => {
            let tanh = case.text("approximate") == "tanh" || (case.op == "gelu_tanh" && !case.has("approximate"));
            if tanh { x.gelu_tanh() } else { x.gelu() }
        }
        "silu" | "swish" => x.silu(),
        "mish" => x.mish(),
        "softplus" => x.softplus(number("beta", 1.0), number("threshold", 20.0)),
        "log_sigmoid" | "logsigmoid" => x.log_sigmoid(),
        "hardsigmoid" => x.hardsigmoid(),
        "hardswish" => x.hardswish(),
        "softsign" => x.softsign(),
        "tanhshrink" => x.tanhshrink(),
        "softshrink" => x.softshrink(lambda()),
        "hardshrink" => x.hardshrink(lambda()),
        "threshold" => x.threshold(number("threshold", 0.0), number("value", 0.0)),
        "glu" => x.glu(case.axis(-1)),
        "softmax" => x.softmax(case.axis(-1)),
        "log_softmax" => x.log_softmax(case.axis(-1)),
        "softmin" => x.softmin(case.axis(-1)),
        // `pow2p5`: to the power of 2.5.
        other => match other.strip_prefix("pow").map(|text| text.replace('p', ".").parse()) {
            Some(Ok(exponent)) => {
                let exponent: f64 = exponent;
                x.pow(exponent)
            }
            _ => return Ok(None),
        },
    }))
}
