//! Timing of training steps.

use super::report::now;
use super::{Machine, Options, Timing};
use crate::data::Dataset;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::train::{Config, Trainer};
use serde::Serialize;
use std::time::Instant;

/// The number of timed epochs.
const EPOCHS: u32 = 5;

/// The measurements of one batch size.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BatchSize {
    /// The batch size.
    pub batch: usize,
    /// Seconds per step, over many steps from an idle device to an idle device.
    pub step: Timing,
    /// Host seconds per step in an epoch: the time to encode and submit all steps of an epoch, batched into submissions
    /// as in training and without waiting, divided by their number. `None` for the CPU device, whose host time is the
    /// whole step.
    pub host: Option<Timing>,
    /// Host seconds of a step that is encoded and submitted alone on an idle device, like the first step.
    pub host_alone: Option<Timing>,
    /// Device seconds per step: the sum of the durations of all launches, from timestamps. `None` without timestamps.
    pub device: Option<Timing>,
    /// Kernel launches per step.
    pub launches: usize,
    /// Samples per second.
    pub samples_per_second: f64,
    /// Bytes allocated on the device, including the data set.
    pub allocated_bytes: u64,
    /// Seconds of the set-up: initialising parameters, uploading data, and compiling the training and evaluation
    /// programs.
    pub setup_seconds: f64,
    /// Seconds from the start of the set-up, with the data already loaded, to the end of the first step.
    pub first_step_seconds: Option<f64>,
    /// Seconds per epoch: all steps, and an evaluation on the training and the validation set.
    pub epoch: Timing,
}

/// The measurements of a network's training.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainReport {
    /// The version of wgrad.
    pub version: String,
    /// The date and time, in UTC.
    pub date: String,
    /// The device and its host.
    pub machine: Machine,
    /// The name of the network.
    pub network: String,
    /// The number of parameters.
    pub parameters: usize,
    /// The number of samples of the training set.
    pub rows: usize,
    /// The batch sizes, in the requested order.
    pub batch_sizes: Vec<BatchSize>,
}

/// Measures the training of the network of `config` with each batch size of `batches`.
///
/// Each size gets a new trainer, which trains for five epochs (fewer if they are long) and then runs single steps.
/// `progress` is called with each batch size before it is measured.
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
    let machine = machine.ok_or_else(|| Error::config("batch-sizes", "at least one is required"))?;
    Ok(TrainReport {
        version: env!("CARGO_PKG_VERSION").to_string(),
        date: now(),
        machine,
        network: config.name.clone(),
        parameters,
        rows: data.train.rows(),
        batch_sizes,
    })
}

fn measure(trainer: &mut Trainer, batch: usize, options: Options) -> Result<BatchSize> {
    let launches = trainer.plan().map(crate::plan::Plan::launch_count);
    let Some(launches) = launches else {
        return Err(Error::config("device", "the reference device cannot be benchmarked; use cpu or gpu"));
    };
    // The first epoch is the warm-up.
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

/// The host seconds of some steps, starting with an idle device.
fn host_seconds(trainer: &mut Trainer, steps: u32) -> Result<f64> {
    let session = trainer.session();
    session.finish()?;
    let before = session.host_seconds().unwrap_or_default();
    trainer.steps(steps)?;
    let after = trainer.session().host_seconds().unwrap_or_default();
    trainer.session().finish()?;
    Ok(after - before)
}
