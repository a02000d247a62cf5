//! Builds a network from a configuration.

use super::config::Config;
use super::layers::build_layers;
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::nn::{Generator, Module, Sequential};

/// A network with the shape of its samples.
#[derive(Debug)]
pub struct Model {
    /// The layers.
    pub network: Sequential,
    /// The shape of one sample, as the first layer takes it.
    pub input: Vec<usize>,
    /// The number of classes: the size of the output.
    pub classes: usize,
}

impl Model {
    /// Builds the network of `config` for samples and classes like those of `data`, with newly drawn parameters.
    pub fn for_data(config: &Config, data: &Dataset) -> Result<Self> {
        let model = Model::build(config, &data.train.sample_shape)?;
        if model.classes < data.classes {
            let message =
                format!("outputs {} numbers per sample, but the data have {} classes", model.classes, data.classes);
            return Err(Error::config("model: the last layer", message));
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
        let (network, shape) = build_layers(&config.model.layers, &input, &mut rng).map_err(wrong)?;
        match shape[..] {
            [classes] if classes > 0 => Ok(Model { network, input, classes }),
            _ => {
                let message =
                    format!("outputs samples of shape {shape:?}, but must output one number per class; add `flatten`?");
                Err(Error::config("model: the last layer", message))
            }
        }
    }

    /// The number of parameters.
    pub fn parameter_count(&self) -> usize {
        self.network.parameters().iter().map(|(_, v)| v.tensor_type().shape.elements()).sum()
    }
}
