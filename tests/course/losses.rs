//! The example `losses` against the golden numbers of Loss I, II and III.
//!
//! Data, parameters and results are f32 on every device, and all but the reference round every operation. How far each number may be
//! off for that comes from the same formulas here, computed with error bounds ([`Near`]).

#[path = "../../examples/losses/main.rs"]
#[allow(dead_code, unreachable_pub)]
mod example;
#[path = "losses_near.rs"]
mod near;

use example::common::Options;
use example::heteroscedastic::{Heteroscedastic, true_sigma};
use example::sweep::{Curve, Sweep};
use example::{bernoulli, categorical, gaussian, network};
use near::{Near, product, sum};
use serde_json::Value as Json;
use std::f64::consts::PI;
use wgrad::Device;

fn golden(name: &str) -> Json {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/networks");
    serde_json::from_str(&std::fs::read_to_string(format!("{folder}/udl_loss_{name}.json")).unwrap()).unwrap()
}

/// The numbers of a nested list in order.
fn flat(value: &Json) -> Vec<f64> {
    match value {
        Json::Array(list) => list.iter().flat_map(flat).collect(),
        other => vec![other.as_f64().unwrap()],
    }
}

/// What the example found, the golden number, and the bound; the bound's own value must be the golden number, too.
fn check(what: &str, got: f64, golden: &Json, bound: Near) {
    let want = golden.as_f64().unwrap();
    let same = (bound.value - want).abs() <= 1e-9 * want.abs();
    assert!(same, "{what}: the test's own value is {}, golden {want}", bound.value);
    assert!((got - want).abs() <= bound.error, "{what} is {got}, golden {want}, allowed {:e}", bound.error);
}

fn check_all(what: &str, got: &[f64], golden: &Json, bounds: &[Near]) {
    // A list with one row for each output, or just numbers.
    let golden: Vec<Json> = flat(golden).into_iter().map(Json::from).collect();
    assert_eq!((got.len(), bounds.len()), (golden.len(), golden.len()), "{what}");
    for k in 0..got.len() {
        check(&format!("{what}, {k}"), got[k], &golden[k], bounds[k]);
    }
}

/// The network's hidden units and outputs for the golden's parameters, `[example][output]`, without the output's bias.
struct Network {
    y: Vec<f64>,
    beta_1: Vec<f64>,
    outputs: Vec<Vec<Near>>,
}

impl Network {
    fn new(inputs: &Json) -> Self {
        let [x, y, beta_0, omega_0, beta_1, omega_1] =
            ["x_train", "y_train", "beta_0", "omega_0", "beta_1", "omega_1"].map(|name| flat(&inputs[name]));
        assert_eq!(x, network::X);
        let hidden = |x: f64, k: usize| (Near::new(beta_0[k]) + Near::new(omega_0[k]) * Near::new(x)).relu();
        let output = |x: f64, row: &[f64]| sum((0..3).map(|k| Near::new(row[k]) * hidden(x, k)));
        let outputs = x.iter().map(|&x| omega_1.chunks(3).map(|row| output(x, row)).collect()).collect();
        Network { y, beta_1, outputs }
    }
    /// Each example's outputs with these biases, and its `y`.
    fn examples(&self, beta_1: &[f64]) -> Vec<(Vec<Near>, f64)> {
        let with_bias = |outputs: &Vec<Near>| outputs.iter().zip(beta_1).map(|(&o, &b)| o + Near::new(b)).collect();
        self.outputs.iter().map(with_bias).zip(self.y.iter().copied()).collect()
    }
}

/// Of the probabilities of all examples: the likelihood and its negative logarithm. None of them is above `largest`.
fn likelihood(p: &[Near], largest: f64) -> [Near; 2] {
    [product(p, largest), -sum(p.iter().map(|p| p.ln()))]
}

/// A sweep against the golden's; `bounds` gives the likelihood, its negative logarithm and what else there is for each value.
fn check_sweep(what: &str, got: &Sweep, golden: &Json, bounds: impl Fn(f64) -> Vec<Near>) {
    let values = flat(&golden["values"]);
    assert_eq!(got.at, values, "{what}");
    let bounds: Vec<Vec<Near>> = values.iter().map(|&at| bounds(at)).collect();
    let curve = |got: &Curve, k: usize, name: &str, best: &str| {
        let bounds: Vec<Near> = bounds.iter().map(|b| b[k]).collect();
        check_all(&format!("{what}, {name}"), &got.values, &golden[name], &bounds);
        // The second best is further away than any rounding.
        let short = name.replace("sum_sq", "sumsq");
        assert_eq!(values[got.best], golden[format!("arg{best}_{short}")].as_f64().unwrap(), "{what}, {name}");
        check(
            &format!("{what}, {best} {name}"),
            got.values[got.best],
            &golden[format!("{best}_{short}")],
            bounds[got.best],
        );
    };
    curve(&got.likelihood, 0, "likelihood", "max");
    curve(&got.nll, 1, "nll", "min");
    assert_eq!(got.squares.is_some(), golden.get("sum_sq").is_some());
    if let Some(squares) = &got.squares {
        curve(squares, 2, "sum_sq", "min");
    }
}

