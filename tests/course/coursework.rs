//! Coursework I–III: the settings files, the baseline, short trainings, and what augmentation does.

#[path = "../../examples/coursework/main.rs"]
#[allow(dead_code, unreachable_pub)]
mod example;

use example::common::Options;
use example::samples::{COUNT, Versions, versions};
use example::trainings::{Spread, Trained};
use example::{Group, Plan, file, run_plan};
use std::collections::BTreeSet;
use wgrad::data::npz;
use wgrad::nn::Module;
use wgrad::train::{Config, Model, SetName, Trainer};
use wgrad::{Array, Device};

fn config(name: &str) -> Config {
    Config::from_file(file(name)).unwrap()
}

/// All files of the folder, the baseline first.
fn names() -> Vec<&'static str> {
    std::iter::once("mlp").chain(Plan::default().groups.into_iter().flat_map(|group| group.files)).collect()
}

/// Options on the CPU, for what draws nothing.
fn options(device: Device) -> Options {
    Options::new("coursework", device, "nowhere".into())
}

#[test]
fn every_settings_file_is_a_variant_that_can_be_built() {
    let folder = file("mlp").parent().unwrap().to_path_buf();
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files: BTreeSet<String> = files
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(files, names().into_iter().map(String::from).collect());
    for name in names() {
        let config = config(name);
        config.check().unwrap();
        assert_eq!(config.name, name);
        let model = Model::build(&config, &[40]).unwrap();
        let (units, kernels) = (|i: usize, o: usize| i * o + o, |k: usize, i: usize, o: usize| k * i * o + o);
        // Strided convolutions leave 19, 9 and 4 of 40 positions without padding, and 20, 10 and 5 with two on each side.
        let parameters = match name {
            "wide" => units(40, 200) + units(200, 200) + units(200, 10),
            "deep" => units(40, 100) + 3 * units(100, 100) + units(100, 10),
            "conv" => kernels(3, 1, 15) + 2 * kernels(3, 15, 15) + units(4 * 15, 10),
            "batch_norm" => units(40, 100) + units(100, 100) + units(100, 10) + 2 * 200,
            "best" => kernels(5, 1, 16) + 2 * kernels(5, 16, 16) + 3 * 32 + units(5 * 16, 10),
            _ => units(40, 100) + units(100, 100) + units(100, 10),
        };
        assert_eq!((model.parameter_count(), &model.output[..]), (parameters, &[10][..]), "{name}");
    }
}

/// Each variant of the perceptron differs from the baseline in what its group is about, and in nothing else.
#[test]
fn variants_change_what_they_say() {
    let baseline = config("mlp");
    for group in Plan::default().groups {
        for name in group.files {
            let mut config = config(name);
            let same = baseline.clone();
            config.name = same.name;
            config.data.preset = same.data.preset;
            assert_ne!(config, baseline, "{name}");
            // What the file may change is set back.
            match (group.title, name) {
                (_, "best") => continue,
                ("I. Model", _) | (_, "dropout" | "batch_norm") => config.model = same.model,
                ("II. Training", _) => (config.optimizer, config.schedule) = (same.optimizer, same.schedule),
                (_, "weight_decay") => config.optimizer = same.optimizer,
                (_, "label_smoothing") => config.loss = same.loss,
                (_, "early_stopping") => config.early_stopping = same.early_stopping,
                (_, "ema") => (config.ema_decay, config.schedule) = (same.ema_decay, same.schedule),
                _ => config.data.augment = same.data.augment,
            }
            assert_eq!(config, baseline, "{name}");
        }
    }
}

#[test]
fn the_baseline_is_the_preset() {
    let (mut baseline, mut preset) = (config("mlp"), Config::preset("mlp").unwrap());
    (baseline.data, preset.data) = (baseline.data.resolved(), preset.data.resolved());
    assert_eq!(baseline, preset);
}

