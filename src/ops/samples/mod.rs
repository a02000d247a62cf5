//! Sample cases: small graphs around each operation, with inputs to feed them.
//!
//! The parity suite, gradcheck, shader validation and the benchmarks iterate [`all`]; an operation that adds its cases
//! here is covered by all four. Elementwise operations get theirs from the table.

mod composites;
mod lines;
mod long;

use super::Op;
use super::elementwise::Elementwise;
use super::random::{Distribution, draw};
use super::table::{Binary, Compare, Unary};
use crate::array::Array;
use crate::dtype::DType;
use crate::graph::Graph;
use crate::ops::conv::{Conv, ConvKind, ConvOptions};
use crate::shape::{Axes, Shape};
use crate::tensor::Tensor;

/// An input of a sample.
#[derive(Debug, Clone)]
pub struct SampleInput {
    /// Its shape.
    pub shape: Shape,
    /// Its dtype.
    pub dtype: DType,
    /// Values are drawn uniformly from this range; integers are truncated.
    pub range: (f64, f64),
}

/// Builds a sample's graph from its inputs.
pub type Build = Box<dyn for<'g> Fn(&'g Graph, &[Tensor<'g>]) -> Tensor<'g> + Send + Sync>;

/// A small graph around one operation.
pub struct Sample {
    /// The operation.
    pub op: &'static str,
    /// What is special about this case.
    pub case: String,
    /// What to feed it.
    pub inputs: Vec<SampleInput>,
    /// The graph.
    pub build: Build,
}

impl std::fmt::Debug for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.op, self.case)
    }
}

