//! The graph's promises: deferred errors with the caller's line, gradients of gradients, printing, updates.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use wgrad::{Array, Axes, ConvOptions, DType, Device, Error, Graph, Session, Tensor, Variable};

fn compile_error(build: impl for<'g> FnOnce(&'g Graph) -> Vec<Tensor<'g>>) -> String {
    let g = Graph::new();
    let outputs = build(&g);
    let mut session = Session::new(Device::cpu()).unwrap();
    session.compile(&g, &outputs).unwrap_err().to_string()
}

#[test]
fn errors_name_the_operation_the_shapes_and_the_line() {
    let line = line!() + 3;
    let message = compile_error(|g| {
        let (a, b) = (g.input("a", [100, 40], DType::F32), g.input("b", [100, 40], DType::F32));
        let y = a.matmul(b).relu().sum(..);
        vec![y, y.grad(&[a])[0]]
    });
    assert!(message.contains("matmul"), "{message}");
    assert!(message.contains("[100, 40]"), "{message}");
    assert!(message.contains(&format!("graph.rs:{line}:")), "{message}");
}

#[test]
fn a_layers_error_points_at_the_users_code() {
    use wgrad::nn::{Generator, Linear, Mode, Module, Sequential};
    let model = Sequential::new().push(Linear::new(30, 10, &mut Generator::new(0)));
    let message = compile_error(|g| vec![model.forward(g.input("x", [5, 40], DType::F32), Mode::Eval)]);
    assert!(
        message.contains("matmul")
            && message.contains("40")
            && message.contains("30")
            && message.contains("layer 0 (Linear)")
            && message.contains("graph.rs"),
        "{message}"
    );
}

