//! Runs that are interrupted, resumed, streamed, stopped early, or lose their device.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use wgrad::plan::Plan;
use wgrad::train::{Config, EpochRecord, Fit, OnDeviceLoss, Pause, Report, RunFolder, Trainer};
use wgrad::{Array, Device, Error, Executor, Graph, LaunchSeconds, NodeId, Session, Variable};

const NETWORK: &str = r#"
epochs = 4
batch = 48
seed = 5
[data]
num_samples = 500
[model]
input = [1, 40]
layers = [
    { type = "conv1d", out_channels = 6, kernel_size = 5, stride = 2, padding = 1 },
    { type = "batch_norm1d" },
    { type = "tanh" },
    { type = "dropout", p = 0.25 },
    { type = "flatten" },
    { type = "linear", out_features = 10 },
]
"#;

const OPTIMIZERS: [&str; 9] = [
    "type = \"sgd\"\nlr = 0.05",
    "type = \"sgd\"\nlr = 0.05\nmomentum = 0.8\nnesterov = true",
    "type = \"adam\"\nlr = 0.01\namsgrad = true",
    "type = \"adamw\"\nlr = 0.01",
    "type = \"rmsprop\"\nlr = 0.01\ncentered = true\nmomentum = 0.5",
    "type = \"adagrad\"\nlr = 0.05",
    "type = \"adadelta\"\nlr = 1.0",
    "type = \"lion\"\nlr = 0.001",
    "type = \"adam\"\nlr = 0.01",
];

const SCHEDULES: [&str; 10] = [
    "type = \"constant\"",
    "type = \"step\"\nstep_size = 2\ngamma = 0.5",
    "type = \"multi_step\"\nmilestones = [1, 3]\ngamma = 0.5",
    "type = \"exponential\"\ngamma = 0.9",
    "type = \"cosine\"\nunit = \"step\"\nwarmup = { length = 3 }",
    "type = \"cosine_restarts\"\nt_0 = 2",
    "type = \"polynomial\"",
    "type = \"linear\"",
    "type = \"one_cycle\"\nunit = \"step\"",
    "type = \"reduce_on_plateau\"\npatience = 0\nthreshold = 0.5",
];