impl Sample {
    /// A sample of the operation `op`, whose graph `build` makes of the inputs.
    pub fn new(
        op: &'static str,
        case: impl Into<String>,
        inputs: Vec<SampleInput>,
        build: impl for<'g> Fn(&'g Graph, &[Tensor<'g>]) -> Tensor<'g> + Send + Sync + 'static,
    ) -> Self {
        Sample { op, case: case.into(), inputs, build: Box::new(build) }
    }

    /// Reproducible values for the inputs.
    pub fn values(&self, seed: u32) -> Vec<Array> {
        let each = self.inputs.iter().enumerate().map(|(k, input)| {
            let (low, high) = input.range;
            let data: Vec<f64> = (0..input.shape.elements())
                .map(|i| low + (high - low) * draw(Distribution::Uniform, [seed, 7], k as u32, 0, i as u32))
                .collect();
            match Array::from_f64(input.shape.clone(), &data, input.dtype) {
                Ok(array) => array,
                Err(_) => unreachable!("samples have valid shapes"),
            }
        });
        each.collect()
    }
}

/// An `f32` input with values between -2 and 2.
pub fn floats(shape: impl Into<Shape>) -> SampleInput {
    SampleInput { shape: shape.into(), dtype: DType::F32, range: (-2.0, 2.0) }
}
/// An `f16` input with values between -2 and 2.
pub fn halves(shape: impl Into<Shape>) -> SampleInput {
    SampleInput { dtype: DType::F16, ..floats(shape) }
}
/// A `u32` input with values below `below`.
pub fn indices(shape: impl Into<Shape>, below: usize) -> SampleInput {
    SampleInput { shape: shape.into(), dtype: DType::U32, range: (0.0, below as f64) }
}

/// Every operation's cases.
pub fn all() -> Vec<Sample> {
    let mut samples = elementwise();
    samples.extend(reductions());
    samples.extend(matrix_products());
    samples.extend(convolutions());
    samples.extend(movements());
    samples.extend(indexing());
    samples.extend(rows());
    samples.extend(leaves());
    samples.extend(lines::all());
    samples.extend(long::all());
    samples.extend(composites::all());
    samples
}

fn elementwise() -> Vec<Sample> {
    let mut out = Vec::new();
    let types = |domain: super::table::Domain| DType::ALL.into_iter().filter(move |&d| domain.contains(d));
    for &op in Unary::ALL {
        for dtype in types(op.row().domain) {
            let input = SampleInput { shape: [3, 37].into(), dtype, range: op.row().range };
            out.push(Sample::new(op.row().name, dtype.name(), vec![input], move |g, t| {
                g.apply(Op::Elementwise(Elementwise::Unary(op)), t)
            }));
        }
    }
    for &op in Binary::ALL {
        for dtype in types(op.row().domain) {
            let input = |shape: Shape| SampleInput { shape, dtype, range: op.row().range };
            let apply = move |a: Tensor<'_>, b: Tensor<'_>| {
                a.graph().apply(Op::Elementwise(Elementwise::Binary(op)), &[a, b]).id()
            };
            let inputs = vec![input([5, 13].into()), input([5, 13].into())];
            out.push(Sample::new(op.row().name, dtype.name(), inputs, move |g, t| g.tensor(apply(t[0], t[1]))));
            let inputs = vec![input([4, 1, 7].into()), input([3, 1].into())];
            out.push(Sample::new(op.row().name, format!("{dtype} broadcast"), inputs, move |g, t| {
                let shape = [4, 3, 7];
                g.tensor(apply(t[0].broadcast_to(shape), t[1].broadcast_to(shape)))
            }));
        }
    }
    for &op in Compare::ALL {
        for dtype in DType::ALL {
            let input = || SampleInput { shape: [6, 9].into(), dtype, range: (0.0, 3.0) };
            out.push(Sample::new(op.name(), dtype.name(), vec![input(), input()], move |g, t| {
                g.apply(Op::Elementwise(Elementwise::Compare(op)), t)
            }));
        }
    }
    for from in DType::ALL {
        for to in DType::ALL.into_iter().filter(|&to| to != from) {
            // Truncation at a kink would not be a fair comparison: stay clear of negative values for u32.
            let input = SampleInput { shape: [50].into(), dtype: from, range: (0.0, 200.0) };
            out.push(Sample::new("cast", format!("{from} to {to}"), vec![input], move |_, t| t[0].cast(to)));
        }
        let branch = || SampleInput { shape: [4, 5].into(), dtype: from, range: (0.0, 9.0) };
        out.push(Sample::new("select", from.name(), vec![indices([4, 5], 2), branch(), branch()], |_, t| {
            t[0].select(t[1], t[2])
        }));
    }
    out.push(Sample::new("clamp", "f32", vec![floats([31])], |_, t| t[0].clamp(-0.7, 0.9)));
    out.push(Sample::new("chain", "13 operands", vec![floats([17]); 13], |_, t| {
        t[1..].iter().fold(t[0], |sum, &x| sum * 0.5 + x.sin())
    }));
    out.push(Sample::new(
        "chain",
        "permuted, reversed and sliced operands",
        vec![floats([4, 6]), floats([6, 9])],
        |_, t| t[0].t() * t[1].slice_step(1, 1..9, 2).flip(0) + t[0].t().tanh(),
    ));
    out
}

fn reductions() -> Vec<Sample> {
    use super::reduce::{Reduce, ReduceKind};
    let mut out = Vec::new();
    for kind in ReduceKind::ALL {
        for dtype in DType::ALL.into_iter().filter(|d| kind != ReduceKind::Mean || d.is_float()) {
            for (axes, keepdim) in [(vec![2], false), (vec![0, 2], true), (vec![0, 1, 2], false), (vec![0], false)] {
                let input = SampleInput { shape: [5, 3, 37].into(), dtype, range: (0.0, 50.0) };
                let case = format!("{dtype} axes {axes:?}");
                out.push(Sample::new(kind.name(), case, vec![input], move |g, t| {
                    g.apply(Op::Reduce(Reduce { kind, axes: axes.clone(), keepdim }), t)
                }));
            }
        }
    }
    out.push(Sample::new("sum", "no axes", vec![floats([3, 4])], |_, t| t[0].sum(Axes::List(vec![]))));
    out.push(Sample::new("sum", "100 000 elements", vec![floats([100, 1000])], |_, t| t[0].sum(..)));
    out.push(Sample::new("sum", "short rows, many", vec![floats([70_001, 3])], |_, t| t[0].sum(1)));
    out.push(Sample::new("mean", "fused with a multiplication", vec![floats([20, 30]), floats([30])], |_, t| {
        (t[0] * t[1]).exp().mean(0)
    }));
    out
}

fn matrix_products() -> Vec<Sample> {
    let mut out = Vec::new();
    for (m, k, n) in [(1, 1, 1), (7, 13, 5), (33, 1, 17), (1, 37, 1), (64, 64, 64), (65, 129, 66), (100, 40, 100)] {
        for (ta, tb) in [(false, false), (true, false), (false, true), (true, true)] {
            let a = if ta { [k, m] } else { [m, k] };
            let b = if tb { [n, k] } else { [k, n] };
            let case = format!("{m}x{k}x{n}{}{}", if ta { " aT" } else { "" }, if tb { " bT" } else { "" });
            out.push(Sample::new("matmul", case, vec![floats(a), floats(b)], move |_, t| {
                let a = if ta { t[0].t() } else { t[0] };
                let b = if tb { t[1].t() } else { t[1] };
                a.matmul(b)
            }));
        }
    }
    let mut add = |case: &str, a: Shape, b: Shape| {
        out.push(Sample::new("matmul", case, vec![floats(a), floats(b)], |_, t| t[0].matmul(t[1])));
    };
    add("batched", [3, 5, 7].into(), [3, 7, 6].into());
    add("batched, left broadcast", [5, 7].into(), [2, 3, 7, 6].into());
    add("batched, both broadcast", [3, 1, 5, 7].into(), [4, 7, 6].into());
    add("vector left", [7].into(), [7, 6].into());
    add("vector right", [5, 7].into(), [7].into());
    add("inner size 0", [5, 0].into(), [0, 6].into());
    out.push(Sample::new("matmul", "f16", vec![halves([20, 30]), halves([30, 10])], |_, t| t[0].matmul(t[1])));
    out.push(Sample::new("matmul", "strided operands", vec![floats([9, 16]), floats([16, 10])], |_, t| {
        t[0].slice_step(1, 0..16, 2).matmul(t[1].slice(0, 3..11).flip(1))
    }));
    out
}

fn convolutions() -> Vec<Sample> {
    let mut out = Vec::new();
    let mut add = |case: &str, x: &[usize], w: &[usize], options: ConvOptions, input: fn(Shape) -> SampleInput| {
        let (xs, ws) = (Shape::from(x), Shape::from(w));
        let forward = Conv { kind: ConvKind::Forward, options: options.clone() };
        let Ok(geometry) = forward.geometry(&xs, &ws) else { unreachable!("samples have valid shapes") };
        let skip = 4 - x.len();
        let ys = Shape::from([&[x[0], w[0]], &geometry.output[skip..]].concat());
        let cases = [
            ("conv", ConvKind::Forward, &xs, &ws),
            ("conv_input_grad", ConvKind::InputGrad(x[2..].to_vec()), &ys, &ws),
            ("conv_weight_grad", ConvKind::WeightGrad(w[2..].to_vec()), &xs, &ys),
        ];
        for (op, kind, a, b) in cases {
            let conv = Conv { kind, options: options.clone() };
            let inputs = vec![input(a.clone()), input(b.clone())];
            out.push(Sample::new(op, case, inputs, move |g, t| g.apply(Op::Conv(conv.clone()), t)));
        }
    };
    let o = ConvOptions::new;
    let f: fn(Shape) -> SampleInput = floats;
    add("1d first preset layer", &[4, 1, 40], &[15, 1, 3], o().stride(2), f);
    add("1d second preset layer", &[3, 15, 19], &[15, 15, 3], o().stride(2), f);
    add("1d stride 1 padding 3", &[2, 3, 11], &[4, 3, 7], o().padding(3), f);
    add(
        "1d stride 3 padding 2 dilation 2, unused tail",
        &[2, 2, 15],
        &[3, 2, 3],
        o().stride(3).padding(2).dilation(2),
        f,
    );
    add("1d stride above kernel", &[2, 2, 13], &[3, 2, 2], o().stride(4), f);
    add("1d groups 2", &[2, 4, 9], &[6, 2, 3], o().groups(2).padding(1), f);
    add("1d depthwise, multiplier 2", &[2, 3, 9], &[6, 1, 3], o().groups(3).stride(2), f);
    add("1d length equals kernel", &[2, 3, 5], &[4, 3, 5], o(), f);
    add("1d kernel 1", &[2, 5, 6], &[4, 5, 1], o(), f);
    add("1d padding above input", &[2, 1, 2], &[2, 1, 5], o().padding(4), f);
    add("2d padding 1", &[2, 3, 8, 7], &[4, 3, 3, 3], o().padding(1), f);
    add(
        "2d all different",
        &[2, 4, 9, 11],
        &[6, 2, 3, 2],
        o().stride([2, 3]).padding([1, 2]).dilation([2, 1]).groups(2),
        f,
    );
    add("2d 1x1", &[2, 5, 4, 4], &[3, 5, 1, 1], o(), f);
    add("1d f16", &[2, 4, 12], &[3, 4, 3], o().padding(1), halves);
    out
}

fn movements() -> Vec<Sample> {
    let one = |case: &str, shape: &[usize], build: for<'g> fn(Tensor<'g>) -> Tensor<'g>| {
        let name: &'static str = "movement";
        // Multiplication by itself makes the movement's result be stored and its gradient not constant.
        Sample::new(name, case, vec![floats(shape)], move |_, t| {
            let y = build(t[0]);
            y * y
        })
    };
    vec![
        one("reshape", &[4, 6], |t| t.reshape([3, 8])),
        one("reshape of a transpose", &[4, 6], |t| t.t().reshape([3, 8])),
        one("permute", &[2, 3, 4], |t| t.permute(&[2, 0, 1])),
        one("broadcast", &[3, 1], |t| t.exp().broadcast_to([2, 3, 5])),
        one("slice", &[5, 8], |t| t.slice(1, 2..7)),
        one("slice step", &[5, 8], |t| t.slice_step(1, 1..8, 3)),
        one("empty slice", &[5, 8], |t| t.slice(0, 2..2)),
        one("pad", &[3, 4], |t| t.pad(0, 1, 2, 0.5).pad(1, 0, 3, 0.0)),
        one("flip", &[3, 4], |t| t.flip(1)),
        one("concat", &[3, 4], |t| t.concat(&[t.exp(), t.slice(1, 1..3)], 1)),
        one("squeeze and unsqueeze", &[3, 1, 4], |t| t.squeeze(1).unsqueeze(-1)),
        one("detach", &[3], |t| t.detach() * 0.0 + t),
        one("six axes", &[2, 1, 3, 2, 1, 2], |t| t.permute(&[5, 3, 1, 0, 4, 2])),
    ]
}

