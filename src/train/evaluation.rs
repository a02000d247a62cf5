//! What evaluates a run's sets, compiled when the training step has been made once: nothing before needs it.
//!
//! It runs in the run's own session, or in a second one while the first trains on.

use super::config::LossConfig;
use super::model::Model;
use super::programs::{DeviceSplit, EvalPrograms};
use crate::array::Array;
use crate::data::{Dataset, Split};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::nn::Module;
use crate::session::Session;

/// A set's mean loss and the per cent misclassified.
pub(super) type Score = (f64, f64);

/// A set, and the programs of a pass over it once they are compiled.
#[derive(Debug)]
struct Set {
    /// For messages.
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

/// The sets of a run.
#[derive(Debug)]
pub(super) struct Evaluation {
    train: Set,
    val: Option<Set>,
    test: Option<Set>,
}

impl Evaluation {
    /// `train` is the set that is trained on; `input` is the shape of a sample as the model sees it.
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

    /// The same sets, for another session.
    fn uncompiled(&self) -> Self {
        let again = |set: &Set| Set::new(set.name, set.split.clone());
        Evaluation { train: again(&self.train), val: self.val.as_ref().map(again), test: self.test.as_ref().map(again) }
    }

    /// Compiles what has not been compiled, and puts the held-out sets on the device.
    pub(super) fn compile(&mut self, session: &mut Session, loss: &LossConfig, model: &Model) -> Result<()> {
        let sets = std::iter::once(&mut self.train).chain(&mut self.val).chain(&mut self.test);
        sets.into_iter().try_for_each(|set| set.compile(session, loss, model))
    }

    /// Whether there is a test set.
    pub(super) fn has_test(&self) -> bool {
        self.test.is_some()
    }

    /// The training set's score, and the validation set's if there is one.
    pub(super) fn epoch(&self, session: &mut Session) -> Result<(Score, Option<Score>)> {
        let train = self.train.evaluate(session)?;
        Ok((train, self.val.as_ref().map(|set| set.evaluate(session)).transpose()?))
    }

    /// The test set's score, if there is one.
    pub(super) fn test(&self, session: &mut Session) -> Result<Option<Score>> {
        self.test.as_ref().map(|set| set.evaluate(session)).transpose()
    }
}

/// A session with copies of the weights, and of the sets, that evaluates while the run's own session trains on.
#[derive(Debug)]
pub(super) struct SecondSession {
    session: Session,
    evaluation: Evaluation,
}

impl SecondSession {
    pub(super) fn new(device: Device, sets: &Evaluation) -> Result<Self> {
        Ok(SecondSession { session: Session::new(device)?, evaluation: sets.uncompiled() })
    }

    /// Takes over the state of `model`'s network, as its `state_dict` orders it.
    pub(super) fn load(&mut self, loss: &LossConfig, model: &Model, state: &[(String, Array)]) -> Result<()> {
        for ((_, variable), (_, value)) in model.network.state_dict().iter().zip(state) {
            self.session.write(variable, value)?;
        }
        self.evaluation.compile(&mut self.session, loss, model)
    }

    /// As [`Evaluation::epoch`], on a thread of its own, while `train` runs on the caller's.
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
                Err(e) => Err(Error::Internal(format!("no thread to evaluate on: {e}"))),
            };
            (scores, trained)
        })
    }

    /// As [`Evaluation::test`].
    pub(super) fn test(&mut self) -> Result<Option<Score>> {
        self.evaluation.test(&mut self.session)
    }

    /// The bytes its session holds.
    pub(super) fn allocated_bytes(&self) -> u64 {
        self.session.allocated_bytes()
    }
}
