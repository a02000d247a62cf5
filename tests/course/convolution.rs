//! Convolution I–III: convolution by hand and on every device, and the two networks.

#[path = "../../examples/convolution/main.rs"]
#[allow(dead_code, unreachable_pub)]
mod example;

use example::by_hand::{self, Block};
use example::common::Options;
use example::mnist1d::{config, scores};
use serde_json::Value;
use std::path::Path;
use wgrad::train::{Config, SetName, Trainer};
use wgrad::{Device, Error, Session};

/// Half of f32's epsilon: what one rounding may do, relative to the number.
const ROUNDING: f64 = 0.5 * f32::EPSILON as f64;

fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn is_picture(folder: &Path, name: &str) {
    let bytes = std::fs::read(folder.join(format!("{name}.png"))).unwrap();
    assert!(bytes.starts_with(b"\x89PNG"), "{name}");
}

/// The numbers of a nested list, and its shape.
fn numbers(value: &Value) -> (Vec<usize>, Vec<f64>) {
    match value.as_array() {
        None => (Vec::new(), vec![value.as_f64().unwrap()]),
        Some(list) => {
            let parts: Vec<(Vec<usize>, Vec<f64>)> = list.iter().map(numbers).collect();
            let shape = std::iter::once(list.len()).chain(parts[0].0.clone()).collect();
            (shape, parts.into_iter().flat_map(|p| p.1).collect())
        }
    }
}

fn abs(block: &Block) -> Block {
    Block { shape: block.shape.clone(), data: block.data.iter().map(|v| v.abs()).collect() }
}

/// What a sum of `count` products may be off on a device, where `magnitude` is the sum of their absolute values: both factors
/// were rounded to f32, and f32 arithmetic rounds each product and each of up to `count` − 1 sums. The reference
/// computes in f64 and rounds the result.
fn allowed(device: &Device, count: usize, magnitude: f64, value: f64) -> f64 {
    let roundings = if *device == Device::reference() { 2.0 } else { count as f64 + 2.0 };
    // Second-order terms, and the f64 sum itself.
    1.001 * ROUNDING * (roundings * magnitude + value.abs())
}

/// The convolutions and the matrices on a device.
fn kernels(device: &Device) {
    let folder = tempfile::tempdir().unwrap();
    let options = Options::new("convolution", device.clone(), folder.path().into());
    let text = std::fs::read_to_string(fixture("networks/udl_convolution_I.json")).unwrap();
    let golden: Value = serde_json::from_str(&text).unwrap();
    let golden = golden["cases"].as_array().unwrap();
    let cases = example::kernels::cases(&options).unwrap();
    assert_eq!((golden.len(), cases.len()), (4, 10));
    for (case, golden) in cases.iter().zip(golden) {
        let settings = ["stride", "padding"].map(|k| golden[k].as_u64().unwrap() as usize);
        assert_eq!(settings, [case.settings.stride, case.settings.padding], "{}", case.name);
        for (ours, key) in [(&case.input, "input"), (&case.weight, "weight")] {
            // The generator is NumPy's, to the last bit.
            let (shape, data) = numbers(&golden[key]);
            assert_eq!((&ours.shape, &ours.data), (&shape, &data), "{}: {key}", case.name);
        }
        let (shape, expected) = numbers(&golden["expected"]);
        assert_eq!(case.by_hand.shape, shape, "{}", case.name);
        for (ours, expected) in case.by_hand.data.iter().zip(&expected) {
            // Up to 45 products, summed in f64 in another order; the golden's own loops are off by 3.6e-15.
            assert!((ours - expected).abs() < 1e-14 * 45.0, "{}: {ours}, golden {expected}", case.name);
        }
    }
    for case in &cases {
        let conv = if case.input.shape.len() == 3 { by_hand::conv1d } else { by_hand::conv2d };
        let magnitudes = conv(&abs(&case.input), &abs(&case.weight), case.settings);
        let count = case.weight.shape[1..].iter().product();
        assert_eq!(case.device.shape, case.by_hand.shape, "{}", case.name);
        for (k, (ours, exact)) in case.device.data.iter().zip(&case.by_hand.data).enumerate() {
            let allowed = allowed(device, count, magnitudes.data[k], *exact);
            assert!((ours - exact).abs() <= allowed, "{} on {device}: {k} is {ours}, by hand {exact}", case.name);
        }
    }

    let matrices = example::kernels::matrices(&options).unwrap();
    assert_eq!(matrices.iter().map(|m| m.matrix.shape[0]).collect::<Vec<_>>(), [10, 12, 5, 8]);
    for banded in &matrices {
        let (rows, columns) = (banded.matrix.shape[0], banded.matrix.shape[1]);
        let at = |row: usize, column: usize| banded.matrix.data[row * columns + column];
        let [x, z] = &banded.vectors;
        let products = |terms: Vec<f64>| (terms.iter().sum::<f64>(), terms.iter().map(|t| t.abs()).sum::<f64>());
        let forward = (0..rows).map(|p| products((0..columns).map(|i| at(p, i) * x[i]).collect())).collect::<Vec<_>>();
        let back = (0..columns).map(|i| products((0..rows).map(|p| at(p, i) * z[p]).collect())).collect::<Vec<_>>();
        for (ours, exact) in [(&banded.forward, &forward), (&banded.transposed, &back)] {
            for ours in ours {
                assert_eq!(ours.len(), exact.len(), "{}", banded.name);
                for (ours, (exact, magnitude)) in ours.iter().zip(exact) {
                    // At most three entries of a row or column are not 0.
                    let allowed = allowed(device, 3, *magnitude, *exact);
                    assert!((ours - exact).abs() <= allowed, "{} on {device}: {ours}, exact {exact}", banded.name);
                }
            }
        }
    }
    ["signals", "matrix"].iter().for_each(|name| is_picture(folder.path(), name));
}

