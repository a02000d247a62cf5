//! `wgrad train`: trains a network and writes a run folder.

use super::DeviceArg;
use super::anomaly;
use super::open::GpuArgs;
use super::output::{Failure, Outcome, bytes, duration, grouped, note, number, print};
use super::plot;
use super::progress::Progress;
use clap::Args;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use wgrad::data::{Dataset, atomic_write};
use wgrad::passes::Passes;
use wgrad::train::{Config, DataConfig, Metrics, Model, RunFolder, Trainer};
use wgrad::wgsl::DescribedGpu;
use wgrad::{Error, Session};

/// The parent folder of runs without `--out`.
const RUNS: &str = "runs";
/// The minimum time between two saves of a run's files.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// The file of the loss and error curves.
const CURVES: &str = "curves.png";

/// Train a network and write a run folder
///
/// Progress goes to stderr, a summary to stdout. The folder contains config.toml (all settings; `wgrad train` accepts
/// it), metrics.json, metrics.csv, model.safetensors and curves.png. MNIST-1D is generated unless --data or `data.dir`
/// in the settings names a data set.
#[derive(Debug, Args)]
pub(super) struct TrainArgs {
    /// A preset (cnn, mlp, logistic) or a .toml settings file
    #[arg(value_name = "PRESET|FILE.toml", default_value = "cnn")]
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
    /// A folder of .npy files: x_train.npy (N, …) and y_train.npy (N,); likewise _val and _test
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The run folder; an existing run in it is replaced [default: the next free runs/NAME-1, runs/NAME-2, …]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
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

impl TrainArgs {
    /// The settings with the command line's changes, checked; the path of the data is absolute.
    fn resolve(&self) -> Result<Config, Error> {
        let mut config = Config::resolve(&self.settings)?;
        config.epochs = self.epochs.unwrap_or(config.epochs);
        config.seed = self.seed.unwrap_or(config.seed);
        config.batch = self.batch.unwrap_or(config.batch);
        if let Some(lr) = self.lr {
            config.optimizer.set_lr(lr);
        }
        if let Some(dir) = &self.data {
            config.data = DataConfig { dir: Some(dir.clone()), ..DataConfig::default() };
        }
        if let Some(dir) = &mut config.data.dir {
            *dir = std::path::absolute(&*dir).map_err(|e| Error::file(&*dir, format!("is not a valid path: {e}")))?;
        }
        config.check()?;
        Ok(config)
    }

