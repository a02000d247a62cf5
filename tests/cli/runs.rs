//! Runs from the command line: data of several kinds, resuming, sweeps, comparisons, reports, faults of the disk.

use super::{DEVICE, Place};
use std::fs;

/// A table of a line with some noise.
fn table(rows: usize) -> String {
    let mut text = String::from("x,colour,y\n");
    for k in 0..rows {
        let (x, colour) = ((k * 37 % 100) as f64 / 50.0, if k % 3 == 0 { "red" } else { "blue" });
        let y = 3.0 * x + if colour == "red" { 5.0 } else { -1.0 } + (k % 7) as f64 / 20.0;
        text.push_str(&format!("{x},{colour},{y}\n"));
    }
    text
}

const TABLE: &str = r#"
name = "line"
epochs = 40
batch = 20
[data]
path = "line.csv"
target = "y"
categories = ["colour"]
standardize = true
standardize_targets = true
[model]
layers = [{ type = "linear", out_features = 8 }, { type = "tanh" }, { type = "linear", out_features = 1 }]
[optimizer]
type = "adam"
lr = 0.02
[schedule]
type = "constant"
"#;

fn table_place() -> Place {
    let place = Place::new();
    place.write("line.csv", &table(200));
    place.write("line.toml", TABLE);
    place
}

#[test]
fn a_table_is_trained_evaluated_and_predicted() {
    let place = table_place();
    let line = format!("train line.toml --device {DEVICE} --out run");
    let done = place.wgrad(&line);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stderr.contains("task: regression with the loss mse"), "{}", done.stderr);
    assert!(done.stdout.contains("rmse") && done.stdout.contains("r2"), "{}", done.stdout);
    let eval = place.json(&format!("eval run --json --device {DEVICE}"));
    assert_eq!((&eval["task"], &eval["split"], &eval["rows"]), (&"regression".into(), &"val".into(), &40.into()));
    assert!(eval["r2"].as_f64().unwrap() > 0.98 && eval["rmse"].as_f64().unwrap() < 0.5, "{eval}");
    place.ok(&format!("eval run --plot points.png --device {DEVICE}"));
    assert!(fs::read(place.path("points.png")).unwrap().starts_with(b"\x89PNG"));
    // New samples: other columns, another order, no target.
    place.write("new.csv", "colour,note,x\nred,a,1\nblue,b,1\n");
    place.ok(&format!("predict run --input new.csv --output out.csv --device {DEVICE}"));
    let text = fs::read_to_string(place.path("out.csv")).unwrap();
    let values: Vec<f64> = text.lines().skip(1).map(|line| line.parse().unwrap()).collect();
    assert!(text.starts_with("y\n") && (values[0] - 8.1).abs() < 0.5 && (values[1] - 2.1).abs() < 0.5, "{text}");
    place.write("odd.csv", "colour,x\ngreen,1\n");
    place.refuses(&format!("predict run --input odd.csv --output o.csv --device {DEVICE}"), &["line 2", "green"]);
    place.refuses(&format!("predict run --input new.csv --output o.csv --kind labels --device {DEVICE}"), &["values"]);
    place.write("missing.csv", "x,colour,y\n1,red,2\n,blue,3\n");
    place.refuses(
        &format!("train line.toml --data missing.csv --device {DEVICE}"),
        &["missing.csv", "line 3", "\"x\"", "data.missing"],
    );
    place.refuses(&format!("train line.toml --set loss.type=hinge --device {DEVICE}"), &["loss.type", "huber"]);
    place.refuses(&format!("train line.toml --monitor val_error --device {DEVICE}"), &["monitor", "rmse"]);
    place.refuses(&format!("train line.toml --set task=classification --device {DEVICE}"), &["standardize_targets"]);
}

#[test]
fn a_run_that_is_resumed_ends_as_one_in_peace() {
    let place = Place::new();
    place.train(" --epochs 6 --out whole");
    let line = format!("train tiny.toml --epochs 6 --max-time 0.000001s --out parts --device {DEVICE}");
    place.refuses(&line, &["--max-time", "--resume parts"]);
    let model = |run: &str| fs::read(place.path(&format!("{run}/model.safetensors"))).unwrap();
    let metrics = place.json(&format!("train --resume parts --json --device {DEVICE}"));
    assert_eq!(metrics["epochs"], 6);
    assert!(model("whole") == model("parts"));
    // More epochs than planned, and nothing left to do.
    place.ok(&format!("train --resume parts --epochs 8 --device {DEVICE}"));
    place.train(" --epochs 8 --out longer");
    assert!(model("longer") == model("parts"));
    place.ok(&format!("train --resume parts --device {DEVICE}"));
    // A damaged checkpoint is named, and the one before it used.
    let names = place.names("parts/checkpoints");
    assert_eq!(names.len(), 2);
    let last = place.path(&format!("parts/checkpoints/{}", names[1]));
    let mut bytes = fs::read(&last).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&last, bytes).unwrap();
    let done = place.wgrad(&format!("train --resume parts --epochs 9 --device {DEVICE}"));
    assert!(done.code == 0 && done.stderr.contains(&names[1]) && done.stderr.contains("damaged"), "{}", done.stderr);
    place.train(" --epochs 9 --out longest");
    assert!(model("longest") == model("parts"));
    place.refuses("train --resume nowhere", &["nowhere", "config.toml"]);
    fs::remove_dir_all(place.path("parts/checkpoints")).unwrap();
    place.refuses(&format!("train --resume parts --device {DEVICE}"), &["no checkpoint"]);
}

