//! The fit loop: the same curve on every device, the same bits twice, partial batches, divergence.
#![allow(clippy::unwrap_used)]

// `writeln!` to stderr is shown by the test runner; `eprintln!` in a passing test is not.
use std::io::Write;
use wgrad::train::{Config, EpochRecord, Metrics, Trainer};
use wgrad::{Array, Device, Error};

/// Convolutions, dropout, a partial last batch, momentum, and a schedule by steps.
const NETWORK: &str = r#"
epochs = 3
batch = 48
seed = 5
[data]
num_samples = 500
[model]
input = [1, 40]
layers = [
    { type = "conv1d", out_channels = 6, kernel_size = 5, stride = 2, padding = 1 },
    { type = "tanh" },
    { type = "dropout", p = 0.25 },
    { type = "conv1d", out_channels = 4, kernel_size = 3, groups = 2 },
    { type = "relu" },
    { type = "flatten" },
    { type = "linear", out_features = 10, weight_init = "xavier_normal" },
]
[loss]
type = "cross_entropy"
label_smoothing = 0.1
[optimizer]
type = "sgd"
lr = 0.05
momentum = 0.8
nesterov = true
[schedule]
type = "cosine"
unit = "step"
warmup = { length = 3 }
"#;

/// The curve and the final parameters.
type Outcome = (Vec<EpochRecord>, Vec<(String, Array)>);

fn val_loss(record: &EpochRecord) -> f64 {
    record.scores.val.as_ref().unwrap().loss()
}

fn train(text: &str, device: Device) -> Option<Outcome> {
    let config: Config = toml::from_str(text).unwrap();
    let data = config.data.load().unwrap();
    let mut trainer = match Trainer::new(&config, &data, device.clone()) {
        Ok(trainer) => trainer,
        Err(Error::Device(message)) if std::env::var_os("WGRAD_REQUIRE_GPU").is_none() => {
            let _ = writeln!(std::io::stderr(), "SKIPPED: training on {device}: {message}");
            return None;
        }
        Err(error) => panic!("{device}: {error}"),
    };
    let records = (0..config.epochs).map(|_| trainer.epoch().unwrap()).collect();
    assert!(trainer.epoch().is_err(), "the run's epochs are done");
    let parameters = trainer.state_dict().unwrap();
    Some((records, parameters))
}

#[test]
fn every_device_gives_the_same_curve() {
    let mut devices = vec![Device::cpu()];
    if cfg!(feature = "gpu") {
        devices.push(Device::gpu());
    }
    let (reference, _) = train(NETWORK, Device::reference()).unwrap();
    for device in devices {
        let Some((curve, _)) = train(NETWORK, device.clone()) else { continue };
        for (got, expected) in curve.iter().zip(&reference) {
            // 27 steps of f32 rounding on losses of size one; the devices draw the same dropout masks.
            let close = |a: f64, b: f64| (a - b).abs() <= 2e-5 * b;
            assert!(
                close(got.scores.train.loss(), expected.scores.train.loss()),
                "{device}: {got:?} is not {expected:?}"
            );
            assert!(close(val_loss(got), val_loss(expected)), "{device}: {got:?} is not {expected:?}");
            assert_eq!(got.lr, expected.lr);
        }
    }
}

#[test]
fn a_seed_gives_the_same_bits_every_time() {
    let mut devices = vec![Device::cpu()];
    if cfg!(feature = "gpu") {
        devices.push(Device::gpu());
    }
    for device in devices {
        let Some((curve, parameters)) = train(NETWORK, device.clone()) else { continue };
        let (again, same) = train(NETWORK, device.clone()).unwrap();
        assert!(curve.iter().zip(&again).all(|(a, b)| a.scores == b.scores), "{device}");
        assert!(parameters == same, "{device}: the parameters differ");
        let (_, other) = train(&NETWORK.replace("seed = 5", "seed = 6"), device).unwrap();
        assert!(parameters != other);
    }
}

