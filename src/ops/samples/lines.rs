//! What goes along a line or over windows: cumulative sums, the largest few, gathering, pooling, transposed convolution.

use super::{Sample, SampleInput, floats, halves, indices};
use crate::dtype::DType;
use crate::ops::Op;
use crate::ops::conv::ConvOptions;
use crate::ops::pool::{Pool, PoolKind, PoolOptions, Windows};
use crate::ops::scan::Scan;
use crate::shape::Shape;

pub(super) fn all() -> Vec<Sample> {
    let mut samples = scans();
    samples.extend(largest());
    samples.extend(gathers());
    samples.extend(pools());
    samples.extend(transposed());
    samples
}

fn scans() -> Vec<Sample> {
    let mut out = Vec::new();
    for dtype in DType::ALL {
        for reverse in [false, true] {
            let input = SampleInput { shape: [3, 5, 37].into(), dtype, range: (0.0, 9.0) };
            out.push(Sample::new("cumsum", format!("{dtype} reverse {reverse}"), vec![input], move |g, t| {
                g.apply(Op::Scan(Scan { reverse }), t)
            }));
        }
    }
    let mut add = |case: &str, shape: &[usize], axis: isize| {
        out.push(Sample::new("cumsum", case, vec![floats(shape)], move |_, t| t[0].cumsum(axis)));
    };
    add("first axis", &[7, 4], 0);
    add("middle axis of size 1", &[3, 1, 4], 1);
    add("one element", &[1], 0);
    add("many short rows", &[70_001, 3], 1);
    add("a chunk and one", &[2, 1025], 1);
    add("three launches", &[2, 65_537], 1);
    // Scaled on either side: neither the sums nor those of the gradient may pass what f16 holds.
    out.push(Sample::new("cumsum", "three launches, reversed, f16", vec![halves([70_001])], |g, t| {
        g.apply(Op::Scan(Scan { reverse: true }), &[t[0] * 0.01]) * 0.001
    }));
    out
}

fn largest() -> Vec<Sample> {
    let mut out = Vec::new();
    for dtype in DType::ALL {
        for largest in [true, false] {
            // Integers tie often.
            let input = SampleInput { shape: [5, 23].into(), dtype, range: (0.0, 9.0) };
            let case = format!("indices {dtype} largest {largest}");
            out.push(Sample::new("topk", case, vec![input], move |_, t| t[0].topk(7, -1, largest).1));
        }
    }
    let mut add = |case: &str, input: SampleInput, k: usize, axis: isize| {
        out.push(Sample::new("topk", case, vec![input], move |_, t| t[0].topk(k, axis, true).0));
    };
    add("values", floats([4, 9]), 3, 1);
    add("values, first axis, all of them", floats([6, 5]), 6, 0);
    add("one of one", floats([3, 1]), 1, 1);
    add("long row", floats([2, 5003]), 4, 1);
    add("many rows", floats([66_001, 3]), 2, 1);
    add("values f16", halves([3, 17]), 2, 1);
    out
}

fn gathers() -> Vec<Sample> {
    vec![
        Sample::new("gather", "of an expression, u32", vec![indices([4, 6], 99), indices([4, 3], 6)], |_, t| {
            (t[0] + 1.0).gather(1, t[1])
        }),
        Sample::new("gather", "f16", vec![halves([2, 9, 3]), indices([2, 4, 3], 9)], |_, t| t[0].gather(1, t[1])),
        Sample::new("gather", "index beyond the end", vec![floats([4, 6]), indices([4, 8], 9)], |_, t| {
            t[0].gather(1, t[1])
        }),
        Sample::new("gather", "indices again and again", vec![floats([3, 4]), indices([3, 20], 4)], |_, t| {
            t[0].gather(1, t[1])
        }),
    ]
}

