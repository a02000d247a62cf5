//! The progress of a training run: a progress bar if stderr is a terminal, otherwise a line per epoch.

use super::output::{duration, metric, metric_with_name, note, number, significant};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};
use wgrad::train::{EpochRecord, Metric, Scores, SetName};

/// Shows the epochs of a run on stderr.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    epochs: u32,
    start: Instant,
}

impl Progress {
    /// Starts the clock.
    pub(super) fn new(epochs: u32) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(u64::from(epochs)), ProgressDrawTarget::stderr());
            // This fails only if the template is invalid; the default style is kept then.
            if let Ok(style) = ProgressStyle::with_template("epoch {pos}/{len} {bar:10} {wide_msg}") {
                bar.set_style(style.progress_chars("━╸ "));
            }
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        Progress { bar, epochs, start: Instant::now() }
    }

    /// Reports a finished epoch.
    pub(super) fn epoch(&self, record: &EpochRecord) {
        let Some(bar) = &self.bar else {
            let lr = significant(record.lr);
            let seconds = record.seconds;
            return note(format_args!(
                "epoch {}/{}  {}  lr {lr}  {seconds:.2} s",
                record.epoch,
                self.epochs,
                losses(record)
            ));
        };
        let each = self.start.elapsed().as_secs_f64() / f64::from(record.epoch);
        let left = each * f64::from(self.epochs.saturating_sub(record.epoch));
        bar.set_message(format!("{}  {} left", brief(record), duration(left)));
        bar.set_position(u64::from(record.epoch));
    }
}

impl Drop for Progress {
    /// Leaves the bar on the screen, whether the run finished or failed.
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }
}

/// The loss and the headline of each set.
fn losses(record: &EpochRecord) -> String {
    let of = |(set, scores): (SetName, &Scores)| {
        let headline = scores.headline().filter(|(which, _)| *which != Metric::Loss);
        let other = headline.map_or(String::new(), |(which, value)| format!("  {}", metric_with_name(which, value)));
        format!("{} loss {}{other}", set.name(), number(scores.loss()))
    };
    record.scores.iter().map(of).collect::<Vec<_>>().join("  ")
}

/// A summary that, with the bar, fits in 80 columns.
fn brief(record: &EpochRecord) -> String {
    let of = |(set, scores): (SetName, &Scores)| {
        let headline = scores.headline().filter(|(which, _)| *which != Metric::Loss);
        let other = headline.map_or(String::new(), |(which, value)| format!(" {}", metric(which, value)));
        format!("{} {}{other}", set.name(), number(scores.loss()))
    };
    record.scores.iter().map(of).collect::<Vec<_>>().join("  ")
}
