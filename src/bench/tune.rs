//! The fastest variant of each launch, measured: every one is checked against the f64 reference before it is timed, so
//! that no driver's fault can win.

use super::case::{Case, Prepared};
use super::check::Slices;
use crate::error::{Error, Result};
use crate::session::{Program, Session};
use crate::verify::{Expected, Trial};
use crate::wgsl::{self, Choice, Tuned};
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A variant is preferred to the rule's if it takes less than this part of its time.
const BETTER: f64 = 0.97;
/// Variants that take more than this many times the least are not measured again.
const CLOSE: f64 = 1.25;
/// How many of the others are measured again, in turn with the rule's, and how often.
const FINALISTS: usize = 3;
const ROUNDS: usize = 5;

/// One variant of a launch.
#[derive(Debug, Clone, Serialize)]
pub struct Trying {
    /// Its name.
    pub variant: String,
    /// Its largest error in units of what is allowed; more than 1 is refused.
    pub worst: f64,
    /// Seconds of the launch, the median; `None` if it was refused.
    pub seconds: Option<f64>,
}

/// What was found for one launch.
#[derive(Debug, Clone, Serialize)]
pub struct Found {
    /// The case or the model.
    pub subject: String,
    /// What the launch is: [`key`](crate::wgsl::key).
    pub launch: String,
    /// Each variant, the rule's first.
    pub tried: Vec<Trying>,
    /// The best one's name.
    pub best: String,
    /// Its seconds, and those of the rule's, measured in turn.
    pub seconds: [f64; 2],
}

impl Found {
    /// Whether another variant than the rule's is the best.
    pub fn is_better(&self) -> bool {
        self.tried.first().is_some_and(|rule| rule.variant != self.best)
    }

    /// Variants whose results were wrong.
    pub fn refused(&self) -> impl Iterator<Item = &Trying> {
        self.tried.iter().filter(|tried| tried.seconds.is_none())
    }
}

/// What is tuned: a program, and how to check it.
pub trait Subject {
    /// Its name.
    fn name(&self) -> String;
    /// Compiles it and gives it its inputs.
    ///
    /// # Errors
    /// Those of compiling.
    fn compile(&mut self, session: &mut Session) -> Result<Program>;
    /// Runs it once from the same state as always, and gives the largest error in units of what is allowed.
    ///
    /// # Errors
    /// Those of running it, and of the reference.
    fn check(&mut self, session: &mut Session, program: &Program) -> Result<f64>;
}

/// A benchmark case to be tuned.
pub struct TunedCase<'c> {
    case: &'c Case,
    prepared: Option<Prepared>,
    expected: Option<Slices>,
}

impl<'c> TunedCase<'c> {
    /// Of this case.
    pub fn new(case: &'c Case) -> Self {
        TunedCase { case, prepared: None, expected: None }
    }
}

impl Subject for TunedCase<'_> {
    fn name(&self) -> String {
        self.case.name.clone()
    }

    fn compile(&mut self, session: &mut Session) -> Result<Program> {
        let prepared = self.case.prepare(session)?;
        let program = prepared.program.clone();
        self.prepared = Some(prepared);
        Ok(program)
    }

    fn check(&mut self, session: &mut Session, program: &Program) -> Result<f64> {
        let Some(prepared) = &self.prepared else { return Err(Error::Internal("a case was not compiled".into())) };
        session.set_step(program, 0)?;
        let result = session.run(program, &[])?.swap_remove(0);
        if self.expected.is_none() {
            self.expected = Some(prepared.slices(self.case, result.shape(), 0, session.seed())?);
        }
        let expected = self.expected.as_ref().map_or(f64::INFINITY, |expected| expected.compare(&result).worst);
        Ok(expected)
    }
}

/// One run of a graph to be tuned: a training step.
pub struct TunedTrial<'g> {
    name: String,
    trial: Trial<'g>,
    expected: Expected,
}

impl<'g> TunedTrial<'g> {
    /// Of this run.
    ///
    /// # Errors
    /// Those of the reference.
    pub fn new(name: impl Into<String>, trial: Trial<'g>) -> Result<Self> {
        Ok(TunedTrial { name: name.into(), expected: trial.expected()?, trial })
    }
}

impl Subject for TunedTrial<'_> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn compile(&mut self, session: &mut Session) -> Result<Program> {
        self.trial.compile(session)
    }

    fn check(&mut self, session: &mut Session, program: &Program) -> Result<f64> {
        let got = self.trial.run_program(session, program)?;
        let wanted = self.trial.wanted();
        let each = wanted.iter().zip(&got).map(|(id, got)| self.expected.compare(*id, &got.to_f64()).worst);
        Ok(each.fold(0.0, f64::max))
    }
}

/// How to tune.
pub struct Tuner<'a> {
    /// Opens a session on the device that runs these variants.
    pub open: &'a mut dyn FnMut(Choice) -> Result<Session>,
    /// When to stop.
    pub until: Option<Instant>,
    /// Told of each launch to be tuned: the subject, how many of its launches come before, and how many there are.
    pub progress: &'a mut dyn FnMut(&str, usize, usize),
    /// What was found before, by launches that need not be measured again; what is found is added.
    pub tuned: Tuned,
}

