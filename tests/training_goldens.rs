//! Training as PyTorch does it: the first steps of networks with given weights and batches, in float64 there.
//!
//! On the reference, in f64, the losses and weights are PyTorch's but for the order of sums. On the other devices the
//! first gradients may be off by [`common::first_run_bounds`]; the losses of later steps by [`LOSS_DRIFT`].
#![allow(clippy::unwrap_used)]

mod common;

use common::{F64_PART, Golden, Machine, Values, cases, distance, first_run_bounds, largest, npz, on_every_device};
use std::collections::BTreeMap;
use wgrad::data::{Mnist1dPreset, generate};
use wgrad::nn::loss::{CrossEntropy, cross_entropy};
use wgrad::nn::{Mode, Module};
use wgrad::optim::{Optimizer, Sgd};
use wgrad::{Array, ConvOptions, DType, Device, Graph, Tensor, Variable};

type Arrays = BTreeMap<String, Golden>;

/// f64 sums in another order, carried through 40 updates.
const TIGHT: f64 = 1e-12;
/// How far the loss of a batch may drift in the first epoch: PyTorch's own float32 run of these two trainings stays
/// within 4e-7 of its float64 run for 40 batches; other orders of summation may do some times worse.
const LOSS_DRIFT: f64 = 1e-5;

const RATE: f64 = 0.05;
const MOMENTUM: f64 = 0.9;

/// Parameters in PyTorch's order: weight and bias of each layer.
struct Network {
    names: Vec<String>,
    parameters: Vec<Variable>,
    moments: Vec<Variable>,
}

impl Network {
    fn new(arrays: &Arrays, prefix: &str, values: &mut Values) -> Self {
        // Sorted, bias comes before weight, layer by layer.
        let names: Vec<String> = arrays.keys().filter_map(|k| k.strip_prefix(prefix)).map(String::from).collect();
        let initial: Vec<&Golden> = names.iter().map(|name| &arrays[&format!("{prefix}{name}")]).collect();
        let parameters = names.iter().zip(&initial).map(|(name, value)| values.golden(name, value)).collect();
        let zeros = |value: &&Golden| vec![0.0; value.data.len()];
        let moments = initial.iter().map(|value| values.add("moment", value.shape.clone(), &zeros(value))).collect();
        Network { names, parameters, moments }
    }

    /// `[n, 40] → [n, 10]`. A layer whose weight has three axes convolves with stride 2; the last has no ReLU.
    fn forward<'g>(&self, graph: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
        let layers = self.parameters.chunks(2).enumerate();
        layers.fold(x, |x, (k, layer)| {
            let (bias, weight) = (graph.variable(&layer[0]), graph.variable(&layer[1]));
            let y = if weight.shape().rank() == 3 {
                let x = if x.shape().rank() == 2 { x.unsqueeze(1) } else { x };
                x.conv(weight, &ConvOptions::new().stride(2)) + bias.unsqueeze(1)
            } else {
                x.flatten(1).matmul(weight.t()) + bias
            };
            if 2 * k + 2 < self.parameters.len() { y.relu() } else { y }
        })
    }

    /// SGD with momentum, as PyTorch's: `m ← 0.9·m + gradient`, `w ← w − rate·m`.
    fn update<'g>(&self, graph: &'g Graph, loss: Tensor<'g>) -> Vec<Tensor<'g>> {
        let parameters: Vec<Tensor<'g>> = self.parameters.iter().map(|p| graph.variable(p)).collect();
        let gradients = loss.grad(&parameters);
        for (k, gradient) in gradients.iter().enumerate() {
            let moment = graph.variable(&self.moments[k]) * MOMENTUM + *gradient;
            moment.assign_to(&self.moments[k]);
            (parameters[k] - moment * RATE).assign_to(&self.parameters[k]);
        }
        gradients
    }
}

/// Compares the outputs of a machine's first run: the loss, then the gradients.
fn check_first(what: &str, exact: bool, got: &[Vec<f64>], bounds: &[Vec<f64>], golden: &[(String, &[f64])]) {
    let mut worst = 0f64;
    for (k, (name, want)) in golden.iter().enumerate() {
        assert_eq!(got[k].len(), want.len(), "{what}: {name}");
        for (i, (g, w)) in got[k].iter().zip(*want).enumerate() {
            let allowed = if exact { TIGHT * largest(want) } else { bounds[k][i] + TIGHT * largest(want) };
            let error = (g - w).abs();
            assert!(error <= allowed, "{what}: {name}[{i}] is {g:e}, golden {w:e}, allowed {allowed:e}");
            worst = worst.max(if error == 0.0 { 0.0 } else { error / allowed });
        }
    }
    eprintln!("{what}: first loss and gradients: worst {worst:.3} of what is allowed");
}

