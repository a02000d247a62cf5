//! `wgrad check`, and kernels that are wrong on purpose.

use super::{DEVICE, Place};
use serde_json::Value;
use std::fs;

/// Whether there is a GPU; a machine that must have one fails without.
fn has_gpu(place: &Place) -> bool {
    let list = place.json("devices --json");
    let found = list["devices"].as_array().unwrap().iter().any(|d| d["device"].as_str().unwrap().starts_with("gpu"));
    assert!(found || std::env::var_os("WGRAD_REQUIRE_GPU").is_none(), "a GPU is required, and there is none");
    found
}

/// The committed shaders in a folder `broken`, with texts replaced in one of them.
#[cfg(feature = "gpu")]
fn broken(place: &Place, name: &str, replaced: &[(&str, &str)]) {
    let folder = place.path("broken");
    fs::create_dir_all(&folder).unwrap();
    for entry in fs::read_dir("shaders").unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
    }
    let mut text = fs::read_to_string(folder.join(name)).unwrap();
    for (old, new) in replaced {
        assert!(text.contains(old), "{name} has no `{old}`");
        text = text.replace(old, new);
    }
    fs::write(folder.join(name), text).unwrap();
}

#[test]
fn a_right_device_passes_and_the_report_says_on_what() {
    let place = Place::new();
    let out = place.ok(&format!("check softmax matmul --device {DEVICE} --json report.json"));
    for word in ["device  cpu", "log_softmax", "matmul", "cases passed"] {
        assert!(out.contains(word), "`{word}` is not in: {out}");
    }
    let report: Value = serde_json::from_str(&fs::read_to_string(place.path("report.json")).unwrap()).unwrap();
    assert_eq!(
        (&report["schema"], &report["name"], &report["failures"]),
        (&1.into(), &"cpu".into(), &Value::Array(vec![]))
    );
    let ops = report["ops"].as_array().unwrap();
    assert_eq!(ops.len(), 3, "{ops:?}");
    assert!(ops.iter().all(|op| op["cases"].as_u64().unwrap() > 10 && op["worst"].as_f64().unwrap() < 1.0), "{ops:?}");
    let one = place.ok(&format!("check --filter huge --device {DEVICE}"));
    assert!(one.contains("all 1 cases"), "{one}");
    let random = place.ok(&format!("check --filter seed --fuzz 20 --seed 5 --device {DEVICE}"));
    assert!(random.contains("all 20 cases"), "{random}");
    place.refuses(&format!("check dance --device {DEVICE}"), &["dance", "softmax"]);
    for command in [format!("check nothing --device {DEVICE}"), "bench nothing".to_string()] {
        let error = place.wgrad(&command).stderr;
        let list = error.trim_end().rsplit_once(" are ").unwrap().1;
        let names: Vec<&str> = list.split(';').next().unwrap().split(", ").collect();
        let each: std::collections::BTreeSet<&&str> = names.iter().collect();
        assert!(names.len() > 5 && each.len() == names.len(), "{error}");
    }
    place.refuses(&format!("check exp --device {DEVICE} --shaders ."), &["shaders", "GPU"]);
    place.refuses(&format!("check exp --device {DEVICE} --limits webgpu"), &["limits", "GPU"]);
    place.refuses(&format!("check --device {DEVICE} --replay nothing"), &["nothing"]);
    place.refuses("check --against cpu", &["--model"]);
}

