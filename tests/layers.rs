//! Layers and losses against values that PyTorch computed in float64 from float32 inputs: every case in
//! `fixtures/layers/index.json`, built from its arguments; one that this file does not know fails.
#![allow(clippy::unwrap_used)]

mod common;

use common::torch::{Layer, layer};
use common::{Attrs, F64_PART, Golden, Machine, Values, first_run_bounds, json, npz, on_every_device};
use std::collections::BTreeMap;
use wgrad::nn::loss::{
    self, Bce, BceWithLogits, CrossEntropy, GaussianNll, KlDiv, KlReduction, MultiMargin, NllLoss, Reduction,
};
use wgrad::nn::{
    Conv1d, ConvTranspose1d, Dropout, Embedding, Generator, GroupNorm, Gru, Initializer, LayerNorm, Linear, Lstm, Mode,
    Module, MultiheadAttention, Prelu, RecurrentOptions, Residual, Rnn, Sequential,
};
use wgrad::{ConvOptions, DType, Device, Graph, Tensor};

type Arrays = BTreeMap<String, Golden>;

fn cases(kind: &str) -> Vec<(String, String, Attrs, Arrays)> {
    let index = json("layers/index.json");
    let of_kind = index["cases"].as_array().unwrap().iter().filter(|case| case["kind"] == kind);
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_string();
    let found: Vec<_> = of_kind
        .map(|case| {
            let name = text(&case["case"]);
            let arrays = npz(&format!("layers/{name}.npz"));
            (name.clone(), text(&case["name"]), Attrs::new(&name, &case["args"]), arrays)
        })
        .collect();
    assert!(found.len() > 50, "{} cases of {kind}", found.len());
    found
}

