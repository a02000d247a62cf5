//! The evaluation of a run's sets. Its programs are compiled after the first training step, so that training need not
//! wait.
//!
//! Evaluation runs in the run's own session, or in a second session while the first one trains on.

use super::config::LossConfig;
use super::model::Model;
use super::programs::{DeviceSplit, EvalPrograms};
use crate::array::Array;
use crate::data::{Dataset, Split};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::nn::Module;
use crate::session::Session;

/// A set's mean loss and the percentage of misclassified samples.
pub(super) type Score = (f64, f64);

/// A set, and the programs that evaluate it once they are compiled.
#[derive(Debug)]
struct Set {
    /// The set's name, for messages.
    name: &'static str,
    split: DeviceSplit,
    programs: Option<EvalPrograms>,
}

impl Set {
    fn new(name: &'static str, split: DeviceSplit) -> Self {
        Set { name, split, programs: None }
    }

    fn compile(&mut self, session: &mut Session, loss: &LossConfig, model: &Model) -> Result<()> {
        if self.programs.is_none() {
            self.programs = Some(EvalPrograms::new(session, loss, model, &self.split)?);
        }
        Ok(())
    }

    fn evaluate(&self, session: &mut Session) -> Result<Score> {
        let missing = || Error::Internal(format!("the {} set's evaluation was not compiled", self.name));
        self.programs.as_ref().ok_or_else(missing)?.evaluate(session, self.name)
    }
}

/// The sets of a run: training, validation, test.
#[derive(Debug)]
pub(super) struct Evaluation {
    train: Set,
    val: Option<Set>,
    test: Option<Set>,
}

impl Evaluation {
    /// `train` is the training set; `input` is the shape of a sample as the model takes it.
    pub(super) fn new(train: DeviceSplit, data: &Dataset, input: &[usize]) -> Result<Self> {
        let held_out = |variable: &str, name: &'static str, split: &Option<Split>| {
            let on_device = |split| DeviceSplit::new(variable, split, input);
            split.as_ref().map(|split| on_device(split).map(|split| Set::new(name, split))).transpose()
        };
        Ok(Evaluation {
            train: Set::new("training", train),
            val: held_out("val", "validation", &data.val)?,
            test: held_out("test", "test", &data.test)?,
        })
    }

    /// The same sets, not compiled, for another session.
    fn uncompiled(&self) -> Self {
        let again = |set: &Set| Set::new(set.name, set.split.clone());
        Evaluation { train: again(&self.train), val: self.val.as_ref().map(again), test: self.test.as_ref().map(again) }
    }

    /// Compiles the programs that are not compiled yet, and uploads the held-out sets to the device.
    pub(super) fn compile(&mut self, session: &mut Session, loss: &LossConfig, model: &Model) -> Result<()> {
        let sets = std::iter::once(&mut self.train).chain(&mut self.val).chain(&mut self.test);
        sets.into_iter().try_for_each(|set| set.compile(session, loss, model))
    }

    /// Whether there is a test set.
    pub(super) fn has_test(&self) -> bool {
        self.test.is_some()
    }

    /// The scores of the training set and, if there is one, of the validation set.
    pub(super) fn epoch(&self, session: &mut Session) -> Result<(Score, Option<Score>)> {
        let train = self.train.evaluate(session)?;
        Ok((train, self.val.as_ref().map(|set| set.evaluate(session)).transpose()?))
    }

    /// The score of the test set, if there is one.
    pub(super) fn test(&self, session: &mut Session) -> Result<Option<Score>> {
        self.test.as_ref().map(|set| set.evaluate(session)).transpose()
    }
}

/// A session with copies of the weights and of the sets: it evaluates while the run's own session trains on.
#[derive(Debug)]
pub(super) struct SecondSession {
    session: Session,
    evaluation: Evaluation,
}

impl SecondSession {
    pub(super) fn new(device: Device, sets: &Evaluation) -> Result<Self> {
        Ok(SecondSession { session: Session::new(device)?, evaluation: sets.uncompiled() })
    }

    /// Copies the state of `model`'s network, given in the order of its `state_dict`.
    pub(super) fn load(&mut self, loss: &LossConfig, model: &Model, state: &[(String, Array)]) -> Result<()> {
        for ((_, variable), (_, value)) in model.network.state_dict().iter().zip(state) {
            self.session.write(variable, value)?;
        }
        self.evaluation.compile(&mut self.session, loss, model)
    }

    /// As [`Evaluation::epoch`], on another thread, while `train` runs on the caller's thread.
    pub(super) fn epoch_during<T>(&mut self, train: impl FnOnce() -> T) -> (Result<(Score, Option<Score>)>, T) {
        let SecondSession { session, evaluation } = self;
        let place = session.place_beside();
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("wgrad-evaluation".into());
            let thread = thread.spawn_scoped(scope, move || match place {
                Some(place) => place.run(|| evaluation.epoch(session)),
                None => evaluation.epoch(session),
            });
            let trained = train();
            let scores = match thread.map(std::thread::ScopedJoinHandle::join) {
                Ok(Ok(scores)) => scores,
                Ok(Err(_)) => Err(Error::Internal("the evaluation's thread panicked".into())),
                Err(e) => Err(Error::Internal(format!("could not start the evaluation's thread: {e}"))),
            };
            (scores, trained)
        })
    }

    /// As [`Evaluation::test`].
    pub(super) fn test(&mut self) -> Result<Option<Score>> {
        self.evaluation.test(&mut self.session)
    }

    /// The bytes that its session has allocated.
    pub(super) fn allocated_bytes(&self) -> u64 {
        self.session.allocated_bytes()
    }
}
