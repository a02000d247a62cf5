//! The four hand-written networks: every number of the goldens, from the example, on the reference, the CPU and a GPU.
//!
//! The networks are computed a second time here, in plain Rust ([`Twin`]), which says what a tolerance must be:
//! - in f64 from the exact start values it must give the goldens to [`TIGHT`]: so it is the same network;
//! - the reference computes in f64 too, but its start values and data are f32, and so are the results it returns. It may be off by what
//!   the twin is off with rounded start values, and by one rounding;
//! - a device rounds every operation, and how far that drifts over thousands of updates is a property of the network. It may be off by
//!   [`MARGIN`] times what the twin is off with every operation rounded to f32, as in `tests/networks.rs`.

#[path = "../common/mod.rs"]
#[allow(unused_imports, unused_macros)]
mod common;
#[path = "../../examples/hand_written/main.rs"]
#[allow(dead_code, unreachable_pub)]
mod example;
#[path = "hand_written_twin.rs"]
mod twin;

use common::{distance, json, largest, numbers};
use example::common::Options;
use example::{cross_entropy, per_sample, three_four_one, xor};
use serde_json::Value as Json;
use std::path::Path;
use twin::{Loss, Rounding, Seen, Twin};
use wgrad::Device;

/// f64 sums in another order than the golden's, over up to 10,000 updates.
const TIGHT: f64 = 1e-10;
/// A device's drift in units of the twin's: its operations are off by more than the half unit of correct rounding (WGSL grants `exp`
/// 3 + 2|x| units).
const MARGIN: f64 = 16.0;
const EPSILON: f64 = f32::EPSILON as f64;

/// Numbers with what they are.
type Named = Vec<(String, Vec<f64>)>;

/// The numbers of the example on a device against the golden ones.
fn compare(device: &Device, what: &str, golden: &Named, got: &Named, twin: impl Fn(Rounding) -> Named) {
    let exact = twin(Rounding::Nowhere);
    let near = twin(if *device == Device::reference() { Rounding::Start } else { Rounding::Everywhere });
    for named in [&exact, &near, got] {
        let names = |named: &Named| named.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!(names(named), names(golden), "{what}");
    }
    let mut worst = 0f64;
    for (k, (name, want)) in golden.iter().enumerate() {
        let size = largest(want).max(1e-3);
        let off = distance(&exact[k].1, want);
        assert!(off <= TIGHT * size, "{what}, {name}: the twin is off by {off:e}");
        let drift = distance(&near[k].1, want);
        let allowed = if *device == Device::reference() {
            drift + (TIGHT + EPSILON) * size
        } else {
            MARGIN * (drift + EPSILON * size)
        };
        let error = distance(&got[k].1, want);
        assert!(error <= allowed, "{what}, {name}: off by {error:e}, allowed {allowed:e} on {device}");
        worst = worst.max(error / allowed);
    }
    eprintln!("{what} on {device}: worst {worst:.3} of what is allowed, {} kinds of numbers", golden.len());
}

fn list(value: &Json) -> Vec<f64> {
    numbers(value).1
}

fn named<const N: usize>(entries: [(&str, Vec<f64>); N]) -> Named {
    entries.map(|(name, values)| (name.to_string(), values)).to_vec()
}

const XOR_NAMES: [&str; 4] = ["W1", "W2", "b0", "b1"];

