//! What a trainer shows of itself: plans, timings, single steps, metrics and weights.

use super::Trainer;
use crate::array::Array;
use crate::error::{Error, Result};
use crate::executor::LaunchSeconds;
use crate::graph::Graph;
use crate::nn::Module;
use crate::plan::Plan;
use crate::train::metrics::{Metrics, SetScores};
use crate::variable::Variable;

impl Trainer {
    /// The plan of a full training step; `None` on the reference.
    pub fn plan(&self) -> Option<&Plan> {
        self.session.plan(self.train.program())
    }

    /// The plan of a full training step as text; `None` on the reference. See [`Session::explain`](crate::Session::explain).
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

    /// The metrics so far. An error before the first epoch.
    pub fn metrics(&self) -> Result<Metrics> {
        let last = self.history.last().ok_or_else(|| Error::config("epochs", "no epoch has been run yet"))?;
        let second = self.ahead.as_ref().map_or(0, |ahead| ahead.second.allocated_bytes());
        Ok(Metrics {
            device: self.session.device_name(),
            variants: self.session.gpu_target().map(|target| target.choice.to_string()),
            seed: self.config.seed,
            task: Some(self.preprocessing.task),
            epochs: last.epoch,
            steps: u64::from(last.epoch) * u64::from(self.train.steps()),
            parameters: self.model.parameter_count(),
            scores: SetScores { test: self.test.clone(), ..last.scores.clone() },
            best: self.watch.best(),
            stopped: self.watch.stopped().map(String::from),
            train_seconds: self.train_seconds,
            setup_seconds: self.setup_seconds,
            first_step_seconds: self.first_step_seconds,
            dispatches_per_step: self.train.launches(&self.session),
            peak_bytes: self.session.allocated_bytes() + second,
            data: Some(self.residency.into()),
            history: self.history.clone(),
        })
    }

    /// The network's current state, named as in PyTorch's `state_dict`: parameters (or their averages, if kept) and
    /// buffers.
    pub fn state_dict(&mut self) -> Result<Vec<(String, Array)>> {
        if let Some(ahead) = self.ahead.as_ref().filter(|ahead| ahead.has_begun) {
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
