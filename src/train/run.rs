//! A finished run, loaded on a device: evaluation and predictions.

use super::config::{Config, LossConfig};
use super::evaluation::{EvalPrograms, Evaluated, MAX_CONFUSION, most_rows, with_fitting_rows};
use super::folder::{CONFIG, MODEL};
use super::model::Model;
use super::objective::Objective;
use super::preprocessing::Preprocessing;
use super::sets::Set;
use super::task::Task;
use super::weights;
use crate::array::Array;
use crate::data::{Samples, Split};
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::nn::{Mode, Module};
use crate::session::Session;
use std::path::Path;
use std::sync::Arc;

/// A finished run, loaded on a device.
#[derive(Debug)]
pub struct Run {
    /// The run's configuration.
    pub config: Config,
    preprocessing: Arc<Preprocessing>,
    model: Model,
    session: Session,
}

/// The result of [`Run::predict`].
#[derive(Debug, Clone)]
pub struct Prediction {
    /// The task.
    pub task: Task,
    /// The network's output, row-major, `[rows, outputs]`.
    pub outputs: Vec<f32>,
    /// The number of outputs of a sample.
    pub width: usize,
    /// What is predicted, in the target's own units: for classes the network's output.
    pub values: Vec<f32>,
    /// The shape of a sample's values.
    pub shape: Vec<usize>,
    /// Whether the network outputs probabilities, as for the loss `bce`, rather than logits.
    pub is_probability: bool,
}

