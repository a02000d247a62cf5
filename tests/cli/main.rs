//! The `wgrad` command as users meet it: the real binary in a temporary folder.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod bench;
mod check;
mod generate;
mod refusals;
mod runs;
#[cfg(feature = "gpu")]
mod tune;

use assert_cmd::Command;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use wgrad::data::npy;

/// The device that is everywhere.
const DEVICE: &str = "cpu";

const SETTINGS: &str = r#"
name = "tiny"
epochs = 2
batch = 20
[data]
num_samples = 200
[model]
layers = [{ type = "linear", out_features = 16 }, { type = "relu" }, { type = "linear", out_features = 10 }]
"#;

/// A temporary folder to run commands in.
struct Place(TempDir);

/// How a command ended.
struct Done {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Place {
    fn new() -> Self {
        let place = Place(tempfile::tempdir().unwrap());
        place.write("tiny.toml", SETTINGS);
        place
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }
    fn wgrad(&self, line: &str) -> Done {
        self.with(&[], line)
    }
    /// As [`Place::wgrad`], with variables of the environment.
    fn with(&self, variables: &[(&str, &str)], line: &str) -> Done {
        let mut command = Command::cargo_bin("wgrad").unwrap();
        command.current_dir(&self.0).envs(variables.iter().copied()).args(line.split(' '));
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Done { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
    /// Runs a command that must succeed, and returns its stdout.
    fn ok(&self, line: &str) -> String {
        let done = self.wgrad(line);
        assert_eq!(done.code, 0, "{line}\n{}", done.stderr);
        done.stdout
    }
    fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.ok(line)).unwrap()
    }
    /// Trains `tiny.toml`; `options` begin with a space.
    fn train(&self, options: &str) -> String {
        self.ok(&format!("train tiny.toml --device {DEVICE}{options}"))
    }
    /// Runs a command that must fail as bad input does: exit code 2, nothing on stdout, an error that says all of `words`.
    fn refuses(&self, line: &str, words: &[&str]) {
        let done = self.wgrad(line);
        assert_eq!(done.code, 2, "{line}\n{}{}", done.stdout, done.stderr);
        assert_eq!(done.stdout, "", "{line}");
        assert!(done.stderr.contains("error: ") && !done.stderr.contains("panicked"), "{line}\n{}", done.stderr);
        for word in words {
            assert!(done.stderr.contains(word), "{line}\n`{word}` is not in: {}", done.stderr);
        }
    }
    fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

const FILES: [&str; 9] = [
    "best.safetensors",
    "checkpoints",
    "config.toml",
    "curves.png",
    "metrics.csv",
    "metrics.json",
    "model.safetensors",
    "preprocessing.json",
    "report.html",
];

/// A data folder that can be trained on.
fn data_folder(place: &Place, name: &str) {
    let folder = place.path(name);
    fs::create_dir(&folder).unwrap();
    let x: Vec<f32> = (0..60).map(|i| (i % 7) as f32 - 3.0).collect();
    npy::write(folder.join("x_train.npy"), &[20, 3], &x).unwrap();
    npy::write(folder.join("y_train.npy"), &[20], &(0..20).map(|i| i % 4).collect::<Vec<i64>>()).unwrap();
}

/// Metrics without what differs from run to run.
fn timeless(mut metrics: Value) -> Value {
    let fields = metrics.as_object_mut().unwrap();
    fields.remove("train_seconds").unwrap();
    fields.remove("setup_seconds").unwrap();
    let first_step = fields.remove("first_step_seconds").unwrap();
    assert!(first_step.as_f64().is_some_and(|seconds| seconds > 0.0), "{first_step}");
    for record in fields["history"].as_array_mut().unwrap() {
        record.as_object_mut().unwrap().remove("seconds").unwrap();
    }
    metrics
}

#[test]
fn help_and_version() {
    let place = Place::new();
    assert!(place.ok("--version").starts_with("wgrad "));
    assert!(place.ok("--help").contains("Examples:"));
    for command in ["train", "eval", "predict", "devices", "dataset mnist1d", "bench", "bench train", "check"] {
        assert!(place.ok(&format!("{command} --help")).contains("Usage: wgrad"), "{command}");
    }
    place.refuses("train --no-such-flag", &["--no-such-flag"]);
    place.refuses("dance", &["dance"]);
}

#[test]
fn a_run_leaves_its_files_and_tells_of_itself() {
    let place = Place::new();
    let done = place.wgrad(&format!("train tiny.toml --device {DEVICE}"));
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(place.names("runs/tiny-1"), FILES);
    for word in ["tiny", "parameters", "validation", "test", "runs/tiny-1", "first step"] {
        assert!(done.stdout.contains(word), "`{word}` is not in: {}", done.stdout);
    }
    let lines: Vec<&str> = done.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[1].starts_with("epoch 2/2  train loss "), "{lines:?}");
    assert!(fs::read(place.path("runs/tiny-1/curves.png")).unwrap().starts_with(b"\x89PNG"));
    place.train("");
    assert_eq!(place.names("runs"), ["tiny-1", "tiny-2"]);
}

#[test]
fn json_is_the_metrics_file_and_the_seed_decides_it() {
    let place = Place::new();
    let stdout = place.train(" --seed 3 --json --out a/b");
    assert_eq!(stdout.trim_end(), fs::read_to_string(place.path("a/b/metrics.json")).unwrap().trim_end());
    let first: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&first["seed"], &first["epochs"], &first["steps"]), (&3.into(), &2.into(), &8.into()));
    assert_eq!(first["history"].as_array().unwrap().len(), 2);
    let again = serde_json::from_str(&place.train(" --seed 3 --json")).unwrap();
    assert_eq!(timeless(first.clone()), timeless(again));
    let model = |run: &str| fs::read(place.path(run).join("model.safetensors")).unwrap();
    assert!(model("a/b") == model("runs/tiny-1"));
    let other = serde_json::from_str(&place.train(" --seed 4 --json")).unwrap();
    assert_ne!(timeless(first)["train_loss"], timeless(other)["train_loss"]);
}

