//! Comparison of two reports of the same machine, case by case.

use super::{CaseResult, Report, Timing};
use crate::error::{Error, Result};

/// The smallest significant change, relative to the earlier time.
const MIN_CHANGE: f64 = 0.05;
/// A significant change is at least this many times the combined spread of both times.
const SPREADS: f64 = 3.0;

/// The change of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The case takes less time.
    Faster,
    /// The case takes more time.
    Slower,
    /// The difference is within the noise.
    Same,
}

impl Change {
    /// The change in words.
    pub fn name(self) -> &'static str {
        match self {
            Change::Faster => "faster",
            Change::Slower => "slower",
            Change::Same => "same",
        }
    }
}

/// A case in both reports.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The name of the case.
    pub name: String,
    /// The earlier median.
    pub before: f64,
    /// The later median.
    pub after: f64,
    /// The significance threshold, relative to the earlier median.
    pub threshold: f64,
    /// The change.
    pub change: Change,
}

impl Comparison {
    fn new(name: &str, before: &Timing, after: &Timing) -> Self {
        let noise = before.spread().hypot(after.spread());
        let threshold = MIN_CHANGE.max(SPREADS * noise);
        let ratio = if before.median > 0.0 { after.median / before.median } else { 1.0 };
        // The same factor in both directions.
        let change = match ratio {
            _ if ratio > 1.0 + threshold => Change::Slower,
            _ if ratio < 1.0 / (1.0 + threshold) => Change::Faster,
            _ => Change::Same,
        };
        Comparison { name: name.to_string(), before: before.median, after: after.median, threshold, change }
    }

    /// The later time divided by the earlier.
    pub fn ratio(&self) -> f64 {
        if self.before > 0.0 { self.after / self.before } else { 1.0 }
    }
}

/// The times to compare, both by the same clock.
fn times<'a>(before: &'a CaseResult, after: &'a CaseResult) -> Option<(&'a Timing, &'a Timing)> {
    let device = before.device.as_ref().zip(after.device.as_ref());
    device.or_else(|| before.wall.as_ref().zip(after.wall.as_ref()))
}

/// Compares the cases that were timed in both reports. A change is significant if it exceeds 5 % and three times the
/// combined spread. Reports of different machines are an error.
pub fn compare(before: &Report, after: &Report) -> Result<Vec<Comparison>> {
    if let Some(difference) = after.machine.differs(&before.machine) {
        let message = format!("was measured on another machine: {difference}; measure a new baseline");
        return Err(Error::value("baseline", message));
    }
    let pairs = after.cases.iter().filter_map(|case| {
        let earlier = before.cases.iter().find(|earlier| earlier.name == case.name)?;
        let (before, after) = times(earlier, case)?;
        Some(Comparison::new(&case.name, before, after))
    });
    Ok(pairs.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(before: &[f64], after: &[f64]) -> Change {
        Comparison::new("case", &Timing::new(before.to_vec(), 1), &Timing::new(after.to_vec(), 1)).change
    }

    #[test]
    fn a_change_must_be_larger_than_the_noise() {
        let quiet = [1.0, 1.01, 0.99, 1.0, 1.0];
        let noisy = [1.0, 1.3, 0.8, 1.1, 0.9];
        let scaled = |times: &[f64], by: f64| times.iter().map(|t| t * by).collect::<Vec<_>>();
        assert_eq!(change(&quiet, &quiet), Change::Same);
        assert_eq!(change(&quiet, &scaled(&quiet, 1.04)), Change::Same);
        assert_eq!(change(&quiet, &scaled(&quiet, 1.1)), Change::Slower);
        assert_eq!(change(&quiet, &scaled(&quiet, 0.9)), Change::Faster);
        assert_eq!(change(&noisy, &scaled(&noisy, 1.3)), Change::Same);
        assert_eq!(change(&noisy, &scaled(&noisy, 3.0)), Change::Slower);
    }
}
