//! What is wrong comes back as a clear error with exit code 2, and nothing is lost.

use super::{DEVICE, FILES, Place, SETTINGS, data_folder};
use serde_json::Value;
use std::fs;
use std::path::Path;
use wgrad::data::npy;

#[test]
fn predict_refuses_what_is_no_sample() {
    let place = Place::new();
    place.train(" --out run");
    let npy = |name: &str, shape: &[usize], values: &[f32]| npy::write(place.path(name), shape, values).unwrap();
    npy("good.npy", &[2, 40], &[0.5; 80]);
    npy("flipped.npy", &[40, 3], &[0.5; 120]);
    npy("wide.npy", &[3, 41], &[0.5; 123]);
    npy("nan.npy", &[1, 40], &[f32::NAN; 40]);
    npy::write(place.path("huge.npy"), &[1, 40], &[1e300; 40]).unwrap();
    let bytes = fs::read(place.path("good.npy")).unwrap();
    fs::write(place.path("short.npy"), &bytes[..bytes.len() - 4]).unwrap();
    place.write("text.npy", "not an array");
    fs::copy("tests/fixtures/npy/bad_complex.npy", place.path("complex.npy")).unwrap();
    let cases: [(&str, &[&str]); 8] = [
        ("missing", &["missing.npy"]),
        ("short", &["truncated"]),
        ("text", &["not a .npy file"]),
        ("complex", &["complex.npy"]),
        ("flipped", &["[40, 3]", "[N, 40]", "transpose"]),
        ("wide", &["[3, 41]", "[N, 40]"]),
        ("nan", &["NaN", "finite"]),
        ("huge", &["too large"]),
    ];
    for (name, words) in cases {
        place.refuses(&format!("predict run --input {name}.npy --output out.npy --device {DEVICE}"), words);
    }
    assert!(!place.path("out.npy").exists());
    let to = |output: &str| format!("predict run --input good.npy --output {output} --device {DEVICE}");
    place.refuses(&to("no/such/out.npy"), &["no/such"]);
    place.refuses(&to("tiny.toml/out.npy"), &["tiny.toml"]);
    place.refuses(&to("run"), &["folder"]);
    place.refuses(&format!("predict nowhere --input good.npy --output out.npy --device {DEVICE}"), &["nowhere"]);
}

#[test]
fn bad_settings_are_refused_before_anything_is_made() {
    let place = Place::new();
    let train = |rest: &str| format!("train {rest} --device {DEVICE}");
    place.refuses(&train("resnet"), &["resnet", "cnn, mlp, logistic"]);
    place.refuses(&train("no/file.toml"), &["no/file.toml"]);
    place.refuses(&train("tiny.toml --epochs 0"), &["epochs", "1 "]);
    place.refuses(&train("tiny.toml --epochs 4000000000"), &["epochs"]);
    place.refuses(&train("tiny.toml --batch 0"), &["batch"]);
    place.refuses(&train("tiny.toml --batch 81"), &["81", "80 samples"]);
    place.refuses(&train("tiny.toml --lr -0.1"), &["lr", "-0.1"]);
    place.refuses(&train("tiny.toml --lr NaN"), &["lr", "NaN"]);
    place.refuses(&train("tiny.toml --lr inf"), &["lr", "inf"]);
    place.refuses(&train("tiny.toml --lr fast"), &["fast"]);
    place.refuses(&train("tiny.toml --seed 18446744073709551615"), &["seed"]);
    place.refuses(&train("tiny.toml --data nowhere"), &["nowhere"]);
    place.refuses("train tiny.toml --device tpu", &["tpu", "gpu:NAME"]);
    place.refuses("train tiny.toml --device gpu:no-such-gpu", &["no-such-gpu"]);
    place.refuses("eval nowhere", &["nowhere", "config.toml"]);
    let toml = |change: &[(&str, &str)], words: &[&str]| {
        let text = change.iter().fold(SETTINGS.to_string(), |text, (from, to)| text.replace(from, to));
        place.write("bad.toml", &text);
        place.refuses(&train("bad.toml"), words);
    };
    toml(&[("epochs", "epocks")], &["epocks", "bad.toml"]);
    toml(&[("= 20", "= \"many\"")], &["many"]);
    toml(&[("[data]", "[data")], &["bad.toml"]);
    toml(
        &[("out_features = 10", "in_features = 17, out_features = 10")],
        &["model.layers[2] (linear)", "[17]", "[16]"],
    );
    toml(&[("\"relu\"", "\"conv1d\", out_channels = 2, kernel_size = 3")], &["model.layers[1] (conv1d)", "[16]"]);
    toml(&[("out_features = 10", "out_features = 9")], &["9", "10 classes"]);
    toml(&[("\"tiny\"", "\"../tiny\"")], &["name"]);
    // Where the device turned out to be missing, `runs` may be left; but never an empty run in it.
    assert!(!place.path("runs").exists() || place.names("runs").is_empty());
}

