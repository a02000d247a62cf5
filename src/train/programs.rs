//! The programs of a run: a training step and an evaluation pass. All data stay on the device.

use super::config::{Config, LossConfig};
use super::model::Model;
use crate::array::Array;
use crate::data::Split;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::nn::loss::{self, BceWithLogits, CrossEntropy, MultiMargin, Reduction};
use crate::nn::{Mode, Module};
use crate::optim::{Ema, Optimizer};
use crate::session::{Program, Session};
use crate::tensor::Tensor;
use crate::variable::Variable;

/// The batch size of evaluation on a GPU; it bounds the memory of the activations.
const EVAL_ROWS: usize = 4096;
/// The batch size of evaluation elsewhere: small enough that activations stay in the cache.
const EVAL_ROWS_CPU: usize = 200;

/// The samples and labels of a set, on the device.
#[derive(Debug, Clone)]
pub(super) struct DeviceSplit {
    x: Variable,
    y: Variable,
    pub(super) rows: usize,
}

impl DeviceSplit {
    /// `input` is the shape of a sample as the model takes it.
    pub(super) fn new(name: &str, split: &Split, input: &[usize]) -> Result<Self> {
        let shape = [&[split.rows], input].concat();
        Ok(DeviceSplit {
            x: Variable::new(format!("{name}.x"), Array::new(shape, split.x.clone())?),
            y: Variable::new(format!("{name}.y"), Array::new([split.rows], split.y.clone())?),
            rows: split.rows,
        })
    }
}

impl LossConfig {
    /// The mean loss of `logits` `[n, classes]` against `labels` `[n]`.
    pub(super) fn mean<'g>(&self, logits: Tensor<'g>, labels: Tensor<'g>) -> Tensor<'g> {
        let one_hot = || labels.one_hot(logits.shape()[1]);
        match *self {
            LossConfig::CrossEntropy { label_smoothing } => {
                loss::cross_entropy(logits, labels, CrossEntropy { label_smoothing, ..CrossEntropy::default() })
            }
            LossConfig::Mse {} => loss::mse(logits, one_hot(), Reduction::Mean),
            LossConfig::L1 {} => loss::l1(logits, one_hot(), Reduction::Mean),
            LossConfig::Huber { delta } => loss::huber(logits, one_hot(), delta, Reduction::Mean),
            LossConfig::SmoothL1 { beta } => loss::smooth_l1(logits, one_hot(), beta, Reduction::Mean),
            LossConfig::BceWithLogits {} => loss::bce_with_logits(logits, one_hot(), BceWithLogits::default()),
            LossConfig::MultiMargin { p, margin } => {
                loss::multi_margin_loss(logits, labels, MultiMargin { p, margin, ..MultiMargin::default() })
            }
        }
    }
}

/// The training programs: one for full batches, and one for a smaller last batch.
#[derive(Debug)]
pub(super) struct TrainPrograms {
    full: Program,
    tail: Option<Program>,
    /// The graphs of the two programs, kept for inspection.
    graphs: Vec<Graph>,
    order: Variable,
    /// The running sum, over the epoch's batches, of each batch's mean loss times its fraction of the samples.
    running_loss: Variable,
    rows: usize,
    batch: usize,
}

/// Everything that determines the updates of the parameters.
#[derive(Debug)]
pub(super) struct Moves {
    pub(super) optimizer: Optimizer,
    pub(super) ema: Option<Ema>,
}

impl TrainPrograms {
    /// `rates` holds the learning rate of each epoch, or of each step if `per_step`.
    pub(super) fn new(
        session: &mut Session,
        config: &Config,
        model: &Model,
        moves: &Moves,
        split: &DeviceSplit,
        rates: &Variable,
        per_step: bool,
    ) -> Result<Self> {
        let identity: Vec<u32> = (0..split.rows as u32).collect();
        let order = Variable::new("order", Array::new([split.rows], identity)?);
        let running_loss = Variable::new("running_loss", 0.0f32);
        let batch = config.batch;
        let steps = split.rows.div_ceil(batch);
        let mut graphs = Vec::new();
        let mut program = |first: usize, size: usize| {
            let g = Graph::new();
            // A smaller last batch starts at the fixed position `first`; full batches follow the step index.
            let step = g.step();
            let number = |n: usize| g.scalar(n as f64, DType::U32);
            let epoch = step / number(steps);
            let within = step - epoch * number(steps);
            let positions = if size == batch {
                g.iota([size], 0) + within * number(batch)
            } else {
                g.iota([size], 0) + number(first)
            };
            let rows = g.variable(&order).index_select(0, positions);
            let x = g.variable(&split.x).index_select(0, rows);
            let y = g.variable(&split.y).index_select(0, rows);
            let mean = config.loss.mean(model.network.forward(x, Mode::Train), y);
            let moment = if per_step { step } else { epoch };
            let lr = g.variable(rates).index_select(0, moment.reshape([1])).reshape(());
            let values = moves.optimizer.minimize(mean, lr);
            if let Some(ema) = &moves.ema {
                ema.update(&values, step);
            }
            let before = g.variable(&running_loss);
            let starts = within.eq(g.scalar(0.0, DType::U32));
            g.update(
                &running_loss,
                starts.select(0.0, before) + mean.cast(DType::F32) * (size as f64 / split.rows as f64),
            );
            let compiled = session.compile(&g, &[]);
            graphs.push(g);
            compiled
        };
        let full = program(0, batch)?;
        let rest = split.rows % batch;
        let tail = if rest == 0 { None } else { Some(program(split.rows - rest, rest)?) };
        Ok(TrainPrograms { full, tail, graphs, order, running_loss, rows: split.rows, batch })
    }