fn indexing() -> Vec<Sample> {
    vec![
        Sample::new("index_select", "rows", vec![floats([9, 5]), indices([14], 9)], |_, t| t[0].index_select(0, t[1])),
        Sample::new("index_select", "middle axis", vec![floats([3, 7, 4]), indices([5], 7)], |_, t| {
            t[0].index_select(1, t[1])
        }),
        Sample::new("index_select", "integers", vec![indices([40], 1000), indices([9], 40)], |_, t| {
            t[0].index_select(0, t[1])
        }),
        Sample::new("gather", "last axis", vec![floats([6, 9]), indices([5, 3], 9)], |_, t| t[0].gather(1, t[1])),
        Sample::new("gather", "first axis", vec![floats([4, 3, 2]), indices([7, 3, 1], 4)], |_, t| {
            t[0].gather(0, t[1])
        }),
        Sample::new("scatter_add", "rows", vec![floats([14, 5]), indices([14], 9)], |_, t| {
            t[0].scatter_add(0, t[1], 9)
        }),
        Sample::new("scatter_add", "last axis", vec![floats([3, 14]), indices([14], 4)], |_, t| {
            t[0].scatter_add(1, t[1], 6)
        }),
        Sample::new("one_hot", "3 classes", vec![indices([8], 3)], |_, t| t[0].one_hot(3)),
    ]
}