    pub(super) fn run(&self) -> Outcome {
        let mut config = self.resolve()?;
        let start = Instant::now();
        // Loading drivers takes long, so the data set is loaded or generated at the same time.
        let data = std::thread::scope(|scope| {
            scope.spawn(|| self.device.device.look_up());
            config.data.load()
        })?;
        let data_time = start.elapsed();
        config.check_data(&data)?;
        Model::for_data(&config, &data)?;
        config.data = config.data.resolved();
        config.to_toml()?;

        if self.explain {
            return self.print_plan(&config, &data);
        }
        let target = Target::open(self.out.as_deref(), &config.name)?;
        let trainer = Trainer::open(&config, &data, || self.gpu.open(&self.device.device, Passes::all()));
        let trainer = trainer.inspect_err(|_| target.discard())?;
        let mut fit = Fit { target, config, trainer, data_time, saved: None, detect_anomaly: self.detect_anomaly };
        if !fit.target.replaces {
            fit.target.folder.save_config(&fit.config)?;
        }
        let metrics = match fit.run() {
            Ok(metrics) => metrics,
            Err(error) => return Err(fit.rescue(error)),
        };
        if self.json { print(metrics.to_json()?) } else { print(fit.summary(&metrics)) }
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

/// The folder of a new run.
struct Target {
    folder: RunFolder,
    /// The folder contains another run, whose files are kept until this run's first save.
    replaces: bool,
    /// The folder did not exist before.
    is_new: bool,
}

impl Target {
    fn open(out: Option<&Path>, name: &str) -> Result<Self, Error> {
        let Some(path) = out else {
            return Ok(Target { folder: RunFolder::create_next(RUNS, name)?, replaces: false, is_new: true });
        };
        let is_new = !path.exists();
        let folder = RunFolder::create(path)?;
        let files = ["config.toml", "metrics.json", "model.safetensors"];
        let replaces = files.iter().any(|file| path.join(file).exists());
        if replaces {
            note(format_args!("note: the existing run in {} will be replaced", path.display()));
        }
        Ok(Target { folder, replaces, is_new })
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
}

/// A training run with its folder.
struct Fit {
    target: Target,
    config: Config,
    trainer: Trainer,
    /// The time to load or generate the data set.
    data_time: Duration,
    /// The time of the last save, and the number of epochs before it.
    saved: Option<(Instant, u32)>,
    detect_anomaly: bool,
}

impl Fit {
    fn run(&mut self) -> Result<Metrics, Error> {
        let progress = Progress::new(self.config.epochs);
        if !self.detect_anomaly {
            self.trainer.train_ahead()?;
        }
        while self.trainer.epochs_done() < self.config.epochs {
            let record = if self.detect_anomaly { anomaly::epoch(&mut self.trainer) } else { self.trainer.epoch() };
            progress.epoch(&record?);
            if self.saved.is_none_or(|(time, _)| time.elapsed() >= SAVE_EVERY) {
                self.save()?;
            }
        }
        drop(progress);
        self.trainer.test()?;
        let metrics = self.save()?;
        self.draw(&metrics)?;
        Ok(metrics)
    }

    fn save(&mut self) -> Result<Metrics, Error> {
        if self.target.replaces && self.saved.is_none() {
            // The curves are drawn at the end of the run; the other files are replaced now.
            let _ = std::fs::remove_file(self.target.path(CURVES));
            self.target.folder.save_config(&self.config)?;
        }
        let metrics = self.target.folder.save(&mut self.trainer)?;
        self.saved = Some((Instant::now(), metrics.epochs));
        Ok(metrics)
    }

    fn draw(&self, metrics: &Metrics) -> Result<(), Error> {
        let path = self.target.path(CURVES);
        let image = plot::curves(&self.config.name, metrics).map_err(|message| Error::file(&path, message))?;
        atomic_write(path, |file| file.write_all(&image))
    }

    /// Saves what is valid of a failed run: the metrics and curves of all finished epochs. The last saved model is
    /// kept, because the current parameters may be invalid.
    fn rescue(&mut self, error: Error) -> Failure {
        let path = self.target.folder.path().display();
        let Some((_, model_epoch)) = self.saved else {
            if self.target.replaces {
                note(format_args!("{path}: the existing run was left untouched"));
            }
            return error.into();
        };
        let kept = self.trainer.metrics().and_then(|metrics| {
            self.target.folder.save_metrics(&metrics)?;
            self.draw(&metrics)?;
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

    fn summary(&self, metrics: &Metrics) -> String {
        let mut out = String::new();
        let mut line = |name: &str, value: String| {
            let _ = writeln!(out, "{name:<18}{value}");
        };
        line("network", self.config.name.clone());
        line("device", metrics.device.clone());
        line("parameters", grouped(metrics.parameters as u64));
        line("steps", format!("{} in {} epochs", grouped(metrics.steps), grouped(u64::from(metrics.epochs))));
        if let Some(launches) = metrics.dispatches_per_step {
            line("launches per step", launches.to_string());
        }
        if metrics.peak_bytes > 0 {
            line("device memory", bytes(metrics.peak_bytes));
        }
        let times = format!("{} training, {} set-up", duration(metrics.train_seconds), duration(metrics.setup_seconds));
        line("time", times);
        if let Some(seconds) = metrics.first_step_seconds {
            let data = self.data_time.as_secs_f64();
            line(
                "first step",
                format!("finished {} after the data were loaded, which took {}", duration(seconds), duration(data)),
            );
        }
        line("", "      loss     error".into());
        let sets = [
            ("train", Some(metrics.train_loss), Some(metrics.train_error)),
            ("validation", metrics.val_loss, metrics.val_error),
            ("test", metrics.test_loss, metrics.test_error),
        ];
        for (name, loss, error) in sets {
            if let Some((loss, error)) = loss.zip(error) {
                line(name, format!("{:>10}{:>10}", number(loss), format!("{error:.2} %")));
            }
        }
        line("files", self.target.path("").display().to_string());
        line("", format!("config.toml  metrics.json  metrics.csv  model.safetensors  {CURVES}"));
        out.truncate(out.trim_end().len());
        out
    }
}