/// Writes that end early, at every size of file: a clean error, and the files of before are whole.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_the_last_checkpoint_whole() {
    let place = Place::new();
    place.train(" --epochs 2 --set checkpoint.every_epochs=1 --out run");
    place.train(" --epochs 5 --out whole");
    let model = |run: &str| fs::read(place.path(&format!("{run}/model.safetensors"))).unwrap();
    let binary = assert_cmd::cargo::cargo_bin("wgrad");
    let mut failures = 0;
    // Blocks of 512 bytes: from nothing at all to more than any file takes.
    for blocks in [0, 1, 2, 4, 6, 8, 10, 12, 16, 24, 60, 400] {
        let before = place.names("run/checkpoints");
        let script = format!(
            "trap '' XFSZ; ulimit -f {blocks}; exec {} train --resume run --epochs 5 --set checkpoint.every_epochs=1 --device {DEVICE}",
            binary.display()
        );
        let script = script.replace(" --set checkpoint.every_epochs=1", "");
        let output =
            std::process::Command::new("sh").args(["-c", &script]).current_dir(place.path("")).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!stderr.contains("panicked"), "{blocks}: {stderr}");
        if !output.status.success() {
            failures += 1;
            assert_eq!(output.status.code(), Some(2), "{blocks}: {stderr}");
            assert!(stderr.contains("error: ") && stderr.contains("could not"), "{blocks}: {stderr}");
            // What was there is there, and no half of a file is left.
            let after = place.names("run/checkpoints");
            assert!(!before.is_empty() && !after.is_empty(), "{before:?} {after:?}");
            assert!(!place.names("run").iter().chain(&after).any(|name| name.ends_with(".tmp")), "{after:?}");
        }
    }
    assert!(failures >= 3, "the limits were too generous");
    // A place that cannot be written to: also for a user who may write anywhere.
    place.write("blocked", "");
    place.refuses(
        &format!("train tiny.toml --out blocked/run --device {DEVICE}"),
        &["blocked/run", "cannot be created"],
    );
    fs::create_dir(place.path("odd")).unwrap();
    fs::write(place.path("odd/checkpoints"), "").unwrap();
    place.refuses(&format!("train tiny.toml --out odd --device {DEVICE}"), &["odd/checkpoints"]);
    place.ok(&format!("train --resume run --epochs 5 --device {DEVICE}"));
    assert!(model("run") == model("whole"));
}

#[test]
fn any_setting_can_be_set() {
    let place = Place::new();
    let options =
        "--set optimizer.type=adam --set optimizer.lr=0.003 --set model.layers.0.out_features=7 --set ema_decay=0.9";
    place.ok(&format!("train tiny.toml --device {DEVICE} {options} --out run"));
    let config = fs::read_to_string(place.path("run/config.toml")).unwrap();
    for part in ["type = \"adam\"", "lr = 0.003", "out_features = 7", "ema_decay = 0.9"] {
        assert!(config.contains(part), "{part}: {config}");
    }
    place.refuses("train tiny.toml --set optimizer.rate=1", &["optimizer.rate", "momentum"]);
    place.refuses("train tiny.toml --set model.layers.9.out_features=1", &["`9`", "list of 3"]);
    place.refuses("train tiny.toml --set epochs=many", &["epochs", "many"]);
    place.refuses("train tiny.toml --set epochs", &["KEY=VALUE"]);
    place.refuses("train tiny.toml --set .=1", &["dots"]);
}

#[test]
fn sweeps_are_resumed_and_compared() {
    let place = Place::new();
    let line = format!("sweep tiny.toml --grid optimizer.lr=0.01,0.1 --seeds 1..2 --out sw --jobs 2 --device {DEVICE}");
    let text = place.ok(&line);
    assert!(text.contains("val_loss") && text.contains("±") && text.contains('*'), "{text}");
    let names = place.names("sw");
    assert_eq!(names.len(), 7, "{names:?}");
    let done = place.wgrad(&line);
    assert_eq!((done.code, done.stderr.matches("done before").count()), (0, 4), "{}", done.stderr);
    assert_eq!(done.stdout, text);
    // Another seed, and one run that has to be done again.
    fs::remove_dir_all(place.path("sw/optimizer.lr=0.1,seed=2")).unwrap();
    let done = place.wgrad(&line.replace("1..2", "1..3"));
    assert_eq!(done.stderr.matches("done before").count(), 3, "{}", done.stderr);
    let csv = fs::read_to_string(place.path("sw/sweep.csv")).unwrap();
    assert_eq!(csv.lines().count(), 7, "{csv}");
    // A run alone is the same run.
    place.train(" --lr 0.1 --seed 2 --out alone");
    let model = |run: &str| fs::read(place.path(&format!("{run}/model.safetensors"))).unwrap();
    assert!(model("alone") == model("sw/optimizer.lr=0.1,seed=2"));
    let text = place.ok("compare alone sw/optimizer.lr=0.01,seed=1 --plot both.png");
    assert!(text.contains("optimizer.lr") && text.contains("0.01") && text.contains("val_error"), "{text}");
    assert!(!text.contains("batch"), "settings that are the same: {text}");
    assert!(place.path("both.png").is_file());
    place.refuses("compare alone nowhere", &["nowhere"]);
    place.refuses("sweep tiny.toml --grid optimizer.lr", &["--grid"]);
    place.refuses("sweep tiny.toml --grid optimizer.rate=1,2", &["optimizer.rate"]);
}

#[test]
fn a_run_leaves_a_report_and_events() {
    let place = Place::new();
    place.train(" --tensorboard --out run");
    let page = fs::read_to_string(place.path("run/report.html")).unwrap();
    for part in ["<!doctype html>", "Confusion matrix", "data:image/png;base64,", "Linear", "model.layers", "val_loss"]
    {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("http"), "it is self-contained");
    assert!(place.names("run").iter().any(|name| name.starts_with("events.out.tfevents.")));
}
