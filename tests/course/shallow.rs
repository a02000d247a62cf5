//! The shallow network, computed by hand in f64 here: its steps, its pieces, its loss, and what its fits must reach.
//!
//! There are no golden numbers but the loss that the notebook prints, 9.385. The example's parameters and data are f32, so everything is
//! computed from their exact values, and what a device may be off follows from its roundings: each operation adds at most one unit of
//! f32, and a result that is read from the reference one half ([`U`]).

#[path = "../../examples/shallow.rs"]
#[allow(dead_code, unreachable_pub)]
mod example;

use example::common::Options;
use example::{DATA, FIT, FIT_PHI, Fit, Numbers, PHI, POINTS, STRIDE, THETA};
use std::collections::HashMap;
use wgrad::Device;

/// An operation's largest relative error, correctly rounded or not: one unit of f32.
const U: f64 = f32::EPSILON as f64;
/// Additions, multiplications and the result's rounding on the way from the input to the output: no path has more.
const OPERATIONS: f64 = 8.0;

/// θ₁₀, θ₁₁, …, θ₃₁, φ₀, …, φ₃.
type Parameters = [f64; 10];

fn given() -> Parameters {
    let all: Vec<f64> = THETA.concat().into_iter().chain(PHI).map(f64::from).collect();
    all.try_into().unwrap()
}

fn of(fit: &Fit) -> Parameters {
    [&fit.theta[..], &fit.phi].concat().try_into().unwrap()
}

fn point(k: usize) -> f64 {
    f64::from(k as f32 / POINTS as f32)
}

fn data() -> impl Iterator<Item = (f64, f64)> {
    DATA.iter().map(|&(x, y)| (f64::from(x as f32), f64::from(y as f32)))
}

/// Each unit's pre-activation.
fn before(p: &Parameters, x: f64) -> [f64; 3] {
    [0, 1, 2].map(|i| p[2 * i] + p[2 * i + 1] * x)
}

fn output(p: &Parameters, x: f64) -> f64 {
    p[6] + (0..3).map(|i| p[7 + i] * before(p, x)[i].max(0.0)).sum::<f64>()
}

/// What f32 may be off at an output: its operations' errors, each relative to the sum of the sizes of what is added up.
fn output_error(p: &Parameters, x: f64) -> f64 {
    let size = |i: usize| (p[7 + i] * (p[2 * i].abs() + (p[2 * i + 1] * x).abs())).abs();
    OPERATIONS * U * (p[6].abs() + (0..3).map(size).sum::<f64>())
}

fn loss(p: &Parameters) -> f64 {
    data().map(|(x, y)| (output(p, x) - y).powi(2)).sum()
}

/// What f32 may be off at the loss: d(e²) = 2|e| de + de², and the roundings of 20 squares and their sum.
fn loss_error(p: &Parameters) -> f64 {
    let term = |(x, y): (f64, f64)| {
        let (e, de) = ((output(p, x) - y).abs(), output_error(p, x) + U * y.abs());
        2.0 * e * de + de * de
    };
    data().map(term).sum::<f64>() + 22.0 * U * loss(p)
}

/// The loss's gradient, by hand.
fn gradient(p: &Parameters) -> Parameters {
    let mut g = [0.0; 10];
    for (x, y) in data() {
        let (z, e) = (before(p, x), 2.0 * (output(p, x) - y));
        g[6] += e;
        for i in 0..3 {
            g[7 + i] += e * z[i].max(0.0);
            let on = if z[i] > 0.0 { e * p[7 + i] } else { 0.0 };
            g[2 * i] += on;
            g[2 * i + 1] += on * x;
        }
    }
    g
}

/// The least loss that any φ reaches with these θ, and that φ: linear least squares, by the normal equations.
fn best_phi(p: &Parameters) -> (f64, Parameters) {
    let features: Vec<[f64; 4]> = data()
        .map(|(x, _)| {
            let h = before(p, x).map(|z| z.max(0.0));
            [1.0, h[0], h[1], h[2]]
        })
        .collect();
    let mut rows = [[0.0; 5]; 4];
    for (f, (_, y)) in features.iter().zip(data()) {
        for i in 0..4 {
            (0..4).for_each(|j| rows[i][j] += f[i] * f[j]);
            rows[i][4] += f[i] * y;
        }
    }
    for i in 0..4 {
        let pivot = rows[i];
        for (k, row) in rows.iter_mut().enumerate().filter(|(k, _)| *k != i) {
            let factor = row[i] / pivot[i];
            (0..5).for_each(|j| row[j] -= if k == i { 0.0 } else { factor * pivot[j] });
        }
    }
    let mut best = *p;
    (0..4).for_each(|i| best[6 + i] = rows[i][4] / rows[i][i]);
    (loss(&best), best)
}