/// The first epoch of the baseline with PyTorch's initial weights and order of samples: its losses and errors.
#[test]
fn the_first_epoch_is_pytorchs() {
    let golden = npz::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/training/mlp.npz")).unwrap();
    let values = |name: &str| &golden[name].array.values;
    let config = Config { epochs: 1, shuffle: false, ..config("mlp") };
    let mut data = config.data.load().unwrap();
    let order: Vec<u32> = values("order").iter().map(|&row| row as u32).collect();
    data.train = data.train.select(&order).unwrap();
    let mut trainer = Trainer::new(&config, &data, Device::cpu()).unwrap();
    for (name, variable) in trainer.model().network.parameters() {
        let ty = variable.tensor_type();
        let value = Array::from_f64(ty.shape, values(&format!("init.{name}")), ty.dtype).unwrap();
        trainer.session().write(&variable, &value).unwrap();
    }
    let record = trainer.epoch().unwrap();
    // PyTorch's own float32 run stays within 4e-7 of this float64 run in the first epoch; other orders of summation may do
    // some times worse.
    let drift = 1e-5;
    let losses = values("batch_loss");
    let mean = losses.iter().sum::<f64>() / losses.len() as f64;
    assert!((record.running_loss - mean).abs() <= drift * mean, "{}, golden {mean}", record.running_loss);
    for (set, golden) in [SetName::Train, SetName::Val].iter().zip(values("epoch_stats").chunks(2)) {
        let scores = record.scores.of(*set).unwrap();
        assert!((scores.loss() - golden[0]).abs() <= drift * golden[0], "{}, golden {}", scores.loss(), golden[0]);
        // A sample on the fence may fall to the other side: one in 2,000 is 0.05 %.
        let error = scores.error().unwrap();
        assert!((error - golden[1]).abs() <= 0.11, "{error}, golden {}", golden[1]);
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The rest of a version after the shift and the factor that fit best.
fn rest(found: &Versions, version: &[f32]) -> f64 {
    let n = version.len() as i64;
    let squares = |by: i64| {
        let moved: Vec<f64> = (0..n).map(|at| f64::from(found.original[(at - by).rem_euclid(n) as usize])).collect();
        let pairs = || version.iter().map(|v| f64::from(*v)).zip(&moved);
        let factor = pairs().map(|(v, m)| v * m).sum::<f64>() / moved.iter().map(|m| m * m).sum::<f64>();
        pairs().map(|(v, m)| (v - factor * m).powi(2)).sum::<f64>() / n as f64
    };
    let most = found.augment.shift as i64;
    (-most..=most).map(squares).fold(f64::INFINITY, f64::min)
}

/// Augmented samples have the statistics that the settings ask for, within five standard deviations of each.
fn augmentation(device: Device) {
    let mut settings = config("augment");
    settings.data.num_samples = Some(500);
    let data = settings.data.load().unwrap();
    let augment = settings.data.augment.unwrap();
    let found = versions(&options(device), &augment, &data).unwrap();
    let (n, length) = (COUNT as f64, found.original.len() as f64);
    for all in [&found.shifted, &found.scaled, &found.noisy, &found.all] {
        assert_eq!(all.len(), COUNT);
        assert!(all.iter().all(|version| version.len() == 40));
        assert!(all.iter().any(|version| version != &all[0]));
    }
    // Every version is the original, moved; each of the seven moves is as likely.
    let moves: Vec<i64> = found.moves().into_iter().map(Option::unwrap).collect();
    for by in -3..=3 {
        let count = moves.iter().filter(|&&m| m == by).count() as f64;
        let expected = n / 7.0;
        assert!((count - expected).abs() <= 5.0 * (expected * 6.0 / 7.0).sqrt(), "{count} of {n} are moved by {by}");
    }
    // One factor for a whole version, uniform in 1 ± 0.2. The factor rounds, and each product.
    let factors = found.factors();
    for (version, factor) in found.scaled.iter().zip(&factors) {
        for (scaled, original) in version.iter().zip(&found.original) {
            let exact = f64::from(*original) * factor;
            assert!((f64::from(*scaled) - exact).abs() <= 4.0 * f64::from(f32::EPSILON) * exact.abs());
        }
        assert!((factor - 1.0).abs() <= 0.2 + f64::from(f32::EPSILON), "{factor}");
    }
    let deviation = 0.2 / 3f64.sqrt();
    assert!((mean(&factors) - 1.0).abs() <= 5.0 * deviation / n.sqrt(), "{}", mean(&factors));
    // The tenth of the interval at each end is not missed: 0.9^256 is 2e-12.
    assert!(factors.iter().any(|f| *f < 0.84) && factors.iter().any(|f| *f > 1.16));
    // Normal noise, by itself for each number. A variance estimated from m numbers is off by √(2/m) of itself.
    let (added, m) = (found.added(), n * length);
    assert!(mean(&added).abs() <= 5.0 * 0.2 / m.sqrt(), "{}", mean(&added));
    let squares: Vec<f64> = added.iter().map(|v| v * v).collect();
    assert!((mean(&squares) / 0.04 - 1.0).abs() <= 5.0 * (2.0 / m).sqrt(), "{}", mean(&squares));
    let neighbours: Vec<f64> = added.windows(2).map(|pair| pair[0] * pair[1]).collect();
    assert!(mean(&neighbours).abs() <= 5.0 * 0.04 / m.sqrt(), "{}", mean(&neighbours));
    let beyond = added.iter().filter(|v| v.abs() > 0.2).count() as f64 / m;
    assert!((beyond - 0.3173).abs() <= 5.0 * (0.3173f64 * 0.6827 / m).sqrt(), "{beyond}");
    // All three: what is left after the best shift and factor is the noise; the two take up at most two of 40 numbers.
    let left = mean(&found.all.iter().map(|version| rest(&found, version)).collect::<Vec<_>>()) / 0.04;
    let slack = 5.0 * (2.0 / m).sqrt();
    assert!((1.0 - 2.0 / length - slack..=1.0 + slack).contains(&left), "{left}");
}

#[test]
fn augmentation_on_the_reference() {
    augmentation(Device::reference());
}

#[test]
fn augmentation_on_the_cpu() {
    augmentation(Device::cpu());
}

#[test]
fn short_trainings_improve_as_expected() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options::new("coursework", Device::cpu(), folder.path().into());
    let groups = vec![Group { title: "III. Augmentation", files: vec!["augment", "best"] }];
    let found = run_plan(&options, &Plan { groups, seeds: vec![1, 2], epochs: Some(8) }).unwrap();
    let [augment, best] = &found.groups[0].1[..] else { panic!("two variants") };
    for trained in [&found.baseline, augment, best] {
        assert!(trained.runs.iter().all(|run| run.history.len() == 8), "{}", trained.name);
        assert_eq!((trained.runs.len(), trained.curve(SetName::Val).len()), (2, 8));
        // The seeds are not the same training twice.
        let scores = |run: usize| trained.runs[run].history.last().unwrap().scores.clone();
        assert_ne!(scores(0), scores(1), "{}", trained.name);
        for set in [SetName::Train, SetName::Val, SetName::Test] {
            let Spread { mean, deviation } = trained.error(set);
            assert!((1.0..60.0).contains(&mean) && deviation < 10.0, "{}: {mean} ± {deviation}", trained.name);
        }
    }
    let error = |trained: &Trained, set| trained.error(set).mean;
    let (train, val) = (SetName::Train, SetName::Val);
    // A share of 40 % of a set has a standard error of √(0.24 / rows): 1.1 points of 2,000 validation samples, 0.8 of 4,000
    // training samples. A difference of two, five times over: 7.8 and 5.5 points.
    assert!(error(best, val) < error(&found.baseline, val) - 7.8, "{found:?}");
    // The baseline starts to learn its samples by heart; with augmentation it never sees one twice.
    assert!(error(augment, train) > error(&found.baseline, train) + 5.5, "{found:?}");
    let gap = |trained| error(trained, val) - error(trained, train);
    assert!(gap(augment) < gap(&found.baseline) - 7.8, "{found:?}");
    for name in ["curves", "errors", "samples"] {
        let bytes = std::fs::read(folder.path().join(format!("{name}.png"))).unwrap();
        assert!(bytes.starts_with(b"\x89PNG"), "{name}");
    }
}
