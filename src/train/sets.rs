//! The sets of a run on the device: whole, or a window of rows at a time.
//!
//! A program gathers a batch from tables on the device. A resident set's tables hold all rows; a streamed set's hold a
//! window, which the host fills before the steps that read it. The values gathered are the same, so a step's bits are
//! too.

use super::preprocessing::{Preprocessing, Scaling};
use super::task::Task;
use crate::array::Array;
use crate::data::{Samples, Split, Targets};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::session::Session;
use crate::shape::Shape;
use crate::tensor::Tensor;
use crate::variable::Variable;
use std::sync::Arc;

/// The bytes of a window on the device, if a batch is not larger.
const WINDOW_BYTES: u64 = 16 << 20;

/// A set: where its rows come from and how they look on the device.
#[derive(Debug, Clone)]
pub(super) struct Set {
    /// The name of its variables.
    name: &'static str,
    split: Split,
    preprocessing: Arc<Preprocessing>,
    /// The tables of a resident set.
    resident: Option<Tables>,
}

/// The variables that programs gather rows from.
#[derive(Debug, Clone)]
pub(super) struct Tables {
    x: Variable,
    /// Absent if the targets are the samples.
    y: Option<Variable>,
}

/// Which rows of its tables a program takes.
pub(super) enum Rows<'g> {
    All,
    From(usize, usize),
    At(Tensor<'g>),
}

/// Rows of a set in the form of its tables.
pub(super) struct Filled {
    x: Array,
    y: Option<Array>,
}

/// A table of samples: `[rows, …]` as f32, or words of four bytes, `[rows, words]`. Byte k of word w is feature
/// `k·words + w`, so that unpacking a word's bytes needs no division of indices.
fn table(samples: &Samples, rows: impl ExactSizeIterator<Item = u32>, shape: &[usize]) -> Result<Array> {
    let count = rows.len();
    if !samples.is_u8() {
        return Array::new([&[count], shape].concat(), samples.read(rows)?);
    }
    let (bytes, words) = (samples.read_bytes(rows, 4)?, words_of(samples));
    let mut packed = Vec::with_capacity(count * words);
    for row in bytes.chunks_exact(4 * words) {
        packed.extend(
            (0..words).map(|w| u32::from_le_bytes([row[w], row[words + w], row[2 * words + w], row[3 * words + w]])),
        );
    }
    Array::new([count, words], packed)
}

fn words_of(samples: &Samples) -> usize {
    samples.features().div_ceil(4)
}

/// The values of some rows of a table, scaled, `[n, …]`.
fn gather<'g>(
    g: &'g Graph,
    variable: &Variable,
    samples: &Samples,
    rows: &Rows<'g>,
    shape: &[usize],
    scaling: Option<&Scaling>,
) -> Tensor<'g> {
    let table = g.variable(variable);
    let chosen = match rows {
        Rows::All => table,
        Rows::From(first, count) => table.slice(0, *first..first + count),
        Rows::At(index) => table.index_select(0, *index),
    };
    if !samples.is_u8() {
        return scaling.map_or(chosen, |scaling| scaling.apply(chosen));
    }
    let (count, features, words) = (chosen.shape()[0], samples.features(), words_of(samples));
    // Moved to the top of its word, a byte is the word divided by 2^24.
    let moves = g.constant([1u32 << 24, 1 << 16, 1 << 8, 1]).reshape([1, 4, 1]);
    let top = g.scalar(f64::from(1 << 24), DType::U32);
    let bytes = (chosen.reshape([count, 1, words]).broadcast_to([count, 4, words]) * moves / top).cast(DType::F32);
    let scaled = scaling.map_or(bytes, |scaling| scaling.apply_to_each(bytes, features));
    let flat = scaled.reshape([count, 4 * words]);
    let flat = if features < 4 * words { flat.slice(1, 0..features) } else { flat };
    flat.reshape([&[count], shape].concat())
}

impl Set {
    pub(super) fn new(name: &'static str, split: &Split, preprocessing: &Arc<Preprocessing>) -> Self {
        Set { name, split: split.clone(), preprocessing: preprocessing.clone(), resident: None }
    }

