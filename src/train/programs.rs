//! The programs of training steps.

use super::config::Config;
use super::model::Model;
use super::objective::Objective;
use super::sets::{Rows, Set, Tables};
use crate::array::Array;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::nn::{Mode, Module};
use crate::optim::{Ema, Optimizer};
use crate::session::{Program, Session};
use crate::tensor::Tensor;
use crate::variable::Variable;
use std::ops::Range;

/// Everything that determines the updates of the parameters.
#[derive(Debug)]
pub(super) struct Moves {
    pub(super) optimizer: Optimizer,
    pub(super) ema: Option<Ema>,
    /// The sums of the gradients of earlier steps of a group, if gradients are accumulated.
    pub(super) gradients: Vec<Variable>,
}

/// What all training programs share.
pub(super) struct Parts<'a> {
    pub(super) config: &'a Config,
    pub(super) model: &'a Model,
    pub(super) objective: &'a Objective,
    pub(super) moves: &'a Moves,
    pub(super) set: &'a Set,
    /// The learning rate of each epoch, or of each update if `per_step`.
    pub(super) rates: &'a Variable,
    pub(super) per_step: bool,
}

/// A training step's program, with its graph kept for inspection.
#[derive(Debug)]
struct StepProgram {
    program: Program,
    graph: Graph,
}

/// The training programs. A step computes the gradients of a batch. With `accumulate = 1` it updates the parameters;
/// otherwise the last step of each group of `accumulate` does, and the others add their gradients up.
#[derive(Debug)]
pub(super) struct TrainPrograms {
    /// A full batch, with an update.
    full: StepProgram,
    /// A full batch without an update.
    gradients: Option<StepProgram>,
    /// A smaller last batch, with an update.
    tail: Option<StepProgram>,
    set: Set,
    /// The window of a streamed set, and the number of batches it holds.
    window: Option<(Tables, usize)>,
    /// The window that is on the device now.
    loaded: Option<usize>,
    /// The order of the epoch's samples on the device, for a resident set.
    order: Variable,
    /// The same on the host, for a streamed set.
    host_order: Vec<u32>,
    /// The running sum, over the epoch's batches, of each batch's mean loss times its fraction of the samples.
    running_loss: Variable,
    rows: usize,
    batch: usize,
    accumulate: u32,
}

impl TrainPrograms {
    pub(super) fn new(session: &mut Session, parts: &Parts<'_>) -> Result<Self> {
        let Parts { config, set, .. } = parts;
        let (rows, batch) = (set.rows(), config.batch);
        let identity: Vec<u32> = (0..rows as u32).collect();
        let window = match set.resident() {
            Some(_) => None,
            None => {
                let batches = set.batches_per_window(batch);
                Some((set.window(batches * batch)?, batches))
            }
        };
        let order = Variable::new("order", Array::new([rows], identity.clone())?);
        let running_loss = Variable::new("running_loss", 0.0f32);
        let builder = Builder { parts, window: window.as_ref(), order: &order, running_loss: &running_loss };
        let mut compile = |size: usize, update: bool| {
            let graph = Graph::new();
            builder.step(&graph, size, update);
            let program = session.compile(&graph, &[])?;
            Ok::<_, Error>(StepProgram { program, graph })
        };
        let full = compile(batch, true)?;
        let gradients = if config.accumulate > 1 { Some(compile(batch, false)?) } else { None };
        let rest = rows % batch;
        let tail = if rest == 0 { None } else { Some(compile(rest, true)?) };
        let host_order = if window.is_some() { identity } else { Vec::new() };
        Ok(TrainPrograms {
            full,
            gradients,
            tail,
            set: (*set).clone(),
            window,
            loaded: None,
            order,
            host_order,
            running_loss,
            rows,
            batch,
            accumulate: config.accumulate,
        })
    }

    /// Number of samples per epoch.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Number of training steps per epoch.
    pub(super) fn steps(&self) -> u32 {
        self.rows.div_ceil(self.batch) as u32
    }

