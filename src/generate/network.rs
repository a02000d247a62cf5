//! A network as a language model.

use super::LanguageModel;
use crate::array::Array;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::nn::{Decoding, Mode, Module, Sequential};
use crate::session::{Program, Session};
use crate::train::{Run, Task};

/// A network from tokens `[n, length]` to logits `[n, length, vocabulary]`, on a device.
///
/// If every layer can be evaluated one position at a time ([`Module::decode`]), a run computes one position, with the keys and
/// values of the earlier ones kept on the device. Otherwise, or if asked for, each run computes all positions. When a sequence
/// grows beyond the network's length, its last half is kept as the beginning.
#[derive(Debug)]
pub struct NetworkModel {
    network: Sequential,
    session: Session,
    length: usize,
    input: Vec<usize>,
    vocabulary: usize,
    by_position: bool,
    program: Option<(usize, Program)>,
    /// Of each sequence the tokens that the network sees.
    windows: Vec<Vec<u32>>,
}

impl NetworkModel {
    /// A network that takes sequences of `length` tokens; `session` has its parameters. Logits beyond `vocabulary` tokens are
    /// left out.
    pub fn new(network: Sequential, session: Session, length: usize, vocabulary: usize) -> Self {
        let by_position = network.can_decode();
        let (program, windows, input) = (None, Vec::new(), vec![length]);
        NetworkModel { network, session, length: length.max(1), input, vocabulary, by_position, program, windows }
    }

    /// The network of a run that was trained to predict the next token.
    ///
    /// # Errors
    /// [`Error::Value`] if the run has another task.
    pub fn of_run(run: Run) -> Result<Self> {
        let preprocessing = run.preprocessing().clone();
        if preprocessing.task != Task::NextToken {
            let message =
                format!("the run's task is {}, but only runs of next_token can be continued", preprocessing.task);
            return Err(Error::value("generate", message));
        }
        let (model, session) = run.into_parts();
        let outputs = model.output.last().copied().unwrap_or_default();
        let vocabulary = preprocessing.vocabulary.map_or(outputs, |v| v.len().min(outputs));
        let mut own = NetworkModel::new(model.network, session, model.input.iter().product(), vocabulary);
        own.by_position &= model.input.len() == 1;
        own.input = model.input;
        Ok(own)
    }

    /// Computes all positions in each run, without keeping anything: slower, for comparison.
    #[must_use]
    pub fn without_cache(mut self) -> Self {
        self.by_position = false;
        self
    }

    /// Whether a run computes one position only.
    pub fn has_cache(&self) -> bool {
        self.by_position
    }

    /// The number of tokens that the network sees.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The device's name.
    pub fn device_name(&self) -> String {
        self.session.device_name()
    }

    fn compile(&mut self, rows: usize) -> Result<Program> {
        let g = Graph::new();
        let logits = if self.by_position {
            let x = g.input("x", [rows, 1], DType::F32);
            self.network.decode(x, &Decoding::new(&g, rows, self.length))
        } else {
            let x = g.input("x", [&[rows], &self.input[..]].concat(), DType::F32);
            let all = self.network.forward(x, Mode::Eval);
            all.index_select(1, g.input("last", [1], DType::U32))
        };
        g.check()?;
        let shape = logits.shape();
        if shape.rank() != 3 || shape[0] != rows || shape[1] != 1 || shape[2] < self.vocabulary {
            let message = format!(
                "the network outputs {shape} for a position of {rows} sequences, but must output [{rows}, 1, {}]",
                self.vocabulary
            );
            return Err(Error::value("generate", message));
        }
        self.session.compile(&g, &[logits.slice(2, 0..self.vocabulary).reshape([rows, self.vocabulary])])
    }

    fn run(&mut self, inputs: &[(&str, &Array)]) -> Result<Vec<f32>> {
        let Some((_, program)) = &self.program else {
            return Err(Error::value("generate", "advance was called before start"));
        };
        // A network without attention and positions does not need all of them.
        let known = |name: &str| program.inputs().iter().any(|(own, _)| own == name);
        let inputs: Vec<(&str, &Array)> = inputs.iter().copied().filter(|(name, _)| known(name)).collect();
        let outputs = self.session.run(program, &inputs)?;
        let logits = outputs.first().ok_or_else(|| Error::Internal("a program without outputs".into()))?;
        Ok(logits.as_slice::<f32>()?.to_vec())
    }

    /// Runs one position: the tokens of all sequences there.
    fn step(&mut self, position: usize, parents: &[u32]) -> Result<Vec<f32>> {
        let rows = parents.len();
        let tokens: Vec<f32> = self.windows.iter().map(|window| window[position] as f32).collect();
        let x = Array::new([rows, 1], tokens)?;
        let (position, parents) = (Array::scalar(position as u32), Array::new([rows], parents.to_vec())?);
        self.run(&[("x", &x), ("position", &position), ("parents", &parents)])
    }
}

impl LanguageModel for NetworkModel {
    fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    fn start(&mut self, rows: usize) -> Result<()> {
        if self.program.as_ref().is_none_or(|(compiled, _)| *compiled != rows) {
            self.program = Some((rows, self.compile(rows)?));
        }
        self.windows = vec![Vec::new(); rows];
        Ok(())
    }

    fn advance(&mut self, parents: &[u32], tokens: &[u32]) -> Result<Vec<f32>> {
        let rows = self.windows.len();
        if parents.len() != rows || tokens.len() != rows || parents.iter().any(|&p| p as usize >= rows) {
            let message = format!("{} parents and {} tokens do not suit {rows} sequences", parents.len(), tokens.len());
            return Err(Error::value("generate", message));
        }
        let grown = parents.iter().zip(tokens).map(|(&parent, &token)| {
            let mut window = self.windows[parent as usize].clone();
            window.push(token);
            window
        });
        self.windows = grown.collect();
        let seen = self.windows.first().map_or(0, Vec::len);
        if seen > self.length {
            let kept = (self.length / 2).max(1);
            self.windows.iter_mut().for_each(|window| drop(window.drain(..seen - kept)));
            if self.by_position {
                // What was kept stands at other positions now, so all of it is computed again.
                let own: Vec<u32> = (0..rows as u32).collect();
                let mut logits = Vec::new();
                for position in 0..kept {
                    logits = self.step(position, &own)?;
                }
                return Ok(logits);
            }
        }
        let position = self.windows.first().map_or(0, Vec::len).saturating_sub(1);
        if self.by_position {
            return self.step(position, parents);
        }
        // What follows the last token is not seen from before it, so its value does not matter.
        let mut all = Vec::with_capacity(rows * self.length);
        for window in &self.windows {
            all.extend(window.iter().map(|&token| token as f32));
            all.resize(all.len() + self.length - window.len(), 0.0);
        }
        let x = Array::new([&[rows], &self.input[..]].concat(), all)?;
        self.run(&[("x", &x), ("last", &Array::new([1], vec![position as u32])?)])
    }
}
