//! The table of cases: kernels with given shapes.
//!
//! The number of indices checked along each axis is chosen so that the reference is cheap, whatever the size of the
//! case.

use super::case::{Case, halves, indices, values};
use crate::dtype::DType;
use crate::ops::Op;
use crate::ops::conv::{Conv, ConvKind, ConvOptions};
use crate::ops::cross_entropy::CrossEntropy;
use crate::ops::samples::SampleInput;
use crate::shape::Shape;

/// 2²⁰ elements.
const MILLION: usize = 1 << 20;
/// The number of rows and columns of a matmul to check.
const SIDE: usize = 16;
/// The number of rows of a table, or elements of a vector, to check.
const MANY: usize = 1024;

/// All cases.
pub fn all() -> Vec<Case> {
    let mut cases = matmuls();
    cases.extend(convolutions());
    cases.extend(elementwise());
    cases.extend(reductions());
    cases.extend(rows());
    cases.extend(indexing());
    cases.push(Case::new("random/normal-1M", vec![], |g, _| g.random_normal([MILLION])));
    cases.push(Case::new("random/uniform-1M", vec![], |g, _| g.random_uniform([MILLION])));
    cases
}

fn matmuls() -> Vec<Case> {
    let matmul = |name: &str, [m, k, n]: [usize; 3], input: fn([usize; 2]) -> SampleInput| {
        let name = format!("matmul/{name}");
        let case = Case::new(name, vec![input([m, k]), input([k, n])], |_, t| t[0].matmul(t[1]));
        case.along(&[(0, 0)], 0, SIDE).along(&[(1, 1)], 1, SIDE)
    };
    let full: fn([usize; 2]) -> SampleInput = |shape| values(shape);
    let half: fn([usize; 2]) -> SampleInput = |shape| halves(shape);
    let transposed = |name: &str, m: usize, k: usize, n: usize, left: bool| {
        let name = format!("matmul/{name}");
        let (a, b) = if left { ([k, m], [k, n]) } else { ([m, k], [n, k]) };
        let case = Case::new(name, vec![values(a), values(b)], move |_, t| {
            if left { t[0].t().matmul(t[1]) } else { t[0].matmul(t[1].t()) }
        });
        case.along(&[(0, usize::from(left))], 0, SIDE).along(&[(1, usize::from(left))], 1, SIDE)
    };
    vec![
        matmul("512", [512; 3], full),
        matmul("1024", [1024; 3], full),
        matmul("2048", [2048; 3], full),
        matmul("4096", [4096; 3], full),
        matmul("512-f16", [512; 3], half),
        matmul("1024-f16", [1024; 3], half),
        transposed("512-left-transposed", 512, 512, 512, true),
        transposed("512-right-transposed", 512, 512, 512, false),
        matmul("tall-skinny-16384x64x64", [16_384, 64, 64], full),
        matmul("deep-64x16384x64", [64, 16_384, 64], full),
        transposed("mlp-100x40x100", 100, 40, 100, false),
        transposed("mlp-100x100x100", 100, 100, 100, false),
        // Few outputs, each a sum of many terms.
        matmul("deep-64x65536x64", [64, 65_536, 64], full),
        transposed("deep-128x131072x32-left-transposed", 128, 131_072, 32, true),
        Case::new("matmul/batched-128x64x64x64", vec![values([128, 64, 64]), values([128, 64, 64])], |_, t| {
            t[0].matmul(t[1])
        })
        .along(&[(0, 0), (1, 0)], 0, 8)
        .along(&[(0, 1)], 1, SIDE),
        Case::new("matmul/gemv-4096x4096", vec![values([4096, 4096]), values([4096])], |_, t| t[0].matmul(t[1])).along(
            &[(0, 0)],
            0,
            64,
        ),
        Case::new("matmul/vector_matrix-4096x4096", vec![values([4096]), values([4096, 4096])], |_, t| {
            t[0].matmul(t[1])
        })
        .along(&[(1, 1)], 0, 64),
        Case::new("matmul/gemv-64x262144", vec![values([64, 262_144]), values([262_144])], |_, t| t[0].matmul(t[1]))
            .along(&[(0, 0)], 0, 4),
    ]
}

