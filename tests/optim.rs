//! Optimisers, schedules and initialisers against PyTorch's numbers (float64, from float32 inputs): every case in
//! `fixtures/optim/index.json`, built from its attributes; one that this file does not know fails.
//!
//! How far a device may be from PyTorch follows from the steps written out in one graph: [`error_bounds`] carries each step's
//! rounding into the ones after.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Attrs, F64_PART, Golden, cases, npz, on_every_device, open};
use std::collections::{BTreeMap, HashMap};
use wgrad::nn::init::{Fan, Nonlinearity};
use wgrad::nn::{Generator, Initializer};
use wgrad::optim::{
    Adadelta, Adagrad, Adam, Anneal, Clip, Ema, Lion, Optimizer, ParamGroup, Plateau, PlateauMode, ReduceOnPlateau,
    RmsProp, Rule, RuleContext, Schedule, Sgd, ThresholdMode,
};
use wgrad::plan::{Plan, Target, lower};
use wgrad::reference::{Environment, evaluate_all};
use wgrad::verify::error_bounds;
use wgrad::{Array, DType, Device, Graph, Tensor, Variable};

fn rule(name: &str, attrs: &Attrs) -> Box<dyn Rule> {
    let number = |key: &str, default: f64| attrs.number_or(key, default);
    let betas = |default: (f64, f64)| match attrs.list("betas") {
        Some(list) => (list[0], list[1]),
        None => default,
    };
    let weight_decay = number("weight_decay", if name == "AdamW" { 0.01 } else { 0.0 });
    match name {
        "SGD" => Box::new(Sgd {
            momentum: number("momentum", 0.0),
            dampening: number("dampening", 0.0),
            nesterov: attrs.flag("nesterov"),
            weight_decay,
        }),
        "Adam" | "AdamW" => Box::new(Adam {
            betas: betas((0.9, 0.999)),
            eps: number("eps", 1e-8),
            weight_decay,
            decoupled: name == "AdamW",
            amsgrad: attrs.flag("amsgrad"),
        }),
        "RMSprop" => Box::new(RmsProp {
            alpha: number("alpha", 0.99),
            eps: number("eps", 1e-8),
            weight_decay,
            momentum: number("momentum", 0.0),
            centered: attrs.flag("centered"),
        }),
        "Adagrad" => Box::new(Adagrad {
            lr_decay: number("lr_decay", 0.0),
            weight_decay,
            initial_accumulator_value: number("initial_accumulator_value", 0.0),
            eps: number("eps", 1e-10),
        }),
        "Adadelta" => Box::new(Adadelta { rho: number("rho", 0.9), eps: number("eps", 1e-6), weight_decay }),
        "Lion" => Box::new(Lion { betas: betas((0.9, 0.99)), weight_decay }),
        _ => panic!("no rule is called {name}"),
    }
}

/// Each step's parameters, in f64, and what an f32 device may be off by.
/// `stored` says what becomes of the state's first value.
fn written_out(
    rule: &dyn Rule,
    lr: f64,
    start: &Golden,
    gradients: &Golden,
    stored: fn(f64) -> f64,
) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
    let g = Graph::new();
    let (mut p, all) =
        (g.input("p", [start.data.len()], DType::F32), g.input("g", gradients.shape.clone(), DType::F32));
    let mut state: Vec<Tensor<'_>> =
        rule.state().iter().map(|(_, x)| g.full(p.shape(), stored(*x), DType::F32)).collect();
    let mut steps = Vec::new();
    for k in 0..gradients.shape[0] {
        let gradient = all.slice(0, k..k + 1).squeeze(0);
        let (lr, step) = (g.scalar(lr, DType::F32), g.scalar(k as f64, DType::U32));
        (p, state) = rule.update(RuleContext { parameter: p, gradient, state: &state, lr, step });
        steps.push(p.id());
    }
    g.check().unwrap();
    let inputs = HashMap::from([("p".into(), start.reference()), ("g".into(), gradients.reference())]);
    let environment = Environment { inputs: &inputs, variables: &HashMap::new(), step: 0, seed: 0 };
    let values = evaluate_all(&g, &steps, environment).unwrap();
    let bounds = error_bounds(&g, &values, &HashMap::new());
    let value = |id: &wgrad::NodeId| values[id.index()].as_ref().unwrap().data.clone();
    (steps.iter().map(value).collect(), steps.iter().map(|id| bounds[id.index()].clone()).collect())
}

