//! `wgrad tune`: the fastest variant of each kernel on the device at hand.

use super::DeviceArg;
use super::bench::time;
use super::check_model::values;
use super::open::GpuArgs;
use super::output::{Failure, Outcome, note, print};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;
use wgrad::bench::tune::{Found, Subject, TunedCase, TunedTrial, Tuner, after};
use wgrad::data::atomic_write;
use wgrad::gpu::{self, TunedFile};
use wgrad::passes::Passes;
use wgrad::train::{Config, Trainer};
use wgrad::verify::Trial;
use wgrad::wgsl::{Choice, Tuned};
use wgrad::{Device, Error, GpuChoice};

/// Find the fastest variant of each kernel on a GPU, and run it from now on
///
/// A kernel can be run in several ways: tiles of a matmul, threads that share a sum, parts of a sum for different
/// workgroups. A rule chooses one without measuring. Here every variant of a case, or of each launch of a model's training
/// step, is first checked against the f64 reference (one that is wrong is refused and named), then timed; the best ones
/// are timed again in turn with the rule's. Winners are kept in a file of the cache directory for this adapter, driver and
/// version of wgrad, which compiling uses from then on; `--no-tune` of other commands does without.
#[derive(Debug, Args)]
pub(super) struct TuneArgs {
    /// Tune only benchmark cases whose name contains one of these (`wgrad bench --list`); all of them if none is given
    #[arg(value_name = "PATTERN", conflicts_with = "model")]
    patterns: Vec<String>,
    /// Tune the launches of a training step: a preset or a file of settings
    #[arg(long, value_name = "FILE.toml")]
    model: Option<String>,
    #[command(flatten)]
    device: DeviceArg,
    #[command(flatten)]
    gpu: GpuArgs,
    /// Stop after so many seconds, and keep what was found
    #[arg(long, value_name = "S")]
    time_limit: Option<f64>,
    /// Write everything measured to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measure again what was measured before
    #[arg(long)]
    again: bool,
    /// Print what is kept for the device instead
    #[arg(long, conflicts_with_all = ["export", "import"])]
    show: bool,
    /// Write what is kept for the device to a file instead, for another machine of its kind
    #[arg(long, value_name = "FILE", conflicts_with = "import")]
    export: Option<PathBuf>,
    /// Keep what such a file holds instead; it must be of this adapter, driver and version
    #[arg(long, value_name = "FILE")]
    import: Option<PathBuf>,
}

impl TuneArgs {
    pub(super) fn run(&self) -> Outcome {
        if self.gpu.variant.is_some() {
            return Err(Error::config("variant", "all variants are measured").into());
        }
        let choice = match &self.device.device {
            Device::Gpu(choice) => choice.clone(),
            Device::Auto => GpuChoice::Fastest,
            device => {
                return Err(
                    Error::config("device", format!("variants are a GPU's, and the device is `{device}`")).into()
                );
            }
        };
        let info = gpu::adapter(&choice)?;
        let path = TunedFile::path(&info);
        let (kept, unused) = TunedFile::find(&info);
        if let Some(error) = &unused {
            note(format_args!("not used: {error}"));
        }
        let kept = kept.unwrap_or_else(|| TunedFile::new(&info));
        if self.show {
            return show(&kept, path.as_deref());
        }
        if let Some(to) = &self.export {
            kept.write(to)?;
            return print(format_args!("{} variants written to {}", kept.variants.0.len(), to.display()));
        }
        let Some(path) = path else {
            return Err(Error::config("WGRAD_CACHE_DIR", "there is no cache directory to keep the result in").into());
        };
        if let Some(from) = &self.import {
            let given = TunedFile::read(from, &info)?;
            given.write(&path)?;
            return print(format_args!("{} variants kept in {}", given.variants.0.len(), path.display()));
        }
        let device = Device::Gpu(choice);
        let before = if self.again { Tuned::default() } else { kept.variants.clone() };
        let found = self.tune(&device, before)?;
        let mut file = kept;
        file.variants.0.extend(found.iter().map(|found| (found.launch.clone(), found.best.clone())));
        let place = if self.gpu.shaders.is_some() {
            "not kept, as they are of other shaders".to_string()
        } else {
            file.write(&path)?;
            format!("kept in {}", path.display())
        };
        if let Some(json) = &self.json {
            let text = serde_json::to_string_pretty(&found).map_err(|e| Error::Internal(format!("JSON: {e}")))?;
            atomic_write(json, |file| writeln!(file, "{text}"))?;
        }
        self.report(&found, &place)
    }