fn convolutions() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |name: &str, x: &[usize], w: &[usize], options: ConvOptions| {
        let (xs, ws) = (Shape::from(x), Shape::from(w));
        let forward = Conv { kind: ConvKind::Forward, options: options.clone() };
        let Ok(geometry) = forward.geometry(&xs, &ws) else { unreachable!("the shapes of the table are valid") };
        let ys = Shape::from([&[x[0], w[0]], &geometry.output[4 - x.len()..]].concat());
        let case = |pass: &str, kind: ConvKind, a: &Shape, b: &Shape| {
            let op = Conv { kind, options: options.clone() };
            let inputs = vec![values(a), values(b)];
            Case::new(format!("{name}/{pass}"), inputs, move |g, t| g.apply(Op::Conv(op.clone()), t))
        };
        // A slice of the result depends on one sample (or input channel) of the first operand and one channel of the
        // second.
        cases.push(case("forward", ConvKind::Forward, &xs, &ws).along(&[(0, 0)], 0, 2).along(&[(1, 0)], 1, 3));
        let kind = ConvKind::InputGrad(x[2..].to_vec());
        cases.push(case("input_grad", kind, &ys, &ws).along(&[(0, 0)], 0, 2).along(&[(1, 1)], 1, 3));
        let kind = ConvKind::WeightGrad(w[2..].to_vec());
        cases.push(case("weight_grad", kind, &xs, &ys).along(&[(1, 1)], 0, 2).along(&[(0, 1)], 1, 3));
    };
    let o = ConvOptions::new;
    // The layers of the preset `cnn`, with its batch size.
    add("conv1d/mnist1d-1-100x1x40-k3s2", &[100, 1, 40], &[15, 1, 3], o().stride(2));
    add("conv1d/mnist1d-2-100x15x19-k3s2", &[100, 15, 19], &[15, 15, 3], o().stride(2));
    add("conv1d/mnist1d-3-100x15x9-k3s2", &[100, 15, 9], &[15, 15, 3], o().stride(2));
    add("conv1d/100x15x19-k3p1", &[100, 15, 19], &[15, 15, 3], o().padding(1));
    add("conv1d/256x64x1024-k5p2", &[256, 64, 1024], &[64, 64, 5], o().padding(2));
    add("conv1d/512x16x1024-k5p2", &[512, 16, 1024], &[16, 16, 5], o().padding(2));
    add("conv2d/256x3x32-k3p1", &[256, 3, 32, 32], &[16, 3, 3, 3], o().padding(1));
    add("conv2d/32x64x56-k3p1", &[32, 64, 56, 56], &[64, 64, 3, 3], o().padding(1));
    cases
}

fn elementwise() -> Vec<Case> {
    let each = |case: Case| {
        let inputs: Vec<(usize, usize)> = (0..case.inputs.len()).map(|k| (k, 0)).collect();
        case.along(&inputs, 0, MANY)
    };
    // An Adam update of a parameter. Inputs: parameter, gradient, first and second moment.
    let positive = SampleInput { range: (0.0, 1.0), ..values([MILLION]) };
    let adam_inputs = vec![values([MILLION]), values([MILLION]), values([MILLION]), positive];
    vec![
        each(Case::new("elementwise/add-1M", vec![values([MILLION]), values([MILLION])], |_, t| t[0] + t[1])),
        each(Case::new("elementwise/add-1M-f16", vec![halves([MILLION]), halves([MILLION])], |_, t| t[0] + t[1])),
        each(Case::new("elementwise/add-16M", vec![values([16 * MILLION]), values([16 * MILLION])], |_, t| {
            t[0] + t[1]
        })),
        Case::new("elementwise/bias_relu-4096x256", vec![values([4096, 256]), values([256])], |_, t| {
            (t[0] + t[1]).relu()
        })
        .along(&[(0, 0)], 0, 64),
        each(Case::new("elementwise/gelu-1M", vec![values([MILLION])], |_, t| {
            t[0] * 0.5 * ((t[0] * std::f64::consts::FRAC_1_SQRT_2).erf() + 1.0)
        })),
        each(Case::new("elementwise/adam-1M", adam_inputs, |_, t| {
            let (p, g) = (t[0], t[1]);
            let (m, v) = (t[2] * 0.9 + g * 0.1, t[3] * 0.999 + g * g * 0.001);
            p - m * 1e-3 / (v.sqrt() + 1e-8)
        })),
        Case::new("elementwise/add_transposed-1024", vec![values([1024, 1024]), values([1024, 1024])], |_, t| {
            t[0] + t[1].t()
        })
        .along(&[(0, 0), (1, 1)], 0, 64),
    ]
}