#[test]
fn a_runs_settings_can_be_used_again() {
    let place = Place::new();
    place.train(" --epochs 3 --batch 40 --lr 0.01 --seed 9 --out run");
    let settings = fs::read_to_string(place.path("run/config.toml")).unwrap();
    for line in ["epochs = 3", "batch = 40", "lr = 0.01", "seed = 9", "num_samples = 200", "preset = \"udl\""] {
        assert!(settings.lines().any(|l| l == line), "`{line}` is not in: {settings}");
    }
    let again = place.json(&format!("train run/config.toml --device {DEVICE} --json"));
    assert_eq!(settings, fs::read_to_string(place.path("runs/tiny-1/config.toml")).unwrap());
    let first = serde_json::from_str(&fs::read_to_string(place.path("run/metrics.json")).unwrap()).unwrap();
    assert_eq!(timeless(first), timeless(again));
}

#[test]
fn presets_train() {
    let place = Place::new();
    let metrics = place.json(&format!("train logistic --device {DEVICE} --epochs 1 --json --out run"));
    assert_eq!((&metrics["steps"], &metrics["parameters"]), (&40.into(), &410.into()));
    assert!(metrics["val_error"].as_f64().unwrap() < 90.0);
}

#[test]
fn data_from_a_folder_are_found_from_anywhere() {
    let place = Place::new();
    data_folder(&place, "data");
    place.write("own.toml", "name = \"own\"\nbatch = 5\nepochs = 2\n[data]\ndir = \"data\"\n[model]\nlayers = [{ type = \"linear\", out_features = 4 }]");
    place.ok(&format!("train own.toml --device {DEVICE}"));
    place.ok(&format!("train runs/own-1/config.toml --device {DEVICE}"));
    let metrics = place.json(&format!(
        "train own.toml --data ../{}/data --device {DEVICE} --json",
        place.0.path().file_name().unwrap().to_str().unwrap()
    ));
    assert_eq!((&metrics["val_loss"], &metrics["test_error"]), (&Value::Null, &Value::Null));
    let report = place.json(&format!("eval runs/own-3 --device {DEVICE} --json"));
    assert_eq!((&report["split"], &report["rows"]), (&"train".into(), &20.into()));
    place.refuses(&format!("eval runs/own-1 --split val --device {DEVICE}"), &["no val split", "train"]);
}

