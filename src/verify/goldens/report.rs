//! The results of a folder of golden cases.

use std::fmt;

/// The result of one case.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// All values are within their bounds.
    Passed {
        /// The number of values compared.
        values: usize,
        /// The number of values not compared, because their results are not specified.
        skipped: usize,
        /// The largest error in units of its bound.
        worst: f64,
        /// The element with that error.
        at: String,
    },
    /// Values out of bounds, or the reason why the case could not be computed.
    Failed(Vec<String>),
    /// The reason why the case could not be built: its operation or an attribute is unknown.
    NotCovered(String),
    /// The case is about training; the test that runs it.
    Elsewhere(&'static str),
}

/// One case.
#[derive(Debug, Clone)]
pub struct CaseReport {
    /// The name of the case.
    pub name: String,
    /// The operation.
    pub op: String,
    /// The result.
    pub outcome: Outcome,
}

/// The results of all cases of a folder on a device.
#[derive(Debug, Clone)]
pub struct Report {
    /// The device.
    pub device: String,
    /// The cases, in the order of the index.
    pub cases: Vec<CaseReport>,
}

impl Report {
    fn count(&self, wanted: impl Fn(&Outcome) -> bool) -> usize {
        self.cases.iter().filter(|case| wanted(&case.outcome)).count()
    }
    /// The number of cases that passed.
    pub fn passed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Passed { .. }))
    }
    /// The number of cases that failed.
    pub fn failed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Failed(_)))
    }
    /// The number of cases that could not be built.
    pub fn not_covered(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::NotCovered(_)))
    }
    /// The number of cases that other tests run.
    pub fn elsewhere(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Elsewhere(_)))
    }
    /// Whether every case passed or is run by another test.
    pub fn is_complete(&self) -> bool {
        self.failed() == 0 && self.not_covered() == 0
    }
}

impl fmt::Display for Report {
    /// The failures and the cases not covered, one per line, and a summary.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAX_MESSAGES: usize = 10;
        let (mut values, mut skipped, mut worst) = (0, 0, (0.0, String::new()));
        for case in &self.cases {
            match &case.outcome {
                Outcome::Passed { values: some, skipped: others, worst: error, at } => {
                    (values, skipped) = (values + some, skipped + others);
                    if *error > worst.0 {
                        worst = (*error, format!("{} {at}", case.name));
                    }
                }
                Outcome::Failed(messages) => {
                    for message in messages.iter().take(MAX_MESSAGES) {
                        writeln!(f, "FAILED {}: {message}", case.name)?;
                    }
                    if messages.len() > MAX_MESSAGES {
                        writeln!(f, "FAILED {}: and {} more", case.name, messages.len() - MAX_MESSAGES)?;
                    }
                }
                Outcome::NotCovered(reason) => writeln!(f, "NOT COVERED {} ({}): {reason}", case.name, case.op)?,
                Outcome::Elsewhere(_) => {}
            }
        }
        write!(
            f,
            "{}: {} of {} cases passed, {} failed, {} not covered, {} run by other tests; {values} values, \
             largest error {:.3} of its bound ({}); {skipped} values not compared (NaN, infinity or overflow)",
            self.device,
            self.passed(),
            self.cases.len(),
            self.failed(),
            self.not_covered(),
            self.elsewhere(),
            worst.0,
            worst.1
        )
    }
}