/// Runs the rule over the recorded gradients and compares the parameters after each step.
fn follow(device: &Device, case: &str, rule: Box<dyn Rule>, lr: f64, arrays: &BTreeMap<String, Golden>) -> f64 {
    let (start, gradients, expected) = (&arrays["in.param0"], &arrays["in.grads"], &arrays["out.params_after_step"]);
    let n = start.data.len();
    let (exact, bounds) = written_out(rule.as_ref(), lr, start, gradients, |x| x);
    let (rounded, _) = written_out(rule.as_ref(), lr, start, gradients, |x| f64::from(x as f32));
    let Some(mut session) = open(device) else { return 0.0 };
    let p = Variable::new("p", start.array());
    let optimizer = Optimizer::of_groups([ParamGroup::boxed(rule, [("p".to_string(), p.clone())])]);
    let g = Graph::new();
    optimizer.apply(&[g.input("g", [n], DType::F32)], lr, g.step());
    let program = session.compile(&g, &[]).unwrap();
    let mut worst = 0f64;
    for (step, expected) in expected.data.chunks(n).enumerate() {
        let gradient: Vec<f32> = gradients.data[step * n..][..n].iter().map(|&x| x as f32).collect();
        session.run(&program, &[("g", &Array::from(gradient))]).unwrap();
        let got = session.read(&p).unwrap().to_f64();
        for (i, want) in expected.iter().enumerate() {
            let bound = bounds[step][i];
            let difference = (exact[step][i] - want).abs();
            assert!(difference <= F64_PART * bound, "{case} step {step} [{i}]: {} is not {want}", exact[step][i]);
            // The reference computes in f64, from a state that is stored in f32, and rounds what is read.
            let (want, allowed) = if *device == Device::Reference {
                let want = rounded[step][i];
                (want, F64_PART * bound + f64::from(f32::EPSILON) / 2.0 * want.abs())
            } else {
                (*want, bound)
            };
            let error = (got[i] - want).abs() / allowed;
            assert!(error <= 1.0, "{device} {case} step {step} [{i}]: {} is not {want} within {allowed:e}", got[i]);
            worst = worst.max(error);
        }
    }
    worst
}

fn optimizers(device: &Device) {
    for (case, attrs, file) in cases("optimizer") {
        let (name, set) = (attrs.text("name"), attrs.part("set"));
        let (rule, lr) = (rule(&name, &set), set.number("lr"));
        set.all_used();
        attrs.all_used();
        let worst = follow(device, &case, rule, lr, &npz(&file));
        eprintln!("{case} on {device}: worst {worst:.3} of what is allowed");
    }
}

/// Lion is not PyTorch's: its algorithm by hand.
fn lion(device: &Device) {
    let (start, gradients) = ([0.5f64, -1.25, 0.0], [[0.25f64, -0.5, 1.0], [-0.75, 0.125, -0.0625], [0.5, 0.5, 0.5]]);
    let settings = Lion { betas: (0.75, 0.5), weight_decay: 0.25 };
    let (lr, mut p, mut m) = (0.125, start, [0f64; 3]);
    let mut expected = Vec::new();
    for gradient in &gradients {
        for i in 0..3 {
            let direction = (0.75 * m[i] + 0.25 * gradient[i]).signum();
            p[i] -= lr * (direction + 0.25 * p[i]);
            m[i] = 0.5 * m[i] + 0.5 * gradient[i];
        }
        expected.extend(p);
    }
    let golden = |shape: &[usize], data: Vec<f64>| Golden { shape: shape.to_vec(), data, dtype: DType::F32 };
    let arrays = BTreeMap::from([
        ("in.param0".to_string(), golden(&[3], start.to_vec())),
        ("in.grads".to_string(), golden(&[3, 3], gradients.concat())),
        ("out.params_after_step".to_string(), golden(&[3, 3], expected)),
    ]);
    follow(device, "lion", Box::new(settings), lr, &arrays);
}

