//! Checkpoints: everything a run needs to go on with the same bits.
//!
//! A checkpoint is one safetensors file. Its tensors are the variables that training steps update, those of the network
//! that they do not, and `host`, what the host knows, as JSON. Its metadata has one entry, `wgrad`: the version and a
//! checksum (CRC-32) of the tensors with their names and shapes.

use super::metrics::EpochRecord;
use super::trainer::Trainer;
use super::watch::WatchState;
use super::weights::dtype_of;
use crate::array::Array;
use crate::data::numpy_rng::RandomStateParts;
use crate::error::{Error, Result};
use crate::nn::Module;
use crate::optim::PlateauState;
use crate::shape::Shape;
use crate::variable::Variable;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;

/// The version of the format.
const VERSION: u32 = 1;
/// The entry of the metadata.
const ENTRY: &str = "wgrad";
/// The tensor of what the host knows. It is not part of the metadata, whose size is limited: a history may be long. The
/// names of variables begin with a number.
const HOST: &str = "host";

/// The state of a run at a step: what [`Trainer::checkpoint`] takes and [`Trainer::restore`] puts back.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    state: HostState,
    /// Values with names that are unique: a number before the variable's name.
    values: Vec<(String, Array)>,
}

/// What the host knows of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct HostState {
    seed: u64,
    batch: usize,
    accumulate: u32,
    rows: usize,
    /// Steps of the epoch in progress that have run.
    within: u32,
    shuffler: RandomStateParts,
    plateau: Option<PlateauState>,
    watch: WatchState,
    train_seconds: f64,
    history: Vec<EpochRecord>,
}

impl Checkpoint {
    /// The number of epochs that are done.
    pub fn epochs(&self) -> u32 {
        self.state.history.len() as u32
    }
    /// The number of steps of the next epoch that are done.
    pub fn steps_within_epoch(&self) -> u32 {
        self.state.within
    }

    /// The checkpoint as a file's content.
    ///
    /// # Errors
    /// [`Error::Internal`] if a value cannot be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let problem = |e: &dyn std::fmt::Display| Error::Internal(format!("could not write a checkpoint: {e}"));
        let state = serde_json::to_vec(&self.state).map_err(|e| problem(&e))?;
        let mut views = Vec::new();
        for (name, array) in &self.values {
            let shape = array.shape().to_vec();
            let view = TensorView::new(dtype_of(array.dtype()), shape, array.bytes()).map_err(|e| problem(&e))?;
            views.push((name.clone(), view));
        }
        let host = TensorView::new(Dtype::U8, vec![state.len()], &state).map_err(|e| problem(&e))?;
        views.push((HOST.to_string(), host));
        let entry = format!("{VERSION} {:08x}", checksum(&views));
        safetensors::serialize(views, Some(HashMap::from([(ENTRY.to_string(), entry)]))).map_err(|e| problem(&e))
    }

    /// Reads a checkpoint from a file's content.
    ///
    /// # Errors
    /// What is wrong with it: not a checkpoint, of another version, or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let damaged = |e: &dyn std::fmt::Display| format!("is damaged: {e}");
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| damaged(&e))?;
        let tensors = SafeTensors::deserialize(bytes).map_err(|e| damaged(&e))?;
        let entry = header.metadata().as_ref().and_then(|entries| entries.get(ENTRY));
        let entry = entry.ok_or("is not a checkpoint: it has no metadata of one")?;
        let (version, sum) = entry.split_once(' ').ok_or("is damaged: its metadata end early")?;
        if version != VERSION.to_string() {
            return Err(format!("has version {version}, but this wgrad reads version {VERSION}"));
        }
        let mut views = tensors.tensors();
        views.sort_by(|a, b| a.0.cmp(&b.0));
        if u32::from_str_radix(sum, 16) != Ok(checksum(&views)) {
            return Err("is damaged: its checksum does not match".into());
        }
        // The last name in order.
        let host = views.pop().filter(|(name, _)| name == HOST).ok_or("is damaged: it lacks the state of the host")?;
        let state = serde_json::from_slice(host.1.data()).map_err(|e| damaged(&e))?;
        let mut values = Vec::new();
        for (name, view) in views {
            let dtype = [crate::DType::F32, crate::DType::F16, crate::DType::U32, crate::DType::I32]
                .into_iter()
                .find(|&dtype| dtype_of(dtype) == view.dtype());
            let dtype = dtype.ok_or_else(|| format!("is damaged: `{name}` is {:?}", view.dtype()))?;
            let ty = crate::TensorType { shape: Shape::from(view.shape()), dtype };
            values.push((name, Array::from_bytes(&ty, view.data()).map_err(|e| damaged(&e))?));
        }
        Ok(Checkpoint { state, values })
    }

    /// Reads a checkpoint's file.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read, or for the reasons of [`Checkpoint::from_bytes`].
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| Error::file(path, format!("cannot be read: {e}")))?;
        Checkpoint::from_bytes(&bytes).map_err(|message| Error::file(path, message))
    }
}

