//! A whole run: epochs, checkpoints, early ends, and what is saved when.

use super::checkpoint::Checkpoint;
use super::config::Config;
use super::folder::RunFolder;
use super::metrics::{EpochRecord, Metrics};
use super::trainer::{Pause, Trainer};
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::session::Session;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The minimum time between two saves of a run's files.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// The time after which a checkpoint is written in the middle of a long epoch, if the settings say nothing else.
const LONG_EPOCH: Duration = Duration::from_secs(600);
/// How often a lost device is opened again before a run gives up.
const MOST_LOSSES: u32 = 10;

/// What a run does when its device is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDeviceLoss {
    /// It ends with an error that names the last checkpoint.
    #[default]
    Fail,
    /// It opens the device again and goes on from the last checkpoint.
    Retry,
}

/// What a run tells while it goes on.
#[derive(Debug)]
pub enum Report<'a> {
    /// An epoch is done.
    Epoch(&'a EpochRecord),
    /// A checkpoint of a resumed run is damaged, and the one before it is used; or the device was lost and is opened
    /// again.
    Warning(String),
}

/// Opens a session; called again after a device is lost.
type Open<'a> = Box<dyn FnMut() -> Result<Session> + 'a>;

/// A run with its folder.
///
/// ```
/// use wgrad::train::{Config, DataConfig, Fit, RunFolder};
/// use wgrad::{Device, Session};
/// let mut config = Config::preset("logistic")?;
/// config.epochs = 2;
/// config.data = DataConfig { num_samples: Some(500), ..DataConfig::default() };
/// let dir = tempfile::tempdir().unwrap();
/// let folder = RunFolder::create(dir.path().join("run"))?;
/// let data = config.data.load()?;
/// let mut fit = Fit::new(folder, config, &data, || Session::new(Device::cpu()))?;
/// let metrics = fit.run(&mut |_| {})?;
/// assert_eq!(metrics.epochs, 2);
/// assert!(dir.path().join("run/model.safetensors").exists());
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct Fit<'a> {
    folder: RunFolder,
    config: Config,
    data: &'a Dataset,
    open: Open<'a>,
    trainer: Trainer,
    on_device_loss: OnDeviceLoss,
    max_time: Option<Duration>,
    step_by_step: Option<StepByStep>,
    /// Whether the folder has another run's files, which are replaced at the first save.
    replaces: bool,
    /// The time of the last save, and the number of epochs before it.
    saved: Option<(Instant, u32)>,
    /// The time and the file of the last checkpoint.
    checkpointed: Option<(Instant, PathBuf)>,
    started: Instant,
}

/// Runs an epoch in place of [`Trainer::epoch`].
type StepByStep = fn(&mut Trainer) -> Result<EpochRecord>;

impl std::fmt::Debug for Fit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fit({})", self.folder.path().display())
    }
}

impl<'a> Fit<'a> {
    /// A new run of `config` in `folder`, in a session that `open` opens.
    ///
    /// # Errors
    /// Those of [`Trainer::open`], and of writing the settings.
    pub fn new(
        folder: RunFolder,
        config: Config,
        data: &'a Dataset,
        open: impl FnMut() -> Result<Session> + 'a,
    ) -> Result<Self> {
        let replaces = RunFolder::has_run(folder.path());
        let mut open: Open<'a> = Box::new(open);
        let mut trainer = Trainer::open(&config, data, &mut open)?;
        let config = Config {
            task: Some(trainer.preprocessing().task),
            loss: Some(config.loss_for(trainer.preprocessing().task)),
            ..config
        };
        trainer.config = config.clone();
        let fit = Fit {
            folder,
            config,
            data,
            open,
            trainer,
            on_device_loss: OnDeviceLoss::default(),
            max_time: None,
            step_by_step: None,
            replaces,
            saved: None,
            checkpointed: None,
            started: Instant::now(),
        };
        if !fit.replaces {
            fit.folder.save_config(&fit.config)?;
        }
        Ok(fit)
    }