#[test]
fn every_kind_of_bad_call_is_an_error() {
    type Case = (&'static str, for<'g> fn(&'g Graph, Tensor<'g>) -> Tensor<'g>);
    let cases: [Case; 24] = [
        ("broadcast", |g, x| x + g.input("y", [4, 5], DType::F32)),
        ("dtype", |g, x| x + g.input("y", [3, 4], DType::U32)),
        ("takes f32", |_, x| x.cast(DType::U32).exp()),
        ("axis 2", |_, x| x.sum(2)),
        ("axis -3", |_, x| x.sum([-3])),
        ("twice", |_, x| x.sum([1, -1])),
        ("12 elements", |_, x| x.reshape([5, 2])),
        ("permutation", |_, x| x.permute(&[0, 0])),
        ("broadcast", |_, x| x.broadcast_to([3, 5])),
        ("range", |_, x| x.slice(0, 2..9)),
        ("range", |_, x| x.slice_step(0, 0..2, 0)),
        ("rank 3", |_, x| x.conv(x, &ConvOptions::new())),
        ("stride", |_, x| x.unsqueeze(0).conv(x.unsqueeze(0), &ConvOptions::new().stride(0))),
        ("groups", |_, x| x.unsqueeze(0).conv(x.unsqueeze(0), &ConvOptions::new().groups(0))),
        ("fit", |_, x| x.unsqueeze(0).conv(x.unsqueeze(0).pad(2, 0, 9, 0.0), &ConvOptions::new())),
        ("index", |_, x| x.index_select(0, x)),
        ("labels", |g, x| x.cross_entropy(g.input("y", [9], DType::U32), 0.0)),
        ("smoothing", |g, x| x.cross_entropy(g.input("y", [3], DType::U32), 2.0)),
        ("reduce it first", |_, x| x.grad(&[x])[0]),
        ("elements", |_, x| x.pad(0, usize::MAX, usize::MAX, 0.0)),
        ("elements", |g, _| g.full([1 << 40, 1 << 40], 0.0, DType::F32)),
        ("rank 7", |g, _| g.full([1; 7], 0.0, DType::F32)),
        ("probability", |g, _| g.random_bernoulli(1.5, [3])),
        ("ordered", |_, x| x.clamp(f64::NAN, 1.0)),
    ];
    for (expected, build) in cases {
        let message = compile_error(|g| vec![build(g, g.input("x", [3, 4], DType::F32))]);
        assert!(message.contains(expected), "expected `{expected}` in: {message}");
        assert!(message.contains("graph.rs"), "{message}");
    }
}

#[test]
fn graphs_and_sessions_do_not_mix() {
    let (g, h) = (Graph::new(), Graph::new());
    let (x, y) = (g.scalar(1.0, DType::F32), h.scalar(2.0, DType::F32));
    let _ = x + y;
    let mut session = Session::new(Device::cpu()).unwrap();
    assert!(session.compile(&g, &[x]).unwrap_err().to_string().contains("different graphs"));
    assert!(session.compile(&h, &[x]).unwrap_err().to_string().contains("another graph"));
    let program = session.compile(&h, &[y]).unwrap();
    let mut other = Session::new(Device::cpu()).unwrap();
    assert!(other.run(&program, &[]).unwrap_err().to_string().contains("another session"));
    let stranger = Variable::new("stranger", 1.0f32);
    assert!(session.read(&stranger).unwrap_err().to_string().contains("stranger"));
}

#[test]
fn inputs_are_checked() {
    let g = Graph::new();
    let x = g.input("x", [2], DType::F32);
    let mut session = Session::new(Device::cpu()).unwrap();
    let program = session.compile(&g, &[x * 2.0]).unwrap();
    let wrong: [(&str, Array); 3] =
        [("y", Array::from([1.0f32, 2.0])), ("x", Array::from([1.0f32])), ("x", Array::from([1u32, 2]))];
    for (name, value) in wrong {
        let error = session.run(&program, &[(name, &value)]).unwrap_err();
        assert!(matches!(error, Error::Value { .. }), "{error}");
    }
    assert!(session.run(&program, &[]).unwrap_err().to_string().contains("`x`"));
    assert_eq!(session.run(&program, &[("x", &Array::from([1.0f32, 2.0]))]).unwrap()[0], Array::from([2.0f32, 4.0]));
}

/// `xᵀ·H·v` by differentiating twice, against the Hessian of `Σ x⁴` written out.
#[test]
fn gradients_of_gradients() {
    for device in [Device::reference(), Device::cpu()] {
        let g = Graph::new();
        let (x, v) = (g.input("x", [3], DType::F32), g.input("v", [3], DType::F32));
        let y = (x * x * x * x).sum(..);
        let product = (y.grad(&[x])[0] * v).sum(..).grad(&[x])[0];
        let mut session = Session::new(device).unwrap();
        let program = session.compile(&g, &[product]).unwrap();
        let feed = [("x", &Array::from([1.0f32, -2.0, 0.5])), ("v", &Array::from([1.0f32, 2.0, -4.0]))];
        let out = session.run(&program, &feed).unwrap();
        assert_eq!(out[0], Array::from([12.0f32, 96.0, -12.0]));
    }
}

/// All updates read the values from before the run.
/// The gradients of slices that lie beside each other are put together, not padded and added; those that overlap are added.
#[test]
fn gradients_of_slices_are_put_together() {
    type Cut = for<'g> fn(Tensor<'g>) -> Tensor<'g>;
    fn weighted<'g>(x: Tensor<'g>, from: usize, to: usize, w: f64) -> Tensor<'g> {
        (x.slice(1, from..to) * w).sum(..)
    }
    let cases: [(Cut, &[f64], bool); 6] = [
        // All of it, out of order; with gaps; overlapping; every second; beside a use of the whole; along two axes.
        (
            |x| weighted(x, 4, 6, 3.0) + weighted(x, 0, 1, 1.0) + weighted(x, 1, 4, 2.0),
            &[1.0, 2.0, 2.0, 2.0, 3.0, 3.0],
            true,
        ),
        (|x| weighted(x, 1, 2, 1.0) + weighted(x, 4, 5, 2.0), &[0.0, 1.0, 0.0, 0.0, 2.0, 0.0], true),
        (|x| weighted(x, 0, 4, 1.0) + weighted(x, 3, 6, 2.0), &[1.0, 1.0, 1.0, 3.0, 2.0, 2.0], false),
        (|x| x.slice_step(1, 0..6, 2).sum(..) + weighted(x, 1, 2, 5.0), &[1.0, 5.0, 1.0, 0.0, 1.0, 0.0], false),
        (
            |x| weighted(x, 0, 3, 1.0) + weighted(x, 3, 6, 2.0) + (x * 10.0).sum(..),
            &[11.0, 11.0, 11.0, 12.0, 12.0, 12.0],
            true,
        ),
        (|x| weighted(x, 0, 3, 1.0) + x.slice(0, 0..1).sum(..), &[2.0, 2.0, 2.0, 1.0, 1.0, 1.0], false),
    ];
    for (k, (cut, expected, joined)) in cases.into_iter().enumerate() {
        let g = Graph::new();
        let x = g.input("x", [1, 6], DType::F32);
        // A second derivative goes through the joined gradient as well.
        let loss = cut(x * x * 0.5);
        let dx = loss.grad(&[x])[0];
        let ddx = (dx * dx).sum(..).grad(&[x])[0];
        let has = |name: &str| g.nodes().iter().any(|node| node.op.definition().name() == name);
        assert_eq!(has("concat"), joined, "case {k}");
        let mut session = Session::new(Device::reference()).unwrap();
        let program = session.compile(&g, &[dx, ddx]).unwrap();
        let values: Vec<f32> = (0..6).map(|k| 1.0 + k as f32).collect();
        let out = session.run(&program, &[("x", &Array::new([1, 6], values.clone()).unwrap())]).unwrap();
        for (i, (w, x)) in expected.iter().zip(&values).enumerate() {
            let x = f64::from(*x);
            assert_eq!(out[0].to_f64()[i], w * x, "case {k}, element {i}");
            assert_eq!(out[1].to_f64()[i], 2.0 * w * w * x, "case {k}, element {i} of the second derivative");
        }
    }
}

