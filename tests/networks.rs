//! Networks somebody wrote and computed by hand, on every device: the numbers they printed or that follow from them.
//!
//! On the reference nothing is rounded to f32 and the numbers must come out as in f64. Elsewhere:
//! - what one run computes may be off by [`common::first_run_bounds`];
//! - after many updates, how far a run drifts is a property of the network, so it is measured: by running the reference
//!   once more with every operation's result rounded to f32. A device's operations are off by more than that half
//!   unit (WGSL grants `exp` 3 + 2|x| units), so it may drift [`MARGIN`] times as far.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Machine, Values, distance, first_run_bounds, json, largest, numbers, on_every_device};
use serde_json::Value as Json;
use wgrad::{ConvOptions, Device, Graph, Tensor, Variable};

/// f64 sums in another order than the golden's, over up to 10,000 updates.
const TIGHT: f64 = 1e-10;
/// A device's drift in units of the measured one, and of f32's epsilon where that measured 0 by chance.
const MARGIN: f64 = 16.0;

/// Runs on the device; and on the reference, exact and rounded, if there is a drift to measure.
struct Runs<'g> {
    what: String,
    device: Machine<'g>,
    twins: Option<(Machine<'g>, Machine<'g>)>,
    worst: f64,
}

impl<'g> Runs<'g> {
    fn new(device: &Device, what: &str, graph: &'g Graph, outputs: &[Tensor<'g>], values: &Values) -> Option<Self> {
        let machine = Machine::on(device, graph, outputs, values)?;
        let exact = matches!(machine, Machine::Exact(_));
        let twins =
            (!exact).then(|| (Machine::exact(graph, outputs, values), Machine::rounded(graph, outputs, values)));
        Some(Runs { what: format!("{what} on {device}"), device: machine, twins, worst: 0.0 })
    }
    fn all(&mut self) -> impl Iterator<Item = &mut Machine<'g>> {
        let twins = self.twins.iter_mut().flat_map(|(a, b)| [a, b]);
        std::iter::once(&mut self.device).chain(twins)
    }
    fn steps(&mut self, count: usize) {
        self.all().for_each(|m| m.steps(count as u32));
    }
    /// What `f` gives on the device must be the golden numbers.
    fn check(&mut self, name: &str, golden: &[&Json], f: impl Fn(&mut Machine<'g>) -> Vec<Vec<f64>>) {
        let got: Vec<Vec<Vec<f64>>> = self.all().map(f).collect();
        for (k, golden) in golden.iter().enumerate() {
            let want = numbers(golden).1;
            let allowed = match &got[1..] {
                [exact, rounded] => {
                    let drift = distance(&exact[k], &rounded[k]);
                    MARGIN * (drift + f64::from(f32::EPSILON) * largest(&want).max(1e-3))
                }
                _ => TIGHT * largest(&want).max(1e-3),
            };
            let error = distance(&got[0][k], &want);
            assert!(error <= allowed, "{}: {name} {k}: off by {error:e}, allowed {allowed:e}", self.what);
            self.worst = self.worst.max(error / allowed);
        }
    }
    fn check_run(&mut self, name: &str, golden: &[&Json]) {
        self.check(name, golden, |m| m.run());
    }
    fn check_variables(&mut self, name: &str, golden: &[&Json], variables: &[Variable]) {
        self.check(name, golden, |m| variables.iter().map(|v| m.read(v)).collect());
    }
}

impl Drop for Runs<'_> {
    fn drop(&mut self) {
        eprintln!("{}: worst {:.3} of what is allowed", self.what, self.worst);
    }
}

