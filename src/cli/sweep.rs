//! `wgrad sweep`: the same network with several settings and seeds.

use super::DeviceArg;
use super::open::GpuArgs;
use super::output::{Outcome, metric, note, print, print_json};
use super::plot;
use clap::Args;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use wgrad::Error;
use wgrad::data::{Dataset, atomic_write};
use wgrad::passes::Passes;
use wgrad::train::{Config, Fit, Metrics, Monitor, RunFolder};

/// Train with every combination of settings, with several seeds, and compare
///
/// Each run has a folder of its own under --out. A sweep that is started again in the same folder keeps what is done,
/// goes on with what was interrupted and does what is missing. Writes sweep.csv (a line per run), sweep.json (a record
/// per combination) and sweep.png.
#[derive(Debug, Args)]
pub(super) struct SweepArgs {
    /// A preset (cnn, mlp, logistic) or a .toml settings file
    #[arg(value_name = "PRESET|FILE.toml")]
    settings: String,
    /// A setting and its values, such as optimizer.lr=0.01,0.1; repeatable: all combinations are trained
    #[arg(long, value_name = "KEY=V1,V2,…")]
    grid: Vec<String>,
    /// The seeds of each combination: 1..5, or a list 1,2,7
    #[arg(long, value_name = "SEEDS", value_parser = seeds, default_value = "0")]
    seeds: Seeds,
    /// The number of runs at the same time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    jobs: u32,
    /// Change a setting of all runs; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The number of epochs [default: from the settings]
    #[arg(long, value_name = "N")]
    epochs: Option<u32>,
    /// The data: a folder of .npy or IDX files, or a .npz, .csv, .tsv or .safetensors file
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// The metric that is compared, and that says which epoch is best [default: the loss of the validation set]
    #[arg(long, value_name = "METRIC")]
    monitor: Option<String>,
    /// The folder of the sweep [default: runs/sweep-NAME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArg,
    #[command(flatten)]
    gpu: GpuArgs,
    /// Print sweep.json to stdout instead of the table
    #[arg(long)]
    json: bool,
}

/// The seeds of a sweep.
#[derive(Debug, Clone)]
struct Seeds(Vec<u64>);

fn seeds(text: &str) -> Result<Seeds, String> {
    let wrong = || format!("`{text}` is not a range of seeds such as 1..5 or a list such as 1,2,7");
    let number = |text: &str| text.trim().parse::<u64>().ok().filter(|&n| i64::try_from(n).is_ok());
    let list: Option<Vec<u64>> = match text.split_once("..") {
        Some((first, last)) => {
            let (first, last) = (number(first), number(last.trim_start_matches('=')));
            first
                .zip(last)
                .filter(|(first, last)| first <= last && last - first < 10_000)
                .map(|(a, b)| (a..=b).collect())
        }
        None => text.split(',').map(number).collect(),
    };
    list.filter(|list| !list.is_empty()).map(Seeds).ok_or_else(wrong)
}