/// Groups, both ways of clipping, and averages, with numbers that f32 holds exactly.
fn groups_clipping_and_averages(device: &Device) {
    let Some(mut session) = open(device) else { return };
    let [a, b] = ["a", "b"].map(|name| Variable::new(name, Array::from([1.0f32, -2.0])));
    let named = |v: &Variable| [(v.name().to_string(), v.clone())];
    let optimizer = || {
        let decayed = Sgd { weight_decay: 0.5, ..Sgd::default() };
        Optimizer::new(Sgd::default(), named(&a)).add_param_group(ParamGroup::new(decayed, named(&b)).lr_factor(0.25))
    };
    let expect = |session: &mut wgrad::Session, clip: Option<Clip>, wanted: [[f64; 2]; 2]| {
        let g = Graph::new();
        let gradients = [[3.0f32, 0.0], [0.0, 4.0]].map(|x| g.constant(Array::from(x)));
        let optimizer = clip.map_or_else(optimizer, |clip| optimizer().clip(clip));
        optimizer.apply(&gradients, 0.5, g.step());
        let program = session.compile(&g, &[]).unwrap();
        for v in [&a, &b] {
            session.write(v, &Array::from([1.0f32, -2.0])).unwrap();
        }
        session.run(&program, &[]).unwrap();
        for (v, wanted) in [&a, &b].into_iter().zip(wanted) {
            for (got, wanted) in session.read(v).unwrap().to_f64().into_iter().zip(wanted) {
                assert!((got - wanted).abs() < 1e-6, "{device} {clip:?} {}: {got} is not {wanted}", v.name());
            }
        }
    };
    // b moves by 0.125·(gradient + b/2).
    expect(&mut session, None, [[-0.5, -2.0], [0.9375, -2.375]]);
    expect(&mut session, Some(Clip::Value(2.0)), [[0.0, -2.0], [0.9375, -2.125]]);
    // The norm of both gradients is 5, and the factor 1/(5 + 1e-6).
    let f = 1.0 / (5.0 + 1e-6);
    expect(&mut session, Some(Clip::Norm(1.0)), [[1.0 - 1.5 * f, -2.0], [0.9375, -2.0 - 0.125 * (4.0 * f - 1.0)]]);
    expect(&mut session, Some(Clip::Norm(100.0)), [[-0.5, -2.0], [0.9375, -2.375]]);

    let p = Variable::new("p", Array::from([8.0f32]));
    let ema = Ema::new(0.75, named(&p));
    let (g, exchange) = (Graph::new(), Graph::new());
    let values = Optimizer::new(Sgd::default(), named(&p)).apply(&[g.variable(&p)], 0.5, g.step());
    ema.update(&values, g.step());
    ema.swap(&exchange);
    let (step, swap) = (session.compile(&g, &[]).unwrap(), session.compile(&exchange, &[]).unwrap());
    // p: 4, 2, 1; the average: 4, 3.5, 2.875.
    session.run_steps(&step, &[], 3).unwrap();
    assert_eq!(session.read(&p).unwrap().to_f64(), [1.0], "{device}");
    session.run(&swap, &[]).unwrap();
    assert_eq!(session.read(&p).unwrap().to_f64(), [2.875], "{device}");
    session.run(&swap, &[]).unwrap();
    session.run(&step, &[]).unwrap();
    assert_eq!(session.read(&p).unwrap().to_f64(), [0.5], "{device}");
    let (name, average) = ema.averages().next().unwrap();
    assert_eq!((name, session.read(average).unwrap().to_f64()), ("p", vec![0.75 * 2.875 + 0.125]), "{device}");
}

on_every_device!(optimizers lion groups_clipping_and_averages);

/// The plan of two layers' training step.
fn plan(optimizer: impl FnOnce(Vec<(String, Variable)>) -> Optimizer, ema: bool) -> Plan {
    use wgrad::nn::loss::{CrossEntropy, cross_entropy};
    use wgrad::nn::{Linear, Mode, Module, Relu, Sequential};
    let mut rng = Generator::new(1);
    let model = Sequential::new().push(Linear::new(8, 16, &mut rng)).push(Relu).push(Linear::new(16, 4, &mut rng));
    let g = Graph::new();
    let x = g.input("x", [10, 8], DType::F32);
    let loss = cross_entropy(model.forward(x, Mode::Train), g.input("y", [10], DType::U32), CrossEntropy::default());
    let values = optimizer(model.parameters()).minimize(loss, 0.1);
    if ema {
        Ema::new(0.9, model.parameters()).update(&values, g.step());
    }
    lower(&g, &[], &Target::default()).unwrap()
}

