//! Whatever a caller passes, it comes back as an error that names the operation and the caller's line, or it runs: no
//! panic, no error of the device.
#![allow(clippy::unwrap_used)]

mod calls;
mod layers;

use calls::{Args, CALLS};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::RngSeed;
use std::cell::{Cell, RefCell};
use std::io::Write;
use wgrad::{Array, DType, Device, Error, Graph, Session, Tensor, Variable};

/// The largest tensor that is run rather than only built.
const MAX_RUN: usize = 20_000;

/// The same cases each time: a test that fails now and then would be no use. To look for more, change the seed and the
/// numbers of cases.
fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() }
}

/// Sizes a caller may come up with: small ones mostly, and those at which arithmetic overflows.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        12 => 0usize..6,
        1 => Just(1 << 20),
        1 => Just(u32::MAX as usize),
        1 => Just(usize::MAX / 2),
        1 => Just(usize::MAX),
    ]
}

fn axis() -> impl Strategy<Value = isize> {
    prop_oneof![12 => -3isize..4, 1 => Just(isize::MIN), 1 => Just(isize::MAX), 1 => Just(-7)]
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => -2.0..2.0,
        1 => Just(0.0),
        1 => Just(1.0),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(1e300),
        1 => Just(-1.0),
    ]
}

fn dtype() -> impl Strategy<Value = DType> {
    prop_oneof![5 => Just(DType::F32), 1 => Just(DType::U32), 1 => Just(DType::I32), 1 => Just(DType::F16)]
}

fn shape() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0usize..5, 0..5)
}

prop_compose! {
    /// A call: which one, and more arguments than any takes.
    fn call()(
        which in 0..CALLS.len(),
        tensors in prop::array::uniform3(0usize..8),
        axes in prop::array::uniform3(axis()),
        sizes in prop::array::uniform6(size()),
        numbers in prop::array::uniform3(number()),
        dtype in dtype(),
        flag in any::<bool>(),
    ) -> (usize, [usize; 3], Args) {
        (which, tensors, Args { axes, sizes, numbers, dtype, flag })
    }
}

/// Inputs of random types, and random calls on them and on each other's results.
#[derive(Debug, Clone)]
struct Random {
    inputs: Vec<(Vec<usize>, DType)>,
    calls: Vec<(usize, [usize; 3], Args)>,
    foreign: bool,
    differentiate: bool,
}

prop_compose! {
    fn program()(
        inputs in prop::collection::vec((shape(), dtype()), 2..4),
        calls in prop::collection::vec(call(), 1..5),
        foreign in prop::bool::weighted(0.05),
        differentiate in any::<bool>(),
    ) -> Random {
        Random { inputs, calls, foreign, differentiate }
    }
}

fn value(shape: &[usize], dtype: DType, k: usize) -> Array {
    let count: usize = shape.iter().product();
    let data: Vec<f64> =
        (0..count).map(|i| ((i * 7 + k * 3) % 5) as f64 * 0.5 - if dtype == DType::U32 { 0.0 } else { 1.0 }).collect();
    Array::from_f64(shape.to_vec(), &data, dtype).unwrap()
}

/// Builds the program; on an error of the graph checks what the error says, else runs it on the sessions. Whether it ran.
fn run(random: &Random, sessions: &mut [Session]) -> Result<bool, TestCaseError> {
    let (graph, other) = (Graph::new(), Graph::new());
    let named = random.inputs.iter().enumerate();
    let mut tensors: Vec<Tensor<'_>> = named.map(|(k, (s, d))| graph.input(format!("x{k}"), s.clone(), *d)).collect();
    if random.foreign {
        tensors.push(other.input("foreign", [2, 3], DType::F32));
    }
    for (which, picks, args) in &random.calls {
        let pick = |k: usize| tensors[picks[k] % tensors.len()];
        let made = (CALLS[*which].1)(&graph, [pick(0), pick(1), pick(2)], args);
        if std::ptr::eq(made.graph(), &graph) {
            tensors.push(made);
        }
    }
    let output = *tensors.iter().rev().find(|t| std::ptr::eq(t.graph(), &graph)).unwrap();
    let mut outputs = vec![output];
    if random.differentiate && output.dtype().is_float() && graph.check().is_ok() {
        let floats: Vec<Tensor<'_>> = tensors
            .iter()
            .copied()
            .filter(|t| std::ptr::eq(t.graph(), &graph) && t.dtype().is_float())
            .take(2)
            .collect();
        outputs.extend(output.vjp(graph.full(output.shape(), 0.5, output.dtype()), &floats));
    }
    for graph in [&graph, &other] {
        if let Err(error) = graph.check() {
            let Error::Op { op, message, location } = &error else {
                return Err(TestCaseError::fail(format!("not an error of an operation: {error:?}")));
            };
            prop_assert!(!op.is_empty() && !message.is_empty(), "{error}");
            prop_assert!(
                location.contains("calls.rs") || location.contains("main.rs"),
                "not the caller's line: {error}"
            );
            return Ok(false);
        }
    }
    let largest = graph.nodes().iter().map(|n| n.ty.shape.elements()).max().unwrap_or(0);
    if largest > MAX_RUN {
        return Ok(false);
    }
    let f16 = graph.nodes().iter().any(|n| n.ty.dtype == DType::F16);
    for session in sessions {
        let program = match session.compile(&graph, &outputs) {
            Ok(program) => program,
            Err(Error::Device(message)) if f16 && message.contains("SHADER_F16") => continue,
            Err(error) => return Err(TestCaseError::fail(format!("{}: {error}\n{graph}", session.device_name()))),
        };
        let names: Vec<String> = (0..random.inputs.len()).map(|k| format!("x{k}")).collect();
        let values: Vec<Array> = random.inputs.iter().enumerate().map(|(k, (s, d))| value(s, *d, k)).collect();
        let needed = |name: &str| program.inputs().iter().any(|(n, _)| n == name);
        let feed: Vec<(&str, &Array)> =
            names.iter().map(String::as_str).zip(&values).filter(|(n, _)| needed(n)).collect();
        if let Err(error) = session.run(&program, &feed) {
            return Err(TestCaseError::fail(format!("{}: {error}\n{graph}", session.device_name())));
        }
    }
    Ok(true)
}

