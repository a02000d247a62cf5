//! A run's folder: its files, and its checkpoints.

use super::checkpoint::Checkpoint;
use super::config::Config;
use super::metrics::Metrics;
use super::preprocessing::PREPROCESSING;
use super::trainer::Trainer;
use super::weights::{is_finite, to_safetensors};
use crate::array::Array;
use crate::data::atomic_write;
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// A run's folder: `config.toml`, `preprocessing.json`, `metrics.json`, `metrics.csv`, `model.safetensors`,
/// `best.safetensors` and `checkpoints/`. Every file is written under a temporary name and then renamed, so an
/// interrupted run leaves the last complete version.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
}

/// The file of a run's settings.
pub(super) const CONFIG: &str = "config.toml";
/// The file of a run's weights.
pub(super) const MODEL: &str = "model.safetensors";
/// The file of the weights of a run's best epoch.
pub(super) const BEST: &str = "best.safetensors";
/// The folder of checkpoints.
const CHECKPOINTS: &str = "checkpoints";

impl RunFolder {
    /// Creates the folder if it is missing, and checks that it is writable.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        std::fs::create_dir_all(&path).map_err(|e| Error::file(&path, format!("cannot be created: {e}")))?;
        tempfile::Builder::new()
            .prefix(".wgrad-probe")
            .tempfile_in(&path)
            .map_err(|e| Error::file(&path, format!("cannot be written to: {e}")))?;
        Ok(RunFolder { path })
    }

    /// Creates the first of `runs/NAME-1`, `runs/NAME-2`, … under `parent` that does not exist yet.
    pub fn create_next(parent: impl AsRef<Path>, name: &str) -> Result<Self> {
        let parent = parent.as_ref();
        std::fs::create_dir_all(parent).map_err(|e| Error::file(parent, format!("cannot be created: {e}")))?;
        for number in 1..u32::MAX {
            let path = parent.join(format!("{name}-{number}"));
            match std::fs::create_dir(&path) {
                Ok(()) => return RunFolder::create(path),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(Error::file(&path, format!("cannot be created: {e}"))),
            }
        }
        Err(Error::file(parent, "has too many runs"))
    }

    /// An existing run's folder.
    ///
    /// # Errors
    /// [`Error::File`] if it has no settings, or cannot be written to.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        if !path.join(CONFIG).is_file() {
            return Err(Error::file(&path, format!("is not a run folder: it has no {CONFIG}")));
        }
        RunFolder::create(path)
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the folder has files of a run.
    pub fn has_run(path: &Path) -> bool {
        [CONFIG, "metrics.json", MODEL].iter().any(|file| path.join(file).exists())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        atomic_write(self.path.join(name), |file| file.write_all(bytes))
    }

    /// Writes `config.toml`.
    pub fn save_config(&self, config: &Config) -> Result<()> {
        self.write(CONFIG, config.to_toml()?.as_bytes())
    }

    /// The settings of the run.
    pub fn config(&self) -> Result<Config> {
        Config::from_file(self.path.join(CONFIG))
    }

    /// Removes what an earlier run in the same folder left and this one does not replace.
    ///
    /// # Errors
    /// [`Error::File`] if a file cannot be removed.
    pub fn clear(&self) -> Result<()> {
        let gone = |path: PathBuf, result: std::io::Result<()>| match result {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::file(path, format!("cannot be removed: {e}")))
            }
            _ => Ok(()),
        };
        for file in [BEST, PREPROCESSING, "curves.png", "report.html"] {
            let path = self.path.join(file);
            gone(path.clone(), std::fs::remove_file(path))?;
        }
        for (_, path) in self.checkpoints()? {
            gone(path.clone(), std::fs::remove_file(path))?;
        }
        Ok(())
    }

    /// Writes the metrics so far and the current parameters.
    pub fn save(&self, trainer: &mut Trainer) -> Result<Metrics> {
        let metrics = trainer.metrics()?;
        let state = trainer.state_dict()?;
        if let Some((name, _)) = state.iter().find(|(_, value)| !is_finite(value)) {
            let message =
                format!("parameter `{name}` is no longer finite: training has diverged. Try a smaller learning rate");
            return Err(Error::NotFinite(message));
        }
        if metrics.epochs <= 1 || !self.path.join(PREPROCESSING).exists() {
            self.write(PREPROCESSING, trainer.preprocessing().to_json()?.as_bytes())?;
        }
        self.save_weights(MODEL, &state, trainer, metrics.steps)?;
        self.save_metrics(&metrics)?;
        Ok(metrics)
    }

    /// Writes the weights of the best epoch so far, if they are not there yet.
    pub fn save_best(&self, trainer: &mut Trainer) -> Result<()> {
        if let (Some(best), Some(weights)) = (trainer.watch.best(), trainer.watch.unsaved_best()) {
            self.save_weights(BEST, weights, trainer, u64::from(best.epoch) * u64::from(trainer.steps_per_epoch()))?;
            trainer.watch.saved_best();
        }
        Ok(())
    }

    fn save_weights(&self, file: &str, state: &[(String, Array)], trainer: &Trainer, steps: u64) -> Result<()> {
        self.write(file, &to_safetensors(state, Some(&trainer.model().input), steps)?)
    }

    /// Makes the weights of the best epoch the run's.
    ///
    /// # Errors
    /// [`Error::File`] if there are none.
    pub fn restore_best(&self) -> Result<()> {
        let best = self.path.join(BEST);
        let bytes = std::fs::read(&best).map_err(|e| Error::file(&best, format!("cannot be read: {e}")))?;
        self.write(MODEL, &bytes)
    }

    /// Writes only `metrics.json` and `metrics.csv`, for a run whose parameters are no longer finite.
    pub fn save_metrics(&self, metrics: &Metrics) -> Result<()> {
        self.write("metrics.csv", metrics.to_csv().as_bytes())?;
        self.write("metrics.json", metrics.to_json()?.as_bytes())
    }

    /// The checkpoints with the number of steps done, from the first to the last.
    fn checkpoints(&self) -> Result<Vec<(u64, PathBuf)>> {
        let dir = self.path.join(CHECKPOINTS);
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Error::file(&dir, format!("cannot be read: {e}"))),
        };
        let steps = |path: &Path| {
            let name = path.file_name()?.to_str()?;
            name.strip_prefix("step-")?.strip_suffix(".safetensors")?.parse().ok()
        };
        let mut found: Vec<(u64, PathBuf)> =
            entries.filter_map(|entry| entry.ok().map(|e| e.path())).filter_map(|p| Some((steps(&p)?, p))).collect();
        found.sort();
        Ok(found)
    }

    /// Writes a checkpoint and then deletes those before the last `keep`. Returns its path.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written; the older ones are then whole.
    pub fn save_checkpoint(&self, checkpoint: &Checkpoint, steps_per_epoch: u32, keep: u32) -> Result<PathBuf> {
        let dir = self.path.join(CHECKPOINTS);
        std::fs::create_dir_all(&dir).map_err(|e| Error::file(&dir, format!("cannot be created: {e}")))?;
        let epochs = u64::from(checkpoint.epochs());
        let steps = epochs * u64::from(steps_per_epoch) + u64::from(checkpoint.steps_within_epoch());
        let path = dir.join(format!("step-{steps:010}.safetensors"));
        let bytes = checkpoint.to_bytes()?;
        atomic_write(&path, |file| file.write_all(&bytes))?;
        // Those of a run that had got further, before it was resumed from here, are no longer its own.
        let mut all = self.checkpoints()?;
        let later = all.split_off(all.partition_point(|(other, _)| *other <= steps));
        let old = all.len().saturating_sub(keep as usize);
        for (_, path) in all.drain(..old).chain(later) {
            let _ = std::fs::remove_file(path);
        }
        Ok(path)
    }

    /// The newest checkpoint that is whole, with its path, and what is wrong with the newer ones.
    ///
    /// # Errors
    /// [`Error::File`] if there is none.
    pub fn last_checkpoint(&self) -> Result<(Checkpoint, PathBuf, Vec<Error>)> {
        let mut damaged = Vec::new();
        for (_, path) in self.checkpoints()?.into_iter().rev() {
            match Checkpoint::read(&path) {
                Ok(checkpoint) => return Ok((checkpoint, path, damaged)),
                Err(error) => damaged.push(error),
            }
        }
        let listed: Vec<String> = damaged.iter().map(|error| format!("; {error}")).collect();
        Err(Error::file(&self.path, format!("has no checkpoint to resume from{}", listed.concat())))
    }
}
