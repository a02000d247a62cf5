//! `wgrad train --detect-anomaly`: which operation of which step made the first NaN or infinity.
//!
//! Steps are deterministic, so nothing is watched while an epoch runs: if its end is not finite, it is run again, step by
//! step, and the step that does it node by node.

use super::check_model::values;
use wgrad::train::{EpochRecord, Trainer};
use wgrad::verify::{Trial, anomaly};
use wgrad::{Array, Error, Variable};

type State = Vec<(Variable, Array)>;

fn is_finite(state: &State) -> bool {
    state.iter().all(|(_, value)| anomaly::is_finite(value))
}

/// An epoch, with an error that tells of the first anomaly if there is one.
pub(super) fn epoch(trainer: &mut Trainer) -> Result<EpochRecord, Error> {
    let (number, before) = (trainer.epochs_done(), trainer.state()?);
    let result = trainer.epoch();
    if result.is_ok() && is_finite(&trainer.state()?) {
        return result;
    }
    if let Err(error) = &result
        && !matches!(error, Error::NotFinite(_))
    {
        return result;
    }
    for (variable, value) in &before {
        trainer.session().write(variable, value)?;
    }
    let steps = trainer.steps_per_epoch();
    let mut state = before;
    for step in number * steps..(number + 1) * steps {
        trainer.run_step(step)?;
        let after = trainer.state()?;
        if !is_finite(&after) {
            return Err(Error::NotFinite(locate(trainer, state, step)?));
        }
        state = after;
    }
    // Training is finite, and the evaluation after it is not.
    result
}

/// What made a step that starts from `state` end badly.
fn locate(trainer: &mut Trainer, state: State, step: u32) -> Result<String, Error> {
    for (variable, value) in &state {
        trainer.session().write(variable, value)?;
    }
    let graph = trainer.step_graph(step);
    let mut trial = Trial::new(&graph, &[]);
    trial.variables = values(trainer, &graph)?;
    (trial.step, trial.seed) = (step, trainer.session().seed());
    let place = format!("epoch {}, step {step}", step / trainer.steps_per_epoch() + 1);
    Ok(match anomaly::find(&trial, trainer.session())? {
        Some(found) => format!("{place}: the first value that is not finite\n{found}"),
        None => {
            let leaf = trial.variables.iter().find(|(_, value)| !anomaly::is_finite(value));
            let name = leaf.map_or("a constant", |(variable, _)| variable.name());
            format!("{place}: no operation makes a NaN or an infinity of finite values; `{name}` is not finite itself")
        }
    })
}