    /// The number of samples.
    pub(super) fn rows(&self) -> usize {
        self.split.rows()
    }

    /// Whether its samples are in a file that is too large to be read as a whole.
    pub(super) fn is_in_file(&self) -> bool {
        self.split.x.is_in_file()
    }

    /// The bytes of the whole set on a device.
    pub(super) fn bytes(&self) -> u64 {
        let (x, y) = self.table_bytes();
        x + y
    }

    fn table_bytes(&self) -> (u64, u64) {
        let rows = self.rows() as u64;
        let y = match &self.split.y {
            _ if self.preprocessing.task.samples_are_targets() => 0,
            Targets::Classes(_) => 4 * rows,
            Targets::Values(values) => values.device_bytes(),
            Targets::None => 0,
        };
        (self.split.x.device_bytes(), y)
    }

    /// The largest single table of the whole set, in bytes.
    pub(super) fn largest_table(&self) -> u64 {
        let (x, y) = self.table_bytes();
        x.max(y)
    }

    /// Keeps the whole set on the device.
    pub(super) fn make_resident(&mut self) -> Result<()> {
        let all = self.fill(0..self.rows() as u32)?;
        self.resident = Some(self.tables_from(all));
        Ok(())
    }

    /// The tables of a resident set.
    pub(super) fn resident(&self) -> Option<&Tables> {
        self.resident.as_ref()
    }

    /// Tables for windows of `rows` rows. Their contents are those of the set's first rows.
    pub(super) fn window(&self, rows: usize) -> Result<Tables> {
        let first = self.fill((0..rows as u32).map(|row| row % self.rows() as u32))?;
        Ok(self.tables_from(first))
    }

    fn tables_from(&self, filled: Filled) -> Tables {
        let Filled { x, y } = filled;
        let named = |part: &str, value: Array| Variable::new(format!("{}.{part}", self.name), value);
        Tables { x: named("x", x), y: y.map(|y| named("y", y)) }
    }

    /// The number of batches of `batch` rows in a window.
    pub(super) fn batches_per_window(&self, batch: usize) -> usize {
        let row = (self.bytes() / self.rows() as u64).max(1);
        let batches = WINDOW_BYTES / (row * batch as u64).max(1);
        (batches as usize).clamp(1, self.rows().div_ceil(batch))
    }

    /// These rows, in the form of the tables.
    pub(super) fn fill(&self, rows: impl ExactSizeIterator<Item = u32> + Clone) -> Result<Filled> {
        let x = table(&self.split.x, rows.clone(), &self.preprocessing.sample())?;
        let y = match &self.split.y {
            _ if self.preprocessing.task.samples_are_targets() => None,
            Targets::Classes(labels) => {
                let labels: Vec<u32> = rows.map(|row| labels[row as usize]).collect();
                Some(Array::new([labels.len()], labels)?)
            }
            Targets::Values(values) => Some(table(values, rows, values.shape())?),
            Targets::None => return Err(Error::Internal("a set without targets".into())),
        };
        Ok(Filled { x, y })
    }

    /// Writes rows to tables of as many rows.
    pub(super) fn write(&self, session: &mut Session, tables: &Tables, filled: &Filled) -> Result<()> {
        session.write(&tables.x, &filled.x)?;
        match (&tables.y, &filled.y) {
            (Some(variable), Some(value)) => session.write(variable, value),
            _ => Ok(()),
        }
    }

