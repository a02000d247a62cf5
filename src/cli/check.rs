//! `wgrad check`: checks the results of a device.

use super::DeviceArg;
use super::check_model::ModelCheck;
use super::open::GpuArgs;
use super::output::{Failure, Outcome, grouped, listed, note, print};
use clap::Args;
use std::path::PathBuf;
use wgrad::data::atomic_write;
use wgrad::ops::samples::Sample;
use wgrad::passes::Passes;
use wgrad::verify::bundle::Bundle;
use wgrad::verify::check::{self, CheckOptions, Report};
use wgrad::verify::goldens;
use wgrad::{Device, Error, Session};

/// Check every kernel and its gradients against the f64 reference
///
/// Runs the samples of each operation, forward and backward; then variants with other sizes (0, 1, primes, just above a
/// tile, more than 65,535 rows), with transposed, sliced, flipped and broadcast operands, and with extreme values. An
/// element passes if its error is within the bound for a correct implementation. `error` is the largest error in units
/// of that bound, so a value above 1 is wrong. Values that WGSL does not specify (infinity, NaN) are not compared, and
/// denormals may be flushed to zero.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Check only operations whose name contains one of these
    #[arg(value_name = "PATTERN")]
    patterns: Vec<String>,
    #[command(flatten)]
    device: DeviceArg,
    #[command(flatten)]
    gpu: GpuArgs,
    /// Check only cases whose name contains this, such as "f16" or "transposed"
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// The seed of the random values [default: 0; with --model: from the settings]
    #[arg(long, value_name = "N")]
    seed: Option<u32>,
    /// Also run N random programs; a failing one is reduced to a minimal one
    #[arg(long, value_name = "N", default_value_t = 0)]
    fuzz: u32,
    /// Write the report as JSON to a file, with the adapter, driver, limits and features
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Save failing cases in subfolders of this folder, to be replayed elsewhere with --replay
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// Replay a saved failing case instead
    #[arg(long, value_name = "BUNDLE", conflicts_with_all = ["patterns", "filter", "fuzz", "json", "bundle"])]
    replay: Option<PathBuf>,
    /// Print a table of reports saved with --json instead, with a row per device; exit with code 1 if one has failures
    #[arg(
        long,
        value_name = "FILE",
        num_args = 1..,
        conflicts_with_all = ["patterns", "filter", "fuzz", "json", "bundle", "replay", "model"]
    )]
    reports: Vec<PathBuf>,
    /// Check a training step of a network instead (cnn, mlp, logistic, or a .toml settings file), and find the first
    /// operation whose result is wrong
    #[arg(long, value_name = "PRESET|FILE.toml", conflicts_with_all = ["patterns", "filter", "fuzz", "replay"])]
    model: Option<String>,
    /// Check a folder of golden values computed by PyTorch instead (index.json and a .npz file for each case)
    #[arg(
        long,
        value_name = "DIR",
        conflicts_with_all = ["patterns", "fuzz", "replay", "model", "json", "bundle", "seed"]
    )]
    goldens: Option<PathBuf>,
    /// The step to check with --model; the steps before it run on the CPU and are not compared
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        requires = "model",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    steps: u32,
    /// The device to compare --model with
    #[arg(long, value_name = "DEVICE", default_value = "reference", requires = "model", value_parser = super::device)]
    against: Device,
}

impl CheckArgs {
    pub(super) fn run(&self) -> Outcome {
        if !self.reports.is_empty() {
            return compare(&self.reports);
        }
        if let Some(folder) = &self.replay {
            return self.replay(folder);
        }
        if let Some(settings) = &self.model {
            let check = ModelCheck {
                settings,
                step: self.steps,
                against: &self.against,
                device: &self.device.device,
                gpu: &self.gpu,
                seed: self.seed,
                bundles: self.bundle.as_deref(),
                json: self.json.as_deref(),
            };
            return check.run();
        }
        if let Some(folder) = &self.goldens {
            return self.goldens(folder);
        }
        let options = CheckOptions {
            patterns: self.patterns.clone(),
            filter: self.filter.clone(),
            seed: self.seed.unwrap_or(0),
            samples_only: false,
            fuzz: self.fuzz,
            bundles: self.bundle.clone(),
        };
        let samples = wgrad::verify::samples();
        let mut session = self.open()?;
        let progress = |index: usize, total: usize, name: &str| {
            // Cases take milliseconds, so only some are reported.
            if index.is_multiple_of(50) {
                note(format_args!("{}/{total}  {name}", index + 1));
            }
        };
        let report = check::run(&mut session, &samples, &options, progress)?;
        if report.cases() + report.skipped() == 0 {
            return Err(self.no_case(&samples).into());
        }
        print(format_args!("device  {}\n\n{}", report.name, report.table()))?;
        if let Some(path) = &self.json {
            let text = report.to_json()?;
            atomic_write(path, |file| writeln!(file, "{text}"))?;
        }
        self.verdict(&report)
    }