fn rows() -> Vec<Sample> {
    let mut out = Vec::new();
    for (case, rows, cols) in [("narrow", 7, 10), ("wide", 3, 1000), ("one class", 4, 1), ("prime", 131, 17)] {
        let wide = || SampleInput { range: (-9.0, 9.0), ..floats([rows, cols]) };
        out.push(Sample::new("softmax", case, vec![wide()], |_, t| t[0].softmax(-1)));
        out.push(Sample::new("log_softmax", case, vec![wide()], |_, t| t[0].log_softmax(-1)));
        for smoothing in [0.0, 0.1] {
            let case = format!("{case} smoothing {smoothing}");
            let labels = || indices([rows], cols);
            out.push(Sample::new("cross_entropy", case.clone(), vec![wide(), labels()], move |_, t| {
                t[0].cross_entropy(t[1], smoothing)
            }));
            let op = super::cross_entropy::CrossEntropy::Grad { smoothing: smoothing.to_bits() };
            out.push(Sample::new("cross_entropy_grad", case, vec![wide(), labels(), floats([rows])], move |g, t| {
                g.apply(Op::CrossEntropy(op), t)
            }));
        }
    }
    out.push(Sample::new("softmax", "first axis", vec![floats([4, 5])], |_, t| t[0].softmax(0)));
    out.push(Sample::new(
        "softmax",
        "huge logits",
        vec![SampleInput { range: (-3e38, 3e38), ..floats([6, 9]) }],
        |_, t| t[0].softmax(-1),
    ));
    out.push(Sample::new("softmax", "f16", vec![halves([4, 9])], |_, t| t[0].softmax(-1)));
    out
}

