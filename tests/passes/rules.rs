//! One rewrite at a time: what is left of the graph, and that every bit of the result stays.

use super::cpu;
use wgrad::ops::Op;
use wgrad::ops::elementwise::Elementwise;
use wgrad::ops::movement::Movement;
use wgrad::passes::{Passes, Program, run};
use wgrad::{Array, Axes, DType, Graph, Tensor, Variable};

type Build = for<'g> fn(Tensor<'g>) -> Tensor<'g>;

/// Names of the nodes of a program, in order.
fn names(program: &Program) -> String {
    program.nodes.iter().map(|n| n.op.definition().name()).collect::<Vec<_>>().join(" ")
}

/// The nodes that are left of `build(x)` for an `x` of `[4, 6]`, and the bits of its value with passes and without.
fn rewritten(build: Build, input: DType) -> (String, [Vec<u8>; 2]) {
    let g = Graph::new();
    let x = g.input("x", [4, 6], input);
    let y = build(x);
    g.check().unwrap();
    let program = run(&g, &[y.id()], &Passes::all());
    let mut numbers = vec![0.0, -0.0, 1.0, -1.0, 65504.0, -65504.0, 0.1, 6e-8];
    numbers.extend((0..16).map(|i| (f64::from(i) * 1.3).sin() * 3.0));
    let numbers: Vec<f64> = if input == DType::U32 { numbers.iter().map(|x| x.abs()).collect() } else { numbers };
    let value = Array::from_f64([4, 6], &numbers, input).unwrap();
    let bytes = [Passes::all(), Passes::none()].map(|passes| {
        let mut session = cpu(passes);
        let compiled = session.compile(&g, &[y]).unwrap();
        let feed = if compiled.inputs().is_empty() { vec![] } else { vec![("x", &value)] };
        session.run(&compiled, &feed).unwrap()[0].bytes().to_vec()
    });
    (names(&program), bytes)
}

fn expect(dtype: DType, cases: &[(&str, Build)]) {
    for (line, (left, build)) in cases.iter().enumerate() {
        let (found, [with, without]) = rewritten(*build, dtype);
        assert_eq!(found, *left, "case {line}");
        assert_eq!(with, without, "case {line}, which leaves {left}");
    }
}

fn apply<'g>(op: Op, x: Tensor<'g>) -> Tensor<'g> {
    x.graph().apply(op, &[x])
}

#[test]
fn floats() {
    expect(
        DType::F32,
        &[
            // Adding +0 is not nothing: it turns -0 into +0.
            ("input fill add", |x| x + g_fill(x, 0.0)),
            ("input", |x| x + g_fill(x, -0.0)),
            ("input", |x| g_fill(x, -0.0) + x),
            ("input", |x| x - 0.0),
            ("input fill sub", |x| x - g_fill(x, -0.0)),
            ("input neg", |x| -0.0 - x),
            ("input fill sub", |x| 0.0 - x),
            ("input", |x| x * 1.0),
            ("input", |x| 1.0 * x / 1.0),
            ("input neg", |x| x * -1.0),
            ("input neg", |x| x / -1.0),
            ("input", |x| -(x * -1.0)),
            ("input fill mul", |x| x * 0.0),
            ("input", |x| -(-x)),
            ("input exp sub", |x| x + -x.exp()),
            ("input exp sub", |x| -x.exp() + x),
            ("input exp add", |x| x - -x.exp()),
            ("input sin mul", |x| -x * -x.sin()),
            ("input", |x| x.pow(1.0)),
            ("input mul", |x| x.pow(2.0)),
            ("fill", |x| x.pow(0.0)),
            ("input relu", |x| x.relu().relu()),
            ("input abs", |x| (-x).abs().abs()),
            ("input floor", |x| x.floor().floor()),
            ("input", |x| x.maximum(x).minimum(x)),
            ("input eq", |x| x.eq(x)),
            ("input", |x| x.gt(0.0).select(x, x)),
            ("input exp", |x| x.graph().scalar(0.0, DType::U32).select(x, x.exp())),
            ("input", |x| apply(Op::Elementwise(Elementwise::Cast(DType::F32)), x)),
            ("input cast cast", |x| x.cast(DType::F16).cast(DType::F32)),
            ("input cast cast", |x| x.cast(DType::F16).cast(DType::F32).cast(DType::F16).cast(DType::F32)),
            ("input", |x| x.detach()),
        ],
    );
}

