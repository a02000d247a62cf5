//! `nn::functional` and the tensor methods made of other operations: what they refuse, how many launches they take, and what
//! golden values and samples do not show.
#![allow(clippy::unwrap_used)]

mod common;

use common::open;
use wgrad::nn::functional::{self, AttentionOptions, BatchNormOptions};
use wgrad::plan::{Plan, Target, lower};
use wgrad::{Array, ConvOptions, DType, Device, Graph, PoolOptions, Tensor, einsum};

fn input<'g>(g: &'g Graph, name: &str, shape: &[usize]) -> Tensor<'g> {
    g.input(name, shape, DType::F32)
}

fn plan(g: &Graph, outputs: &[Tensor<'_>]) -> Plan {
    let ids: Vec<_> = outputs.iter().map(|t| t.id()).collect();
    lower(g, &ids, &Target::default()).unwrap()
}

type Build = for<'g> fn(&'g Graph, Tensor<'g>) -> Tensor<'g>;

#[test]
fn what_cannot_work_is_an_error_with_a_name() {
    let cases: &[(&str, &str, Build)] = &[
        ("max_pool", "rank 3", |_, x| x.max_pool(&PoolOptions::new(2))),
        ("max_pool", "does not fit", |_, x| x.unsqueeze(0).max_pool(&PoolOptions::new(5))),
        ("max_pool", "at most half", |_, x| x.unsqueeze(0).max_pool(&PoolOptions::new(2).padding(2))),
        ("max_pool", "kernel size", |_, x| x.unsqueeze(0).max_pool(&PoolOptions::new(0))),
        ("avg_pool", "dilation", |_, x| x.unsqueeze(0).avg_pool(&PoolOptions::new(2).dilation(2))),
        ("avg_pool", "divisor", |_, x| x.unsqueeze(0).avg_pool(&PoolOptions::new(2).divisor_override(0))),
        ("avg_pool", "output size", |_, x| x.unsqueeze(0).adaptive_avg_pool(0)),
        ("max_pool1d", "a sample", |_, x| functional::max_pool1d(x.sum(0), &PoolOptions::new(1))),
        ("conv_transpose", "output padding", |g, x| {
            x.unsqueeze(0).conv_transpose(input(g, "w", &[3, 2, 2]), &ConvOptions::new(), 1)
        }),
        ("conv_transpose", "nothing is left", |g, x| {
            x.unsqueeze(0).conv_transpose(input(g, "w", &[3, 2, 2]), &ConvOptions::new().padding(9), 0)
        }),
        ("layer_norm", "last axes", |_, x| functional::layer_norm(x, [3], None, None, 1e-5)),
        ("group_norm", "do not divide", |_, x| functional::group_norm(x, 3, None, None, 1e-5)),
        ("batch_norm", "channels", |g, x| {
            functional::batch_norm(x, None, Some(input(g, "w", &[3])), None, BatchNormOptions::default()).output
        }),
        ("batch_norm", "more than one value", |_, x| {
            functional::batch_norm(x.slice(0, 0..1), None, None, None, BatchNormOptions::default()).output
        }),
        ("embedding", "integer indices", |_, x| functional::embedding(x, x, None)),
        ("embedding", "padding_idx", |g, x| functional::embedding(g.iota([4], 0), x, Some(3))),
        ("scaled_dot_product_attention", "queries", |_, x| {
            functional::scaled_dot_product_attention(x.sum(0), x, x, &AttentionOptions::default())
        }),
        ("einsum", "two operands", |_, x| einsum("ij->i", x, x)),
        ("einsum", "neither operand", |_, x| einsum("ij,ij->k", x, x)),
        ("einsum", "appears twice", |_, x| einsum("ij,ij->ii", x, x)),
        ("einsum", "names 3 axes", |_, x| einsum("ijk,ij->i", x, x)),
        ("einsum", "has size", |_, x| einsum("ij,jk->ik", x, x)),
        ("einsum", "not a letter", |_, x| einsum("i1,ij->i", x, x)),
        ("einsum", "misplaced", |_, x| einsum("i-,ij->i", x, x)),
        ("topk", "more than the 4", |_, x| x.topk(5, 1, true).0),
        ("topk", "out of range", |_, x| x.topk(1, 2, true).0),
        ("cumsum", "out of range", |_, x| x.cumsum(-3)),
        ("gather", "does not match", |g, x| x.gather(1, g.iota([4, 2], 0))),
        ("var", "too few", |_, x| x.slice(1, 0..1).var(1, 1.0)),
        ("var", "out of range", |_, x| x.std(5, 1.0)),
        ("logsumexp", "twice", |_, x| x.logsumexp([0, -2])),
        ("prod", "out of range", |_, x| x.prod(-3)),
        ("norm", "number p", |_, x| x.norm(f64::NAN, 1)),
        ("prelu", "channels", |g, x| x.prelu(input(g, "w", &[3]))),
        ("glu", "odd", |_, x| x.slice(1, 0..3).glu(1)),
        ("softplus", "positive", |_, x| x.softplus(0.0, 1.0)),
        ("celu", "positive", |_, x| x.celu(-1.0)),
        ("hardtanh", "ordered", |_, x| x.hardtanh(1.0, 0.0)),
        ("repeat", "fewer numbers", |_, x| x.repeat(&[2])),
        ("split", "must not be 0", |_, x| x.split(0, 1)[0]),
        ("chunk", "number of chunks", |_, x| x.chunk(0, 1)[0]),
        ("outer", "two vectors", |_, x| x.outer(x)),
    ];
    for (name, part, build) in cases {
        let g = Graph::new();
        let y = build(&g, input(&g, "x", &[3, 4].map(|n| if *name == "group_norm" { n + 1 } else { n })));
        let error = g.check().expect_err(name).to_string();
        assert!(error.starts_with(&format!("{name}: ")) && error.contains(part), "{name} {part}: {error}");
        assert!(error.contains("functional.rs"), "{error}");
        // What follows an error neither panics nor hides it.
        let _ = build(&g, y);
        assert_eq!(g.check().unwrap_err().to_string(), error);
    }
}

#[test]
fn pooling_takes_one_launch_each_way() {
    let options = PoolOptions::new(3).stride(2).padding(1);
    for average in [false, true] {
        let g = Graph::new();
        let x = input(&g, "x", &[4, 3, 12, 12]);
        let y = if average { x.avg_pool(&options) } else { x.max_pool(&options) };
        let forward = plan(&g, &[y]);
        assert_eq!(forward.launch_count(), 1, "{forward}");
        let upstream = input(&g, "g", &y.shape());
        let both = plan(&g, &[y, y.vjp(upstream, &[x])[0]]);
        assert_eq!(both.launch_count(), 2, "{both}");
    }
}

#[test]
fn cumulative_sums_take_one_launch() {
    for columns in [1000, 1_000_000] {
        let g = Graph::new();
        let plan = plan(&g, &[input(&g, "x", &[2, columns]).cumsum(1)]);
        assert_eq!(plan.launch_count(), 1, "{plan}");
    }
}

/// Runs a graph of one input and returns its outputs.
fn run(device: &Device, x: &Array, build: Build) -> Option<Vec<f64>> {
    let mut session = open(device)?;
    let g = Graph::new();
    let y = build(&g, g.input("x", x.shape(), x.dtype()));
    let program = session.compile(&g, &[y]).unwrap();
    Some(session.run(&program, &[("x", x)]).unwrap()[0].to_f64())
}

fn a_million_in_a_row(device: &Device) {
    let n = 1_000_003usize;
    let integers: Vec<u32> = (0..n).map(|i| (i * 7919 % 10007) as u32).collect();
    let Some(sums) = run(device, &Array::new([n], integers.clone()).unwrap(), |_, x| x.cumsum(0)) else { return };
    let mut sum = 0u32;
    for (x, got) in integers.iter().zip(&sums) {
        sum = sum.wrapping_add(*x);
        assert_eq!(f64::from(sum), *got);
    }
    let floats: Vec<f32> = integers.iter().map(|&x| x as f32 * 1e-3 - 5.0).collect();
    let sums = run(device, &Array::new([n], floats.clone()).unwrap(), |_, x| x.cumsum(0)).unwrap();
    let (mut sum, mut size) = (0.0, 0.0);
    for (i, (x, got)) in floats.iter().zip(&sums).enumerate() {
        (sum, size) = (sum + f64::from(*x), size + f64::from(x.abs()));
        let allowed = f64::from(f32::EPSILON) * size * (2.0 + (i as f64 + 1.0).sqrt());
        assert!((sum - got).abs() <= allowed, "{i}: {got} for {sum}, allowed {allowed}");
    }
}
common::on_every_device!(a_million_in_a_row);

/// A NaN is found by its bits, so devices agree on it even where shaders may assume there is none.
fn ties_and_nan(device: &Device) {
    let x = Array::new([1, 1, 8], vec![1.0f32, 1.0, f32::NAN, 9.0, -0.0, 0.0, f32::NAN, f32::NAN]).unwrap();
    let Some(places) = run(device, &x, |_, x| x.max_pool_indices(&PoolOptions::new(2))) else { return };
    assert_eq!(places, [0.0, 2.0, 4.0, 6.0]);
    let order = run(device, &x, |_, x| x.topk(8, -1, true).1).unwrap();
    assert_eq!(order, [2.0, 6.0, 7.0, 3.0, 0.0, 1.0, 4.0, 5.0]);
    let order = run(device, &x, |_, x| x.topk(3, -1, false).1).unwrap();
    assert_eq!(order, [4.0, 5.0, 0.0]);
    let gradient = run(device, &x, |g, x| {
        let y = x.max_pool(&PoolOptions::new(2));
        y.vjp(g.full(y.shape(), 3.0, DType::F32), &[x])[0]
    });
    assert_eq!(gradient.unwrap(), [3.0, 0.0, 3.0, 0.0, 3.0, 0.0, 3.0, 0.0]);
}
common::on_every_device!(ties_and_nan);

#[test]
fn the_padding_row_of_an_embedding_gets_no_gradient() {
    let table = Array::new([4, 2], (0..8).map(|x| x as f32).collect()).unwrap();
    let rows = |padding: Option<usize>| {
        let g = Graph::new();
        let weight = g.input("w", [4, 2], DType::F32);
        let index = g.constant([[1u32, 3], [3, 0]]);
        let y = functional::embedding(index, weight, padding);
        let dy = y.sum(..).grad(&[weight])[0];
        let mut session = open(&Device::cpu()).unwrap();
        let program = session.compile(&g, &[y, dy]).unwrap();
        let out = session.run(&program, &[("w", &table)]).unwrap();
        (out[0].to_f64(), out[1].to_f64())
    };
    let (values, gradient) = rows(None);
    assert_eq!(gradient, [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 2.0, 2.0]);
    assert_eq!(rows(Some(3)), (values, vec![1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]));
}

#[test]
fn a_single_sample_needs_no_batch_axis() {
    let g = Graph::new();
    let (line, image) = (input(&g, "line", &[3, 10]), input(&g, "image", &[3, 10, 8]));
    let options = PoolOptions::new(2);
    assert_eq!(*functional::max_pool1d(line, &options).shape(), [3, 5]);
    assert_eq!(*functional::avg_pool2d(image, &options).shape(), [3, 5, 4]);
    assert_eq!(*functional::adaptive_avg_pool2d(image, [2, 3]).shape(), [3, 2, 3]);
    let weight = input(&g, "w", &[6, 3, 3]);
    let bias = input(&g, "b", &[6]);
    assert_eq!(*functional::conv1d(line, weight, Some(bias), &ConvOptions::new()).shape(), [6, 8]);
    g.check().unwrap();
}