#[test]
fn bad_data_are_refused() {
    let place = Place::new();
    let check = |name: &str, spoil: &dyn Fn(&Path), words: &[&str]| {
        data_folder(&place, name);
        spoil(&place.path(name));
        place.refuses(&format!("train tiny.toml --batch 5 --data {name} --device {DEVICE}"), words);
    };
    check("no_y", &|d| fs::remove_file(d.join("y_train.npy")).unwrap(), &["y_train.npy", "missing"]);
    check(
        "float",
        &|d| npy::write(d.join("y_train.npy"), &[20], &[0.5f32; 20]).unwrap(),
        &["[1]", "regression", "`task`"],
    );
    check("minus", &|d| npy::write(d.join("y_train.npy"), &[20], &[-1i64; 20]).unwrap(), &["y_train.npy", "-1"]);
    check("few", &|d| npy::write(d.join("y_train.npy"), &[19], &[0i64; 19]).unwrap(), &["[20, 3]", "19 labels"]);
    check("nan", &|d| npy::write(d.join("x_train.npy"), &[20, 3], &[f32::NAN; 60]).unwrap(), &["x_train.npy", "NaN"]);
    check("cut", &|d| fs::write(d.join("x_train.npy"), "\u{93}NUMPY").unwrap(), &["x_train.npy"]);
    check("many", &|d| npy::write(d.join("y_train.npy"), &[20], &[10i64; 20]).unwrap(), &["11 classes", "10 numbers"]);
    let val = |d: &Path| {
        npy::write(d.join("x_val.npy"), &[1, 3], &[0f32; 3]).unwrap();
        npy::write(d.join("y_val.npy"), &[1], &[4i64]).unwrap();
    };
    check("val", &val, &["y_val.npy", "4"]);
    assert!(!place.path("runs").exists());

    place.train(" --out run");
    data_folder(&place, "other");
    place.refuses(&format!("eval run --data other --device {DEVICE}"), &["3 numbers", "40"]);
}

#[test]
fn outputs_that_cannot_be_written_are_found_first() {
    let place = Place::new();
    let train = |rest: &str| format!("train tiny.toml --device {DEVICE} {rest}");
    place.refuses(&train("--out tiny.toml/run"), &["tiny.toml/run"]);
    place.refuses(&train("--out tiny.toml"), &["tiny.toml"]);
    place.refuses("dataset mnist1d --samples 50 --out tiny.toml/data", &["tiny.toml/data"]);
    place.write("runs", "in the way");
    place.refuses(&train("--seed 1"), &["runs"]);
    assert_eq!(fs::read_to_string(place.path("tiny.toml")).unwrap(), SETTINGS);
}

#[test]
fn a_run_that_diverges_keeps_what_it_had() {
    let place = Place::new();
    let wild = "\n[schedule]\ntype = \"step\"\nstep_size = 3\ngamma = 1e60\n";
    place.write("wild.toml", &format!("{}{wild}", SETTINGS.replace("epochs = 2", "epochs = 9")));
    place.refuses(&format!("train wild.toml --device {DEVICE} --out run"), &["diverged", "3 epochs", "learning rate"]);
    // All but what only a finished run has, or one that has taken a second.
    let early = FILES.iter().filter(|file| !["best.safetensors", "checkpoints", "report.html"].contains(file));
    assert_eq!(place.names("run"), early.copied().collect::<Vec<_>>());
    let metrics: Value = serde_json::from_str(&fs::read_to_string(place.path("run/metrics.json")).unwrap()).unwrap();
    assert_eq!(metrics["epochs"], 3);
    place.ok(&format!("eval run --device {DEVICE}"));

    // A run that never gets anywhere leaves the run it was to replace alone.
    let before: Vec<_> = FILES.map(|file| fs::read(place.path("run").join(file)).ok()).into();
    place.refuses(&format!("train tiny.toml --lr 1e300 --device {DEVICE} --out run"), &["diverged", "untouched"]);
    let after: Vec<_> = FILES.map(|file| fs::read(place.path("run").join(file)).ok()).into();
    assert!(before == after);
    let done = place.wgrad(&format!("train tiny.toml --device {DEVICE} --out run"));
    assert!(done.code == 0 && done.stderr.contains("will be replaced"), "{}", done.stderr);
    assert!(fs::read_to_string(place.path("run/config.toml")).unwrap().contains("epochs = 2"));
}
