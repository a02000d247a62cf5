//! `wgrad train`: trains a network and writes a run folder.

use super::DeviceArg;
use super::anomaly;
use super::open::GpuArgs;
use super::output::{Failure, Outcome, bytes, duration, grouped, metric, note, print};
use super::plot;
use super::progress::Progress;
use super::report;
use super::tensorboard::EventFile;
use clap::{Args, ValueEnum};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use wgrad::data::{Dataset, atomic_write};
use wgrad::passes::Passes;
use wgrad::train::{
    Config, Fit, Metric, Metrics, Model, Monitor, OnDeviceLoss, Preprocessing, Report, RunFolder, SetName, Trainer,
};
use wgrad::wgsl::DescribedGpu;
use wgrad::{Error, Session};

/// The parent folder of runs without `--out`.
const RUNS: &str = "runs";
/// The file of the loss and error curves.
const CURVES: &str = "curves.png";
/// The file of the report.
const REPORT: &str = "report.html";

/// Train a network and write a run folder
///
/// Progress goes to stderr, a summary to stdout. The folder contains config.toml (all settings; `wgrad train` accepts
/// it), metrics.json, metrics.csv, model.safetensors, best.safetensors (the epoch that --monitor says is best),
/// checkpoints/, curves.png and report.html. MNIST-1D is generated unless --data or `data.path` in the settings names a data set.
#[derive(Debug, Args)]
pub(super) struct TrainArgs {
    /// A preset (cnn, mlp, logistic) or a .toml settings file
    #[arg(value_name = "PRESET|FILE.toml", default_value = "cnn", conflicts_with = "resume")]
    settings: String,
    #[command(flatten)]
    device: DeviceArg,
    #[command(flatten)]
    gpu: GpuArgs,
    /// The number of epochs, at least 1 [default: from the settings; presets: 50]
    #[arg(long, value_name = "N")]
    epochs: Option<u32>,
    /// The seed of parameter initialisation, shuffling and dropout [default: from the settings; presets: 0]
    // The seed is written to config.toml, and TOML's integers are signed.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    seed: Option<u64>,
    /// The batch size, at most the size of the training set [default: from the settings; presets: 100]
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// The initial learning rate, 0 or more [default: from the settings; presets: 0.05]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    lr: Option<f64>,
    /// The data: a folder of .npy or IDX files, or a .npz, .csv, .tsv or .safetensors file
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Change any setting, such as optimizer.lr=0.1 or model.layers.0.out_features=64; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Start from the weights in a .safetensors file: a run's, or a PyTorch state_dict
    #[arg(long, value_name = "FILE")]
    init: Option<PathBuf>,
    /// With --init: take what fits in name and shape, and draw the rest
    #[arg(long)]
    init_partial: bool,
    /// The metric that says which epoch is best, such as val_error [default: val_loss; without a validation set,
    /// train_loss]
    #[arg(long, value_name = "METRIC", value_parser = monitor)]
    monitor: Option<Monitor>,
    /// Keep the data set on the device, whatever its size
    #[arg(long, conflicts_with = "stream")]
    resident: bool,
    /// Stream the data set to the device, whatever its size
    #[arg(long)]
    stream: bool,
    /// Go on with a run from its last checkpoint, with the same results as if it had not been interrupted
    #[arg(long, value_name = "RUN", conflicts_with_all = ["out", "seed", "batch", "lr", "data", "set", "init", "explain"])]
    resume: Option<PathBuf>,
    /// End the run after this time (such as 90s, 30m or 2h), with a checkpoint to resume from
    #[arg(long, value_name = "TIME", value_parser = time)]
    max_time: Option<Duration>,
    /// What to do if the device is lost: end with the last checkpoint's name, or open it again and go on
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = DeviceLoss::Fail)]
    on_device_loss: DeviceLoss,
    /// The run folder; an existing run in it is replaced [default: the next free runs/NAME-1, runs/NAME-2, …]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write the scores of each epoch to a TensorBoard event file in the run folder
    #[arg(long)]
    tensorboard: bool,
    /// Print metrics.json to stdout instead of the summary
    #[arg(long)]
    json: bool,
    /// Print the plan of a training step instead of training: the fused operations, operands and work of each kernel
    /// launch, and the totals of the step. Creates no folder
    #[arg(long, conflicts_with_all = ["json", "out"])]
    explain: bool,
    /// With --explain: plan for a GPU that FILE describes, or `h200`, which need not be there, and estimate what each
    /// dispatch takes on it
    #[arg(long, value_name = "FILE", requires = "explain", conflicts_with = "device")]
    on: Option<PathBuf>,
    /// If a parameter, the optimiser state or the loss becomes NaN or infinite, report the first operation and step
    /// that caused it, with its operands. Copies the parameters to the host after each epoch
    #[arg(long, conflicts_with = "explain")]
    detect_anomaly: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DeviceLoss {
    Fail,
    Retry,
}

