//! The example `gradients` against the golden numbers of Gradients I, II and III.

#[path = "../../examples/gradients/main.rs"]
#[allow(dead_code, unreachable_pub)]
mod example;

use example::backprop::Gradients;
use example::chain::ChainNumbers;
use example::common::Options;
use example::variance::{Network, Run, Sizes, holds};
use serde_json::Value;
use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use wgrad::reference::{Environment, evaluate_all};
use wgrad::verify::error_bounds;
use wgrad::{Device, Error, Graph, NodeId, Session, Tensor};

/// Half a unit in the last place of f32, relative: what the rounding of an input adds.
const ROUNDING: f64 = 0.5 * f32::EPSILON as f64;

fn golden(name: &str) -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/networks/");
    serde_json::from_str(&std::fs::read_to_string(format!("{folder}{name}.json")).unwrap()).unwrap()
}

/// The numbers of a nested list in order.
fn flat(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(list) => list.iter().flat_map(flat).collect(),
        other => vec![other.as_f64().unwrap()],
    }
}

/// How far each element of the tensors may be from the golden numbers on an f32 device: what the operations' errors and the
/// rounding of the variables and of the result to f32 add up to.
fn bounds(graph: &Graph, tensors: &[Tensor<'_>]) -> Vec<Vec<f64>> {
    let (inputs, variables) = (HashMap::new(), HashMap::new());
    let environment = Environment { inputs: &inputs, variables: &variables, step: 0, seed: 0 };
    let ids: Vec<_> = tensors.iter().map(|t| t.id()).collect();
    let values = evaluate_all(graph, &ids, environment).unwrap();
    let rounded = graph.variables().into_iter().map(|v| {
        let sizes = v.initial().to_f64().iter().map(|x| ROUNDING * x.abs()).collect();
        (graph.variable(&v).id(), sizes)
    });
    let errors = error_bounds(graph, &values, &rounded.collect());
    let of = |id: &NodeId| {
        let result = values[id.index()].as_ref().unwrap();
        errors[id.index()].iter().zip(&result.data).map(|(error, value)| error + ROUNDING * value.abs()).collect()
    };
    ids.iter().map(of).collect()
}

fn assert_near(what: &str, got: &[f64], want: &[f64], allowed: &[f64]) {
    assert_eq!((got.len(), got.len()), (want.len(), allowed.len()), "{what}");
    for (k, ((g, w), allowed)) in got.iter().zip(want).zip(allowed).enumerate() {
        assert!((g - w).abs() <= *allowed, "{what}[{k}]: {g}, golden {w}, allowed {allowed:e}");
    }
}

fn assert_picture(folder: &Path, name: &str) {
    assert!(std::fs::read(folder.join(name)).unwrap().starts_with(b"\x89PNG"), "{name}");
}

fn options(device: Device, folder: &tempfile::TempDir) -> Options {
    Options::new("gradients", device, folder.path().into())
}

fn check_chain(numbers: &ChainNumbers, device: &Device) {
    let golden = golden("udl_gradients_I");
    let expected = &golden["expected"];
    let number = |value: &Value| value.as_f64().unwrap();
    let graph = Graph::new();
    let outputs = example::chain::build(&graph).unwrap();

    // By the golden's names, with the bounds.
    let mut computed: HashMap<String, (f64, f64)> = HashMap::new();
    let allowed = bounds(&graph, &outputs.values.iter().map(|(_, t)| *t).collect::<Vec<_>>());
    assert_eq!(numbers.values.len(), 9);
    for ((name, value), allowed) in numbers.values.iter().zip(&allowed) {
        assert_near(name, &[*value], &[number(&expected[name])], allowed);
        computed.insert(name.clone(), (*value, allowed[0]));
    }

    let tensors: Vec<Tensor<'_>> = outputs.derivatives.iter().flat_map(|(_, a, b)| [*a, *b]).collect();
    let (allowed, of_differences) = (bounds(&graph, &tensors), bounds(&graph, &[outputs.differences]));
    assert_eq!(numbers.derivatives.len(), 18);
    let mut parameters = 0;
    for (d, allowed) in numbers.derivatives.iter().zip(allowed.chunks(2)) {
        let inner = expected.get(format!("dyd{}", d.name));
        let want = number(inner.unwrap_or(&expected["gradients"][&d.name]));
        assert_near(&d.name, &[d.by_hand, d.autodiff], &[want; 2], &allowed.concat());
        computed.insert(format!("dyd{}", d.name), (d.by_hand, allowed[0][0]));
        assert_eq!(d.differences.is_none(), inner.is_some(), "{}", d.name);
        if let Some([on_device, in_f64]) = d.differences {
            parameters += 1;
            let want = number(&expected["finite_difference_1e_4"][&d.name]);
            // In f64 a difference is off by what the rounding of the parameters adds to the derivative, which its own bound holds.
            assert_near(&d.name, &[in_f64], &[want], &allowed[0]);
            let (layer, kind) = (d.name.as_bytes()[d.name.len() - 1] - b'0', d.name.starts_with("omega"));
            let index = usize::from(layer) + if kind { 5 } else { 0 };
            assert_near(&d.name, &[on_device], &[want], &[of_differences[0][index]]);
        }
    }
    assert_eq!(parameters, 10);
    let allowed = bounds(&graph, &[outputs.closed_form]).concat();
    assert_near("one formula", &[numbers.closed_form], &[number(&expected["closed_form_omega0"])], &allowed);
    computed.insert("closed form omega0 == chain".into(), (numbers.closed_form, allowed[0]));

    // What the notebook prints.
    let printed = golden["checks"].as_array().unwrap();
    assert_eq!(printed.len(), 23);
    for check in printed {
        let name = check["name"].as_str().unwrap();
        let ((value, allowed), printed) = (computed[name], number(&check["printed"]));
        let last_digit = 0.1f64.powi(check["decimals"].as_u64().unwrap() as i32);
        assert!((value - printed).abs() <= 0.5 * last_digit + allowed, "{name}: {value}, printed {printed}");
    }

    // Large steps are off by the curve's bend, small ones by rounding; too small a one finds nothing in f32.
    let in_f64 = numbers.errors.last().unwrap();
    let error =
        |step: f64, which: usize| in_f64.points.iter().find(|p| (p[0] / step - 1.0).abs() < 1e-6).unwrap()[which];
    assert!((5.0..20.0).contains(&(error(1e-3, 1) / error(1e-4, 1))), "a forward difference's error grows as the step");
    assert!((50.0..200.0).contains(&(error(1e-3, 2) / error(1e-4, 2))), "a central one's as its square");
    assert_eq!(numbers.errors.len(), if *device == Device::reference() { 1 } else { 2 });
    if numbers.errors.len() == 2 {
        let in_f32 = &numbers.errors[0].points;
        assert!(in_f32[in_f32.len() - 1][1..].iter().all(|error| *error > 0.999));
        let best = in_f32.iter().map(|p| p[1].min(p[2])).fold(1.0, f64::min);
        assert!((1e-7..1e-2).contains(&best), "{best}");
    }
}

fn check_backprop(device: Device) {
    let folder = tempfile::tempdir().unwrap();
    let numbers = example::backprop::run(&options(device, &folder)).unwrap();
    let golden = golden("udl_gradients_II");
    let (inputs, expected) = (&golden["inputs"], &golden["expected"]);

    // The draws: Ω, β and the zeros e of each layer.
    let layers = (0..6).map(|k| {
        let zeros = vec![0.0; if k == 0 { 1 } else { 6 }];
        [flat(&inputs["weights"][k]), flat(&inputs["biases"][k]), zeros].concat()
    });
    assert_eq!(example::backprop::draw(), layers.collect::<Vec<_>>().concat());

    let graph = Graph::new();
    let outputs = example::backprop::build(&graph).unwrap();
    let check = |what: &str, got: &[Vec<f64>], key: &str, tensors: &[Tensor<'_>]| {
        assert_eq!(got.len(), 6, "{what}");
        for (k, allowed) in bounds(&graph, tensors).iter().enumerate() {
            assert_near(&format!("{what} {k}"), &got[k], &flat(&expected[key][k]), allowed);
        }
    };
    check("f", &numbers.f, "all_f", &outputs.f);
    check("h", &numbers.h, "all_h", &outputs.h);
    let keys = ["dl_df", "dl_dh", "dl_dweights", "dl_dbiases"];
    let each = |what: &str, got: &Gradients<Vec<f64>>, tensors: &Gradients<Tensor<'_>>| {
        for (((_, got), (_, tensors)), key) in got.lists().into_iter().zip(tensors.lists()).zip(keys) {
            check(&format!("{what} {key}"), got, key, tensors);
        }
    };
    each("by hand", &numbers.by_hand, &outputs.by_hand);
    each("autodiff", &numbers.autodiff, &outputs.autodiff);
    // In f64, but with parameters rounded to f32: the gradients' bounds hold that.
    each("differences", &numbers.differences, &outputs.by_hand);
    assert_near("loss", &[numbers.loss], &flat(&expected["loss"]), &bounds(&graph, &[outputs.loss]).concat());
    let printed = golden["checks"][0]["printed"].as_f64().unwrap();
    let allowed = 0.5e-3 + bounds(&graph, &outputs.f[5..])[0][0];
    assert!((numbers.f[5][0] - printed).abs() <= allowed, "the notebook prints {printed}");
    assert_eq!(flat(&expected["net_output"]), flat(&expected["all_f"][5]));

    // The two are the same sums of the same numbers, perhaps in another order.
    let sizes = numbers.by_hand.lists().map(|(_, list)| list.concat().iter().fold(0.0, |m: f64, v| m.max(v.abs())));
    assert!(numbers.from_autodiff.iter().zip(sizes).all(|(d, size)| *d <= 8.0 * ROUNDING * size));
    // A unit of f64 at 327 is 5.7e-14, which the step makes 2.8e-8; each of the two losses may be off by a few.
    assert_eq!(numbers.from_differences.len(), 4);
    assert!(numbers.from_differences.iter().all(|d| *d <= 4.0 * 2.8e-8), "{:?}", numbers.from_differences);
    assert_picture(folder.path(), "backprop.png");
}

