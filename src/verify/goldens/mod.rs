//! Operations and their gradients against values that PyTorch computed in float64 from float32 inputs.
//!
//! A folder contains `index.json` (`{"cases": [{"case", "op", "attrs"}, …]}`), and a file `CASE.npz` for each case with
//! the arrays `in.*` (`in.grad_out` is an upstream gradient) and `out.*` (`out.grad_X` is the gradient with respect to
//! `in.X`). A case is built from the name and the attributes of its operation, with the public API.
//!
//! The error bounds are those of the operations, propagated through the graph ([`error_bounds`]), for f64 arithmetic on
//! the reference and for f32 on other devices. WGSL lets an implementation assume that NaN and infinity do not occur,
//! so elements that depend on a non-finite input are not compared, nor, on a device, values outside the range of `f32`.
//! But operations whose documentation specifies NaN are compared with NaN too, on the reference and the CPU.

mod activations;
mod case;
mod losses;
mod operations;
mod reductions;
mod report;

pub use report::{CaseReport, Outcome, Report};

use crate::array::Array;
use crate::data::npz::{self, NpzArray};
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::reference::{Environment, RefTensor, evaluate_all};
use crate::session::Session;
use crate::tensor::Tensor;
use crate::verify::error_bounds;
use case::{Case, Inputs, Trouble};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Converts a bound for f32 into one for f64: four times the ratio of their epsilons, because both PyTorch's and the
/// reference's values are rounded, in different places.
const F64_FACTOR: f64 = 4.0 / (1u64 << 29) as f64;

/// Cases about training rather than an operation, and the tests that run them.
const ELSEWHERE: &[(&str, &str)] = &[
    ("optimizer", "tests/optim.rs"),
    ("lr_schedule", "tests/optim.rs"),
    ("init_bounds", "tests/optim.rs"),
    ("network", "tests/training_goldens.rs"),
];

/// Runs the cases of `folder` whose names contain `only` (all, if it is empty) on a device.
///
/// A case whose operation is unknown is reported as not covered, never silently skipped.
///
/// # Errors
/// [`Error::File`] if the index or an array cannot be read; [`Error::Device`] if there is no such device.
pub fn run(folder: impl AsRef<Path>, device: &Device, only: &str) -> Result<Report> {
    // The reference is evaluated directly, in f64: a session would round its results to f32.
    let mut session = if *device == Device::reference() { None } else { Some(Session::new(device.clone())?) };
    run_on(folder, session.as_mut(), only)
}

/// As [`run`], on an open session; on the reference, in f64, if there is none.
///
/// # Errors
/// [`Error::File`] if the index or an array cannot be read.
pub fn run_on(folder: impl AsRef<Path>, mut session: Option<&mut Session>, only: &str) -> Result<Report> {
    let folder = folder.as_ref();
    let device = session.as_ref().map_or(Device::reference(), |session| session.device().clone());
    let mut cases = Vec::new();
    for case in case::read_index(folder)?.iter().filter(|case| case.name.contains(only)) {
        let outcome = match ELSEWHERE.iter().find(|(op, _)| *op == case.op) {
            Some((_, place)) => Outcome::Elsewhere(place),
            None => {
                let arrays = npz::read(folder.join(format!("{}.npz", case.name)))?;
                run_case(session.as_deref_mut(), device == Device::cpu(), case, &arrays)?
            }
        };
        cases.push(CaseReport { name: case.name.clone(), op: case.op.clone(), outcome });
    }
    Ok(Report { device: device.to_string(), cases })
}

fn dtype(array: &NpzArray) -> DType {
    if array.integer { DType::I32 } else { DType::F32 }
}

fn reference(array: &NpzArray) -> RefTensor {
    RefTensor { shape: array.array.shape.clone().into(), dtype: dtype(array), data: array.array.values.clone() }
}

