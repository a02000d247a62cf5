//! `wgrad bench`: measures kernels, after checking their results, and training steps.

use super::DeviceArg;
use super::open::GpuArgs;
use super::output::{Failure, Outcome, bytes, duration, grouped, listed, note, print};
use super::roofline;
use clap::{Args, Subcommand};
use std::fmt::Write;
use std::path::PathBuf;
use wgrad::bench::{self, BatchSize, Case, CaseResult, Change, Comparison, Machine, Options, Report, Roof, Timing};
use wgrad::data::atomic_write;
use wgrad::passes::Passes;
use wgrad::train::Config;
use wgrad::wgsl::DescribedGpu;
use wgrad::{DType, Error, Session};

/// Benchmark kernels, or training steps, against the machine's roofline
///
/// First the roofline is measured: the device's throughput of fused multiply-adds and its memory bandwidth. Then each
/// case is checked against the f64 reference and, if correct, timed. A wrong case is not timed. Times are medians of
/// many samples, from GPU timestamps if the device supports them; ± is the relative standard deviation (estimated from
/// the median absolute deviation). `% roof` is the roofline's minimum time divided by the measured time. `error` is the
/// largest error in units of its bound. The roofline is that of f32, also for f16. A value above 100 % means that the
/// roofline was measured while the machine was busy, or that the data fit in a faster cache than the one measured.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct BenchArgs {
    #[command(subcommand)]
    command: Option<BenchCommand>,
    /// Measure only cases whose name contains one of these; --list prints the names
    #[arg(value_name = "PATTERN")]
    patterns: Vec<String>,
    #[command(flatten)]
    device: DeviceArg,
    #[command(flatten)]
    gpu: GpuArgs,
    #[command(flatten)]
    time: TimeArgs,
    /// Write all results as JSON to a file, with the device, driver, date and method
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Compare with an earlier --json file of the same machine; exit with code 1 if a case is slower
    ///
    /// A change is significant if it exceeds 5 % and three times the combined standard deviation of both measurements.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Write a roofline plot of the cases
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Do not measure: estimate what the cases take on a GPU that FILE describes, or `h200`, which need not be there
    #[arg(long, value_name = "FILE", conflicts_with_all = ["device", "json", "baseline", "plot", "list"])]
    on: Option<PathBuf>,
    /// Only print the names of the cases
    #[arg(long)]
    list: bool,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    Train(TrainArgs),
}

/// Options that control the measuring time.
#[derive(Debug, Args)]
struct TimeArgs {
    /// The number of samples per case; slow cases get fewer
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    samples: u32,
    /// The approximate total time of the samples of a case, in seconds
    #[arg(long, value_name = "S", default_value_t = 0.5, value_parser = seconds, allow_negative_numbers = true)]
    min_time: f64,
}