fn leaves() -> Vec<Sample> {
    vec![
        Sample::new("random_bits", "1001", vec![], |g, _| g.random_bits([1001])),
        Sample::new("random_uniform", "7x13", vec![], |g, _| g.random_uniform([7, 13])),
        Sample::new("random_normal", "1001", vec![], |g, _| g.random_normal([1001])),
        Sample::new("random_bernoulli", "0.3", vec![], |g, _| g.random_bernoulli(0.3, [1001])),
        // Whole fours, which a thread may draw together.
        Sample::new("random_bits", "fours", vec![], |g, _| g.random_bits([250, 4])),
        Sample::new("random_uniform", "fours", vec![], |g, _| g.random_uniform([1000])),
        Sample::new("random_normal", "fours", vec![], |g, _| g.random_normal([5, 200])),
        Sample::new("random_bernoulli", "fours", vec![], |g, _| g.random_bernoulli(0.7, [1000])),
        Sample::new("dropout", "transposed mask", vec![floats([6, 8])], |g, t| {
            g.random_bernoulli(0.5, [8, 6]).t().select(t[0] * 2.0, 0.0)
        }),
        Sample::new("iota", "middle axis", vec![], |g, _| g.iota([3, 5, 2], 1).cast(DType::F32).exp()),
        Sample::new("iota", "permuted", vec![], |g, _| g.iota([3, 5], 1).t() + g.iota([5, 3], 1)),
        Sample::new("step", "arithmetic", vec![], |g, _| g.step() * g.scalar(7.0, DType::U32)),
    ]
}
