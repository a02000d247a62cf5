//! What evaluates a run's sets, compiled when the training step has been made once: nothing before needs it.

use super::config::LossConfig;
use super::model::Model;
use super::programs::{DeviceSplit, EvalPrograms};
use crate::data::{Dataset, Split};
use crate::error::{Error, Result};
use crate::session::Session;

/// A set, and the programs of a pass over it once they are compiled.
#[derive(Debug)]
enum Set {
    Pending(DeviceSplit),
    Ready(EvalPrograms),
}

impl Set {
    fn compile(&mut self, session: &mut Session, loss: &LossConfig, model: &Model) -> Result<()> {
        if let Set::Pending(split) = self {
            *self = Set::Ready(EvalPrograms::new(session, loss, model, split)?);
        }
        Ok(())
    }

    fn evaluate(&self, session: &mut Session, name: &str) -> Result<(f64, f64)> {
        match self {
            Set::Ready(programs) => programs.evaluate(session, name),
            Set::Pending(_) => Err(Error::Internal(format!("the {name} set's evaluation was not compiled"))),
        }
    }
}

/// The sets of a run. Each evaluation gives the mean loss and the per cent misclassified.
#[derive(Debug)]
pub(super) struct Evaluation {
    train: Set,
    val: Option<Set>,
    test: Option<Set>,
}

impl Evaluation {
    /// `train` is the set that is trained on; `input` is the shape of a sample as the model sees it.
    pub(super) fn new(train: DeviceSplit, data: &Dataset, input: &[usize]) -> Result<Self> {
        let held_out = |name: &str, split: &Option<Split>| {
            split.as_ref().map(|split| DeviceSplit::new(name, split, input).map(Set::Pending)).transpose()
        };
        Ok(Evaluation {
            train: Set::Pending(train),
            val: held_out("val", &data.val)?,
            test: held_out("test", &data.test)?,
        })
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

    pub(super) fn train(&self, session: &mut Session) -> Result<(f64, f64)> {
        self.train.evaluate(session, "training")
    }

    pub(super) fn val(&self, session: &mut Session) -> Result<Option<(f64, f64)>> {
        self.val.as_ref().map(|set| set.evaluate(session, "validation")).transpose()
    }

    pub(super) fn test(&self, session: &mut Session) -> Result<Option<(f64, f64)>> {
        self.test.as_ref().map(|set| set.evaluate(session, "test")).transpose()
    }
}