fn check(devices: &[Device], cases: u32) {
    let open = |device: &Device| match Session::new(device.clone()) {
        Ok(session) => Some(session),
        Err(Error::Device(message)) if std::env::var_os("WGRAD_REQUIRE_GPU").is_none() => {
            let _ = writeln!(std::io::stderr(), "SKIPPED: bad input on {device}: {message}");
            None
        }
        Err(error) => panic!("{device}: {error}"),
    };
    let sessions: Vec<Session> = devices.iter().filter_map(open).collect();
    let (sessions, ran) = (RefCell::new(sessions), Cell::new(0));
    let config = ProptestConfig { cases, ..config() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let result = runner.run(&program(), |random| {
        ran.set(ran.get() + u32::from(run(&random, &mut sessions.borrow_mut())?));
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error:.1200}");
    }
    assert!(ran.get() > cases / 20, "only {} of {cases} ran", ran.get());
}

#[test]
fn random_calls_on_the_host() {
    check(&[Device::reference(), Device::cpu()], 4000);
}

#[cfg(feature = "gpu")]
#[test]
fn random_calls_on_the_gpu() {
    check(&[Device::gpu()], 400);
}

/// Every call of the table can succeed: a table of calls that only fail would test nothing.
#[test]
fn every_call_succeeds_with_some_arguments() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut missing: Vec<usize> = (0..CALLS.len()).collect();
    for _ in 0..60_000 {
        if missing.is_empty() {
            break;
        }
        let random = program().new_tree(&mut runner).unwrap().current();
        let (_, picks, args) = &random.calls[0];
        missing.retain(|&which| {
            let graph = Graph::new();
            let inputs = random.inputs.iter().enumerate();
            let tensors: Vec<Tensor<'_>> =
                inputs.map(|(k, (s, d))| graph.input(format!("x{k}"), s.clone(), *d)).collect();
            let pick = |k: usize| tensors[picks[k] % tensors.len()];
            let _ = (CALLS[which].1)(&graph, [pick(0), pick(1), pick(2)], args);
            graph.check().is_err()
        });
    }
    let names: Vec<&str> = missing.iter().map(|&k| CALLS[k].0).collect();
    assert!(names.is_empty(), "never accepted: {names:?}");
}

#[test]
fn sessions_refuse_what_is_not_theirs() {
    let (g, h) = (Graph::new(), Graph::new());
    let x = g.input("x", [2], DType::F32);
    let y = h.input("y", [2], DType::F32);
    let foreign = h.tensor((y + 1.0).exp().id());
    // An id beyond the graph's nodes.
    let _ = g.tensor(foreign.id());
    let error = g.check().unwrap_err().to_string();
    assert!(error.contains("another graph") && error.contains("main.rs"), "{error}");

    let g2 = Graph::new();
    let _ = g2.input("x", [2], DType::F32).vjp(y, &[y]);
    assert!(g2.check().unwrap_err().to_string().contains("graph"));

    let mut sessions: Vec<Session> = (0..2).map(|_| Session::new(Device::cpu()).unwrap()).collect();
    let variable = Variable::new("w", Array::from([1.0f32, 2.0]));
    let k = Graph::new();
    let program = sessions[0].compile(&k, &[k.variable(&variable) * 2.0]).unwrap();
    for message in [
        sessions[1].run(&program, &[]).unwrap_err().to_string(),
        sessions[1].profile(&program).unwrap_err().to_string(),
        sessions[1].step(&program).unwrap_err().to_string(),
        sessions[1].set_step(&program, 3).unwrap_err().to_string(),
        sessions[1].device_times(&program, 3).unwrap_err().to_string(),
    ] {
        assert!(message.contains("another session"), "{message}");
    }
    assert!(sessions[1].plan(&program).is_none());
    assert!(sessions[1].read(&variable).unwrap_err().to_string().contains("`w`"));
    assert!(sessions[0].write(&variable, &Array::from([1.0f32])).unwrap_err().to_string().contains("`w`"));
    let _ = x;
}
