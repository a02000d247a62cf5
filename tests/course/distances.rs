//! Coursework IV: distances in high dimensions and the volume of spheres, against the golden numbers.

#[path = "../../examples/distances.rs"]
#[allow(dead_code, unreachable_pub)]
mod example;

use example::common::Options;
use example::{Distances, POINTS};
use serde_json::Value;
use wgrad::Device;
use wgrad::data::RandomState;

/// f32's epsilon, and half of it: what one rounding may do, relative to the number.
const EPSILON: f64 = f32::EPSILON as f64;
const ROUNDING: f64 = 0.5 * EPSILON;

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

/// The largest length of a column.
fn longest(data: &[f64]) -> f64 {
    let square = |column: usize| data.chunks(POINTS).map(|row| row[column] * row[column]).sum::<f64>();
    (0..POINTS).map(square).fold(0.0, f64::max).sqrt()
}

/// What a distance may be off, between points no longer than `longest`.
fn allowed(device: &Device, dimension: usize, distance: f64, longest: f64) -> f64 {
    // Rounding the coordinates to f32 moves each point by at most `ROUNDING` of its length. The result is rounded, too.
    let given = 2.0 * ROUNDING * longest + ROUNDING * distance;
    if *device == Device::reference() {
        return given;
    }
    // Differences, of groups of up to 10 coordinates: each of the squares and sums rounds, and so does the root.
    if dimension <= 20 {
        return given + (0.5 * dimension as f64 + 3.0) * ROUNDING * distance;
    }
    // The Gram matrix: the error of a squared distance is that of the sums for lengths and products, which behaves like a
    // random walk (Higham and Mary, 2019), not like its worst case.
    let squared = EPSILON * (2.0 + (dimension as f64).sqrt()) * (2.0 * longest).powi(2);
    given + squared / (2.0 * distance) + 3.0 * ROUNDING * distance
}

/// Smallest and largest distance and their ratio against exact ones.
fn check(device: &Device, ours: &Distances, [smallest, largest]: [f64; 2], longest: f64) {
    let what = format!("{ours:?} on {device}");
    let dimension = ours.dimension;
    let errors = [smallest, largest].map(|distance| allowed(device, dimension, distance, longest));
    assert!((ours.smallest - smallest).abs() <= errors[0], "{what}: {smallest} ± {}", errors[0]);
    assert!((ours.largest - largest).abs() <= errors[1], "{what}: {largest} ± {}", errors[1]);
    // Relative errors of a quotient add up; the division rounds.
    let error = errors[0] / smallest + errors[1] / largest + 2.0 * ROUNDING;
    let ratio = largest / smallest;
    assert!((ours.ratio / ratio - 1.0).abs() <= 1.01 * error, "{what}: {ratio}, relative ± {error}");
}

/// Smallest and largest distance in the first coordinates, in f64.
fn extremes(data: &[f64], coordinates: usize) -> [f64; 2] {
    let points: Vec<Vec<f64>> = (0..POINTS).map(|i| (0..coordinates).map(|k| data[k * POINTS + i]).collect()).collect();
    let square = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
    let (mut smallest, mut largest) = (f64::INFINITY, 0.0f64);
    for (i, a) in points.iter().enumerate() {
        for b in &points[..i] {
            let squared = square(a, b);
            (smallest, largest) = (smallest.min(squared), largest.max(squared));
        }
    }
    [smallest.sqrt(), largest.sqrt()]
}