impl TimeArgs {
    fn options(&self) -> Options {
        Options { samples: self.samples as usize, min_time: self.min_time }
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let parsed = text.parse().ok().filter(|s| (0.0..=3600.0).contains(s));
    parsed.ok_or_else(|| "must be a number of seconds from 0 to 3600".to_string())
}

/// The cases whose names contain one of the patterns; all cases if there are no patterns.
pub(super) fn chosen(patterns: &[String]) -> Result<Vec<Case>, Error> {
    let mut cases = bench::all();
    for pattern in patterns {
        if !cases.iter().any(|case| case.name.contains(pattern.as_str())) {
            let groups = listed(cases.iter().map(Case::group));
            let message = format!("no case name contains `{pattern}`; the kernels are {groups}");
            return Err(Error::config("PATTERN", format!("{message}; --list prints all names")));
        }
    }
    cases.retain(|case| patterns.is_empty() || patterns.iter().any(|p| case.name.contains(p.as_str())));
    Ok(cases)
}

/// What cases would take on a described GPU, as a table.
fn estimates(cases: &[Case], gpu: &DescribedGpu) -> Result<String, Error> {
    let width = cases.iter().map(|case| case.name.len()).max().unwrap_or(0).max(4);
    let mut text = format!("{}, estimated\n{:<width$}  dispatches   seconds  at least  Gflop/s", gpu.name, "case");
    for case in cases.iter().filter(|case| gpu.limits.f16 || case.inputs.iter().all(|i| i.dtype != DType::F16)) {
        let found = bench::estimate(case, gpu)?;
        let [seconds, least] = [found.seconds, found.least].map(time);
        let rate = found.flops as f64 / found.seconds / 1e9;
        let _ =
            write!(text, "\n{:<width$}  {:>10}  {seconds:>8}  {least:>8}  {rate:>7.0}", case.name, found.dispatches);
    }
    Ok(text)
}

impl BenchArgs {
    pub(super) fn run(&self) -> Outcome {
        if let Some(BenchCommand::Train(args)) = &self.command {
            return args.run();
        }
        let cases = chosen(&self.patterns)?;
        if self.list {
            let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
            return print(names.join("\n"));
        }
        if let Some(file) = &self.on {
            return print(estimates(&cases, &DescribedGpu::read(file)?)?);
        }
        let machine = Machine::of(&self.open()?);
        let baseline = self.baseline.as_ref().map(Report::read).transpose()?;
        if let (Some(before), Some(path)) = (&baseline, &self.baseline)
            && let Some(difference) = machine.differs(&before.machine)
        {
            let message = format!("was measured on another machine: {difference}; measure a new baseline");
            return Err(Error::file(path, message).into());
        }
        let options = self.time.options();
        note("measuring the roofline");
        let roof = Roof::measure(&self.device.device, options)?;
        let mut report = Report::new(machine, options, roof);
        let width = cases.iter().map(|case| case.name.len()).max().unwrap_or(0);
        print(heading(&report, width))?;
        for (index, case) in cases.iter().enumerate() {
            note(format_args!("{}/{}  {}", index + 1, cases.len(), case.name));
            // A new session for each case, so that its memory is freed afterwards.
            let result = bench::run_case(&mut self.open()?, case, options)?;
            print(line(&result, &report.roof, width))?;
            report.cases.push(result);
        }
        self.finish(&report, baseline.as_ref())
    }

    fn open(&self) -> Result<Session, Error> {
        let session = self.gpu.open(&self.device.device, Passes::all())?;
        if self.device.device == wgrad::Device::reference() {
            return Err(Error::config("device", "the reference device cannot be benchmarked; use cpu or gpu"));
        }
        Ok(session)
    }

    fn finish(&self, report: &Report, baseline: Option<&Report>) -> Outcome {
        if let Some(path) = &self.json {
            let text = report.to_json()?;
            atomic_write(path, |file| writeln!(file, "{text}"))?;
        }
        if let Some(path) = &self.plot {
            roofline::figure(report).save(path)?;
        }
        let mut failures = Vec::new();
        let wrong: Vec<&str> = report.cases.iter().filter(|c| c.wrong).map(|c| c.name.as_str()).collect();
        if !wrong.is_empty() {
            failures.push(format!("{} wrong: {}", wrong.len(), wrong.join(", ")));
        }
        if let Some(before) = baseline {
            let comparisons = bench::compare(before, report)?;
            print(verdict(before, &comparisons))?;
            let slower: Vec<&str> =
                comparisons.iter().filter(|c| c.change == Change::Slower).map(|c| c.name.as_str()).collect();
            if !slower.is_empty() {
                failures.push(format!("{} slower than the baseline: {}", slower.len(), slower.join(", ")));
            }
        }
        if failures.is_empty() { Ok(()) } else { Err(Failure::Check(failures.join("\n"))) }
    }
}

/// A time with three digits: 1.23 ms, 45.6 µs.
pub(super) fn time(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s >= 1.0 => (s, "s"),
        s if s >= 1e-3 => (s * 1e3, "ms"),
        s if s >= 1e-6 => (s * 1e6, "µs"),
        s => (s * 1e9, "ns"),
    };
    format!("{} {unit}", digits(value))
}