    fn tune(&self, device: &Device, before: Tuned) -> Result<Vec<Found>, Failure> {
        let bar = ProgressBar::with_draw_target(
            None,
            if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() },
        );
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(250));
        let mut open = |choice: Choice| self.gpu.open_with(device, Passes::all(), Some(choice));
        let mut progress = |subject: &str, launch: usize, launches: usize| {
            bar.set_message(format!("{subject}: launch {} of {launches}", launch + 1));
            if bar.is_hidden() {
                note(format_args!("{subject}: launch {} of {launches}", launch + 1));
            }
        };
        let until = self.time_limit.map(|seconds| {
            after(seconds).ok_or_else(|| Error::config("time-limit", format!("{seconds} is no number of seconds")))
        });
        let mut tuner = Tuner { open: &mut open, until: until.transpose()?, progress: &mut progress, tuned: before };
        let mut found = Vec::new();
        if let Some(settings) = &self.model {
            let config = Config::resolve(settings)?;
            config.check()?;
            let data = config.data.load_as(config.target_kind())?;
            config.check_data(&data)?;
            let mut trainer = Trainer::new(&config, &data, Device::cpu())?;
            let graph = trainer.step_graph(0);
            let mut trial = Trial::new(&graph, &[]);
            trial.variables = values(&mut trainer, &graph)?;
            trial.seed = config.seed;
            found.extend(tuner.run(&mut TunedTrial::new(config.name.clone(), trial)?)?);
        } else {
            for case in super::bench::chosen(&self.patterns)? {
                let mut subject = TunedCase::new(&case);
                match tuner.run(&mut subject) {
                    Ok(more) => found.extend(more),
                    // What the device cannot run is left out, as in `wgrad bench`.
                    Err(error @ (Error::Limit { .. } | Error::OutOfMemory(_) | Error::Device(_))) => {
                        note(format_args!("{}: left out: {error}", subject.name()));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        bar.finish_and_clear();
        Ok(found)
    }

    fn report(&self, found: &[Found], place: &str) -> Outcome {
        let mut out = format!("{:<44} {:>9} {:>9} {:>6}  variant\n", "launch", "rule", "best", "");
        for one in found {
            let [best, rule] = one.seconds;
            // A case is one launch, or few; a model has many.
            let name = match &self.model {
                Some(_) => one.launch.split(':').next().unwrap_or_default(),
                None => &one.subject,
            };
            let kept = if one.is_better() { one.best.as_str() } else { "the rule's" };
            let ratio = format!("{:.2}", best / rule);
            out += &format!("{name:<44} {:>9} {:>9} {ratio:>6}  {kept}\n", time(rule), time(best));
            for wrong in one.refused() {
                out += &format!(
                    "  refused: {} is wrong here: its error is {:.1e} times what is allowed\n",
                    wrong.variant, wrong.worst
                );
            }
        }
        let better = found.iter().filter(|one| one.is_better()).count();
        out += &format!("{} launches tuned, {better} of them better than by rule; {place}", found.len());
        let refused = found.iter().flat_map(Found::refused).count();
        print(out)?;
        match refused {
            0 => Ok(()),
            n => Err(Failure::Check(format!(
                "{n} variants gave wrong results: report them, with `wgrad doctor`'s output"
            ))),
        }
    }
}

fn show(kept: &TunedFile, path: Option<&std::path::Path>) -> Outcome {
    let mut out = String::new();
    for (launch, variant) in &kept.variants.0 {
        out += &format!("{variant:<28} {launch}\n");
    }
    let place = path.map_or_else(|| "no cache directory".to_string(), |path| path.display().to_string());
    print(format_args!("{out}{} launches on {} ({}): {place}", kept.variants.0.len(), kept.adapter, kept.driver))
}