    /// The running loss of the current epoch, on the device.
    pub(super) fn running_loss(&self) -> &Variable {
        &self.running_loss
    }

    /// Starts an epoch over the samples in `order`, or in the previous epoch's order.
    pub(super) fn begin(&mut self, session: &mut Session, order: Option<Vec<u32>>) -> Result<()> {
        let Some(order) = order else { return Ok(()) };
        if self.window.is_some() {
            (self.host_order, self.loaded) = (order, None);
            return Ok(());
        }
        session.write(&self.order, &Array::new([self.rows], order)?)
    }

    /// Runs the steps `within` (counted from the epoch's first) of epoch `epoch` (counted from 0).
    pub(super) fn run(&mut self, session: &mut Session, epoch: u32, within: Range<u32>) -> Result<()> {
        let first = epoch * self.steps();
        let Some((tables, batches)) = &self.window else {
            return self.run_steps(session, first, within);
        };
        if within.is_empty() {
            return Ok(());
        }
        let of_step = |step: u32| step as usize / batches;
        let (start, end) = (of_step(within.start), of_step(within.end - 1) + 1);
        let steps_of = |window: usize| {
            let all = (window * batches) as u32..((window + 1) * batches) as u32;
            all.start.max(within.start)..all.end.min(within.end)
        };
        let start = if self.loaded == Some(start) {
            self.run_steps(session, first, steps_of(start))?;
            start + 1
        } else {
            start
        };
        let rows_of = |window: usize| {
            let rows = batches * self.batch;
            let mut chosen: Vec<u32> = self.host_order.iter().skip(window * rows).take(rows).copied().collect();
            // The last window is filled up; no step reads what is added.
            let last = chosen.last().copied().unwrap_or(0);
            chosen.resize(rows, last);
            chosen
        };
        self.set.stream(session, tables, start..end, rows_of, |session, window| {
            self.run_steps(session, first, steps_of(window))
        })?;
        self.loaded = Some(end - 1);
        Ok(())
    }

    /// Runs steps whose rows are on the device. `first` is the index of the epoch's first step.
    fn run_steps(&self, session: &mut Session, first: u32, within: Range<u32>) -> Result<()> {
        let mut next = within.start;
        while next < within.end {
            // As many steps of the same program as follow each other.
            let program = self.of_step(next);
            let same = (next..within.end).take_while(|&step| std::ptr::eq(self.of_step(step), program)).count() as u32;
            session.set_step(&program.program, first + next)?;
            session.run_steps(&program.program, &[], same)?;
            next += same;
        }
        Ok(())
    }

    /// The program of a step, counted from its epoch's first.
    fn of_step(&self, within: u32) -> &StepProgram {
        let last = within == self.steps() - 1;
        match (&self.tail, &self.gradients) {
            (Some(tail), _) if last => tail,
            (_, Some(gradients)) if !last && within % self.accumulate != self.accumulate - 1 => gradients,
            _ => &self.full,
        }
    }

    /// The graph of the step with this index.
    pub(super) fn graph(&self, step: u32) -> Graph {
        self.of_step(step % self.steps()).graph.clone()
    }

    /// Runs the step with this index.
    pub(super) fn run_step(&mut self, session: &mut Session, step: u32) -> Result<()> {
        let within = step % self.steps();
        self.run(session, step / self.steps(), within..within + 1)
    }

    /// Number of dispatches of a full step; `None` on the reference.
    pub(super) fn launches(&self, session: &Session) -> Option<usize> {
        session.plan(&self.full.program).map(crate::plan::Plan::launch_count)
    }

    /// The program of a full step.
    pub(super) fn program(&self) -> &Program {
        &self.full.program
    }
}

/// Builds the graphs of training steps.
struct Builder<'a> {
    parts: &'a Parts<'a>,
    window: Option<&'a (Tables, usize)>,
    order: &'a Variable,
    running_loss: &'a Variable,
}

