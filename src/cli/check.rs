//! `wgrad check`: whether a device computes what it should.

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
/// Each operation's samples, forward and backward; then in other sizes (none, one, primes, just above a tile, more than
/// 65,535 rows), with operands that are transposed, sliced, reversed and broadcast, and with values at the edges of their
/// type. An element passes if it is as near to the reference as a correct implementation must come: `error` is the largest
/// error in units of that bound, so more than 1 is wrong. Where WGSL promises nothing (infinities, NaN) nothing is
/// compared, and a denormal may be a zero.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Check only operations whose name contains one of these
    #[arg(value_name = "PATTERN")]
    patterns: Vec<String>,
    #[command(flatten)]
    device: DeviceArg,
    #[command(flatten)]
    gpu: GpuArgs,
    /// Check only cases that contain this, such as "f16" or "transposed"
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// What values are drawn from [default: 0; with --model: the settings']
    #[arg(long, value_name = "N")]
    seed: Option<u32>,
    /// Try N random programs too; one that fails is made as small as it can be
    #[arg(long, value_name = "N", default_value_t = 0)]
    fuzz: u32,
    /// Write the report to a file, with the adapter, driver, limits and features
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Save what fails below this folder, to be run again elsewhere with --replay
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// Run a saved failure again instead
    #[arg(long, value_name = "BUNDLE", conflicts_with_all = ["patterns", "filter", "fuzz", "json", "bundle"])]
    replay: Option<PathBuf>,
    /// Print reports that --json saved as one table instead, a row for each device; exit code 1 if one has a failure
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["patterns", "filter", "fuzz", "json", "bundle", "replay", "model"])]
    reports: Vec<PathBuf>,
    /// Run a training step of a network instead (cnn, mlp, logistic, or a .toml file of settings), and find the first
    /// operation of it that the device computes wrongly
    #[arg(long, value_name = "PRESET|FILE.toml", conflicts_with_all = ["patterns", "filter", "fuzz", "replay"])]
    model: Option<String>,
    /// Run the cases of a folder of golden values instead (index.json and a .npz for each case, as PyTorch computed them)
    #[arg(long, value_name = "DIR", conflicts_with_all = ["patterns", "fuzz", "replay", "model", "json", "bundle", "seed"])]
    goldens: Option<PathBuf>,
    /// Which step of --model to look at; those before it are made on the CPU, and only this one is compared
    #[arg(long, value_name = "N", default_value_t = 1, requires = "model", value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// What to compare --model with: reference, or another device
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
            // A line now and then: cases take milliseconds.
            if index.is_multiple_of(50) {
                note(format_args!("{}/{total}  {name}", index + 1));
            }
        };
        let report = check::run(&mut session, &samples, &options, progress)?;
        if report.cases() + report.skipped() == 0 {
            return Err(self.nothing(&samples).into());
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

    fn nothing(&self, samples: &[Sample]) -> Error {
        let asked = [self.patterns.as_slice(), self.filter.as_slice()].concat().join(" ");
        Error::config(
            "PATTERN",
            format!("no case contains `{asked}`; the operations are {}", listed(samples.iter().map(|s| s.op))),
        )
    }

    fn verdict(&self, report: &Report) -> Outcome {
        let skipped = match report.skipped() {
            0 => String::new(),
            n => format!("; {n} skipped: the device has no 16-bit floats"),
        };
        let elements: usize = report.ops.iter().map(|op| op.compared).sum();
        let (cases, elements) = (grouped(report.cases() as u64), grouped(elements as u64));
        if report.passed() {
            return print(format_args!("\nall {cases} cases are right ({elements} elements){skipped}"));
        }
        let mut out =
            format!("\n{} of {cases} cases are WRONG{skipped}\n", report.ops.iter().map(|op| op.failed).sum::<usize>());
        for failure in &report.failures {
            out.push_str(&format!("\n{failure}\n"));
            if let Some(reproducer) = &failure.reproducer {
                out.push_str(&format!("the smallest program found that fails:\n{reproducer}\n"));
            }
            out.push_str(&format!("again: {}\n", self.again(failure)));
            if let Some(bundle) = &failure.bundle {
                out.push_str(&format!("saved: {}\n", bundle.display()));
            }
        }
        Err(Failure::Check(out))
    }

    /// The command that runs one failing case.
    fn again(&self, failure: &check::Failure) -> String {
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
            return Err(Error::config("--filter", format!("no case of {} contains it", folder.display())).into());
        }
        print(&report)?;
        if report.is_complete() {
            Ok(())
        } else {
            let message = format!("{} cases failed, {} are not covered", report.failed(), report.not_covered());
            Err(Failure::Check(message))
        }
    }

    fn replay(&self, folder: &PathBuf) -> Outcome {
        let bundle = Bundle::read(folder)?;
        let mut session = self.open()?;
        let comparisons = bundle.replay(&mut session)?;
        let head = format!("{} (recorded on {})\ndevice  {}", bundle.title(), bundle.device(), session.device_name());
        let worst = comparisons.iter().map(|c| c.worst).fold(0.0, f64::max);
        print(format_args!("{head}\nerror   {worst:.3e} of what is allowed"))?;
        match comparisons.iter().find(|c| !c.passed()) {
            None => Ok(()),
            Some(wrong) => {
                let at = wrong.at.as_ref().map(ToString::to_string).unwrap_or_default();
                Err(Failure::Check(format!("WRONG here too: {at}")))
            }
        }
    }
}

/// Prints saved reports side by side.
fn compare(files: &[PathBuf]) -> Outcome {
    let reports = files.iter().map(Report::read).collect::<Result<Vec<_>, Error>>()?;
    print(check::side_by_side(&reports))?;
    let failed: Vec<&str> = reports.iter().filter(|r| !r.passed()).map(|r| r.name.as_str()).collect();
    if failed.is_empty() { Ok(()) } else { Err(Failure::Check(format!("WRONG: {}", failed.join(", ")))) }
}
