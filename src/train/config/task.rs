//! Which task settings and data have, and which losses suit it.

use super::{Config, LossConfig};
use crate::data::{Dataset, Samples, TargetKind, Targets};
use crate::error::{Error, Result};
use crate::train::Task;

impl Task {
    /// The loss where the settings name none.
    pub fn default_loss(self) -> LossConfig {
        match self {
            Task::Classification | Task::NextToken => {
                LossConfig::CrossEntropy { label_smoothing: 0.0, weight: Vec::new() }
            }
            Task::Regression | Task::Autoencoder => LossConfig::Mse {},
            Task::Binary | Task::Multilabel => LossConfig::BceWithLogits { pos_weight: Vec::new() },
        }
    }
}

impl Config {
    /// Which targets the data must have, as far as the settings say.
    pub fn target_kind(&self) -> TargetKind {
        match self.task {
            Some(Task::Classification) => TargetKind::Classes,
            Some(Task::Regression | Task::Multilabel) => TargetKind::Values,
            Some(Task::Autoencoder | Task::NextToken) => TargetKind::None,
            Some(Task::Binary) => TargetKind::Auto,
            None => match &self.loss {
                Some(loss) if loss.suits(Task::Classification) && !loss.suits(Task::Regression) => {
                    // Also a loss of yes or no, so the data decide.
                    if loss.suits(Task::Binary) { TargetKind::Auto } else { TargetKind::Classes }
                }
                _ => TargetKind::Auto,
            },
        }
    }

    /// The task: what the settings say, or what follows from the loss and the data.
    ///
    /// # Errors
    /// [`Error::Config`] if the data do not suit the task, the loss does not suit it, or the task cannot be guessed.
    pub fn task_for(&self, data: &Dataset) -> Result<Task> {
        let task = match self.task {
            Some(task) => task,
            None => self.guess(data)?,
        };
        let wrong = |message: &str| Err(Error::config("task", format!("{task} {message}")));
        match (task, &data.train.y) {
            (Task::Classification, Targets::Classes(_)) | (Task::Regression | Task::Multilabel, Targets::Values(_)) => {
            }
            (Task::Autoencoder, _) => {}
            (Task::NextToken, _) => tokens_only(data)?,
            (Task::Binary, Targets::Classes(_)) if data.classes <= 2 => {}
            (Task::Binary, Targets::Classes(_)) => {
                return wrong(&format!("needs two classes, but the data have {}", data.classes));
            }
            (Task::Binary, Targets::Values(values)) if values.features() == 1 => {}
            (Task::Binary, Targets::Values(values)) => {
                let shape = values.shape();
                return wrong(&format!("needs one target a sample, but theirs have shape {shape:?}; use multilabel?"));
            }
            (_, Targets::None) => return wrong("needs targets, but the data have none; use autoencoder?"),
            (_, Targets::Classes(_)) => return wrong("needs numbers as targets, but the data have classes"),
            (_, Targets::Values(_)) => return wrong("needs class indices as targets, but the data have other numbers"),
        }
        if task.is_yes_or_no() {
            for (name, split) in data.splits() {
                if let Targets::Values(values) = &split.y
                    && let Some((row, value)) = first_outside(values)?
                {
                    let message =
                        format!("the target of sample {row} is {value}, but {task} needs numbers from 0 to 1");
                    return Err(Error::value(format!("data split `{name}`"), message));
                }
            }
        }
        if let Some(loss) = &self.loss
            && !loss.suits(task)
        {
            let suitable = LossConfig::names_for(task).join(", ");
            let message = format!("`{}` does not suit {task}; those that do are {suitable}", loss.name());
            return Err(Error::config("loss.type", message));
        }
        Ok(task)
    }

    fn guess(&self, data: &Dataset) -> Result<Task> {
        let suits = |task| self.loss.as_ref().is_some_and(|loss| loss.suits(task));
        Ok(match &data.train.y {
            Targets::Classes(_) => Task::Classification,
            Targets::None if data.vocabulary.is_some() => Task::NextToken,
            Targets::None => Task::Autoencoder,
            Targets::Values(_) if suits(Task::Regression) => Task::Regression,
            Targets::Values(values) if suits(Task::Binary) && first_outside(values)?.is_none() => {
                if values.features() == 1 { Task::Binary } else { Task::Multilabel }
            }
            Targets::Values(values) => {
                let mut only_bits = true;
                values.for_each(|row| only_bits &= row.iter().all(|&v| v == 0.0 || v == 1.0))?;
                if only_bits {
                    let message = "cannot be guessed, since all targets are 0 or 1: set task to \"binary\", \
                                   \"multilabel\" or \"regression\"";
                    return Err(Error::config("task", message));
                }
                Task::Regression
            }
        })
    }
}

/// The first sample with a value that is not in `[0, 1]`, and that value.
fn first_outside(values: &Samples) -> Result<Option<(usize, f32)>> {
    let (mut row, mut found) = (0, None);
    values.for_each(|sample| {
        let outside = sample.iter().find(|v| !(0.0..=1.0).contains(*v));
        found = found.or(outside.map(|&value| (row, value)));
        row += 1;
    })?;
    Ok(found)
}

/// Checks that all samples are sequences of two or more token numbers.
fn tokens_only(data: &Dataset) -> Result<()> {
    for (name, split) in data.splits() {
        let wrong = |message: String| Err(Error::value(format!("data split `{name}`"), message));
        if split.sample_shape().len() != 1 || split.features() < 2 {
            let shape = split.sample_shape();
            return wrong(format!("samples of shape {shape:?} are not sequences of two or more tokens"));
        }
        let (mut row, mut found) = (0, None);
        split.x.for_each(|sample| {
            let other = sample.iter().find(|v| **v < 0.0 || v.fract() != 0.0);
            found = found.or(other.map(|&value| (row, value)));
            row += 1;
        })?;
        if let Some((row, value)) = found {
            return wrong(format!("sample {row} has {value}, but next_token needs whole numbers: tokens"));
        }
    }
    Ok(())
}