impl Prediction {
    /// The class with the largest output in each row; the first of equal ones. Of a binary task and of several labels
    /// for each output whether the answer is yes.
    pub fn labels(&self) -> Vec<usize> {
        if self.task.is_yes_or_no() {
            let threshold = if self.is_probability { 0.5 } else { 0.0 };
            return self.outputs.iter().map(|&x| usize::from(x > threshold)).collect();
        }
        let best = |row: &[f32]| (0..row.len()).fold(0, |best, k| if row[k] > row[best] { k } else { best });
        self.outputs.chunks_exact(self.width).map(best).collect()
    }
    /// Softmax of each row; of a binary task and of several labels the sigmoid of each output.
    pub fn probabilities(&self) -> Vec<f32> {
        if self.is_probability {
            return self.outputs.clone();
        }
        if self.task.is_yes_or_no() {
            return self.outputs.iter().map(|&x| (1.0 / (1.0 + f64::from(-x).exp())) as f32).collect();
        }
        let rows = self.outputs.chunks_exact(self.width).flat_map(|row| {
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
        let (config_path, model_path) = (path.join(CONFIG), path.join(MODEL));
        for file in [&config_path, &model_path] {
            if !file.is_file() {
                let missing = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                return Err(Error::file(path, format!("is not a run folder: it has no {missing}")));
            }
        }
        let config = Config::from_file(&config_path)?;
        let bytes = std::fs::read(&model_path).map_err(|e| Error::file(&model_path, format!("cannot be read: {e}")))?;
        let plain = || {
            let input = weights::sample_shape(&bytes)
                .ok_or_else(|| Error::file(&model_path, "does not say the shape of a sample"))?;
            Ok::<_, Error>(Preprocessing::of_classes(input))
        };
        let preprocessing = match Preprocessing::read(path)? {
            Some(preprocessing) => preprocessing,
            None => plain()?,
        };
        let model = Model::for_data(&config, &preprocessing, 0)?;
        let mut session = Session::new(device)?;
        weights::load_bytes(&model_path, &bytes, &model.network, &mut session, false)?;
        Ok(Run { config, preprocessing: Arc::new(preprocessing), model, session })
    }

    /// The network and the session that has its parameters.
    pub(crate) fn into_parts(self) -> (Model, Session) {
        (self.model, self.session)
    }

    /// What is done to samples before the network sees them, and the task.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }
    /// The number of values in a sample.
    pub fn features(&self) -> usize {
        self.preprocessing.sample().iter().product()
    }
    /// The number of outputs of the network for a sample.
    pub fn outputs(&self) -> usize {
        self.model.output.iter().product()
    }
    /// The device's name.
    pub fn device_name(&self) -> String {
        self.session.device_name()
    }

    fn objective(&self) -> Objective {
        let task = self.preprocessing.task;
        // Where there are enough classes for it to say something.
        let top_k = self.config.top_k.or((task == Task::Classification && self.outputs() > 10).then_some(5));
        Objective {
            task,
            loss: self.config.loss_for(task),
            output: self.model.output.clone(),
            targets: self.preprocessing.targets.clone(),
            top_k,
        }
    }

    /// The network's predictions for samples, computed in batches.
    pub fn predict(&mut self, samples: &Samples) -> Result<Prediction> {
        if self.preprocessing.task == Task::NextToken {
            return Err(Error::value("predict", "a run of next_token continues sequences: use generate"));
        }
        let features = self.features();
        if samples.features() != features {
            let message = format!("samples have {} numbers, but the network takes {features}", samples.features());
            return Err(Error::value("predict", message));
        }
        let (objective, rows) = (self.objective(), samples.rows());
        let (mut outputs, mut values) = (Vec::new(), Vec::new());
        let input = self.model.input.clone();
        let mut shape = Vec::new();
        let mut start = 0;
        while start < rows {
            let left = rows - start;
            let full = with_fitting_rows(left.min(most_rows(&self.session)), |size| {
                let g = Graph::new();
                let x = g.input("x", [&[size], &input[..]].concat(), DType::F32);
                let x = self.preprocessing.samples.as_ref().map_or(x, |scaling| scaling.apply(x));
                let output = self.model.network.forward(x, Mode::Eval);
                let prediction = objective.prediction(output);
                shape = prediction.shape()[1..].to_vec();
                Ok((self.session.compile(&g, &[output, prediction])?, size))
            });
            let (program, size) = full?;
            while rows - start >= size {
                let chunk = samples.read(start as u32..(start + size) as u32)?;
                let x = Array::new([&[size], &input[..]].concat(), chunk)?;
                let out = self.session.run(&program, &[("x", &x)])?;
                outputs.extend_from_slice(out[0].as_slice::<f32>()?);
                values.extend_from_slice(out[1].as_slice::<f32>()?);
                start += size;
            }
        }
        let is_probability = objective.loss == LossConfig::Bce {};
        let (task, width) = (self.preprocessing.task, self.outputs());
        Ok(Prediction { task, outputs, width, values, shape, is_probability })
    }

    /// The metrics of a set and what they consist of.
    ///
    /// # Errors
    /// [`Error::Value`] if the set does not suit the network; [`Error::Limit`] for too many classes.
    pub fn evaluate(&mut self, split: &Split) -> Result<Evaluated> {
        if split.features() != self.features() {
            let (found, wanted) = (split.features(), self.features());
            return Err(Error::value("data", format!("samples have {found} numbers, but the network takes {wanted}")));
        }
        let objective = self.objective();
        let classes = if objective.task == Task::Classification { self.outputs() } else { 0 };
        if classes > MAX_CONFUSION {
            return Err(Error::Limit {
                what: "a confusion matrix (classes)".into(),
                needed: classes as u64,
                limit: MAX_CONFUSION as u64,
                remedy: "use `predict` and count what you need".into(),
            });
        }
        self.check_targets(split, classes)?;
        let mut set = Set::new("data", split, &self.preprocessing);
        let binding = self.session.gpu_target().map_or(u64::MAX, |target| target.max_binding);
        if set.largest_table() <= binding && !split.x.is_in_file() {
            set.make_resident()?;
        }
        let programs = EvalPrograms::detailed(&mut self.session, &objective, &self.model, &set)?;
        programs.evaluate_in_detail(&mut self.session, &set)
    }

    fn check_targets(&self, split: &Split, classes: usize) -> Result<()> {
        let task = self.preprocessing.task;
        match (&split.y, task) {
            (_, Task::Autoencoder | Task::NextToken) => Ok(()),
            (crate::data::Targets::Classes(labels), Task::Classification) => {
                match labels.iter().enumerate().find(|&(_, &label)| label as usize >= classes) {
                    Some((row, label)) => {
                        let message =
                            format!("the label of sample {row} is {label}, but the network has {classes} classes");
                        Err(Error::value("data", message))
                    }
                    None => Ok(()),
                }
            }
            (crate::data::Targets::Classes(labels), Task::Binary) if labels.iter().all(|&label| label < 2) => Ok(()),
            (crate::data::Targets::Values(values), Task::Regression | Task::Binary | Task::Multilabel)
                if values.features() == self.preprocessing.target.iter().product::<usize>() =>
            {
                Ok(())
            }
            _ => Err(Error::value("data", format!("the targets do not suit the run's task, {task}"))),
        }
    }
}
