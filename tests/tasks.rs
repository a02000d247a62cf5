//! The tasks of `examples/tasks/`, against the same trainings in PyTorch; weights in and out.
#![allow(clippy::unwrap_used)]

#[path = "../examples/make_data.rs"]
mod make_data;

use safetensors::SafeTensors;
use std::path::{Path, PathBuf};
use wgrad::data::{Dataset, Samples};
use wgrad::nn::Module;
use wgrad::train::{Config, Fit, LossConfig, Metric, Model, Monitor, Run, RunFolder, SetName, Task, Trainer};
use wgrad::{Device, Session};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tasks").join(name)
}

fn json(name: &str) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(fixture(name)).unwrap()).unwrap()
}

fn numbers(value: &serde_json::Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// A task's settings with its data, which are made in a temporary folder.
fn task(name: &str) -> (Config, Dataset) {
    let dir = tempfile::tempdir().unwrap();
    match name {
        "houses" => make_data::write_tables(dir.path(), make_data::houses, [480, 120]).unwrap(),
        "rings" => make_data::write_tables(dir.path(), make_data::rings, [400, 200]).unwrap(),
        _ => make_data::write_images(dir.path(), [2000, 500], 28).unwrap(),
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/tasks/{name}.toml"));
    let mut config = Config::from_file(path).unwrap();
    config.data.path = Some(dir.path().to_path_buf());
    let data = config.data.load_as(config.target_kind()).unwrap();
    (config, data)
}

const TASKS: [&str; 4] = ["houses", "rings", "shapes", "autoencoder"];

fn running_loss(trainer: &mut Trainer) -> f64 {
    let state = trainer.state().unwrap();
    state.iter().find(|(variable, _)| variable.name() == "running_loss").unwrap().1.item().unwrap()
}

#[test]
fn the_first_losses_are_pytorchs() {
    let golden = json("tasks.json");
    for name in TASKS {
        let (mut config, data) = task(name);
        config.shuffle = false;
        config.init = Some(fixture(&format!("{name}.safetensors")));
        if name == "shapes" {
            config = config.with("model.layers.4.p", "0.0").unwrap();
        }
        let expected = numbers(&golden[name]["losses"]);
        let mut trainer = Trainer::new(&config, &data, Device::cpu()).unwrap();
        let share = config.batch as f64 / data.train.rows() as f64;
        let mut before = 0.0;
        for (step, expected) in expected.iter().enumerate() {
            trainer.run_step(step as u32).unwrap();
            let after = running_loss(&mut trainer);
            let within = step as u32 % trainer.steps_per_epoch();
            let loss = (after - if within == 0 { 0.0 } else { before }) / share;
            before = after;
            // Roundings grow from step to step; the running sum of an epoch rounds too.
            let allowed = 1e-4 * (1.0 + step as f64) * expected.abs().max(0.01);
            assert!((loss - expected).abs() < allowed, "{name}, step {step}: {loss} is not {expected}");
        }
    }
}

#[test]
fn final_figures_are_within_pytorchs_spread() {
    let golden = json("tasks.json");
    for name in TASKS {
        let (config, data) = task(name);
        let finals = numbers(&golden[name]["finals"]);
        let metric: Metric = Metric::ALL.iter().copied().find(|m| golden[name]["metric"] == m.name()).unwrap();
        let ours: Vec<f64> = (0..3)
            .map(|seed| {
                let config = Config { seed, ..config.clone() };
                let mut trainer = Trainer::new(&config, &data, Device::cpu()).unwrap();
                trainer.train_ahead().unwrap();
                while !trainer.is_finished() {
                    trainer.epoch().unwrap();
                }
                let held_out = trainer.test().unwrap();
                let metrics = trainer.metrics().unwrap();
                held_out.or(metrics.scores.val).unwrap().get(metric).unwrap()
            })
            .collect();
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let squares = |values: &[f64]| values.iter().map(|v| (v - mean(values)).powi(2)).sum::<f64>();
        let count = (ours.len() + finals.len() - 2) as f64;
        let deviation = ((squares(&ours) + squares(&finals)) / count).sqrt();
        // Two means of few seeds each: three standard errors of their difference.
        let error = deviation * (1.0 / ours.len() as f64 + 1.0 / finals.len() as f64).sqrt();
        let (ours, theirs) = (mean(&ours), mean(&finals));
        println!("{name}: {metric} {ours:.5}, PyTorch {theirs:.5}, deviation {deviation:.5}");
        assert!((ours - theirs).abs() <= 3.0 * error, "{name}: {metric} {ours} is not {theirs} ± {error}");
    }
}

const TWO: &str = r#"
    { type = "conv2d", out_channels = 4, kernel_size = 3, padding = 1 },
    { type = "batch_norm2d" },
    { type = "prelu", num_parameters = 4 },
    { type = "group_norm", num_groups = 2 },
    { type = "conv_transpose2d", out_channels = 3, kernel_size = 2, stride = 2 },
    { type = "flatten" },
    { type = "linear", out_features = 5 },
"#;
const ONE: &str = r#"
    { type = "conv1d", out_channels = 4, kernel_size = 3, stride = 2 },
    { type = "batch_norm1d" },
    { type = "conv_transpose1d", out_channels = 6, kernel_size = 2 },
    { type = "layer_norm" },
    { type = "residual", layers = [{ type = "linear", out_features = 8 }, { type = "gelu" }] },
    { type = "rms_norm" },
    { type = "flatten" },
    { type = "linear", out_features = 5 },
"#;
const ROWS: &str = r#"
    { type = "multihead_attention", num_heads = 2 },
    { type = "rnn", hidden_size = 6 },
    { type = "gru", hidden_size = 5, num_layers = 2, bidirectional = true },
    { type = "lstm", hidden_size = 4 },
    { type = "flatten" },
    { type = "linear", out_features = 3 },
"#;
const TABLE: &str = r#"
    { type = "embedding", num_embeddings = 10, embedding_dim = 8 },
    { type = "flatten" },
    { type = "linear", out_features = 2 },
"#;

fn layers(input: &str, layers: &str) -> Config {
    let text = format!("epochs = 1\nbatch = 3\n[model]\ninput = {input}\nlayers = [{layers}]\n");
    toml::from_str(&text).unwrap()
}

/// Names, shapes and types of a `state_dict` that PyTorch wrote, sorted.
fn listed(state: &serde_json::Value) -> Vec<(String, Vec<usize>, String)> {
    let entry = |entry: &serde_json::Value| {
        let shape = numbers(&entry[1]).into_iter().map(|n| n as usize).collect();
        let dtype = if entry[2] == "int64" { "I64" } else { "F32" };
        (entry[0].as_str().unwrap().to_string(), shape, dtype.to_string())
    };
    let mut all: Vec<_> = state.as_array().unwrap().iter().map(entry).collect();
    all.sort();
    all
}

/// A `state_dict` of PyTorch's goes in with nothing missing and nothing left over, gives PyTorch's output, and comes out
/// the same, so that `load_state_dict(strict=True)` takes it.
#[test]
fn weights_go_in_and_come_out_as_in_pytorch() {
    let golden = json("layers.json");
    for (name, input, text) in [("two", "[2, 4, 4]", TWO), ("one", "[2, 16]", ONE)] {
        let golden = &golden[name];
        let mut config = layers(input, text);
        config.init = Some(fixture(&format!("{name}.safetensors")));
        let x: Vec<f32> = numbers(&golden["x"]).into_iter().map(|v| v as f32).collect();
        let sample = config.model.input.clone().unwrap();
        let split = wgrad::data::Split::new(x.clone(), vec![0, 1, 4], sample.clone()).unwrap();
        let data = Dataset::new(split, None, None, 5).unwrap();
        let mut trainer = Trainer::new(&config, &data, Device::cpu()).unwrap();
        let loaded = trainer.state_dict().unwrap();
        trainer.epoch().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(dir.path()).unwrap();
        folder.save_config(&Config { init: None, ..config.clone() }).unwrap();
        folder.save(&mut trainer).unwrap();
        let bytes = std::fs::read(dir.path().join("model.safetensors")).unwrap();
        let saved = SafeTensors::deserialize(&bytes).unwrap();
        let mut found: Vec<(String, Vec<usize>, String)> = saved
            .tensors()
            .iter()
            .map(|(name, view)| (name.clone(), view.shape().to_vec(), format!("{:?}", view.dtype())))
            .collect();
        found.sort();
        assert_eq!(found, listed(&golden["state"]));
        assert_eq!(saved.tensor("1.num_batches_tracked").unwrap().data(), 1i64.to_le_bytes());

        let theirs = std::fs::read(fixture(&format!("{name}.safetensors"))).unwrap();
        let theirs = SafeTensors::deserialize(&theirs).unwrap();
        for (name, value) in &loaded {
            assert_eq!(value.bytes(), theirs.tensor(name).unwrap().data(), "{name}");
        }
        std::fs::copy(fixture(&format!("{name}.safetensors")), dir.path().join("model.safetensors")).unwrap();
        let mut run = Run::load(dir.path(), Device::cpu()).unwrap();
        let outputs = run.predict(&Samples::new(x, sample).unwrap()).unwrap().outputs;
        for (ours, theirs) in outputs.iter().zip(numbers(&golden["y"])) {
            assert!((f64::from(*ours) - theirs).abs() < 2e-5, "{name}: {ours} is not {theirs}");
        }
    }
    for (name, input, text) in [("rows", "[7, 8]", ROWS), ("table", "[4]", TABLE)] {
        let config = layers(input, text);
        let sample = config.model.input.clone().unwrap();
        let state = Model::build(&config, &sample).unwrap().network.state_dict();
        let mut found: Vec<_> =
            state.into_iter().map(|(name, v)| (name, v.tensor_type().shape.to_vec(), "F32".to_string())).collect();
        found.sort();
        assert_eq!(found, listed(&golden[name]["state"]));
    }
}

#[test]
fn weights_that_do_not_fit_are_listed() {
    let config: Config = toml::from_str(
        "[model]\nlayers = [{ type = \"linear\", out_features = 16 }, { type = \"tanh\" }, { type = \"linear\", \
         out_features = 3 }]",
    )
    .unwrap();
    let split = wgrad::data::Split::new(vec![0.5; 200], vec![1; 100], [2]).unwrap();
    let data = Dataset::new(split, None, None, 3).unwrap();
    let with =
        |file: &str, partial: bool| Config { init: Some(fixture(file)), init_partial: partial, ..config.clone() };
    let error = Trainer::new(&with("rings.safetensors", false), &data, Device::cpu()).unwrap_err().to_string();
    for part in
        ["rings.safetensors", "unexpected: `4.bias`, `4.weight`", "of another shape", "`2.bias`", "init_partial"]
    {
        assert!(error.contains(part), "{part}: {error}");
    }
    let mut trainer = Trainer::new(&with("rings.safetensors", true), &data, Device::cpu()).unwrap();
    let bytes = std::fs::read(fixture("rings.safetensors")).unwrap();
    let theirs = SafeTensors::deserialize(&bytes).unwrap();
    let state = trainer.state_dict().unwrap();
    assert_eq!(state[0].1.bytes(), theirs.tensor("0.weight").unwrap().data());
    let error = Trainer::new(&with("shapes.safetensors", true), &data, Device::cpu()).unwrap_err().to_string();
    assert!(error.contains("nothing fits"), "{error}");
}

/// Frozen parameters keep their values; groups have their own rates.
#[test]
fn frozen_parameters_do_not_move() {
    let (config, data) = task("rings");
    let config = config.with("freeze", "[\"0.*\", \"*.bias\"]").unwrap().with("epochs", "1").unwrap();
    let mut trainer = Trainer::new(&config, &data, Device::cpu()).unwrap();
    let before = trainer.model().network.layers()[0].parameters();
    trainer.epoch().unwrap();
    let state = trainer.state_dict().unwrap();
    let value = |name: &str| &state.iter().find(|(other, _)| other == name).unwrap().1;
    assert_eq!(value("0.weight"), before[0].1.initial());
    assert_eq!(value("0.bias"), before[1].1.initial());
    let moved = trainer.model().network.layers()[2].parameters();
    assert_ne!(value("2.weight"), moved[0].1.initial());
    let wrong = config.with("freeze", "[\"9.*\"]").unwrap();
    assert!(Trainer::new(&wrong, &data, Device::cpu()).unwrap_err().to_string().contains("9.*"));
}

/// Every loss trains every task that it suits, and is refused for the others with a list of those that do.
#[test]
fn losses_suit_tasks_or_are_refused() {
    let losses = [
        "cross_entropy",
        "nll",
        "mse",
        "l1",
        "huber",
        "smooth_l1",
        "gaussian_nll",
        "poisson_nll",
        "kl_div",
        "bce_with_logits",
        "bce",
        "soft_margin",
        "hinge",
        "multi_margin",
    ];
    let tasks =
        [Task::Classification, Task::Regression, Task::Binary, Task::Multilabel, Task::Autoencoder, Task::NextToken];
    let x: Vec<f32> = (0..120).map(|i| ((i * 37 % 50) as f32) / 50.0).collect();
    for task in tasks {
        for name in losses {
            let loss: LossConfig = toml::from_str(&format!("type = \"{name}\"")).unwrap();
            let tokens = task == Task::NextToken;
            let numbers = x.iter().map(|v| if tokens { (v * 5.0).floor() } else { *v }).collect();
            let samples = Samples::new(numbers, [3]).unwrap();
            let wide = |bits: bool| {
                let values = x.iter().take(80).map(|v| if bits { v.round() } else { *v }).collect();
                wgrad::data::Targets::Values(Samples::new(values, [2]).unwrap())
            };
            let (targets, outputs, classes) = match task {
                Task::Classification => {
                    (wgrad::data::Targets::Classes(std::sync::Arc::new((0..40).map(|i| i % 3).collect())), 3, 3)
                }
                Task::Regression => (wide(false), 2, 0),
                Task::Multilabel => (wide(true), 2, 0),
                Task::Binary => {
                    (wgrad::data::Targets::Classes(std::sync::Arc::new((0..40).map(|i| i % 2).collect())), 1, 2)
                }
                Task::Autoencoder => (wgrad::data::Targets::None, 3, 0),
                Task::NextToken => (wgrad::data::Targets::None, 5, 5),
            };
            let split = wgrad::data::Split::of(samples, targets).unwrap();
            let data = Dataset::new(split.clone(), Some(split), None, classes).unwrap();
            let outputs = outputs * loss.outputs_per_target();
            let first =
                if tokens { "embedding\", num_embeddings = 5, embedding_dim" } else { "linear\", out_features" };
            let last = if name == "bce" { ", { type = \"sigmoid\" }" } else { "" };
            let last = if name == "nll" || name == "kl_div" { ", { type = \"log_softmax\" }" } else { last };
            let text = format!(
                "task = \"{task}\"\nepochs = 30\nbatch = 10\n[model]\nlayers = [{{ type = \"{first} = 8 }}, \
                 {{ type = \"tanh\" }}, {{ type = \"linear\", out_features = {outputs} }}{last}]\n[loss]\ntype = \
                 \"{name}\"\n[optimizer]\ntype = \"adam\"\nlr = 0.01\n[schedule]\ntype = \"constant\"\n"
            );
            let config: Config = toml::from_str(&text).unwrap();
            let trainer = Trainer::new(&config, &data, Device::cpu());
            if !loss.suits(task) {
                let error = trainer.unwrap_err().to_string();
                assert!(error.contains("loss.type") && error.contains(&task.to_string()), "{error}");
                continue;
            }
            let mut trainer = trainer.unwrap_or_else(|e| panic!("{task} {name}: {e}"));
            let first = trainer.epoch().unwrap();
            let mut last = first.clone();
            while !trainer.is_finished() {
                last = trainer.epoch().unwrap();
            }
            let (before, after) = (first.scores.train.loss(), last.scores.train.loss());
            assert!(after < before, "{task} {name}: {before} to {after}");
            for metric in task.metrics().iter().filter(|m| **m != Metric::TopKError) {
                let monitor = Monitor { set: SetName::Val, metric: *metric };
                // The precision of a network that never says yes is undefined.
                let defined = last.scores.monitored(monitor).is_some() || *metric == Metric::Precision;
                assert!(defined, "{task} {name}: no {monitor}");
            }
        }
    }
}

/// The metrics of a set, computed on the device, are those that follow from the predictions.
#[test]
fn metrics_follow_from_predictions() {
    let (config, data) = task("houses");
    let dir = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(dir.path()).unwrap();
    let config = config.with("epochs", "5").unwrap();
    let metrics = Fit::new(folder, config, &data, || Session::new(Device::cpu())).unwrap().run(&mut |_| {}).unwrap();
    let mut run = Run::load(dir.path(), Device::cpu()).unwrap();
    let val = data.val.as_ref().unwrap();
    let predicted = run.predict(&val.x).unwrap().values;
    let wgrad::data::Targets::Values(targets) = &val.y else { panic!("values") };
    let targets = targets.to_f32().unwrap();
    let errors: Vec<f64> = predicted.iter().zip(&targets).map(|(p, t)| f64::from(p - t)).collect();
    let n = errors.len() as f64;
    let rmse = (errors.iter().map(|e| e * e).sum::<f64>() / n).sqrt();
    let mae = errors.iter().map(|e| e.abs()).sum::<f64>() / n;
    let mean = targets.iter().map(|&t| f64::from(t)).sum::<f64>() / n;
    let spread: f64 = targets.iter().map(|&t| (f64::from(t) - mean).powi(2)).sum();
    let scores = metrics.scores.val.unwrap();
    let close = |metric: Metric, expected: f64| {
        let found = scores.get(metric).unwrap();
        assert!((found - expected).abs() < 1e-4 * expected.abs(), "{metric}: {found} is not {expected}");
    };
    close(Metric::Rmse, rmse);
    close(Metric::Mae, mae);
    close(Metric::R2, 1.0 - rmse * rmse * n / spread);
    let evaluated = run.evaluate(val).unwrap();
    assert!((evaluated.scores.get(Metric::Rmse).unwrap() - rmse).abs() < 1e-4 * rmse);

    let (config, data) = task("shapes");
    let config = config.with("epochs", "1").unwrap().with("top_k", "3").unwrap();
    let mut trainer = Trainer::new(&config, &data, Device::cpu()).unwrap();
    trainer.epoch().unwrap();
    let evaluated = trainer.evaluate(SetName::Test).unwrap().unwrap();
    let total: u64 = evaluated.confusion.iter().flatten().sum();
    let right: u64 = (0..10).map(|k| evaluated.confusion[k][k]).sum();
    assert_eq!(total, 500);
    let error = evaluated.scores.error().unwrap();
    assert!((error - 100.0 * (total - right) as f64 / total as f64).abs() < 1e-9);
    assert!(evaluated.scores.get(Metric::TopKError).unwrap() <= error);
}