fn check_xor(device: &Device, what: &str, sign: f64, training: &xor::Training) {
    let json = json("networks/seed000_xor.json");
    let (inputs, expected) = (&json["inputs"], &json[what]);
    let (epochs, rate) = (json["hyper"]["epochs"].as_u64().unwrap(), json["hyper"]["lr"].as_f64().unwrap());
    let terms = ["W1", "dL_times_sign_W2", "b0", "b1"].map(|k| list(&expected["first_step_terms_before_lr"][k]));
    let log: Vec<(u64, f64, Vec<f64>)> = expected["log"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["epoch"].as_u64().unwrap(), entry["half_sum_sq"].as_f64().unwrap(), list(&entry["y_pred"])))
        .collect();
    let all = |terms: &[Vec<f64>], log: &[(u64, f64, Vec<f64>)], parameters: &[Vec<f64>]| -> Named {
        let of = |kind: &str, values: &[Vec<f64>]| -> Named {
            XOR_NAMES.iter().zip(values).map(|(name, v)| (format!("{kind} {name}"), v.clone())).collect()
        };
        let entries = log.iter().flat_map(|(epoch, loss, outputs)| {
            [(format!("loss of epoch {epoch}"), vec![*loss]), (format!("outputs of epoch {epoch}"), outputs.clone())]
        });
        [of("first", terms), entries.collect(), of("final", parameters)].concat()
    };
    let mut golden = all(&terms, &log, &XOR_NAMES.map(|k| list(&expected[k])));
    golden.push(("last forward pass".into(), list(&expected["y_pred_last_forward"])));

    let entries: Vec<_> = training.log.iter().map(|e| (u64::from(e.epoch), e.loss, e.outputs.clone())).collect();
    let mut got = all(&training.first_terms, &entries, &training.parameters);
    got.push(("last forward pass".into(), entries[entries.len() - 1].2.clone()));
    let twin = |rounding| {
        let layers = [(&inputs["W1"], Some(&inputs["b0"])), (&inputs["W2"], Some(&inputs["b1"]))];
        let mut twin = Twin::new(&inputs["X"], &inputs["y"], &layers, (Loss::HalfSquares, sign * rate), rounding);
        let (mut terms, mut entries, mut last) = (Vec::new(), Vec::new(), Vec::new());
        for epoch in 0..epochs {
            let seen = twin.step(0..4);
            if epoch == 0 {
                let [(w1, b0), (w2, b1)] = &seen.gradients[..] else { unreachable!() };
                terms = [w1, w2, b0, b1].map(|g| g.iter().map(|v| -v).collect()).to_vec();
            }
            if log.iter().any(|entry| entry.0 == epoch) {
                entries.push((epoch, seen.losses.iter().sum(), seen.outputs.clone()));
            }
            last = seen.outputs;
        }
        let mut all = all(&terms, &entries, &[twin.weight(0), twin.weight(1), twin.bias(0), twin.bias(1)]);
        all.push(("last forward pass".into(), last));
        all
    };
    compare(device, &format!("xor, {what}"), &golden, &got, twin);
}

fn check_three_four_one(device: &Device, numbers: &three_four_one::Numbers) {
    let json = json("networks/seed001_341.json");
    let (inputs, expected) = (&json["inputs"], &json["expected"]);
    let all =
        |initial: &[f64], gradients: [&[f64]; 2], losses: &[f64], last: &[f64], weights: [&[f64]; 2], after: &[f64]| {
            named([
                ("initial output", initial.to_vec()),
                ("gradient of weight1", gradients[0].to_vec()),
                ("gradient of weight2", gradients[1].to_vec()),
                ("first losses", losses[..20].to_vec()),
                ("every 100th loss", losses.iter().copied().step_by(100).collect()),
                ("last loss", vec![losses[losses.len() - 1]]),
                ("last output", last.to_vec()),
                ("weight1", weights[0].to_vec()),
                ("weight2", weights[1].to_vec()),
                ("output after training", after.to_vec()),
                ("output for 1 0 1", vec![after[2]]),
            ])
        };
    let of = |name: &str| (name.to_string(), list(&expected[name]));
    let names = ["initial_output", "grad_weight1_iter0", "grad_weight2_iter0", "losses_first_20", "loss_every_100"];
    let more = [
        "loss_last",
        "output_iter_999",
        "final_weight1",
        "final_weight2",
        "output_after_all",
        "output_after_for_1_0_1",
    ];
    let mut golden: Named = names.iter().chain(&more).map(|name| of(name)).collect();
    let n = numbers;
    let got = all(
        &n.initial_output,
        [&n.first_gradients[0], &n.first_gradients[1]],
        &n.losses,
        &n.last_output,
        [&n.weights[0], &n.weights[1]],
        &n.output,
    );
    golden.iter_mut().zip(&got).for_each(|(golden, got)| golden.0.clone_from(&got.0));
    let iterations = json["hyper"]["iterations"].as_u64().unwrap();
    assert_eq!(n.losses.len() as u64, iterations);
    let twin = |rounding| {
        let layers = [(&inputs["weight1"], None), (&inputs["weight2"], None)];
        let rate = json["hyper"]["lr"].as_f64().unwrap();
        let mut twin = Twin::new(&inputs["x"], &inputs["y"], &layers, (Loss::HalfSquares, rate), rounding);
        let seen: Vec<Seen> = (0..iterations).map(|_| twin.step(0..4)).collect();
        let losses: Vec<f64> = seen.iter().map(|s| s.losses.iter().sum()).collect();
        let [first, .., last] = &seen[..] else { unreachable!() };
        let gradients = [&first.gradients[0].0[..], &first.gradients[1].0];
        all(&first.outputs, gradients, &losses, &last.outputs, [&twin.weight(0), &twin.weight(1)], &twin.outputs())
    };
    compare(device, "3-4-1", &golden, &got, twin);
}

