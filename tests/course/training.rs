//! The example `training` against the golden numbers of Training I, II and III.
//!
//! Data, parameters, `alpha` and results are f32 on every device. [`Twin`] says how far a loss, a gradient or a path of given steps may
//! be off for that. A line search compares losses: where two differ by less than their rounding, the comparison may go either way, and
//! the search goes on in the other part of its bracket. So on a device that rounds each operation:
//! - each step from the golden's places must be the golden's, up to the width of the last bracket ([`search_error`]);
//! - a whole path may turn off at such a step, so each of its own steps is checked instead, against a search in f64.
//!
//! The reference rounds only what goes in and out, none of these comparisons changes, and its whole paths are compared.

#[path = "../../examples/training/main.rs"]
#[allow(dead_code, unreachable_pub)]
mod example;
#[path = "training_twin.rs"]
mod twin;

use example::common::Options;
use example::descent::{Descent, descend};
use example::gabor::{GABOR, STARTS};
use example::line_search::{Bracket, Found, Rule, line_search};
use example::linear::{LINE, search};
use example::problem::{Check, Point, Problem};
use serde_json::Value as Json;
use std::io::Write;
use std::path::Path;
use twin::{Near, ROUNDING, Twin};
use wgrad::{Device, Error, Session};

fn golden(name: &str) -> Json {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/networks");
    serde_json::from_str(&std::fs::read_to_string(format!("{folder}/udl_training_{name}.json")).unwrap()).unwrap()
}

fn number(value: &Json) -> f64 {
    value.as_f64().unwrap()
}

fn list(value: &Json) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

fn point(value: &Json) -> Point {
    let pair = list(value);
    assert_eq!(pair.len(), 2);
    (pair[0], pair[1])
}

fn points(value: &Json) -> Vec<Point> {
    value.as_array().unwrap().iter().map(point).collect()
}

fn near(what: &str, got: f64, want: f64, allowed: f64) {
    assert!((got - want).abs() <= allowed, "{what} is {got}, golden {want}, allowed {allowed:e}");
}

fn near_point(what: &str, got: Point, want: Point, allowed: f64) {
    near(&format!("{what}, first parameter"), got.0, want.0, allowed);
    near(&format!("{what}, second parameter"), got.1, want.1, allowed);
}

fn is_picture(folder: &Path, name: &str) {
    let bytes = std::fs::read(folder.join(format!("{name}.png"))).unwrap();
    assert!(bytes.starts_with(b"\x89PNG"), "{name}");
}

/// Options and a session; `None` (and a message) on a machine without such a device, unless one is required.
fn open(device: &Device, folder: &Path) -> Option<(Options, Session)> {
    let options = Options::new("training", device.clone(), folder.into());
    match options.session() {
        Ok(session) => Some((options, session)),
        Err(Error::Device(message)) if std::env::var_os("WGRAD_REQUIRE_GPU").is_none() => {
            let _ = writeln!(std::io::stderr(), "SKIPPED: {device}: {message}");
            None
        }
        Err(error) => panic!("{device}: {error}"),
    }
}

/// How often a search moved its points half way to an `a` above 0, where the notebook's first edition halved them instead.
fn halved_above_zero(searches: &[Found]) -> usize {
    let steps = searches.iter().flat_map(|found| &found.steps);
    steps.filter(|(bracket, rule)| *rule == Rule::Halve && bracket.a > 0.0).count()
}