    fn open(&self) -> Result<Session, Error> {
        self.gpu.open(&self.device.device, Passes::all())
    }

    fn no_case(&self, samples: &[Sample]) -> Error {
        let both = [self.patterns.join(" "), self.filter.clone().unwrap_or_default()];
        let text = both.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join("` and `");
        Error::config(
            "PATTERN",
            format!("no case contains `{text}`; the operations are {}", listed(samples.iter().map(|s| s.op))),
        )
    }

    fn verdict(&self, report: &Report) -> Outcome {
        let skipped = match report.skipped() {
            0 => String::new(),
            n => format!("; {n} skipped: the device does not support 16-bit floats"),
        };
        let elements: usize = report.ops.iter().map(|op| op.compared).sum();
        let (cases, elements) = (grouped(report.cases() as u64), grouped(elements as u64));
        if report.passed() {
            return print(format_args!("\nall {cases} cases passed ({elements} elements){skipped}"));
        }
        let mut out =
            format!("\n{} of {cases} cases FAILED{skipped}\n", report.ops.iter().map(|op| op.failed).sum::<usize>());
        for failure in &report.failures {
            out.push_str(&format!("\n{failure}\n"));
            if let Some(reproducer) = &failure.reproducer {
                out.push_str(&format!("minimal failing program:\n{reproducer}\n"));
            }
            out.push_str(&format!("to repeat: {}\n", self.repeat(failure)));
            if let Some(bundle) = &failure.bundle {
                out.push_str(&format!("saved to: {}\n", bundle.display()));
            }
        }
        Err(Failure::Check(out))
    }

    /// The command that repeats one failing case.
    fn repeat(&self, failure: &check::Failure) -> String {
        let device = format!("--device {}{}", self.device.device, self.gpu.repeat());
        match failure.case.strip_prefix("seed ") {
            Some(seed) if failure.op == "random" => {
                format!("wgrad check --filter \"random seed\" --fuzz 1 --seed {seed} {device}")
            }
            _ => format!(
                "wgrad check {} --filter \"{} {}\" --seed {} {device}",
                failure.op,
                failure.op,
                failure.case,
                self.seed.unwrap_or(0)
            ),
        }
    }

    fn goldens(&self, folder: &PathBuf) -> Outcome {
        let mut session = if self.device.device == Device::reference() { None } else { Some(self.open()?) };
        let report = goldens::run_on(folder, session.as_mut(), self.filter.as_deref().unwrap_or(""))?;
        if report.cases.is_empty() {
            return Err(Error::config("--filter", format!("no case name in {} contains it", folder.display())).into());
        }
        print(&report)?;
        if report.is_complete() {
            Ok(())
        } else {
            let message = format!("{} cases failed, {} not covered", report.failed(), report.not_covered());
            Err(Failure::Check(message))
        }
    }

    fn replay(&self, folder: &PathBuf) -> Outcome {
        let bundle = Bundle::read(folder)?;
        let mut session = self.open()?;
        let comparisons = bundle.replay(&mut session)?;
        let head = format!("{} (recorded on {})\ndevice  {}", bundle.title(), bundle.device(), session.device_name());
        let worst = comparisons.iter().map(|c| c.worst).fold(0.0, f64::max);
        print(format_args!("{head}\nerror   {worst:.3e}, in units of its bound"))?;
        match comparisons.iter().find(|c| !c.passed()) {
            None => Ok(()),
            Some(wrong) => {
                let at = wrong.at.as_ref().map(ToString::to_string).unwrap_or_default();
                Err(Failure::Check(format!("WRONG on this device too: {at}")))
            }
        }
    }
}

/// Prints a table of saved reports.
fn compare(files: &[PathBuf]) -> Outcome {
    let reports = files.iter().map(Report::read).collect::<Result<Vec<_>, Error>>()?;
    print(check::side_by_side(&reports))?;
    let failed: Vec<&str> = reports.iter().filter(|r| !r.passed()).map(|r| r.name.as_str()).collect();
    if failed.is_empty() { Ok(()) } else { Err(Failure::Check(format!("WRONG: {}", failed.join(", ")))) }
}
