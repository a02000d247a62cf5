//! The fit loop.

use super::config::{Config, Monitor, Unit};
use super::evaluation::{Evaluation, Score, SecondSession};
use super::metrics::{EpochRecord, Metrics};
use super::model::Model;
use super::programs::{DeviceSplit, Moves, TrainPrograms};
use crate::array::Array;
use crate::data::{Dataset, RandomState};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::executor::LaunchSeconds;
use crate::graph::Graph;
use crate::nn::Module;
use crate::optim::{Ema, Plateau};
use crate::plan::Plan;
use crate::session::{Program, Session};
use crate::variable::Variable;
use std::time::Instant;

/// The largest table of learning rates.
const MAX_RATES: u32 = 1 << 24;

/// A run in progress: the network, the optimiser and the data on one device.
#[derive(Debug)]
pub struct Trainer {
    config: Config,
    session: Session,
    model: Model,
    // Holds the optimiser's state variables, which the programs update.
    moves: Moves,
    /// Exchanges the weights with their averages, if averages are kept.
    swap: Option<Program>,
    train: TrainPrograms,
    evaluation: Evaluation,
    ahead: Option<Ahead>,
    rates: Vec<f64>,
    /// The learning rates on the device.
    table: Variable,
    plateau: Option<(Monitor, Plateau)>,
    shuffler: RandomState,
    history: Vec<EpochRecord>,
    train_seconds: f64,
    setup_seconds: f64,
    first_step_seconds: Option<f64>,
    test: Option<(f64, f64)>,
}

/// The state of [`Trainer::train_ahead`].
#[derive(Debug)]
struct Ahead {
    second: SecondSession,
    /// The network's state after the last epoch that has a record.
    state: Vec<(String, Array)>,
    /// The running loss of the epoch after that one, if its steps have run.
    next: Option<Result<f64>>,
}

impl Trainer {
    /// Checks the settings, draws the parameters, uploads the training set and compiles the training step. The
    /// evaluation is compiled after the first step of the first epoch, so that the first step need not wait for it.
    pub fn new(config: &Config, data: &Dataset, device: Device) -> Result<Self> {
        Trainer::open(config, data, || Session::new(device))
    }

    /// As [`Trainer::new`], in a session that `open` opens once the settings and the data are checked.
    ///
    /// # Errors
    /// Those of [`Trainer::new`] and of `open`.
    pub fn open(config: &Config, data: &Dataset, open: impl FnOnce() -> Result<Session>) -> Result<Self> {
        let start = Instant::now();
        config.check()?;
        config.check_data(data)?;
        let model = Model::for_data(config, data)?;
        let mut session = open()?;
        session.set_seed(config.seed);
        let optimizer = config.build_optimizer(model.network.parameters())?;
        let averaged = || optimizer.parameters().cloned().collect::<Vec<_>>();
        let ema = config.ema_decay.map(|decay| Ema::new(decay, averaged()));
        let moves = Moves { optimizer, ema };
        let train_split = DeviceSplit::new("train", &data.train, &model.input)?;
        let steps = train_split.rows.div_ceil(config.batch) as u32;
        let total = steps.checked_mul(config.epochs).ok_or_else(|| {
            Error::config("epochs", format!("{} epochs of {steps} steps are more than 2^32 steps", config.epochs))
        })?;
        let per_step = config.schedule.unit() == Unit::Step;
        let moments = if per_step { total } else { config.epochs };
        if moments > MAX_RATES {
            let message = format!(
                "by step needs {moments} learning rates, but at most {MAX_RATES} are supported; use unit = \"epoch\""
            );
            return Err(Error::config("schedule", message));
        }
        let schedule = config.schedule.schedule(moments);
        let rates: Vec<f64> = (0..moments).map(|t| config.optimizer.lr() * schedule.factor(t)).collect();
        let table = Variable::new("lr", rate_table(&rates));
        let train = TrainPrograms::new(&mut session, config, &model, &moves, &train_split, &table, per_step)?;
        let swap = match &moves.ema {
            Some(ema) => {
                let graph = Graph::new();
                ema.swap(&graph);
                Some(session.compile(&graph, &[])?)
            }
            None => None,
        };
        let evaluation = Evaluation::new(train_split, data, &model.input)?;
        Ok(Trainer {
            config: config.clone(),
            session,
            model,
            moves,
            swap,
            train,
            evaluation,
            ahead: None,
            rates,
            table,
            plateau: config.schedule.plateau().map(|(what, how)| (what, Plateau::new(config.optimizer.lr(), how))),
            // NumPy's seeds have 32 bits.
            shuffler: RandomState::new(config.seed as u32 ^ (config.seed >> 32) as u32),
            history: Vec::new(),
            train_seconds: 0.0,
            setup_seconds: start.elapsed().as_secs_f64(),
            first_step_seconds: None,
            test: None,
        })
    }