/// A variant with a session and a program of its own.
struct Candidate {
    name: String,
    session: Session,
    program: Program,
    seconds: Vec<f64>,
}

impl Candidate {
    /// Seconds of launch number `launch`, over a few runs.
    fn measure(&mut self, launch: usize) -> Result<f64> {
        let mut samples = Vec::new();
        let runs = 10;
        if let Some(runs) = self.session.device_times(&self.program, runs)? {
            samples.extend(runs.iter().map(|run| run[launch].iter().sum::<f64>()));
        }
        if samples.iter().all(|&s| s <= 0.0) {
            samples.clear();
            for _ in 0..runs {
                samples.push(self.session.profile(&self.program)?[launch].iter().sum());
            }
        }
        Ok(median(samples))
    }
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or(f64::INFINITY)
}

impl Tuner<'_> {
    fn out_of_time(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }

    fn candidate(&mut self, subject: &mut dyn Subject, key: &str, name: &str) -> Result<Candidate> {
        let mut choice = self.tuned.clone();
        choice.0.insert(key.into(), name.into());
        let mut session = (self.open)(Choice::Tuned(Arc::new(choice)))?;
        let program = subject.compile(&mut session)?;
        Ok(Candidate { name: name.into(), session, program, seconds: Vec::new() })
    }

    /// Tunes the launches of a subject that have variants and were not tuned before.
    ///
    /// # Errors
    /// Those of opening the device, compiling and running; a wrong variant is no error, and one that cannot be compiled
    /// is left out.
    pub fn run(&mut self, subject: &mut dyn Subject) -> Result<Vec<Found>> {
        let mut session = (self.open)(Choice::Tuned(Arc::new(self.tuned.clone())))?;
        let Some(target) = session.gpu_target() else {
            return Err(Error::value("tune", "variants are a GPU's; choose one with --device gpu"));
        };
        let program = subject.compile(&mut session)?;
        let launches = session.plan(&program).map(|plan| plan.launches.clone()).unwrap_or_default();
        drop(session);
        let mut found = Vec::new();
        for (number, launch) in launches.iter().enumerate() {
            let (key, names) = (wgsl::key(launch), wgsl::variants(launch, &target)?.names);
            if names.len() < 2 || self.tuned.0.contains_key(&key) || self.out_of_time() {
                continue;
            }
            (self.progress)(&subject.name(), number, launches.len());
            if let Some(result) = self.launch(subject, number, key, names)? {
                self.tuned.0.insert(result.launch.clone(), result.best.clone());
                found.push(result);
            }
        }
        Ok(found)
    }

    /// `None` if time ran out before there was anything to compare.
    fn launch(
        &mut self,
        subject: &mut dyn Subject,
        number: usize,
        key: String,
        names: Vec<String>,
    ) -> Result<Option<Found>> {
        let (mut tried, mut others): (Vec<Trying>, Vec<Candidate>) = (Vec::new(), Vec::new());
        let mut rule: Option<Candidate> = None;
        for name in &names {
            if self.out_of_time() {
                break;
            }
            let is_rule = rule.is_none();
            let mut candidate = match self.candidate(subject, &key, name) {
                Ok(candidate) => candidate,
                Err(error) if is_rule => return Err(error),
                Err(_) => continue,
            };
            let worst = subject.check(&mut candidate.session, &candidate.program)?;
            // Not `>`: a NaN is wrong too.
            let right = worst <= 1.0;
            let seconds = if right { Some(candidate.measure(number)?) } else { None };
            tried.push(Trying { variant: name.clone(), worst: worst.min(f64::MAX), seconds });
            match seconds {
                None if is_rule => {
                    let message =
                        format!("its own variant `{name}` gives wrong results on this device (`wgrad check`)");
                    return Err(Error::value(format!("`{}`", subject.name()), message));
                }
                None => {}
                Some(seconds) if is_rule => {
                    candidate.seconds.push(seconds);
                    rule = Some(candidate);
                }
                Some(seconds) => {
                    candidate.seconds.push(seconds);
                    others.push(candidate);
                    // Few at a time stay on the device.
                    others.sort_by(|a, b| a.seconds[0].total_cmp(&b.seconds[0]));
                    let least = others[0].seconds[0];
                    others.retain(|other| other.seconds[0] < CLOSE * least);
                    others.truncate(FINALISTS);
                }
            }
        }
        let Some(mut rule) = rule else { return Ok(None) };
        for _ in 0..ROUNDS {
            for candidate in std::iter::once(&mut rule).chain(&mut others) {
                let seconds = candidate.measure(number)?;
                candidate.seconds.push(seconds);
            }
        }
        // The first measurements were not in turn.
        let time = |candidate: &Candidate| median(candidate.seconds[1..].to_vec());
        let by_rule = time(&rule);
        let best =
            others.iter().min_by(|a, b| time(a).total_cmp(&time(b))).filter(|best| time(best) < BETTER * by_rule);
        let (best, seconds) = best.map_or((&rule, by_rule), |best| (best, time(best)));
        let best = best.name.clone();
        Ok(Some(Found { subject: subject.name(), launch: key, tried, best, seconds: [seconds, by_rule] }))
    }
}

/// When a limit of so many seconds from now is over.
pub fn after(seconds: f64) -> Option<Instant> {
    Instant::now().checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}