    /// Goes on with the run in `folder` from its last whole checkpoint; with `epochs`, until so many are done in all.
    ///
    /// # Errors
    /// Those of [`Fit::new`]; [`Error::File`] if there is no checkpoint.
    pub fn resume(
        folder: RunFolder,
        config: Config,
        data: &'a Dataset,
        open: impl FnMut() -> Result<Session> + 'a,
        report: &mut dyn FnMut(Report<'_>),
    ) -> Result<Self> {
        let (checkpoint, path, damaged) = folder.last_checkpoint()?;
        for error in damaged {
            report(Report::Warning(format!("{error}; the checkpoint before it is used")));
        }
        let mut fit = Fit::new(folder, config, data, open)?;
        fit.trainer.restore(&checkpoint).map_err(|e| Error::file(&path, e))?;
        fit.folder.save_config(&fit.config)?;
        fit.replaces = false;
        fit.saved = Some((Instant::now(), checkpoint.epochs()));
        fit.checkpointed = Some((Instant::now(), path));
        Ok(fit)
    }

    /// Sets what happens when the device is lost.
    pub fn on_device_loss(mut self, what: OnDeviceLoss) -> Self {
        self.on_device_loss = what;
        self
    }

    /// Ends the run after about so long, with a checkpoint to resume from.
    pub fn max_time(mut self, most: Option<Duration>) -> Self {
        self.max_time = most;
        self
    }

    /// Runs epochs by `epoch` instead of [`Trainer::epoch`].
    pub fn by_epochs_of(mut self, epoch: Option<StepByStep>) -> Self {
        self.step_by_step = epoch;
        self
    }

    /// The run's trainer.
    pub fn trainer(&mut self) -> &mut Trainer {
        &mut self.trainer
    }
    /// The run's settings, with the task and the loss that were found.
    pub fn config(&self) -> &Config {
        &self.config
    }
    /// The run's folder.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }
    /// The number of epochs at the last save, if there was one.
    pub fn saved_epochs(&self) -> Option<u32> {
        self.saved.as_ref().map(|(_, epochs)| *epochs)
    }
    /// Whether the folder still has only another run's files.
    pub fn is_untouched(&self) -> bool {
        self.replaces && self.saved.is_none()
    }

    /// Trains until all epochs are done, training stops early or the time is up, and saves the run. Returns the final
    /// metrics, with the test set's scores.
    ///
    /// # Errors
    /// Those of training and of writing files. If the device is lost, the message names the last checkpoint.
    pub fn run(&mut self, report: &mut dyn FnMut(Report<'_>)) -> Result<Metrics> {
        self.started = Instant::now();
        let mut losses = 0;
        loop {
            match self.epochs(report).and_then(|()| self.finish()) {
                Err(error @ (Error::DeviceLost(_) | Error::OutOfMemory(_))) => {
                    losses += 1;
                    if self.on_device_loss == OnDeviceLoss::Fail || losses > MOST_LOSSES {
                        return Err(self.lost(error));
                    }
                    report(Report::Warning(format!("{error}; opening the device again")));
                    self.reopen()?;
                }
                result => return result,
            }
        }
    }

    /// Goes back to the last checkpoint, or to the beginning, in a new session.
    fn reopen(&mut self) -> Result<()> {
        self.trainer = Trainer::open(&self.config, self.data, &mut self.open)?;
        if self.checkpointed.is_some() {
            let (checkpoint, path, _) = self.folder.last_checkpoint()?;
            self.trainer.restore(&checkpoint).map_err(|e| Error::file(&path, e))?;
        }
        Ok(())
    }

    fn lost(&self, error: Error) -> Error {
        let Some((_, checkpoint)) = &self.checkpointed else { return error };
        let (path, run) = (checkpoint.display(), self.folder.path().display());
        let hint = format!("; the last checkpoint is {path}: go on with `wgrad train --resume {run}`");
        match error {
            Error::DeviceLost(message) => Error::DeviceLost(format!("{message}{hint}")),
            Error::OutOfMemory(message) => Error::OutOfMemory(format!("{message}{hint}")),
            other => other,
        }
    }

    fn epochs(&mut self, report: &mut dyn FnMut(Report<'_>)) -> Result<()> {
        let checkpoints = self.config.checkpoint;
        let by_steps = checkpoints.every_steps.is_some() || checkpoints.every_minutes.is_some();
        if self.step_by_step.is_none() && !by_steps && self.max_time.is_none() {
            self.trainer.train_ahead()?;
        }
        while !self.trainer.is_finished() {
            if self.is_time_up() {
                self.trainer.watch.end("the time is up".into());
                break;
            }
            let due = self.is_due_after_epoch();
            let record = match self.step_by_step {
                Some(epoch) => Some(epoch(&mut self.trainer)?),
                None => self.trainer.advance(self.pause(due))?,
            };
            let Some(record) = record else {
                // In the middle of an epoch.
                self.save_state()?;
                continue;
            };
            report(Report::Epoch(&record));
            if due {
                self.save_model()?;
                // A run of a moment leaves its model at once, but nothing to go on from.
                let settings = self.config.checkpoint;
                let asked = settings.every_epochs.is_some() || settings.every_minutes.is_some();
                if asked || self.started.elapsed() >= SAVE_EVERY {
                    self.save_state()?;
                }
            }
        }
        Ok(())
    }

    /// When the next epoch is to be interrupted for a checkpoint.
    fn pause(&self, checkpoint: bool) -> Pause {
        let settings = self.config.checkpoint;
        let every = settings.every_minutes.map(|minutes| Duration::from_secs_f64(60.0 * minutes));
        let none = settings.every_epochs.is_none() && settings.every_steps.is_none();
        let every = every.or(none.then_some(LONG_EPOCH));
        let since = self.checkpointed.as_ref().map_or(self.started, |(time, _)| *time);
        let until_checkpoint = every.map(|every| every.saturating_sub(since.elapsed()));
        let until_end = self.max_time.map(|most| most.saturating_sub(self.started.elapsed()));
        let seconds = [until_checkpoint, until_end].into_iter().flatten().min().map(|d| d.as_secs_f64());
        let steps = settings.every_steps.map(|every| {
            let done = u64::from(self.trainer.epochs_done()) * u64::from(self.trainer.steps_per_epoch());
            every - ((done + u64::from(self.trainer.within)) % u64::from(every)) as u32
        });
        Pause { steps, seconds, checkpoint }
    }

    fn is_time_up(&self) -> bool {
        self.max_time.is_some_and(|most| self.started.elapsed() >= most)
    }

    /// Whether the run is saved after the next epoch.
    fn is_due_after_epoch(&self) -> bool {
        let next = self.trainer.epochs_done() + 1;
        let settings = self.config.checkpoint;
        if next >= self.config.epochs {
            return false;
        }
        if let Some(every) = settings.every_epochs {
            return next.is_multiple_of(every);
        }
        if settings.every_steps.is_some() {
            return false;
        }
        let every = settings.every_minutes.map_or(SAVE_EVERY, |minutes| Duration::from_secs_f64(60.0 * minutes));
        self.saved.as_ref().is_none_or(|(time, _)| time.elapsed() >= every)
    }

    /// Replaces an earlier run in the folder, at the first save.
    fn take_over(&mut self) -> Result<()> {
        if self.replaces && self.saved.is_none() {
            self.folder.clear()?;
            self.folder.save_config(&self.config)?;
            self.replaces = false;
        }
        Ok(())
    }

    fn save_model(&mut self) -> Result<Metrics> {
        self.take_over()?;
        let metrics = self.folder.save(&mut self.trainer)?;
        self.saved = Some((Instant::now(), metrics.epochs));
        Ok(metrics)
    }

    /// Writes what a run needs to go on.
    fn save_state(&mut self) -> Result<()> {
        // The best weights first: a checkpoint's best epoch is never later than theirs.
        self.folder.save_best(&mut self.trainer)?;
        self.save_checkpoint()?;
        Ok(())
    }

    fn save_checkpoint(&mut self) -> Result<Checkpoint> {
        self.take_over()?;
        let checkpoint = self.trainer.checkpoint()?;
        let (steps, keep) = (self.trainer.steps_per_epoch(), self.config.checkpoint.keep);
        let path = self.folder.save_checkpoint(&checkpoint, steps, keep)?;
        self.checkpointed = Some((Instant::now(), path));
        Ok(checkpoint)
    }

    fn finish(&mut self) -> Result<Metrics> {
        if self.trainer.epochs_done() == 0 {
            self.save_state()?;
            let run = self.folder.path().display();
            let message = format!("is over before an epoch is done; go on with `wgrad train --resume {run}`");
            return Err(Error::config("--max-time", message));
        }
        self.trainer.test()?;
        let metrics = self.save_model()?;
        self.save_state()?;
        let restore = self.config.early_stopping.is_some_and(|stopping| stopping.restore_best);
        if restore && metrics.best.is_some_and(|best| best.epoch != metrics.epochs) {
            self.folder.restore_best()?;
        }
        Ok(metrics)
    }
}