fn density(y: f64, mean: Near, sigma: f64) -> Near {
    let z = (Near::new(y) - mean) / Near::new(sigma);
    (-(z.square() / Near::new(2.0))).exp() / (Near::new(sigma) * Near::new((2.0 * PI).sqrt()))
}

fn check_gaussian(got: &gaussian::Gaussian) {
    let golden = golden("I_gaussian");
    let (inputs, want) = (&golden["inputs"], &golden["expected"]);
    let network = Network::new(inputs);
    assert_eq!(network.y, gaussian::Y);
    let sigma = inputs["sigma"].as_f64().unwrap();
    check("density", got.density, &want["normal_1_m1_2p3"], density(1.0, Near::new(-1.0), 2.3));

    let of = |beta_1: f64, sigma: f64| {
        let examples = network.examples(&[beta_1]);
        let p: Vec<Near> = examples.iter().map(|(mean, y)| density(*y, mean[0], sigma)).collect();
        let squares = sum(examples.iter().map(|(mean, y)| (Near::new(*y) - mean[0]).square()));
        let [likelihood, nll] = likelihood(&p, 1.0 / (sigma * (2.0 * PI).sqrt()));
        vec![likelihood, nll, squares]
    };
    let bounds = of(network.beta_1[0], sigma);
    check("likelihood", got.likelihood, &want["likelihood"], bounds[0]);
    check("nll", got.nll, &want["nll"], bounds[1]);
    check("nll of the library", got.library_nll, &want["nll"], bounds[1]);
    check("sum of squares", got.squares, &want["sum_of_squares"], bounds[2]);
    let examples = network.examples(&network.beta_1);
    let means: Vec<Near> = examples.iter().map(|(mean, _)| mean[0]).collect();
    check_all("mean", &got.mean, &want["mu_pred"], &means);
    let gradient = |(mean, y): &(Vec<Near>, f64)| {
        // As the chain rule multiplies it: of the logarithm, the exponential and the square.
        let (p, z) = (density(*y, mean[0], sigma), (Near::new(*y) - mean[0]) / Near::new(sigma));
        -(p * z / Near::new(sigma)) / p
    };
    check_all("gradient", &got.gradient, &want["dnll_dmu"], &examples.iter().map(gradient).collect::<Vec<_>>());
    check_sweep("sweep of beta_1", &got.beta_1, &want["sweep_beta1"], |beta_1| of(beta_1, sigma));
    check_sweep("sweep of sigma", &got.sigma, &want["sweep_sigma_beta1_0p27"], |sigma| of(0.27, sigma));
}

/// The probability of a class where that of 1 is `lambda`.
fn of_class(y: f64, lambda: Near) -> Near {
    if y == 1.0 { lambda } else { Near::new(1.0) - lambda }
}

fn check_bernoulli(got: &bernoulli::Bernoulli) {
    let golden = golden("II_bernoulli");
    let want = &golden["expected"];
    let network = Network::new(&golden["inputs"]);
    assert_eq!(network.y, bernoulli::Y);
    for (k, printed) in golden["checks"].as_array().unwrap()[..2].iter().enumerate() {
        check("probability", got.probabilities[k], &printed["computed"], of_class(k as f64, Near::new(0.2)));
    }
    let of = |beta_1: f64| {
        let examples = network.examples(&[beta_1]);
        let p: Vec<Near> = examples.iter().map(|(logit, y)| of_class(*y, logit[0].sigmoid())).collect();
        likelihood(&p, 1.0).to_vec()
    };
    let bounds = of(network.beta_1[0]);
    check("likelihood", got.likelihood, &want["likelihood"], bounds[0]);
    check("nll", got.nll, &want["nll"], bounds[1]);
    check("nll of the library", got.library_nll, &want["nll"], bounds[1]);
    let examples = network.examples(&network.beta_1);
    let logits: Vec<Near> = examples.iter().map(|(logit, _)| logit[0]).collect();
    let lambda: Vec<Near> = logits.iter().map(|logit| logit.sigmoid()).collect();
    check_all("logit", &got.logits, &want["model_out"], &logits);
    check_all("lambda", &got.lambda, &want["lambda_train"], &lambda);
    let gradient = |(lambda, y): (&Near, &f64)| {
        // Of the logarithm and the sigmoid.
        let slope = *lambda * (Near::new(1.0) - *lambda) / of_class(*y, *lambda);
        if *y == 1.0 { -slope } else { slope }
    };
    let gradient: Vec<Near> = lambda.iter().zip(&network.y).map(gradient).collect();
    check_all("gradient", &got.gradient, &want["dnll_dlogit"], &gradient);
    check_sweep("sweep of beta_1", &got.beta_1, &want["sweep_beta1"], of);
}