#[test]
fn saved_reports_become_one_table() {
    let place = Place::new();
    place.ok(&format!("check softmax exp --device {DEVICE} --json a.json"));
    let table = place.ok("check --reports a.json a.json");
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines.len() == 4 && lines[2] == lines[3] && lines[2].starts_with("| cpu "), "{table}");
    // One that was wrong says so, and where.
    let mut report: Value = serde_json::from_str(&fs::read_to_string(place.path("a.json")).unwrap()).unwrap();
    report["ops"][0]["failed"] = 1.into();
    report["ops"][0]["worst"] = 7.5.into();
    report["failures"] =
        serde_json::json!([{ "op": "exp", "case": "f32", "value": "forward", "shape": [2], "worst": 7.5 }]);
    place.write("b.json", &report.to_string());
    let done = place.wgrad("check --reports a.json b.json");
    assert!(done.code == 1 && done.stderr.contains("WRONG: cpu"), "{}", done.stderr);
    assert!(done.stdout.contains(&format!("7.500 ({})", report["ops"][0]["op"].as_str().unwrap())), "{}", done.stdout);
    place.write("c.json", "{}");
    place.refuses("check --reports c.json", &["c.json", "report"]);
    place.refuses("check --reports nothing.json", &["nothing.json"]);
    place.refuses("check exp --reports a.json", &["PATTERN"]);
}

#[test]
fn a_step_of_a_network_is_compared() {
    let place = Place::new();
    for against in ["reference", "cpu"] {
        let line = format!("check --model tiny.toml --steps 3 --device {DEVICE} --against {against} --json step.json");
        let out = place.ok(&line);
        assert!(out.contains("step 3 of tiny") && out.contains("no divergence"), "{out}");
    }
    let report: Value = serde_json::from_str(&fs::read_to_string(place.path("step.json")).unwrap()).unwrap();
    assert_eq!(report["divergence"], Value::Null);
    // What hangs on the sign of a rounding error has no bound; that is little.
    let part = report["compared"].as_f64().unwrap() / report["elements"].as_f64().unwrap();
    assert!(part > 0.99, "{report}");
}

#[cfg(feature = "gpu")]
#[test]
fn a_broken_kernel_is_found_named_and_not_timed() {
    let place = Place::new();
    if !has_gpu(&place) {
        return;
    }
    // The sums of rows leave out their last element.
    let terms = ("block += value(o, i);", "if i + 1u < end { block += value(o, i); }");
    broken(&place, "reduce.wgsl", &[terms, ("end - 1u)), i < end);", "end - 1u)), i + 1u < end);")]);
    let done = place.wgrad("check sum mean neg --device gpu --shaders broken --bundle saved --json report.json");
    assert_eq!(done.code, 1, "{}{}", done.stdout, done.stderr);
    assert!(done.stdout.contains("FAILED") && done.stderr.contains("cases FAILED"), "{}{}", done.stdout, done.stderr);
    let again = done.stderr.lines().find_map(|line| line.strip_prefix("to repeat: wgrad ")).unwrap();
    assert!(again.starts_with("check sum --filter") && again.contains("--shaders broken"), "{again}");
    let report: Value = serde_json::from_str(&fs::read_to_string(place.path("report.json")).unwrap()).unwrap();
    let failures = report["failures"].as_array().unwrap();
    // `sum` is part of other names too; all of these reduce. `neg` does only where a gradient was broadcast.
    assert!(failures.iter().any(|f| f["op"] == "sum"), "{failures:?}");
    assert!(failures.iter().all(|f| f["op"] != "neg" || f["value"] != "forward"), "{failures:?}");
    assert!(report["details"]["adapter"]["driver"].is_string() && report["details"]["limits"].is_object(), "{report}");
    assert!(report["details"]["replaced_shaders"].as_array().unwrap().contains(&"reduce".into()), "{report}");

    // A saved failure is one with the broken kernel only.
    let bundle = format!("saved/{}", place.names("saved")[0]);
    let files = place.names(&bundle);
    for name in ["bundle.json", "a0.npy", "got0.npy", "expected0.npy", "graph.txt", "plan.txt"] {
        assert!(files.iter().any(|f| f == name), "{name} is not in {files:?}");
    }
    assert!(files.iter().any(|f| f.ends_with("reduce.wgsl")), "{files:?}");
    let replay = place.wgrad(&format!("check --replay {bundle} --device gpu --shaders broken"));
    assert_eq!(replay.code, 1, "{}{}", replay.stdout, replay.stderr);
    place.ok(&format!("check --replay {bundle} --device gpu"));
    place.ok(&format!("check --replay {bundle} --device cpu"));

    // A benchmark gives no figure for it.
    let bench = place.wgrad("bench reduce/columns --device gpu --shaders broken --samples 3 --min-time 0");
    assert_eq!(bench.code, 1, "{}{}", bench.stdout, bench.stderr);
    assert!(
        bench.stdout.contains("WRONG") && bench.stderr.contains("wrong: reduce/"),
        "{}{}",
        bench.stdout,
        bench.stderr
    );
}