#[test]
fn eval_and_predict_agree() {
    let place = Place::new();
    let metrics: Value = serde_json::from_str(&place.train(" --out run --json")).unwrap();
    let report = place.json(&format!("eval run --device {DEVICE} --json"));
    assert_eq!((&report["split"], &report["rows"], &report["run"]), (&"test".into(), &40.into(), &"run".into()));
    let close = |a: &Value, b: &Value| assert!((a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-5, "{a} {b}");
    close(&report["loss"], &metrics["test_loss"]);
    close(&report["error"], &metrics["test_error"]);
    close(&(100.0 - report["accuracy"].as_f64().unwrap()).into(), &report["error"]);
    let val = place.json(&format!("eval run --split val --device {DEVICE} --json"));
    close(&val["error"], &metrics["val_error"]);
    let text = place.ok(&format!("eval run --device {DEVICE}"));
    assert!(text.contains("predicted") && text.contains("recall"), "{text}");

    place.ok("dataset mnist1d --preset udl --samples 200 --out data");
    assert_eq!(place.json(&format!("eval run --data data --device {DEVICE} --json"))["confusion"], report["confusion"]);
    let predict = |kind: &str| {
        let line = format!("predict run --input data/x_test.npy --output {kind}.npy --kind {kind} --device {DEVICE}");
        assert!(place.ok(&line).contains(&format!("{kind}.npy")));
        npy::read(place.path(&format!("{kind}.npy"))).unwrap()
    };
    let (labels, logits, probabilities) = (predict("labels"), predict("logits"), predict("probabilities"));
    assert_eq!(
        (&labels.shape[..], &logits.shape[..], &probabilities.shape[..]),
        (&[40][..], &[40, 10][..], &[40, 10][..])
    );
    assert!(header(&place.path("labels.npy")).contains("<i8") && header(&place.path("logits.npy")).contains("<f4"));
    let truth = npy::read(place.path("data/y_test.npy")).unwrap();
    let mut confusion = vec![vec![0u64; 10]; 10];
    for (&label, &guess) in truth.values.iter().zip(&labels.values) {
        confusion[label as usize][guess as usize] += 1;
    }
    assert_eq!(report["confusion"], serde_json::to_value(confusion).unwrap());
    for (row, &label) in probabilities.values.chunks(10).zip(&labels.values) {
        assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-5);
        assert!(row.iter().all(|&p| p <= row[label as usize]));
    }
    // One sample, as (features,).
    let x = npy::read(place.path("data/x_test.npy")).unwrap();
    npy::write(place.path("one.npy"), &[40], &x.values[..40]).unwrap();
    place.ok(&format!("predict run --input one.npy --output one_label.npy --device {DEVICE}"));
    assert_eq!(npy::read(place.path("one_label.npy")).unwrap().values, labels.values[..1]);
}

fn header(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap()[..128]).into_owned()
}