fn train_on_mnist1d(device: &Device, name: &str) {
    let arrays = npz(&format!("training/{name}.npz"));
    let preset = Mnist1dPreset::Udl;
    let splits = generate(&preset.config()).unwrap().dataset(preset).unwrap();
    let data = &splits.train;
    let graph = Graph::new();
    let mut values = Values::default();
    let network = Network::new(&arrays, "init.", &mut values);
    let floats = |data: &[f32]| data.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
    let xs = values.add("x", [data.rows(), data.features()], &floats(&data.x.to_f32().unwrap()));
    let integers = |data: Vec<f64>| Golden { shape: vec![data.len()], data, dtype: DType::I32 };
    let ys = values.golden("y", &integers(data.y.classes().unwrap().iter().map(|&v| f64::from(v)).collect()));
    let order = values.golden("order", &arrays["order"]);

    // A batch is a hundred places in the epoch's order, from the step's first on.
    let places = graph.iota([100], 0) + graph.step() * 100.0;
    let rows = graph.variable(&order).index_select(0, places);
    let logits = network.forward(&graph, graph.variable(&xs).index_select(0, rows));
    let loss = logits.cross_entropy(graph.variable(&ys).index_select(0, rows), 0.0).mean(..);
    let gradients = network.update(&graph, loss);
    let outputs: Vec<Tensor<'_>> = std::iter::once(loss).chain(gradients).collect();
    let Some(mut machine) = Machine::on(device, &graph, &outputs, &values) else { return };
    let exact = matches!(machine, Machine::Exact(_));
    let losses = &arrays["batch_loss"].data;

    let mut golden = vec![("loss".to_string(), &losses[..1])];
    golden.extend(network.names.iter().map(|n| (n.clone(), &arrays[&format!("grad.{n}")].data[..])));
    let bounds = if exact { Vec::new() } else { first_run_bounds(&graph, &outputs, &values) };
    check_first(&format!("{name} on {device}"), exact, &machine.run(), &bounds, &golden);

    let drift: Vec<f64> = losses[1..].iter().map(|want| (machine.run()[0][0] - want).abs()).collect();
    let allowed = if exact { TIGHT } else { LOSS_DRIFT };
    eprintln!("{name} on {device}: the batch losses drift by {:.1e} in the first epoch", largest(&drift));
    assert!(drift.iter().all(|d| *d <= allowed), "{name} on {device}: {drift:?}");
    for (name, parameter) in network.names.iter().zip(&network.parameters) {
        let after = &arrays[&format!("after.{name}")].data;
        let error = distance(&machine.read(parameter), after) / largest(after);
        // The golden weights are rounded to f32.
        let allowed = if exact { f64::from(f32::EPSILON) } else { LOSS_DRIFT };
        assert!(error <= allowed, "{name} on {device}: the weights after an epoch are off by {error:e}");
    }

    // Loss and error (in percent) of whole passes over the training and validation data with the weights now reached.
    let evaluation = Graph::new();
    let outputs: Vec<Tensor<'_>> = [data, splits.val.as_ref().unwrap()]
        .into_iter()
        .flat_map(|split| {
            let x = Array::new([split.rows(), split.features()], split.x.to_f32().unwrap()).unwrap();
            let labels = evaluation.constant(Array::new([split.rows()], split.y.classes().unwrap().to_vec()).unwrap());
            let logits = network.forward(&evaluation, evaluation.constant(x));
            let wrong = logits.argmax(1).ne(labels).cast(DType::F32);
            [logits.cross_entropy(labels, 0.0).mean(..), wrong.mean(..) * 100.0]
        })
        .collect();
    let statistics = machine.also(&evaluation, &outputs).concat();
    let want = &arrays["epoch_stats"].data;
    for (k, (got, want)) in statistics.iter().zip(want).enumerate() {
        // On an f32 device a sample on the fence may fall to the other side: one in 2,000 is 0.05 %.
        let allowed = if exact { TIGHT * 100.0 } else { [LOSS_DRIFT, 0.11][k % 2] };
        assert!((got - want).abs() <= allowed, "{name} on {device}: statistic {k} is {got}, golden {want}");
    }
}

