//! Methods made of other operations: activations, statistics, contractions, repetition.

use super::{Sample, SampleInput, floats, halves};
use crate::tensor::{Tensor, einsum};

pub(super) fn all() -> Vec<Sample> {
    let mut samples = activations();
    samples.extend(statistics());
    samples.extend(contractions());
    samples.extend(repetitions());
    samples
}

type Method = for<'g> fn(Tensor<'g>) -> Tensor<'g>;

const ACTIVATIONS: &[(&str, Method)] = &[
    ("leaky_relu", |x| x.leaky_relu(0.01)),
    ("elu", |x| x.elu(1.5)),
    ("celu", |x| x.celu(0.7)),
    ("selu", |x| x.selu()),
    ("gelu", |x| x.gelu()),
    ("gelu_tanh", |x| x.gelu_tanh()),
    ("silu", |x| x.silu()),
    ("mish", |x| x.mish()),
    ("softplus", |x| x.softplus(2.0, 3.0)),
    ("log_sigmoid", |x| x.log_sigmoid()),
    ("hardtanh", |x| x.hardtanh(-1.0, 1.5)),
    ("relu6", |x| x.relu6()),
    ("hardsigmoid", |x| x.hardsigmoid()),
    ("hardswish", |x| x.hardswish()),
    ("softsign", |x| x.softsign()),
    ("tanhshrink", |x| x.tanhshrink()),
    ("softshrink", |x| x.softshrink(0.5)),
    ("hardshrink", |x| x.hardshrink(0.5)),
    ("threshold", |x| x.threshold(0.3, -7.0)),
    ("glu", |x| x.glu(-1)),
    ("softmin", |x| x.softmin(-1)),
];

fn activations() -> Vec<Sample> {
    let mut out = Vec::new();
    for &(name, f) in ACTIVATIONS {
        let wide = SampleInput { range: (-5.0, 5.0), ..floats([4, 12]) };
        out.push(Sample::new(name, "f32", vec![wide], move |_, t| f(t[0])));
        out.push(Sample::new(name, "f16", vec![halves([4, 12])], move |_, t| f(t[0])));
        // Up to the largest numbers (SELU scales them by 1.05), and its gradient too, for an upstream gradient above 1.
        for range in [(-3.2e38, 3.2e38), (-2e4, 2e4), (-120.0, 120.0)] {
            let extreme = || SampleInput { range, ..floats([3, 40]) };
            out.push(Sample::new(name, format!("extreme {}", range.1), vec![extreme()], move |_, t| f(t[0])));
            out.push(Sample::new(name, format!("extreme {}, gradient", range.1), vec![extreme()], move |g, t| {
                let y = f(t[0]);
                y.vjp(g.full(y.shape(), 3.0, y.dtype()), &[t[0]])[0]
            }));
        }
    }
    out.push(Sample::new("prelu", "by channel", vec![floats([2, 3, 5]), floats([3])], |_, t| t[0].prelu(t[1])));
    out.push(Sample::new("prelu", "one weight", vec![floats([2, 3]), floats([1])], |_, t| t[0].prelu(t[1])));
    out
}

fn statistics() -> Vec<Sample> {
    let mut out = Vec::new();
    let mut add = |op: &'static str, case: &str, shape: &[usize], f: Method| {
        out.push(Sample::new(op, case, vec![floats(shape)], move |_, t| f(t[0])));
    };
    add("var", "axis 1", &[3, 7, 2], |x| x.var(1, 1.0));
    add("var", "all, no correction", &[4, 5], |x| x.var(.., 0.0));
    add("var", "keepdim", &[4, 5], |x| x.var_keepdim([0, -1], 1.0));
    add("std", "axis 0", &[9, 3], |x| x.std(0, 1.0));
    add("std", "keepdim", &[5, 3], |x| x.std_keepdim(1, 0.0));
    add("logsumexp", "axis 1", &[5, 9], |x| x.logsumexp(1));
    add("logsumexp", "two axes", &[5, 3, 4], |x| (x * 30.0).logsumexp([0, 2]));
    add("logsumexp", "keepdim", &[5, 9], |x| x.logsumexp_keepdim(-1));
    add("norm", "1", &[4, 9], |x| x.norm(1.0, 1));
    add("norm", "2", &[4, 9], |x| x.norm(2.0, ..));
    add("norm", "3", &[4, 9], |x| x.norm(3.0, 0));
    add("norm", "0.5", &[4, 9], |x| (x.abs() + 0.1).norm(0.5, 1));
    add("norm", "largest", &[4, 9], |x| x.norm(f64::INFINITY, 1));
    add("norm", "smallest", &[4, 9], |x| x.norm(f64::NEG_INFINITY, 1));
    add("norm", "0", &[4, 9], |x| x.relu().norm(0.0, 1));
    add("norm", "of zeros", &[4, 9], |x| (x * 0.0).norm(2.0, 1) + x.sum(1));
    add("prod", "axis 1", &[4, 5], |x| x.prod(1));
    add("prod", "two axes", &[3, 4, 5], |x| x.prod([0, 2]));
    add("prod", "keepdim", &[3, 4], |x| x.prod_keepdim(0));
    add("prod", "with zeros", &[4, 6], |x| (x.relu() - 0.25).relu().prod(1));
    add("prod", "long", &[2, 77], |x| (x * 0.1 + 1.0).prod(1));
    out
}

fn contractions() -> Vec<Sample> {
    let mut out = Vec::new();
    let mut add = |spec: &'static str, a: &[usize], b: &[usize]| {
        out.push(Sample::new("einsum", spec, vec![floats(a), floats(b)], move |_, t| einsum(spec, t[0], t[1])));
    };
    add("bij,bjk->bik", &[2, 3, 4], &[2, 4, 5]);
    add("bij,bjk->kb", &[2, 3, 4], &[2, 4, 5]);
    add("i,j->ij", &[3], &[4]);
    add("ij,ij->", &[3, 4], &[3, 4]);
    add("ii,ij->j", &[3, 3], &[3, 4]);
    add("abc,cd", &[2, 3, 4], &[4, 2]);
    add("bhqd,bhkd->bhqk", &[2, 2, 3, 4], &[2, 2, 5, 4]);
    out.push(Sample::new("outer", "3 by 4", vec![floats([3]), floats([4])], |_, t| t[0].outer(t[1])));
    out
}

fn repetitions() -> Vec<Sample> {
    vec![
        Sample::new("repeat", "two axes and a leading one", vec![floats([2, 3])], |_, t| t[0].repeat(&[2, 1, 3])),
        Sample::new("tile", "last axis", vec![floats([2, 3])], |_, t| t[0].tile(&[2]).exp()),
        Sample::new("repeat_interleave", "first axis", vec![floats([2, 3])], |_, t| t[0].repeat_interleave(3, 0)),
        Sample::new("stack", "new last axis", vec![floats([2, 3]), floats([2, 3])], |_, t| t[0].stack(&[t[1]], -1)),
        Sample::new("split", "joined in another order", vec![floats([2, 7])], |_, t| {
            let parts = t[0].split(3, 1);
            parts[2].concat(&[parts[0] * 2.0, parts[1]], 1)
        }),
        Sample::new("chunk", "a product", vec![floats([5, 2])], |_, t| {
            let parts = t[0].chunk(2, 0);
            parts[0].slice(0, 1..3) * parts[1]
        }),
    ]
}