/// Runs the graph once and compares outputs with the golden values of their names.
fn check(
    device: &Device,
    case: &str,
    graph: &Graph,
    values: &Values,
    arrays: &Arrays,
    outputs: &[(String, Tensor<'_>)],
) {
    graph.check().unwrap_or_else(|e| panic!("{case}: {e}"));
    let wanted = arrays.keys().filter(|k| k.starts_with("out.")).count();
    assert_eq!(wanted, outputs.len(), "{case}: {:?}", arrays.keys());
    let tensors: Vec<Tensor<'_>> = outputs.iter().map(|(_, t)| graph.tensor(t.id())).collect();
    let Some(mut machine) = Machine::on(device, graph, &tensors, values) else { return };
    let exact = matches!(machine, Machine::Exact(_));
    let bounds = first_run_bounds(graph, &tensors, values);
    let got = machine.run();
    for (k, (name, tensor)) in outputs.iter().enumerate() {
        let golden = &arrays[&format!("out.{name}")];
        assert_eq!(tensor.shape()[..], golden.shape, "{case}: shape of {name}");
        for (i, (g, want)) in got[k].iter().zip(&golden.data).enumerate() {
            let allowed = if exact { F64_PART * bounds[k][i] } else { bounds[k][i] } + f64::from(f32::MIN_POSITIVE);
            let error = (g - want).abs();
            assert!(error <= allowed, "{device}: {case}: {name}[{i}] is {g:e}, not {want:e} within {allowed:e}");
        }
    }
}

/// The gradients that the golden values have, of `y` with respect to named tensors.
fn gradients<'g>(
    y: Tensor<'g>,
    upstream: Option<Tensor<'g>>,
    leaves: &[(String, Tensor<'g>)],
) -> Vec<(String, Tensor<'g>)> {
    let tensors: Vec<Tensor<'g>> = leaves.iter().map(|(_, t)| *t).collect();
    let found = match upstream {
        Some(upstream) => y.vjp(upstream, &tensors),
        None => y.grad(&tensors),
    };
    leaves.iter().map(|(name, _)| format!("grad_{name}")).zip(found).collect()
}

fn layers(device: &Device) {
    for (case, name, args, arrays) in cases("layer") {
        let layer = layer(&name, &args);
        let (graph, mut values) = (Graph::new(), Values::default());
        let state = layer.module().state_dict();
        for (name, variable) in &state {
            values.set(variable, &arrays[&format!("in.state.{name}")]);
        }
        let stated = arrays.keys().filter(|key| key.starts_with("in.state.")).count();
        assert_eq!(stated, state.len(), "{case}: {state:?}");
        let x = graph.variable(&values.golden("x", &arrays["in.x"]));
        let mode = if case.ends_with("_eval") || case.ends_with("_without_running") { Mode::Eval } else { Mode::Train };
        let mut outputs = Vec::new();
        let y = layer.module().forward(x, mode);
        match &layer {
            Layer::Plain(_) => {}
            Layer::Rnn(rnn) => outputs.push(("h_n".to_string(), rnn.run(x, None).1)),
            Layer::Gru(gru) => outputs.push(("h_n".to_string(), gru.run(x, None).1)),
            Layer::Lstm(lstm) => {
                let (_, (h, c)) = lstm.run(x, None);
                outputs.extend([("h_n".to_string(), h), ("c_n".to_string(), c)]);
            }
        }
        let mut leaves = if x.dtype().is_float() { vec![("x".to_string(), x)] } else { Vec::new() };
        let parameters = layer.module().parameters();
        leaves.extend(parameters.iter().map(|(name, v)| (format!("state.{name}"), graph.variable(v))));
        let upstream = graph.variable(&values.golden("grad_out", &arrays["in.grad_out"]));
        outputs.extend(gradients(y, Some(upstream), &leaves));
        outputs.push(("out".into(), y));
        // A buffer's value after the run: its update's, or what it was.
        for (name, variable) in layer.module().buffers() {
            let update = graph.updates().into_iter().find(|(v, _)| *v == variable);
            assert_eq!(update.is_some(), mode == Mode::Train, "{case}");
            let value = update.map_or_else(|| graph.variable(&variable), |(_, id)| graph.tensor(id));
            outputs.push((format!("after.{name}"), value));
        }
        check(device, &case, &graph, &values, &arrays, &outputs);
    }
}

fn losses(device: &Device) {
    for (case, name, args, arrays) in cases("loss") {
        let (graph, mut values) = (Graph::new(), Values::default());
        let given: BTreeMap<String, Tensor<'_>> = arrays
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix("in.")?.to_string(), value)))
            .map(|(key, value)| (key.clone(), graph.variable(&values.golden(&key, value))))
            .collect();
        let y = loss_of(&name, &args, &given);
        args.all_used();
        let leaves: Vec<(String, Tensor<'_>)> = arrays
            .keys()
            .filter_map(|key| key.strip_prefix("out.grad_"))
            .map(|leaf| (leaf.to_string(), given[leaf]))
            .collect();
        let mut outputs = gradients(y, given.get("grad_out").copied(), &leaves);
        outputs.push(("out".into(), y));
        check(device, &case, &graph, &values, &arrays, &outputs);
    }
}

fn loss_of<'g>(name: &str, args: &Attrs, given: &BTreeMap<String, Tensor<'g>>) -> Tensor<'g> {
    let (x, t) = (given["input"], given["target"]);
    let option = |key: &str| given.get(key).copied();
    let text = args.text_or("reduction", "mean");
    let reduction = match text.as_str() {
        "none" => Reduction::None,
        "mean" => Reduction::Mean,
        "sum" => Reduction::Sum,
        "batchmean" if name == "kl_div" => Reduction::Mean,
        other => panic!("{other}"),
    };
    let ignore_index = args.number_or("ignore_index", -100.0) as i32;
    let weight = option("weight");
    match name {
        "cross_entropy" => {
            let label_smoothing = args.number_or("label_smoothing", 0.0);
            loss::cross_entropy(x, t, CrossEntropy { weight, ignore_index, label_smoothing, reduction })
        }
        "nll_loss" => loss::nll_loss(x, t, NllLoss { weight, ignore_index, reduction }),
        "mse_loss" => loss::mse(x, t, reduction),
        "l1_loss" => loss::l1(x, t, reduction),
        "huber_loss" => loss::huber(x, t, args.number_or("delta", 1.0), reduction),
        "smooth_l1_loss" => loss::smooth_l1(x, t, args.number_or("beta", 1.0), reduction),
        "binary_cross_entropy" => loss::bce(x, t, Bce { weight, reduction }),
        "binary_cross_entropy_with_logits" => {
            loss::bce_with_logits(x, t, BceWithLogits { weight, pos_weight: option("pos_weight"), reduction })
        }
        "hinge_embedding_loss" => loss::hinge_embedding_loss(x, t, args.number_or("margin", 1.0), reduction),
        "soft_margin_loss" => loss::soft_margin_loss(x, t, reduction),
        "multi_margin_loss" => {
            let (p, margin) = (args.number_or("p", 1.0) as u32, args.number_or("margin", 1.0));
            loss::multi_margin_loss(x, t, MultiMargin { p, margin, weight, reduction })
        }
        "gaussian_nll_loss" => {
            let (full, eps) = (args.flag("full"), args.number_or("eps", 1e-6));
            loss::gaussian_nll(x, t, given["var"], GaussianNll { full, eps, reduction })
        }
        "kl_div" => {
            let reduction = match text.as_str() {
                "none" => KlReduction::None,
                "sum" => KlReduction::Sum,
                "batchmean" => KlReduction::BatchMean,
                _ => KlReduction::Mean,
            };
            loss::kl_div(x, t, KlDiv { log_target: args.flag("log_target"), reduction })
        }
        other => panic!("no loss is called {other}"),
    }
}