/// The outputs of a case to compare: name, tensor and golden values.
type Compared<'a, 'g> = Vec<(&'a str, Tensor<'g>, &'a NpzArray)>;

/// The tensors for a case's golden outputs.
fn outputs<'a, 'g>(
    case: &Case,
    inputs: &Inputs<'g>,
    arrays: &'a BTreeMap<String, NpzArray>,
) -> std::result::Result<Compared<'a, 'g>, Trouble> {
    let golden: Vec<(&str, &NpzArray)> =
        arrays.iter().filter_map(|(key, value)| Some((key.strip_prefix("out.")?, value))).collect();
    let values: Vec<&str> = golden.iter().map(|(name, _)| *name).filter(|name| !name.starts_with("grad_")).collect();
    let computed = operations::build(case, inputs, &values)?;
    let mut compared = Vec::new();
    for (name, array) in golden {
        let tensor = match (computed.iter().find(|(n, _)| n == name), name.strip_prefix("grad_")) {
            (Some((_, tensor)), _) => *tensor,
            (None, Some(wrt)) => {
                let (y, x) = (computed[0].1, inputs.get(wrt)?);
                match inputs.find("grad_out") {
                    Some(upstream) => y.vjp(upstream, &[x])[0],
                    None => y.grad(&[x])[0],
                }
            }
            (None, None) => return Err(Trouble::NotCovered(format!("the operation has no output `{name}`"))),
        };
        compared.push((name, tensor, array));
    }
    Ok(compared)
}

fn run_case(
    session: Option<&mut Session>,
    cpu: bool,
    case: &Case,
    arrays: &BTreeMap<String, NpzArray>,
) -> Result<Outcome> {
    let graph = Graph::new();
    let inputs = Inputs::new(&graph, arrays);
    let compared = match outputs(case, &inputs, arrays) {
        Ok(compared) if !compared.is_empty() => compared,
        Ok(_) => return Ok(Outcome::NotCovered("there are no golden values".into())),
        Err(Trouble::NotCovered(message)) => return Ok(Outcome::NotCovered(message)),
        Err(Trouble::Wrong(message)) => return Ok(Outcome::Failed(vec![message])),
    };
    if let Err(error) = graph.check() {
        return Ok(Outcome::Failed(vec![error.to_string()]));
    }
    let wanted: Vec<Tensor<'_>> = compared.iter().map(|(_, t, _)| *t).collect();
    let feed: HashMap<String, RefTensor> =
        inputs.list.iter().map(|(name, _, value)| (name.clone(), reference(value))).collect();
    let exact = session.is_none();
    let values = evaluate(&graph, &wanted, &feed)?;
    // A device may flush denormals to zero.
    let flushed = |x: &f64| if x.abs() < f64::from(f32::MIN_POSITIVE) { x.abs() } else { 0.0 };
    let inexact = inputs.list.iter().filter(|_| !exact);
    let given = inexact.map(|(_, t, value)| (t.id(), value.array.values.iter().map(flushed).collect())).collect();
    let bounds = error_bounds(&graph, &values, &given);
    let reference_value = |t: &Tensor<'_>| values[t.id().index()].as_ref().map(|v| v.data.clone()).unwrap_or_default();
    let got: Vec<Vec<f64>> = match session {
        None => wanted.iter().map(reference_value).collect(),
        Some(session) => {
            let program = session.compile(&graph, &wanted)?;
            let mut host: Vec<(&str, Array)> = Vec::new();
            for (name, _, value) in &inputs.list {
                if program.inputs().iter().any(|(used, _)| used == name) {
                    host.push((name, reference(value).to_array()?));
                }
            }
            let feed: Vec<(&str, &Array)> = host.iter().map(|(name, array)| (*name, array)).collect();
            session.run(&program, &feed)?.iter().map(Array::to_f64).collect()
        }
    };
    let nan_specified = case.op.contains("max_pool") && (exact || cpu);
    let unspecified = if nan_specified { None } else { depends_on_non_finite(&graph, &wanted, &feed)? };
    let (mut compared_values, mut skipped, mut worst, mut failures) = (0, 0, (0.0, String::new()), Vec::new());
    for (k, ((name, tensor, golden), got)) in compared.iter().zip(&got).enumerate() {
        if *tensor.shape() != golden.array.shape[..] {
            failures.push(format!(
                "{name} has shape {}, but the golden shape is {:?}",
                tensor.shape(),
                golden.array.shape
            ));
            continue;
        }
        let bound = &bounds[tensor.id().index()];
        for (i, (&g, &want)) in got.iter().zip(&golden.array.values).enumerate() {
            let fits = exact || want.is_nan() || nan_specified || want.abs() <= f64::from(f32::MAX);
            if !fits || unspecified.as_ref().is_some_and(|unspecified| unspecified[k][i]) {
                skipped += 1;
                continue;
            }
            let allowed = if exact { bound[i] * F64_FACTOR } else { bound[i] + f64::from(f32::MIN_POSITIVE) };
            let same = g == want || (g.is_nan() && want.is_nan());
            let error = if same { 0.0 } else { (g - want).abs() / allowed };
            compared_values += 1;
            if error.is_nan() || error > 1.0 {
                failures.push(format!("{name}[{i}] is {g:e}, expected {want:e} ± {allowed:e}"));
            } else if error > worst.0 {
                worst = (error, format!("{name}[{i}]"));
            }
        }
    }
    if failures.is_empty() {
        return Ok(Outcome::Passed { values: compared_values, skipped, worst: worst.0, at: worst.1 });
    }
    let unread = case.unread();
    if !unread.is_empty() {
        failures.push(format!("unused attributes: {}", unread.join(", ")));
    }
    Ok(Outcome::Failed(failures))
}

fn evaluate(
    graph: &Graph,
    wanted: &[Tensor<'_>],
    inputs: &HashMap<String, RefTensor>,
) -> Result<Vec<Option<RefTensor>>> {
    let ids: Vec<_> = wanted.iter().map(|t| t.id()).collect();
    let variables = HashMap::new();
    evaluate_all(graph, &ids, Environment { inputs, variables: &variables, step: 0, seed: 0 })
}

/// Which elements of each output depend on non-finite inputs; `None` if all inputs are finite.
fn depends_on_non_finite(
    graph: &Graph,
    wanted: &[Tensor<'_>],
    inputs: &HashMap<String, RefTensor>,
) -> Result<Option<Vec<Vec<bool>>>> {
    if inputs.values().all(|x| x.data.iter().all(|v| v.is_finite())) {
        return Ok(None);
    }
    let with = |replacement: f64| {
        let replaced = inputs.iter().map(|(name, x)| {
            let data = x.data.iter().map(|&v| if v.is_finite() { v } else { replacement }).collect();
            (name.clone(), RefTensor { data, ..x.clone() })
        });
        evaluate(graph, wanted, &replaced.collect())
    };
    let (low, high) = (with(-0.37)?, with(0.61)?);
    let changed = wanted.iter().map(|t| {
        let of =
            |values: &[Option<RefTensor>]| values[t.id().index()].as_ref().map(|v| v.data.clone()).unwrap_or_default();
        of(&low).iter().zip(of(&high)).map(|(a, b)| *a != b).collect()
    });
    Ok(Some(changed.collect()))
}

impl From<Trouble> for Error {
    fn from(trouble: Trouble) -> Error {
        let (Trouble::NotCovered(message) | Trouble::Wrong(message)) = trouble;
        Error::value("golden case", message)
    }
}
