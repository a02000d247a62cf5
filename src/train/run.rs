//! The run folder: saving a run, and loading a finished one.

use super::config::{Config, LossConfig};
use super::metrics::Metrics;
use super::model::Model;
use super::trainer::Trainer;
use crate::array::Array;
use crate::data::{Split, atomic_write};
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::nn::{Mode, Module};
use crate::session::Session;
use crate::shape::{Shape, TensorType};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A run's folder: `config.toml`, `metrics.json`, `metrics.csv`, `model.safetensors`. Every file is written under a
/// temporary name and then renamed, so an interrupted run leaves the last complete version.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
}

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

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        atomic_write(self.path.join(name), |file| file.write_all(bytes))
    }

    /// Writes `config.toml`.
    pub fn save_config(&self, config: &Config) -> Result<()> {
        self.write("config.toml", config.to_toml()?.as_bytes())
    }

    /// Writes the metrics so far and the current parameters.
    pub fn save(&self, trainer: &mut Trainer) -> Result<Metrics> {
        let metrics = trainer.metrics()?;
        let parameters = trainer.state_dict()?;
        if let Some((name, _)) = parameters.iter().find(|(_, value)| !is_finite(value)) {
            let message =
                format!("parameter `{name}` is no longer finite: training has diverged. Try a smaller learning rate");
            return Err(Error::NotFinite(message));
        }
        let sample = trainer.model().input.clone();
        self.write("model.safetensors", &to_safetensors(&parameters, &sample)?)?;
        self.save_metrics(&metrics)?;
        Ok(metrics)
    }

    /// Writes only `metrics.json` and `metrics.csv`, for a run whose parameters are no longer finite.
    pub fn save_metrics(&self, metrics: &Metrics) -> Result<()> {
        self.write("metrics.csv", metrics.to_csv().as_bytes())?;
        self.write("metrics.json", metrics.to_json()?.as_bytes())
    }
}

fn is_finite(array: &Array) -> bool {
    array.to_f64().iter().all(|x| x.is_finite())
}

fn to_safetensors(parameters: &[(String, Array)], sample: &[usize]) -> Result<Vec<u8>> {
    let problem =
        |e: safetensors::SafeTensorError| Error::Internal(format!("could not write the model as safetensors: {e}"));
    let mut views = Vec::new();
    for (name, array) in parameters {
        let dtype = match array.dtype() {
            DType::F32 => Dtype::F32,
            DType::F16 => Dtype::F16,
            DType::U32 => Dtype::U32,
            DType::I32 => Dtype::I32,
        };
        views.push((name, TensorView::new(dtype, array.shape().to_vec(), array.bytes()).map_err(problem)?));
    }
    // The sample's shape: a finished run needs it to rebuild the network without the data.
    let shape = sample.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    // Only one entry, so that files are reproducible: a `HashMap` with more is written in a different order each
    // time.
    let metadata = HashMap::from([("input".to_string(), shape)]);
    safetensors::serialize(views, Some(metadata)).map_err(problem)
}

/// The largest number of classes for which a confusion matrix is computed.
const MAX_CONFUSION: usize = 4096;

/// A finished run, loaded on a device.
#[derive(Debug)]
pub struct Run {
    /// The run's configuration.
    pub config: Config,
    model: Model,
    session: Session,
}

/// The result of [`Run::predict`].
#[derive(Debug, Clone)]
pub struct Prediction {
    /// The network's output, row-major, `[rows, classes]`.
    pub logits: Vec<f32>,
    /// The number of classes.
    pub classes: usize,
}

impl Prediction {
    /// The class with the largest logit in each row; the first of equal ones.
    pub fn labels(&self) -> Vec<usize> {
        let best = |row: &[f32]| (0..row.len()).fold(0, |best, k| if row[k] > row[best] { k } else { best });
        self.logits.chunks_exact(self.classes).map(best).collect()
    }
    /// Softmax of each row.
    pub fn probabilities(&self) -> Vec<f32> {
        let rows = self.logits.chunks_exact(self.classes).flat_map(|row| {
            let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let powers: Vec<f64> = row.iter().map(|&x| f64::from(x - max).exp()).collect();
            let sum: f64 = powers.iter().sum();
            powers.into_iter().map(move |p| (p / sum) as f32).collect::<Vec<_>>()
        });
        rows.collect()
    }
}

