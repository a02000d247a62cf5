//! `wgrad bench` and `wgrad train --explain`.

use super::{DEVICE, Place, SETTINGS};
use serde_json::Value;
use std::fs;

/// A case that takes no time, measured as briefly as possible.
const QUICK: &str = "bench softmax/100x10 --device cpu --samples 3 --min-time 0";

fn read(place: &Place, name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(place.path(name)).unwrap()).unwrap()
}

#[test]
fn cases_are_listed() {
    let place = Place::new();
    let names = place.ok("bench --list");
    for name in ["matmul/512\n", "conv1d/256x64x1024-k5p2/weight_grad\n", "elementwise/bias_relu", "reduce/columns"] {
        assert!(names.contains(name), "{names}");
    }
    let conv2d = place.ok("bench --list conv2d");
    assert!(conv2d.lines().count() == 6 && conv2d.lines().all(|n| n.starts_with("conv2d/")), "{conv2d}");
    place.refuses("bench dance --device cpu", &["dance", "softmax", "--list"]);
    place.refuses("bench softmax --samples 0", &["--samples"]);
    place.refuses("bench softmax --min-time -1", &["--min-time"]);
    place.refuses("bench softmax/100x10 --device reference", &["reference", "cpu"]);
}

#[test]
fn a_case_is_measured_and_compared() {
    let place = Place::new();
    let out = place.ok(&format!("{QUICK} --json now.json --plot roofline.svg"));
    assert!(out.contains("GFLOP/s") && out.contains("softmax/100x10"), "{out}");
    let report = read(&place, "now.json");
    assert_eq!(report["machine"]["name"], "cpu");
    assert!(report["date"].as_str().unwrap().ends_with('Z') && report["version"].is_string(), "{report}");
    assert!(report["roof"]["flops_per_second"].as_f64().unwrap() > 1e6);
    let case = &report["cases"][0];
    assert_eq!(
        (&case["name"], &case["wrong"], &case["flops"]),
        (&"softmax/100x10".into(), &false.into(), &5000.into())
    );
    assert!(case["wall"]["median"].as_f64().unwrap() > 0.0 && case["worst_error"].as_f64().unwrap() <= 1.0, "{case}");

    let picture = fs::read_to_string(place.path("roofline.svg")).unwrap();
    assert!(picture.starts_with("<svg ") && picture.trim_end().ends_with("</svg>"));
    well_formed(&picture);
    // The kind of case is in the legend, its size beside its point.
    assert!(picture.contains("softmax") && picture.contains("100x10"), "{picture}");

    // The verdict, against times that cannot be mistaken: a hundred times as fast, and a hundred times as slow, as now.
    for (factor, code, word) in [(0.01, 1, "slower"), (100.0, 0, "faster")] {
        let mut earlier = report.clone();
        for name in ["median", "min", "p10", "p90"] {
            let time = &mut earlier["cases"][0]["wall"][name];
            *time = (time.as_f64().unwrap() * factor).into();
        }
        earlier["cases"][0]["wall"]["deviation"] = 0.0.into();
        place.write("before.json", &earlier.to_string());
        // More samples, so that a burst of load does not widen the threshold to where everything is the same.
        let done = place.wgrad(&format!("{QUICK} --samples 9 --baseline before.json").replacen("--samples 3 ", "", 1));
        assert_eq!(done.code, code, "{}{}", done.stdout, done.stderr);
        assert!(done.stdout.contains(word), "{}", done.stdout);
        assert_eq!(done.stderr.contains("softmax/100x10\n") && code == 1, code == 1, "{}", done.stderr);
    }

    let mut other = report;
    other["machine"]["cpu"] = "Another Processor".into();
    place.write("other.json", &other.to_string());
    place.refuses(&format!("{QUICK} --baseline other.json"), &["other.json", "Another Processor", "baseline"]);
    other["schema"] = 99.into();
    place.write("other.json", &other.to_string());
    place.refuses(&format!("{QUICK} --baseline other.json"), &["other.json", "99"]);
    place.write("other.json", "{}");
    place.refuses(&format!("{QUICK} --baseline other.json"), &["other.json", "wgrad bench --json"]);
    place.refuses(&format!("{QUICK} --baseline none.json"), &["none.json"]);
}

/// Tags open and close in order.
fn well_formed(text: &str) {
    let mut open: Vec<&str> = Vec::new();
    for tag in text.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap();
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None if tag.ends_with('/') => {}
            None => open.push(tag.split(' ').next().unwrap()),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn training_steps_are_measured() {
    let place = Place::new();
    let line = "bench train tiny.toml --device cpu --samples 3 --min-time 0.01 --batch-sizes 10,20";
    let text = place.ok(line);
    assert!(["samples/s", "set-up", "first step", "alone"].iter().all(|word| text.contains(word)), "{text}");
    let report = place.json(&format!("{line} --json"));
    let sizes = report["batch_sizes"].as_array().unwrap();
    assert_eq!(sizes.iter().map(|s| s["batch"].as_u64().unwrap()).collect::<Vec<_>>(), [10, 20]);
    for size in sizes {
        assert!(size["step"]["median"].as_f64().unwrap() > 0.0 && size["launches"].as_u64().unwrap() > 5, "{size}");
        let first = size["first_step_seconds"].as_f64().unwrap();
        assert!(first >= size["step"]["min"].as_f64().unwrap(), "{size}");
        assert!(size["host"].is_null() && size["host_alone"].is_null(), "the cpu has nothing to encode: {size}");
        assert!(size["epoch"]["median"].as_f64().unwrap() > size["step"]["median"].as_f64().unwrap(), "{size}");
    }
    place.refuses("bench train tiny.toml --device cpu --batch-sizes 0", &["batch-sizes", "1 to"]);
    place.refuses("bench train tiny.toml --device reference --batch-sizes 10", &["reference"]);
    place.refuses("bench train none.toml", &["none.toml"]);
}

#[test]
fn a_plan_is_explained_and_nothing_is_trained() {
    let place = Place::new();
    assert!(SETTINGS.contains("relu"));
    let text = place.ok(&format!("train tiny.toml --device {DEVICE} --explain"));
    for words in ["matmul", "20x40 by 40x16", "stores max(result + in2, 0)", "peak memory", "launches", "in0 "] {
        assert!(text.contains(words), "`{words}` is not in: {text}");
    }
    assert!(!place.path("runs").exists());
    place.refuses("train tiny.toml --device reference --explain", &["reference", "plan"]);
    place.refuses("train tiny.toml --explain --json", &["--explain", "--json"]);
    // For a GPU that is only described.
    let text = place.ok("train tiny.toml --explain --on h200");
    for word in ["H200 (described)", "waits for memory", "takes about", "at least"] {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
    place.refuses("train tiny.toml --on h200", &["--explain"]);
    place.refuses("train tiny.toml --explain --on none.toml", &["none.toml", "h200"]);
    let table = place.ok("bench reduce/all --on h200");
    assert!(table.contains("H200 (described), estimated") && table.contains("reduce/all-16M"), "{table}");
    place.refuses("bench reduce/all --on h200 --json x.json", &["--on", "--json"]);
    // Options of GPUs are refused without one.
    place.refuses("train tiny.toml --device cpu --variant 1", &["variant", "GPU"]);
}