/// All updates of a group of parameters are one launch, whatever the rule, with averages or without, within the buffers that
/// every WebGPU device has.
#[test]
fn a_group_is_one_launch() {
    let momentum = || Sgd { momentum: 0.9, ..Sgd::default() };
    let least = plan(|p| Optimizer::new(Sgd::default(), p), false).launch_count();
    let rules: [fn() -> Box<dyn Rule>; 8] = [
        || Box::new(Sgd { momentum: 0.9, dampening: 0.1, weight_decay: 0.1, ..Sgd::default() }),
        || Box::new(Adam { amsgrad: true, ..Adam::default() }),
        || Box::new(Adam::adamw()),
        || Box::new(RmsProp { momentum: 0.9, centered: true, ..RmsProp::default() }),
        || Box::new(Adagrad { lr_decay: 0.1, ..Adagrad::default() }),
        || Box::new(Adadelta::default()),
        || Box::new(Lion { weight_decay: 0.1, ..Lion::default() }),
        || Box::new(Sgd { momentum: 0.9, nesterov: true, ..Sgd::default() }),
    ];
    for rule in rules {
        for ema in [false, true] {
            let plan = plan(|p| Optimizer::of_groups([ParamGroup::boxed(rule(), p)]), ema);
            plan.check_buffers(8).unwrap();
            assert_eq!(plan.launch_count(), least, "{:?}, ema {ema}:\n{plan}", rule());
        }
    }
    let clipped = plan(|p| Optimizer::new(momentum(), p).clip(Clip::Value(1.0)), false);
    assert_eq!(clipped.launch_count(), least, "{clipped}");
    let groups = plan(
        |p| {
            let (biases, weights): (Vec<_>, Vec<_>) = p.into_iter().partition(|(name, _)| name.ends_with("bias"));
            let decayed = Sgd { weight_decay: 0.1, ..momentum() };
            Optimizer::new(decayed, weights).add_param_group(ParamGroup::new(momentum(), biases))
        },
        false,
    );
    assert_eq!(groups.launch_count(), least + 1, "{groups}");
}

#[test]
fn a_parameter_in_two_groups_is_an_error() {
    let v = Variable::new("v", 1f32);
    let named = || [("v".to_string(), v.clone())];
    let optimizer = Optimizer::new(Sgd::default(), named()).add_param_group(ParamGroup::new(Sgd::default(), named()));
    let g = Graph::new();
    optimizer.minimize(g.variable(&v).square(), 0.1);
    assert!(g.check().unwrap_err().to_string().contains("updated twice"));
    let g = Graph::new();
    optimizer.apply(&[g.variable(&v)], 0.1, g.step());
    assert!(g.check().unwrap_err().to_string().contains("2 parameters need 2 gradients, but 1"));
}

fn schedule(attrs: &Attrs) -> Schedule {
    let count = |key: &str| attrs.number(key) as u32;
    let (base, gamma) = (attrs.number_or("base_lr", 0.1), || attrs.number("gamma"));
    let milestones = || attrs.list("milestones").unwrap().into_iter().map(|m| m as u32).collect();
    let min_factor = || attrs.number_or("eta_min", 0.0) / base;
    match &attrs.text("name")[..] {
        "StepLR" => Schedule::Step { step_size: count("step_size"), gamma: gamma() },
        "MultiStepLR" => Schedule::MultiStep { milestones: milestones(), gamma: gamma() },
        "ExponentialLR" => Schedule::Exponential { gamma: gamma() },
        "CosineAnnealingLR" => Schedule::Cosine { t_max: count("T_max"), min_factor: min_factor() },
        "CosineAnnealingWarmRestarts" => Schedule::CosineRestarts {
            t_0: count("T_0"),
            t_mult: attrs.number_or("T_mult", 1.0) as u32,
            min_factor: min_factor(),
        },
        "LinearLR" => Schedule::Linear {
            start_factor: attrs.number_or("start_factor", 1.0 / 3.0),
            end_factor: attrs.number_or("end_factor", 1.0),
            total_iters: count("total_iters"),
        },
        "ConstantLR" => Schedule::Held { factor: attrs.number("factor"), total_iters: count("total_iters") },
        "PolynomialLR" => {
            Schedule::Polynomial { total_iters: count("total_iters"), power: attrs.number_or("power", 1.0) }
        }
        "OneCycleLR" => Schedule::OneCycle {
            total_steps: count("total_steps"),
            pct_start: attrs.number_or("pct_start", 0.3),
            anneal: match &attrs.text("anneal")[..] {
                "cos" => Anneal::Cos,
                "linear" => Anneal::Linear,
                other => panic!("{other}"),
            },
            div_factor: attrs.number_or("div_factor", 25.0),
            final_div_factor: attrs.number_or("final_div_factor", 1e4),
            three_phase: attrs.flag("three_phase"),
        },
        "SequentialLR" => {
            let schedules = attrs.parts("parts").iter().map(schedule).collect();
            Schedule::Sequential { schedules, milestones: milestones() }
        }
        other => panic!("no schedule is called {other}"),
    }
}