/// A number with at least three digits: 1.23, 12.3, 123, 1234.
fn digits(value: f64) -> String {
    let decimals = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.decimals$}")
}

fn spread(timing: &Timing) -> String {
    format!("{:.1} %", 100.0 * timing.spread())
}

fn rate(per_second: f64) -> String {
    digits(per_second * 1e-9)
}

fn heading(report: &Report, width: usize) -> String {
    let streams = report.roof.streams.iter().map(|s| format!("{} of {}", rate(s.bytes_per_second), bytes(s.bytes)));
    let clock =
        if report.machine.timestamps { "GPU timestamps, and the host's clock (wall)" } else { "the host's clock" };
    let Options { samples, min_time } = report.options;
    format!(
        "device  {}\nroof    {} GFLOP/s (f32 fused multiply-adds); GB/s (a + b): {}\n\
         times   medians, by {clock}; {samples} samples in \
         about {min_time} s\n\n{:<width$} {:>9} {:>7} {:>9} {:>9} {:>8} {:>7} {:>7} {:>6}",
        report.machine.label(),
        rate(report.roof.flops_per_second),
        streams.collect::<Vec<_>>().join(", "),
        "case",
        "median",
        "±",
        "least",
        "wall",
        "GFLOP/s",
        "GB/s",
        "% roof",
        "error",
    )
}

fn line(result: &CaseResult, roof: &Roof, width: usize) -> String {
    let name = &result.name;
    if let Some(reason) = &result.skipped {
        return format!("{name:<width$} skipped: {reason}");
    }
    let (Some(timing), Some(wall)) = (result.time(), &result.wall) else {
        let at = result.at.as_deref().unwrap_or_default();
        return format!("{name:<width$} WRONG: error {:.3e}, in units of its bound: {at}", result.worst_error);
    };
    let flops =
        if result.flops == 0 { "-".to_string() } else { result.flops_per_second().map(rate).unwrap_or_default() };
    format!(
        "{name:<width$} {:>9} {:>7} {:>9} {:>9} {flops:>8} {:>7} {:>7} {:>6.3}",
        time(timing.median),
        spread(timing),
        time(timing.min),
        time(wall.median),
        result.bytes_per_second().map(rate).unwrap_or_default(),
        result.percent_of(roof).map(|p| format!("{p:.1}")).unwrap_or_default(),
        result.worst_error,
    )
}

fn verdict(before: &Report, comparisons: &[Comparison]) -> String {
    let mut out = format!("\ncompared with the baseline of {} (wgrad {})\n", before.date, before.version);
    let width = comparisons.iter().map(|c| c.name.len()).max().unwrap_or(0);
    for c in comparisons {
        let _ = writeln!(
            out,
            "{:<width$} {:<6} {:>9} -> {:>9}  {:.2} times the baseline; threshold {:.0} %",
            c.name,
            c.change.name(),
            time(c.before),
            time(c.after),
            c.ratio(),
            100.0 * c.threshold
        );
    }
    if comparisons.is_empty() {
        out.push_str("no case was timed in both\n");
    }
    out.truncate(out.trim_end().len());
    out
}

