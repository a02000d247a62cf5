//! Few outputs of many terms each: what a GPU cuts into parts, in several dispatches.

use super::{Sample, SampleInput, floats, halves, indices};
use crate::dtype::DType;
use crate::ops::Op;
use crate::ops::cross_entropy::CrossEntropy;
use crate::ops::reduce::{Reduce, ReduceKind};
use crate::ops::scan::Scan;

pub(super) fn all() -> Vec<Sample> {
    let mut samples = reductions();
    samples.extend(rows());
    samples.extend(scans());
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