/// Training ahead changes when things are done and nothing else: an epoch's record, its state, the test set's score.
#[test]
fn training_ahead_changes_no_bit() {
    let averaged = NETWORK.replace("epochs = 3", "epochs = 3\nema_decay = 0.8");
    let plateau =
        NETWORK.replace("type = \"cosine\"\nunit = \"step\"\nwarmup = { length = 3 }", "type = \"reduce_on_plateau\"");
    for text in [NETWORK, &averaged, &plateau] {
        let config: Config = toml::from_str(text).unwrap();
        let data = config.data.load().unwrap();
        let run = |ahead: bool| {
            let mut trainer = Trainer::new(&config, &data, Device::cpu()).unwrap();
            if ahead {
                trainer.train_ahead().unwrap();
            }
            let mut epochs = Vec::new();
            for _ in 0..config.epochs {
                let record = EpochRecord { seconds: 0.0, ..trainer.epoch().unwrap() };
                epochs.push((record, trainer.state_dict().unwrap(), trainer.test().unwrap()));
            }
            assert!(trainer.epoch().is_err(), "the run's epochs are done");
            assert_eq!(trainer.metrics().unwrap().epochs, config.epochs);
            epochs
        };
        assert!(run(true) == run(false));
    }
}

#[test]
fn a_diverging_run_says_so() {
    let text = NETWORK.replace("lr = 0.05", "lr = 1e30");
    let config: Config = toml::from_str(&text).unwrap();
    let data = config.data.load().unwrap();
    for ahead in [false, true] {
        let mut trainer = Trainer::new(&config, &data, Device::cpu()).unwrap();
        if ahead {
            trainer.train_ahead().unwrap();
        }
        let error = trainer.epoch().unwrap_err();
        assert!(matches!(&error, Error::NotFinite(message) if message.contains("learning rate")), "{error}");
    }
}

/// The three losses on a separable problem, on the CPU.
#[test]
fn every_loss_trains() {
    for loss in ["cross_entropy", "mse", "bce_with_logits"] {
        let text = format!(
            "epochs = 4\nbatch = 50\n[data]\nnum_samples = 500\n[model]\nlayers = [{{ type = \"linear\", out_features = 30 }}, \
             {{ type = \"relu\" }}, {{ type = \"linear\", out_features = 10 }}]\n[loss]\ntype = \"{loss}\"\n[optimizer]\ntype = \
             \"adam\"\nlr = 0.01\n[schedule]\ntype = \"constant\"\n"
        );
        let (curve, _) = train(&text, Device::cpu()).unwrap();
        assert!(curve[3].scores.train.loss() < 0.9 * curve[0].scores.train.loss(), "{loss}: {curve:?}");
    }
}

#[test]
fn the_first_step_is_timed_and_evaluation_may_come_before_it() {
    let mut config: Config = toml::from_str(NETWORK).unwrap();
    config.epochs = 1;
    let data = config.data.load().unwrap();
    let run = |test_first: bool| {
        let mut trainer = Trainer::new(&config, &data, Device::cpu()).unwrap();
        let before = if test_first { trainer.test().unwrap() } else { None };
        let record = trainer.epoch().unwrap();
        (before, record, trainer.test().unwrap(), trainer.metrics().unwrap())
    };
    let (before, record, test, metrics) = run(true);
    let (_, other, other_test, _) = run(false);
    assert!(before.is_some() && before != test && test == other_test, "{before:?} {test:?} {other_test:?}");
    assert_eq!((record.running_loss, record.scores), (other.running_loss, other.scores));
    let first = metrics.first_step_seconds.unwrap();
    assert!(first > 0.0 && first < metrics.setup_seconds + record.seconds, "{metrics:?}");
    // Files of earlier versions do not have it.
    let mut old: serde_json::Value = serde_json::from_str(&metrics.to_json().unwrap()).unwrap();
    old.as_object_mut().unwrap().remove("first_step_seconds").unwrap();
    let old: Metrics = serde_json::from_value(old).unwrap();
    assert_eq!(old, Metrics { first_step_seconds: None, ..metrics });
}