fn one_number(device: &Device) {
    let folder = tempfile::tempdir().unwrap();
    let Some((options, mut session)) = open(device, folder.path()) else { return };
    let got = example::one_number::run(&options, &mut session).unwrap();
    let golden = golden("I_line_search");
    let want = &golden["expected"];
    // The brackets are computed in f64; none of their losses are so close that a rounding matters.
    near("solution", got.found.minimum, number(&want["solution"]), 1e-14);
    let brackets = want["brackets_abcd"].as_array().unwrap();
    assert_eq!(got.found.steps.len() as u64, want["iterations"].as_u64().unwrap());
    assert_eq!(got.found.steps.len(), brackets.len());
    for ((bracket, _), want) in got.found.steps.iter().zip(brackets) {
        for (got, want) in bracket.points().into_iter().zip(list(want)) {
            near("bracket", got, want, 1e-14);
        }
    }
    assert_eq!(halved_above_zero(std::slice::from_ref(&got.found)), 0);
    // The slope is at most 4 and phi is rounded; then about ten operations on numbers up to 1, and WGSL's exp may be off by
    // 3 + 2|x| units, here with |x| up to 20, where it is 2e-9.
    let allowed = (4.0 + 20.0) * ROUNDING;
    near("loss", got.loss, number(&want["loss"]), allowed);
    near("loss at 0.35", got.at_bumps[0], number(&want["local_minima_check"]["loss_at_0p35"]), allowed);
    near("loss at 0.65", got.at_bumps[1], number(&want["local_minima_check"]["loss_at_0p65"]), allowed);
    ["line-search", "brackets"].iter().for_each(|name| is_picture(folder.path(), name));
}

/// A loss with its gradient, also by finite differences of step 1e-4, where a loss's rounding is divided by that step.
fn check(got: &Check, twin: &Twin, phi: Point, device: &Device, gradient: &Json, differences: &Json) {
    let (loss, slope) = (twin.loss(phi), twin.gradient(phi, &twin.all()));
    near("loss", got.loss, loss.value, loss.error);
    let allowed = slope[0].error.max(slope[1].error);
    near_point("gradient", got.gradient, point(gradient), allowed);
    let of_losses = if *device == Device::reference() { 0.0 } else { 2.0 * loss.error / 1e-4 };
    near_point("finite differences", got.differences, point(differences), allowed + of_losses);
}

/// How far a search along the gradient may end from where it ends in f64.
///
/// Both end anywhere in their last bracket. Losses below each other's rounding look equal: where the curvature is `k` and a loss may
/// be off by `e`, those are within `√(2e/k)` of the minimum; a bracket of which that is a third is divided by chance.
fn search_error(twin: &Twin, phi: Point, alpha: f64, last: Bracket) -> f64 {
    let slope = twin.gradient(phi, &twin.all());
    let at = |alpha: f64| twin.loss((phi.0 - alpha * slope[0].value, phi.1 - alpha * slope[1].value));
    let step = 0.01 * alpha;
    let curvature = (at(alpha + step).value - 2.0 * at(alpha).value + at(alpha - step).value) / (step * step);
    assert!(curvature > 0.0);
    last.d - last.a + 3.0 * (2.0 * at(alpha).error / curvature).sqrt()
}

/// A step of a descent against the search and the step in f64 from the same place.
fn check_step(what: &str, twin: &Twin, max_distance: f64, [from, to]: [Point; 2], got: f64) {
    let slope = twin.gradient(from, &twin.all());
    let at = |alpha: f64| (from.0 - alpha * slope[0].value, from.1 - alpha * slope[1].value);
    let exact = line_search(search(max_distance), |alpha| Ok(twin.loss(at(alpha)).value)).unwrap();
    near(&format!("{what}: alpha"), got, exact.minimum, search_error(twin, from, exact.minimum, exact.last));
    let step = twin.step(from, &twin.all(), got);
    let allowed = step[0].error.max(step[1].error) + ROUNDING * got * slope[0].value.abs().max(slope[1].value.abs());
    near_point(&format!("{what}: step"), to, (step[0].value, step[1].value), allowed);
}