    /// Calls `run` with each of `windows` (their numbers) after its rows were written to `tables`. The rows of a window,
    /// given by `rows`, are prepared on another thread while the device computes.
    pub(super) fn stream(
        &self,
        session: &mut Session,
        tables: &Tables,
        windows: std::ops::Range<usize>,
        rows: impl Fn(usize) -> Vec<u32> + Sync,
        mut run: impl FnMut(&mut Session, usize) -> Result<()>,
    ) -> Result<()> {
        // One window waits in the channel while the next is prepared.
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        std::thread::scope(|scope| {
            let (windows_ahead, rows) = (windows.clone(), &rows);
            let producer = move || {
                for window in windows_ahead {
                    let filled = self.fill(rows(window).into_iter());
                    let failed = filled.is_err();
                    // The receiver is gone if the run failed; its error is reported.
                    if sender.send(filled).is_err() || failed {
                        return;
                    }
                }
            };
            let thread = std::thread::Builder::new().name("wgrad-batches".into()).spawn_scoped(scope, producer);
            thread.map_err(|e| Error::Internal(format!("could not start the thread that prepares batches: {e}")))?;
            for window in windows {
                let filled =
                    receiver.recv().map_err(|_| Error::Internal("the batches' thread ended early".into()))??;
                self.write(session, tables, &filled)?;
                run(session, window)?;
            }
            Ok(())
        })
    }

    /// The samples as the network takes them and the targets as the loss takes them, of some rows of the tables.
    /// `output` is the shape of the network's output for a sample.
    pub(super) fn batch<'g>(
        &self,
        g: &'g Graph,
        tables: &Tables,
        rows: &Rows<'g>,
        output: &[usize],
    ) -> (Tensor<'g>, Tensor<'g>) {
        let p = &*self.preprocessing;
        let x = gather(g, &tables.x, &self.split.x, rows, &p.sample(), p.samples.as_ref());
        if p.task == Task::NextToken {
            let (count, length) = (x.shape()[0], x.shape()[1] - 1);
            let seen = x.slice(1, 0..length).reshape([&[count], &p.input[..]].concat());
            return (seen, x.slice(1, 1..length + 1).cast(DType::U32));
        }
        let y = match (&self.split.y, &tables.y) {
            (Targets::Values(values), Some(y)) => {
                shaped(gather(g, y, values, rows, values.shape(), p.targets.as_ref()), output)
            }
            (_, Some(y)) => {
                let labels = g.variable(y);
                let labels = match rows {
                    Rows::All => labels,
                    Rows::From(first, count) => labels.slice(0, *first..first + count),
                    Rows::At(index) => labels.index_select(0, *index),
                };
                if p.task == Task::Binary { shaped(labels.cast(DType::F32), output) } else { labels }
            }
            (_, None) => shaped(x, output),
        };
        (x, y)
    }

    /// The targets in their own units, `[rows, numbers]`; of classes, the class.
    pub(super) fn target_values(&self) -> Result<Vec<f32>> {
        match &self.split.y {
            _ if self.preprocessing.task.samples_are_targets() => self.split.x.to_f32(),
            Targets::Classes(labels) => Ok(labels.iter().map(|&label| label as f32).collect()),
            Targets::Values(values) => values.to_f32(),
            Targets::None => Ok(Vec::new()),
        }
    }

    /// The sum over all targets of the squared distance from that output's mean over the set; `None` for an
    /// autoencoder and for classes.
    pub(super) fn spread(&self) -> Result<Option<f64>> {
        let Targets::Values(values) = &self.split.y else { return Ok(None) };
        if self.preprocessing.task != Task::Regression {
            return Ok(None);
        }
        let start = values.read([0])?;
        let mut sums = vec![[0f64; 2]; start.len()];
        values.for_each(|row| {
            for ((value, start), sums) in row.iter().zip(&start).zip(&mut sums) {
                let distance = f64::from(*value) - f64::from(*start);
                sums[0] += distance;
                sums[1] += distance * distance;
            }
        })?;
        let rows = values.rows() as f64;
        Ok(Some(sums.into_iter().map(|[sum, squares]| (squares - sum * sum / rows).max(0.0)).sum()))
    }
}

/// `y` in the output's shape, if it has as many numbers; a loss with more outputs than targets takes it as it is.
fn shaped<'g>(y: Tensor<'g>, output: &[usize]) -> Tensor<'g> {
    let shape = Shape::from([&[y.shape()[0]], output].concat());
    if shape.elements() == y.shape().elements() { y.reshape(shape) } else { y }
}