/// No network with three joints has a lower loss: on the sorted data it is at most four lines, one after the other, and this is the least
/// loss of four lines that need not even meet.
fn four_lines() -> f64 {
    let mut sorted: Vec<(f64, f64)> = data().collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let line = |from: usize, to: usize| -> f64 {
        let part = &sorted[from..to];
        if part.len() < 3 {
            return 0.0;
        }
        let n = part.len() as f64;
        let (mx, my) = (part.iter().map(|d| d.0).sum::<f64>() / n, part.iter().map(|d| d.1).sum::<f64>() / n);
        let slope = part.iter().map(|d| (d.0 - mx) * (d.1 - my)).sum::<f64>()
            / part.iter().map(|d| (d.0 - mx).powi(2)).sum::<f64>();
        part.iter().map(|d| (d.1 - my - slope * (d.0 - mx)).powi(2)).sum()
    };
    let ends = 0..=sorted.len();
    let mut least: Vec<f64> = ends.clone().map(|end| line(0, end)).collect();
    for _ in 1..4 {
        least = ends
            .clone()
            .map(|end| (0..=end).map(|from| least[from] + line(from, end)).fold(f64::MAX, f64::min))
            .collect();
    }
    least[sorted.len()]
}

/// Adam by hand, on the parameters from `first` on; the losses as the example keeps them.
fn adam(mut p: Parameters, first: usize, (steps, rate): (u32, f64)) -> (Vec<f64>, Parameters) {
    let (mut m, mut v) = ([0.0; 10], [0.0; 10]);
    let mut losses = vec![loss(&p)];
    for t in 1..=steps as i32 {
        let g = gradient(&p);
        for k in first..10 {
            m[k] = 0.9 * m[k] + 0.1 * g[k];
            v[k] = 0.999 * v[k] + 0.001 * g[k] * g[k];
            let step = rate / (1.0 - 0.9f64.powi(t)) * m[k];
            p[k] -= step / ((v[k] / (1.0 - 0.999f64.powi(t))).sqrt() + 1e-8);
        }
        if (t as u32).is_multiple_of(STRIDE) {
            losses.push(loss(&p));
        }
    }
    (losses, p)
}

fn near(what: &str, got: f64, want: f64, allowed: f64) {
    assert!((got - want).abs() <= allowed, "{what} is {got}, by hand {want}: allowed {allowed:e}");
}

fn check_steps(n: &Numbers) {
    let p = given();
    assert_eq!([n.pre_activations.len(), n.activations.len(), n.weighted.len(), n.outputs.len()], [300, 300, 300, 100]);
    for k in 0..POINTS {
        let x = point(k);
        for (i, z) in before(&p, x).into_iter().enumerate() {
            let allowed = 3.0 * U * (p[2 * i].abs() + (p[2 * i + 1] * x).abs());
            let name = |kind: &str| format!("{kind} of unit {} at {x}", i + 1);
            near(&name("pre-activation"), n.pre_activations[3 * k + i], z, allowed);
            near(&name("activation"), n.activations[3 * k + i], z.max(0.0), allowed);
            near(
                &name("weighted activation"),
                n.weighted[3 * k + i],
                p[7 + i] * z.max(0.0),
                2.0 * p[7 + i].abs() * allowed,
            );
        }
        near(&format!("output at {x}"), n.outputs[k], output(&p, x), output_error(&p, x));
    }
}

/// Between two joints the outputs lie on one line, and there are no joints but those: where the outputs turn, by more than roundings, a
/// joint is less than a point away.
fn check_pieces(what: &str, p: &Parameters, outputs: &[f64], joints: &[f64; 3]) {
    for i in 0..3 {
        // Computed in f64 from the f32 parameters.
        near(&format!("{what}: joint {}", i + 1), joints[i], -p[2 * i] / p[2 * i + 1], 1e-12 * joints[i].abs());
    }
    let mut turns = HashMap::new();
    for k in 1..POINTS - 1 {
        let bend = (outputs[k + 1] - outputs[k]) - (outputs[k] - outputs[k - 1]);
        // The points are rounded as well: a slope times their error, three times.
        let slope: f64 = (0..3).map(|i| (p[7 + i] * p[2 * i + 1]).abs()).sum();
        let allowed = 4.0 * output_error(p, 1.0) + 4.0 * slope * U;
        if bend.abs() > allowed {
            let joint = joints.iter().position(|j| (j - point(k)).abs() <= 1.01 / POINTS as f64);
            turns.insert(joint.unwrap_or_else(|| panic!("{what}: turns by {bend} at {} without a joint", point(k))), k);
        }
    }
    // A joint that is inside must turn the line, as its unit's part there has a slope.
    for (i, joint) in joints.iter().enumerate() {
        let inside = *joint > point(2) && *joint < point(POINTS - 3);
        assert!(!inside || turns.contains_key(&i), "{what}: nothing turns at joint {}, {joint}", i + 1);
    }
}