#[test]
fn schedules_are_pytorchs() {
    for (case, attrs, file) in cases("lr_schedule") {
        let base = attrs.number("base_lr");
        let expected = &npz(&file)["out.lr"].data;
        let rates: Vec<f64> = if attrs.text("name") == "ReduceLROnPlateau" {
            let mode = match attrs.text_or("mode", "min").as_str() {
                "min" => PlateauMode::Min,
                _ => PlateauMode::Max,
            };
            let threshold_mode = match attrs.text_or("threshold_mode", "rel").as_str() {
                "rel" => ThresholdMode::Rel,
                _ => ThresholdMode::Abs,
            };
            let settings = ReduceOnPlateau {
                mode,
                factor: attrs.number_or("factor", 0.1),
                patience: attrs.number_or("patience", 10.0) as u32,
                threshold: attrs.number_or("threshold", 1e-4),
                threshold_mode,
                cooldown: attrs.number_or("cooldown", 0.0) as u32,
                min_lr: attrs.number_or("min_lr", 0.0),
                eps: attrs.number_or("eps", 1e-8),
            };
            let mut plateau = Plateau::new(base, settings);
            let metrics = attrs.list("metrics").unwrap();
            std::iter::once(base).chain(metrics.into_iter().map(|metric| plateau.step(metric))).collect()
        } else {
            assert_eq!(attrs.number("steps"), expected.len() as f64);
            let schedule = schedule(&attrs);
            // A one-cycle schedule's own base is its largest rate.
            let base = attrs.number_or("max_lr", base);
            (0..expected.len() as u32).map(|t| base * schedule.factor(t)).collect()
        };
        attrs.all_used();
        assert_eq!(rates.len(), expected.len(), "{case}");
        for (t, (got, want)) in rates.iter().zip(expected).enumerate() {
            assert!((got - want).abs() <= 1e-15 + 1e-14 * want, "{case} at {t}: {got} is not {want}");
        }
    }
}

/// Past what the fixtures cover.
#[test]
fn schedules_go_on() {
    let cosine = Schedule::Cosine { t_max: 4, min_factor: 0.5 };
    assert!((cosine.factor(4) - 0.5).abs() < 1e-15 && (cosine.factor(8) - 1.0).abs() < 1e-15, "it rises again");
    let once = Schedule::CosineRestarts { t_0: 3, t_mult: 1, min_factor: 0.0 };
    assert_eq!(once.factor(3_000_000), 1.0);
    let cycle = Schedule::OneCycle {
        total_steps: 10,
        pct_start: 0.5,
        anneal: Anneal::Linear,
        div_factor: 10.0,
        final_div_factor: 10.0,
        three_phase: false,
    };
    assert!((cycle.factor(9) - 0.01).abs() < 1e-15 && cycle.factor(9) == cycle.factor(100));
    assert_eq!(Schedule::Polynomial { total_iters: 5, power: 1.0 }.factor(9), 0.0);
}