#[cfg(feature = "gpu")]
#[test]
fn the_first_divergence_of_a_training_step_is_the_broken_operation() {
    let place = Place::new();
    if !has_gpu(&place) {
        return;
    }
    // The first terms of each block are left out, in the kernel any GPU gets.
    broken(&place, "matmul.wgsl", &[("four(&all, y, x, 0u);", "four(&all, y, x, 4u);")]);
    let line = "check --model tiny.toml --device gpu --limits webgpu --shaders broken --bundle saved";
    let done = place.wgrad(line);
    assert_eq!(done.code, 1, "{}{}", done.stdout, done.stderr);
    let first = done.stderr.lines().skip_while(|line| *line != "first divergence:").nth(1).unwrap();
    assert!(first.contains(" = matmul"), "{}", done.stderr);
    assert!(done.stderr.contains("in layer 0 (Linear)") && done.stderr.contains("\n  at src/"), "{}", done.stderr);
    let bundle = format!("saved/{}", place.names("saved")[0]);
    let replay = place.wgrad(&format!("check --replay {bundle} --device gpu --limits webgpu --shaders broken"));
    assert_eq!(replay.code, 1, "{}{}", replay.stdout, replay.stderr);
    place.ok(&format!("check --replay {bundle} --device gpu --limits webgpu"));
    let right = place.ok("check --model tiny.toml --device gpu --limits webgpu");
    assert!(right.contains("no divergence"), "{right}");
}

#[cfg(feature = "gpu")]
#[test]
fn a_text_that_is_no_shader_is_the_users() {
    let place = Place::new();
    if !has_gpu(&place) {
        return;
    }
    broken(&place, "softmax.wgsl", &[("fn main(", "fn main((")]);
    let done = place.wgrad("check log_softmax --device gpu --shaders broken");
    assert_eq!(done.code, 1, "{}{}", done.stdout, done.stderr);
    assert!(done.stderr.contains("shader `softmax`") && !done.stderr.contains("internal error"), "{}", done.stderr);
    place.refuses("check exp --device gpu --shaders nowhere", &["nowhere"]);
    fs::rename(place.path("broken/softmax.wgsl"), place.path("broken/soft_max.wgsl")).unwrap();
    for command in ["check exp --device gpu", "bench softmax/100x10 --device gpu", "kernels show softmax --device gpu"]
    {
        place
            .refuses(&format!("{command} --shaders broken"), &["soft_max.wgsl", "no shader", "elementwise", "softmax"]);
    }
}

#[test]
fn the_first_anomaly_of_a_run_is_named() {
    let place = Place::new();
    let devices = if has_gpu(&place) { vec![DEVICE, "gpu"] } else { vec![DEVICE] };
    for device in devices {
        let done = place.wgrad(&format!("train tiny.toml --device {device} --lr 1e30 --detect-anomaly"));
        assert_eq!(done.code, 2, "{}{}", done.stdout, done.stderr);
        for word in ["epoch 1, step ", "first NaN or infinity", "infinite", "NaN", ".rs:"] {
            assert!(done.stderr.contains(word), "{device}: `{word}` is not in: {}", done.stderr);
        }
    }
    // A run without one is as it would be without the option.
    let plain: Value = serde_json::from_str(&place.train(" --json")).unwrap();
    let watched: Value = serde_json::from_str(&place.train(" --json --detect-anomaly")).unwrap();
    assert_eq!(plain["history"][1]["train_loss"], watched["history"][1]["train_loss"]);
}
