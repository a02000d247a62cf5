//! The GPU executor beyond single operations: many steps, shared and updated variables, limits, errors.
#![cfg(feature = "gpu")]
#![allow(clippy::unwrap_used)]

// `writeln!` to stderr is shown by the test runner; `eprintln!` in a passing test is not.
use std::io::Write;
use wgrad::gpu::{GpuExecutor, GpuOptions, Limits, adapter, adapters};
use wgrad::verify::check::{self, CheckOptions};
use wgrad::wgsl::ShaderFolder;
use wgrad::{Array, Backend, DType, Device, Error, Executor, GpuChoice, Graph, Session, Variable};

/// A session on a GPU, or a note that there is none.
fn session() -> Option<Session> {
    match Session::new(Device::gpu()) {
        Ok(session) => Some(session),
        Err(Error::Device(message)) if std::env::var_os("WGRAD_REQUIRE_GPU").is_none() => {
            let _ = writeln!(std::io::stderr(), "SKIPPED: {message}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn many_steps_update_variables_in_place() {
    let Some(mut session) = session() else { return };
    let total = Variable::new("total", Array::zeros([1000], DType::F32).unwrap());
    let steps = Variable::new("steps", 0u32);
    let g = Graph::new();
    (g.variable(&total) + g.step().cast(DType::F32)).assign_to(&total);
    (g.variable(&steps) + 1).assign_to(&steps);
    let program = session.compile(&g, &[]).unwrap();
    session.run_steps(&program, &[], 1000).unwrap();
    session.run_steps(&program, &[], 1).unwrap();
    assert_eq!(session.read(&steps).unwrap().item().unwrap(), 1001.0);
    assert!(session.read(&total).unwrap().to_f64().iter().all(|&x| x == 500_500.0));
}

#[test]
fn parameters_and_momenta_see_each_others_old_values() {
    let Some(mut session) = session() else { return };
    let (a, b) = (Variable::new("a", [1.0f32, 2.0]), Variable::new("b", [10.0f32, 20.0]));
    let g = Graph::new();
    let (old_a, old_b) = (g.variable(&a), g.variable(&b));
    (old_a + old_b).assign_to(&a);
    old_a.assign_to(&b);
    let program = session.compile(&g, &[old_a]).unwrap();
    assert_eq!(session.run(&program, &[]).unwrap()[0].to_f64(), [1.0, 2.0]);
    assert_eq!(session.read(&a).unwrap().to_f64(), [11.0, 22.0]);
    assert_eq!(session.read(&b).unwrap().to_f64(), [1.0, 2.0]);
}

#[test]
fn programs_share_variables() {
    let Some(mut session) = session() else { return };
    let w = Variable::new("w", [3.0f32]);
    let (train, eval) = (Graph::new(), Graph::new());
    (train.variable(&w) * 2.0).assign_to(&w);
    let output = eval.variable(&w) + 1.0;
    let train = session.compile(&train, &[]).unwrap();
    session.run(&train, &[]).unwrap();
    let eval = session.compile(&eval, &[output]).unwrap();
    assert_eq!(session.run(&eval, &[]).unwrap()[0].to_f64(), [7.0]);
    session.write(&w, &Array::from([5.0f32])).unwrap();
    assert_eq!(session.run(&eval, &[]).unwrap()[0].to_f64(), [6.0]);
}

#[test]
fn a_variable_written_before_compile_keeps_that_value() {
    let Some(mut session) = session() else { return };
    let w = Variable::new("w", [3.0f32]);
    assert!(session.read(&w).is_err());
    session.write(&w, &Array::from([4.0f32])).unwrap();
    let g = Graph::new();
    let program = session.compile(&g, &[g.variable(&w)]).unwrap();
    assert_eq!(session.run(&program, &[]).unwrap()[0].to_f64(), [4.0]);
}

#[test]
fn more_workgroups_than_a_dimension_holds() {
    let Some(mut session) = session() else { return };
    // 20 million points at 256 a workgroup are 78,125 workgroups.
    let n = 20_000_000;
    let g = Graph::new();
    let x = g.iota([n], 0);
    let ones = (x - x + 1).sum(0);
    let program = session.compile(&g, &[x.max(0), x.slice(0, n - 3..n), ones]).unwrap();
    let out = session.run(&program, &[]).unwrap();
    assert_eq!(out[1].to_f64(), [(n - 3) as f64, (n - 2) as f64, (n - 1) as f64]);
    assert_eq!(out[2].item().unwrap(), n as f64);
    assert_eq!(out[0].item().unwrap(), (n - 1) as f64);
}

#[test]
fn unknown_adapters_are_errors_that_list_the_known_ones() {
    let by_index = Session::new(Device::Gpu(GpuChoice::Index(99)));
    let by_name = Session::new(Device::Gpu(GpuChoice::Name("no such thing".into())));
    for (result, asked) in [(by_index, "99"), (by_name, "no such thing")] {
        match result {
            Err(Error::Device(message)) => {
                assert!(message.contains(asked), "{message}");
                for adapter in adapters() {
                    assert!(message.contains(&adapter.name), "{message}");
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn each_api_is_chosen_by_name_and_gl_for_want_of_another() {
    let all = adapters();
    for backend in Backend::ALL {
        let choice = GpuChoice::Backend(backend);
        if all.iter().any(|info| info.backend == backend.name()) {
            assert_eq!(adapter(&choice).unwrap().backend, backend.name());
            let mut session = Session::new(Device::Gpu(choice)).unwrap();
            // The step comes through immediates, which GL has to imitate.
            let g = Graph::new();
            let program = session.compile(&g, &[g.iota([5], 0) * 2 + g.step()]).unwrap();
            session.run_steps(&program, &[], 3).unwrap();
            let out = session.run(&program, &[]).unwrap();
            assert_eq!(out[0].to_f64(), [3.0, 5.0, 7.0, 9.0, 11.0], "{backend}");
        } else {
            let message = Session::new(Device::Gpu(choice)).unwrap_err().to_string();
            assert!(message.contains(&format!("the {backend} backend")), "{message}");
        }
    }
    if all.iter().any(|info| info.backend != "gl") {
        for choice in [GpuChoice::Fastest, GpuChoice::LowPower] {
            assert_ne!(adapter(&choice).unwrap().backend, "gl");
        }
    }
}

#[test]
fn a_tensor_beyond_the_devices_limit_is_an_error() {
    let choice = GpuChoice::Fastest;
    let options = GpuOptions { limits: Limits::Webgpu, ..GpuOptions::default() };
    let Ok(mut executor) = GpuExecutor::with_options(&choice, options) else {
        session();
        return;
    };
    assert!(executor.target().storage_buffers <= 8);
    let g = Graph::new();
    // 256 MiB, where WebGPU promises bindings of 128 MiB. Two uses, so that it is stored.
    let x = g.input("x", [64 << 20], DType::F32).exp();
    match executor.compile(&g, &[x.id()]) {
        Err(Error::Limit { needed, limit, .. }) => assert!(needed > limit),
        other => panic!("{other:?}"),
    }
    // It still works afterwards.
    let g = Graph::new();
    let program = executor.compile(&g, &[g.iota([3], 0).id()]).unwrap();
    executor.run(program, &[], 0, 1, 0).unwrap();
    assert_eq!(executor.outputs(program).unwrap()[0].to_f64(), [0.0, 1.0, 2.0]);
}

#[test]
fn runs_repeat_bit_for_bit_and_memory_stays_flat() {
    let Some(mut session) = session() else { return };
    let g = Graph::new();
    let (x, w) = (g.input("x", [50, 40], DType::F32), g.random_normal([40, 30]));
    let y = x.matmul(w).tanh().softmax(-1).sum(0);
    let program = session.compile(&g, &[y]).unwrap();
    let data = Array::new([50, 40], (0..2000).map(|i| (i as f32).sin()).collect()).unwrap();
    let first = session.run(&program, &[("x", &data)]).unwrap();
    let bytes = session.allocated_bytes();
    for _ in 0..200 {
        session.set_step(&program, 0).unwrap();
        assert_eq!(session.run(&program, &[("x", &data)]).unwrap(), first);
    }
    assert_eq!(session.allocated_bytes(), bytes);
    assert_ne!(session.run(&program, &[("x", &data)]).unwrap(), first, "another step draws other numbers");
}

/// WGSL states no accuracy for divisors beyond 2¹²⁶: a driver may multiply by a reciprocal that it has flushed to 0.
#[test]
fn division_is_right_where_reciprocals_are_flushed() {
    let dir = tempfile::tempdir().unwrap();
    let text = include_str!("../shaders/elementwise.wgsl");
    let flushed = "let quotient = 1.0 / (b * scale);
    return (a * scale) * select(quotient, 0.0, abs(quotient) < 1.1754944e-38);";
    let driver = text.replace("return (a * scale) / (b * scale);", flushed);
    assert_ne!(driver, text);
    std::fs::write(dir.path().join("elementwise.wgsl"), driver).unwrap();
    let shaders = ShaderFolder::read(dir.path()).unwrap();
    let options = GpuOptions { shaders, ..GpuOptions::default() };
    let executor = match GpuExecutor::with_options(&GpuChoice::Fastest, options) {
        Ok(executor) => executor,
        Err(Error::Device(message)) if std::env::var_os("WGRAD_REQUIRE_GPU").is_none() => {
            let _ = writeln!(std::io::stderr(), "SKIPPED: {message}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let mut session = Session::with_executor(Device::gpu(), Box::new(executor));
    let names = ["div", "softsign"].map(String::from);
    let options = CheckOptions { patterns: names.into(), ..CheckOptions::default() };
    let report = check::run(&mut session, &wgrad::verify::samples(), &options, |_, _, _| ()).unwrap();
    assert!(report.passed(), "{}", report.table());
    assert!(report.ops.iter().any(|op| op.op == "softsign" && op.cases > 0), "{}", report.table());
    // And the quotients around the bound, to the last bit but one.
    let around = [0x7e7f_ffffu32, 0x7e80_0000, 0x7e80_0001, 0x7eff_ffff, 0x7f00_0000, 0x7f00_0001, 0x7f7f_ffff];
    let divisors: Vec<f32> = around.into_iter().map(f32::from_bits).flat_map(|y| [y, -y]).chain([3.2e38]).collect();
    let graph = Graph::new();
    let quotient = graph.input("x", [divisors.len()], DType::F32) / graph.input("y", [divisors.len()], DType::F32);
    let program = session.compile(&graph, &[quotient]).unwrap();
    for x in [f32::MAX, 3.2e38, 1e38, -1.5e30, 1.0, 0.0] {
        let x = Array::full([divisors.len()], x).unwrap();
        let y = Array::new([divisors.len()], divisors.clone()).unwrap();
        let got = session.run(&program, &[("x", &x), ("y", &y)]).unwrap()[0].to_f64();
        for ((got, x), y) in got.iter().zip(x.to_f64()).zip(y.to_f64()) {
            let allowed = (2.5 * f64::from(f32::EPSILON) * (x / y).abs()).max(f64::from(f32::MIN_POSITIVE));
            assert!((got - x / y).abs() <= allowed, "{x:e} / {y:e} is {got:e}");
        }
    }
}

/// A cast to `f16` in the midst of a chain rounds, on every device, as IEEE 754 does.
#[test]
fn a_chain_that_casts_to_f16_and_back_rounds() {
    let mut values = Vec::new();
    for bits in 0..0x7c00u16 {
        let (low, high) = (half::f16::from_bits(bits).to_f32(), half::f16::from_bits(bits + 1).to_f32());
        // The last neighbour is an infinity, which counts as 65536.
        let middle = 0.5 * (low + high.min(65536.0));
        values.extend([low, middle.next_down(), middle, middle.next_up()]);
    }
    values.extend([65504.0, 65535.0, 65536.0, 1e30, f32::MAX, f32::INFINITY, f32::MIN_POSITIVE, 1e-40]);
    values.extend([0x7f80_0001, 0x7f80_1fff, 0x7fc0_0000, 0x7fff_ffff].map(f32::from_bits));
    let values: Vec<f32> = values.iter().flat_map(|&x| [x, -x]).collect();
    let x = Array::new([values.len()], values.clone()).unwrap();
    for mut session in [Some(Session::new(Device::cpu()).unwrap()), session()].into_iter().flatten() {
        let graph = Graph::new();
        let chain = graph.input("x", [values.len()], DType::F32).cast(DType::F16).cast(DType::F32) * 2.0;
        let program = session.compile(&graph, &[chain]).unwrap();
        let got = session.run(&program, &[("x", &x)]).unwrap();
        for (got, &x) in got[0].as_slice::<f32>().unwrap().iter().zip(&values) {
            let expected = 2.0 * half::f16::from_f32(x).to_f32();
            let same = *got == expected || got.is_nan() && expected.is_nan();
            assert!(same, "{}: f16({x:e}) · 2 is {got:e}, not {expected:e}", session.device_name());
        }
    }
}