    /// Number of samples per epoch.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Number of training steps per epoch.
    pub(super) fn steps(&self) -> u32 {
        self.rows.div_ceil(self.batch) as u32
    }

    /// Starts an epoch over the samples in `order`, or in the previous epoch's order.
    pub(super) fn begin(&self, session: &mut Session, order: Option<Vec<u32>>) -> Result<()> {
        match order {
            Some(order) => session.write(&self.order, &Array::new([self.rows], order)?),
            None => Ok(()),
        }
    }

    /// Runs the steps of epoch `epoch` (counted from 0), except for the first `done`, which have already run. Returns
    /// the mean training loss over all samples of the epoch, each computed before its batch's update.
    pub(super) fn finish(&self, session: &mut Session, epoch: u32, done: u32) -> Result<f64> {
        let first = epoch * self.steps();
        let full = (self.rows / self.batch) as u32;
        session.set_step(&self.full, first + done)?;
        session.run_steps(&self.full, &[], full.saturating_sub(done))?;
        if let Some(tail) = &self.tail {
            session.set_step(tail, first + full)?;
            session.run_steps(tail, &[], 1)?;
        }
        session.read(&self.running_loss)?.item()
    }

    /// Whether a step has the smaller last batch.
    fn is_tail(&self, step: u32) -> bool {
        self.tail.is_some() && step % self.steps() == self.steps() - 1
    }

    /// The graph of the step with this index.
    pub(super) fn graph(&self, step: u32) -> Graph {
        self.graphs[usize::from(self.is_tail(step))].clone()
    }

    /// Runs the step with this index.
    pub(super) fn run_step(&self, session: &mut Session, step: u32) -> Result<()> {
        let program = self.tail.as_ref().filter(|_| self.is_tail(step)).unwrap_or(&self.full);
        session.set_step(program, step)?;
        session.run_steps(program, &[], 1)
    }

    /// Number of dispatches of a full step; `None` on the reference.
    pub(super) fn launches(&self, session: &Session) -> Option<usize> {
        session.plan(&self.full).map(crate::plan::Plan::launch_count)
    }

    /// The program of a full step.
    pub(super) fn program(&self) -> &Program {
        &self.full
    }
}

/// The programs of a pass over a whole set.
#[derive(Debug)]
pub(super) struct EvalPrograms {
    chunk: Program,
    chunks: u32,
    tail: Option<Program>,
    totals: Variable,
    rows: usize,
}

impl EvalPrograms {
    pub(super) fn new(session: &mut Session, loss: &LossConfig, model: &Model, split: &DeviceSplit) -> Result<Self> {
        let totals = Variable::new("totals", Array::from([0f32, 0.0]));
        let most = if session.gpu_target().is_some() { EVAL_ROWS } else { EVAL_ROWS_CPU };
        let size = split.rows.min(most);
        let (chunks, rest) = (split.rows / size, split.rows % size);
        let mut program = |size: usize, is_tail: bool| {
            let g = Graph::new();
            let (x, y) = (g.variable(&split.x), g.variable(&split.y));
            let (x, y) = if size == split.rows {
                (x, y)
            } else if is_tail {
                (x.slice(0, split.rows - size..split.rows), y.slice(0, split.rows - size..split.rows))
            } else {
                let rows = g.iota([size], 0) + g.step() * g.scalar(size as f64, DType::U32);
                (x.index_select(0, rows), y.index_select(0, rows))
            };
            let logits = model.network.forward(x, Mode::Eval);
            let total = loss.mean(logits, y) * size as f64;
            let right = logits.argmax(1).eq(y).cast(DType::F32).sum(..);
            let found = total.reshape([1]).concat(&[right.reshape([1])], 0);
            let before = g.variable(&totals);
            let before = if is_tail { before } else { g.step().eq(g.scalar(0.0, DType::U32)).select(0.0, before) };
            g.update(&totals, before + found);
            session.compile(&g, &[])
        };
        let chunk = program(size, false)?;
        let tail = if rest == 0 { None } else { Some(program(rest, true)?) };
        Ok(EvalPrograms { chunk, chunks: chunks as u32, tail, totals, rows: split.rows })
    }

    /// The mean loss, and the percentage of misclassified samples.
    pub(super) fn evaluate(&self, session: &mut Session, set: &str) -> Result<(f64, f64)> {
        session.set_step(&self.chunk, 0)?;
        session.run_steps(&self.chunk, &[], self.chunks)?;
        if let Some(tail) = &self.tail {
            session.run_steps(tail, &[], 1)?;
        }
        let totals = session.read(&self.totals)?.to_f64();
        let loss = totals[0] / self.rows as f64;
        if !loss.is_finite() {
            return Err(Error::NotFinite(format!(
                "the {set} loss is {loss}: training has diverged. A smaller learning rate, a warm-up or another \
                 initialisation may help"
            )));
        }
        let wrong = self.rows as f64 - totals[1];
        Ok((loss, 100.0 * wrong / self.rows as f64))
    }
}