fn config(optimizer: &str, schedule: &str, extra: &str) -> Config {
    let text = format!("{extra}\n{NETWORK}\n[optimizer]\n{optimizer}\n[schedule]\n{schedule}\n");
    toml::from_str(&text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// The GPU, unless there is none and that is allowed.
fn gpu_or_skip(what: &str) -> Option<Device> {
    if !cfg!(feature = "gpu") {
        return None;
    }
    match Session::new(Device::gpu()) {
        Ok(_) => Some(Device::gpu()),
        Err(Error::Device(message)) if std::env::var_os("WGRAD_REQUIRE_GPU").is_none() => {
            let _ = writeln!(std::io::stderr(), "SKIPPED: {what} on a GPU: {message}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// The parts of a record that do not depend on the clock.
fn timeless(records: Vec<EpochRecord>) -> Vec<EpochRecord> {
    records.into_iter().map(|record| EpochRecord { seconds: 0.0, ..record }).collect()
}

type Outcome = (Vec<EpochRecord>, Vec<(String, Array)>, u64);

fn outcome(trainer: &mut Trainer, mut records: Vec<EpochRecord>) -> Outcome {
    while !trainer.is_finished() {
        records.push(trainer.epoch().unwrap());
    }
    let best = trainer.metrics().unwrap().best.unwrap();
    (timeless(records), trainer.state_dict().unwrap(), best.value.to_bits() ^ u64::from(best.epoch))
}

/// Trains without a break, and with one after each of some numbers of steps, in a new trainer each time.
fn resumes(config: &Config, device: &Device, breaks: &[u32]) {
    let data = config.data.load().unwrap();
    let new = || Trainer::new(config, &data, device.clone()).unwrap();
    let whole = outcome(&mut new(), Vec::new());
    for &steps in breaks {
        let mut first = new();
        let mut records = Vec::new();
        let mut left = steps;
        while left > 0 {
            let per_epoch = first.steps_per_epoch();
            let pause = Pause { steps: Some(left.min(per_epoch)), ..Pause::default() };
            let record = first.advance(pause).unwrap();
            left = left.saturating_sub(per_epoch);
            records.extend(record);
        }
        let bytes = first.checkpoint().unwrap().to_bytes().unwrap();
        drop(first);
        let checkpoint = wgrad::train::Checkpoint::from_bytes(&bytes).unwrap();
        assert_eq!(checkpoint.to_bytes().unwrap(), bytes, "a checkpoint reads back as it was written");
        let mut second = new();
        second.restore(&checkpoint).unwrap();
        let resumed = outcome(&mut second, records);
        assert!(resumed == whole, "{device}: after {steps} steps of {:?} {:?}", config.optimizer, config.schedule);
    }
}

#[test]
fn a_resumed_run_has_the_same_bits_with_every_optimizer_and_schedule() {
    for (k, optimizer) in OPTIMIZERS.iter().enumerate() {
        // 6 steps an epoch: within an epoch, at its end, within a later one.
        resumes(&config(optimizer, SCHEDULES[k], "ema_decay = 0.9"), &Device::cpu(), &[3, 6, 14]);
    }
    resumes(&config(OPTIMIZERS[3], SCHEDULES[9], ""), &Device::cpu(), &[8, 12]);
    resumes(&config(OPTIMIZERS[1], SCHEDULES[4], "accumulate = 4"), &Device::cpu(), &[2, 5, 9]);
}

#[cfg(feature = "gpu")]
#[test]
fn a_resumed_run_has_the_same_bits_on_a_gpu() {
    let Some(device) = gpu_or_skip("resuming") else { return };
    for (k, optimizer) in OPTIMIZERS.iter().enumerate() {
        resumes(&config(optimizer, SCHEDULES[9 - k], "ema_decay = 0.9"), &device, &[4 + k as u32]);
    }
}

/// A run that trains ahead takes its checkpoints after the recorded epoch, not the one in progress.
#[test]
fn checkpoints_of_a_run_that_trains_ahead_are_those_of_the_recorded_epoch() {
    let config = config(OPTIMIZERS[2], SCHEDULES[4], "");
    let data = config.data.load().unwrap();
    let new = || Trainer::new(&config, &data, Device::cpu()).unwrap();
    let whole = outcome(&mut new(), Vec::new());
    let mut first = new();
    first.train_ahead().unwrap();
    let pause = Pause { checkpoint: true, ..Pause::default() };
    let records = vec![first.advance(pause).unwrap().unwrap(), first.advance(pause).unwrap().unwrap()];
    let checkpoint = first.checkpoint().unwrap();
    assert_eq!((checkpoint.epochs(), checkpoint.steps_within_epoch()), (2, 0));
    let mut second = new();
    second.restore(&checkpoint).unwrap();
    assert!(outcome(&mut second, records) == whole);
}

/// A run that trains ahead pauses by time, within the epoch that it records and within the one that it is ahead.
#[test]
fn a_run_that_trains_ahead_can_be_resumed_from_anywhere() {
    let config = config(OPTIMIZERS[1], SCHEDULES[4], "ema_decay = 0.9");
    let data = config.data.load().unwrap();
    let new = || Trainer::new(&config, &data, Device::cpu()).unwrap();
    let whole = outcome(&mut new(), Vec::new());
    let mut first = new();
    first.train_ahead().unwrap();
    // No time at all: every step is a pause.
    let pause = Pause { seconds: Some(0.0), checkpoint: true, steps: None };
    let (mut records, mut places) = (Vec::new(), Vec::new());
    while !first.is_finished() {
        records.extend(first.advance(pause).unwrap());
        let checkpoint = first.checkpoint().unwrap();
        assert_eq!(checkpoint.epochs() as usize, records.len());
        places.push((checkpoint.epochs(), checkpoint.steps_within_epoch()));
        let mut second = new();
        second.restore(&checkpoint).unwrap();
        assert!(outcome(&mut second, records.clone()) == whole, "{places:?}");
    }
    assert!(first.state_dict().unwrap() == whole.1 && timeless(records) == whole.0);
    // The last pause before the end of each epoch, and the end of each.
    assert!(places.contains(&(0, 4)) && places.contains(&(1, 0)) && places.contains(&(3, 4)), "{places:?}");
}

#[test]
fn a_checkpoint_of_other_settings_is_refused() {
    let base = config(OPTIMIZERS[2], SCHEDULES[0], "");
    let data = base.data.load().unwrap();
    let mut trainer = Trainer::new(&base, &data, Device::cpu()).unwrap();
    trainer.epoch().unwrap();
    let checkpoint = trainer.checkpoint().unwrap();
    let refusal = |config: &Config| {
        let mut other = Trainer::new(config, &data, Device::cpu()).unwrap();
        other.restore(&checkpoint).unwrap_err().to_string()
    };
    let with = |key: &str, value: &str| base.with(key, value).unwrap();
    assert!(refusal(&with("seed", "6")).contains("seed 5"));
    assert!(refusal(&with("batch", "50")).contains("batch 48"));
    assert!(refusal(&with("optimizer.type", "sgd")).contains("in the checkpoint"));
    assert!(refusal(&with("model.layers.0.out_channels", "7")).contains("in the checkpoint"));
    assert!(refusal(&with("schedule.type", "reduce_on_plateau")).contains("schedule"));
}

/// Every damage to a checkpoint's file is found.
#[test]
fn a_damaged_checkpoint_is_never_taken_for_a_whole_one() {
    let config = config(OPTIMIZERS[0], SCHEDULES[0], "");
    let data = config.data.load().unwrap();
    let mut trainer = Trainer::new(&config, &data, Device::cpu()).unwrap();
    trainer.epoch().unwrap();
    let checkpoint = trainer.checkpoint().unwrap();
    let bytes = checkpoint.to_bytes().unwrap();
    for place in (0..bytes.len()).step_by(1 + bytes.len() / 2000) {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1 << (place % 8);
        if let Ok(read) = wgrad::train::Checkpoint::from_bytes(&damaged) {
            // Only what means the same may differ, such as blanks after the header.
            assert!(read == checkpoint, "byte {place}");
        }
        assert!(wgrad::train::Checkpoint::from_bytes(&bytes[..place]).is_err());
    }
}

#[test]
fn streamed_data_give_the_same_bits_as_resident_data() {
    let mut devices = vec![Device::cpu()];
    devices.extend(gpu_or_skip("streaming"));
    for device in devices {
        for extra in ["", "accumulate = 3"] {
            let resident = config(OPTIMIZERS[1], SCHEDULES[1], extra).with("data.resident", "true").unwrap();
            let streamed = resident.with("data.resident", "false").unwrap();
            let data = resident.data.load().unwrap();
            let run = |config: &Config| {
                let mut trainer = Trainer::new(config, &data, device.clone()).unwrap();
                let outcome = outcome(&mut trainer, Vec::new());
                (outcome, trainer.test().unwrap(), trainer.metrics().unwrap().data.unwrap())
            };
            let (resident, streamed) = (run(&resident), run(&streamed));
            assert_eq!((resident.2.as_str(), streamed.2.as_str()), ("resident", "streamed"));
            assert!(resident.0 == streamed.0 && resident.1 == streamed.1, "{device}: {extra}");
        }
        resumes(&config(OPTIMIZERS[1], SCHEDULES[1], "").with("data.resident", "false").unwrap(), &device, &[8]);
    }
}

/// Gradients of several batches make the update of one as large, the last and smaller group included.
#[test]
fn accumulated_batches_train_as_one() {
    let base = config(OPTIMIZERS[1], SCHEDULES[4], "");
    // No layers that look at a whole batch or draw random numbers.
    let layers =
        "[{ type = \"linear\", out_features = 20 }, { type = \"tanh\" }, { type = \"linear\", out_features = 10 }]";
    let base = base.with("model.input", "[40]").unwrap().with("model.layers", layers).unwrap();
    let base = base.with("schedule.warmup.length", "2").unwrap();
    let data = base.data.load().unwrap();
    let run = |batch: &str, accumulate: &str| {
        let config = base.with("batch", batch).unwrap().with("accumulate", accumulate).unwrap();
        outcome(&mut Trainer::new(&config, &data, Device::cpu()).unwrap(), Vec::new())
    };
    let (whole, parts) = (run("80", "1"), run("20", "4"));
    for (a, b) in whole.0.iter().zip(&parts.0) {
        let (a, b) = (a.scores.train.loss(), b.scores.train.loss());
        assert!((a - b).abs() < 1e-5 * a, "{a} is not {b}");
    }
    assert!(whole.0[3].lr == parts.0[3].lr);
}

#[test]
fn training_stops_once_a_metric_no_longer_improves() {
    let text = "patience = 1\nmin_delta = 10.0\nmonitor = \"train_loss\"\nrestore_best = true\n";
    let mut config: Config =
        toml::from_str(&format!("{NETWORK}\n[optimizer]\ntype = \"sgd\"\nlr = 0.05\n[early_stopping]\n{text}"))
            .unwrap();
    config.epochs = 20;
    let data = config.data.load().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(dir.path()).unwrap();
    let mut fit = Fit::new(folder, config, &data, || Session::new(Device::cpu())).unwrap();
    let metrics = fit.run(&mut |_| {}).unwrap();
    // No epoch improves by 10: the first counts, then two do not.
    assert_eq!(metrics.epochs, 3);
    assert!(metrics.stopped.as_deref().is_some_and(|reason| reason.contains("train_loss")), "{:?}", metrics.stopped);
    let best = metrics.best.unwrap();
    let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    // `restore_best` makes them the same tensors; the counters of steps differ only if the last epoch is the best.
    assert!(best.epoch == 3 || read("model.safetensors") == read("best.safetensors"));
}

/// An executor that loses its device in some run, once or always.
struct Losing {
    inner: CpuSession,
    runs: Arc<AtomicU32>,
    lost_at: u32,
    always: bool,
}

type CpuSession = wgrad::cpu::CpuExecutor;

impl Executor for Losing {
    fn name(&self) -> String {
        self.inner.name()
    }
    fn compile(&mut self, graph: &Graph, outputs: &[NodeId]) -> wgrad::Result<usize> {
        self.inner.compile(graph, outputs)
    }
    fn run(
        &mut self,
        program: usize,
        inputs: &[(&str, &Array)],
        first: u32,
        count: u32,
        seed: u64,
    ) -> wgrad::Result<()> {
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        if run == self.lost_at || (self.always && run > self.lost_at) {
            return Err(Error::DeviceLost("on purpose".into()));
        }
        self.inner.run(program, inputs, first, count, seed)
    }
    fn outputs(&mut self, program: usize) -> wgrad::Result<Vec<Array>> {
        self.inner.outputs(program)
    }
    fn read(&mut self, variable: &Variable) -> wgrad::Result<Array> {
        self.inner.read(variable)
    }
    fn write(&mut self, variable: &Variable, value: &Array) -> wgrad::Result<()> {
        self.inner.write(variable, value)
    }
    fn plan(&self, program: usize) -> Option<&Plan> {
        self.inner.plan(program)
    }
    fn allocated_bytes(&self) -> u64 {
        self.inner.allocated_bytes()
    }
    fn profile(&mut self, program: usize, step: u32, seed: u64) -> wgrad::Result<Vec<LaunchSeconds>> {
        self.inner.profile(program, step, seed)
    }
}

#[test]
fn a_lost_device_is_opened_again_or_named_with_what_is_left() {
    let config = config(OPTIMIZERS[2], SCHEDULES[1], "").with("checkpoint.every_steps", "4").unwrap();
    let data = config.data.load().unwrap();
    let train = |lost_at: u32, always: bool, what: OnDeviceLoss| {
        let dir = tempfile::tempdir().unwrap();
        let runs = Arc::new(AtomicU32::new(0));
        let open = || {
            let inner = CpuSession::default();
            let executor = Losing { inner, runs: runs.clone(), lost_at, always };
            Ok(Session::with_executor(Device::Cpu, Box::new(executor)))
        };
        let folder = RunFolder::create(dir.path()).unwrap();
        let mut fit = Fit::new(folder, config.clone(), &data, open).unwrap().on_device_loss(what);
        let mut warnings = 0;
        let result = fit.run(&mut |report| warnings += u32::from(matches!(report, Report::Warning(_))));
        let model = std::fs::read(dir.path().join("model.safetensors")).ok();
        (result, warnings, model, runs.load(Ordering::Relaxed))
    };
    let (whole, _, model, count) = train(u32::MAX, false, OnDeviceLoss::Fail);
    let whole = whole.unwrap();
    for lost_at in [0, 5, count / 2, count - 1] {
        let (retried, warnings, again, _) = train(lost_at, false, OnDeviceLoss::Retry);
        assert_eq!(timeless(retried.unwrap().history), timeless(whole.history.clone()), "lost at run {lost_at}");
        assert!(warnings == 1 && again == model, "lost at run {lost_at}");
    }
    let (failed, _, _, _) = train(count / 2, false, OnDeviceLoss::Fail);
    let message = failed.unwrap_err().to_string();
    assert!(message.contains("--resume") && message.contains("step-"), "{message}");
    let (gone, warnings, _, _) = train(9, true, OnDeviceLoss::Retry);
    assert!(matches!(gone, Err(Error::DeviceLost(_))) && warnings == 10, "it gives up in the end");
}