fn check_cross_entropy(device: &Device, numbers: &cross_entropy::Numbers) {
    let json = json("networks/seed002_xor_bce.json");
    let (inputs, expected) = (&json["inputs"], &json["expected"]);
    let names = ["W1", "b1", "W2", "b2"];
    let all = |initial: &[f64], gradients: &[Vec<f64>], losses: &[f64], parameters: &[Vec<f64>], output: &[f64]| {
        let of = |kind: &str, values: &[Vec<f64>]| -> Named {
            names.iter().zip(values).map(|(name, v)| (format!("{kind} {name}"), v.clone())).collect()
        };
        let mut all = named([("initial output", initial.to_vec()), ("output after training", output.to_vec())]);
        all.extend(losses.iter().enumerate().map(|(k, &loss)| (format!("loss of epoch {k}"), vec![loss])));
        all.extend(
            losses.iter().step_by(20).enumerate().map(|(k, &loss)| (format!("loss {k} of every 20th"), vec![loss])),
        );
        [all, of("gradient of", gradients), of("final", parameters)].concat()
    };
    let (losses, last) = (list(&expected["losses_all_140"]), &expected["final"]);
    assert_eq!(list(&expected["losses_every_20"]), losses.iter().copied().step_by(20).collect::<Vec<_>>());
    let gradients = names.map(|k| list(&expected["gradients_0"][format!("d{k}")]));
    let golden =
        all(&list(&expected["y_hat_0"]), &gradients, &losses, &names.map(|k| list(&last[k])), &list(&last["y_hat"]));
    let n = numbers;
    let got = all(&n.initial_output, &n.first_gradients, &n.losses, &n.parameters, &n.output);
    // The goldens hold what one unit takes from each input in a row, the twin in a column.
    let turned = |value: &Json| {
        let (shape, data) = common::numbers(value);
        Json::from(
            (0..shape[1]).map(|j| (0..shape[0]).map(|i| data[i * shape[1] + j]).collect()).collect::<Vec<Vec<f64>>>(),
        )
    };
    let turned_back = |flat: &[f64], outputs: usize| -> Vec<f64> {
        (0..outputs).flat_map(|j| flat.iter().copied().skip(j).step_by(outputs)).collect()
    };
    let twin = |rounding| {
        let (w1, w2) = (turned(&inputs["W1"]), turned(&inputs["W2"]));
        let layers = [(&w1, Some(&inputs["b1"])), (&w2, Some(&inputs["b2"]))];
        let rate = json["hyper"]["alpha"].as_f64().unwrap();
        let mut twin = Twin::new(&inputs["X"], &inputs["y"], &layers, (Loss::CrossEntropy, rate), rounding);
        let seen: Vec<Seen> = (0..losses.len()).map(|_| twin.step(0..4)).collect();
        let sums: Vec<f64> = seen.iter().map(|s| s.losses.iter().sum()).collect();
        let [(dw1, db1), (dw2, db2)] = &seen[0].gradients[..] else { unreachable!() };
        let gradients = [turned_back(dw1, 2), db1.clone(), turned_back(dw2, 1), db2.clone()];
        let parameters = [turned_back(&twin.weight(0), 2), twin.bias(0), turned_back(&twin.weight(1), 1), twin.bias(1)];
        all(&seen[0].outputs, &gradients, &sums, &parameters, &twin.outputs())
    };
    compare(device, "xor, cross-entropy", &golden, &got, twin);
    // Sums and products of small integers: exact in f32.
    assert_eq!(n.by_hand, list(&json["handmade_relu_xor"]["output"]));
    assert_eq!(n.by_hand, list(&inputs["y"]));
}