impl Builder<'_> {
    /// Adds a step of `size` samples to the graph.
    fn step(&self, g: &Graph, size: usize, update: bool) {
        let Parts { config, model, objective, moves, set, rates, per_step } = self.parts;
        let (rows, batch) = (set.rows(), config.batch);
        let steps = rows.div_ceil(batch);
        // A smaller last batch starts at a fixed position; full batches follow the step index.
        let step = g.step();
        let number = |n: usize| g.scalar(n as f64, DType::U32);
        let epoch = step / number(steps);
        let within = step - epoch * number(steps);
        let (x, y) = match (set.resident(), self.window) {
            (Some(tables), _) => {
                let positions = if size == batch {
                    g.iota([size], 0) + within * number(batch)
                } else {
                    g.iota([size], 0) + number(rows - size)
                };
                let chosen = g.variable(self.order).index_select(0, positions);
                set.batch(g, tables, &Rows::At(chosen), &model.output)
            }
            (None, Some((tables, batches))) => {
                let chosen = if size == batch {
                    let in_window = within - within / number(*batches) * number(*batches);
                    g.iota([size], 0) + in_window * number(batch)
                } else {
                    g.iota([size], 0) + number((steps - 1) % batches * batch)
                };
                set.batch(g, tables, &Rows::At(chosen), &model.output)
            }
            (None, None) => {
                g.fail("training step", "its set is neither resident nor streamed");
                return;
            }
        };
        // Targets that are the samples themselves stay as they are: the network learns to undo the changes.
        let x = config.data.augment.map_or(x, |augment| augment.apply(x));
        let mean = objective.mean(model.network.forward(x, Mode::Train), y);
        let accumulate = config.accumulate as usize;
        let updates = steps.div_ceil(accumulate);
        let done = if accumulate == 1 { step } else { epoch * number(updates) + within / number(accumulate) };
        let moment = if *per_step { done } else { epoch };
        let lr = g.variable(rates).index_select(0, moment.reshape([1])).reshape(());
        let values = if accumulate == 1 {
            moves.optimizer.minimize(mean, lr)
        } else {
            let sums = self.accumulated(g, mean, size, within);
            if update {
                moves.optimizer.apply(&sums, lr, done)
            } else {
                for (variable, &sum) in moves.gradients.iter().zip(&sums) {
                    g.update(variable, sum);
                }
                Vec::new()
            }
        };
        if let Some(ema) = moves.ema.as_ref().filter(|_| update) {
            ema.update(&values, done);
        }
        let before = g.variable(self.running_loss);
        let starts = within.eq(g.scalar(0.0, DType::U32));
        g.update(self.running_loss, starts.select(0.0, before) + mean.cast(DType::F32) * (size as f64 / rows as f64));
    }

    /// The gradients of this step's part of its group's mean loss, added to those of the group's earlier steps.
    fn accumulated<'g>(&self, g: &'g Graph, mean: Tensor<'g>, size: usize, within: Tensor<'g>) -> Vec<Tensor<'g>> {
        let Parts { config, moves, set, .. } = self.parts;
        let number = |n: usize| g.scalar(n as f64, DType::U32);
        let accumulate = config.accumulate as usize;
        let most = accumulate * config.batch;
        // An epoch's last group may have fewer samples.
        let group = within / number(accumulate);
        let group_rows = (number(set.rows()) - group * number(most)).minimum(number(most));
        let share = g.scalar(size as f64, DType::F32) / group_rows.cast(DType::F32);
        let starts = within.eq(group * number(accumulate));
        let parameters: Vec<Tensor<'g>> = moves.optimizer.parameters().map(|(_, v)| g.variable(v)).collect();
        let gradients = mean.grad(&parameters);
        let added = moves.gradients.iter().zip(gradients).map(|(variable, gradient)| {
            starts.select(g.scalar(0.0, gradient.dtype()).broadcast_to(gradient.shape()), g.variable(variable))
                + gradient * share.cast(gradient.dtype())
        });
        added.collect()
    }
}