/// Benchmark training steps
///
/// For each batch size: the time per step, the kernel launches per step, the host time (command encoding and
/// submission) and the device time, samples per second, the time of an epoch with evaluation, the set-up time, and the
/// time to the end of the first step.
#[derive(Debug, Args)]
struct TrainArgs {
    /// A preset (cnn, mlp, logistic) or a .toml settings file
    #[arg(value_name = "PRESET|FILE.toml", default_value = "cnn")]
    settings: String,
    #[command(flatten)]
    device: DeviceArg,
    #[command(flatten)]
    time: TimeArgs,
    /// The batch sizes to measure [default: the settings' batch size, and a quarter, a half and twice of it]
    #[arg(long, value_name = "N,N,…", value_delimiter = ',')]
    batch_sizes: Vec<usize>,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

impl TrainArgs {
    fn run(&self) -> Outcome {
        let config = Config::resolve(&self.settings)?;
        config.check()?;
        let data = config.data.load_as(config.target_kind())?;
        config.check_data(&data)?;
        let rows = data.train.rows();
        let mut sizes = self.batch_sizes.clone();
        if sizes.is_empty() {
            let of = [config.batch / 4, config.batch / 2, config.batch, 2 * config.batch];
            sizes = of.into_iter().filter(|size| (1..=rows).contains(size)).collect();
        }
        if let Some(size) = sizes.iter().find(|size| !(1..=rows).contains(*size)) {
            let message =
                format!("the batch size {size} is out of range for a training set of {rows} samples; use 1 to {rows}");
            return Err(Error::config("batch-sizes", message).into());
        }
        let progress = |batch: usize| note(format_args!("{} with batch size {batch}", config.name));
        let report = bench::train(&config, &data, &self.device.device, &sizes, self.time.options(), progress)?;
        if self.json {
            return super::output::print_json(&report);
        }
        let mut out = format!(
            "network {}, {} parameters, {} training samples\ndevice  {}\n\n\
             {:>6} {:>10} {:>7} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>11} {:>10} {:>9} {:>10} {:>9}\n",
            report.network,
            grouped(report.parameters as u64),
            grouped(report.rows as u64),
            report.machine.label(),
            "batch",
            "step",
            "±",
            "launches",
            "a launch",
            "host",
            "a launch",
            "alone",
            "device",
            "samples/s",
            "epoch",
            "set-up",
            "first step",
            "memory",
        );
        for size in &report.batch_sizes {
            let _ = writeln!(out, "{}", batch_line(size));
        }
        out.push_str(
            "\nepoch: all training steps, and an evaluation on the training and the validation set.\n\
             host: the host time to encode and submit a step, many steps per submission; then the same per launch.\n\
             alone: the host time of a step submitted alone. device: the total duration of the launches.\n\
             first step: from the start of the set-up to the end of the first step.",
        );
        print(out)
    }
}

fn batch_line(size: &BatchSize) -> String {
    let part = |timing: &Option<Timing>| timing.as_ref().map_or("-".to_string(), |t| time(t.median));
    format!(
        "{:>6} {:>10} {:>7} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>11} {:>10} {:>9} {:>10} {:>9}",
        size.batch,
        time(size.step.median),
        spread(&size.step),
        size.launches,
        time(size.step.median / size.launches.max(1) as f64),
        part(&size.host),
        size.host.as_ref().map_or("-".to_string(), |t| time(t.median / size.launches.max(1) as f64)),
        part(&size.host_alone),
        part(&size.device),
        grouped(size.samples_per_second as u64),
        time(size.epoch.median),
        duration(size.setup_seconds),
        size.first_step_seconds.map_or("-".to_string(), time),
        bytes(size.allocated_bytes),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_a_unit() {
        let texts = [2.5, 0.01234, 9.996e-6, 4.5e-7].map(time);
        assert_eq!(texts, ["2.50 s", "12.3 ms", "10.0 µs", "450 ns"]);
    }

    #[test]
    fn patterns_choose_cases() {
        let names = |patterns: &[&str]| {
            let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
            chosen(&patterns).map(|cases| cases.len()).map_err(|e| e.to_string())
        };
        assert_eq!(names(&[]), Ok(bench::all().len()));
        assert_eq!(names(&["conv2d"]), Ok(6));
        assert!(names(&["conv2d", "dance"]).is_err_and(|e| e.contains("dance") && e.contains("matmul")));
    }
}