fn check_fit(what: &str, fit: &Fit, start: &Parameters, settings: (u32, f64)) {
    let p = of(fit);
    let last = fit.losses[fit.losses.len() - 1];
    assert_eq!(fit.losses.len() as u32, settings.0 / STRIDE + 1, "{what}");
    near(&format!("{what}: first loss"), fit.losses[0], loss(start), loss_error(start));
    near(&format!("{what}: last loss"), last, loss(&p), loss_error(&p));
    (0..POINTS).for_each(|k| near(what, fit.outputs[k], output(&p, point(k)), output_error(&p, point(k))));
    check_pieces(what, &p, &fit.outputs, &fit.joints);
    assert!(last >= four_lines(), "{what}: no network has a loss of {last}");
}

/// The reference computes in f64 as this does, from the same start, and only what is read is rounded. The last bits of the two codes' sums
/// differ, which the descent does not enlarge beyond 1e-6.
fn check_path(what: &str, fit: &Fit, (losses, p): &(Vec<f64>, Parameters)) {
    losses.iter().zip(&fit.losses).for_each(|(want, got)| near(what, *got, *want, 1e-6 * want));
    of(fit).iter().zip(p).for_each(|(got, want)| near(what, *got, *want, 1e-6 * want.abs().max(0.1)));
}

fn check(device: &Device) {
    let folder = tempfile::tempdir().unwrap();
    let n = example::run(&Options::new("shallow", device.clone(), folder.path().into())).unwrap();
    let p = given();
    check_steps(&n);
    check_pieces("as given", &p, &n.outputs, &n.joints);
    // The units that are on in the pieces: 1, none, 2, 2 and 3.
    let part = |i: usize| p[7 + i] * p[2 * i + 1];
    let slopes = [part(0), 0.0, part(1), part(1) + part(2)];
    for (got, want) in n.slopes.iter().zip(slopes) {
        near("slope", *got, want, 4.0 * U * (part(1).abs() + part(2).abs()));
    }
    near("loss", n.loss, loss(&p), loss_error(&p));
    // What the notebook prints, with three decimals.
    near("loss", n.loss, 9.385, 0.5e-3);

    check_fit("all at once", &n.at_once, &p, FIT);
    check_fit("φ alone", &n.phi_only, &p, FIT_PHI);
    check_fit("in two steps", &n.in_two_steps, &of(&n.phi_only), FIT);
    if *device == Device::reference() {
        let phi_only = adam(p, 6, FIT_PHI);
        check_path("all at once", &n.at_once, &adam(p, 0, FIT));
        check_path("in two steps", &n.in_two_steps, &adam(phi_only.1, 0, FIT));
        check_path("φ alone", &n.phi_only, &phi_only);
    }
    let last = |fit: &Fit| fit.losses[fit.losses.len() - 1];

    // With θ fixed the loss is a quadratic of φ, whose minimum has a closed form. Adam must get there; and since θ did not move, the
    // start of the second step is that minimum, below which all ten parameters must get.
    assert_eq!(n.phi_only.theta, p[..6]);
    let (closed, _) = best_phi(&p);
    near("φ alone against the closed form", last(&n.phi_only), closed, 1e-4 * closed + loss_error(&of(&n.phi_only)));
    assert!(last(&n.in_two_steps) < 0.95 * closed, "{} against {closed}", last(&n.in_two_steps));
    // There, too, φ must be the best for its θ.
    let fitted = of(&n.in_two_steps);
    near("φ of the fit against the closed form", last(&n.in_two_steps), best_phi(&fitted).0, 1e-3 * closed);
    // All ten at once end in a worse minimum than φ alone: the first unit is off at all data, so nothing moves it any more.
    let stuck = of(&n.at_once);
    assert!(last(&n.at_once) > 4.0 * closed, "{}", last(&n.at_once));
    assert!(data().all(|(x, _)| before(&stuck, x)[0] <= 0.0), "{stuck:?}");
    assert!(gradient(&stuck)[..2] == [0.0, 0.0] && gradient(&stuck)[7] == 0.0);

    for name in ["units", "sum", "fits"] {
        let bytes = std::fs::read(folder.path().join(format!("{name}.png"))).unwrap();
        assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n"), "{name}");
    }
}

#[test]
fn reference() {
    check(&Device::reference());
}

#[test]
fn cpu() {
    check(&Device::cpu());
}
