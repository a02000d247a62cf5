//! The table of MNIST-1D: the data are the authors', the networks have their sizes, and a short training gives what their notebook
//! prints.

#[path = "../../examples/mnist1d_table/main.rs"]
#[allow(dead_code, unreachable_pub)]
mod example;

use example::common::Options;
use example::{CHANGES, Data, NETWORKS, Network, Row, Settings};
use std::collections::BTreeSet;
use wgrad::Device;
use wgrad::data::npy;
use wgrad::train::{Config, Trainer};

/// Samples are stored in f32: values of up to 5 are rounded by up to 2.4e-7.
const ROUNDING: f32 = 5e-7;

fn fixture(name: &str) -> Vec<f64> {
    let path = format!("{}/tests/fixtures/mnist1d/{name}", env!("CARGO_MANIFEST_DIR"));
    npy::read(path).unwrap().values
}

#[test]
fn the_data_are_the_authors() {
    let data = Data::load(false).unwrap();
    let test = data.default.test.as_ref().unwrap();
    assert_eq!((data.default.train.rows(), test.rows(), test.features()), (4000, 1000, 40));
    let (x, x_test) = (test.x.to_f32().unwrap(), fixture("x_test.npy"));
    assert_eq!(x.len(), x_test.len());
    assert!(x.iter().zip(&x_test).all(|(a, b)| (a - *b as f32).abs() < ROUNDING));
    let labels: Vec<f64> = test.y.classes().unwrap().iter().map(|&label| f64::from(label)).collect();
    assert_eq!(labels, fixture("y_test.npy"));
    // Accuracy is measured on the test set, and nothing of it is trained on.
    assert_eq!(data.default.val, data.default.test);

    let shuffled = data.shuffled.test.as_ref().unwrap();
    assert_eq!(shuffled.y, test.y);
    let other = shuffled.x.to_f32().unwrap();
    let same = |i: usize, j: usize| (0..1000).all(|row| (other[row * 40 + i] - x[row * 40 + j]).abs() < ROUNDING);
    let from: Vec<usize> = (0..40).map(|i| (0..40).find(|&j| same(i, j)).unwrap()).collect();
    assert_eq!(from.iter().collect::<BTreeSet<_>>().len(), 40, "{from:?}");
    assert!(from.windows(2).filter(|pair| pair[1] == pair[0] + 1).count() < 10, "{from:?}");
}

#[test]
fn settings_are_chosen_on_a_part_of_the_training_set() {
    let (all, held_out) = (Data::load(false).unwrap(), Data::load(true).unwrap());
    for (all, held_out) in [(&all.default, &held_out.default), (&all.shuffled, &held_out.shuffled)] {
        let whole = all.train.x.to_f32().unwrap();
        let (kept, held) = (held_out.train.x.to_f32().unwrap(), held_out.val.as_ref().unwrap().x.to_f32().unwrap());
        assert_eq!((kept.len(), held.len()), (3200 * 40, 800 * 40));
        assert_eq!([kept, held].concat(), whole);
    }
}

/// The numbers of parameters, counted layer by layer.
fn parameters(network: &Network) -> usize {
    let linear = |inputs: usize, outputs: usize| inputs * outputs + outputs;
    let conv = |inputs: usize, outputs: usize, kernel: usize| inputs * outputs * kernel + outputs;
    let norm = |channels: usize| 2 * channels;
    let block = |channels: usize| 2 * (conv(channels, channels, 3) + norm(channels));
    let tcn = |channels: usize| conv(1, channels, 3) + norm(channels) + 3 * block(channels) + linear(channels, 10);
    // Input and hidden weights of three gates, each with its bias, in both directions.
    let gru = 2 * 3 * (linear(1, 6) + linear(6, 6));
    match (network.file, network.label) {
        ("logistic", _) => linear(40, 10),
        ("mlp", _) => linear(40, 100) + linear(100, 100) + linear(100, 10),
        ("mlp_256", _) => linear(40, 256) + linear(256, 256) + linear(256, 10),
        ("cnn", _) => conv(1, 25, 5) + 2 * conv(25, 25, 3) + linear(125, 10),
        ("gru", _) => gru + linear(2 * 6 * 40, 10),
        ("residual", _) => conv(1, 16, 5) + norm(16) + 3 * block(16) + linear(16, 10),
        ("dilated", _) => conv(1, 16, 3) + 3 * conv(16, 16, 3) + 4 * norm(16) + linear(16 * 40, 10),
        ("tcn", _) => tcn(16),
        ("small", "small TCN, no batch norm") => tcn(8) - 7 * norm(8),
        ("small", "small TCN, no average pool") => tcn(8) - linear(8, 10) + linear(8 * 40, 10),
        ("small", _) => tcn(8),
        other => panic!("{other:?}"),
    }
}

