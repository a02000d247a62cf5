//! Writing to stdout and stderr without panicking, and formatting of numbers.

use serde::Serialize;
use std::fmt::Display;
use std::io::{ErrorKind, Write};
use wgrad::Error;
use wgrad::train::Metric;

/// Why a command did not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The reader of stdout has closed the pipe; not an error.
    BrokenPipe,
    /// A check or a comparison failed; its message.
    Check(String),
    /// Any other error.
    Error(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Error(error)
    }
}

/// The result of a command.
pub(super) type Outcome<T = ()> = Result<T, Failure>;

/// Writes a line to stdout. `println!` would panic on a closed pipe or a full disk.
pub(super) fn print(text: impl Display) -> Outcome {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|e| match e.kind() {
        ErrorKind::BrokenPipe => Failure::BrokenPipe,
        _ => Failure::Error(Error::file("stdout", format!("could not write: {e}"))),
    })
}

/// Writes a line to stderr. A failure of that is ignored: there is nowhere left to report it.
pub(super) fn note(text: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Writes one JSON document to stdout.
pub(super) fn print_json(value: &impl Serialize) -> Outcome {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::Internal(format!("output as JSON: {e}")))?;
    print(text)
}

/// A size in bytes: 3.2 MiB.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// An integer with thousands separators: 12,345.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number with four decimals or fewer; in scientific notation if it is very large or small.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e6).contains(&size) {
        return format!("{value:.3e}");
    }
    let decimals = if size >= 1000.0 { 1 } else { 4 };
    format!("{value:.decimals$}")
}

/// A metric's value: errors in per cent.
pub(super) fn metric(metric: Metric, value: f64) -> String {
    match metric {
        Metric::Error | Metric::TopKError => format!("{value:.2} %"),
        _ => number(value),
    }
}

/// A metric's name and value.
pub(super) fn metric_with_name(which: Metric, value: f64) -> String {
    format!("{which} {}", metric(which, value))
}

/// A number with three significant digits, without trailing zeros.
pub(super) fn significant(value: f64) -> String {
    let rounded: f64 = format!("{value:.2e}").parse().unwrap_or(value);
    format!("{rounded:?}")
}

/// A list of names, sorted and without duplicates.
pub(super) fn listed<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    names.into_iter().collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ")
}

/// A duration: 0.42 s, 42 s, 3 min 05 s, 2 h 05 min.
pub(super) fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        _ if seconds < 9.95 => format!("{seconds:.2} s"),
        0..60 => format!("{seconds:.0} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([0, 1023, 1024, 1_048_570, 1 << 20].map(bytes), ["0 B", "1023 B", "1.0 KiB", "1.0 MiB", "1.0 MiB"]);
        assert!(bytes(u64::MAX).ends_with("PiB"));
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0.0, 2.34567, 1234.56, 1.5e-7, 1e30].map(number),
            ["0.0000", "2.3457", "1234.6", "1.500e-7", "1.000e30"]
        );
        assert_eq!(
            [0.0, 0.05, 0.1, 0.048_765_4, 0.000_123_456, 9.996e-7, 12.0, 123_456.0].map(significant),
            ["0.0", "0.05", "0.1", "0.0488", "0.000123", "1e-6", "12.0", "123000.0"]
        );
        assert_eq!(listed(["sum", "div", "sum", "exp", "div"]), "div, exp, sum");
        assert_eq!(
            [0.4251, 9.99, 59.4, 59.7, 185.0, 7500.0].map(duration),
            ["0.43 s", "10 s", "59 s", "1 min 00 s", "3 min 05 s", "2 h 05 min"]
        );
    }
}