fn g_fill(x: Tensor<'_>, value: f64) -> Tensor<'_> {
    x.graph().scalar(value, x.dtype())
}

#[test]
fn other_dtypes() {
    expect(
        DType::I32,
        &[
            ("input", |x| (x + 0 - 0) * 1 / 1),
            ("input neg", |x| x * -1),
            ("fill", |x| x * g_fill(x, 0.0)),
            ("fill", |x| x - x),
            ("fill", |x| x.eq(x)),
            ("input", |x| x.cast(DType::U32).cast(DType::I32)),
            ("input cast cast", |x| x.cast(DType::F32).cast(DType::I32)),
            ("input neg div", |x| -x / -x),
        ],
    );
    expect(DType::U32, &[("input", |x| x + 0), ("input", |x| x.cast(DType::I32).cast(DType::U32))]);
    expect(
        DType::F16,
        &[("input", |x| x.cast(DType::F32).cast(DType::F16)), ("input cast", |x| x.cast(DType::F32).cast(DType::I32))],
    );
}

#[test]
fn movements() {
    expect(
        DType::F32,
        &[
            ("input reshape", |x| x.reshape([2, 12]).reshape([3, 8])),
            ("input", |x| x.reshape([24]).reshape([4, 6])),
            ("input", |x| x.t().t()),
            ("input", |x| x.permute(&[0, 1])),
            ("input reshape permute", |x| x.reshape([2, 2, 6]).permute(&[2, 0, 1]).permute(&[1, 0, 2])),
            ("input", |x| apply(Op::Movement(Movement::Broadcast(x.shape())), x)),
            ("input reshape broadcast_to", |x| x.reshape([1, 24]).broadcast_to([3, 24]).broadcast_to([2, 3, 24])),
            ("input", |x| x.slice(1, 0..6)),
            ("input slice", |x| x.slice_step(1, 1..6, 2).slice(1, 1..3)),
            ("input slice slice", |x| x.slice(0, 1..3).slice(1, 1..3)),
            ("input slice slice", |x| x.slice(0, 1..3).slice(0, 2..2)),
            ("input", |x| x.flip(1).flip(1)),
            ("input flip flip", |x| x.flip(1).flip(0)),
            ("input slice", |x| x.slice(0, 1..2).flip(0)),
            ("input", |x| x.pad(0, 0, 0, 1.0)),
            ("input", |x| x.concat(&[], 0)),
            // A device's sum begins with +0, so -0 alone would become it.
            ("input abs", |x| x.abs().sum(Axes::List(vec![]))),
            ("input reshape", |x| x.slice(0, 0..4).reshape([4, 1, 6]).max(1).reshape([24])),
            ("fill", |x| x.unsqueeze(0).argmax(0)),
            ("input abs reshape", |x| x.abs().reshape([24, 1]).mean(1)),
        ],
    );
}

#[test]
fn fixed_values() {
    expect(
        DType::F32,
        &[
            ("fill", |x| x.graph().scalar(2.0, DType::F32).broadcast_to([3, 4]).t().reshape([12]).flip(0) * 0.1),
            ("fill", |x| x.graph().full([3, 4], 2.0, DType::F32).sum(1).pad(0, 1, 1, 8.0)),
            ("fill", |x| x.graph().full([3, 4], 2.0, DType::F32).mean(..)),
            ("fill", |x| x.graph().scalar(2.0, DType::F32).exp().gt(7.0)),
            ("fill", |x| x.graph().constant([2.0f32, 2.0]) + 0.5),
            ("fill", |x| x.graph().full([3], 1.0, DType::F32).sum(..)),
            // What is not finite is left to the device.
            ("fill log", |x| x.graph().scalar(0.0, DType::F32).log()),
            ("constant", |x| -(x.graph().constant([[1f32, 2.0], [3.0, 4.0]]).t().reshape([4]) / 3.0)),
            ("constant", |x| {
                x.graph().constant([1f32, 2.0]).broadcast_to([2, 2]) + x.graph().constant([[0.5f32], [0.1]])
            }),
            ("constant exp", |x| x.graph().constant([1f32, 2.0]).exp()),
            ("constant sum", |x| x.graph().constant([1f32, 2.0]).sum(0)),
        ],
    );
}

#[test]
fn transposes_move_into_products() {
    let g = Graph::new();
    let (a, b) = (g.input("a", [2, 3, 4], DType::F32), g.input("b", [2, 4, 5], DType::F32));
    let y = a.matmul(b).t();
    let program = run(&g, &[y.id()], &Passes::all());
    assert_eq!(names(&program), "input input permute permute matmul");
    assert_eq!(program.nodes[4].ty.shape, [2, 5, 3].into());
    // A product that something else needs stays.
    let product = a.matmul(b);
    assert_eq!(names(&run(&g, &[product.t().id(), product.id()], &Passes::all())), "input input matmul permute");
    // A weight's gradient needs no transpose.
    let g = Graph::new();
    let (x, w) =
        (g.input("x", [7, 3], DType::F32), g.variable(&Variable::new("w", [[1f32, 2.0, 3.0], [4.0, 5.0, 6.0]])));
    let y = x.matmul(w.t());
    let dw = (y * y).sum(..).grad(&[w])[0];
    let program = run(&g, &[dw.id()], &Passes::all());
    let last = program.nodes[program.outputs[0].index()].op.definition().name();
    assert_eq!(last, "matmul", "{program}");
}

#[test]
fn equal_nodes_are_one() {
    let g = Graph::new();
    let (x, y) = (g.input("x", [3], DType::F32), g.input("y", [3], DType::F32));
    let both = [(x + y).exp() * 2.0, (y + x).exp() * 2.0];
    let program = run(&g, &both.map(|t| t.id()), &Passes::all());
    assert_eq!(program.nodes.len(), 6, "{program}");
    assert_eq!(program.outputs[0], program.outputs[1]);
    // Order matters here; -0 is not 0; every draw has its own stream.
    let different = [x - y, y - x, x + 0.0, g.random_uniform([3]), g.random_uniform([3])];
    let program = run(&g, &different.map(|t| t.id()), &Passes::all());
    let mut outputs = program.outputs.clone();
    outputs.dedup();
    assert_eq!(outputs.len(), 5, "{program}");
    let constants =
        [g.constant([1f32, 2.0]), g.constant([1f32, 2.0]), g.constant([0f32, 2.0]), g.constant([-0f32, 2.0])];
    let program = run(&g, &constants.map(|t| t.id()), &Passes::all());
    assert_eq!(program.nodes.len(), 3, "{program}");
}

#[test]
fn dead_nodes_are_left_out() {
    let g = Graph::new();
    let (x, unused) = (g.input("x", [3], DType::F32), g.input("unused", [3], DType::F32));
    let _ = (unused.exp(), x.sin());
    let y = x.cos();
    assert_eq!(names(&run(&g, &[y.id()], &Passes::all())), "input cos");
    // Without the pass they are computed, but for what would need the value of an input that nobody asked for.
    assert_eq!(names(&run(&g, &[y.id()], &Passes::none())), "input sin cos");
    let v = Variable::new("v", [1.0f32, 2.0, 3.0]);
    (g.variable(&v) * 1.0).assign_to(&v);
    let program = run(&g, &[y.id()], &Passes::all());
    assert!(program.updates.is_empty(), "{program}");
}

#[test]
fn no_run_needs_an_input_that_only_dead_nodes_use() {
    for (variant, passes) in super::variants() {
        let g = Graph::new();
        let (x, unused) = (g.input("x", [2], DType::F32), g.input("unused", [2], DType::F32));
        let _ = (unused.exp().sum(..), x.softmax(0).sum(..));
        let mut session = cpu(passes);
        let program = session.compile(&g, &[x + 1.0]).unwrap();
        assert_eq!(session.plan(&program).unwrap().inputs().count(), 1, "{variant}");
        let out = session.run(&program, &[("x", &Array::from([1.0f32, 2.0]))]).unwrap();
        assert_eq!(out[0].to_f64(), [2.0, 3.0], "{variant}");
    }
}