/// A training sample by sample: the golden one where there is one, the twin's otherwise.
fn check_per_sample(
    device: &Device,
    what: &str,
    golden: Option<&Json>,
    training: &per_sample::Training,
    twin: impl Fn(Rounding) -> Twin,
) {
    let all = |gradients: &[Vec<f64>], losses: &[f64], weights: &[Vec<f64>], predictions: &[f64]| {
        let of = |kind: &str, values: &[Vec<f64>]| -> Named {
            values.iter().enumerate().map(|(k, v)| (format!("{kind} weight {k}"), v.clone())).collect()
        };
        let mut all = named([
            ("first 21 losses", losses[..21].to_vec()),
            ("first losses", losses[..50].to_vec()),
            ("last pass", losses[losses.len() - predictions.len()..].to_vec()),
            ("predictions", predictions.to_vec()),
        ]);
        let printed = losses.iter().skip(4_999).step_by(5_000).enumerate();
        all.extend(printed.map(|(k, &loss)| (format!("loss of sample {}", 5_000 * (k + 1)), vec![loss])));
        [all, of("first gradient of", gradients), of("final", weights)].concat()
    };
    let t = training;
    let passes = t.passes;
    let run = |rounding| {
        let mut twin = twin(rounding);
        let samples = twin.rows.len();
        let (mut gradients, mut losses) = (Vec::new(), Vec::new());
        for k in 0..passes * samples {
            let row = k % samples;
            let seen = twin.step(row..row + 1);
            if k == 0 {
                gradients = seen.gradients.iter().map(|g| g.0.clone()).collect();
            }
            losses.push(seen.losses[0]);
        }
        all(&gradients, &losses, &[0, 1, 2].map(|k| twin.weight(k)), &twin.outputs())
    };
    let got = all(&t.first_gradients, &t.losses, &t.weights, &t.predictions);
    let printed: Vec<(usize, f64)> =
        t.losses.iter().copied().enumerate().skip(4_999).step_by(5_000).map(|(k, v)| (k + 1, v)).collect();
    assert_eq!(t.printed, printed, "{what}");
    let want = match golden {
        None => run(Rounding::Nowhere),
        Some(golden) => {
            // Integers: the same on every device. The largest losses of the last two passes are 3.8e-5 or more from the threshold; where
            // they are that near, the tolerance of a device is 2e-6.
            assert_eq!(passes as u64, golden["passes"].as_u64().unwrap(), "{what}");
            assert_eq!(t.losses.len() as u64, golden["samples_seen"].as_u64().unwrap(), "{what}");
            assert_eq!(t.accuracy, golden["accuracy"].as_f64().unwrap(), "{what}");
            let three = |key: &str| [0, 1, 2].map(|k| list(&golden[key][k]));
            let (first, last) = (list(&golden["first_losses"]), list(&golden["last_pass_losses"]));
            let mut want = named([
                ("first 21 losses", first[..21].to_vec()),
                ("first losses", first),
                ("last pass", last),
                ("predictions", list(&golden["predictions"])),
            ]);
            for entry in golden["printed_every_5000"].as_array().unwrap() {
                want.push((format!("loss of sample {}", entry[0]), vec![entry[1].as_f64().unwrap()]));
            }
            let names = ["first gradient of", "final"].into_iter().zip(["grads_first_sample", "final_weights"]);
            for (name, key) in names {
                want.extend(three(key).into_iter().enumerate().map(|(k, v)| (format!("{name} weight {k}"), v)));
            }
            want
        }
    };
    compare(device, what, &want, &got, run);
}