on_every_device!(layers losses);

/// The forward pass of a layer on samples of a shape must fail with these words.
fn refuses(layer: &impl Module, shape: &[usize], words: &[&str]) {
    let g = Graph::new();
    layer.forward(g.input("x", shape, DType::F32), Mode::Train);
    let error = g.check().expect_err(layer.name()).to_string();
    assert!(words.iter().all(|word| error.contains(word)) && error.contains("layers.rs"), "{error}");
}

#[test]
fn what_cannot_work_is_said() {
    let rng = &mut Generator::new(1);
    let identity = Linear::with_init(4, 4, Initializer::Dirac { groups: 1 }, None, rng);
    refuses(&identity, &[2, 4], &["weight", "Dirac", "[4, 4]"]);
    let (large, most) = (1 << 16, 1 << 30);
    refuses(&Linear::new(1 << 20, most, rng), &[2, 4], &["weight", "elements", "smaller"]);
    // Only one of the weights cannot be, and it is not the first.
    let deep = RecurrentOptions { num_layers: 2, bidirectional: true, ..RecurrentOptions::default() };
    refuses(&Lstm::new(1 << 11, large, RecurrentOptions::default(), rng), &[5, 2, 4], &["weight_hh_l0", "elements"]);
    refuses(&Rnn::new(1, 46_340, deep, rng), &[5, 2, 1], &["weight_ih_l1", "[46340, 92680]"]);
    let endless = RecurrentOptions { num_layers: 1001, ..RecurrentOptions::default() };
    refuses(&Gru::new(1 << 10, 1 << 10, endless, rng), &[5, 2, 1 << 10], &["1001 layers"]);
    refuses(&MultiheadAttention::new(1 << 15, 1, rng), &[2, 3, 1 << 15], &["in_proj_weight", "[98304, 32768]"]);
    refuses(&Embedding::new(most, 4, rng).padding_idx(1), &[2], &["weight", "elements"]);
    refuses(&Conv1d::new(large, large, 3, ConvOptions::new(), rng), &[1, 3, 9], &["weight", "elements"]);
    refuses(&ConvTranspose1d::new(most, 4, 3, ConvOptions::new(), rng), &[1, 3, 9], &["weight", "elements"]);
    refuses(&Prelu::new(usize::MAX, 0.25), &[2, 4], &["weight", "elements"]);
    refuses(&wgrad::nn::BatchNorm2d::new(1 << 31), &[2, 3, 4, 4], &["running_mean", "elements"]);
    refuses(&LayerNorm::new([large, large]), &[2, large], &["weight", "elements"]);
    refuses(&MultiheadAttention::new(6, 4, rng), &[2, 3, 6], &["MultiheadAttention", "4 heads", "6"]);
    refuses(&MultiheadAttention::new(6, 3, rng), &[2, 6], &["[n, l, 6]", "[2, 6]"]);
    refuses(&Lstm::new(3, 4, RecurrentOptions::default(), rng), &[5, 2, 4], &["LSTM", "[l, n, 3]", "[5, 2, 4]"]);
    let none = RecurrentOptions { num_layers: 0, ..RecurrentOptions::default() };
    refuses(&Lstm::new(3, 4, none, rng), &[5, 2, 3], &["0 layers"]);
    refuses(&Residual::new(Linear::new(4, 5, rng)), &[2, 4], &["Residual", "[2, 5]", "[2, 4]"]);
    refuses(&GroupNorm::new(4, 6), &[2, 6, 3], &["4 groups"]);
    refuses(&LayerNorm::new(5), &[2, 6], &["[5]", "[2, 6]"]);
    refuses(&Dropout::new(1.5), &[2, 6], &["-0.5"]);
    refuses(&Conv1d::new(3, 4, 3, ConvOptions::new().groups(2), rng), &[1, 3, 9], &["groups"]);
    refuses(&wgrad::nn::BatchNorm2d::new(3), &[2, 3, 4], &["[n, c, h, w]", "[2, 3, 4]"]);
    let twice = Sequential::new().push(wgrad::nn::BatchNorm1d::new(3));
    let g = Graph::new();
    let x = g.input("x", [4, 3], DType::F32);
    twice.forward(twice.forward(x, Mode::Train), Mode::Train);
    assert!(g.check().unwrap_err().to_string().contains("updated twice"));
}

