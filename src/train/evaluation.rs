//! The evaluation of a run's sets. Its programs are compiled after the first training step, so that training need not
//! wait.
//!
//! Evaluation runs in the run's own session, or in a second session while the first one trains on.

use super::metrics::{Metric, Scores, SetName};
use super::model::Model;
use super::objective::{Detail, LabelScores, Objective, auroc};
use super::sets::{Rows, Set, Tables};
use super::task::Task;
use crate::array::Array;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::nn::{Mode, Module};
use crate::session::{Program, Session};
use crate::variable::Variable;

/// The batch size of evaluation on a GPU; it bounds the memory of the activations. Halved until the device takes it.
const EVAL_ROWS: usize = 4096;
/// The batch size of evaluation elsewhere: small enough that activations stay in the cache.
const EVAL_ROWS_CPU: usize = 200;

/// The largest number of classes for which a confusion matrix is computed.
pub(super) const MAX_CONFUSION: usize = 4096;

/// The programs of a pass over a whole set.
#[derive(Debug)]
pub(super) struct EvalPrograms {
    chunk: Program,
    /// The number of samples of a full chunk.
    size: usize,
    tail: Option<Program>,
    totals: Variable,
    /// The window of a streamed set.
    window: Option<Tables>,
    objective: Objective,
    detail: Detail,
    /// See [`Set::spread`].
    spread: Option<f64>,
}

/// A set's metrics and what they consist of.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evaluated {
    /// The metrics of the run's task.
    pub scores: Scores,
    /// Of classification `[label][prediction]`.
    pub confusion: Vec<Vec<u64>>,
    /// Of a binary task and of several labels, the scores of each label.
    pub labels: Vec<LabelScores>,
    /// Of a regression the predictions, `[rows, numbers]`, in the target's units.
    pub predictions: Vec<f32>,
    /// Of a regression the targets.
    pub targets: Vec<f32>,
}

/// Runs `compile` with fewer and fewer rows until the device can hold what it needs.
pub(super) fn with_fitting_rows<T>(most: usize, mut compile: impl FnMut(usize) -> Result<T>) -> Result<T> {
    let mut rows = most;
    loop {
        match compile(rows) {
            Err(Error::Limit { .. } | Error::OutOfMemory(_)) if rows > 1 => rows = rows.div_ceil(2),
            result => return result,
        }
    }
}

/// The number of rows that an evaluation takes at once, if they fit.
pub(super) fn most_rows(session: &Session) -> usize {
    if session.gpu_target().is_some() { EVAL_ROWS } else { EVAL_ROWS_CPU }
}

impl EvalPrograms {
    pub(super) fn new(session: &mut Session, objective: &Objective, model: &Model, set: &Set) -> Result<Self> {
        EvalPrograms::with_detail(session, objective, model, set, objective.detail())
    }

    /// As [`EvalPrograms::new`], also for a confusion matrix and for predictions.
    pub(super) fn detailed(session: &mut Session, objective: &Objective, model: &Model, set: &Set) -> Result<Self> {
        let detail = match objective.task {
            Task::Classification => Detail::Confusion,
            Task::Regression => Detail::Outputs,
            _ => objective.detail(),
        };
        EvalPrograms::with_detail(session, objective, model, set, detail)
    }

    fn with_detail(
        session: &mut Session,
        objective: &Objective,
        model: &Model,
        set: &Set,
        detail: Detail,
    ) -> Result<Self> {
        let spread = set.spread()?;
        with_fitting_rows(set.rows().min(most_rows(session)), |size| {
            EvalPrograms::with_size(session, objective, model, set, size, (detail, spread))
        })
    }

    fn with_size(
        session: &mut Session,
        objective: &Objective,
        model: &Model,
        set: &Set,
        size: usize,
        (detail, spread): (Detail, Option<f64>),
    ) -> Result<Self> {
        let totals = Variable::new("totals", Array::from(vec![0f32; objective.sum_count()]));
        let window = if set.resident().is_some() { None } else { Some(set.window(size)?) };
        let rest = set.rows() % size;
        let mut program = |size: usize, is_tail: bool| {
            let g = Graph::new();
            let (tables, rows) = match (set.resident(), &window) {
                (Some(tables), _) if size == set.rows() => (tables, Rows::All),
                (Some(tables), _) if is_tail => (tables, Rows::From(set.rows() - size, size)),
                (Some(tables), _) => {
                    (tables, Rows::At(g.iota([size], 0) + g.step() * g.scalar(size as f64, DType::U32)))
                }
                (None, Some(tables)) if is_tail => (tables, Rows::From(0, size)),
                (None, Some(tables)) => (tables, Rows::All),
                (None, None) => return Err(Error::Internal("a set that is neither resident nor streamed".into())),
            };
            let (x, y) = set.batch(&g, tables, &rows, &model.output);
            let output = model.network.forward(x, Mode::Eval);
            let found = objective.sums(output, y);
            let before = g.variable(&totals);
            let before = if is_tail { before } else { g.step().eq(g.scalar(0.0, DType::U32)).select(0.0, before) };
            g.update(&totals, before + found);
            match detail {
                Detail::Nothing => session.compile(&g, &[]),
                Detail::Outputs if objective.task == Task::Regression => {
                    session.compile(&g, &[objective.prediction(output)])
                }
                Detail::Outputs => session.compile(&g, &[output]),
                Detail::Confusion => {
                    let classes = model.output[0];
                    let cell = y * g.scalar(classes as f64, DType::U32) + output.argmax(1);
                    let ones = g.full([size], 1.0, DType::F32);
                    session.compile(&g, &[ones.scatter_add(0, cell, classes * classes)])
                }
            }
        };
        let chunk = program(size, false)?;
        let tail = if rest == 0 { None } else { Some(program(rest, true)?) };
        Ok(EvalPrograms { chunk, size, tail, totals, window, objective: objective.clone(), detail, spread })
    }