fn pools() -> Vec<Sample> {
    let mut out = Vec::new();
    let mut add = |case: &str, x: &[usize], windows: Windows, input: fn(Shape) -> SampleInput| {
        let shape = Shape::from(x);
        let Ok(geometry) = windows.geometry(&shape, false) else { unreachable!("samples have valid shapes") };
        let ys = Shape::from([&x[..2], &geometry.output_shape(x.len())].concat());
        let pool = move |kind| Op::Pool(Pool { kind, windows: windows.clone() });
        let average = geometry.axes.iter().all(|axis| axis.dilation == 1);
        let mut unary = |op, kind: PoolKind, shape: &Shape| {
            let op_of = pool.clone();
            let inputs = vec![input(shape.clone())];
            out.push(Sample::new(op, case, inputs, move |g, t| g.apply(op_of(kind.clone()), t)));
        };
        unary("max_pool", PoolKind::Max, &shape);
        unary("max_pool_indices", PoolKind::ArgMax, &shape);
        if average {
            unary("avg_pool", PoolKind::Average, &shape);
            unary("avg_pool_grad", PoolKind::AverageGrad(x[2..].to_vec()), &ys);
        }
        let size = x[2..].to_vec();
        let inputs = vec![input(shape), input(ys)];
        out.push(Sample::new("max_pool_grad", case, inputs, move |g, t| {
            let places = g.apply(pool(PoolKind::ArgMax), &t[..1]);
            g.apply(pool(PoolKind::Put(size.clone())), &[t[1], places])
        }));
    };
    let o = |kernel: [usize; 1]| PoolOptions::new(kernel);
    let f: fn(Shape) -> SampleInput = floats;
    let sliding = Windows::Sliding;
    add("1d kernel 2", &[2, 3, 11], sliding(o([2])), f);
    add("1d kernel 3 stride 2 padding 1", &[2, 3, 12], sliding(o([3]).stride(2).padding(1)), f);
    add("1d overlapping, dilation 2", &[1, 2, 13], sliding(o([3]).stride(1).dilation(2)), f);
    add("1d stride above kernel", &[2, 1, 17], sliding(o([2]).stride(5)), f);
    add("1d ceil mode", &[2, 3, 10], sliding(o([3]).stride(2).padding(1).ceil_mode(true)), f);
    add("1d padding not counted", &[2, 3, 9], sliding(o([3]).stride(2).padding(1).count_include_pad(false)), f);
    add("1d length 1", &[3, 2, 1], sliding(o([1])), f);
    add("1d many planes", &[70_001, 1, 3], sliding(o([2]).stride(1)), f);
    add("1d f16", &[2, 3, 11], sliding(o([3]).stride(2).padding(1)), halves);
    add(
        "2d all different",
        &[2, 2, 9, 7],
        sliding(PoolOptions::new([3, 2]).stride([2, 1]).padding([1, 1]).count_include_pad(false)),
        f,
    );
    add("2d ceil mode", &[1, 2, 6, 5], sliding(PoolOptions::new(3).stride(2).ceil_mode(true)), f);
    add("2d divisor", &[1, 2, 4, 6], sliding(PoolOptions::new(2).divisor_override(3)), f);
    add("2d dilation", &[1, 2, 9, 8], sliding(PoolOptions::new(3).stride(1).padding(1).dilation([2, 1])), f);
    add("1d adaptive", &[2, 3, 17], Windows::Adaptive(vec![5]), f);
    add("2d adaptive", &[2, 2, 7, 5], Windows::Adaptive(vec![3, 4]), f);
    add("2d adaptive, more windows than elements", &[1, 2, 3, 2], Windows::Adaptive(vec![5]), f);
    out.push(Sample::new("max_pool", "value and gradient", vec![floats([2, 2, 6, 6])], |_, t| {
        let y = t[0].max_pool(&PoolOptions::new(3).stride(2).padding(1));
        t[0] * y.vjp(y, &[t[0]])[0]
    }));
    out.push(Sample::new("adaptive_avg_pool", "to one", vec![floats([2, 3, 5, 4])], |_, t| t[0].adaptive_avg_pool(1)));
    out
}

fn transposed() -> Vec<Sample> {
    let mut out = Vec::new();
    let mut add = |case: &str, x: &[usize], w: &[usize], options: ConvOptions, more: usize| {
        out.push(Sample::new("conv_transpose", case, vec![floats(x), floats(w)], move |_, t| {
            t[0].conv_transpose(t[1], &options, more)
        }));
    };
    let o = ConvOptions::new;
    add("1d stride 2", &[2, 4, 5], &[4, 3, 3], o().stride(2).padding(1), 1);
    add("1d groups 2", &[2, 4, 5], &[4, 2, 2], o().groups(2), 0);
    add("1d output padding above the stride", &[1, 2, 4], &[2, 2, 3], o().dilation(3), 2);
    add("2d", &[1, 3, 3, 4], &[3, 2, 3, 2], o().stride([2, 1]).padding([1, 0]).dilation([1, 2]), 0);
    out
}