fn softmax(logits: &[Near]) -> Vec<Near> {
    let largest = logits.iter().map(|l| l.value).fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<Near> = logits.iter().map(|&l| (l - Near { value: largest, error: 0.0 }).exp()).collect();
    let total = sum(powers.iter().copied());
    powers.into_iter().map(|p| p / total).collect()
}

/// `[class, example]` from a list of classes for each example.
fn by_class(examples: &[Vec<Near>]) -> Vec<Near> {
    (0..3).flat_map(|class| examples.iter().map(move |e| e[class])).collect()
}

fn check_categorical(got: &categorical::Categorical) {
    let golden = golden("III_categorical");
    let want = &golden["expected"];
    let network = Network::new(&golden["inputs"]);
    assert_eq!(network.y, categorical::Y.map(f64::from));
    let of = |first: f64| {
        let examples = network.examples(&[first, network.beta_1[1], network.beta_1[2]]);
        let p: Vec<Near> = examples.iter().map(|(logits, y)| softmax(logits)[*y as usize]).collect();
        likelihood(&p, 1.0).to_vec()
    };
    let bounds = of(network.beta_1[0]);
    check("likelihood", got.likelihood, &want["likelihood"], bounds[0]);
    check("nll", got.nll, &want["nll"], bounds[1]);
    check("nll of the library", got.library_nll, &want["nll"], bounds[1]);
    let logits: Vec<Vec<Near>> = network.examples(&network.beta_1).into_iter().map(|(logits, _)| logits).collect();
    let lambda: Vec<Vec<Near>> = logits.iter().map(|logits| softmax(logits)).collect();
    check_all("logit", &got.logits, &want["model_out"], &by_class(&logits));
    check_all("lambda", &got.lambda, &want["lambda_train"], &by_class(&lambda));
    let gradient = |(lambda, y): (&Vec<Near>, &f64)| {
        // Of the logarithm, then of the softmax: each probability times what its slope is above the mean slope.
        let y = *y as usize;
        let slope = Near::new(1.0) / lambda[y];
        let mean = lambda[y] * slope;
        let of = |class: usize| lambda[class] * if class == y { mean - slope } else { mean };
        (0..3).map(of).collect()
    };
    let gradient: Vec<Vec<Near>> = lambda.iter().zip(&network.y).map(gradient).collect();
    check_all("gradient", &got.gradient, &want["dnll_dlogit"], &by_class(&gradient));
    check_sweep("sweep of beta_1", &got.beta_1, &want["sweep_beta1_0"], of);
}

/// There are no golden numbers: the network must find the noise that the data was generated with.
fn check_heteroscedastic(got: &Heteroscedastic) {
    let last = |losses: &[f64]| losses[losses.len() - 1];
    let (varying, constant) = (last(&got.varying.losses), last(&got.constant.losses));
    assert_eq!((got.varying.losses.len(), got.varying.sigma.len(), got.varying.mean.len()), (21, 101, 101));
    // 200 points and a network of a few degrees of freedom: fitting the noise gains about half a unit for each, over 200.
    assert!((varying - got.true_loss).abs() < 0.05, "{varying}, true {}", got.true_loss);
    assert!(constant > varying + 0.3, "{constant}, {varying}");
    // With one variance, the best is the mean squared residual, and then the loss is that of its logarithm alone.
    let sigma = got.constant.sigma[0];
    assert!(got.constant.sigma.iter().all(|s| *s == sigma));
    let best = 0.5 * (2.0 * PI * sigma * sigma).ln() + 0.5;
    assert!((constant - best).abs() < 0.01, "{constant}, {best}");
    // About 40 points decide sigma at each x: a standard error of 1/√80. Inside the data, three of them.
    for k in 5..=95 {
        let (found, want) = (got.varying.sigma[k], true_sigma(0.01 * k as f64));
        assert!((found / want - 1.0).abs() < 3.0 / 80f64.sqrt(), "sigma {found} at {k}, true {want}");
    }
}

fn run(device: Device) {
    let folder = tempfile::tempdir().unwrap();
    let got = example::run(&Options::new("losses", device, folder.path().into())).unwrap();
    check_gaussian(&got.gaussian);
    check_bernoulli(&got.bernoulli);
    check_categorical(&got.categorical);
    check_heteroscedastic(&got.heteroscedastic);
    for name in ["gaussian", "gaussian-model", "bernoulli", "categorical", "heteroscedastic"] {
        let bytes = std::fs::read(folder.path().join(format!("{name}.png"))).unwrap();
        assert!(bytes.starts_with(b"\x89PNG"), "{name}");
    }
}

#[test]
fn losses_on_the_reference() {
    run(Device::reference());
}

#[test]
fn losses_on_the_cpu() {
    run(Device::cpu());
}
