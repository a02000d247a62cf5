//! Opening a trainer: everything that is done before the first step.

use super::super::programs::Parts;
use super::super::sets::Set;
use super::super::{causality, residency, weights};
use super::{
    Config, Evaluation, Model, Moves, Objective, Plateau, Preprocessing, SetName, Task, TrainPrograms, Trainer, Unit,
    Watch, rate_table,
};
use crate::array::Array;
use crate::data::{Dataset, RandomState};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::nn::Module;
use crate::optim::Ema;
use crate::session::Session;
use crate::variable::Variable;
use std::sync::Arc;
use std::time::Instant;

/// The largest table of learning rates.
const MAX_RATES: u32 = 1 << 24;

impl Trainer {
    /// Checks the settings, draws the parameters, uploads the training set and compiles the training step. The
    /// evaluation is compiled after the first step of the first epoch, so that the first step need not wait for it.
    pub fn new(config: &Config, data: &Dataset, device: Device) -> Result<Self> {
        Trainer::open(config, data, || Session::new(device))
    }

    /// As [`Trainer::new`], in a session that `open` opens once the settings and the data are checked.
    ///
    /// # Errors
    /// Those of [`Trainer::new`] and of `open`.
    pub fn open(config: &Config, data: &Dataset, open: impl FnOnce() -> Result<Session>) -> Result<Self> {
        let start = Instant::now();
        config.check()?;
        config.check_data(data)?;
        let preprocessing = Arc::new(Preprocessing::fit(config, data)?);
        let task = preprocessing.task;
        let model = Model::for_data(config, &preprocessing, data.classes)?;
        let objective = Objective {
            task,
            loss: config.loss_for(task),
            output: model.output.clone(),
            targets: preprocessing.targets.clone(),
            top_k: config.top_k,
        };
        objective.check()?;
        if task == Task::NextToken {
            causality::check(&model, data.classes)?;
        }
        let watch = Watch::new(config, config.monitor_for(data), task)?;
        let mut session = open()?;
        session.set_seed(config.seed);
        let optimizer = config.build_optimizer(model.network.parameters())?;
        let averaged = || optimizer.parameters().cloned().collect::<Vec<_>>();
        let ema = config.ema_decay.map(|decay| Ema::new(decay, averaged()));
        let zeros = |(name, v): &(String, Variable)| {
            let ty = v.tensor_type();
            Ok(Variable::new(format!("gradient.{name}"), Array::zeros(ty.shape.clone(), ty.dtype)?))
        };
        let gradients = match config.accumulate {
            1 => Vec::new(),
            _ => optimizer.parameters().map(zeros).collect::<Result<_>>()?,
        };
        let moves = Moves { optimizer, ema, gradients };
        let mut sets: Vec<(SetName, Set)> = [SetName::Train, SetName::Val, SetName::Test]
            .into_iter()
            .zip([Some(&data.train), data.val.as_ref(), data.test.as_ref()])
            .filter_map(|(name, split)| Some((name, Set::new(name.name(), split?, &preprocessing))))
            .collect();
        let residency = residency::decide(&session, config, &mut sets)?;
        let train_set = sets[0].1.clone();
        let steps = train_set.rows().div_ceil(config.batch) as u32;
        steps.checked_mul(config.epochs).ok_or_else(|| {
            Error::config("epochs", format!("{} epochs of {steps} steps are more than 2^32 steps", config.epochs))
        })?;
        let per_step = config.schedule.unit() == Unit::Step;
        let updates = steps.div_ceil(config.accumulate);
        let moments = if per_step { updates * config.epochs } else { config.epochs };
        if moments > MAX_RATES {
            let message = format!(
                "by step needs {moments} learning rates, but at most {MAX_RATES} are supported; use unit = \"epoch\""
            );
            return Err(Error::config("schedule", message));
        }
        let schedule = config.schedule.schedule(moments);
        let rates: Vec<f64> = (0..moments).map(|t| config.optimizer.lr() * schedule.factor(t)).collect();
        let table = Variable::new("lr", rate_table(&rates));
        if let Some(file) = &config.init {
            weights::load(file, &model.network, &mut session, config.init_partial)?;
        }
        let parts = Parts {
            config,
            model: &model,
            objective: &objective,
            moves: &moves,
            set: &train_set,
            rates: &table,
            per_step,
        };
        let train = TrainPrograms::new(&mut session, &parts)?;
        let swap = match &moves.ema {
            Some(ema) => {
                let graph = Graph::new();
                ema.swap(&graph);
                Some(session.compile(&graph, &[])?)
            }
            None => None,
        };
        Ok(Trainer {
            config: config.clone(),
            session,
            model,
            preprocessing,
            objective,
            moves,
            swap,
            train,
            evaluation: Evaluation::new(sets),
            ahead: None,
            rates,
            table,
            plateau: config.schedule.plateau().map(|(what, how)| (what, Plateau::new(config.optimizer.lr(), how))),
            // NumPy's seeds have 32 bits.
            shuffler: RandomState::new(config.seed as u32 ^ (config.seed >> 32) as u32),
            drawn: None,
            within: 0,
            slice: 1,
            history: Vec::new(),
            watch,
            train_seconds: 0.0,
            setup_seconds: start.elapsed().as_secs_f64(),
            first_step_seconds: None,
            test: None,
            residency,
        })
    }
}
