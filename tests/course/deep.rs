//! The example `deep` against the golden numbers of Deep networks I and II.

#[path = "../../examples/deep.rs"]
#[allow(dead_code, unreachable_pub)]
mod example;

use serde_json::Value;
use wgrad::Device;

/// Half a unit in the last place of f32, relative: what one rounding adds.
const ROUNDING: f64 = 1.0 / (1u64 << 24) as f64;

fn golden() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/networks/udl_deep.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The numbers of a nested list in order.
fn flat(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(list) => list.iter().flat_map(flat).collect(),
        other => vec![other.as_f64().unwrap()],
    }
}

/// A shallow network in f64, and how far f32 may be from it.
struct Shallow {
    theta: Vec<f64>,
    phi: Vec<f64>,
}

impl Shallow {
    fn new(golden: &Value) -> Self {
        Shallow { theta: flat(&golden["theta"]), phi: flat(&golden["phi"]) }
    }
    fn phi1_times(mut self, factor: f64) -> Self {
        self.phi[1] *= factor;
        self
    }
    /// A value and its largest error, from those of the input: each parameter, product and sum is rounded once, and every
    /// term of the last sum goes through at most three additions.
    fn of(&self, (x, error): (f64, f64)) -> (f64, f64) {
        let (mut y, mut terms, mut errors) = (self.phi[0], self.phi[0].abs(), 0.0);
        for i in 0..3 {
            let (theta0, theta1, phi) = (self.theta[2 * i], self.theta[2 * i + 1], self.phi[i + 1]);
            let f = theta0 + theta1 * x;
            let error = theta1.abs() * error + 3.0 * ROUNDING * (theta0.abs() + (theta1 * x).abs());
            // A unit that is off whatever the roundings adds none.
            if f > -error {
                y += phi * f.max(0.0);
                terms += (phi * f).abs();
                errors += phi.abs() * error;
            }
        }
        (y, errors + 5.0 * ROUNDING * terms)
    }
}

fn assert_near(what: &str, got: &[f64], want: &[f64], allowed: impl Fn(usize) -> f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (k, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= allowed(k), "{what}[{k}]: {g}, golden {w}, allowed {:e}", allowed(k));
    }
}

fn check(device: Device) {
    let folder = tempfile::tempdir().unwrap();
    let options = example::common::Options::new("deep", device, folder.path().into());
    let numbers = example::run(&options).unwrap();
    let golden = golden();
    let (x, [n1, n2]) = (flat(&golden["x"]), ["n1", "n2"].map(|k| Shallow::new(&golden[k])));
    assert_eq!(numbers.x, x);

    // Inputs are rounded to f32; bounds come from the networks themselves.
    let bounds = |networks: &[&Shallow]| -> Vec<f64> {
        x.iter().map(|&x| networks.iter().fold((x, ROUNDING * x.abs()), |value, network| network.of(value)).1).collect()
    };
    let negated = Shallow::new(&golden["n2"]).phi1_times(-1.0);
    let halved = Shallow::new(&golden["n1"]).phi1_times(0.5);
    let curves = [
        ("n1_of_x", bounds(&[&n1]), 3),
        ("n2_of_x", bounds(&[&n2]), 4),
        ("n2_of_n1", bounds(&[&n1, &n2]), 12),
        ("n2_with_phi1_negated_of_n1", bounds(&[&n1, &negated]), 12),
        ("n2_of_n1_with_phi1_halved", bounds(&[&halved, &n2]), 10),
        ("n1_of_n1", bounds(&[&n1, &n1]), 9),
        ("n2_of_n1_of_n1", bounds(&[&n1, &n1, &n2]), 36),
    ];
    assert_eq!(numbers.curves.len(), curves.len());
    for (curve, (name, bound, pieces)) in numbers.curves.iter().zip(&curves) {
        assert_near(name, &curve.y, &flat(&golden[*name]), |k| bound[k]);
        // The pieces follow from the joints, which exact arithmetic with fractions finds.
        assert_eq!(curve.pieces, *pieces, "{name}");
    }

    // The two forms round differently; that they agree to 1e-6 is what the course asks for.
    assert!(numbers.difference <= 1e-6, "{}", numbers.difference);
    assert_near("matrix form", &numbers.matrix_form, &flat(&golden["n2_of_n1"]), |k| curves[2].1[k] + 1e-6);
    let matrices = golden["matrix_form"].as_object().unwrap();
    assert_eq!(numbers.matrices.len(), matrices.len());
    for matrix in &numbers.matrices {
        let want = &matrices[&matrix.name];
        assert_eq!(matrix.shape, [want.as_array().unwrap().len(), want[0].as_array().unwrap().len()]);
        // Two parameters are rounded, their product and one sum; no term is larger than 9.3.
        assert_near(&matrix.name, &matrix.values, &flat(want), |_| 4.0 * ROUNDING * 9.3);
    }

    check_wide(&numbers);
    let picture = std::fs::read(folder.path().join("compositions.png")).unwrap();
    assert!(picture.starts_with(b"\x89PNG"));
}

/// The network with four inputs: its shapes, and its outputs against plain loops in f64.
fn check_wide(numbers: &example::Numbers) {
    let shapes: Vec<(&str, &[usize])> = numbers.wide.iter().map(|m| (m.name.as_str(), &m.shape[..])).collect();
    let want: [(&str, &[usize]); 8] = [
        ("beta_0", &[5, 1]),
        ("Omega_0", &[5, 4]),
        ("beta_1", &[2, 1]),
        ("Omega_1", &[2, 5]),
        ("beta_2", &[4, 1]),
        ("Omega_2", &[4, 2]),
        ("beta_3", &[1, 1]),
        ("Omega_3", &[1, 4]),
    ];
    assert_eq!(shapes, want);
    assert_eq!(numbers.parameters, 54);
    assert_eq!((numbers.batch.len(), numbers.outputs.len()), (24, 6));
    for (column, output) in numbers.outputs.iter().enumerate() {
        let mut h: Vec<f64> = (0..4).map(|row| numbers.batch[row * 6 + column]).collect();
        // The same network of absolute values bounds what roundings can do: at most seven for each term of a layer.
        let mut size: Vec<f64> = h.iter().map(|v| v.abs()).collect();
        for (k, pair) in numbers.wide.chunks(2).enumerate() {
            let layer = |input: &[f64], map: fn(f64) -> f64| -> Vec<f64> {
                let rows = pair[1].values.chunks(input.len()).zip(&pair[0].values);
                rows.map(|(omega, beta)| omega.iter().zip(input).map(|(w, h)| map(*w) * h).sum::<f64>() + map(*beta))
                    .collect()
            };
            (h, size) = (layer(&h, |v| v), layer(&size, f64::abs));
            if k < 3 {
                h.iter_mut().for_each(|v| *v = v.max(0.0));
            }
        }
        let allowed = 4.0 * 7.0 * ROUNDING * size[0];
        assert!((output - h[0]).abs() <= allowed, "column {column}: {output}, in f64 {}, allowed {allowed:e}", h[0]);
    }
}

#[test]
fn reference() {
    check(Device::reference());
}

#[test]
fn cpu() {
    check(Device::cpu());
}
