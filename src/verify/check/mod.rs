//! Every kernel and its gradients on a device against the f64 reference: the work of `wgrad check`.

mod compare;
mod custom;
mod report;

pub use compare::side_by_side;
pub use custom::custom;
pub use report::{Failure, OpResult, Report, SCHEMA};

use super::bundle::Bundle;
use super::cases::{self, Case};
use super::fuzz::{self, Tried};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::ops::samples::Sample;
use crate::session::Session;
use std::path::PathBuf;

/// Settings of a check.
#[derive(Debug, Clone, Default)]
pub struct CheckOptions {
    /// Check only operations whose name contains one of these; all if empty.
    pub patterns: Vec<String>,
    /// Check only cases whose full name (the operation's and the case's) contains this.
    pub filter: Option<String>,
    /// The seed of the random operands.
    pub seed: u32,
    /// Skip the edge cases.
    pub samples_only: bool,
    /// The number of random programs to run after the other cases. Consecutive seeds overlap: program `i` of seed `s`
    /// is program 0 of seed `s + i`.
    pub fuzz: u32,
    /// The folder to save each failing case in, to be replayed elsewhere ([`Bundle::replay`]).
    pub bundles: Option<PathBuf>,
}

impl CheckOptions {
    /// Whether an operation is selected.
    fn selects_op(&self, op: &str) -> bool {
        self.patterns.is_empty() || self.patterns.iter().any(|p| op.contains(p.as_str()))
    }
    /// Whether a case is selected.
    fn selects(&self, case: &Case<'_>) -> bool {
        self.filter.as_ref().is_none_or(|text| format!("{} {}", case.sample.op, case.name).contains(text.as_str()))
    }
}

/// Runs the cases of `samples` on the session's device: each sample, forward and backward; variants with edge-case
/// shapes and values, for one of the selected operations per kernel; then random programs. `progress` is called before
/// each case with the number of cases before it, the total, and the name of the case.
///
/// Samples of custom operations are checked like those of [`samples::all`](crate::ops::samples::all).
///
/// ```
/// use wgrad::ops::samples;
/// use wgrad::verify::check::{CheckOptions, run};
/// use wgrad::{Device, Session};
/// let mut session = Session::new(Device::cpu())?;
/// let options = CheckOptions { patterns: vec!["softmax".into()], ..CheckOptions::default() };
/// let report = run(&mut session, &samples::all(), &options, |_, _, _| {})?;
/// assert!(report.passed() && report.ops.iter().any(|op| op.op == "log_softmax"));
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// If the device is lost or out of memory. A case that is wrong or fails to compile is part of the report instead.
pub fn run(
    session: &mut Session,
    samples: &[Sample],
    options: &CheckOptions,
    mut progress: impl FnMut(usize, usize, &str),
) -> Result<Report> {
    let mut report = Report::new(session, options);
    let selected: Vec<&Sample> = samples.iter().filter(|sample| options.selects_op(sample.op)).collect();
    let mut cases: Vec<Case<'_>> = if options.samples_only {
        selected.iter().map(|sample| Case::plain(sample, options.seed)).collect()
    } else {
        cases::all(&selected, options.seed)
    };
    cases.retain(|case| options.selects(case));
    let total = cases.len() + options.fuzz as usize;
    let has_f16 = session.gpu_target().is_none_or(|target| target.f16);
    for (index, case) in cases.iter().enumerate() {
        if case.uses(DType::F16) && !has_f16 {
            report.skip(case.sample.op);
            continue;
        }
        progress(index, total, &format!("{} {}", case.sample.op, case.name));
        check(session, case, options, &mut report)?;
    }
    for index in 0..options.fuzz {
        let seed = options.seed.wrapping_add(index);
        progress(cases.len() + index as usize, total, &format!("random program of seed {seed}"));
        let tried = fuzz::run(session, seed, options.bundles.as_deref())?;
        random(seed, tried, &mut report);
    }
    Ok(report)
}

fn check(session: &mut Session, case: &Case<'_>, options: &CheckOptions, report: &mut Report) -> Result<()> {
    let (op, name) = (case.sample.op, &case.name);
    match case.run(session, options.seed) {
        // The remaining cases would fail too.
        Err(error @ (Error::DeviceLost(_) | Error::OutOfMemory(_))) => return Err(error),
        // The case uses 16-bit floats although none of its operands does, and the device lacks them.
        Err(Error::Device(message)) if message.contains("SHADER_F16") => report.skip(op),
        Err(error) => report.error(op, name, &error),
        Ok(outcomes) => {
            let failed = outcomes.iter().any(|o| !o.comparison.passed());
            let bundle = if failed { save(session, case, options)? } else { None };
            report.add(op, name, &outcomes, bundle);
        }
    }
    Ok(())
}

/// Adds the result of a random program to the report.
fn random(seed: u32, tried: Tried, report: &mut Report) {
    let (op, name) = ("random", format!("seed {seed}"));
    match tried {
        Tried::Error(error) => report.error(op, &name, &error),
        Tried::Compared { outcome, reproducer, bundle } => {
            for failure in report.add(op, &name, &[outcome], bundle) {
                failure.reproducer.clone_from(&reproducer);
            }
        }
    }
}

/// Saves a failing case, if bundles are requested.
fn save(session: &mut Session, case: &Case<'_>, options: &CheckOptions) -> Result<Option<PathBuf>> {
    let Some(folder) = &options.bundles else { return Ok(None) };
    let graph = Graph::new();
    let Some(values) = case.build(&graph) else { return Ok(None) };
    let trial = case.trial(&graph, &values, options.seed);
    let title = format!("{} {}", case.sample.op, case.name);
    match Bundle::record(&trial, &title, session) {
        Ok(bundle) => bundle.save_in(folder).map(Some),
        // Custom operations cannot be saved; the failure is in the report anyway.
        Err(_) => Ok(None),
    }
}
