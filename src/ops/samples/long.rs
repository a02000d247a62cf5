//! Few outputs of many terms each: what a GPU cuts into parts, in several dispatches.

use super::{Sample, SampleInput, floats, halves, indices};
use crate::dtype::DType;
use crate::ops::Op;
use crate::ops::conv::{Conv, ConvKind, ConvOptions};
use crate::ops::cross_entropy::CrossEntropy;
use crate::ops::reduce::{Reduce, ReduceKind};
use crate::ops::scan::Scan;
use crate::shape::Shape;

pub(super) fn all() -> Vec<Sample> {
    let mut samples = reductions();
    samples.extend(rows());
    samples.extend(scans());
    samples.extend(matmuls());
    samples.extend(weight_gradients());
    samples.extend(scatters());
    samples.extend(largest());
    samples
}

fn reductions() -> Vec<Sample> {
    let mut out = Vec::new();
    let mut add = |kind: ReduceKind, dtype: DType, shape: &[usize], axis: usize| {
        let input = SampleInput { shape: shape.into(), dtype, range: (0.0, if dtype.is_float() { 1.0 } else { 99.0 }) };
        let case = format!("long, {dtype} {shape:?} axis {axis}");
        out.push(Sample::new(kind.name(), case, vec![input], move |g, t| {
            g.apply(Op::Reduce(Reduce { kind, axes: vec![axis], keepdim: false }), t)
        }));
    };
    for kind in ReduceKind::ALL {
        // Few rows, and few columns: neighbouring terms are neighbours in memory, or neighbouring outputs.
        add(kind, DType::F32, &[2, 20_011], 1);
        add(kind, DType::F32, &[9_001, 5], 0);
    }
    for dtype in [DType::F16, DType::U32, DType::I32] {
        add(ReduceKind::Sum, dtype, &[1, 16_390], 1);
        add(ReduceKind::ArgMin, dtype, &[1, 16_390], 1);
    }
    // As many terms as one workgroup takes, one fewer and one more; the last of the parts is short or empty.
    for terms in [8_191, 8_192, 8_193, 10_241, 34_817] {
        add(ReduceKind::Sum, DType::F32, &[terms], 0);
        add(ReduceKind::ArgMax, DType::F32, &[terms], 0);
    }
    add(ReduceKind::Max, DType::F32, &[3_001, 40], 0);
    out.push(Sample::new(
        "sum",
        "long, of an expression of views, then an epilogue",
        vec![floats([150, 150]), floats([150])],
        |_, t| (t[0].t() * t[1]).flip(0).slice(1, 3..140).exp().sum(..) * 0.01 + t[1].slice(0, 4..5),
    ));
    out.push(Sample::new("mean", "long, then an epilogue", vec![floats([3, 12_001])], |_, t| t[0].mean(1).exp() + 1.0));
    out.push(Sample::new("argmax", "long, ties", vec![floats([2, 30_000])], |_, t| (t[0] * 3.0).floor().argmax(1)));
    out.push(Sample::new("norm", "long", vec![halves([30_000])], |_, t| {
        (t[0].cast(DType::F32).square() * 0.5).sum(0).sqrt()
    }));
    out.push(Sample::new("logsumexp", "long", vec![floats([2, 9_999])], |_, t| t[0].logsumexp(1)));
    out
}

fn rows() -> Vec<Sample> {
    let mut out = Vec::new();
    for (rows, columns) in [(1, 8_192), (2, 8_191), (3, 10_247)] {
        let wide = || SampleInput { range: (-9.0, 9.0), ..floats([rows, columns]) };
        let case = format!("long {rows}x{columns}");
        out.push(Sample::new("softmax", case.clone(), vec![wide()], |_, t| t[0].softmax(-1)));
        out.push(Sample::new("log_softmax", case.clone(), vec![wide()], |_, t| t[0].log_softmax(-1)));
        for smoothing in [0.0, 0.1f64] {
            let case = format!("{case} smoothing {smoothing}");
            let labels = || indices([rows], columns);
            out.push(Sample::new("cross_entropy", case.clone(), vec![wide(), labels()], move |_, t| {
                t[0].cross_entropy(t[1], smoothing)
            }));
            let op = CrossEntropy::Grad { smoothing: smoothing.to_bits() };
            out.push(Sample::new(
                "cross_entropy_grad",
                case.clone(),
                vec![wide(), labels(), floats([rows])],
                move |g, t| g.apply(Op::CrossEntropy(op), t),
            ));
            // The loss and its gradient in one launch.
            out.push(Sample::new(
                "cross_entropy",
                format!("{case}, and its gradient"),
                vec![wide(), labels()],
                move |_, t| {
                    let loss = t[0].cross_entropy(t[1], smoothing).sum(0);
                    loss.vjp(loss, &[t[0]])[0] + loss
                },
            ));
        }
    }
    out.push(Sample::new("softmax", "long, f16", vec![halves([2, 9_000])], |_, t| t[0].softmax(-1)));
    out
}