fn monitor(text: &str) -> Result<Monitor, String> {
    text.parse()
}

/// A time such as `90s`, `30m`, `2h` or, in seconds, `90`.
fn time(text: &str) -> Result<Duration, String> {
    let units = [("s", 1.0), ("m", 60.0), ("h", 3600.0), ("", 1.0)];
    let parsed = units.iter().find_map(|(unit, seconds)| {
        let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
        Duration::try_from_secs_f64(number * seconds).ok()
    });
    parsed.filter(|time| !time.is_zero()).ok_or_else(|| format!("`{text}` is not a time such as 90s, 30m or 2h"))
}

impl TrainArgs {
    /// The settings with the command line's changes, checked; the paths are absolute.
    fn resolve(&self) -> Result<Config, Error> {
        let mut config = match &self.resume {
            Some(run) => RunFolder::open(run)?.config()?,
            None => Config::resolve(&self.settings)?,
        };
        config.epochs = self.epochs.unwrap_or(config.epochs);
        config.seed = self.seed.unwrap_or(config.seed);
        config.batch = self.batch.unwrap_or(config.batch);
        config.monitor = self.monitor.or(config.monitor);
        if let Some(lr) = self.lr {
            config.optimizer.set_lr(lr);
        }
        if let Some(path) = &self.data {
            config.data = config.data.at(path);
        }
        if let Some(file) = &self.init {
            config.init = Some(file.clone());
        }
        config.init_partial |= self.init_partial;
        for assignment in &self.set {
            config = config.with_assignment(assignment)?;
        }
        if self.resident || self.stream {
            config.data.resident = Some(self.resident);
        }
        let config = config.with_absolute_paths()?;
        config.check()?;
        Ok(config)
    }