fn course(device: &Device) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/networks/udl_coursework_IV.json");
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let expected = &golden["expected"];
    let folder = tempfile::tempdir().unwrap();
    let ours = example::run(&Options::new("distances", device.clone(), folder.path().into())).unwrap();

    // The data: NumPy's generator to the last bit, and a sum in f64 of a million numbers in another order.
    let mut rng = RandomState::new(0);
    let data = example::DIMENSIONS.map(|dimension| example::points(&mut rng, dimension));
    for (row, golden) in expected["first_2d"].as_array().unwrap().iter().enumerate() {
        let golden: Vec<f64> = golden.as_array().unwrap().iter().map(number).collect();
        assert_eq!(data[0][row * POINTS..][..3], golden);
    }
    assert!((ours.checksum - number(&expected["sum_x1000"])).abs() < 1e-8, "{}", ours.checksum);

    assert_eq!(ours.distances.iter().map(|d| d.dimension).collect::<Vec<_>>(), [2, 100, 1000]);
    for (distances, data) in ours.distances.iter().zip(&data) {
        let golden = &expected["distances"][distances.dimension.to_string()];
        let exact = ["smallest", "largest"].map(|key| number(&golden[key]));
        check(device, distances, exact, longest(data));
        // The golden ratio is the quotient of the golden distances.
        assert!((exact[1] / exact[0] / number(&golden["ratio"]) - 1.0).abs() < 1e-14);
    }
    // The Gram matrix in two dimensions: the squared distance is as good as the squared lengths.
    let squared = number(&expected["distances"]["2"]["smallest"]).powi(2);
    let error = (ours.smallest_by_gram.powi(2) - squared).abs();
    let terms = (2.0 * longest(&data[0])).powi(2);
    if *device == Device::reference() {
        assert!((ours.smallest_by_gram / ours.distances[0].smallest - 1.0).abs() < 1e-6, "{ours:?}");
    } else {
        assert!(error <= EPSILON * (2.0 + 2f64.sqrt()) * terms, "{error:e}");
    }
    // Fewer coordinates of the 1000-dimensional points; those that take a moment in plain loops.
    let counts: Vec<usize> = ours.first.iter().map(|d| d.dimension).collect();
    assert_eq!(counts, [2, 3, 5, 10, 20, 50, 100, 300, 1000]);
    for distances in &ours.first[..5] {
        let coordinates = &data[2][..distances.dimension * POINTS];
        check(device, distances, extremes(coordinates, distances.dimension), longest(coordinates));
    }
    assert!(ours.first.windows(2).all(|pair| pair[1].ratio < pair[0].ratio), "{:?}", ours.first);
    assert_eq!(ours.first[8].ratio, ours.distances[2].ratio);

    let volumes = &expected["unit_diameter_hypersphere_volume"];
    assert_eq!((ours.volumes.len(), volumes.as_object().unwrap().len()), (10, 10));
    for (k, volume) in ours.volumes.iter().enumerate() {
        // Each factor π/(2n) takes a rounded constant and two products.
        let (golden, steps) = (number(&volumes[(k + 1).to_string()]), 1.0 + 1.5 * (k + 1) as f64);
        assert!((volume / golden - 1.0).abs() <= steps * ROUNDING, "{device}: volume {}: {volume}, {golden}", k + 1);
    }
    let shares = expected["proportion_outer_1_percent"].as_object().unwrap();
    assert_eq!((ours.outer.len(), shares.len()), (300, 10));
    for (dimension, share) in shares {
        let dimension: usize = dimension.parse().unwrap();
        let (golden, ours) = (number(share), ours.outer[dimension - 1]);
        // 0.99 is rounded before it is raised to the power, which may be off by some units itself; the difference rounds.
        let inner = 1.0 - golden;
        let allowed = ROUNDING * ((dimension as f64 + 8.0) * inner + golden);
        assert!((ours - golden).abs() <= allowed, "{device}: {dimension}: {ours}, golden {golden}");
    }
    for name in ["histograms", "ratio", "spheres"] {
        let bytes = std::fs::read(folder.path().join(format!("{name}.png"))).unwrap();
        assert!(bytes.starts_with(b"\x89PNG"), "{name}");
    }
}

#[test]
fn on_the_reference() {
    course(&Device::reference());
}

#[test]
fn on_the_cpu() {
    course(&Device::cpu());
}