#[test]
fn updates_are_simultaneous() {
    for device in [Device::reference(), Device::cpu()] {
        let (a, b) = (Variable::new("a", 1.0f32), Variable::new("b", 2.0f32));
        let g = Graph::new();
        let (old_a, old_b) = (g.variable(&a), g.variable(&b));
        old_b.assign_to(&a);
        (old_a + old_b).assign_to(&b);
        let mut session = Session::new(device).unwrap();
        let program = session.compile(&g, &[old_a]).unwrap();
        let before: Vec<f64> = (0..6).map(|_| session.run(&program, &[]).unwrap()[0].item().unwrap()).collect();
        assert_eq!(before, [1.0, 2.0, 3.0, 5.0, 8.0, 13.0]);
        assert_eq!(session.read(&b).unwrap().item().unwrap(), 34.0);
    }
}

/// Rows that move within a variable cannot be updated in place.
#[test]
fn a_variable_updated_from_its_own_other_elements() {
    for device in [Device::reference(), Device::cpu()] {
        let v = Variable::new("v", Array::from([1.0f32, 2.0, 3.0, 4.0]));
        let g = Graph::new();
        (g.variable(&v).flip(0) * 2.0).assign_to(&v);
        let mut session = Session::new(device).unwrap();
        let program = session.compile(&g, &[]).unwrap();
        session.run(&program, &[]).unwrap();
        assert_eq!(session.read(&v).unwrap(), Array::from([8.0f32, 6.0, 4.0, 2.0]));
    }
}

/// Runs a one-input graph on the reference and the CPU; both must give `expected`.
fn expect(x: Array, build: impl for<'g> Fn(Tensor<'g>) -> Tensor<'g>, expected: &[f32]) {
    for device in [Device::reference(), Device::cpu()] {
        let g = Graph::new();
        let input = g.input("x", x.shape(), x.dtype());
        let y = build(input).cast(DType::F32);
        let mut session = Session::new(device.clone()).unwrap();
        let program = session.compile(&g, &[y]).unwrap();
        let out = session.run(&program, &[("x", &x)]).unwrap().remove(0);
        let same =
            out.as_slice::<f32>().unwrap().iter().zip(expected).all(|(a, b)| a == b || (a.is_nan() && b.is_nan()));
        assert!(same && out.len() == expected.len(), "{device}: {out:?} is not {expected:?}");
    }
}

#[test]
fn edge_values_follow_pytorch() {
    let nan = f32::NAN;
    expect(Array::from([nan, -1.0, 2.0]), |x| x.relu(), &[nan, 0.0, 2.0]);
    expect(Array::from([nan, -1.0, 2.0]), |x| x.maximum(0.0).minimum(1.0), &[nan, 0.0, 1.0]);
    expect(Array::from([nan, -1.0, 2.0]), |x| x.clamp(0.0, 1.0), &[nan, 0.0, 1.0]);
    let slope = |x: Tensor<'_>| x.clamp(0.0, 1.0).sum(..).grad(&[x])[0].id();
    expect(Array::from([0.0f32, 0.5, 1.0, 2.0, -1.0]), |x| x.graph().tensor(slope(x)), &[1.0, 1.0, 1.0, 0.0, 0.0]);
    expect(Array::from([0.0f32, -2.0, 2.0]), |x| x.pow(0.0).sum(..).grad(&[x])[0], &[0.0, 0.0, 0.0]);
    expect(Array::from([1.0f32, 3.0, 3.0]), |x| x.argmax(0), &[1.0]);
}

