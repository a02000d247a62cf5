//! What came of a folder of golden cases.

use std::fmt;

/// What came of one case.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// All values are within their bounds.
    Passed {
        /// Values compared.
        values: usize,
        /// Values for which nothing is promised.
        skipped: usize,
        /// The largest error, in units of what is allowed.
        worst: f64,
        /// Where.
        at: String,
    },
    /// Values that are not, or why the case could not be computed.
    Failed(Vec<String>),
    /// Why the case could not be built: its operation or an attribute is unknown.
    NotCovered(String),
    /// The test that runs such cases: they are about training.
    Elsewhere(&'static str),
}

/// One case.
#[derive(Debug, Clone)]
pub struct CaseReport {
    /// Its name.
    pub name: String,
    /// Its operation.
    pub op: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// All cases of a folder on a device.
#[derive(Debug, Clone)]
pub struct Report {
    /// The device.
    pub device: String,
    /// The cases, in the index's order.
    pub cases: Vec<CaseReport>,
}

impl Report {
    fn count(&self, wanted: impl Fn(&Outcome) -> bool) -> usize {
        self.cases.iter().filter(|case| wanted(&case.outcome)).count()
    }
    /// Cases that passed.
    pub fn passed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Passed { .. }))
    }
    /// Cases that failed.
    pub fn failed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Failed(_)))
    }
    /// Cases that could not be built.
    pub fn not_covered(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::NotCovered(_)))
    }
    /// Cases that other tests run.
    pub fn elsewhere(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Elsewhere(_)))
    }
    /// Whether every case passed or is run by another test.
    pub fn is_complete(&self) -> bool {
        self.failed() == 0 && self.not_covered() == 0
    }
}

impl fmt::Display for Report {
    /// The failures and what is not covered, one a line, and a summary.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 10;
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
                    for message in messages.iter().take(MOST) {
                        writeln!(f, "FAILED {}: {message}", case.name)?;
                    }
                    if messages.len() > MOST {
                        writeln!(f, "FAILED {}: and {} more", case.name, messages.len() - MOST)?;
                    }
                }
                Outcome::NotCovered(reason) => writeln!(f, "NOT COVERED {} ({}): {reason}", case.name, case.op)?,
                Outcome::Elsewhere(_) => {}
            }
        }
        write!(
            f,
            "{}: {} of {} cases passed, {} failed, {} not covered, {} run by other tests; {values} values, worst {:.3} of the \
             bound ({}); {skipped} not compared, as they depend on what is not finite",
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