    pub(super) fn run(&self) -> Outcome {
        let mut config = self.resolve()?;
        let start = Instant::now();
        // Loading drivers takes long, so the data set is loaded or generated at the same time.
        let data = std::thread::scope(|scope| {
            scope.spawn(|| self.device.device.look_up());
            config.data.load_as(config.target_kind())
        })?;
        let data_time = start.elapsed();
        config.check_data(&data)?;
        let preprocessing = Preprocessing::fit(&config, &data)?;
        Model::for_data(&config, &preprocessing, data.classes)?;
        announce(&config, &preprocessing);
        config.data = config.data.resolved();
        config.to_toml()?;

        if self.explain {
            return self.print_plan(&config, &data);
        }
        let open = || self.gpu.open(&self.device.device, Passes::all());
        let progress = Progress::new(config.epochs);
        let mut events: Option<EventFile> = None;
        let mut report = |report: Report<'_>| match report {
            Report::Epoch(record) => progress.epoch(record),
            Report::Warning(text) => note(format_args!("warning: {text}")),
        };
        let (fit, target) = match &self.resume {
            Some(run) => {
                let target = Target { folder: RunFolder::open(run)?, is_new: false };
                (Fit::resume(target.folder.clone(), config, &data, open, &mut report)?, target)
            }
            None => {
                let target = Target::open(self.out.as_deref(), &config.name)?;
                let fit = Fit::new(target.folder.clone(), config, &data, open);
                (fit.inspect_err(|_| target.discard())?, target)
            }
        };
        if self.tensorboard {
            events = Some(EventFile::create(target.folder.path())?);
        }
        let mut unwritten = None;
        let mut report = |now: Report<'_>| {
            if let (Report::Epoch(record), Some(events), None) = (&now, &mut events, &unwritten) {
                unwritten = events.epoch(record).err();
            }
            report(now);
        };
        let retry = self.on_device_loss == DeviceLoss::Retry;
        let mut fit = fit
            .max_time(self.max_time)
            .on_device_loss(if retry { OnDeviceLoss::Retry } else { OnDeviceLoss::Fail })
            .by_epochs_of(self.detect_anomaly.then_some(anomaly::epoch));
        let metrics = match fit.run(&mut report) {
            Ok(metrics) => metrics,
            Err(error) => return Err(target.rescue(&mut fit, error)),
        };
        target.finish(&mut fit, &metrics)?;
        if let Some(error) = unwritten {
            return Err(error.into());
        }
        drop(progress);
        if self.json { print(metrics.to_json()?) } else { print(target.summary(fit.config(), &metrics, data_time)) }
    }
}

/// Says what was not said in the settings but found in the data.
fn announce(config: &Config, preprocessing: &Preprocessing) {
    let task = preprocessing.task;
    let loss = config.loss_for(task);
    if config.task.is_none() && config.data.path.is_some() {
        note(format_args!(
            "task: {task} with the loss {} (found in the data; `task` and `loss` set them)",
            loss.name()
        ));
    }
    if task == wgrad::train::Task::Classification && loss.takes_one_hot() {
        note(format_args!("note: the loss {} takes the classes as one-hot vectors", loss.name()));
    }
}

impl TrainArgs {
    fn print_plan(&self, config: &Config, data: &Dataset) -> Outcome {
        let mut trainer = Trainer::open(config, data, || match &self.on {
            Some(file) => Ok(Session::described(DescribedGpu::read(file)?)),
            None => self.gpu.open(&self.device.device, Passes::all()),
        })?;
        let device = trainer.session().device_name();
        let Some(text) = trainer.explain()? else {
            return Err(Error::config(
                "device",
                "the reference device interprets the graph and has no plan; use cpu or gpu",
            )
            .into());
        };
        print(format_args!("a training step of {} with batch size {} on {device}\n\n{text}", config.name, config.batch))
    }
}

/// The folder of a run.
struct Target {
    folder: RunFolder,
    /// The folder did not exist before.
    is_new: bool,
}

impl Target {
    fn open(out: Option<&Path>, name: &str) -> Result<Self, Error> {
        let Some(path) = out else {
            return Ok(Target { folder: RunFolder::create_next(RUNS, name)?, is_new: true });
        };
        let is_new = !path.exists();
        let folder = RunFolder::create(path)?;
        if RunFolder::has_run(path) {
            note(format_args!("note: the existing run in {} will be replaced", path.display()));
        }
        Ok(Target { folder, is_new })
    }