#[test]
fn numbers_an_integer_tensor_cannot_hold_are_refused() {
    for (expected, build) in [
        ("-1 is not a u32", (|x| x.gt(-1.0)) as for<'g> fn(Tensor<'g>) -> Tensor<'g>),
        ("2.7 is not a u32", |x| x * 2.7),
        ("0.5 is not a u32", |x| x.pad(0, 1, 1, 0.5)),
    ] {
        let message = compile_error(|g| vec![build(g.input("x", [3], DType::U32))]);
        assert!(message.contains(expected), "{message}");
    }
}

/// Planning stays linear: a chain of thousands of steps is cut into launches.
#[test]
fn long_chains_compile() {
    let start = std::time::Instant::now();
    let chain = |x: Tensor<'_>| (0..3000).fold(x, |x, k| (x * (1.0 + f64::from(k) * 1e-4) + 0.1).sin()).id();
    let g = Graph::new();
    let x = g.input("x", [5], DType::F32);
    let y = g.tensor(chain(x));
    let mut session = Session::new(Device::cpu()).unwrap();
    let program = session.compile(&g, &[y]).unwrap();
    assert!(session.run(&program, &[("x", &Array::from([0.1f32; 5]))]).unwrap()[0].to_f64()[0].is_finite());
    // Minutes before chains were cut; the margin is for slow machines.
    assert!(start.elapsed().as_secs() < 60);
}

#[test]
fn a_graph_prints_as_text_and_dot() {
    let w = Variable::new("w", Array::from([1.0f32, 2.0]));
    let g = Graph::new();
    let y = (g.input("x", [2], DType::F32) * g.variable(&w)).sum(..).named("loss");
    (g.variable(&w) + 1.0).assign_to(&w);
    let text = g.to_string();
    assert!(text.contains("%3 = sum axes=[0] `loss`(%2) : f32[]"), "{text}");
    assert!(text.contains("w <- %"), "{text}");
    let dot = g.to_dot();
    assert!(dot.starts_with("digraph") && dot.contains("n2 -> n3;"), "{dot}");
    assert_eq!(y.shape().rank(), 0);
}

proptest! {
    /// Random calls: an error or a result, never a panic; and what compiles runs alike on cpu and reference.
    #[test]
    fn random_calls_do_not_panic(
        shape in prop::collection::vec(0usize..5, 0..5),
        calls in prop::collection::vec((0usize..14, -4isize..5, 0usize..6, 0usize..6), 1..6),
    ) {
        let g = Graph::new();
        let x = g.input("x", shape.clone(), DType::F32);
        let mut y = x;
        for (call, axis, a, b) in calls {
            y = match call {
                0 => y.sum(axis),
                1 => y.max(Axes::List(vec![axis, a as isize])),
                2 => y.transpose(axis, b as isize - 3),
                3 => y.reshape(vec![a, b]),
                4 => y.slice_step(axis, a..b, 1 + a % 3),
                5 => y.pad(axis, a, b, 1.5),
                6 => y.concat(&[y, y], axis),
                7 => y.matmul(y.t()),
                8 => y.unsqueeze(axis),
                9 => y.flip(axis),
                10 => y.softmax(axis),
                11 => y.index_select(axis, g.iota([a], 0)),
                12 => y.broadcast_to(vec![a, b, 3]),
                _ => y.tanh() * 0.5 + y,
            };
        }
        let mut results = Vec::new();
        for device in [Device::reference(), Device::cpu()] {
            let mut session = Session::new(device).unwrap();
            let Ok(program) = session.compile(&g, &[y]) else { continue };
            let value = Array::new(shape.clone(), (0..x.shape().elements()).map(|i| (i as f32).sin()).collect()).unwrap();
            let feed = if program.inputs().is_empty() { vec![] } else { vec![("x", &value)] };
            results.push(session.run(&program, &feed).unwrap().remove(0).to_f64());
        }
        if let [reference, cpu] = &results[..] {
            for (r, c) in reference.iter().zip(cpu) {
                // At most six well-conditioned steps on values of size one, and products that grow them.
                prop_assert!((r - c).abs() <= 1e-4 * (1.0 + r.abs()), "{r} {c}");
            }
        }
    }
}
