//! The trainings, two at a time.

use super::common::Options;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use wgrad::data::{Dataset, Mnist1dConfig, Mnist1dPreset, generate};
use wgrad::train::{Config, EpochRecord, SetName, Trainer};
use wgrad::{Error, Result};

/// How many runs go on at the same time on the CPU. A launch of these networks is too small for two threads, but two runs keep two
/// cores busy.
const AT_ONCE: usize = 2;
/// The training samples that are trained on to choose settings; the others are held out.
const KEPT: u32 = 3200;

/// The authors' data set, as it is and with its positions shuffled. The validation set is what accuracy is measured on after each
/// epoch; nothing is chosen by it.
#[derive(Debug)]
pub struct Data {
    /// As it is.
    pub default: Dataset,
    /// The 40 positions in a random order, the same for all samples.
    pub shuffled: Dataset,
}

impl Data {
    /// Generates both. Accuracy is measured on the test set or, if `held_out`, on a part of the training set.
    pub fn load(held_out: bool) -> Result<Self> {
        let of = |shuffle_seq| {
            let data = generate(&Mnist1dConfig { shuffle_seq, ..Mnist1dConfig::paper() })?;
            let data = data.dataset(Mnist1dPreset::Paper)?;
            let (train, val) = if held_out {
                let rows: Vec<u32> = (0..data.train.rows() as u32).collect();
                let (kept, held) = rows.split_at(KEPT as usize);
                (data.train.select(kept)?, Some(data.train.select(held)?))
            } else {
                (data.train.clone(), data.test.clone())
            };
            Ok::<_, Error>(Dataset { train, val, ..data })
        };
        Ok(Data { default: of(false)?, shuffled: of(true)? })
    }
}

/// A run to do.
#[derive(Debug)]
pub(super) struct Job {
    /// The row of the table that it belongs to.
    pub row: usize,
    /// Whether it is on shuffled positions.
    pub shuffled: bool,
    /// Its settings.
    pub config: Config,
}

/// What a run gave.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The accuracy in the end, in percent.
    pub accuracy: f64,
    /// The same of the training set.
    pub train_accuracy: f64,
    /// Training steps and accuracy after each epoch.
    pub curve: Vec<(f64, f64)>,
    /// How many samples of each class (row) were taken for which (column).
    pub confusion: Vec<Vec<u64>>,
    /// The number of parameters.
    pub parameters: usize,
    /// The number of training steps.
    pub steps: u32,
    /// The time it took, in seconds.
    pub seconds: f64,
}

/// Does all `jobs`; their outcomes are in the same order.
pub(super) fn train_all(options: &Options, data: &Data, jobs: &[Job]) -> Result<Vec<Outcome>> {
    let at_once = if options.session()?.gpu_target().is_some() { 1 } else { AT_ONCE };
    // The longest first, so that no core is left with a long one in the end.
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    order.sort_by_key(|&k| jobs[k].config.name != "gru");
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || -> Result<()> {
        while let Some(&k) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            // After an error nothing more is begun.
            let outcome = train(options, data, &jobs[k]).inspect_err(|_| next.store(order.len(), Ordering::Relaxed))?;
            let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            done.push((k, outcome));
            if std::io::stderr().is_terminal() {
                eprint!("\r{} of {} runs done ", done.len(), jobs.len());
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
        let ends = workers.into_iter().map(|worker| worker.join().unwrap_or_else(|e| std::panic::resume_unwind(e)));
        ends.collect::<Result<()>>()
    })?;
    if std::io::stderr().is_terminal() {
        eprintln!();
    }
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(k, _)| *k);
    Ok(done.into_iter().map(|(_, outcome)| outcome).collect())
}

fn train(options: &Options, data: &Data, job: &Job) -> Result<Outcome> {
    let start = Instant::now();
    let data = if job.shuffled { &data.shuffled } else { &data.default };
    let mut trainer = Trainer::open(&job.config, data, || options.session())?;
    let (mut curve, mut train_accuracy) = (Vec::new(), f64::NAN);
    let per_epoch = trainer.steps_per_epoch();
    while !trainer.is_finished() {
        let record = trainer.epoch()?;
        curve.push((f64::from(record.epoch * per_epoch), accuracy(&record, SetName::Val)));
        train_accuracy = accuracy(&record, SetName::Train);
    }
    let confusion = trainer.evaluate(SetName::Val)?.map(|evaluated| evaluated.confusion).unwrap_or_default();
    Ok(Outcome {
        accuracy: curve.last().map_or(f64::NAN, |(_, accuracy)| *accuracy),
        train_accuracy,
        curve,
        confusion,
        parameters: trainer.model().parameter_count(),
        steps: trainer.epochs_done() * per_epoch,
        seconds: start.elapsed().as_secs_f64(),
    })
}

fn accuracy(record: &EpochRecord, set: SetName) -> f64 {
    record.scores.of(set).and_then(wgrad::train::Scores::error).map_or(f64::NAN, |error| 100.0 - error)
}