/// The checksum of tensors in the order of their names.
fn checksum(views: &[(String, TensorView<'_>)]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for (name, view) in views {
        hasher.update(format!("{name} {:?} {:?};", view.dtype(), view.shape()).as_bytes());
        hasher.update(view.data());
    }
    hasher.finalize()
}

impl Trainer {
    /// The variables that a run depends on and that change, or that are not drawn from its seed.
    fn checkpointed(&self) -> Vec<Variable> {
        let mut variables: Vec<Variable> = self.step_graph(0).updates().into_iter().map(|(v, _)| v).collect();
        let network = self.model.network.state_dict().into_iter().map(|(_, v)| v);
        let others = network.chain(self.moves.optimizer.state().cloned()).chain(self.moves.gradients.iter().cloned());
        let averages = self.moves.ema.iter().flat_map(|ema| ema.averages().map(|(_, v)| v.clone()));
        for variable in others.chain(averages) {
            if !variables.contains(&variable) {
                variables.push(variable);
            }
        }
        variables
    }

    /// The current values of all variables that a checkpoint has.
    pub(super) fn read_all(&mut self) -> Result<Vec<Array>> {
        self.checkpointed().iter().map(|variable| self.session.read(variable)).collect()
    }

    /// Everything that the run needs to go on from here with the same bits.
    ///
    /// In a run that [trains ahead](Trainer::train_ahead) the state is that after the last recorded epoch, which must
    /// have been asked for with [`Pause::checkpoint`](super::Pause::checkpoint).
    ///
    /// # Errors
    /// Those of reading from the device; [`Error::Internal`] if the run is ahead and no checkpoint was asked for.
    pub fn checkpoint(&mut self) -> Result<Checkpoint> {
        let is_ahead = self.ahead.as_ref().is_some_and(|ahead| ahead.has_begun);
        let arrays = match self.ahead.as_mut().and_then(|ahead| ahead.captured.take()) {
            Some(captured) => captured,
            None if is_ahead => return Err(Error::Internal("a checkpoint of a run that is ahead".into())),
            None => self.read_all()?,
        };
        let names = self.checkpointed();
        let named = names.iter().zip(arrays).enumerate();
        let values = named.map(|(k, (variable, value))| (format!("{k:05} {}", variable.name()), value)).collect();
        let state = HostState {
            seed: self.config.seed,
            batch: self.config.batch,
            accumulate: self.config.accumulate,
            rows: self.train.rows(),
            within: if is_ahead { 0 } else { self.within },
            shuffler: self.shuffler.parts(),
            plateau: self.plateau.as_ref().map(|(_, plateau)| plateau.state()),
            watch: self.watch.state().clone(),
            train_seconds: self.train_seconds,
            history: self.history.clone(),
        };
        Ok(Checkpoint { state, values })
    }

    /// Goes back, or ahead, to a checkpoint of a run with the same settings (but for the number of epochs).
    ///
    /// # Errors
    /// [`Error::Config`] if the checkpoint is of a run with other settings, naming them.
    pub fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        let state = &checkpoint.state;
        let wrong = |message: String| Err(Error::config("resume", message));
        let same = [
            ("seed", state.seed, self.config.seed),
            ("batch", state.batch as u64, self.config.batch as u64),
            ("accumulate", u64::from(state.accumulate), u64::from(self.config.accumulate)),
            ("training samples", state.rows as u64, self.train.rows() as u64),
        ];
        if let Some((what, theirs, ours)) = same.into_iter().find(|(_, theirs, ours)| theirs != ours) {
            return wrong(format!("the checkpoint's run has {what} {theirs}, but these settings have {ours}"));
        }
        if state.plateau.is_some() != self.plateau.is_some() {
            return wrong("the checkpoint's run has another schedule".into());
        }
        if state.within >= self.train.steps() || state.history.len() > self.config.epochs as usize {
            let (epochs, ours) = (state.history.len(), self.config.epochs);
            return wrong(format!("the checkpoint's run has done {epochs} epochs, but these settings have {ours}"));
        }
        let variables = self.checkpointed();
        let mut given: Vec<&Array> = Vec::new();
        for (k, variable) in variables.iter().enumerate() {
            let name = format!("{k:05} {}", variable.name());
            let found = checkpoint.values.iter().find(|(other, _)| *other == name).map(|(_, value)| value);
            let Some(value) = found.filter(|value| value.tensor_type() == variable.tensor_type()) else {
                let (wanted, found) = (variable.tensor_type(), found.map(|value| value.tensor_type().to_string()));
                let found = found.unwrap_or_else(|| "missing".into());
                return wrong(format!("`{}` is {found} in the checkpoint, but {wanted} here", variable.name()));
            };
            given.push(value);
        }
        if let Some((name, _)) = checkpoint.values.get(variables.len()) {
            return wrong(format!("the checkpoint has `{name}`, which these settings do not have"));
        }
        for (variable, value) in variables.iter().zip(given) {
            self.session.write(variable, value)?;
        }
        self.shuffler = state
            .shuffler
            .to_state()
            .ok_or_else(|| Error::config("resume", "the checkpoint's random state is not valid"))?;
        (self.drawn, self.within) = (None, 0);
        if let (Some((_, plateau)), Some(saved)) = (&mut self.plateau, &state.plateau) {
            plateau.restore(*saved);
        }
        self.watch.restore(state.watch.clone());
        (self.train_seconds, self.history) = (state.train_seconds, state.history.clone());
        if let Some(ahead) = &mut self.ahead {
            ahead.forget();
        }
        if let Some(lr) = self.plateau.as_ref().map(|(_, plateau)| plateau.lr()) {
            self.set_rates(state.history.len() as u32, lr)?;
        }
        if state.within > 0 {
            self.begin_epoch()?;
            self.within = state.within;
        }
        Ok(())
    }
}