/// The parts of `text` between commas that are not in brackets, braces or quotes.
fn parts(text: &str) -> Vec<&str> {
    let (mut depth, mut quoted, mut start, mut found) = (0i32, false, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '[' | '{' if !quoted => depth += 1,
            ']' | '}' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                found.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(text[start..].trim());
    found
}

/// One combination of settings: `key = value` for each axis of the grid.
type Combination = Vec<(String, String)>;

/// A run of the sweep.
struct Job {
    combination: usize,
    seed: u64,
    config: Config,
    folder: PathBuf,
}

/// The results of a combination over its seeds.
#[derive(Debug, Serialize)]
struct Row {
    settings: BTreeMap<String, String>,
    seeds: Vec<u64>,
    /// The monitored metric after the last epoch, of each seed.
    last: Vec<f64>,
    /// The same after the best epoch.
    best: Vec<f64>,
    mean: f64,
    /// The standard deviation over the seeds, with n − 1; 0 for one seed.
    deviation: f64,
}

#[derive(Debug, Serialize)]
struct Report {
    metric: Monitor,
    rows: Vec<Row>,
}

impl SweepArgs {
    fn base(&self) -> Result<Config, Error> {
        let mut config = Config::resolve(&self.settings)?;
        config.epochs = self.epochs.unwrap_or(config.epochs);
        if let Some(path) = &self.data {
            config.data = config.data.at(path);
        }
        if let Some(monitor) = &self.monitor {
            config.monitor = Some(monitor.parse().map_err(|message: String| Error::config("--monitor", message))?);
        }
        for assignment in &self.set {
            config = config.with_assignment(assignment)?;
        }
        config.with_absolute_paths()
    }

    fn combinations(&self) -> Result<Vec<Combination>, Error> {
        let mut all: Vec<Combination> = vec![Vec::new()];
        for axis in &self.grid {
            let Some((key, values)) = axis.split_once('=') else {
                let message = format!("`{axis}` is not of the form KEY=V1,V2");
                return Err(Error::config("--grid", message));
            };
            let extended = all.iter().flat_map(|earlier| {
                parts(values).into_iter().map(|value| {
                    let mut combination = earlier.clone();
                    combination.push((key.trim().to_string(), value.to_string()));
                    combination
                })
            });
            all = extended.collect();
        }
        Ok(all)
    }

    pub(super) fn run(&self) -> Outcome {
        let base = self.base()?;
        let combinations = self.combinations()?;
        let parent = self.out.clone().unwrap_or_else(|| Path::new("runs").join(format!("sweep-{}", base.name)));
        let mut jobs = Vec::new();
        for (combination, settings) in combinations.iter().enumerate() {
            let mut config = base.clone();
            for (key, value) in settings {
                config = config.with(key, value)?;
            }
            for &seed in &self.seeds.0 {
                let config = Config { seed, ..config.clone() };
                config.check()?;
                let folder = parent.join(folder_name(settings, seed));
                jobs.push(Job { combination, seed, config, folder });
            }
        }
        let results = self.train(&jobs)?;
        let Some(monitor) = results.iter().find_map(|metrics| Some(metrics.best?.monitor)) else {
            return Err(Error::Internal("a sweep without a monitored metric".into()).into());
        };
        let report = report(monitor, &combinations, &jobs, &results);
        self.save(&parent, &base.name, &report, &jobs, &results)?;
        if self.json { print_json(&report) } else { print(report.text(&parent)) }
    }

    /// Trains what is not trained yet and returns the metrics of all runs.
    fn train(&self, jobs: &[Job]) -> Result<Vec<Metrics>, Error> {
        let next = AtomicUsize::new(0);
        let results: Vec<Mutex<Option<Result<Metrics, Error>>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
        std::thread::scope(|scope| {
            for _ in 0..self.jobs {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(job) = jobs.get(index) else { return };
                        let result = self.one(job, index, jobs.len());
                        let failed = result.is_err();
                        if let Ok(mut place) = results[index].lock() {
                            *place = Some(result);
                        }
                        if failed {
                            // No further run is begun.
                            next.store(jobs.len(), Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let taken = results.into_iter().map(|result| result.into_inner().ok().flatten());
        let mut all = Vec::new();
        let mut missing = false;
        for result in taken {
            match result {
                Some(result) => all.push(result?),
                None => missing = true,
            }
        }
        if missing { Err(Error::Internal("a run of the sweep did not take place".into())) } else { Ok(all) }
    }

    fn one(&self, job: &Job, index: usize, count: usize) -> Result<Metrics, Error> {
        let name = job.folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let place = format!("{}/{count} {name}", index + 1);
        let data: Dataset = job.config.data.load_as(job.config.target_kind())?;
        let started = RunFolder::has_run(&job.folder).then(|| RunFolder::open(&job.folder)).transpose()?;
        let open = || self.gpu.open(&self.device.device, Passes::all());
        let mut report = |_: wgrad::train::Report<'_>| {};
        let same = |folder: &RunFolder| {
            let saved = folder.config().ok()?;
            // What a run adds to its settings: the task, the loss, the generator's defaults.
            let data = job.config.data.resolved();
            let expected = Config { task: saved.task, loss: saved.loss.clone(), data, ..job.config.clone() };
            (saved == expected).then_some(())
        };
        let mut fit = match started.as_ref().filter(|folder| same(folder).is_some()) {
            Some(folder) => {
                if let Ok(metrics) = Metrics::read(folder.path().join("metrics.json"))
                    && (metrics.epochs >= job.config.epochs || metrics.stopped.is_some())
                {
                    note(format_args!("{place}: done before"));
                    return Ok(metrics);
                }
                let config = folder.config()?;
                match Fit::resume(folder.clone(), config.clone(), &data, open, &mut report) {
                    Ok(fit) => fit,
                    Err(_) => Fit::new(folder.clone(), config, &data, open)?,
                }
            }
            None => {
                let config = Config { data: job.config.data.resolved(), ..job.config.clone() };
                Fit::new(RunFolder::create(&job.folder)?, config, &data, open)?
            }
        };
        let metrics = fit.run(&mut report)?;
        let best =
            metrics.best.map(|best| format!("best {} {}", best.monitor, metric(best.monitor.metric, best.value)));
        note(format_args!("{place}: {}", best.unwrap_or_default()));
        Ok(metrics)
    }

    fn save(&self, parent: &Path, name: &str, report: &Report, jobs: &[Job], results: &[Metrics]) -> Result<(), Error> {
        let mut csv = String::from("combination,seed,epochs,last,best,best_epoch,seconds,folder\n");
        for (job, metrics) in jobs.iter().zip(results) {
            let last = metrics.scores.monitored(report.metric).map_or(String::new(), |v| v.to_string());
            let (best, epoch) = metrics.best.map_or((String::new(), 0), |b| (b.value.to_string(), b.epoch));
            let (epochs, seconds) = (metrics.epochs, metrics.train_seconds);
            let folder = job.folder.file_name().unwrap_or_default().to_string_lossy();
            let _ = writeln!(
                csv,
                "{},{},{epochs},{last},{best},{epoch},{seconds},\"{}\"",
                job.combination,
                job.seed,
                folder.replace('"', "\"\"")
            );
        }
        atomic_write(parent.join("sweep.csv"), |file| file.write_all(csv.as_bytes()))?;
        let json =
            serde_json::to_string_pretty(report).map_err(|e| Error::Internal(format!("the sweep as JSON: {e}")))?;
        atomic_write(parent.join("sweep.json"), |file| writeln!(file, "{json}"))?;
        // The first seed of each combination.
        let first = |k: usize| jobs.iter().zip(results).find(|(job, _)| job.combination == k);
        let lines: Vec<(String, Metrics)> = (0..report.rows.len())
            .filter_map(first)
            .map(|(job, metrics)| {
                let settings = &report.rows[job.combination].settings;
                let label: Vec<String> = settings.iter().map(|(k, v)| format!("{}={v}", short(k))).collect();
                (label.join(" "), metrics.clone())
            })
            .collect();
        let path = parent.join("sweep.png");
        let seed = self.seeds.0.first().copied().unwrap_or_default();
        let heading = format!("{name}: seed {seed} of each combination");
        plot::runs(&heading, report.metric.metric, &lines).save(path)
    }
}

/// The last key of a path.
fn short(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// The name of a run's folder: its settings and seed, with what a file's name cannot have replaced.
fn folder_name(settings: &Combination, seed: u64) -> String {
    let mut name: String = settings.iter().map(|(key, value)| format!("{key}={value},")).collect();
    let _ = write!(name, "seed={seed}");
    let safe = |c: char| if c.is_alphanumeric() || "=,.-_+".contains(c) { c } else { '_' };
    name.chars().map(safe).take(200).collect()
}

fn report(monitor: Monitor, combinations: &[Combination], jobs: &[Job], results: &[Metrics]) -> Report {
    let rows = combinations.iter().enumerate().map(|(k, settings)| {
        let of: Vec<(&Job, &Metrics)> = jobs.iter().zip(results).filter(|(job, _)| job.combination == k).collect();
        let last: Vec<f64> = of.iter().filter_map(|(_, m)| m.scores.monitored(monitor)).collect();
        let best: Vec<f64> = of.iter().filter_map(|(_, m)| Some(m.best?.value)).collect();
        let count = last.len() as f64;
        let mean = last.iter().sum::<f64>() / count;
        let squares: f64 = last.iter().map(|v| (v - mean).powi(2)).sum();
        let deviation = if last.len() > 1 { (squares / (count - 1.0)).sqrt() } else { 0.0 };
        let seeds = of.iter().map(|(job, _)| job.seed).collect();
        Row { settings: settings.iter().cloned().collect(), seeds, last, best, mean, deviation }
    });
    Report { metric: monitor, rows: rows.collect() }
}

impl Report {
    fn text(&self, parent: &Path) -> String {
        let keys: Vec<String> = self.rows.first().map(|row| row.settings.keys().cloned().collect()).unwrap_or_default();
        let better = |a: &&Row, b: &&Row| {
            let order = a.mean.total_cmp(&b.mean);
            if self.metric.metric.higher_is_better() { order.reverse() } else { order }
        };
        let winner = self.rows.iter().min_by(better).map(|row| &row.settings);
        let mut lines: Vec<Vec<String>> = Vec::new();
        let mut header = keys.clone();
        header.extend([self.metric.to_string(), "best epoch's".into(), "seeds".into()]);
        lines.push(header);
        for row in &self.rows {
            let mut cells: Vec<String> =
                keys.iter().map(|key| row.settings.get(key).cloned().unwrap_or_default()).collect();
            let which = self.metric.metric;
            let mark = if Some(&row.settings) == winner && self.rows.len() > 1 { " *" } else { "" };
            cells.push(format!("{} ± {}{mark}", metric(which, row.mean), metric(which, row.deviation)));
            let best = row.best.iter().sum::<f64>() / row.best.len().max(1) as f64;
            cells.push(metric(which, best));
            cells.push(row.seeds.len().to_string());
            lines.push(cells);
        }
        let columns = lines[0].len();
        let widths: Vec<usize> =
            (0..columns).map(|k| lines.iter().map(|line| line[k].chars().count()).max().unwrap_or(0)).collect();
        let mut out = String::new();
        for line in &lines {
            let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, &w)| format!("{cell:<w$}")).collect();
            let _ = writeln!(out, "{}", cells.join("  ").trim_end());
        }
        let _ = write!(
            out,
            "\nmean ± standard deviation over the seeds, after the last epoch; * the best\n{}",
            parent.display()
        );
        out
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read() {
        assert_eq!(seeds("1..5").unwrap().0, [1, 2, 3, 4, 5]);
        assert_eq!(seeds("3").unwrap().0, [3]);
        assert_eq!(seeds("1, 2,7").unwrap().0, [1, 2, 7]);
        for bad in ["", "5..1", "a", "1..", "-1", "0..99999", "1,,2"] {
            assert!(seeds(bad).is_err(), "{bad}");
        }
        assert_eq!(parts("0.01,0.1"), ["0.01", "0.1"]);
        assert_eq!(parts("[1, 2],{ a = 1, b = 2 },\"x,y\""), ["[1, 2]", "{ a = 1, b = 2 }", "\"x,y\""]);
        let name = folder_name(&vec![("model.layers".into(), "[a/b, \"c\"]".into())], 3);
        assert_eq!(name, "model.layers=_a_b,__c__,seed=3");
    }
}