fn scans() -> Vec<Sample> {
    let mut out = Vec::new();
    for reverse in [false, true] {
        for (dtype, shape) in [(DType::F32, [3, 8_195]), (DType::U32, [1, 20_001]), (DType::F32, [130, 4])] {
            let input = SampleInput { shape: shape.into(), dtype, range: (0.0, 9.0) };
            let case = format!("long {dtype} {shape:?} reverse {reverse}");
            out.push(Sample::new("cumsum", case, vec![input], move |g, t| g.apply(Op::Scan(Scan { reverse }), t)));
        }
    }
    out
}

fn matmuls() -> Vec<Sample> {
    let mut out = Vec::new();
    for (m, k, n) in [(5, 1_027, 7), (64, 1_024, 64), (33, 2_305, 12), (1, 4_100, 300), (300, 4_099, 1), (3, 9_001, 2)]
    {
        for (ta, tb) in [(false, false), (true, false), (false, true), (true, true)] {
            let a = if ta { [k, m] } else { [m, k] };
            let b = if tb { [n, k] } else { [k, n] };
            let case = format!("long {m}x{k}x{n}{}{}", if ta { " aT" } else { "" }, if tb { " bT" } else { "" });
            out.push(Sample::new("matmul", case, vec![floats(a), floats(b)], move |_, t| {
                let a = if ta { t[0].t() } else { t[0] };
                let b = if tb { t[1].t() } else { t[1] };
                a.matmul(b)
            }));
        }
    }
    let batched = vec![floats([2, 9, 1_500]), floats([1_500, 10])];
    out.push(Sample::new("matmul", "long, batched, views", batched, |_, t| {
        t[0].slice(2, 3..1_400).flip(2).matmul(t[1].slice(0, 5..1_402))
    }));
    out.push(Sample::new("matmul", "long, f16", vec![halves([12, 1_300]), halves([1_300, 10])], |_, t| {
        (t[0] * 0.1).matmul(t[1] * 0.1)
    }));
    let layer = vec![floats([17, 2_000]), floats([20, 2_000]), floats([20])];
    out.push(Sample::new("matmul", "long, bias and ReLU", layer, |_, t| (t[0].matmul(t[1].t()) + t[2]).relu()));
    // A linear layer's gradients: the bias's are row sums of the weight's matmul.
    let layer = vec![floats([3_000, 6]), floats([10, 6]), floats([10])];
    out.push(Sample::new("matmul", "long, gradients of weight and bias", layer, |_, t| {
        let loss = (t[0].matmul(t[1].t()) + t[2]).square().mean(..);
        let grads = loss.vjp(loss, &[t[1], t[2]]);
        grads[0].sum(1) + grads[1]
    }));
    out
}