    /// Removes the folder if it is new and empty.
    fn discard(&self) {
        if self.is_new {
            let _ = std::fs::remove_dir(self.folder.path());
        }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Draws the curves and returns the picture.
    fn draw(&self, config: &Config, metrics: &Metrics) -> Result<Vec<u8>, Error> {
        let path = self.path(CURVES);
        let image = plot::curves(&config.name, metrics).png()?;
        atomic_write(path, |file| file.write_all(&image))?;
        Ok(image)
    }

    /// Draws the curves and writes the report, with the details of the first that exists of the test, validation and
    /// training set.
    fn finish(&self, fit: &mut Fit<'_>, metrics: &Metrics) -> Result<(), Error> {
        let curves = self.draw(fit.config(), metrics)?;
        let sets = [SetName::Test, SetName::Val, SetName::Train];
        let set = sets.into_iter().find(|set| metrics.scores.of(*set).is_some());
        let evaluated = match set {
            Some(set) => fit.trainer().evaluate(set)?.map(|evaluated| (set, evaluated)),
            None => None,
        };
        let config = fit.config().clone();
        let page = report::html(&config, metrics, fit.trainer(), &curves, evaluated.as_ref())?;
        atomic_write(self.path(REPORT), |file| file.write_all(page.as_bytes()))
    }

    /// Saves what is valid of a failed run: the metrics and curves of all finished epochs. The last saved model is
    /// kept, because the current parameters may be invalid.
    fn rescue(&self, fit: &mut Fit<'_>, error: Error) -> Failure {
        let path = self.folder.path().display();
        let Some(model_epoch) = fit.saved_epochs() else {
            if fit.is_untouched() {
                note(format_args!("{path}: the existing run was left untouched"));
            }
            return error.into();
        };
        let kept = fit.trainer().metrics().and_then(|metrics| {
            self.folder.save_metrics(&metrics)?;
            self.draw(fit.config(), &metrics)?;
            Ok(metrics.epochs)
        });
        match kept {
            Ok(epochs) => note(format_args!(
                "{path}: contains the metrics of the {epochs} epochs before the failure, and the model after epoch \
                 {model_epoch}"
            )),
            Err(second) => note(format_args!("{path}: the last epochs could not be saved: {second}")),
        }
        error.into()
    }

    fn summary(&self, config: &Config, metrics: &Metrics, data_time: Duration) -> String {
        let mut out = String::new();
        let mut line = |name: &str, value: String| {
            let _ = writeln!(out, "{name:<18}{value}");
        };
        line("network", config.name.clone());
        if let Some(task) = metrics.task {
            line("task", format!("{task}, loss {}", config.loss_for(task).name()));
        }
        line("device", metrics.device.clone());
        line("parameters", grouped(metrics.parameters as u64));
        line("steps", format!("{} in {} epochs", grouped(metrics.steps), grouped(u64::from(metrics.epochs))));
        if let Some(reason) = &metrics.stopped {
            line("ended early", reason.clone());
        }
        if let Some(launches) = metrics.dispatches_per_step {
            line("launches per step", launches.to_string());
        }
        if metrics.peak_bytes > 0 {
            let data = metrics.data.as_deref().unwrap_or("resident");
            line("device memory", format!("{}, data {data}", bytes(metrics.peak_bytes)));
        }
        let times = format!("{} training, {} set-up", duration(metrics.train_seconds), duration(metrics.setup_seconds));
        line("time", times);
        if let Some(seconds) = metrics.first_step_seconds {
            let data = data_time.as_secs_f64();
            line(
                "first step",
                format!("finished {} after the data were loaded, which took {}", duration(seconds), duration(data)),
            );
        }
        let names: Vec<Metric> = metrics.scores.train.iter().map(|(name, _)| name).collect();
        line("", names.iter().map(|name| format!("{:>11}", name.name())).collect());
        for (set, scores) in metrics.scores.iter() {
            let cell = |name: &Metric| match scores.get(*name) {
                Some(value) => format!("{:>11}", metric(*name, value)),
                None => format!("{:>11}", "-"),
            };
            let name = match set {
                SetName::Train => "train",
                SetName::Val => "validation",
                SetName::Test => "test",
            };
            line(name, names.iter().map(cell).collect());
        }
        if let Some(best) = metrics.best {
            let value = metric(best.monitor.metric, best.value);
            line("best", format!("{} {value} after epoch {}", best.monitor, best.epoch));
        }
        line("files", self.path("").display().to_string());
        line("", format!("config.toml  metrics.json  metrics.csv  model.safetensors  {CURVES}  {REPORT}"));
        out.truncate(out.trim_end().len());
        out
    }
}