fn mlp(device: &Device) {
    train_on_mnist1d(device, "mlp");
}

fn cnn(device: &Device) {
    train_on_mnist1d(device, "cnn");
}

/// Some steps on one batch, of a network that PyTorch describes: every case of the kind in `fixtures/optim/index.json`.
fn networks(device: &Device) {
    for (case, attrs, file) in cases("network") {
        let arrays = npz(&file);
        let graph = Graph::new();
        let mut values = Values::default();
        let network = common::torch::network(&attrs.text("arch"));
        for (name, variable) in network.state_dict() {
            values.set(&variable, &arrays[&format!("in.init.{name}")]);
        }
        let loaded = arrays.keys().filter(|k| k.starts_with("in.init.") && !k.ends_with("num_batches_tracked")).count();
        assert_eq!(loaded, network.state_dict().len(), "{case}");
        let x = graph.variable(&values.golden("x", &arrays["in.x"]));
        let labels = graph.variable(&values.golden("target", &arrays["in.target"]));
        let logits = network.forward(x, Mode::Train);
        let loss = cross_entropy(logits, labels, CrossEntropy::default());
        let parameters = network.parameters();
        let gradients = loss.grad(&parameters.iter().map(|(_, v)| graph.variable(v)).collect::<Vec<_>>());
        let rule = match attrs.text("optimizer").as_str() {
            "SGD" => Sgd { momentum: attrs.number_or("momentum", 0.0), ..Sgd::default() },
            other => panic!("{case}: {other}"),
        };
        let optimizer = Optimizer::new(rule, parameters.clone());
        optimizer.apply(&gradients, attrs.number("lr"), graph.step());
        let steps = attrs.number("steps") as usize;
        attrs.all_used();
        for state in optimizer.state() {
            let ty = state.tensor_type();
            let data = vec![0.0; ty.shape.elements()];
            values.set(state, &Golden { shape: ty.shape.to_vec(), data, dtype: DType::F32 });
        }
        let outputs: Vec<Tensor<'_>> = [loss, logits].into_iter().chain(gradients).collect();
        let Some(mut machine) = Machine::on(device, &graph, &outputs, &values) else { return };
        let exact = matches!(machine, Machine::Exact(_));
        let what = format!("{case} on {device}");
        let losses = &arrays["out.losses"].data;
        assert_eq!(losses.len(), steps, "{case}");

        let bounds = first_run_bounds(&graph, &outputs, &values);
        let first = machine.run();
        let mut golden = vec![&losses[..1], &arrays["out.logits0"].data[..]];
        golden.extend(parameters.iter().map(|(name, _)| &arrays[&format!("out.grad0.{name}")].data[..]));
        for (k, want) in golden.iter().enumerate() {
            assert_eq!(first[k].len(), want.len(), "{what}: output {k}");
            for (i, (g, w)) in first[k].iter().zip(*want).enumerate() {
                // A bias before a batch normalisation has no gradient but rounding: the bound knows.
                let allowed = if exact { F64_PART * bounds[k][i] } else { bounds[k][i] + f64::from(f32::MIN_POSITIVE) };
                assert!(
                    (g - w).abs() <= allowed,
                    "{what}: output {k}[{i}] is {g:e}, golden {w:e}, allowed {allowed:e}"
                );
            }
        }

        let allowed = if exact { TIGHT } else { LOSS_DRIFT };
        let drift: Vec<f64> = losses[1..].iter().map(|want| (machine.run()[0][0] - want).abs()).collect();
        eprintln!("{what}: the losses drift by {:.1e}", largest(&drift));
        assert!(drift.iter().all(|d| *d <= allowed), "{what}: {drift:?}");
        for (name, variable) in network.state_dict() {
            let Some(golden) = arrays.get(&format!("out.final.{name}")) else { continue };
            let error = distance(&machine.read(&variable), &golden.data);
            assert!(error <= allowed * largest(&golden.data).max(1.0), "{what}: {name} is off by {error:e} in the end");
        }
        let evaluation = Graph::new();
        let x = evaluation.constant(arrays["in.x"].array());
        let after = machine.also(&evaluation, &[network.forward(x, Mode::Eval)]).concat();
        let want = &arrays["out.logits_final_eval"].data;
        let error = distance(&after, want);
        assert!(error <= allowed * largest(want).max(1.0), "{what}: the logits in the end are off by {error:e}");
    }
}

on_every_device!(mlp cnn networks);
