//! The fit loop.

mod inspect;
mod open;

use super::config::{Config, Unit};
use super::evaluation::{Evaluated, Evaluation, MAX_CONFUSION, SecondSession};
use super::metrics::{EpochRecord, Monitor, Scores, SetName, SetScores};
use super::model::Model;
use super::objective::Objective;
use super::preprocessing::Preprocessing;
use super::programs::{Moves, TrainPrograms};
use super::task::Task;
use super::watch::Watch;
use crate::array::Array;
use crate::data::RandomState;
use crate::error::{Error, Result};
use crate::optim::Plateau;
use crate::session::{Program, Session};
use crate::variable::Variable;
use std::sync::Arc;
use std::time::Instant;

/// A run in progress: the network, the optimiser and the data on one device.
#[derive(Debug)]
pub struct Trainer {
    pub(super) config: Config,
    pub(super) session: Session,
    pub(super) model: Model,
    pub(super) preprocessing: Arc<Preprocessing>,
    objective: Objective,
    // Holds the optimiser's state variables, which the programs update.
    pub(super) moves: Moves,
    /// Exchanges the weights with their averages, if averages are kept.
    swap: Option<Program>,
    pub(super) train: TrainPrograms,
    evaluation: Evaluation,
    pub(super) ahead: Option<Ahead>,
    pub(super) rates: Vec<f64>,
    /// The learning rates on the device.
    table: Variable,
    pub(super) plateau: Option<(Monitor, Plateau)>,
    /// The generator of the epochs' orders, before the order of the epoch in progress was drawn.
    pub(super) shuffler: RandomState,
    /// The generator after the order of the epoch in progress was drawn, once it was.
    pub(super) drawn: Option<RandomState>,
    /// The steps of the epoch in progress that have run.
    pub(super) within: u32,
    /// The number of steps until the clock is looked at, where a pause may be due: doubled until they take a noticeable
    /// time.
    slice: u32,
    pub(super) history: Vec<EpochRecord>,
    pub(super) watch: Watch,
    pub(super) train_seconds: f64,
    setup_seconds: f64,
    first_step_seconds: Option<f64>,
    test: Option<Scores>,
    residency: &'static str,
}

/// The state of [`Trainer::train_ahead`].
#[derive(Debug)]
pub(super) struct Ahead {
    second: SecondSession,
    /// The network's state after the last epoch that has a record.
    state: Vec<(String, Array)>,
    /// The running loss of the epoch after that one, if its steps have run.
    next: Option<Result<f64>>,
    /// Whether steps of that epoch have run: the session is ahead of the last record.
    pub(super) has_begun: bool,
    /// Everything that the training steps update, after the last epoch that has a record, if a checkpoint is wanted.
    pub(super) captured: Option<Vec<Array>>,
}

impl Ahead {
    /// Forgets the epoch that has begun: the session goes back to a checkpoint.
    pub(super) fn forget(&mut self) {
        (self.next, self.has_begun, self.captured) = (None, false, None);
    }
}

/// How far [`Trainer::advance`] goes at most.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pause {
    /// The number of training steps.
    pub steps: Option<u32>,
    /// The time, in seconds; a running step is not interrupted.
    pub seconds: Option<f64>,
    /// Whether a checkpoint is to be taken after the epoch. It has to be known before if training goes on while the
    /// epoch is evaluated.
    pub checkpoint: bool,
}

impl Trainer {
    /// The scores of a set now and what they consist of; `None` without such a set. For a classification with very many
    /// classes there is no confusion matrix.
    pub fn evaluate(&mut self, set: SetName) -> Result<Option<Evaluated>> {
        if self.preprocessing.task == Task::Classification && self.model.output[0] > MAX_CONFUSION {
            let scores = self.with_averages(|trainer| trainer.evaluation.of(&mut trainer.session, set))?;
            return Ok(scores.map(|scores| Evaluated { scores, ..Evaluated::default() }));
        }
        self.with_averages(|trainer| {
            trainer.evaluation.in_detail(&mut trainer.session, &trainer.objective, &trainer.model, set)
        })
    }

    /// Compiles the evaluation, if it is not compiled yet.
    fn compile_evaluation(&mut self) -> Result<()> {
        let start = Instant::now();
        self.evaluation.compile(&mut self.session, &self.objective, &self.model)?;
        self.setup_seconds += start.elapsed().as_secs_f64();
        Ok(())
    }

    /// Runs the first step of the run on its own, and the work that was left for after it. `start` is the time at which
    /// the epoch began.
    fn first_step(&mut self, epoch: u32, start: Instant) -> Result<()> {
        if self.first_step_seconds.is_some() || self.within == self.train.steps() {
            return Ok(());
        }
        self.train.run(&mut self.session, epoch, self.within..self.within + 1)?;
        self.within += 1;
        self.session.finish()?;
        self.first_step_seconds = Some(self.setup_seconds + start.elapsed().as_secs_f64());
        if self.ahead.is_none() {
            self.compile_evaluation()?;
        }
        Ok(())
    }

