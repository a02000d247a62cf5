//! The report of a benchmark: the file that `wgrad bench --json` writes and `--baseline` reads.

use super::{Case, Machine, Options, Roof, Timing};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// The version of the file format.
pub const SCHEMA: u32 = 1;

/// A description of the method, stored in the file.
const METHOD: &str = "wall: the time of several runs, from an idle device to an idle device, divided by their number; \
    device: the sum of the durations of all launches, from timestamps; times are medians of the samples; deviation is \
    the median absolute deviation times 1.4826; bytes are those of the inputs and the result, each once (of gathers, \
    only the selected elements); roof: the best rates of fused multiply-adds and of a + b, measured on the device \
    beforehand; worst_error is in units of the error bound, which depends on the conditioning of the operation; above \
    1 the case is wrong and not timed";

/// The measurements of one case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseResult {
    /// The name of the case.
    pub name: String,
    /// Kernel launches per run.
    pub launches: usize,
    /// Floating-point operations per run.
    pub flops: u64,
    /// The minimum bytes that a run reads and writes: those of the inputs and the result; of gathers, the selected
    /// elements.
    pub bytes: u64,
    /// The largest error, in units of its bound.
    pub worst_error: f64,
    /// The element with that error.
    pub at: Option<String>,
    /// Whether the result is wrong; if so, there are no times.
    pub wrong: bool,
    /// Why the device could not run the case; if so, there are no times.
    pub skipped: Option<String>,
    /// The time by the host's clock.
    pub wall: Option<Timing>,
    /// The time by GPU timestamps, if supported.
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

    /// The time that rates are computed from: the device's if there is one, otherwise the host's.
    pub fn time(&self) -> Option<&Timing> {
        self.device.as_ref().or(self.wall.as_ref())
    }

    fn rate(&self, amount: u64) -> Option<f64> {
        self.time().filter(|t| t.median > 0.0).map(|t| amount as f64 / t.median)
    }

    /// FLOP/s.
    pub fn flops_per_second(&self) -> Option<f64> {
        self.rate(self.flops)
    }

    /// Bytes per second.
    pub fn bytes_per_second(&self) -> Option<f64> {
        self.rate(self.bytes)
    }

    /// The minimum time of the roofline as a percentage of the measured time.
    pub fn percent_of(&self, roof: &Roof) -> Option<f64> {
        self.time().filter(|t| t.median > 0.0).map(|t| 100.0 * roof.seconds(self.flops, self.bytes) / t.median)
    }
}

/// The report of a benchmark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The version of the format: [`SCHEMA`].
    pub schema: u32,
    /// The version of wgrad.
    pub version: String,
    /// The date and time, in UTC: `2026-11-22T08:30:00Z`.
    pub date: String,
    /// The device and its host.
    pub machine: Machine,
    /// The method of measurement.
    pub method: String,
    /// The options.
    pub options: Options,
    /// The measured roofline.
    pub roof: Roof,
    /// The cases, in the order they were run.
    pub cases: Vec<CaseResult>,
}

impl Report {
    /// A report with the current date, without cases.
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

    /// The report as JSON.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(|e| Error::Internal(format!("a report as JSON: {e}")))
    }

    /// Reads a report from a file.
    pub fn read(path: impl AsRef<Path>) -> Result<Report> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|e| Error::file(path, format!("could not be read: {e}")))?;
        let schema = serde_json::from_str::<serde_json::Value>(&text).ok().and_then(|v| v.get("schema")?.as_u64());
        match schema {
            Some(schema) if schema != u64::from(SCHEMA) => {
                let message =
                    format!("has format version {schema}, but this wgrad reads {SCHEMA}; measure a new baseline");
                Err(Error::file(path, message))
            }
            _ => serde_json::from_str(&text)
                .map_err(|e| Error::file(path, format!("is not a report of `wgrad bench --json`: {e}"))),
        }
    }
}

/// The current date and time in UTC.
pub(crate) fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    date(seconds)
}

/// Formats seconds since 1970 as a date (Howard Hinnant's `civil_from_days`).
fn date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Years start in March here, so that leap days are last.
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
