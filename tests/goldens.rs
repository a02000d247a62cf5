//! Operations and their gradients against values PyTorch computed in float64 from float32 inputs.
//!
//! On the reference a value may be off by f64's rounding, times the case's condition; on the other devices by f32's.
//! Both are [`error_bounds`]: what the operations involved may add, carried through the graph.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "goldens/forward.rs"]
mod forward;

use common::{Golden, json, npz, open};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use wgrad::reference::{Environment, evaluate_all};
use wgrad::verify::error_bounds;
use wgrad::{Array, Device, Graph, Session, Tensor};

/// The cases this file does not run, by operation (or by name where only that one is left out), and why.
const NOT_YET: &[(&str, &str)] = &[
    ("max_pool1d", "there is no pooling operation yet"),
    ("max_pool2d", "there is no pooling operation yet"),
    ("avg_pool1d", "there is no pooling operation yet"),
    ("avg_pool2d", "there is no pooling operation yet"),
    ("adaptive_avg_pool1d", "there is no pooling operation yet"),
    ("adaptive_avg_pool2d", "there is no pooling operation yet"),
    ("batch_norm", "its running statistics belong to a layer"),
    ("optimizer", "there are no optimisers yet"),
    ("lr_schedule", "there are no schedules yet"),
    ("init_bounds", "there are no initialisers yet"),
    ("network", "training_goldens.rs runs those that the operations there are suffice for"),
];

/// f64's epsilon as a part of f32's, four times: either side of the comparison rounds, and not where the other does.
const F64_PART: f64 = 4.0 / (1u64 << 29) as f64;

#[derive(Debug, Clone)]
struct Case {
    name: String,
    op: String,
    attrs: serde_json::Value,
}

impl Case {
    fn flag(&self, key: &str) -> bool {
        self.attrs[key].as_bool().unwrap_or(false)
    }
    fn number(&self, key: &str) -> f64 {
        self.attrs[key].as_f64().unwrap_or_else(|| panic!("{}: no number `{key}`", self.name))
    }
    fn integer(&self, key: &str) -> isize {
        self.number(key) as isize
    }
    fn text(&self, key: &str) -> &str {
        self.attrs[key].as_str().unwrap_or_default()
    }
    fn list(&self, key: &str) -> Vec<usize> {
        common::numbers(&self.attrs[key]).1.into_iter().map(|v| v as usize).collect()
    }
}

fn cases() -> Vec<Case> {
    let index = json("goldens/index.json");
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_string();
    let case = |c: &serde_json::Value| Case { name: text(&c["case"]), op: text(&c["op"]), attrs: c["attrs"].clone() };
    index["cases"].as_array().unwrap().iter().map(case).collect()
}

fn listed(case: &Case) -> Option<&'static str> {
    NOT_YET.iter().map(|(key, _)| *key).find(|key| *key == case.op || *key == case.name)
}

/// A case's graph with the tensors its golden outputs are compared with.
struct Built<'g> {
    inputs: Vec<(String, Tensor<'g>, Golden)>,
    outputs: Vec<(String, Tensor<'g>, Golden)>,
}

fn build<'g>(graph: &'g Graph, case: &Case, arrays: &BTreeMap<String, Golden>) -> Built<'g> {
    let given = arrays.iter().filter_map(|(key, value)| Some((key.strip_prefix("in.")?.to_string(), value.clone())));
    let inputs: Vec<(String, Tensor<'g>, Golden)> = given
        .map(|(name, value)| {
            let tensor = graph.input(&name, value.shape.clone(), value.dtype);
            (name, tensor, value)
        })
        .collect();
    let input = |name: &str| {
        let found = inputs.iter().find(|(n, _, _)| n == name);
        found.unwrap_or_else(|| panic!("{}: no input `{name}`", case.name)).1
    };
    let computed = forward::forward(case, &input)
        .unwrap_or_else(|| panic!("{}: operation `{}` is neither built nor listed", case.name, case.op));
    let outputs = arrays.iter().filter_map(|(key, value)| {
        let name = key.strip_prefix("out.")?;
        let tensor = match (computed.iter().find(|(n, _)| *n == name), name.strip_prefix("grad_")) {
            (Some((_, tensor)), _) => *tensor,
            (None, Some(wrt)) => {
                let y = computed[0].1;
                let upstream = inputs.iter().find(|(n, _, _)| n == "grad_out").map(|(_, t, _)| *t);
                match upstream {
                    Some(upstream) => y.vjp(upstream, &[input(wrt)])[0],
                    None => y.grad(&[input(wrt)])[0],
                }
            }
            (None, None) => panic!("{}: nothing computes `{name}`", case.name),
        };
        Some((name.to_string(), tensor, value.clone()))
    });
    let outputs = outputs.collect();
    Built { inputs, outputs }
}

/// What a device made of all cases.
#[derive(Default)]
struct Tally {
    cases: usize,
    values: usize,
    skipped: usize,
    worst: (f64, String),
    failures: Vec<String>,
}

