//! The tables, in text.

use super::networks::{HUMAN, HUMAN_SHUFFLED};
use super::{Outcome, Row, Settings};

/// How many percentage points below the published accuracy are worth a line; what is published is rounded to whole numbers.
const MISSED: f64 = 1.0;

/// The mean of `value` over the runs and its sample standard deviation; 0 for a single run.
fn mean_and_deviation(runs: &[Outcome], value: fn(&Outcome) -> f64) -> (f64, f64) {
    let n = runs.len() as f64;
    let mean = runs.iter().map(value).sum::<f64>() / n;
    let squares: f64 = runs.iter().map(|run| (value(run) - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0).max(1.0)).sqrt())
}

/// The mean accuracy of the runs.
pub(super) fn mean(runs: &[Outcome]) -> f64 {
    mean_and_deviation(runs, |run| run.accuracy).0
}

fn cell(runs: &[Outcome], value: fn(&Outcome) -> f64) -> String {
    if runs.is_empty() {
        return String::new();
    }
    let (mean, deviation) = mean_and_deviation(runs, value);
    format!("{mean:.1} ± {deviation:.1}")
}

/// The table of the networks.
pub(super) fn print(rows: &[Row], settings: &Settings) {
    let set = if settings.held_out { "Held-out" } else { "Test" };
    let seeds = if settings.seeds == 1 { "one seed".into() } else { format!("{} seeds", settings.seeds) };
    println!("{set} accuracy (%), mean ± sample standard deviation over {seeds}; published: the authors' table");
    println!(
        "{:<20} {:>10} {:>6}  {:>11} {:>9}  {:>11} {:>9}  {:>13}",
        "network", "parameters", "steps", "default", "published", "shuffled", "published", "seconds a run"
    );
    let published = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.0}"));
    for row in rows {
        let (network, runs) = (row.network, row.default.iter().chain(&row.shuffled));
        let seconds = runs.clone().map(|run| run.seconds).sum::<f64>() / runs.count() as f64;
        println!(
            "{:<20} {:>10} {:>6}  {:>11} {:>9}  {:>11} {:>9}  {seconds:>13.1}",
            network.label,
            row.parameters,
            row.steps,
            cell(&row.default, |run| run.accuracy),
            published(network.published),
            cell(&row.shuffled, |run| run.accuracy),
            published(network.shuffled),
        );
    }
    println!("{:<20} {:>29} {HUMAN:>9.0}  {:>11} {:>9}", "human expert", "", "", format!("~{HUMAN_SHUFFLED:.0}"));
    // What is trained for less, or on less, is not to be compared.
    if settings.held_out || settings.quick {
        return;
    }
    for row in rows {
        let network = row.network;
        let sets = [("", &row.default, network.published), (" (shuffled)", &row.shuffled, network.shuffled)];
        let missed = sets.iter().filter_map(|(set, runs, published)| {
            let below = (*published)? - mean(runs);
            (below > MISSED).then(|| format!("{below:.1}{set}"))
        });
        let missed: Vec<String> = missed.collect();
        if !missed.is_empty() {
            println!("{}: {} below what is published; {}", network.label, missed.join(", "), network.note);
        }
    }
}

/// The table of the changes.
pub(super) fn print_changes(rows: &[Row]) {
    println!("The same networks with one change each");
    println!("{:<28} {:>10} {:>6}  {:>11} {:>11}", "network", "parameters", "steps", "training", "held-out");
    for row in rows {
        let (train, held_out) = (cell(&row.default, |run| run.train_accuracy), cell(&row.default, |run| run.accuracy));
        println!("{:<28} {:>10} {:>6}  {train:>11} {held_out:>11}", row.network.label, row.parameters, row.steps);
    }
}