#[test]
fn the_data_set_is_the_published_one() {
    let place = Place::new();
    let report = place.json("dataset mnist1d --out data --json");
    let shapes: Vec<String> =
        report["files"].as_array().unwrap().iter().map(|f| format!("{} {}", f["dtype"], f["shape"])).collect();
    assert_eq!(shapes, ["\"float64\" [4000,40]", "\"int64\" [4000]", "\"float64\" [1000,40]", "\"int64\" [1000]"]);
    for name in ["x_test", "y_test"] {
        let got = npy::read(place.path(&format!("data/{name}.npy"))).unwrap();
        let expected = npy::read(format!("tests/fixtures/mnist1d/{name}.npy")).unwrap();
        assert_eq!(got.shape, expected.shape);
        assert!(got.values.iter().zip(&expected.values).all(|(a, b)| (a - b).abs() < 1e-9), "{name}");
    }
    let flags = "--preset udl --samples 50 --seed 1 --padding 10 20 --final-seq-length 16 --shuffle-seq --shear-scale 0 \
                 --max-translation 4 --corr-noise-scale 0 --iid-noise-scale 0.1 --scale-coeff 0 --template-len 14";
    let text = place.ok(&format!("dataset mnist1d {flags} --out small"));
    assert_eq!(text.lines().count(), 6);
    assert!(text.contains("[20, 16]") && text.contains("[10]"), "{text}");
    place.refuses("dataset mnist1d --samples 5 --out none", &["num_samples", "5"]);
    place.refuses("dataset mnist1d --train-split -1 --out none", &["train_split"]);
    place.refuses("dataset mnist1d --preset mnist --out none", &["paper", "udl"]);
    assert!(!place.path("none").exists());
}

#[test]
fn devices_are_listed() {
    let place = Place::new();
    let list = place.json("devices --json");
    let names: Vec<&str> = list["devices"].as_array().unwrap().iter().map(|d| d["device"].as_str().unwrap()).collect();
    assert_eq!(names[..2], ["cpu", "reference"]);
    assert!(names[2..].iter().enumerate().all(|(i, name)| *name == format!("gpu:{i}")), "{names:?}");
    assert!(place.ok("devices").lines().any(|line| line.starts_with("reference")));
}

#[cfg(feature = "gpu")]
#[test]
fn the_environment_says_which_apis_there_are() {
    let place = Place::new();
    let run = |backends: &str, line: &str| {
        let mut command = Command::cargo_bin("wgrad").unwrap();
        let output =
            command.current_dir(&place.0).env("WGPU_BACKEND", backends).args(line.split(' ')).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout) + &text(output.stderr))
    };
    let (code, text) = run("gl", "devices");
    assert!(code == Some(0) && !text.contains("(vulkan)") && !text.contains("(metal)"), "{text}");
    let (code, text) = run("none", "check exp --device gpu");
    assert!(code == Some(2) && text.contains("WGPU_BACKEND is `none`"), "{text}");
    let (code, text) = run("none", "check exp --device auto");
    assert!(code == Some(0) && text.contains("device  cpu"), "{text}");
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_is_no_error_and_a_full_disk_is() {
    use std::process::{Command, Stdio};
    let run = |stdout: Stdio| {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("wgrad"));
        command.args(["devices"]).stdout(stdout).stderr(Stdio::piped()).output().unwrap()
    };
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = run(writer.into());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && !stderr.contains("panicked"), "{stderr}");
    if Path::new("/dev/full").exists() {
        let output = run(fs::File::options().write(true).open("/dev/full").unwrap().into());
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && stderr.contains("error: stdout"), "{stderr}");
    }
}

#[test]
fn progress_shows_learning_rates_in_three_digits() {
    let place = Place::new();
    let cosine = "\n[schedule]\ntype = \"cosine\"\n";
    place.write("cosine.toml", &format!("{}{cosine}", SETTINGS.replace("epochs = 2", "epochs = 7")));
    let done = place.wgrad(&format!("train cosine.toml --device {DEVICE} --lr 0.1234567"));
    assert_eq!(done.code, 0, "{}", done.stderr);
    let rates: Vec<&str> = done.stderr.split("  lr ").skip(1).map(|rest| rest.split(' ').next().unwrap()).collect();
    assert_eq!(rates.len(), 7, "{}", done.stderr);
    for rate in rates {
        let digits = rate.split('e').next().unwrap().replace('.', "");
        assert!(digits.trim_start_matches('0').len() <= 3 && rate.parse::<f64>().is_ok(), "{rate}: {}", done.stderr);
    }
}