/// One run's outputs against golden numbers.
fn check_once(device: &Device, what: &str, values: &Values, graph: &Graph, outputs: &[(Tensor<'_>, &Json)]) {
    let wanted: Vec<Tensor<'_>> = outputs.iter().map(|(t, _)| graph.tensor(t.id())).collect();
    let Some(mut machine) = Machine::on(device, graph, &wanted, values) else { return };
    let exact = matches!(machine, Machine::Exact(_));
    let bounds = first_run_bounds(graph, &wanted, values);
    let mut worst = 0f64;
    for (k, got) in machine.run().iter().enumerate() {
        let want = numbers(outputs[k].1).1;
        assert_eq!(got.len(), want.len(), "{what}: output {k}");
        for (i, (g, w)) in got.iter().zip(&want).enumerate() {
            let allowed = if exact { TIGHT * largest(&want) } else { bounds[k][i] + TIGHT * w.abs() };
            let error = (g - w).abs();
            assert!(error <= allowed, "{what} on {device}: {k}[{i}] is {g}, golden {w}, allowed {allowed:e}");
            worst = worst.max(if error == 0.0 { 0.0 } else { error / allowed });
        }
    }
    eprintln!("{what} on {device}: worst {worst:.3} of what is allowed");
}

/// `variable ← variable − rate · gradient`.
fn descend<'g>(graph: &'g Graph, variables: &[Variable], gradients: &[Tensor<'g>], rate: f64) {
    for (variable, gradient) in variables.iter().zip(gradients) {
        (graph.variable(variable) - *gradient * rate).assign_to(variable);
    }
}

/// 2-2-1 with biases, half the squared error. The network's author subtracted the gradient of the wrong sign, so
/// `sign` −1 ascends and drives all outputs to 1; +1 is the descent that was meant.
fn xor_half_squares(device: &Device, golden: &Json, expected: &Json, sign: f64, rate: f64, epochs: usize) {
    let graph = Graph::new();
    let mut values = Values::default();
    let inputs = &golden["inputs"];
    let [x, y] = ["X", "y"].map(|k| graph.variable(&values.json(k, &inputs[k])));
    let parameters = ["W1", "W2", "b0", "b1"].map(|k| values.json(k, &inputs[k]));
    let [w1, w2, b0, b1] = [0, 1, 2, 3].map(|k| graph.variable(&parameters[k]));
    let hidden = (x.matmul(w1) + b0).sigmoid();
    let predicted = (hidden.matmul(w2) + b1).sigmoid();
    let loss = (y - predicted).square().sum(..) * 0.5;
    let gradients = loss.grad(&[w1, w2, b0, b1]);
    descend(&graph, &parameters, &gradients, rate * sign);

    // The author's terms are the negative gradients.
    let terms = &expected["first_step_terms_before_lr"];
    let terms = ["W1", "dL_times_sign_W2", "b0", "b1"].map(|k| &terms[k]);
    let first: Vec<(Tensor<'_>, &Json)> = gradients.iter().map(|g| -*g).zip(terms).collect();
    check_once(device, "first gradients", &values, &graph, &first);

    let Some(mut runs) = Runs::new(device, "xor, half squares", &graph, &[loss, predicted], &values) else { return };
    let mut done = 0;
    for entry in expected["log"].as_array().unwrap() {
        let epoch = entry["epoch"].as_u64().unwrap() as usize;
        if epoch >= epochs {
            continue;
        }
        runs.steps(epoch - done);
        runs.check_run(&format!("epoch {epoch}"), &[&entry["half_sum_sq"], &entry["y_pred"]]);
        done = epoch + 1;
    }
    if done == 10_000 {
        runs.check_variables("final", &["W1", "W2", "b0", "b1"].map(|k| &expected[k]), &parameters);
    }
}

fn seed000_ascends(device: &Device) {
    let golden = json("networks/seed000_xor.json");
    xor_half_squares(device, &golden, &golden["expected_as_printed"], -1.0, 0.01, 10_000);
}

fn seed000_with_the_right_sign(device: &Device) {
    let golden = json("networks/seed000_xor.json");
    xor_half_squares(device, &golden, &golden["expected_with_correct_sign"], 1.0, 0.01, 10_000);
    // The run of 200,000 epochs, as far as its log goes in the first 2,001.
    xor_half_squares(device, &golden, &golden["correct_sign_lr0p5_200000_epochs"], 1.0, 0.5, 2_001);
}

/// 3-4-1 without bias, half the squared error, 1,000 full batches.
fn seed001(device: &Device) {
    let golden = json("networks/seed001_341.json");
    let (inputs, expected) = (&golden["inputs"], &golden["expected"]);
    let graph = Graph::new();
    let mut values = Values::default();
    let [x, y] = ["x", "y"].map(|k| graph.variable(&values.json(k, &inputs[k])));
    let parameters = ["weight1", "weight2"].map(|k| values.json(k, &inputs[k]));
    let [w1, w2] = [0, 1].map(|k| graph.variable(&parameters[k]));
    let output = x.matmul(w1).sigmoid().matmul(w2).sigmoid();
    let loss = (output - y).square().sum(..) * 0.5;
    let gradients = loss.grad(&[w1, w2]);
    descend(&graph, &parameters, &gradients, 1.0);
    let first =
        [(output, "initial_output"), (gradients[0], "grad_weight1_iter0"), (gradients[1], "grad_weight2_iter0")];
    check_once(device, "3-4-1, first run", &values, &graph, &first.map(|(t, k)| (t, &expected[k])));

    let Some(mut runs) = Runs::new(device, "3-4-1", &graph, &[loss, output], &values) else { return };
    for iteration in 0..1000 {
        let first = expected["losses_first_20"].get(iteration);
        let hundredth = expected["loss_every_100"].get(iteration / 100).filter(|_| iteration % 100 == 0);
        match first.or(hundredth) {
            Some(loss) => runs.check_run(&format!("iteration {iteration}"), &[loss]),
            None if iteration == 999 => {
                runs.check_run("iteration 999", &[&expected["loss_last"], &expected["output_iter_999"]]);
            }
            None => runs.steps(1),
        }
    }
    runs.check_variables("final", &["final_weight1", "final_weight2"].map(|k| &expected[k]), &parameters);
    runs.check("after training", &[&expected["output_after_all"]], |m| vec![m.run().swap_remove(1)]);
}

/// 2-2-1 with biases, summed binary cross-entropy, 140 full batches; and the weights that solve it by hand.
fn seed002(device: &Device) {
    let golden = json("networks/seed002_xor_bce.json");
    let (inputs, expected) = (&golden["inputs"], &golden["expected"]);
    let names = ["W1", "b1", "W2", "b2"];
    let graph = Graph::new();
    let mut values = Values::default();
    let [x, y] = ["X", "y"].map(|k| graph.variable(&values.json(k, &inputs[k])));
    let parameters = names.map(|k| values.json(k, &inputs[k]));
    let [w1, b1, w2, b2] = [0, 1, 2, 3].map(|k| graph.variable(&parameters[k]));
    let hidden = (x.matmul(w1.t()) + b1.t()).sigmoid();
    let predicted = (hidden.matmul(w2.t()) + b2.t()).sigmoid();
    let loss = -(y * predicted.log() + (1.0 - y) * (-predicted + 1.0).log()).sum(..);
    let gradients = loss.grad(&[w1, b1, w2, b2]);
    descend(&graph, &parameters, &gradients, 1.0);
    let mut first = vec![(predicted, &expected["y_hat_0"])];
    first.extend(gradients.iter().copied().zip(names.map(|k| &expected["gradients_0"][format!("d{k}")])));
    check_once(device, "xor, cross-entropy, first run", &values, &graph, &first);

    if let Some(mut runs) = Runs::new(device, "xor, cross-entropy", &graph, &[loss, predicted], &values) {
        let losses = expected["losses_all_140"].as_array().unwrap();
        for (epoch, loss) in losses.iter().enumerate() {
            runs.check_run(&format!("epoch {epoch}"), &[loss]);
        }
        runs.check_variables("final", &names.map(|k| &expected["final"][k]), &parameters);
        runs.check("after training", &[&expected["final"]["y_hat"]], |m| vec![m.run().swap_remove(1)]);
    }

    let hand = &golden["handmade_relu_xor"];
    let graph = Graph::new();
    let mut values = Values::default();
    let x = graph.variable(&values.json("X", &inputs["X"]));
    let [w1, b1, w2, b2] = names.map(|k| graph.variable(&values.json(k, &hand[k])));
    let output = (x.matmul(w1.t()) + b1.t()).relu().matmul(w2.t()) + b2.t();
    check_once(device, "xor by hand", &values, &graph, &[(output, &hand["output"])]);
}

/// 2-3-3-1 without bias, one update a sample in the data's order: the step picks the sample. The rule to stop (every
/// loss of a pass below the threshold) is on the host, from the losses a pass leaves on the device.
fn seed004(device: &Device) {
    let golden = json("networks/seed004_xor_easy.json");
    let (rate, threshold) = (golden["hyper"]["lr"].as_f64().unwrap(), golden["hyper"]["threshold"].as_f64().unwrap());
    for (name, run) in golden["runs"].as_object().unwrap() {
        // Both measure (ŷ − y)²; "mse1" takes half its gradient.
        let factor = if name.starts_with("mse1") { 0.5 } else { 1.0 };
        let graph = Graph::new();
        let mut values = Values::default();
        let [xs, ys] = ["X", "Y"].map(|k| values.json(k, &golden["inputs"][k]));
        let samples = xs.tensor_type().shape[0];
        let parameters = [0, 1, 2].map(|k| values.json(&format!("w{k}"), &run["init"][k]));
        let losses = values.add("losses", [samples], &vec![0.0; samples]);

        let forward = |graph: &'_ Graph, x: Tensor<'_>| {
            let x = graph.tensor(x.id());
            parameters.iter().fold(x, |a, w| a.matmul(graph.variable(w)).sigmoid()).id()
        };
        let row = graph.step() % (samples as u32);
        let pick = |v: &Variable| graph.variable(v).index_select(0, row.reshape([1]));
        let loss = (graph.tensor(forward(&graph, pick(&xs))) - pick(&ys)).square().sum(..);
        let gradients = loss.grad(&parameters.each_ref().map(|w| graph.variable(w)));
        let gradients: Vec<Tensor<'_>> = gradients.iter().map(|g| *g * factor).collect();
        descend(&graph, &parameters, &gradients, rate);
        graph.iota([samples], 0).eq(row).select(loss, graph.variable(&losses)).assign_to(&losses);

        let first = gradients.iter().copied().enumerate().map(|(k, g)| (g, &run["grads_first_sample"][k]));
        check_once(device, &format!("{name}, first sample"), &values, &graph, &first.collect::<Vec<_>>());
        let Some(mut runs) = Runs::new(device, name, &graph, &[], &values) else { return };
        let first_losses = run["first_losses"].as_array().unwrap();
        let passes = run["passes"].as_u64().unwrap() as usize;
        for pass in 0..passes {
            runs.steps(samples);
            if let Some(golden) = first_losses.get(pass * samples..(pass + 1) * samples) {
                runs.check_variables(&format!("pass {pass}"), &[&Json::from(golden)], std::slice::from_ref(&losses));
            }
            if runs.twins.is_none() {
                let stops = runs.device.read(&losses).iter().all(|&l| l < threshold);
                assert_eq!(stops, pass + 1 == passes, "{name} stops after pass {pass}");
            }
        }
        assert_eq!(run["samples_seen"].as_u64().unwrap() as usize, passes * samples);
        runs.check_variables("last pass", &[&run["last_pass_losses"]], std::slice::from_ref(&losses));
        runs.check_variables("final", &[0, 1, 2].map(|k| &run["final_weights"][k]), &parameters);
        let after = Graph::new();
        let predicted = after.tensor(forward(&after, after.variable(&xs)));
        runs.check("predictions", &[&run["predictions"]], |m| m.also(&after, &[predicted]));
    }
}

fn udl_convolution_1(device: &Device) {
    let golden = json("networks/udl_convolution_I.json");
    for case in golden["cases"].as_array().unwrap() {
        let graph = Graph::new();
        let mut values = Values::default();
        let [x, w] = ["input", "weight"].map(|k| graph.variable(&values.json(k, &case[k])));
        let [stride, padding] = ["stride", "padding"].map(|k| case[k].as_u64().unwrap() as usize);
        let y = x.conv(w, &ConvOptions::new().stride(stride).padding(padding));
        assert_eq!(y.shape()[..], numbers(&case["expected"]).0);
        check_once(device, case["name"].as_str().unwrap(), &values, &graph, &[(y, &case["expected"])]);
    }
}

/// A chain of sin, exp, cos and log with a scale and an offset before each.
fn udl_gradients_1(device: &Device) {
    let golden = json("networks/udl_gradients_I.json");
    let (inputs, expected) = (&golden["inputs"], &golden["expected"]);
    let graph = Graph::new();
    let mut values = Values::default();
    let mut variable = |name: String| graph.variable(&values.json(&name, &inputs[name.as_str()]));
    let x = variable("x".into());
    let beta = [0, 1, 2, 3, 4].map(|k| variable(format!("beta{k}")));
    let omega = [0, 1, 2, 3, 4].map(|k| variable(format!("omega{k}")));
    let f0 = beta[0] + omega[0] * x;
    let h1 = f0.sin();
    let f1 = beta[1] + omega[1] * h1;
    let h2 = f1.exp();
    let f2 = beta[2] + omega[2] * h2;
    let h3 = f2.cos();
    let f3 = beta[3] + omega[3] * h3;
    let h4 = f3.log();
    let y = beta[4] + omega[4] * h4;
    let named = [("f0", f0), ("h1", h1), ("f1", f1), ("h2", h2), ("f2", f2), ("h3", h3), ("f3", f3), ("h4", h4)];
    let inner = y.grad(&named.map(|(_, t)| t));
    let mut outputs = vec![(y, &expected["y"])];
    outputs.extend(named.iter().map(|(name, t)| (*t, &expected[*name])));
    outputs.extend(named.iter().zip(&inner).map(|((name, _), g)| (*g, &expected[format!("dyd{name}")])));
    for (name, parameters) in [("beta", beta), ("omega", omega)] {
        let gradients = y.grad(&parameters);
        outputs.extend(gradients.iter().enumerate().map(|(k, g)| (*g, &expected["gradients"][format!("{name}{k}")])));
    }
    assert_eq!(outputs.len(), 27);
    check_once(device, "chain rule", &values, &graph, &outputs);
}

/// Five hidden layers of six; the gradient of everything.
fn udl_gradients_2(device: &Device) {
    let golden = json("networks/udl_gradients_II.json");
    let (inputs, expected) = (&golden["inputs"], &golden["expected"]);
    let graph = Graph::new();
    let mut values = Values::default();
    let mut variable = |name: &str, value: &Json| graph.variable(&values.json(name, value));
    let mut h = vec![variable("x", &inputs["net_input"])];
    let mut f = Vec::new();
    let (mut weights, mut biases) = (Vec::new(), Vec::new());
    for k in 0..6 {
        weights.push(variable("weight", &inputs["weights"][k]));
        biases.push(variable("bias", &inputs["biases"][k]));
        f.push(weights[k].matmul(h[k]) + biases[k]);
        if k < 5 {
            h.push(f[k].relu());
        }
    }
    let y = variable("y", &inputs["y"]);
    let loss = (f[5] - y).square().sum(..);
    let mut outputs = vec![(f[5], &expected["net_output"]), (loss, &expected["loss"])];
    let mut each = |key: &str, tensors: &[Tensor<'_>]| {
        outputs.extend(tensors.iter().enumerate().map(|(k, t)| (graph.tensor(t.id()), &expected[key][k])));
    };
    each("all_f", &f);
    each("all_h", &h);
    each("dl_dweights", &loss.grad(&weights));
    each("dl_dbiases", &loss.grad(&biases));
    each("dl_dh", &loss.grad(&h));
    each("dl_df", &loss.grad(&f));
    check_once(device, "deep network", &values, &graph, &outputs);
}

on_every_device!(
    seed000_ascends seed000_with_the_right_sign seed001 seed002 seed004
    udl_convolution_1 udl_gradients_1 udl_gradients_2
);