fn run_case(session: Option<&mut Session>, case: &Case, tally: &mut Tally) {
    let arrays = npz(&format!("goldens/{}.npz", case.name));
    let graph = Graph::new();
    let built = build(&graph, case, &arrays);
    graph.check().unwrap_or_else(|e| panic!("{}: {e}", case.name));
    let wanted: Vec<Tensor<'_>> = built.outputs.iter().map(|(_, t, _)| *t).collect();
    let ids: Vec<_> = wanted.iter().map(|t| t.id()).collect();
    let feed: HashMap<_, _> = built.inputs.iter().map(|(name, _, value)| (name.clone(), value.reference())).collect();
    let variables = HashMap::new();
    let environment = Environment { inputs: &feed, variables: &variables, step: 0, seed: 0 };
    let values = evaluate_all(&graph, &ids, environment).unwrap();

    // A device may take a number below the smallest normal one for 0.
    let flushed = |x: &f64| if x.abs() < f64::from(f32::MIN_POSITIVE) { x.abs() } else { 0.0 };
    let exact = session.is_none();
    let inputs = built.inputs.iter().filter(|_| !exact);
    let given = inputs.map(|(_, t, value)| (t.id(), value.data.iter().map(flushed).collect())).collect();
    let bounds = error_bounds(&graph, &values, &given);
    let got: Vec<Vec<f64>> = match session {
        None => ids.iter().map(|id| values[id.index()].as_ref().unwrap().data.clone()).collect(),
        Some(session) => {
            let program = session.compile(&graph, &wanted).unwrap_or_else(|e| panic!("{}: {e}", case.name));
            let host: Vec<(String, Array)> =
                built.inputs.iter().map(|(name, _, value)| (name.clone(), value.array())).collect();
            let used = |name: &str| program.inputs().iter().any(|(n, _)| n == name);
            let feed: Vec<(&str, &Array)> =
                host.iter().filter(|(n, _)| used(n)).map(|(n, a)| (n.as_str(), a)).collect();
            session.run(&program, &feed).unwrap().iter().map(Array::to_f64).collect()
        }
    };
    tally.cases += 1;
    for ((name, tensor, golden), got) in built.outputs.iter().zip(&got) {
        assert_eq!(*tensor.shape(), golden.shape[..], "{}: shape of {name}", case.name);
        let bound = &bounds[tensor.id().index()];
        for (i, (&g, &want)) in got.iter().zip(&golden.data).enumerate() {
            if !promised(case, &arrays, golden, i, want, exact) {
                tally.skipped += 1;
                continue;
            }
            let allowed = if exact { bound[i] * F64_PART } else { bound[i] + f64::from(f32::MIN_POSITIVE) };
            let error = if g == want { 0.0 } else { (g - want).abs() / allowed };
            tally.values += 1;
            if error.is_nan() || error > 1.0 {
                tally.failures.push(format!("{} {name}[{i}]: {g:e}, golden {want:e}, allowed {allowed:e}", case.name));
            } else if error > tally.worst.0 {
                tally.worst = (error, format!("{} {name}[{i}]", case.name));
            }
        }
    }
}

/// Whether a device must produce element `i` of an output. WGSL lets an implementation assume that there is neither
/// NaN nor infinity, so nothing is promised for an element whose operands hold one, nor on a device that computes in
/// `f32` for a value that `f32` cannot hold. (The reference, in f64, must give the golden infinity.)
fn promised(case: &Case, arrays: &BTreeMap<String, Golden>, golden: &Golden, i: usize, want: f64, exact: bool) -> bool {
    let fits = exact || want.abs() <= f64::from(f32::MAX);
    let Some(x) = arrays.get("in.x").filter(|x| x.data.iter().any(|v| !v.is_finite())) else { return fits };
    // Only elementwise operations and softmax over the last axis have such inputs.
    assert_eq!(x.shape, golden.shape, "{}", case.name);
    let row = if case.op.contains("softmax") { x.shape[x.shape.len() - 1] } else { 1 };
    fits && x.data[i / row * row..][..row].iter().all(|v| v.is_finite())
}

fn every_case(device: &Device) {
    // The reference is read in f64, not through a session, which rounds to f32.
    let exact = *device == Device::reference();
    let mut session = if exact { None } else { open(device) };
    if !exact && session.is_none() {
        return;
    }
    let only = std::env::var("WGRAD_CASE").unwrap_or_default();
    let mut tally = Tally::default();
    for case in cases().iter().filter(|c| listed(c).is_none() && c.name.contains(&only)) {
        run_case(session.as_mut(), case, &mut tally);
    }
    eprintln!(
        "{device}: {} cases, {} values, worst {:.3} of the bound ({}); not compared, as NaN or infinity is involved: {}",
        tally.cases, tally.values, tally.worst.0, tally.worst.1, tally.skipped
    );
    let shown = tally.failures.iter().take(60).cloned().collect::<Vec<_>>().join("\n");
    assert!(tally.failures.is_empty(), "{} failures:\n{shown}", tally.failures.len());
}

common::on_every_device!(every_case);

#[test]
fn every_case_is_run_or_listed() {
    let cases = cases();
    assert_eq!(cases.len(), 219);
    let used: BTreeSet<&str> = cases.iter().filter_map(listed).collect();
    let table: BTreeSet<&str> = NOT_YET.iter().map(|(key, _)| *key).collect();
    assert_eq!(used, table, "a line of the table names no case");
    assert!(NOT_YET.iter().all(|(_, reason)| !reason.is_empty()));
    for case in cases.iter().filter(|c| listed(c).is_some() && c.op != "network") {
        let graph = Graph::new();
        let input = |name: &str| graph.input(name, [2, 3, 4], wgrad::DType::F32);
        let covered =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| forward::forward(case, &input).is_some()));
        assert!(!matches!(covered, Ok(true)), "{} is listed, but its operation is covered", case.name);
    }
}
