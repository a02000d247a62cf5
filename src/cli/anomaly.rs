//! `wgrad train --detect-anomaly`: finds the step and the operation that produced the first NaN or infinity.
//!
//! Steps are deterministic, so nothing is checked during an epoch. If the state after it is not finite, the epoch runs
//! again step by step, and the first bad step again node by node.

use super::check_model::values;
use wgrad::train::{EpochRecord, Trainer};
use wgrad::verify::{Trial, anomaly};
use wgrad::{Array, Error, Variable};

type State = Vec<(Variable, Array)>;

fn is_finite(state: &State) -> bool {
    state.iter().all(|(_, value)| anomaly::is_finite(value))
}

/// Runs an epoch. Returns an error that describes the first anomaly, if any.
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
    // Every step is finite, but the evaluation after them is not.
    result
}

/// Describes the first anomaly of the step that starts from `state`.
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
        Some(found) => format!("{place}: first NaN or infinity\n{found}"),
        None => {
            let leaf = trial.variables.iter().find(|(_, value)| !anomaly::is_finite(value));
            let name = leaf.map_or("a constant", |(variable, _)| variable.name());
            format!(
                "{place}: no operation produces NaN or infinity from finite operands, but `{name}` itself is not finite"
            )
        }
    })
}