#[test]
fn losses_say_what_they_do_not_take() {
    let refused = |words: &[&str], build: &dyn for<'g> Fn(Tensor<'g>, Tensor<'g>, Tensor<'g>) -> Tensor<'g>| {
        let g = Graph::new();
        let x = g.input("x", [4, 3], DType::F32);
        build(x, g.input("t", [4], DType::U32), g.input("column", [4, 1], DType::F32));
        let error = g.check().unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)) && error.contains("layers.rs"), "{error}");
    };
    refused(&["mse", "[4, 3]", "[4, 1]"], &|x, _, c| loss::mse(x, c, Reduction::Mean));
    refused(&["huber", "delta", "-1"], &|x, _, _| loss::huber(x, x, -1.0, Reduction::Mean));
    refused(&["cross_entropy", "[4, 1]"], &|x, _, c| loss::cross_entropy(x, c, CrossEntropy::default()));
    refused(&["cross_entropy", "2.5"], &|x, t, _| {
        loss::cross_entropy(x, t, CrossEntropy { label_smoothing: 2.5, ..CrossEntropy::default() })
    });
    refused(&["3 classes", "[4, 1]"], &|x, t, c| {
        loss::cross_entropy(x, t, CrossEntropy { weight: Some(c), ..CrossEntropy::default() })
    });
    refused(&["nll_loss", "integers"], &|x, _, _| loss::nll_loss(x, x, NllLoss::default()));
    refused(&["multi_margin_loss", "p", "3"], &|x, t, _| {
        loss::multi_margin_loss(x, t, MultiMargin { p: 3, ..MultiMargin::default() })
    });
    refused(&["gaussian_nll", "eps"], &|x, _, c| {
        loss::gaussian_nll(x, x, c, GaussianNll { eps: 0.0, ..GaussianNll::default() })
    });
}