    /// Compiles the evaluation, if it is not compiled yet.
    fn compile_evaluation(&mut self) -> Result<()> {
        let start = Instant::now();
        self.evaluation.compile(&mut self.session, &self.config.loss, &self.model)?;
        self.setup_seconds += start.elapsed().as_secs_f64();
        Ok(())
    }

    /// Runs the first step of the run on its own, and the work that was left for after it. Returns the number of
    /// steps run. `start` is the time at which the epoch began.
    fn first_step(&mut self, epoch: u32, start: Instant) -> Result<u32> {
        if self.first_step_seconds.is_some() {
            return Ok(0);
        }
        self.train.run_step(&mut self.session, epoch * self.train.steps())?;
        self.session.finish()?;
        self.first_step_seconds = Some(self.setup_seconds + start.elapsed().as_secs_f64());
        if self.ahead.is_none() {
            self.compile_evaluation()?;
        }
        Ok(1)
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
    /// Number of epochs completed.
    pub fn epochs_done(&self) -> u32 {
        self.history.len() as u32
    }
    /// The plan of a full training step; `None` on the reference.
    pub fn plan(&self) -> Option<&Plan> {
        self.session.plan(self.train.program())
    }

    /// The plan of a full training step as text; `None` on the reference. See [`Session::explain`].
    pub fn explain(&self) -> Result<Option<String>> {
        self.session.explain(self.train.program())
    }

    /// The seconds of each dispatch of a training step, measured on its own, by launch: the minimum of `repeats`
    /// runs. These steps update the parameters like any others.
    pub fn profile(&mut self, repeats: u32) -> Result<Vec<LaunchSeconds>> {
        let mut least = self.session.profile(self.train.program())?;
        for _ in 1..repeats {
            let again = self.session.profile(self.train.program())?;
            for (least, seconds) in least.iter_mut().flatten().zip(again.into_iter().flatten()) {
                *least = least.min(seconds);
            }
        }
        Ok(least)
    }

    /// Runs `count` training steps of full batches without evaluation; they may still be in flight on return. For
    /// timing: the steps update the parameters, but are not recorded.
    pub fn steps(&mut self, count: u32) -> Result<()> {
        self.session.run_steps(self.train.program(), &[], count)
    }

    /// Number of training steps per epoch.
    pub fn steps_per_epoch(&self) -> u32 {
        self.train.steps()
    }

    /// The graph of the training step with this index, for inspection; see [`Trainer::state`] for the values it
    /// reads.
    pub fn step_graph(&self, step: u32) -> Graph {
        self.train.graph(step)
    }

    /// Runs the training step with this index, whatever ran before. Like [`Trainer::steps`], it is not recorded.
    pub fn run_step(&mut self, step: u32) -> Result<()> {
        self.train.run_step(&mut self.session, step)
    }

    /// The current values of the variables that training steps update: parameters, the optimiser's state, the running
    /// loss.
    pub fn state(&mut self) -> Result<Vec<(Variable, Array)>> {
        let updated = self.step_graph(0).updates();
        updated.into_iter().map(|(v, _)| Ok((v.clone(), self.session.read(&v)?))).collect()
    }

    /// As [`Trainer::steps`]; returns the seconds of each step's launches by the device's timestamp queries, if it
    /// has them.
    pub fn device_times(&mut self, count: u32) -> Result<Option<Vec<Vec<LaunchSeconds>>>> {
        self.session.device_times(self.train.program(), count)
    }

    /// The order of the next epoch's samples. Epoch `e` uses the `e`-th `permutation(rows)` of NumPy's
    /// `RandomState(seed)`, so it can be reproduced outside of wgrad.
    fn next_order(&mut self) -> Option<Vec<u32>> {
        let rows = self.train.rows();
        self.config.shuffle.then(|| self.shuffler.permutation(rows).into_iter().map(|i| i as u32).collect())
    }

    /// Lets [`Trainer::epoch`] run the next epoch's steps while it evaluates. This takes a second copy of the sets
    /// and does not change results: records, [`Trainer::state_dict`], [`Trainer::test`] and [`Trainer::metrics`] are
    /// those of the requested epoch. [`Trainer::session`] and [`Trainer::state`] are one epoch ahead.
    ///
    /// It applies only where evaluation can use a core of its own: on the CPU (and the reference) with two threads or
    /// more, and only if the schedule does not depend on an epoch's scores. Otherwise it has no effect.
    pub fn train_ahead(&mut self) -> Result<()> {
        if self.session.place_beside().is_some() && self.plateau.is_none() && self.ahead.is_none() {
            let second = SecondSession::new(self.session.device().clone(), &self.evaluation)?;
            self.ahead = Some(Ahead { second, state: Vec::new(), next: None });
        }
        Ok(())
    }

    /// Trains for one epoch and evaluates. If training has diverged (a loss is not finite), this is an error.
    pub fn epoch(&mut self) -> Result<EpochRecord> {
        let epoch = self.epochs_done();
        if epoch >= self.config.epochs {
            return Err(Error::config("epochs", format!("all {} epochs of the run are done", self.config.epochs)));
        }
        let (start, setup_before) = (Instant::now(), self.setup_seconds);
        let made = self.ahead.as_mut().and_then(|ahead| ahead.next.take());
        let running_loss = made.unwrap_or_else(|| self.train_epoch(epoch, start))?;
        let ((train_loss, train_error), val) = match self.ahead.take() {
            Some(ahead) => self.evaluate_ahead(ahead, epoch)?,
            None => self.with_averages(|trainer| trainer.evaluation.epoch(&mut trainer.session))?,
        };
        let last_step = (epoch + 1) * self.train.steps() - 1;
        let moment = if self.config.schedule.unit() == Unit::Step { last_step } else { epoch };
        let record = EpochRecord {
            epoch: epoch + 1,
            running_loss,
            train_loss,
            train_error,
            val_loss: val.map(|v| v.0),
            val_error: val.map(|v| v.1),
            lr: self.rates[moment as usize],
            seconds: start.elapsed().as_secs_f64() - (self.setup_seconds - setup_before),
        };
        self.watch_for_plateau(&record)?;
        self.train_seconds += record.seconds;
        self.history.push(record.clone());
        Ok(record)
    }

    /// Runs the steps of an epoch and returns its running loss. `start` is the time of the call.
    fn train_epoch(&mut self, epoch: u32, start: Instant) -> Result<f64> {
        let order = self.next_order();
        self.train.begin(&mut self.session, order)?;
        let done = self.first_step(epoch, start)?;
        self.train.finish(&mut self.session, epoch, done)
    }

    /// Evaluates `epoch`, whose steps have run, while the next epoch's steps run.
    fn evaluate_ahead(&mut self, mut ahead: Ahead, epoch: u32) -> Result<(Score, Option<Score>)> {
        ahead.state = self.state_dict()?;
        ahead.second.load(&self.config.loss, &self.model, &ahead.state)?;
        let next = || (epoch + 1 < self.config.epochs).then(|| self.train_epoch(epoch + 1, Instant::now()));
        let (scores, next) = ahead.second.epoch_during(next);
        ahead.next = next;
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
        let metric = match monitor {
            Monitor::TrainLoss => Some(record.train_loss),
            Monitor::TrainError => Some(record.train_error),
            Monitor::ValLoss => record.val_loss,
            Monitor::ValError => record.val_error,
        };
        let before = plateau.lr();
        let lr = metric.map_or(before, |metric| plateau.step(metric));
        if lr != before {
            self.rates[record.epoch as usize..].fill(lr);
            self.session.write(&self.table, &rate_table(&self.rates))?;
        }
        Ok(())
    }

    /// Evaluates the test set, if there is one: the mean loss and the percentage of misclassified samples.
    pub fn test(&mut self) -> Result<Option<(f64, f64)>> {
        if !self.evaluation.has_test() {
            return Ok(None);
        }
        let state = if self.ahead.is_some() { self.state_dict()? } else { Vec::new() };
        self.test = match &mut self.ahead {
            Some(ahead) => {
                ahead.second.load(&self.config.loss, &self.model, &state)?;
                ahead.second.test()?
            }
            None => {
                self.compile_evaluation()?;
                self.with_averages(|trainer| trainer.evaluation.test(&mut trainer.session))?
            }
        };
        Ok(self.test)
    }

    /// The metrics so far. An error before the first epoch.
    pub fn metrics(&self) -> Result<Metrics> {
        let last = self.history.last().ok_or_else(|| Error::config("epochs", "no epoch has been run yet"))?;
        let second = self.ahead.as_ref().map_or(0, |ahead| ahead.second.allocated_bytes());
        Ok(Metrics {
            device: self.session.device_name(),
            variants: self.session.gpu_target().map(|target| target.choice.to_string()),
            seed: self.config.seed,
            epochs: last.epoch,
            steps: u64::from(last.epoch) * u64::from(self.train.steps()),
            parameters: self.model.parameter_count(),
            train_loss: last.train_loss,
            train_error: last.train_error,
            val_loss: last.val_loss,
            val_error: last.val_error,
            test_loss: self.test.map(|t| t.0),
            test_error: self.test.map(|t| t.1),
            train_seconds: self.train_seconds,
            setup_seconds: self.setup_seconds,
            first_step_seconds: self.first_step_seconds,
            dispatches_per_step: self.train.launches(&self.session),
            peak_bytes: self.session.allocated_bytes() + second,
            history: self.history.clone(),
        })
    }

    /// The network's current state, named as in PyTorch's `state_dict`: parameters (or their averages, if kept) and
    /// buffers.
    pub fn state_dict(&mut self) -> Result<Vec<(String, Array)>> {
        if let Some(ahead) = self.ahead.as_ref().filter(|ahead| ahead.next.is_some()) {
            return Ok(ahead.state.clone());
        }
        let named = self.model.network.state_dict();
        let averages = self.moves.ema.iter().flat_map(crate::optim::Ema::averages);
        let averages: Vec<(String, Variable)> = averages.map(|(name, v)| (name.to_string(), v.clone())).collect();
        let read = |(name, variable): (String, Variable)| {
            let average = averages.iter().find(|(other, _)| *other == name).map(|(_, average)| average);
            let value = self.session.read(average.unwrap_or(&variable))?;
            Ok((name, value))
        };
        named.into_iter().map(read).collect()
    }
}

/// The learning rates in the form the device stores.
fn rate_table(rates: &[f64]) -> Array {
    Array::from(rates.iter().map(|&r| r as f32).collect::<Vec<_>>())
}