#[test]
fn initialisers_have_pytorchs_bounds() {
    let mut rng = Generator::new(1);
    for (_, attrs, file) in cases("init_bounds") {
        attrs.all_used();
        let document = common::json(&file);
        for row in document["rows"].as_array().unwrap() {
            let shape: Vec<usize> = common::numbers(&row["shape"]).1.into_iter().map(|n| n as usize).collect();
            let weight = wgrad::Shape::from(shape);
            let mut seen = 0;
            for (key, numbers) in row.as_object().unwrap() {
                if key == "torch_default_bias_bound" {
                    let bound = numbers.as_f64().unwrap();
                    let bias = Initializer::Default.draw(10_000, &weight, &mut rng).unwrap().to_f64();
                    let largest = bias.iter().fold(0f64, |a, x| a.max(x.abs()));
                    assert!((0.998 * bound..=bound * (1.0 + 1e-6)).contains(&largest), "{key} {weight}: {largest}");
                    continue;
                }
                let Some((uniform, normal)) = initialisers(key) else { continue };
                seen += 1;
                if let Some(gain) = numbers["gain"].as_f64() {
                    let own = match uniform {
                        Initializer::KaimingUniform { nonlinearity, .. } => nonlinearity.gain(),
                        Initializer::XavierUniform { gain } => gain,
                        _ => panic!("{key}"),
                    };
                    assert!((own - gain).abs() <= 1e-15 * gain, "{key}: {own} is not {gain}");
                }
                check_draw(key, &weight, uniform, normal, numbers, &mut rng);
                if key == "kaiming_default_sqrt5_fan_in" {
                    check_draw(key, &weight, Initializer::Default, normal, numbers, &mut rng);
                }
            }
            assert_eq!(seen, row.as_object().unwrap().len() - 4, "{row}");
        }
    }
}

/// The uniform and normal initialiser a key of the fixture means; `None` for its other keys.
fn initialisers(key: &str) -> Option<(Initializer, Initializer)> {
    if matches!(key, "shape" | "fan_in" | "fan_out") {
        return None;
    }
    if let Some(follows) = key.strip_prefix("xavier_") {
        let gain = match follows {
            "gain1" => 1.0,
            "relu" => Nonlinearity::Relu.gain(),
            "tanh" => Nonlinearity::Tanh.gain(),
            other => panic!("{other}"),
        };
        return Some((Initializer::XavierUniform { gain }, Initializer::XavierNormal { gain }));
    }
    let (follows, mode) = match key.strip_prefix("kaiming_").unwrap_or_else(|| panic!("{key}")).split_once("_fan_") {
        Some((follows, "in")) => (follows, Fan::In),
        Some((follows, "out")) => (follows, Fan::Out),
        _ => panic!("{key}"),
    };
    let nonlinearity = match follows {
        "relu" => Nonlinearity::Relu,
        "linear" => Nonlinearity::Linear,
        "tanh" => Nonlinearity::Tanh,
        "leaky_0.2" => Nonlinearity::LeakyRelu(0.2),
        "default_sqrt5" => Nonlinearity::LeakyRelu(5f64.sqrt()),
        other => panic!("{other}"),
    };
    Some((Initializer::KaimingUniform { mode, nonlinearity }, Initializer::KaimingNormal { mode, nonlinearity }))
}

fn check_draw(
    key: &str,
    weight: &wgrad::Shape,
    uniform: Initializer,
    normal: Initializer,
    numbers: &serde_json::Value,
    rng: &mut Generator,
) {
    let n = weight.elements() as f64;
    let mut draw = |init: Initializer| init.draw(weight, weight, rng).unwrap().to_f64();
    let bound = numbers["uniform_bound"].as_f64().unwrap();
    let largest = draw(uniform).iter().fold(0f64, |a, x| a.max(x.abs()));
    // The largest of n uniform draws lies below the bound, and above (1 − 20/n) of it but for e⁻²⁰.
    assert!(largest <= bound * (1.0 + 1e-6) && largest >= bound * (1.0 - 20.0 / n), "{key} {weight}: {largest}");
    let std = numbers["std"].as_f64().unwrap();
    let variance = draw(normal).iter().map(|x| x * x).sum::<f64>() / n;
    assert!((variance / (std * std) - 1.0).abs() < 5.0 * (2.0 / n).sqrt(), "{key} {weight}: {variance}");
}