fn check_all(device: &Device) {
    let folder = tempfile::tempdir().unwrap();
    let options = Options::new("hand_written", device.clone(), folder.path().into());
    let numbers = example::run(&options).unwrap();
    check_xor(device, "expected_as_printed", -1.0, &numbers.xor.ascent);
    check_xor(device, "expected_with_correct_sign", 1.0, &numbers.xor.descent);
    check_three_four_one(device, &numbers.three_four_one);
    check_cross_entropy(device, &numbers.cross_entropy);

    let json = json("networks/seed004_xor_easy.json");
    let rate = json["hyper"]["lr"].as_f64().unwrap();
    let twin = |x: &Json, y: &Json, init: &Json, loss, rounding| {
        Twin::new(x, y, &[(&init[0], None), (&init[1], None), (&init[2], None)], (loss, rate), rounding)
    };
    let runs = json["runs"].as_object().unwrap();
    assert_eq!(runs.len(), numbers.per_sample.xor_easy.len());
    let inputs = &json["inputs"];
    for (name, training) in &numbers.per_sample.xor_easy {
        let loss = if name.starts_with("mse1") { Loss::SquaresWithoutTwo } else { Loss::Squares };
        let run = &runs[name];
        check_per_sample(device, name, Some(run), training, |r| {
            twin(&inputs["X"], &inputs["Y"], &run["init"], loss, r)
        });
    }
    // The second set of data has no golden numbers: its points are checked, and its training is the twin's.
    let data = per_sample::line();
    assert!(data.len() == 100 && data.iter().all(|d| d[2] == f64::from(d[0] <= d[1])));
    let column = |columns: std::ops::Range<usize>| {
        Json::from(data.iter().map(|d| d[columns.clone()].to_vec()).collect::<Vec<_>>())
    };
    let (x, y) = (column(0..2), column(2..3));
    let linear = &numbers.per_sample.linear;
    check_per_sample(device, "linear", None, linear, |r| twin(&x, &y, &runs["mse2_seed0"]["init"], Loss::Squares, r));
    let right = linear.predictions.iter().zip(&data).filter(|(p, d)| (**p > 0.5) == (d[2] == 1.0)).count();
    assert!(linear.accuracy == right as f64 / 100.0 && linear.accuracy >= 0.95, "{}", linear.accuracy);

    for name in ["xor-curves", "xor-maps", "three-four-one-curves", "three-four-one-maps", "three-four-one-boundary"] {
        check_picture(folder.path(), name);
    }
    for name in
        ["cross-entropy-curves", "cross-entropy-maps", "per-sample-curves", "per-sample-maps", "per-sample-boundary"]
    {
        check_picture(folder.path(), name);
    }
}

/// A PNG file is there; it is animated if it shows how a boundary moves.
fn check_picture(folder: &Path, name: &str) {
    let bytes = std::fs::read(folder.join(format!("{name}.png"))).unwrap();
    assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n"), "{name}");
    assert_eq!(bytes.windows(4).any(|w| w == b"acTL"), name.ends_with("-boundary"), "{name}");
    assert!(bytes.len() < 500_000, "{name} takes {} bytes", bytes.len());
}

#[test]
fn reference() {
    check_all(&Device::reference());
}

#[test]
fn cpu() {
    check_all(&Device::cpu());
}

#[test]
fn three_four_one_on_a_gpu() {
    let device = Device::gpu();
    let Some(mut session) = common::open(&device) else { return };
    let folder = tempfile::tempdir().unwrap();
    let options = Options::new("hand_written", device.clone(), folder.path().into());
    let numbers = three_four_one::run(&options, &mut session).unwrap();
    check_three_four_one(&device, &numbers);
    check_picture(folder.path(), "three-four-one-boundary");
}
