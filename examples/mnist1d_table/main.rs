//! The table of MNIST-1D's authors, network by network: test accuracy on the data set and on the same data with its positions
//! shuffled, then the networks of later papers, and a small one that beats a human expert.
//!
//! ```text
//! $ cargo run --release --example mnist1d_table -- --device cpu
//! Test accuracy (%), mean ± sample standard deviation over 3 seeds; published: the authors' table
//! network              parameters  steps      default published     shuffled published  seconds a run
//! logistic regression         410   6000   31.3 ± 0.1        32   31.3 ± 0.1        32            0.2
//! MLP                       15210   6000   65.4 ± 1.2        68   65.1 ± 1.9        68            2.0
//! …
//! small TCN                  1434   1600   98.2 ± 0.4                                             4.8
//! human expert                                              96                    ~30
//! …
//! 59 seconds in all
//! ```
//!
//! `--held-out` trains on a part of the training set and measures on the rest of it: how the settings were chosen. `--quick` trains
//! for a sixth of the epochs, `--only tcn,small` only some of the networks. Each `.toml` file of this folder is also a run of its own:
//! `wgrad train examples/mnist1d_table/tcn.toml`.

mod changes;
#[path = "../common/mod.rs"]
pub mod common;
mod networks;
mod pictures;
mod table;
mod training;

pub use changes::CHANGES;
use clap::Parser;
use common::Options;
pub use networks::{NETWORKS, Network};
use std::process::ExitCode;
use std::time::Instant;
pub use training::{Data, Outcome};
use wgrad::train::Config;
use wgrad::{Error, Result};

/// What the command line says about the table.
#[derive(Debug, Clone, Parser)]
pub struct Settings {
    /// How many seeds each network is trained with
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub seeds: u64,
    /// A sixth of the epochs
    #[arg(long)]
    pub quick: bool,
    /// Only these networks, by the names of their settings files: --only cnn,small
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
    /// Train on the first 3,200 training samples and measure on the other 800, as the settings were chosen; no pictures
    #[arg(long)]
    pub held_out: bool,
}

/// The table of MNIST-1D's authors, network by network.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    settings: Settings,
}

/// What the table shows.
#[derive(Debug)]
pub struct Numbers {
    /// The networks' results, in the order of the table.
    pub rows: Vec<Row>,
    /// The time that all of it took, in seconds.
    pub seconds: f64,
}

/// A network's results.
#[derive(Debug)]
pub struct Row {
    /// The network.
    pub network: &'static Network,
    /// The number of parameters.
    pub parameters: usize,
    /// The number of training steps.
    pub steps: u32,
    /// The runs on the data set as it is, a seed each.
    pub default: Vec<Outcome>,
    /// The runs on the data with shuffled positions.
    pub shuffled: Vec<Outcome>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let out = arguments.options.out.clone().unwrap_or_else(|| "runs/mnist1d_table".into());
    let mut options = Options::new("mnist1d_table", arguments.options.device, out);
    options.svg = arguments.options.svg;
    match run(&options, &arguments.settings) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Trains the networks, prints the table and draws the pictures.
pub fn run(options: &Options, settings: &Settings) -> Result<Numbers> {
    let start = Instant::now();
    let changes = if settings.held_out { CHANGES } else { &[] };
    let known: Vec<&str> = NETWORKS.iter().chain(changes).map(|network| network.file).collect();
    if let Some(name) = settings.only.iter().find(|name| !known.contains(&name.as_str())) {
        let message = format!("there is no network `{name}`: {}", known[..NETWORKS.len()].join(", "));
        return Err(Error::config("--only", message));
    }
    let data = Data::load(settings.held_out)?;
    let mut rows = train(options, settings, &data, NETWORKS)?;
    table::print(&rows, settings);
    if settings.held_out {
        let changed = train(options, settings, &data, changes)?;
        table::print_changes(&changed);
        rows.extend(changed);
    } else {
        pictures::data(options, &data)?;
        pictures::curves(options, &rows)?;
        pictures::confusion(options, &rows)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{seconds:.0} seconds in all");
    Ok(Numbers { rows, seconds })
}

/// Trains each of `networks` with each seed.
fn train(options: &Options, settings: &Settings, data: &Data, networks: &'static [Network]) -> Result<Vec<Row>> {
    let wanted = |network: &&Network| settings.only.is_empty() || settings.only.iter().any(|name| name == network.file);
    let networks: Vec<&Network> = networks.iter().filter(wanted).collect();
    let mut jobs = Vec::new();
    for (row, network) in networks.iter().enumerate() {
        let mut config = network.config()?;
        if settings.quick {
            config.epochs = (config.epochs / 6).max(1);
        }
        for seed in 0..settings.seeds {
            let config = Config { seed, ..config.clone() };
            jobs.push(training::Job { row, shuffled: false, config: config.clone() });
            if network.shuffled.is_some() {
                jobs.push(training::Job { row, shuffled: true, config });
            }
        }
    }
    let outcomes = training::train_all(options, data, &jobs)?;
    let empty = |network| Row { network, parameters: 0, steps: 0, default: Vec::new(), shuffled: Vec::new() };
    let mut rows: Vec<Row> = networks.into_iter().map(empty).collect();
    for (job, outcome) in jobs.iter().zip(outcomes) {
        let row = &mut rows[job.row];
        (row.parameters, row.steps) = (outcome.parameters, outcome.steps);
        let runs = if job.shuffled { &mut row.shuffled } else { &mut row.default };
        runs.push(outcome);
    }
    Ok(rows)
}