    /// The scores of the set.
    pub(super) fn evaluate(&self, session: &mut Session, set: &Set, name: &str) -> Result<Scores> {
        self.run(session, set, name).map(|evaluated| evaluated.scores)
    }

    /// The scores of the set and what they consist of.
    pub(super) fn evaluate_in_detail(&self, session: &mut Session, set: &Set) -> Result<Evaluated> {
        self.run(session, set, "set's")
    }

    fn run(&self, session: &mut Session, set: &Set, name: &str) -> Result<Evaluated> {
        let rows = set.rows();
        let chunks = rows / self.size;
        session.set_step(&self.chunk, 0)?;
        let mut outputs: Vec<f32> = Vec::new();
        let mut cells: Vec<u64> = Vec::new();
        let mut run = |session: &mut Session, chunk: usize| {
            let program = self.tail.as_ref().filter(|_| chunk == chunks).unwrap_or(&self.chunk);
            let output = session.run(program, &[])?;
            let Some(output) = output.first() else { return Ok(()) };
            let values = output.as_slice::<f32>()?;
            if self.detail == Detail::Confusion {
                cells.resize(values.len(), 0);
                cells.iter_mut().zip(values).for_each(|(cell, &count)| *cell += count as u64);
            } else {
                outputs.extend_from_slice(values);
            }
            Ok(())
        };
        let all = rows.div_ceil(self.size);
        match &self.window {
            Some(tables) => {
                let rows_of = |chunk: usize| {
                    let last = rows as u32 - 1;
                    (0..self.size as u32).map(|k| ((chunk * self.size) as u32 + k).min(last)).collect()
                };
                set.stream(session, tables, 0..all, rows_of, run)?;
            }
            None if self.detail != Detail::Nothing => (0..all).try_for_each(|chunk| run(session, chunk))?,
            None => {
                session.run_steps(&self.chunk, &[], chunks as u32)?;
                if let Some(tail) = &self.tail {
                    session.run_steps(tail, &[], 1)?;
                }
            }
        }
        let totals = session.read(&self.totals)?.to_f64();
        let loss = totals[0] / rows as f64;
        if !loss.is_finite() {
            return Err(Error::NotFinite(format!(
                "the {name} loss is {loss}: training has diverged. A smaller learning rate, a warm-up or another \
                 initialisation may help"
            )));
        }
        let scores = self.objective.scores(&totals, rows, self.spread);
        let classes = cells.len().isqrt().max(1);
        let confusion = cells.chunks_exact(classes).map(<[u64]>::to_vec).collect();
        if self.detail != Detail::Outputs {
            return Ok(Evaluated { scores, confusion, ..Evaluated::default() });
        }
        let targets = set.target_values()?;
        if !self.objective.task.is_yes_or_no() {
            return Ok(Evaluated { scores, predictions: outputs, targets, ..Evaluated::default() });
        }
        let areas = auroc(&outputs, &targets, outputs.len() / rows);
        let defined: Vec<f64> = areas.iter().copied().flatten().collect();
        let area = defined.iter().sum::<f64>() / defined.len() as f64;
        let labels = self.objective.label_scores(&totals, &areas);
        let scores = Scores::new(scores.iter().chain([(Metric::Auroc, area)]));
        Ok(Evaluated { scores, labels, ..Evaluated::default() })
    }
}

/// A set, and the programs that evaluate it once they are compiled.
#[derive(Debug)]
struct NamedSet {
    name: SetName,
    set: Set,
    programs: Option<EvalPrograms>,
}