#[test]
fn networks_have_the_authors_sizes() {
    let data = Data::load(true).unwrap();
    for network in NETWORKS.iter().chain(CHANGES) {
        let trainer = Trainer::new(&network.config().unwrap(), &data.default, Device::cpu()).unwrap();
        assert_eq!(trainer.model().parameter_count(), parameters(network), "{}", network.label);
    }
    let count = |file: &str| parameters(NETWORKS.iter().find(|network| network.file == file).unwrap());
    // What the authors' program prints.
    assert_eq!(["logistic", "mlp", "cnn", "gru"].map(count), [410, 15210, 5210, 5134]);
}

/// Each file of settings is in a table, and each change changes something.
#[test]
fn settings_files_are_used() {
    let folder = format!("{}/examples/mnist1d_table", env!("CARGO_MANIFEST_DIR"));
    let paths = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let files: BTreeSet<String> = paths
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_string())
        .collect();
    let used: BTreeSet<String> = NETWORKS.iter().chain(CHANGES).map(|network| network.file.to_string()).collect();
    assert_eq!(files, used);
    for network in NETWORKS.iter().chain(CHANGES) {
        let config = Config::from_file(format!("{folder}/{}.toml", network.file)).unwrap();
        config.check().unwrap();
        let is_change = !NETWORKS.iter().any(|other| other.label == network.label) && network.file != "mlp_256";
        assert_eq!(network.config().unwrap() != config, is_change, "{}", network.label);
    }
}

/// A row's accuracy in the end, and that of its only run on shuffled positions, are within `reach` of these.
fn check_accuracy(row: &Row, default: f64, shuffled: f64, reach: f64) {
    for (runs, expected) in [(&row.default, default), (&row.shuffled, shuffled)] {
        let found = runs[0].accuracy;
        assert!((found - expected).abs() < reach, "{}: {found}, expected {expected}", row.network.label);
    }
}

/// After 1,000 steps the authors' notebook (mnist1d-classification, seed 42) prints these test accuracies for its own draw of the
/// initial weights.
#[test]
fn a_short_training_gives_what_the_notebook_prints() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options::new("mnist1d_table", Device::cpu(), folder.path().into());
    let only = ["logistic", "cnn", "small"].map(String::from).to_vec();
    let settings = Settings { seeds: 1, quick: true, only, held_out: false };
    let numbers = example::run(&options, &settings).unwrap();
    let [logistic, cnn, small] = &numbers.rows[..] else { panic!("{}", numbers.rows.len()) };
    assert_eq!((logistic.steps, cnn.steps, small.steps), (1000, 1000, 240));
    // A convex loss: only its last steps differ, by the rate of 0.01. One sample is 0.1.
    check_accuracy(logistic, 32.1, 32.3, 1.0);
    // Seeds differ by 1 to 3 (sample standard deviation of a few), and so do the epochs around the last.
    check_accuracy(cnn, 87.9, 53.3, 6.0);
    // In a quarter of the steps, the deeper network with batch norm is beyond that.
    assert!(small.default[0].accuracy > 85.0 && small.shuffled.is_empty(), "{:?}", small.default[0].accuracy);
    for row in &numbers.rows {
        for run in row.default.iter().chain(&row.shuffled) {
            assert_eq!(run.curve.len() as u32 * 40, row.steps);
            assert_eq!(run.curve.last(), Some(&(f64::from(row.steps), run.accuracy)));
            // The confusion matrix counts the same samples.
            let right: u64 = (0..10).map(|digit| run.confusion[digit][digit]).sum();
            assert_eq!(run.confusion.iter().flatten().sum::<u64>(), 1000);
            assert!((0.1 * right as f64 - run.accuracy).abs() < 1e-3, "{right}, {}", run.accuracy);
        }
    }
    for name in ["data", "curves", "confusion"] {
        let bytes = std::fs::read(folder.path().join(format!("{name}.png"))).unwrap();
        assert!(bytes.starts_with(b"\x89PNG"), "{name}");
    }
    let unknown = Settings { only: vec!["transformer".into()], ..settings };
    let error = example::run(&options, &unknown).unwrap_err().to_string();
    assert!(error.contains("transformer") && error.contains("logistic"), "{error}");
}
