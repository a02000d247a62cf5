//! The report of a check.

use super::CheckOptions;
use crate::error::{Error, Result};
use crate::session::Session;
use crate::verify::cases::Outcome;
use crate::verify::compare::Element;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::path::PathBuf;

/// The version of the JSON format.
pub const SCHEMA: u32 = 1;

/// The results of the cases of one operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpResult {
    /// The name of the operation.
    pub op: String,
    /// The number of cases run.
    pub cases: usize,
    /// The number of cases skipped because the device does not support 16-bit floats.
    pub skipped: usize,
    /// The number of failed cases.
    pub failed: usize,
    /// The number of elements compared.
    pub compared: usize,
    /// The largest error in units of its bound.
    pub worst: f64,
    /// The case and value with the largest error.
    pub case: String,
}

/// A failed case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// The operation.
    pub op: String,
    /// The case.
    pub case: String,
    /// The value: `forward` or a gradient; empty if the case did not run.
    pub value: String,
    /// The shape of the value.
    pub shape: Vec<usize>,
    /// The largest error in units of its bound.
    pub worst: f64,
    /// The element with that error.
    pub at: Option<Element>,
    /// The error, if the case did not run.
    pub error: Option<String>,
    /// A minimal failing program, for random programs.
    pub reproducer: Option<String>,
    /// The folder of the saved bundle.
    pub bundle: Option<PathBuf>,
}

/// The report of a check.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The version of wgrad.
    pub version: String,
    /// The device as requested.
    pub device: String,
    /// The name of the device.
    pub name: String,
    /// The adapter, driver, limits and features of a GPU; null for other devices.
    pub details: serde_json::Value,
    /// The seed of the random operands.
    pub seed: u32,
    /// The operations, in the order of their first case.
    pub ops: Vec<OpResult>,
    /// The failures.
    pub failures: Vec<Failure>,
}

impl Report {
    pub(super) fn new(session: &Session, options: &CheckOptions) -> Self {
        Report {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").into(),
            device: session.device().to_string(),
            name: session.device_name(),
            details: session.device_details(),
            seed: options.seed,
            ops: Vec::new(),
            failures: Vec::new(),
        }
    }

    fn op(&mut self, name: &str) -> &mut OpResult {
        let at = self.ops.iter().position(|op| op.op == name).unwrap_or_else(|| {
            self.ops.push(OpResult {
                op: name.into(),
                cases: 0,
                skipped: 0,
                failed: 0,
                compared: 0,
                worst: 0.0,
                case: String::new(),
            });
            self.ops.len() - 1
        });
        &mut self.ops[at]
    }

    pub(super) fn skip(&mut self, op: &str) {
        self.op(op).skipped += 1;
    }

    /// Adds a case that could not be run.
    pub(super) fn error(&mut self, op: &str, case: &str, error: &Error) {
        let entry = self.op(op);
        entry.cases += 1;
        entry.failed += 1;
        self.failures.push(Failure {
            op: op.into(),
            case: case.into(),
            value: String::new(),
            shape: Vec::new(),
            worst: f64::MAX,
            at: None,
            error: Some(error.to_string()),
            reproducer: None,
            bundle: None,
        });
    }

    /// Adds the outcomes of a case. Returns the new failures, so that the caller can add details.
    pub(super) fn add(
        &mut self,
        op: &str,
        case: &str,
        outcomes: &[Outcome],
        bundle: Option<PathBuf>,
    ) -> &mut [Failure] {
        let entry = self.op(op);
        entry.cases += 1;
        entry.failed += usize::from(outcomes.iter().any(|o| !o.comparison.passed()));
        for outcome in outcomes {
            entry.compared += outcome.comparison.compared;
            if outcome.comparison.worst > entry.worst {
                entry.worst = outcome.comparison.worst;
                entry.case = format!("{case}, {}", outcome.what);
            }
        }
        let first = self.failures.len();
        self.failures.extend(outcomes.iter().filter(|o| !o.comparison.passed()).map(|outcome| Failure {
            op: op.into(),
            case: case.into(),
            value: outcome.what.clone(),
            shape: outcome.shape.to_vec(),
            worst: outcome.comparison.worst,
            at: outcome.comparison.at.clone(),
            error: None,
            reproducer: None,
            bundle: bundle.clone(),
        }));
        &mut self.failures[first..]
    }

    /// Whether all cases passed.
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }

    /// The number of cases run.
    pub fn cases(&self) -> usize {
        self.ops.iter().map(|op| op.cases).sum()
    }

    /// The number of cases skipped.
    pub fn skipped(&self) -> usize {
        self.ops.iter().map(|op| op.skipped).sum()
    }

    /// The report as JSON.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(|e| Error::Internal(format!("a report as JSON: {e}")))
    }

    /// A table with a line per operation: cases, elements, the largest error in units of its bound, and the case with
    /// it.
    pub fn table(&self) -> String {
        let width = self.ops.iter().map(|op| op.op.len()).max().unwrap_or(0).max(2);
        let mut out = format!("{:<width$} {:>6} {:>10} {:>9}  where\n", "op", "cases", "elements", "error");
        for op in &self.ops {
            let error = if op.cases == 0 { "skipped".to_string() } else { error(op.worst) };
            let mark = if op.failed > 0 { format!("{} FAILED; ", op.failed) } else { String::new() };
            let _ =
                writeln!(out, "{:<width$} {:>6} {:>10} {error:>9}  {mark}{}", op.op, op.cases, op.compared, op.case);
        }
        out.truncate(out.trim_end().len());
        out
    }
}

/// Formats an error given in units of its bound.
pub(super) fn error(worst: f64) -> String {
    match worst {
        w if w >= f64::MAX => "infinite".into(),
        w if w >= 1000.0 => format!("{w:.1e}"),
        w => format!("{w:.3}"),
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.op, self.case)?;
        if let Some(error) = &self.error {
            return write!(f, ": {error}");
        }
        write!(f, ": {}, shape {:?}: error {}, in units of its bound", self.value, self.shape, error(self.worst))?;
        match &self.at {
            Some(at) => write!(f, ": {at}"),
            None => write!(f, ": the number of elements is wrong"),
        }
    }
}
