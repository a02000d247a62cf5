//! Every pass can be left out, and none changes what a program computes.
#![allow(clippy::unwrap_used)]

mod models;
mod random;
mod rules;

// `writeln!` to stderr is shown by the test runner; `eprintln!` in a passing test is not.
use std::collections::HashMap;
use std::io::Write;
use wgrad::cpu::{CpuExecutor, CpuOptions};
use wgrad::passes::Passes;
use wgrad::reference::{Environment, RefTensor, evaluate_all};
use wgrad::verify::error_bounds;
use wgrad::{Array, Device, Error, Graph, NodeId, Session, Tensor, Variable};

/// All passes, none, and all but each in turn, with a name for messages.
fn variants() -> Vec<(String, Passes)> {
    let without = Passes::NAMES.iter().map(|name| (format!("without {name}"), Passes::all().without(name).unwrap()));
    [("all".to_string(), Passes::all()), ("none".to_string(), Passes::none())].into_iter().chain(without).collect()
}

fn cpu(passes: Passes) -> Session {
    Session::with_executor(Device::cpu(), Box::new(CpuExecutor::with_options(CpuOptions { passes })))
}

/// Sessions on the cpu for every variant.
fn cpu_sessions() -> Vec<(String, Session)> {
    variants().into_iter().map(|(name, passes)| (name, cpu(passes))).collect()
}

/// Sessions on a GPU, if there is one, with no passes and with all.
#[cfg(feature = "gpu")]
fn gpu_sessions() -> Vec<(String, Session)> {
    use wgrad::gpu::{GpuExecutor, GpuOptions};
    let mut sessions = Vec::new();
    for (name, passes) in [("all", Passes::all()), ("none", Passes::none())] {
        match GpuExecutor::with_options(&wgrad::GpuChoice::Fastest, GpuOptions { passes, ..GpuOptions::default() }) {
            Ok(executor) => {
                sessions.push((format!("gpu {name}"), Session::with_executor(Device::gpu(), Box::new(executor))));
            }
            Err(Error::Device(message)) if std::env::var_os("WGRAD_REQUIRE_GPU").is_none() => {
                let _ = writeln!(std::io::stderr(), "SKIPPED: passes on a GPU: {message}");
                break;
            }
            Err(error) => panic!("{error}"),
        }
    }
    sessions
}

/// A program to check, with what its leaves hold.
struct Case<'g> {
    name: String,
    graph: &'g Graph,
    outputs: Vec<Tensor<'g>>,
    inputs: Vec<(String, Array)>,
    /// Values other than the initial ones.
    variables: Vec<(Variable, Array)>,
}

impl Case<'_> {
    /// Runs it once in every session and compares the outputs and the updated variables with the reference, element by
    /// element, each within the error a correct device may make. Returns which part of the elements had a finite bound.
    fn check(&self, sessions: &mut [(String, Session)]) -> f64 {
        const STEP: u32 = 3;
        let updates = self.graph.updates();
        let ids: Vec<NodeId> = self.outputs.iter().map(|t| t.id()).chain(updates.iter().map(|(_, id)| *id)).collect();
        let inputs: HashMap<String, RefTensor> =
            self.inputs.iter().map(|(name, value)| (name.clone(), RefTensor::from_array(value))).collect();
        let variables: HashMap<u64, RefTensor> =
            self.variables.iter().map(|(v, value)| (v.id(), RefTensor::from_array(value))).collect();
        let environment = Environment { inputs: &inputs, variables: &variables, step: STEP, seed: 0 };
        let values = evaluate_all(self.graph, &ids, environment).unwrap();
        let bounds = error_bounds(self.graph, &values, &HashMap::new());
        let (mut compared, mut total) = (0usize, 0usize);
        for (variant, session) in sessions {
            let program = match session.compile(self.graph, &self.outputs) {
                Ok(program) => program,
                // A device without 16-bit floats says so; everything else must compile.
                Err(Error::Device(message)) if message.contains("SHADER_F16") => continue,
                Err(error) => panic!("{}, {variant}: {error}", self.name),
            };
            for (variable, value) in &self.variables {
                session.write(variable, value).unwrap();
            }
            let feed: Vec<(&str, &Array)> = self.inputs.iter().map(|(name, value)| (name.as_str(), value)).collect();
            let needed = |name: &str| program.inputs().iter().any(|(n, _)| n == name);
            let feed: Vec<(&str, &Array)> = feed.into_iter().filter(|(name, _)| needed(name)).collect();
            session.set_step(&program, STEP).unwrap();
            let mut got = session.run(&program, &feed).unwrap();
            got.extend(updates.iter().map(|(variable, _)| session.read(variable).unwrap()));
            for (k, (id, got)) in ids.iter().zip(got).enumerate() {
                let expected = &values[id.index()].as_ref().unwrap().data;
                for (index, (g, r)) in got.to_f64().into_iter().zip(expected).enumerate() {
                    let bound = bounds[id.index()][index];
                    // Where the reference is not finite or a device may do anything, there is nothing to compare.
                    let unbounded = !r.is_finite() || !bound.is_finite();
                    (compared, total) = (compared + usize::from(!unbounded), total + 1);
                    assert!(
                        g == *r || unbounded || (g - r).abs() <= bound,
                        "{}, {variant}, value {k}[{index}]: {g}, but {r} ± {bound}",
                        self.name
                    );
                }
            }
        }
        if total == 0 { 1.0 } else { compared as f64 / total as f64 }
    }
}