#[test]
fn kernels_on_the_reference() {
    kernels(&Device::reference());
}

#[test]
fn kernels_on_the_gpu() {
    match Session::new(Device::gpu()) {
        Ok(_) => kernels(&Device::gpu()),
        Err(Error::Device(message)) if std::env::var_os("WGRAD_REQUIRE_GPU").is_none() => {
            eprintln!("SKIPPED: gpu: {message}");
        }
        Err(error) => panic!("{error}"),
    }
}

/// The first epoch of the preset with PyTorch's initial weights and order of samples: its losses and errors.
fn first_epoch(device: &Device) {
    let golden = wgrad::data::npz::read(fixture("training/cnn.npz")).unwrap();
    let values = |name: &str| &golden[name].array.values;
    let config = Config { epochs: 1, shuffle: false, ..config().unwrap() };
    let mut data = config.data.load().unwrap();
    let order: Vec<u32> = values("order").iter().map(|&row| row as u32).collect();
    data.train = data.train.select(&order).unwrap();
    let mut trainer = Trainer::new(&config, &data, device.clone()).unwrap();
    for (name, variable) in wgrad::nn::Module::parameters(&trainer.model().network) {
        let ty = variable.tensor_type();
        let value = wgrad::Array::from_f64(ty.shape, values(&format!("init.{name}")), ty.dtype).unwrap();
        trainer.session().write(&variable, &value).unwrap();
    }
    let record = trainer.epoch().unwrap();

    // PyTorch's own float32 run stays within 4e-7 of this float64 run in the first epoch; other orders of summation may do
    // some times worse. What the reference computes in f64 is rounded to f32 when it is read.
    let drift = if *device == Device::reference() { 4.0 * ROUNDING } else { 1e-5 };
    let losses = values("batch_loss");
    let mean = losses.iter().sum::<f64>() / losses.len() as f64;
    assert!((record.running_loss - mean).abs() <= drift * mean, "{}, golden {mean}", record.running_loss);
    let ours = [SetName::Train, SetName::Val].map(|set| scores(&record, set));
    for ((loss, error), golden) in ours.iter().zip(values("epoch_stats").chunks(2)) {
        assert!((loss - golden[0]).abs() <= drift * golden[0], "{device}: loss {loss}, golden {}", golden[0]);
        // A sample on the fence may fall to the other side: one in 2,000 is 0.05 %.
        let fence = if *device == Device::reference() { 1e-9 } else { 0.11 };
        assert!((error - golden[1]).abs() <= fence, "{device}: error {error}, golden {}", golden[1]);
    }
    for (name, value) in trainer.state_dict().unwrap() {
        let golden = values(&format!("after.{name}"));
        let largest = golden.iter().map(|v| v.abs()).fold(0.0, f64::max);
        for (ours, golden) in value.to_f64().iter().zip(golden) {
            assert!((ours - golden).abs() <= drift * largest, "{device}: {name} is {ours}, golden {golden}");
        }
    }
}

#[test]
fn the_first_epoch_is_pytorchs() {
    first_epoch(&Device::reference());
    first_epoch(&Device::cpu());
}

/// The whole example. The trainings take a minute on the reference, so only the CPU runs them.
#[test]
fn everything_on_the_cpu() {
    kernels(&Device::cpu());
    let folder = tempfile::tempdir().unwrap();
    let found = example::run(&Options::new("convolution", Device::cpu(), folder.path().into())).unwrap();

    let trained = &found.mnist1d;
    assert_eq!((trained.parameters, trained.history.len()), (2050, 50));
    // PyTorch's errors over five seeds, mean ± standard deviation: 13.81 ± 2.10 % (validation) and 14.18 ± 1.70 % (test).
    // Another seed is another draw from the same distribution: within three deviations. Of the training error the
    // mean is known, 6.15 %; a network that memorises or does not learn is far from it.
    for (ours, mean, deviation) in
        [(trained.val_error, 13.81, 2.10), (trained.test_error, 14.18, 1.70), (trained.train_error, 6.15, 2.10)]
    {
        assert!((ours - mean).abs() <= 3.0 * deviation, "{ours} %, PyTorch {mean} %");
    }

    let network = &found.network;
    assert_eq!(network.parameters, 9 * 25 + 9 + 16 * 9 * 9 + 16 + 64 * 4 + 4);
    assert!(network.test_accuracy > 95.0 && network.train_accuracy > 95.0, "{network:?}");
    assert!(network.history[24].0 < 0.2 * network.history[0].0, "{:?}", network.history);
    assert_eq!(network.history[24].1, network.test_accuracy);
    // Forty held-out images of each class, and each prediction counted once.
    assert!(network.confusion.iter().all(|row| row.iter().sum::<f64>() == 40.0), "{:?}", network.confusion);
    let labels = example::images::generate(160, 2).labels;
    for (class, row) in network.confusion.iter().enumerate() {
        for (predicted, count) in row.iter().enumerate() {
            let is_it = |(label, p): (&u32, &usize)| *label as usize == class && *p == predicted;
            assert_eq!(labels.iter().zip(&network.predictions).filter(|pair| is_it(*pair)).count() as f64, *count);
        }
    }
    let right: f64 = (0..4).map(|k| network.confusion[k][k]).sum();
    assert!((100.0 * right / 160.0 - network.test_accuracy).abs() < 1e-9);

    for name in ["signals", "matrix", "mnist1d-samples", "mnist1d-curves", "images", "network"] {
        is_picture(folder.path(), name);
    }
}