fn reductions() -> Vec<Case> {
    let table = || vec![values([1024, 1024])];
    vec![
        Case::new("reduce/rows-1024x1024", table(), |_, t| t[0].sum(1)).along(&[(0, 0)], 0, 64),
        Case::new("reduce/columns-1024x1024", table(), |_, t| t[0].sum(0)).along(&[(0, 1)], 0, 64),
        Case::new("reduce/short_rows-65536x16", vec![values([65_536, 16])], |_, t| t[0].sum(1)).along(
            &[(0, 0)],
            0,
            MANY,
        ),
        Case::new("reduce/bias_grad-100x15x19", vec![values([100, 15, 19])], |_, t| t[0].sum([0, 2])),
        Case::new("reduce/all-1M", vec![values([MILLION])], |_, t| t[0].sum(..)),
        Case::new("reduce/all-16M", vec![values([16 * MILLION])], |_, t| t[0].sum(..)),
        Case::new("reduce/columns-262144x16", vec![values([262_144, 16])], |_, t| t[0].sum(0)).along(&[(0, 1)], 0, 4),
        Case::new("reduce/argmax_rows-4x1M", vec![values([4, MILLION])], |_, t| t[0].argmax(1)).along(&[(0, 0)], 0, 2),
        Case::new("reduce/max_rows-1024x1024", table(), |_, t| t[0].max(1)).along(&[(0, 0)], 0, 64),
    ]
}

fn rows() -> Vec<Case> {
    let mut cases = Vec::new();
    for (rows, columns) in [(100, 10), (4096, 10), (1024, 1000), (8, 131_072), (1, MILLION)] {
        let wide = || SampleInput { range: (-9.0, 9.0), ..values([rows, columns]) };
        let labels = || indices([rows], columns);
        let name = |kernel: &str| format!("{kernel}/{rows}x{columns}");
        let picks = 64;
        cases.push(Case::new(name("softmax"), vec![wide()], |_, t| t[0].softmax(-1)).along(&[(0, 0)], 0, picks));
        cases.push(
            Case::new(name("cross_entropy"), vec![wide(), labels()], |_, t| t[0].cross_entropy(t[1], 0.0)).along(
                &[(0, 0), (1, 0)],
                0,
                picks,
            ),
        );
        let grad = CrossEntropy::Grad { smoothing: 0f64.to_bits() };
        cases.push(
            Case::new(name("cross_entropy_grad"), vec![wide(), labels(), values([rows])], move |g, t| {
                g.apply(Op::CrossEntropy(grad), t)
            })
            .along(&[(0, 0), (1, 0), (2, 0)], 0, picks),
        );
    }
    for (rows, columns) in [(1024, 1024), (4, MILLION), (1, 4 * MILLION)] {
        let input = SampleInput { range: (0.0, 1.0), ..values([rows, columns]) };
        let case = Case::new(format!("cumsum/{rows}x{columns}"), vec![input], |_, t| t[0].cumsum(1));
        cases.push(case.along(&[(0, 0)], 0, 2));
    }
    for (rows, columns, k) in [(1024, 1024, 16), (4, MILLION, 100), (64, 8192, 1000)] {
        let case = Case::new(format!("topk/{rows}x{columns}-{k}"), vec![values([rows, columns])], move |_, t| {
            t[0].topk(k, 1, true).1
        });
        cases.push(case.along(&[(0, 0)], 0, 2));
    }
    cases
}

fn indexing() -> Vec<Case> {
    let select = |name: &str, [table, columns, count]: [usize; 3]| {
        let inputs = vec![values([table, columns]), indices([count], table)];
        Case::new(format!("index_select/{name}"), inputs, |_, t| t[0].index_select(0, t[1]))
            .along(&[(1, 0)], 0, MANY)
            .along(&[(0, 1)], 1, 8)
            .moves(4 * (2 * columns * count + count) as u64)
    };
    vec![
        select("batch-4000x40-100", [4000, 40, 100]),
        select("65536x64-65536", [65_536, 64, 65_536]),
        Case::new("scatter_add/65536x64-1000", vec![values([65_536, 64]), indices([65_536], 1000)], |_, t| {
            t[0].scatter_add(0, t[1], 1000)
        })
        .along(&[(0, 1)], 1, 4),
        Case::new("scatter_add/262144x16-16", vec![values([262_144, 16]), indices([262_144], 16)], |_, t| {
            t[0].scatter_add(0, t[1], 16)
        })
        .along(&[(0, 1)], 1, 4),
        Case::new("scatter_add/8192x256-50000", vec![values([8192, 256]), indices([8192], 50_000)], |_, t| {
            t[0].scatter_add(0, t[1], 50_000)
        })
        .along(&[(0, 1)], 1, 4),
        Case::new("one_hot/4096-10", vec![indices([4096], 10)], |_, t| t[0].one_hot(10).cast(DType::F32)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_axes_exist() {
        let cases = all();
        assert_eq!(cases.iter().map(|c| &c.name).collect::<HashSet<_>>().len(), cases.len());
        for case in &cases {
            assert!(case.name.contains('/') && !case.name.contains(' '), "{case:?}");
            for (input, axis) in case.along.iter().flat_map(|a| &a.inputs) {
                assert!(*axis < case.inputs[*input].shape.rank(), "{case:?}");
            }
        }
    }
}
