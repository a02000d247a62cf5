//! Builds a network from a configuration.

use super::config::Config;
use super::layers::build_layers;
use super::preprocessing::Preprocessing;
use super::task::Task;
use crate::error::{Error, Result};
use crate::nn::{Generator, Module, Sequential};

/// A network with the shape of its samples.
#[derive(Debug)]
pub struct Model {
    /// The layers.
    pub network: Sequential,
    /// The shape of one sample, as the first layer takes it.
    pub input: Vec<usize>,
    /// The shape of the output for one sample.
    pub output: Vec<usize>,
}

impl Model {
    /// Builds the network of `config`, with newly drawn parameters, for data with `classes` classes (0 if the targets
    /// are not classes) that are prepared like this.
    ///
    /// # Errors
    /// [`Error::Config`] if the layers do not fit the samples, or the output does not fit the targets.
    pub fn for_data(config: &Config, preprocessing: &Preprocessing, classes: usize) -> Result<Self> {
        let model = Model::build(config, &preprocessing.input)?;
        let wrong = |message: String| Err(Error::config("model: the last layer", message));
        let (task, output) = (preprocessing.task, &model.output);
        let outputs: usize = output.iter().product();
        match task {
            Task::Classification => match output[..] {
                [outputs] if outputs >= classes.max(1) => {}
                [outputs] => {
                    return wrong(format!("outputs {outputs} numbers per sample, but the data have {classes} classes"));
                }
                _ => {
                    let message = "but must output one number per class; add `flatten`?";
                    return wrong(format!("outputs samples of shape {output:?}, {message}"));
                }
            },
            Task::NextToken => {
                let length: usize = model.input.iter().product();
                let tokens = if classes > 0 { format!("{classes} tokens") } else { "as many numbers as tokens".into() };
                match output[..] {
                    [l, width] if l == length && width >= classes => model.check_embedding(classes)?,
                    _ => {
                        let message = format!("but next_token needs shape [{length}, {tokens}]");
                        return wrong(format!("outputs samples of shape {output:?}, {message}"));
                    }
                }
            }
            Task::Binary if outputs != 1 => {
                return wrong(format!("outputs samples of shape {output:?}, but binary needs one number"));
            }
            Task::Binary => {}
            Task::Regression | Task::Multilabel | Task::Autoencoder => {
                let numbers: usize = preprocessing.target.iter().product();
                let loss = config.loss_for(task);
                let per_target = loss.outputs_per_target();
                if outputs != numbers * per_target {
                    let twice = if per_target == 2 { ", and gaussian_nll needs twice as many" } else { "" };
                    let guessed = config.task.is_none() && task == Task::Regression;
                    let hint =
                        if guessed { " (they are numbers, so the task is regression; `task` sets it)" } else { "" };
                    let target = &preprocessing.target;
                    return wrong(format!(
                        "outputs samples of shape {output:?}, but the targets have shape {target:?}{hint}{twice}"
                    ));
                }
            }
        }
        Ok(model)
    }

    /// Builds the network of `config` for samples of the given shape, with newly drawn parameters.
    pub fn build(config: &Config, sample: &[usize]) -> Result<Self> {
        let features: usize = sample.iter().product();
        let input = config.model.input.clone().unwrap_or_else(|| sample.to_vec());
        let size = input.iter().try_fold(1usize, |a, &b| a.checked_mul(b));
        if size != Some(features) {
            let message = format!("{input:?} does not match the {features} numbers of a sample of shape {sample:?}");
            return Err(Error::config("model.input", message));
        }
        let mut rng = Generator::new(config.seed);
        let wrong = |(place, message): (String, String)| Error::config(format!("model.{place}"), message);
        let (network, output) = build_layers(&config.model.layers, &input, &mut rng).map_err(wrong)?;
        if output.iter().product::<usize>() == 0 {
            let message = format!("outputs samples of shape {output:?}, which have no numbers");
            return Err(Error::config("model: the last layer", message));
        }
        Ok(Model { network, input, output })
    }

    /// Checks that an embedding that takes the tokens has a row for each: an index beyond its rows would be clamped.
    fn check_embedding(&self, tokens: usize) -> Result<()> {
        let Some(first) = self.network.layers().first().filter(|layer| layer.name() == "Embedding") else {
            return Ok(());
        };
        let rows = first.parameters().first().map_or(tokens, |(_, v)| v.tensor_type().shape[0]);
        if rows < tokens {
            let message = format!("has {rows} rows, but the text has {tokens} tokens: set num_embeddings = {tokens}");
            return Err(Error::config("model.layers[0] (embedding)", message));
        }
        Ok(())
    }

    /// The number of parameters.
    pub fn parameter_count(&self) -> usize {
        self.network.parameters().iter().map(|(_, v)| v.tensor_type().shape.elements()).sum()
    }
}
