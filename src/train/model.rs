//! From a configuration to a network.

use super::config::Config;
use super::layers::build_layers;
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::nn::{Generator, Module, Sequential};

/// A network with the shapes of its samples.
#[derive(Debug)]
pub struct Model {
    /// The layers.
    pub network: Sequential,
    /// The shape of one sample as the first layer sees it.
    pub input: Vec<usize>,
    /// Classes it tells apart: the size of its output.
    pub classes: usize,
}

impl Model {
    /// Builds the network of `config` for samples and classes like those of `data`, with fresh parameters.
    pub fn for_data(config: &Config, data: &Dataset) -> Result<Self> {
        let model = Model::build(config, &data.train.sample_shape)?;
        if model.classes < data.classes {
            let message =
                format!("gives {} numbers a sample, but the data have {} classes", model.classes, data.classes);
            return Err(Error::config("model: the last layer", message));
        }
        Ok(model)
    }

    /// Builds the network of `config` for samples of the given shape, with fresh parameters.
    pub fn build(config: &Config, sample: &[usize]) -> Result<Self> {
        let features: usize = sample.iter().product();
        let input = config.model.input.clone().unwrap_or_else(|| sample.to_vec());
        let product = input.iter().try_fold(1usize, |a, &b| a.checked_mul(b));
        if product != Some(features) {
            let message = format!("{input:?} does not hold the {features} numbers of a sample of shape {sample:?}");
            return Err(Error::config("model.input", message));
        }
        let mut rng = Generator::new(config.seed);
        let wrong = |(place, message): (String, String)| Error::config(format!("model.{place}"), message);
        let (network, shape) = build_layers(&config.model.layers, &input, &mut rng).map_err(wrong)?;
        match shape[..] {
            [classes] if classes > 0 => Ok(Model { network, input, classes }),
            _ => {
                let message =
                    format!("gives samples of shape {shape:?}, but must give one number a class; add `flatten`?");
                Err(Error::config("model: the last layer", message))
            }
        }
    }

    /// The number of parameters.
    pub fn parameter_count(&self) -> usize {
        self.network.parameters().iter().map(|(_, v)| v.tensor_type().shape.elements()).sum()
    }
}
