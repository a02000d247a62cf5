//! A table of the saved reports of several devices.

use super::report::{OpResult, Report, SCHEMA, error};
use crate::error::{Error, Result};
use std::fmt::Write;
use std::path::Path;

impl Report {
    /// Reads a report written by [`Report::to_json`].
    ///
    /// # Errors
    /// [`Error::File`] if the file cannot be read, is not a report, or has another format version.
    pub fn read(path: impl AsRef<Path>) -> Result<Report> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|e| Error::file(path, format!("could not be read: {e}")))?;
        let report: Report =
            serde_json::from_str(&text).map_err(|e| Error::file(path, format!("is not a check report: {e}")))?;
        if report.schema != SCHEMA {
            let message =
                format!("has format version {}, but this wgrad reads {SCHEMA}; run the check again", report.schema);
            return Err(Error::file(path, message));
        }
        Ok(report)
    }

    /// The operation with the largest error, if any was run.
    pub fn worst(&self) -> Option<&OpResult> {
        self.ops.iter().filter(|op| op.cases > 0).max_by(|a, b| a.worst.total_cmp(&b.worst))
    }

    /// The number of operations with a case that was run.
    fn operations(&self) -> usize {
        self.ops.iter().filter(|op| op.cases > 0).count()
    }

    /// A property of the adapter; empty if there is none.
    fn adapter(&self, property: &str) -> &str {
        self.details["adapter"][property].as_str().unwrap_or_default()
    }

    fn row(&self) -> [String; COLUMNS.len()] {
        let worst = self.worst().map_or_else(String::new, |op| format!("{} ({})", error(op.worst), op.op));
        let name = match self.adapter("name") {
            "" => self.name.as_str(),
            name => name,
        };
        // Some drivers report no version, and GL drivers have it in the name.
        let driver = [self.adapter("driver"), self.adapter("driver_info")];
        let driver: Vec<&str> = driver.into_iter().filter(|part| !part.is_empty()).collect();
        let failed: usize = self.ops.iter().map(|op| op.failed).sum();
        [
            name.to_string(),
            self.adapter("backend").to_string(),
            driver.join(", "),
            self.operations().to_string(),
            self.cases().to_string(),
            self.ops.iter().map(|op| op.compared).sum::<usize>().to_string(),
            worst,
            failed.to_string(),
            self.skipped().to_string(),
        ]
    }
}

const COLUMNS: [&str; 9] =
    ["device", "backend", "driver", "operations", "cases", "elements", "worst error", "wrong", "skipped"];

/// A Markdown table with a row per report: the device and its driver, the number of operations, cases and elements, and
/// the largest error in units of its bound, with its operation.
///
/// ```
/// use wgrad::ops::samples;
/// use wgrad::verify::check::{CheckOptions, run, side_by_side};
/// use wgrad::{Device, Session};
/// let mut session = Session::new(Device::cpu())?;
/// let options = CheckOptions { patterns: vec!["softmax".into()], ..CheckOptions::default() };
/// let report = run(&mut session, &samples::all(), &options, |_, _, _| {})?;
/// assert!(side_by_side(&[report]).contains("| cpu "));
/// # Ok::<(), wgrad::Error>(())
/// ```
pub fn side_by_side(reports: &[Report]) -> String {
    let rows: Vec<_> = std::iter::once(COLUMNS.map(String::from)).chain(reports.iter().map(Report::row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; COLUMNS.len()] = std::array::from_fn(width);
    let mut out = String::new();
    for (index, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(out, "| {cell:<width$} ");
        }
        out.push_str("|\n");
        if index == 0 {
            widths.iter().for_each(|width| out.push_str(&format!("|{}", "-".repeat(width + 2))));
            out.push_str("|\n");
        }
    }
    out.truncate(out.trim_end().len());
    out
}