fn weight_gradients() -> Vec<Sample> {
    let mut out = Vec::new();
    let mut add = |case: &str, x: &[usize], w: &[usize], options: ConvOptions, input: fn(Shape) -> SampleInput| {
        let forward = Conv { kind: ConvKind::Forward, options: options.clone() };
        let Ok(geometry) = forward.geometry(&x.into(), &w.into()) else { unreachable!("samples have valid shapes") };
        let y = [&[x[0], w[0]], &geometry.output[4 - x.len()..]].concat();
        let conv = Conv { kind: ConvKind::WeightGrad(w[2..].to_vec()), options };
        let inputs = vec![input(x.into()), input(y.into())];
        let case = format!("long, {case}");
        out.push(Sample::new("conv_weight_grad", case, inputs, move |g, t| g.apply(Op::Conv(conv.clone()), t)));
    };
    let o = ConvOptions::new;
    let f: fn(Shape) -> SampleInput = floats;
    add("1d", &[64, 3, 41], &[5, 3, 3], o().padding(1), f);
    add("1d groups 2 stride 2", &[70, 4, 40], &[6, 2, 5], o().groups(2).stride(2).padding(2), f);
    add("1d kernel 1", &[1, 2, 1_025], &[17, 2, 1], o(), f);
    add("2d", &[7, 2, 15, 14], &[3, 2, 3, 2], o().dilation([2, 1]).padding([1, 0]), f);
    // Tiles of 16 rows, the last of them short.
    add("1d, wide tiles", &[16, 43, 1_040], &[17, 43, 3], o().padding(1), f);
    add("1d f16", &[30, 2, 40], &[3, 2, 3], o(), halves);
    // A layer's gradients: the bias's are row sums.
    let layer = vec![floats([50, 3, 40]), floats([4, 3, 3]), floats([4, 1])];
    out.push(Sample::new("conv", "long, gradients of weight and bias", layer, |_, t| {
        let loss = (t[0].conv(t[1], &ConvOptions::new()) + t[2]).square().mean(..);
        let grads = loss.vjp(loss, &[t[1], t[2]]);
        grads[0].sum([1, 2]).unsqueeze(-1) + grads[1]
    }));
    out
}

fn scatters() -> Vec<Sample> {
    let mut out = Vec::new();
    let mut add = |case: &str, [outer, length, inner]: [usize; 3], rows: usize, below: usize| {
        let inputs = vec![floats([outer, length, inner]), indices([length], below)];
        out.push(Sample::new("scatter_add", format!("long, {case}"), inputs, move |_, t| {
            t[0].scatter_add(1, t[1], rows)
        }));
    };
    add("many rows", [1, 3_000, 3], 1_500, 1_500);
    add("one row", [1, 700, 5], 1, 1);
    add("all in the first row of many", [2, 2_049, 1], 40, 1);
    add("two of many rows, several chunks", [2, 1_200, 2], 33, 2);
    add("index beyond the end", [1, 513, 2], 9, 20);
    // More than the digits of one pass, and most rows empty.
    add("an embedding", [1, 64, 9], 30_000, 30_000);
    let signed = |shape: &[usize]| SampleInput { shape: shape.into(), dtype: DType::I32, range: (-5.0, 9.0) };
    out.push(Sample::new(
        "scatter_add",
        "long, f16, a signed index",
        vec![halves([600, 2]), signed(&[600])],
        |_, t| (t[0] * 0.1).scatter_add(0, t[1], 7),
    ));
    out.push(Sample::new(
        "index_select",
        "long, and its gradient",
        vec![floats([50, 4]), indices([1_100], 49), floats([1_100, 4])],
        |_, t| {
            let loss = (t[0].index_select(0, t[1] + 1.0) * t[2]).sum(..);
            loss.vjp(loss, &[t[0]])[0]
        },
    ));
    out
}

fn largest() -> Vec<Sample> {
    let mut out = Vec::new();
    let mut add = |dtype: DType, shape: [usize; 2], k: usize, largest: bool, top: f64| {
        // Few values tie often; at a round whole numbers of f16 too.
        let input =
            SampleInput { shape: shape.into(), dtype, range: (if dtype == DType::U32 { 0.0 } else { -top }, top) };
        let case = format!("long {dtype} {shape:?} k {k} largest {largest}");
        out.push(Sample::new("topk", case, vec![input], move |_, t| t[0].topk(k, 1, largest).1));
    };
    for dtype in DType::ALL {
        for largest in [true, false] {
            add(dtype, [3, 300], 20, largest, 40.0);
            add(dtype, [1, 8_200], 9, largest, 3.0);
        }
    }
    add(DType::F32, [2, 20_001], 100, true, 1.0);
    add(DType::F32, [1, 40_000], 700, false, 1.0);
    add(DType::U32, [2, 9_000], 64, true, 1.0);
    add(DType::F32, [3, 1_024], 1_024, true, 1.0);
    add(DType::F32, [2, 1_100], 1_025, true, 1.0);
    add(DType::F32, [130, 30], 16, true, 1.0);
    out
}