/// Compares sizes that f32 holds with golden ones, relative to these.
fn assert_sizes(what: &str, got: &Sizes<f64>, run: &Value, relative: f64) {
    let lists = [
        ("std_hidden_layer_0_to_K_minus_1", got.activations.clone()),
        ("std_dl_df_layer_1_to_K_minus_1", got.gradients.clone()),
        ("output_std", vec![got.output]),
        ("max_abs_hidden", vec![got.largest[0]]),
        ("max_abs_output", vec![got.largest[1]]),
        ("max_abs_gradient", vec![got.largest[2]]),
    ];
    for (key, got) in lists {
        let want = flat(&run[key]);
        let allowed: Vec<f64> = want.iter().map(|w| relative * w.abs()).collect();
        let in_range: Vec<usize> = (0..want.len()).filter(|&k| holds(got[k])).collect();
        let only = |list: &[f64]| in_range.iter().map(|&k| list[k]).collect::<Vec<_>>();
        assert_near(&format!("{what} {key}"), &only(&got), &only(&want), &only(&allowed));
        // What f32 does not hold is near its end or beyond, here: a layer with a deviation of 1e38 has elements of 1e40.
        assert!((0..want.len()).all(|k| holds(got[k]) || want[k] > 1e37), "{what} {key}: {got:?}");
    }
}

