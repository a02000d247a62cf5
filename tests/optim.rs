//! Optimisers, schedules and initialisers against PyTorch's trajectories (float64, from float32 inputs).
#![allow(clippy::unwrap_used)]

// `writeln!` to stderr is shown by the test runner; `eprintln!` in a passing test is not.
use std::io::Write;
use std::path::PathBuf;
use wgrad::nn::{Generator, Initializer};
use wgrad::optim::{Adam, Optimizer, Rule, Schedule, ScheduleKind, Sgd, Warmup};
use wgrad::{Array, DType, Device, Graph, Session, Variable};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/optim").join(name)
}

fn read(file: &str, name: &str) -> Vec<f64> {
    let mut npz = npyz::npz::NpzArchive::open(fixture(file)).unwrap();
    let npy = npz.by_name(name).unwrap().unwrap();
    match npy.dtype().descr().as_str() {
        "'<f4'" => npy.into_vec::<f32>().unwrap().into_iter().map(f64::from).collect(),
        "'<f8'" => npy.into_vec::<f64>().unwrap(),
        other => panic!("{name} of {file} is {other}"),
    }
}

/// Runs the rule over the recorded gradients and compares the parameters after each step.
fn follow(device: &Device, case: &str, rule: impl Rule + 'static, lr: f64) {
    let file = format!("optim_{case}.npz");
    let start: Vec<f32> = read(&file, "in.param0").iter().map(|&x| x as f32).collect();
    let gradients = read(&file, "in.grads");
    let expected = read(&file, "out.params_after_step");
    let n = start.len();
    let p = Variable::new("p", Array::from(start));
    let optimizer = Optimizer::new(rule, [("p".to_string(), p.clone())]);
    let g = Graph::new();
    let gradient = g.input("g", [n], DType::F32);
    optimizer.apply(&[gradient], lr, g.step());
    let mut session = match Session::new(device.clone()) {
        Ok(session) => session,
        Err(error) if std::env::var_os("WGRAD_REQUIRE_GPU").is_none() => {
            let _ = writeln!(std::io::stderr(), "SKIPPED: {case} on {device}: {error}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let program = session.compile(&g, &[]).unwrap();
    // A step rounds the few terms it adds; f64 on the reference (rounded to f32 when read), f32 elsewhere. Adam's
    // step is lr·(a ratio near 1), and its relative error is that of the ratio: a few roundings of each moment.
    let epsilon = f64::from(f32::EPSILON);
    for (step, (gradient, expected)) in gradients.chunks(n).zip(expected.chunks(n)).enumerate() {
        let gradient: Vec<f32> = gradient.iter().map(|&x| x as f32).collect();
        session.run(&program, &[("g", &Array::from(gradient))]).unwrap();
        let got = session.read(&p).unwrap().to_f64();
        for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
            let steps = (step + 1) as f64;
            let bound = if *device == Device::Reference {
                epsilon * expected.abs()
            } else {
                epsilon * (4.0 * expected.abs() + 1.0 + 32.0 * lr) * steps
            };
            assert!((got - expected).abs() <= bound, "{device} {case} step {step} [{i}]: {got} is not {expected}");
        }
    }
}

fn all_trajectories(device: Device) {
    let sgd = Sgd::default();
    follow(&device, "sgd", sgd, 0.05);
    follow(&device, "sgd_momentum", Sgd { momentum: 0.9, ..sgd }, 0.05);
    follow(&device, "sgd_momentum_dampening", Sgd { momentum: 0.8, dampening: 0.3, ..sgd }, 0.1);
    follow(&device, "sgd_nesterov", Sgd { momentum: 0.9, nesterov: true, ..sgd }, 0.05);
    follow(&device, "sgd_wd", Sgd { weight_decay: 0.1, ..sgd }, 0.05);
    follow(&device, "sgd_momentum_wd", Sgd { momentum: 0.9, weight_decay: 0.01, ..sgd }, 0.03);
    let all = Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.02, ..sgd };
    follow(&device, "sgd_nesterov_wd", all, 0.03);
    let adam = Adam::default();
    follow(&device, "adam", adam, 0.01);
    follow(&device, "adam_betas_eps", Adam { betas: (0.8, 0.95), eps: 1e-4, ..adam }, 0.02);
    follow(&device, "adam_wd", Adam { weight_decay: 0.1, ..adam }, 0.01);
    follow(&device, "adamw", Adam::adamw(), 0.01);
    follow(&device, "adamw_wd", Adam { weight_decay: 0.2, ..Adam::adamw() }, 0.02);
}

#[test]
fn reference_follows_pytorch() {
    all_trajectories(Device::reference());
}

#[test]
fn cpu_follows_pytorch() {
    all_trajectories(Device::cpu());
}

#[cfg(feature = "gpu")]
#[test]
fn gpu_follows_pytorch() {
    all_trajectories(Device::gpu());
}

#[test]
fn schedules_are_pytorchs() {
    let step = |step_size, gamma| Schedule { kind: ScheduleKind::Step { step_size, gamma }, warmup: None };
    let cosine = |t_max, min_factor| ScheduleKind::Cosine { t_max, min_factor };
    let warmup = |length| Some(Warmup { length, start_factor: 0.1 });
    let cases = [
        ("lr_step_seed", 0.05, step(10, 0.5)),
        ("lr_step", 0.1, step(3, 0.7)),
        ("lr_cosine", 0.1, Schedule { kind: cosine(20, 0.01), warmup: None }),
        ("lr_linear_warmup", 0.1, Schedule { kind: ScheduleKind::Constant, warmup: warmup(8) }),
        ("lr_warmup_then_cosine", 0.1, Schedule { kind: cosine(20, 0.0), warmup: warmup(5) }),
    ];
    for (case, base, schedule) in cases {
        for (t, expected) in read(&format!("{case}.npz"), "out.lr").into_iter().enumerate() {
            let got = base * schedule.factor(t as u32);
            assert!((got - expected).abs() < 1e-14, "{case} at {t}: {got} is not {expected}");
        }
    }
}

#[test]
fn initialisers_have_pytorchs_bounds() {
    let text = std::fs::read_to_string(fixture("init_bounds.json")).unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut rng = Generator::new(1);
    for row in document["rows"].as_array().unwrap() {
        let shape: Vec<usize> = row["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
        let weight = wgrad::Shape::from(shape);
        let n = weight.elements() as f64;
        let mut draw = |init: Initializer| init.draw(&weight, &weight, &mut rng).to_f64();
        for (key, uniform, normal) in [
            ("kaiming_relu_fan_in", Initializer::KaimingUniform, Some(Initializer::KaimingNormal)),
            ("kaiming_default_sqrt5_fan_in", Initializer::Default, None),
            ("xavier_gain1", Initializer::XavierUniform, Some(Initializer::XavierNormal)),
        ] {
            let bound = row[key]["uniform_bound"].as_f64().unwrap_or_else(|| panic!("{key} in {row}"));
            let largest = draw(uniform).iter().fold(0f64, |a, x| a.max(x.abs()));
            // The largest of n uniform draws lies below the bound, and above (1 − 20/n) of it but for e⁻²⁰.
            assert!(
                largest <= bound * (1.0 + 1e-6) && largest >= bound * (1.0 - 20.0 / n),
                "{key} {weight}: {largest}"
            );
            if let Some(normal) = normal {
                let std = row[key]["std"].as_f64().unwrap();
                let variance = draw(normal).iter().map(|x| x * x).sum::<f64>() / n;
                assert!((variance / (std * std) - 1.0).abs() < 5.0 * (2.0 / n).sqrt(), "{key} {weight}: {variance}");
            }
        }
    }
}
