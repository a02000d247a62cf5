//! `wgrad tune` and the variants it measures.

use super::Place;
use serde_json::Value;
use std::fs;

/// Whether there is a GPU; without one, and where one is required, it fails.
fn gpu() -> bool {
    let there = wgrad::gpu::adapter(&wgrad::GpuChoice::Fastest).is_ok();
    assert!(there || std::env::var_os("WGRAD_REQUIRE_GPU").is_none(), "WGRAD_REQUIRE_GPU is set, and there is no GPU");
    if !there {
        eprintln!("no GPU: not tested");
    }
    there
}

const CASE: &str = "tune matmul/mlp-100x40x100 --device gpu";

fn read(place: &Place, name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(place.path(name)).unwrap()).unwrap()
}

#[test]
fn what_was_measured_is_kept_shown_and_carried_elsewhere() {
    if !gpu() {
        return;
    }
    let place = Place::new();
    let cache = place.path("cache");
    let wgrad = |line: &str| place.with(&[("WGRAD_CACHE_DIR", cache.to_str().unwrap())], line);
    let done = wgrad(&format!("{CASE} --json all.json"));
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stdout.contains("1 launches tuned") || done.stdout.contains("1 launch tuned"), "{}", done.stdout);
    let found = &read(&place, "all.json")[0];
    let tried = found["tried"].as_array().unwrap();
    assert!(tried.len() > 5, "{found}");
    for one in tried {
        assert!(one["worst"].as_f64().unwrap() <= 1.0 && one["seconds"].as_f64().unwrap() > 0.0, "{one}");
    }
    let shown = wgrad("tune --show --device gpu").stdout;
    assert!(shown.contains(found["best"].as_str().unwrap()) && shown.contains("matmul 100x40 by 40x100"), "{shown}");
    // It is not measured twice, and can be exported and imported.
    assert!(wgrad(CASE).stdout.contains("0 launches tuned"));
    assert_eq!(wgrad("tune --export tuned.json --device gpu").code, 0);
    fs::remove_dir_all(&cache).unwrap();
    assert!(wgrad("tune --show --device gpu").stdout.contains("0 launches on"));
    assert_eq!(wgrad("tune --import tuned.json --device gpu").code, 0);
    assert_eq!(wgrad("tune --show --device gpu").stdout, shown);
    // A damaged file is not used, and said so; nor one of another driver.
    let file = fs::read_dir(&cache)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|p| p.extension().is_some_and(|e| e == "json"))
        .unwrap();
    fs::write(&file, "{").unwrap();
    let done = wgrad("bench softmax/100x10 --device gpu --samples 3 --min-time 0");
    assert!(done.code == 0 && done.stderr.contains("not used") && done.stderr.contains("tuned-"), "{}", done.stderr);
    let text = fs::read_to_string(place.path("tuned.json")).unwrap().replace("\"driver\": \"", "\"driver\": \"other ");
    place.write("tuned.json", &text);
    let done = wgrad("tune --import tuned.json --device gpu");
    assert!(done.code == 2 && done.stderr.contains("was made for"), "{}", done.stderr);
}

/// A driver's fault must not win: here a shader that is wrong where it has two buffers.
#[test]
fn a_variant_that_is_wrong_is_refused() {
    if !gpu() {
        return;
    }
    let place = Place::new();
    let cache = place.path("cache");
    fs::create_dir(place.path("shaders")).unwrap();
    let shader = include_str!("../../shaders/matmul.wgsl");
    let right = "fma(vec4<f32>(left.w), right, sums.r3)";
    assert!(shader.contains(right));
    let wrong = format!("{right} + select(0.0, 1e-3, BUFFERS == 2u)");
    place.write("shaders/matmul.wgsl", &shader.replace(right, &wrong));
    let line = "tune matmul/mlp-100x40x100 --device gpu --shaders shaders --json all.json";
    let done = place.with(&[("WGRAD_CACHE_DIR", cache.to_str().unwrap())], line);
    assert!(done.code == 1 && done.stdout.contains("refused: "), "{}\n{}", done.stdout, done.stderr);
    let found = &read(&place, "all.json")[0];
    let doubles =
        found["tried"].as_array().unwrap().iter().filter(|one| one["variant"].as_str().unwrap().contains("double"));
    assert!(doubles.clone().count() > 0 && doubles.clone().all(|one| one["seconds"].is_null()), "{found}");
    assert!(!found["best"].as_str().unwrap().contains("double"));
    // What was measured with other shaders is not kept.
    assert!(done.stdout.contains("not kept"), "{}", done.stdout);
}

#[test]
fn what_cannot_be_tuned_is_refused() {
    let place = Place::new();
    place.refuses("tune --device cpu", &["variants are a GPU's", "cpu"]);
    place.refuses("tune dance --device gpu", &["dance"]);
    place.refuses("tune --device gpu --variant 1", &["variant"]);
    place.refuses("bench softmax --device cpu --variant 1", &["variant", "cpu"]);
}
