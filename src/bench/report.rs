//! What a series of measurements comes to: the file `wgrad bench --json` writes and `--baseline` reads.

use super::{Case, Machine, Options, Roof, Timing};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// The version of the file's layout.
pub const SCHEMA: u32 = 1;

/// How times are taken, for whoever reads the file.
const METHOD: &str = "wall: from an idle device to an idle device over several runs, divided by their number; device: \
    the device's own timestamps around each launch, added up; a figure is the median of the samples; deviation is the \
    median distance from the median times 1.4826; bytes are those of the inputs and the result, each once \
    (of a table that is looked up, only what is read); roof: the best \
    fused-multiply-add and a + b rates measured on the device beforehand; worst_error is in units of the bound that \
    follows from the operation's conditioning, and above 1 a case is wrong and gets no figure";

/// One case, measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseResult {
    /// The case's name.
    pub name: String,
    /// Kernel launches of a run.
    pub launches: usize,
    /// Floating-point operations of a run.
    pub flops: u64,
    /// Bytes a run has to move: those of the inputs and the result, but for look-ups only what is looked up.
    pub bytes: u64,
    /// The largest error found, in units of what is allowed.
    pub worst_error: f64,
    /// Where that was.
    pub at: Option<String>,
    /// Whether the result is wrong; there are no times then.
    pub wrong: bool,
    /// Why the device could not run it; there are no times then.
    pub skipped: Option<String>,
    /// By the host's clock.
    pub wall: Option<Timing>,
    /// By the device's clock, if it has one.
    pub device: Option<Timing>,
}

impl CaseResult {
    pub(super) fn skipped(case: &Case, reason: &str) -> Self {
        CaseResult {
            name: case.name.clone(),
            launches: 0,
            flops: 0,
            bytes: 0,
            worst_error: 0.0,
            at: None,
            wrong: false,
            skipped: Some(reason.to_string()),
            wall: None,
            device: None,
        }
    }

    /// The time its rates follow from: the device's if it has a clock, else the host's.
    pub fn time(&self) -> Option<&Timing> {
        self.device.as_ref().or(self.wall.as_ref())
    }

    fn rate(&self, amount: u64) -> Option<f64> {
        self.time().filter(|t| t.median > 0.0).map(|t| amount as f64 / t.median)
    }

    /// Operations in a second.
    pub fn flops_per_second(&self) -> Option<f64> {
        self.rate(self.flops)
    }

    /// Bytes in a second.
    pub fn bytes_per_second(&self) -> Option<f64> {
        self.rate(self.bytes)
    }

    /// Per cent of what the roof allows.
    pub fn percent_of(&self, roof: &Roof) -> Option<f64> {
        self.time().filter(|t| t.median > 0.0).map(|t| 100.0 * roof.seconds(self.flops, self.bytes) / t.median)
    }
}

/// A series of measurements.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The layout's version: [`SCHEMA`].
    pub schema: u32,
    /// wgrad's version.
    pub version: String,
    /// When, in UTC: `2026-11-22T08:30:00Z`.
    pub date: String,
    /// On what.
    pub machine: Machine,
    /// How.
    pub method: String,
    /// How long.
    pub options: Options,
    /// What the machine is capable of.
    pub roof: Roof,
    /// The cases, in the order they were run.
    pub cases: Vec<CaseResult>,
}

impl Report {
    /// A report that begins now, without cases.
    pub fn new(machine: Machine, options: Options, roof: Roof) -> Self {
        Report {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_string(),
            date: now(),
            machine,
            method: METHOD.to_string(),
            options,
            roof,
            cases: Vec::new(),
        }
    }

    /// As JSON.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(|e| Error::Internal(format!("a report as JSON: {e}")))
    }

    /// Reads a report's file.
    pub fn read(path: impl AsRef<Path>) -> Result<Report> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|e| Error::file(path, format!("could not be read: {e}")))?;
        let schema = serde_json::from_str::<serde_json::Value>(&text).ok().and_then(|v| v.get("schema")?.as_u64());
        match schema {
            Some(schema) if schema != u64::from(SCHEMA) => {
                let message = format!("has layout {schema}, and this wgrad reads {SCHEMA}; measure the baseline again");
                Err(Error::file(path, message))
            }
            _ => serde_json::from_str(&text)
                .map_err(|e| Error::file(path, format!("is no file that `wgrad bench --json` wrote: {e}"))),
        }
    }
}

/// The present time in UTC.
pub(crate) fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    date(seconds)
}

/// Seconds since 1970 as a date (Howard Hinnant's `civil_from_days`).
fn date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Years begin in March here, so that leap days come last.
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = 400 * era + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01T00:00:00Z");
        assert_eq!(date(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(date(1_795_336_199), "2026-11-22T08:29:59Z");
    }
}
