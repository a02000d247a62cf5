//! Training steps, timed.

use super::report::now;
use super::{Machine, Options, Timing};
use crate::data::Dataset;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::train::{Config, Trainer};
use serde::Serialize;
use std::time::Instant;

/// Epochs that are timed.
const EPOCHS: u32 = 5;

/// One batch size.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BatchSize {
    /// Samples a step.
    pub batch: usize,
    /// Seconds a step, from an idle device to an idle device over many steps.
    pub step: Timing,
    /// The host's seconds of a step as an epoch pays them: an epoch's full steps encoded and submitted, as many a submission
    /// as training makes, waits not counted, divided by their number. On the CPU device the host does everything.
    pub host: Option<Timing>,
    /// The host's seconds of a step that is encoded and submitted alone, on an idle device: what the first one pays.
    pub host_alone: Option<Timing>,
    /// The device's seconds of a step: its timestamps around each launch, added up. Only if it has a clock.
    pub device: Option<Timing>,
    /// Kernel launches of a step.
    pub launches: usize,
    /// Samples a second.
    pub samples_per_second: f64,
    /// Bytes allocated on the device, the data set included.
    pub allocated_bytes: u64,
    /// Seconds of drawing parameters, uploading data, and compiling, the evaluation included.
    pub setup_seconds: f64,
    /// Seconds from the start of set-up, the data at hand, to the end of the first step.
    pub first_step_seconds: Option<f64>,
    /// Seconds of an epoch: all steps, and a pass over the training and the validation set.
    pub epoch: Timing,
}

/// A network's training, measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainReport {
    /// wgrad's version.
    pub version: String,
    /// When, in UTC.
    pub date: String,
    /// On what.
    pub machine: Machine,
    /// The network.
    pub network: String,
    /// Its parameters.
    pub parameters: usize,
    /// Samples of the training set.
    pub rows: usize,
    /// The batch sizes, in the order asked for.
    pub batch_sizes: Vec<BatchSize>,
}

/// Measures the training of `config`'s network at each of `batches`.
///
/// Each size gets a fresh trainer, which trains for five epochs (fewer if they are long) and then makes steps. `progress` is
/// called with each batch size before it is measured.
pub fn train(
    config: &Config,
    data: &Dataset,
    device: &Device,
    batches: &[usize],
    options: Options,
    mut progress: impl FnMut(usize),
) -> Result<TrainReport> {
    let (mut batch_sizes, mut machine, mut parameters) = (Vec::new(), None, 0);
    for &batch in batches {
        progress(batch);
        let config = Config { batch, epochs: config.epochs.max(EPOCHS), ..config.clone() };
        let mut trainer = Trainer::new(&config, data, device.clone())?;
        machine = Some(Machine::of(trainer.session()));
        parameters = trainer.model().parameter_count();
        batch_sizes.push(measure(&mut trainer, batch, options)?);
    }
    let machine = machine.ok_or_else(|| Error::config("batch-sizes", "at least one is needed"))?;
    Ok(TrainReport {
        version: env!("CARGO_PKG_VERSION").to_string(),
        date: now(),
        machine,
        network: config.name.clone(),
        parameters,
        rows: data.train.rows,
        batch_sizes,
    })
}

fn measure(trainer: &mut Trainer, batch: usize, options: Options) -> Result<BatchSize> {
    let launches = trainer.plan().map(crate::plan::Plan::launch_count);
    let Some(launches) = launches else {
        return Err(Error::config("device", "the reference is not there to be timed; use cpu or gpu"));
    };
    // The first epoch warms everything up.
    let mut epochs = vec![trainer.epoch()?.seconds];
    let mut total = 0.0;
    while (epochs.len() as u32) < EPOCHS && total < 2.0 * options.min_time {
        epochs.push(trainer.epoch()?.seconds);
        total += epochs.last().copied().unwrap_or_default();
    }
    let metrics = trainer.metrics()?;
    let warm = if epochs.len() > 1 { &epochs[1..] } else { &epochs[..] };

    let samples = options.samples.max(1);
    let timed = |trainer: &mut Trainer, steps: u32| -> Result<f64> {
        let start = Instant::now();
        trainer.steps(steps)?;
        trainer.session().finish()?;
        Ok(start.elapsed().as_secs_f64())
    };
    let one = timed(trainer, 2)? / 2.0;
    let steps = if one > 0.0 { (options.min_time / samples as f64 / one).ceil().clamp(1.0, 1e5) as u32 } else { 1 };
    let (mut each, mut total) = (Vec::new(), 0.0);
    while each.len() < samples && (each.len() < 3 || total < 2.0 * options.min_time) {
        let seconds = timed(trainer, steps)?;
        total += seconds;
        each.push(seconds / f64::from(steps));
    }
    let step = Timing::new(each, steps);

    let is_gpu = trainer.session().gpu_target().is_some();
    let few = if step.median > 0.0 { (options.min_time / step.median).clamp(1.0, samples as f64) as usize } else { 1 };
    let (mut host, mut host_alone) = (None, None);
    if is_gpu {
        let mut alone = Vec::with_capacity(few);
        for _ in 0..few {
            alone.push(host_seconds(trainer, 1)?);
        }
        host_alone = Some(Timing::new(alone, 1));
        let full = trainer.steps_per_epoch().max(1);
        let epochs = (options.min_time / (step.median * f64::from(full))).clamp(3.0, samples.max(3) as f64) as usize;
        let mut each = Vec::with_capacity(epochs);
        for _ in 0..epochs {
            each.push(host_seconds(trainer, full)? / f64::from(full));
        }
        host = Some(Timing::new(each, full));
    }
    let device = trainer.device_times(few as u32)?;
    let device =
        device.map(|runs| Timing::new(runs.iter().map(|launches| launches.iter().flatten().sum()).collect(), 1));
    Ok(BatchSize {
        batch,
        samples_per_second: if step.median > 0.0 { batch as f64 / step.median } else { 0.0 },
        step,
        host,
        host_alone,
        device,
        launches,
        allocated_bytes: metrics.peak_bytes,
        setup_seconds: metrics.setup_seconds,
        first_step_seconds: metrics.first_step_seconds,
        epoch: Timing::new(warm.to_vec(), 1),
    })
}

/// What some steps cost the host, from an idle device on.
fn host_seconds(trainer: &mut Trainer, steps: u32) -> Result<f64> {
    let session = trainer.session();
    session.finish()?;
    let before = session.host_seconds().unwrap_or_default();
    trainer.steps(steps)?;
    let after = trainer.session().host_seconds().unwrap_or_default();
    trainer.session().finish()?;
    Ok(after - before)
}
