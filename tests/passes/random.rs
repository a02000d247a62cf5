//! Random programs compute the same with all passes and with none.

use super::{Case, cpu};
use proptest::prelude::*;
use wgrad::passes::Passes;
use wgrad::{Array, Axes, DType, Graph, Session, Tensor};

/// One more value from two earlier ones. Calls that do not fit are turned into ones that do.
fn grow<'g>(call: usize, a: Tensor<'g>, b: Tensor<'g>, k: usize) -> Tensor<'g> {
    let (shape, rank) = (a.shape(), a.shape().rank());
    let fits = shape.broadcast(&b.shape()).is_some();
    let b = if fits { b } else { a };
    let axis = if rank == 0 { 0 } else { k % rank };
    let number = [0.0, -0.0, 1.0, -1.0, 2.0, 0.5][k % 6];
    match call {
        0 => a + b,
        1 => a - b,
        2 => a * b,
        3 => a.maximum(b),
        4 => a.lt(b).select(a, b),
        5 => a + number,
        6 => a * number,
        7 => number - a,
        8 => -a,
        9 => a.relu(),
        10 => a / (b * b + 1.0),
        11 => a.tanh().pow([0.0, 1.0, 2.0][k % 3]),
        12 => a.detach().abs(),
        13 => a.cast(DType::F16).cast(DType::F32),
        14 => a.matmul(a.t()).t(),
        15 => b.t().matmul(b).t(),
        16 if rank > 0 => a.sum(axis as isize),
        17 if rank > 0 => a.max_keepdim(axis as isize),
        18 => a.reshape([shape.elements()]),
        19 => a.unsqueeze(k as isize % (rank as isize + 1)),
        20 if rank > 1 => a.transpose(axis as isize, -1),
        21 if rank > 0 => a.flip(axis as isize),
        22 if rank > 0 => a.slice_step(axis as isize, 0..shape[axis], 1 + k % 2),
        23 if rank > 0 => a.pad(axis as isize, k % 2, k % 3, number),
        24 if rank > 0 => a.concat(&[a, -a], axis as isize),
        25 => a.mean(Axes::All),
        26 => a.graph().full(&shape, number, DType::F32),
        27 => a.graph().constant(Array::full(shape, number as f32).unwrap()) + b.graph().step().cast(DType::F32),
        _ => a.graph().constant([0.5f32, -0.0, 3.0]).sum(0) * a,
    }
}

/// What to call, on which of the latest values, and a number.
type Call = (usize, usize, usize, usize);

fn calls() -> impl Strategy<Value = Vec<Call>> {
    prop::collection::vec((0usize..29, 0usize..99, 0usize..99, 0usize..6), 1..14)
}

/// Builds the program and compares its last values in every session with the reference.
fn check(calls: Vec<Call>, sessions: &mut [(String, Session)]) {
    let g = Graph::new();
    let data = |n: usize| (0..12).map(|i| ((i * 7 + n) as f32 * 0.9).sin() * 2.0).collect::<Vec<_>>();
    let inputs: Vec<(String, Array)> = vec![
        ("x".into(), Array::new([3, 4], data(1)).unwrap()),
        ("y".into(), Array::new([1, 4], data(2)[..4].to_vec()).unwrap()),
    ];
    let mut values: Vec<Tensor<'_>> = inputs.iter().map(|(n, v)| g.input(n, v.shape(), v.dtype())).collect();
    for (call, a, b, k) in calls {
        // Later values are likelier, so that chains grow; products and pads stay small.
        let pick = |n: usize| values[values.len() - 1 - n % values.len().min(4)];
        let (a, b) = (pick(a), pick(b));
        let matrix = a.shape().rank() >= 2 && b.shape().rank() >= 2;
        let large = a.shape().elements() > 200 || a.shape().rank() > 4;
        let call = if large || (!matrix && (14..=15).contains(&call)) { call % 13 } else { call };
        values.push(grow(call, a, b, k));
    }
    let outputs: Vec<Tensor<'_>> = values.iter().rev().take(3).copied().collect();
    g.check().unwrap();
    Case { name: g.to_string(), graph: &g, outputs, inputs, variables: Vec::new() }.check(sessions);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn random_programs_agree(calls in calls()) {
        check(calls, &mut [("all".to_string(), cpu(Passes::all())), ("none".to_string(), cpu(Passes::none()))]);
    }
}

/// Found by the test above: the square of a sum that cancels, in which nothing is left but the product of its errors.
#[test]
fn the_square_of_a_sum_that_cancels_agrees() {
    let first = [(10, 12, 32, 0), (0, 0, 0, 0), (25, 13, 0, 0), (20, 86, 0, 1), (1, 39, 61, 0)];
    let second = [(0, 0, 0, 0), (24, 32, 0, 0), (15, 0, 0, 0), (16, 85, 0, 1), (2, 4, 0, 0)];
    check([first, second].concat(), &mut [("all".to_string(), cpu(Passes::all()))]);
}

/// Few, since each has kernels of its own to compile.
#[cfg(feature = "gpu")]
#[test]
fn random_programs_agree_on_a_gpu() {
    let sessions = std::cell::RefCell::new(super::gpu_sessions());
    if sessions.borrow().is_empty() {
        return;
    }
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(40));
    let result = runner.run(&calls(), |calls| {
        check(calls, &mut sessions.borrow_mut());
        Ok(())
    });
    result.unwrap();
}