impl NamedSet {
    /// The set's name, for messages.
    fn describe(&self) -> &'static str {
        match self.name {
            SetName::Train => "training",
            SetName::Val => "validation",
            SetName::Test => "test",
        }
    }

    fn compile(&mut self, session: &mut Session, objective: &Objective, model: &Model) -> Result<()> {
        if self.programs.is_none() {
            self.programs = Some(EvalPrograms::new(session, objective, model, &self.set)?);
        }
        Ok(())
    }

    fn evaluate(&self, session: &mut Session) -> Result<Scores> {
        let missing = || Error::Internal(format!("the {} set's evaluation was not compiled", self.describe()));
        self.programs.as_ref().ok_or_else(missing)?.evaluate(session, &self.set, self.describe())
    }
}

/// The sets of a run: training, validation, test.
#[derive(Debug)]
pub(super) struct Evaluation {
    sets: Vec<NamedSet>,
}

impl Evaluation {
    pub(super) fn new(sets: impl IntoIterator<Item = (SetName, Set)>) -> Self {
        let sets = sets.into_iter().map(|(name, set)| NamedSet { name, set, programs: None });
        Evaluation { sets: sets.collect() }
    }

    /// The same sets, not compiled, for another session.
    fn uncompiled(&self) -> Self {
        Evaluation::new(self.sets.iter().map(|set| (set.name, set.set.clone())))
    }

    /// Compiles the programs that are not compiled yet, and uploads the held-out sets to the device.
    pub(super) fn compile(&mut self, session: &mut Session, objective: &Objective, model: &Model) -> Result<()> {
        self.sets.iter_mut().try_for_each(|set| set.compile(session, objective, model))
    }

    /// Whether there is a test set.
    pub(super) fn has_test(&self) -> bool {
        self.sets.iter().any(|set| set.name == SetName::Test)
    }

    /// The scores of a set, if there is one.
    pub(super) fn of(&self, session: &mut Session, name: SetName) -> Result<Option<Scores>> {
        self.sets.iter().find(|set| set.name == name).map(|set| set.evaluate(session)).transpose()
    }

    /// The scores of a set, if there is one, and what they consist of.
    pub(super) fn in_detail(
        &self,
        session: &mut Session,
        objective: &Objective,
        model: &Model,
        name: SetName,
    ) -> Result<Option<Evaluated>> {
        let Some(NamedSet { set, .. }) = self.sets.iter().find(|set| set.name == name) else { return Ok(None) };
        EvalPrograms::detailed(session, objective, model, set)?.evaluate_in_detail(session, set).map(Some)
    }

    /// The scores of the training set and, if there is one, of the validation set.
    pub(super) fn epoch(&self, session: &mut Session) -> Result<(Scores, Option<Scores>)> {
        let train = self.of(session, SetName::Train)?.unwrap_or_default();
        Ok((train, self.of(session, SetName::Val)?))
    }
}

/// A session with copies of the weights and of the sets: it evaluates while the run's own session trains on.
#[derive(Debug)]
pub(super) struct SecondSession {
    session: Session,
    evaluation: Evaluation,
}

impl SecondSession {
    pub(super) fn new(device: Device, sets: &Evaluation) -> Result<Self> {
        Ok(SecondSession { session: Session::new(device)?, evaluation: sets.uncompiled() })
    }

    /// Copies the state of `model`'s network, given in the order of its `state_dict`.
    pub(super) fn load(&mut self, objective: &Objective, model: &Model, state: &[(String, Array)]) -> Result<()> {
        for ((_, variable), (_, value)) in model.network.state_dict().iter().zip(state) {
            self.session.write(variable, value)?;
        }
        self.evaluation.compile(&mut self.session, objective, model)
    }

    /// As [`Evaluation::epoch`], on another thread, while `train` runs on the caller's thread.
    pub(super) fn epoch_during<T>(&mut self, train: impl FnOnce() -> T) -> (Result<(Scores, Option<Scores>)>, T) {
        let SecondSession { session, evaluation } = self;
        let place = session.place_beside();
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("wgrad-evaluation".into());
            let thread = thread.spawn_scoped(scope, move || match place {
                Some(place) => place.run(|| evaluation.epoch(session)),
                None => evaluation.epoch(session),
            });
            let trained = train();
            let scores = match thread.map(std::thread::ScopedJoinHandle::join) {
                Ok(Ok(scores)) => scores,
                Ok(Err(_)) => Err(Error::Internal("the evaluation's thread panicked".into())),
                Err(e) => Err(Error::Internal(format!("could not start the evaluation's thread: {e}"))),
            };
            (scores, trained)
        })
    }

    /// The test set's scores, if there is a test set.
    pub(super) fn test(&mut self) -> Result<Option<Scores>> {
        self.evaluation.of(&mut self.session, SetName::Test)
    }

    /// The bytes that its session has allocated.
    pub(super) fn allocated_bytes(&self) -> u64 {
        self.session.allocated_bytes()
    }
}
