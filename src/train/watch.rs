//! Which epoch is best, and when training ends early.

use super::config::{Config, EarlyStoppingConfig};
use super::metrics::{Best, EpochRecord, Metric, Monitor};
use super::task::Task;
use crate::array::Array;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Follows the scores of a run.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    monitor: Monitor,
    stopping: Option<(Monitor, EarlyStoppingConfig)>,
    state: WatchState,
    /// The network's state after the best epoch; absent in a resumed run until there is a better one.
    best_weights: Option<Vec<(String, Array)>>,
    /// Whether they are in the run's folder.
    best_is_saved: bool,
    /// Why the run ends now, though it may be resumed.
    ended: Option<String>,
}

/// What a checkpoint keeps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct WatchState {
    best: Option<Best>,
    /// The best value for early stopping, by its own rule.
    stopping_best: Option<f64>,
    bad_epochs: u32,
    stopped: Option<String>,
}

impl Task {
    /// The metrics that a task has.
    pub fn metrics(self) -> &'static [Metric] {
        match self {
            Task::Classification => &[Metric::Loss, Metric::Error, Metric::TopKError],
            Task::Regression => &[Metric::Loss, Metric::Rmse, Metric::Mae, Metric::R2],
            Task::Autoencoder => &[Metric::Loss, Metric::Rmse, Metric::Mae],
            Task::NextToken => &[Metric::Loss, Metric::Perplexity, Metric::Error],
            Task::Binary | Task::Multilabel => {
                &[Metric::Loss, Metric::Error, Metric::Precision, Metric::Recall, Metric::F1, Metric::Auroc]
            }
        }
    }
}

fn improves(metric: Metric, value: f64, best: Option<f64>, min_delta: f64) -> bool {
    best.is_none_or(|best| if metric.higher_is_better() { value > best + min_delta } else { value < best - min_delta })
}

impl Watch {
    pub(super) fn new(config: &Config, monitor: Monitor, task: Task) -> Result<Self> {
        let stopping = config.early_stopping.map(|stopping| (stopping.monitor.unwrap_or(monitor), stopping));
        let plateau = config.schedule.plateau().map(|(monitor, _)| ("schedule.monitor", monitor));
        let own = stopping.map(|(monitor, _)| ("early_stopping.monitor", monitor));
        for (setting, monitor) in [("monitor", monitor)].into_iter().chain(plateau).chain(own) {
            let has = task.metrics().contains(&monitor.metric);
            if !has || (monitor.metric == Metric::TopKError && config.top_k.is_none()) {
                let names: Vec<&str> = task.metrics().iter().map(|metric| metric.name()).collect();
                let hint = if has { "; top_k_error needs the setting top_k" } else { "" };
                let message = format!("is {monitor}, but the metrics of {task} are {}{hint}", names.join(", "));
                return Err(Error::config(setting, message));
            }
        }
        Ok(Watch {
            monitor,
            stopping,
            state: WatchState::default(),
            best_weights: None,
            best_is_saved: false,
            ended: None,
        })
    }

    /// Takes an epoch's record; returns whether it is the best one so far.
    pub(super) fn epoch(&mut self, record: &EpochRecord) -> bool {
        if let Some((monitor, settings)) = self.stopping {
            // A metric that is undefined has not improved.
            let value = record.scores.monitored(monitor);
            let better = value.filter(|&v| improves(monitor.metric, v, self.state.stopping_best, settings.min_delta));
            match better {
                Some(value) => (self.state.stopping_best, self.state.bad_epochs) = (Some(value), 0),
                None => self.state.bad_epochs += 1,
            }
            if self.state.bad_epochs > settings.patience {
                let (epochs, best) = (self.state.bad_epochs, self.state.stopping_best.unwrap_or(f64::NAN));
                self.state.stopped = Some(format!("{monitor} has not improved on {best:.6} for {epochs} epochs"));
            }
        }
        let Some(value) = record.scores.monitored(self.monitor) else { return false };
        let better = improves(self.monitor.metric, value, self.state.best.map(|best| best.value), 0.0);
        if better {
            self.state.best = Some(Best { monitor: self.monitor, epoch: record.epoch, value });
        }
        better
    }

    /// Keeps the network's state of the best epoch.
    pub(super) fn keep(&mut self, state: Vec<(String, Array)>) {
        (self.best_weights, self.best_is_saved) = (Some(state), false);
    }

    /// Ends the run for now: a run that is resumed goes on.
    pub(super) fn end(&mut self, reason: String) {
        self.ended = Some(reason);
    }

    /// Why the run is over, if it is before its last epoch.
    pub(super) fn stopped(&self) -> Option<&str> {
        self.state.stopped.as_deref().or(self.ended.as_deref())
    }

    pub(super) fn best(&self) -> Option<Best> {
        self.state.best
    }

    /// The best epoch's weights, if they are not in the run's folder yet.
    pub(super) fn unsaved_best(&self) -> Option<&[(String, Array)]> {
        self.best_weights.as_deref().filter(|_| !self.best_is_saved)
    }

    /// Notes that the best epoch's weights are in the run's folder.
    pub(super) fn saved_best(&mut self) {
        self.best_is_saved = true;
    }

    pub(super) fn state(&self) -> &WatchState {
        &self.state
    }

    pub(super) fn restore(&mut self, state: WatchState) {
        self.state = state;
    }
}