    /// The run's session.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }
    /// The network.
    pub fn model(&self) -> &Model {
        &self.model
    }
    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }
    /// What is done to the data before the network sees them, and the task.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }
    /// Number of epochs completed.
    pub fn epochs_done(&self) -> u32 {
        self.history.len() as u32
    }
    /// Whether all epochs are done, or training stopped early.
    pub fn is_finished(&self) -> bool {
        self.epochs_done() >= self.config.epochs || self.watch.stopped().is_some()
    }
    /// Starts the epoch in progress: draws the order of its samples. Epoch `e` uses the `e`-th `permutation(rows)` of
    /// NumPy's `RandomState(seed)`, so it can be reproduced outside of wgrad.
    pub(super) fn begin_epoch(&mut self) -> Result<()> {
        let mut shuffler = self.shuffler.clone();
        let rows = self.train.rows();
        let shuffle = self.config.shuffle;
        let order = shuffle.then(|| shuffler.permutation(rows).into_iter().map(|i| i as u32).collect());
        self.drawn = Some(shuffler);
        self.train.begin(&mut self.session, order)
    }

    /// Lets [`Trainer::epoch`] run the next epoch's steps while it evaluates. This takes a second copy of the sets
    /// and does not change results: records, [`Trainer::state_dict`], [`Trainer::test`] and [`Trainer::metrics`] are
    /// those of the requested epoch. [`Trainer::session`] and [`Trainer::state`] are one epoch ahead.
    ///
    /// It applies only where evaluation can use a core of its own: on the CPU (and the reference) with two threads or
    /// more, and only if neither the schedule nor the end of training depends on an epoch's scores. Otherwise it has no
    /// effect.
    pub fn train_ahead(&mut self) -> Result<()> {
        let depends = self.plateau.is_some() || self.config.early_stopping.is_some();
        if self.session.place_beside().is_some() && !depends && self.ahead.is_none() {
            let second = SecondSession::new(self.session.device().clone(), &self.evaluation)?;
            self.ahead = Some(Ahead { second, state: Vec::new(), next: None, has_begun: false, captured: None });
        }
        Ok(())
    }

    /// Trains for one epoch (or what is left of it) and evaluates. If training has diverged (a loss is not finite), this
    /// is an error.
    pub fn epoch(&mut self) -> Result<EpochRecord> {
        match self.advance(Pause::default())? {
            Some(record) => Ok(record),
            None => Err(Error::Internal("an epoch paused without being asked to".into())),
        }
    }

    /// As [`Trainer::epoch`], but returns `None` where `pause` says, if the epoch is not done by then; the next call
    /// goes on from there. A run that [trains ahead](Trainer::train_ahead) pauses only by time.
    pub fn advance(&mut self, pause: Pause) -> Result<Option<EpochRecord>> {
        let epoch = self.epochs_done();
        if epoch >= self.config.epochs {
            return Err(Error::config("epochs", format!("all {} epochs of the run are done", self.config.epochs)));
        }
        if let Some(reason) = self.watch.stopped() {
            return Err(Error::config("early_stopping", format!("the run is over: {reason}")));
        }
        let (start, setup_before) = (Instant::now(), self.setup_seconds);
        let pause = if self.ahead.is_some() { Pause { steps: None, ..pause } } else { pause };
        let made = self.ahead.as_mut().and_then(|ahead| {
            (ahead.has_begun, ahead.captured) = (false, None);
            ahead.next.take()
        });
        let running_loss = match made {
            Some(loss) => loss?,
            None => {
                if !self.train_epoch(epoch, start, pause)? {
                    self.train_seconds += start.elapsed().as_secs_f64() - (self.setup_seconds - setup_before);
                    return Ok(None);
                }
                self.session.read(self.train.running_loss())?.item()?
            }
        };
        let (train, val) = match self.ahead.take() {
            Some(ahead) => self.evaluate_ahead(ahead, epoch, pause)?,
            None => {
                self.compile_evaluation()?;
                self.end_epoch();
                self.with_averages(|trainer| trainer.evaluation.epoch(&mut trainer.session))?
            }
        };
        let updates = self.train.steps().div_ceil(self.config.accumulate);
        let last_update = (epoch + 1) * updates - 1;
        let moment = if self.config.schedule.unit() == Unit::Step { last_update } else { epoch };
        let record = EpochRecord {
            epoch: epoch + 1,
            running_loss,
            scores: SetScores { train, val, test: None },
            lr: self.rates[moment as usize],
            seconds: start.elapsed().as_secs_f64() - (self.setup_seconds - setup_before),
        };
        self.watch_for_plateau(&record)?;
        if self.watch.epoch(&record) {
            let state = self.state_dict()?;
            self.watch.keep(state);
        }
        self.train_seconds += record.seconds;
        self.history.push(record.clone());
        Ok(Some(record))
    }

    /// The order of the next epoch is drawn from where that of the finished one left off.
    fn end_epoch(&mut self) {
        if let Some(drawn) = self.drawn.take() {
            self.shuffler = drawn;
        }
        self.within = 0;
    }

    /// Runs the steps that are left of an epoch, up to `pause`; returns whether they are all done. `start` is the time
    /// of the call.
    fn train_epoch(&mut self, epoch: u32, start: Instant, pause: Pause) -> Result<bool> {
        if self.drawn.is_none() {
            self.begin_epoch()?;
        }
        let first = self.within;
        self.first_step(epoch, start)?;
        let steps = self.train.steps();
        let end = pause.steps.map_or(steps, |most| steps.min(first.saturating_add(most)));
        while self.within < end {
            let slice = if pause.seconds.is_some() { self.slice } else { steps };
            let until = end.min(self.within.saturating_add(slice));
            let began = Instant::now();
            self.train.run(&mut self.session, epoch, self.within..until)?;
            self.within = until;
            if let Some(most) = pause.seconds {
                self.session.finish()?;
                if start.elapsed().as_secs_f64() >= most && self.within < steps {
                    return Ok(false);
                }
                if began.elapsed().as_secs_f64() < 0.01 * most {
                    self.slice = slice.saturating_mul(2);
                }
            }
        }
        Ok(self.within == steps)
    }

    /// Evaluates `epoch`, whose steps have run, while the next epoch's steps run.
    fn evaluate_ahead(&mut self, mut ahead: Ahead, epoch: u32, pause: Pause) -> Result<(Scores, Option<Scores>)> {
        ahead.state = self.state_dict()?;
        self.end_epoch();
        ahead.captured = if pause.checkpoint { Some(self.read_all()?) } else { None };
        ahead.second.load(&self.objective, &self.model, &ahead.state)?;
        let is_last = epoch + 1 == self.config.epochs;
        let next = || {
            if is_last {
                return None;
            }
            let done = self.train_epoch(epoch + 1, Instant::now(), pause);
            let loss = |done: bool| {
                let loss = || self.session.read(self.train.running_loss())?.item();
                done.then(loss).transpose()
            };
            done.and_then(loss).transpose()
        };
        let (scores, next) = ahead.second.epoch_during(next);
        (ahead.next, ahead.has_begun) = (next, !is_last);
        self.ahead = Some(ahead);
        scores
    }

    /// Runs `f` with the averaged weights, if there are any, in place of the weights.
    fn with_averages<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let exchange = |trainer: &mut Self| match &trainer.swap {
            Some(swap) => trainer.session.run_steps(swap, &[], 1),
            None => Ok(()),
        };
        exchange(self)?;
        let found = f(self);
        exchange(self)?;
        found
    }

    /// Lowers the learning rate of the following epochs if the schedule says so.
    fn watch_for_plateau(&mut self, record: &EpochRecord) -> Result<()> {
        let Some((monitor, plateau)) = &mut self.plateau else { return Ok(()) };
        let before = plateau.lr();
        let lr = record.scores.monitored(*monitor).map_or(before, |metric| plateau.step(metric));
        if lr != before {
            self.set_rates(record.epoch, lr)?;
        }
        Ok(())
    }

    /// Sets the learning rate from epoch `first` (counted from 0) on.
    pub(super) fn set_rates(&mut self, first: u32, lr: f64) -> Result<()> {
        if let Some(rates) = self.rates.get_mut(first as usize..) {
            rates.fill(lr);
        }
        self.session.write(&self.table, &rate_table(&self.rates))
    }

    /// The scores of the test set, if there is one.
    pub fn test(&mut self) -> Result<Option<Scores>> {
        if !self.evaluation.has_test() {
            return Ok(None);
        }
        let state = self.state_dict()?;
        self.test = match &mut self.ahead {
            Some(ahead) => {
                ahead.second.load(&self.objective, &self.model, &state)?;
                ahead.second.test()?
            }
            None => {
                self.compile_evaluation()?;
                self.with_averages(|trainer| trainer.evaluation.of(&mut trainer.session, SetName::Test))?
            }
        };
        Ok(self.test.clone())
    }
}

/// The learning rates in the form the device stores.
fn rate_table(rates: &[f64]) -> Array {
    Array::from(rates.iter().map(|&r| r as f32).collect::<Vec<_>>())
}