fn check_variance(device: Device) {
    let folder = tempfile::tempdir().unwrap();
    let on_reference = device == Device::reference();
    let runs = example::variance::run(&options(device, &folder)).unwrap();
    let golden = golden("udl_gradients_III");
    let find = |k: usize, variance: f64| -> &Run { runs.iter().find(|r| r.k == k && r.variance == variance).unwrap() };
    assert_eq!(runs.len(), 8);

    let all = golden["runs"].as_object().unwrap();
    assert_eq!(all.len(), 4);
    for (name, golden) in all {
        let (k, d) = (golden["K"].as_u64().unwrap() as usize, golden["D"].as_u64().unwrap() as usize);
        let variance = golden["sigma_sq"].as_f64().unwrap();
        let run = find(k, variance);
        // Each layer's sums may be off by (2 + √D)·ε of their terms, and so may the layer's size; errors add up.
        let relative = (k + 1) as f64 * (2.0 + (d as f64).sqrt()) * f64::from(f32::EPSILON);
        assert_sizes(name, &run.device, golden, relative);
        if let Some(exact) = &run.exact {
            // In f64, and with sums of up to 80,000 elements in another order than NumPy's.
            assert_sizes(name, exact, golden, 8e4 * f64::EPSILON);
            assert!(exact.activations.iter().chain(&exact.gradients).all(|v| v.is_finite()));
        }
        if let Some(weights) = golden.get("weights") {
            let network = Network::new(k, d);
            let drawn: Vec<f64> = network.normals.concat().iter().map(|w| w * variance.sqrt()).collect();
            assert_eq!(drawn, flat(weights), "{name}");
            assert_eq!(network.data, flat(&golden["forward_data_in"]));
            assert_eq!(network.data[..100], flat(&golden["backward_data_in"]));
            let (want, size) = (flat(&golden["forward_output"]), golden["max_abs_output"].as_f64().unwrap());
            assert_near(name, &run.outputs, &want, &vec![relative * size; want.len()]);
        }
    }

    // Where f32 ends, with σ² = 1: the activations in their last layer, the gradients everywhere.
    let overflow = find(50, 1.0);
    let fit = |list: &[f64]| list.iter().filter(|v| holds(**v)).count();
    assert_eq!(fit(&overflow.device.gradients), 0);
    assert_eq!(fit(&overflow.device.activations), if on_reference { 50 } else { 49 });

    // The networks are homogeneous: multiplying all weights by c multiplies h_k by c^k and dl/df_k by c^(2K + 1 − k).
    for (k, he) in [(5, 0.25), (50, 0.025)] {
        let base = &find(k, he).device;
        for variance in [0.5 * he, 2.0 * he] {
            let (other, c) = (&find(k, variance).device, (variance / he).sqrt());
            let scaled = |list: &[f64], power: &dyn Fn(usize) -> usize| -> Vec<f64> {
                list.iter().enumerate().map(|(n, v)| v * c.powi(power(n) as i32)).collect()
            };
            let want = scaled(&base.activations, &|layer| layer);
            let wanted_gradients = scaled(&base.gradients, &|n| 2 * k + 1 - (n + 1));
            // √σ² is rounded to f32 in both runs, and each layer multiplies by it.
            let allowed =
                |want: &[f64]| want.iter().map(|w| 4.0 * (2 * k + 1) as f64 * ROUNDING * w).collect::<Vec<_>>();
            assert_near("activations", &other.activations, &want, &allowed(&want));
            assert_near("gradients", &other.gradients, &wanted_gradients, &allowed(&wanted_gradients));
        }
    }
    assert_picture(folder.path(), "variance.png");
}

fn chain_on(device: Device) {
    let folder = tempfile::tempdir().unwrap();
    let numbers = example::chain::run(&options(device.clone(), &folder)).unwrap();
    check_chain(&numbers, &device);
    assert_picture(folder.path(), "differences.png");
}

#[test]
fn chain_on_the_reference() {
    chain_on(Device::reference());
}

#[test]
fn chain_on_the_cpu() {
    chain_on(Device::cpu());
}

#[test]
fn chain_on_a_gpu() {
    match Session::new(Device::gpu()) {
        Ok(_) => chain_on(Device::gpu()),
        Err(Error::Device(message)) if std::env::var_os("WGRAD_REQUIRE_GPU").is_none() => {
            let _ = writeln!(std::io::stderr(), "SKIPPED: {message}");
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn backprop_on_the_reference() {
    check_backprop(Device::reference());
}

#[test]
fn backprop_on_the_cpu() {
    check_backprop(Device::cpu());
}

#[test]
fn variance_on_the_reference() {
    check_variance(Device::reference());
}

#[test]
fn variance_on_the_cpu() {
    check_variance(Device::cpu());
}