impl Run {
    /// Loads a run folder.
    pub fn load(path: impl AsRef<Path>, device: Device) -> Result<Self> {
        let path = path.as_ref();
        let (config_path, model_path) = (path.join("config.toml"), path.join("model.safetensors"));
        for file in [&config_path, &model_path] {
            if !file.is_file() {
                let missing = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                return Err(Error::file(path, format!("is not a run folder: it has no {missing}")));
            }
        }
        let config = Config::from_file(&config_path)?;
        let bytes = std::fs::read(&model_path).map_err(|e| Error::file(&model_path, format!("cannot be read: {e}")))?;
        let wrong = |message: String| Error::file(&model_path, message);
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| wrong(format!("is damaged: {e}")))?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|e| wrong(format!("is damaged: {e}")))?;
        let sample: Option<Vec<usize>> = header
            .metadata()
            .as_ref()
            .and_then(|m| m.get("input"))
            .and_then(|text| text.split(',').map(|n| n.parse().ok()).collect());
        let sample = sample.ok_or_else(|| wrong("does not say the shape of a sample".into()))?;
        let model = Model::build(&config, &sample)?;
        let mut session = Session::new(device)?;
        let parameters = model.network.state_dict();
        for (name, variable) in &parameters {
            let view = tensors.tensor(name).map_err(|_| wrong(format!("has no parameter `{name}`")))?;
            let ty: TensorType = variable.tensor_type();
            if view.shape() != &ty.shape[..] || view.dtype() != Dtype::F32 {
                let found = Shape::from(view.shape());
                return Err(wrong(format!(
                    "parameter `{name}` is {:?}{found}, but the network takes {ty}",
                    view.dtype()
                )));
            }
            let value = Array::from_bytes(&ty, view.data())?;
            if !is_finite(&value) {
                return Err(wrong(format!("parameter `{name}` has a NaN or an infinity")));
            }
            session.write(variable, &value)?;
        }
        if let Some(extra) = tensors.names().into_iter().find(|n| !parameters.iter().any(|(name, _)| name == n)) {
            return Err(wrong(format!("has a parameter `{extra}` that the network does not have")));
        }
        Ok(Run { config, model, session })
    }

    /// The number of values in a sample.
    pub fn features(&self) -> usize {
        self.model.input.iter().product()
    }
    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.model.classes
    }
    /// The device's name.
    pub fn device_name(&self) -> String {
        self.session.device_name()
    }

    /// The network's output for samples in row-major order, computed in batches.
    pub fn predict(&mut self, x: &[f32]) -> Result<Prediction> {
        let features = self.features();
        if !x.len().is_multiple_of(features) {
            let message = format!("{} numbers are not a whole number of samples of {features}", x.len());
            return Err(Error::value("predict", message));
        }
        let mut logits = Vec::with_capacity(x.len() / features * self.classes());
        let mut compiled: Option<(usize, crate::session::Program)> = None;
        for chunk in x.chunks(1024 * features) {
            let rows = chunk.len() / features;
            let shape = [&[rows], &self.model.input[..]].concat();
            if compiled.as_ref().is_none_or(|(size, _)| *size != rows) {
                let g = Graph::new();
                let y = self.model.network.forward(g.input("x", shape.clone(), DType::F32), Mode::Eval);
                compiled = Some((rows, self.session.compile(&g, &[y])?));
            }
            if let Some((_, program)) = &compiled {
                let out = self.session.run(program, &[("x", &Array::new(shape, chunk.to_vec())?)])?;
                logits.extend_from_slice(out[0].as_slice::<f32>()?);
            }
        }
        Ok(Prediction { logits, classes: self.classes() })
    }

    /// The mean loss over a set, and its confusion matrix, `matrix[label][prediction]`.
    pub fn evaluate(&mut self, split: &Split) -> Result<(f64, Vec<Vec<u64>>)> {
        if split.features != self.features() {
            let message = format!("samples have {} numbers, but the network takes {}", split.features, self.features());
            return Err(Error::value("data", message));
        }
        let classes = self.classes();
        if classes > MAX_CONFUSION {
            return Err(Error::Limit {
                what: "a confusion matrix (classes)".into(),
                needed: classes as u64,
                limit: MAX_CONFUSION as u64,
                remedy: "use `predict` and count what you need".into(),
            });
        }
        if let Some((row, label)) = split.y.iter().enumerate().find(|&(_, &y)| y as usize >= classes) {
            let message = format!("the label of sample {row} is {label}, but the network has {classes} classes");
            return Err(Error::value("data", message));
        }
        let prediction = self.predict(&split.x)?;
        let mut matrix = vec![vec![0u64; classes]; classes];
        for (&label, guess) in split.y.iter().zip(prediction.labels()) {
            matrix[label as usize][guess] += 1;
        }
        Ok((self.loss(&prediction, &split.y)?, matrix))
    }

    fn loss(&mut self, prediction: &Prediction, labels: &[u32]) -> Result<f64> {
        let loss: LossConfig = self.config.loss;
        let rows = labels.len();
        let g = Graph::new();
        let logits = g.input("logits", [rows, prediction.classes], DType::F32);
        let y = g.input("labels", [rows], DType::U32);
        let program = self.session.compile(&g, &[loss.mean(logits, y)])?;
        let logits = Array::new([rows, prediction.classes], prediction.logits.clone())?;
        let labels = Array::new([rows], labels.to_vec())?;
        self.session.run(&program, &[("logits", &logits), ("labels", &labels)])?[0].item()
    }
}