fn check_descent(
    session: &mut Session,
    (problem, twin): (&Problem, &Twin),
    max_distance: f64,
    got: &Descent,
    want: &Json,
) {
    let (path, losses, alphas) = (points(&want["phi"]), list(&want["loss"]), list(&want["alpha"]));
    let iterations = list(&want["line_search_iters"]);
    assert_eq!((got.path.points.len(), got.searches.len()), (path.len(), alphas.len()));
    assert!(got.searches.iter().zip(&iterations).all(|(found, &count)| found.steps.len() as f64 == count));
    assert_eq!(halved_above_zero(&got.searches) as u64, want["rule1_fired_with_a_nonzero"].as_u64().unwrap());

    // The losses at the golden's places, and at the path's own.
    let at_golden = problem.losses(session, &path).unwrap();
    for (k, &phi) in path.iter().enumerate() {
        near(&format!("loss {k}"), at_golden[k], losses[k], twin.loss(phi).error);
        let own = twin.loss(got.path.points[k]);
        near(&format!("own loss {k}"), got.path.losses[k], own.value, own.error);
    }
    let exact = *session.device() == Device::reference();
    for (k, &alpha) in alphas.iter().enumerate() {
        let steps = [got.path.points[k], got.path.points[k + 1]];
        check_step(&format!("own step {k}"), twin, max_distance, steps, got.searches[k].minimum);
        if exact {
            // The same decisions give the same alpha. Its rounding and that of the data and parameters move the later gradients
            // by a few units of numbers up to 16.
            near(&format!("alpha {k}"), got.searches[k].minimum, alpha, 1e-12);
            near_point(&format!("phi {}", k + 1), got.path.points[k + 1], path[k + 1], 16.0 * 8.0 * ROUNDING);
            continue;
        }
        let one = descend(session, problem, path[k], 1, search(max_distance)).unwrap();
        let width = search_error(twin, path[k], alpha, one.searches[0].last);
        near(&format!("alpha {k} from the golden's place"), one.searches[0].minimum, alpha, width);
        let slope = twin.gradient(path[k], &twin.all());
        let steep = slope[0].value.abs().max(slope[1].value.abs());
        near_point(&format!("phi {} from the golden's", k + 1), one.path.points[1], path[k + 1], 1.001 * width * steep);
    }
}

fn linear(device: &Device) {
    let folder = tempfile::tempdir().unwrap();
    let Some((options, mut session)) = open(device, folder.path()) else { return };
    let golden = golden("II_gradient_descent");
    let want = &golden["expected"];
    let data = golden["inputs"]["data"].as_array().unwrap();
    assert_eq!([LINE.x.to_vec(), LINE.y.to_vec()], [list(&data[0]), list(&data[1])]);
    let twin = Twin::new(&LINE, false);

    let got = example::linear::run(&options, &mut session).unwrap();
    let phi = point(&golden["inputs"]["phi_check"]);
    near("loss", got.check.loss, number(&want["loss_check"]), twin.loss(phi).error);
    check(&got.check, &twin, phi, device, &want["gradient_check"], &want["finite_difference_1e_4"]);
    for (max_distance, got, name) in [(0.1, &got.short, "0p1"), (2.0, &got.long, "2")] {
        let name = format!("trajectory_max_dist_{name}");
        check_descent(&mut session, (&LINE, &twin), max_distance, got, &want[&name]);
        // The golden has both editions of rule 1.
        assert_eq!(want[&name], want[format!("{name}_fixed_rule1")]);
    }
    // Sums of 12 products of numbers up to 2, and a division by the variance, which is above 4.
    near_point("least squares", got.optimum, point(&want["least_squares_optimum"]), 40.0 * ROUNDING);
    let allowed = twin.loss(got.optimum).error;
    near("least loss", got.optimum_loss, number(&want["optimum_loss"]), allowed);
    is_picture(folder.path(), "linear");
}

/// A path of given steps against the golden's.
fn check_path(got: &example::descent::Path, twin: &Twin, batches: &[Vec<usize>], rate: f64, want: (&Json, &Json)) {
    let (path, losses) = (points(want.0), list(want.1));
    let drift = twin.drift(&path, batches, rate);
    assert_eq!(got.points.len(), path.len());
    for k in 0..path.len() {
        near_point(&format!("phi {k}"), got.points[k], path[k], drift[k]);
        let own = twin.loss(got.points[k]);
        near(&format!("own loss {k}"), got.losses[k], own.value, own.error);
        // The loss changes with the place, by the gradient and a curvature below 100.
        let slope = twin.gradient(path[k], &twin.all());
        let moved = drift[k] * (slope[0].value.abs() + slope[1].value.abs()) + 100.0 * drift[k] * drift[k];
        near(&format!("loss {k}"), got.losses[k], losses[k], own.error + moved);
    }
}

fn gabor(device: &Device) {
    let folder = tempfile::tempdir().unwrap();
    let Some((options, mut session)) = open(device, folder.path()) else { return };
    let golden = golden("III_gabor");
    let (inputs, want) = (&golden["inputs"], &golden["expected"]);
    let data = inputs["data"].as_array().unwrap();
    assert_eq!([GABOR.x.to_vec(), GABOR.y.to_vec()], [list(&data[0]), list(&data[1])]);
    assert_eq!(STARTS[..2], [point(&inputs["start_line_search"]), point(&inputs["start_sgd"])]);
    let twin = Twin::new(&GABOR, true);

    let got = example::gabor::run(&options, &mut session).unwrap();
    near("loss", got.loss_check, number(&want["loss_check"]), twin.loss(point(&inputs["loss_check_phi"])).error);
    let (gradient, differences) = (&want["gradient_at_phi_check"], &want["finite_difference_1e_4"]);
    check(&got.check, &twin, point(&inputs["phi_check"]), device, gradient, differences);
    check_descent(&mut session, (&GABOR, &twin), 2.0, &got.line_search, &want["line_search"]);
    assert_eq!(want["line_search"], want["line_search_fixed_rule1"]);
    let all = vec![twin.all(); 21];
    let rate = |method: &str| number(&golden["hyper"][method]["alpha"]);
    let fixed = (&want["fixed_rate"]["phi"], &want["fixed_rate"]["loss"]);
    check_path(&got.fixed_rate, &twin, &all, rate("fixed"), fixed);
    let batches: Vec<Vec<usize>> = serde_json::from_value(want["sgd"]["batch_indices"].clone()).unwrap();
    assert_eq!(got.sgd_batches, batches);
    check_path(&got.sgd, &twin, &batches, rate("sgd"), (&want["sgd"]["phi"], &want["sgd"]["full_loss"]));

    // The minimum is lower than everything the golden saw, and the gradient is 0 there: with a curvature above 1, the parameters'
    // rounding and the last step's size explain 1e-4.
    let lowest = list(&want["line_search"]["loss"]).into_iter().fold(f64::INFINITY, f64::min);
    assert!(got.minimum_loss < lowest);
    let Near { value, error } = twin.loss(got.minimum);
    near("minimum", got.minimum_loss, value, error);
    assert!(twin.gradient(got.minimum, &twin.all()).iter().all(|slope| slope.value.abs() < 1e-4));

    // Which starts lead to the best valley, as the guide says.
    let found = [
        ("line search", [true, false, false, false, true, false]),
        ("fixed rate", [true, false, false, false, true, false]),
        ("SGD", [false, false, false, false, true, false]),
        ("momentum", [true, false, false, false, true, false]),
        ("Adam", [true, true, false, false, true, false]),
    ];
    assert_eq!(got.compared.len(), found.len());
    for (got, (name, found)) in got.compared.iter().zip(found) {
        assert_eq!((got.name, &got.in_best_valley[..]), (name, &found[..]));
    }
    // The same batches from the same start: the comparison's SGD begins with the golden's path.
    let compared = &got.compared[2].paths[1].points;
    let drift = twin.drift(&points(&want["sgd"]["phi"]), &batches, rate("sgd"));
    (0..drift.len()).for_each(|k| near_point("compared", compared[k], got.sgd.points[k], 2.0 * drift[k]));
    ["gabor", "all-points", "few-points"].iter().for_each(|name| is_picture(folder.path(), name));
}

#[test]
fn a_line_search_on_every_device() {
    [Device::reference(), Device::cpu(), Device::gpu()].iter().for_each(one_number);
}

#[test]
fn a_straight_line_on_the_reference() {
    linear(&Device::reference());
}

#[test]
fn a_straight_line_on_the_cpu() {
    linear(&Device::cpu());
}

#[test]
fn a_straight_line_on_a_gpu() {
    linear(&Device::gpu());
}

#[test]
fn the_gabor_model_on_the_reference() {
    gabor(&Device::reference());
}

#[test]
fn the_gabor_model_on_the_cpu() {
    gabor(&Device::cpu());
}
