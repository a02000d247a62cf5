//! Time measurements and their statistics.

use super::{Options, seconds_of};
use crate::error::Result;
use crate::session::{Program, Session};
use serde::{Deserialize, Serialize};

/// Statistics of the time of a run, in seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// The median.
    pub median: f64,
    /// The minimum.
    pub min: f64,
    /// The 10th percentile.
    pub p10: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The median absolute deviation, scaled to equal the standard deviation for a normal distribution.
    pub deviation: f64,
    /// The number of samples.
    pub samples: usize,
    /// The number of runs per sample; a sample is their mean.
    pub runs: u32,
}

/// The quantile at `fraction` of sorted values, linearly interpolated.
fn quantile(sorted: &[f64], fraction: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let position = fraction * last as f64;
    let (low, high) = (sorted[position.floor() as usize], sorted[position.ceil() as usize]);
    low + (high - low) * position.fract()
}

impl Timing {
    /// The statistics of at least one sample, each the mean of `runs` runs.
    pub fn new(mut seconds: Vec<f64>, runs: u32) -> Self {
        seconds.sort_by(f64::total_cmp);
        let median = quantile(&seconds, 0.5);
        let mut distances: Vec<f64> = seconds.iter().map(|s| (s - median).abs()).collect();
        distances.sort_by(f64::total_cmp);
        Timing {
            median,
            min: quantile(&seconds, 0.0),
            p10: quantile(&seconds, 0.1),
            p90: quantile(&seconds, 0.9),
            deviation: 1.4826 * quantile(&distances, 0.5),
            samples: seconds.len(),
            runs,
        }
    }

    /// The deviation relative to the median.
    pub fn spread(&self) -> f64 {
        if self.median > 0.0 { self.deviation / self.median } else { 0.0 }
    }
}

/// Measures by the host's clock, from an idle device to an idle device. The number of runs per sample follows from
/// `min_time`.
pub(super) fn wall(session: &mut Session, program: &Program, options: Options) -> Result<Timing> {
    let samples = options.samples.max(1);
    let each = options.min_time / samples as f64;
    // The check was the first run. Two more let the executor determine how many runs to batch into a submission; the
    // rest of the warm-up brings caches and clock rates to a steady state.
    let mut one = seconds_of(session, program, 2)? / 2.0;
    let mut warm = 2.0 * one;
    while warm < 0.2 * options.min_time {
        let runs = runs_in(0.05 * options.min_time, one);
        let seconds = seconds_of(session, program, runs)?;
        warm += seconds;
        one = seconds / f64::from(runs);
    }
    let runs = runs_in(each, one);
    let mut seconds = Vec::with_capacity(samples);
    let mut total = 0.0;
    while seconds.len() < samples && (seconds.len() < 3 || total < 2.0 * options.min_time) {
        let sample = seconds_of(session, program, runs)?;
        total += sample;
        seconds.push(sample / f64::from(runs));
    }
    Ok(Timing::new(seconds, runs))
}

fn runs_in(seconds: f64, one: f64) -> u32 {
    if one > 0.0 { (seconds / one).ceil().clamp(1.0, 1e6) as u32 } else { 1 }
}

/// Measures by GPU timestamps, if supported: the sum of the durations of a run's launches.
pub(super) fn device(
    session: &mut Session,
    program: &Program,
    options: Options,
    wall: Option<&Timing>,
) -> Result<Option<Timing>> {
    let one = wall.map_or(0.0, |wall| wall.median);
    let count = runs_in(options.min_time, one).min(options.samples.max(1) as u32);
    let runs = session.device_times(program, count)?;
    let sums =
        runs.map(|runs| runs.into_iter().map(|launches| launches.iter().flatten().sum::<f64>()).collect::<Vec<f64>>());
    // If all durations are zero, the timestamps are useless.
    Ok(sums.filter(|sums| sums.iter().any(|&s| s > 0.0)).map(|sums| Timing::new(sums, 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_moves_neither_median_nor_deviation() {
        let quiet = Timing::new(vec![1.0, 1.1, 0.9, 1.0, 1.05], 1);
        let burst = Timing::new(vec![1.0, 1.1, 0.9, 1.0, 9.0], 1);
        assert_eq!((quiet.median, quiet.min), (1.0, 0.9));
        assert_eq!(burst.median, 1.0);
        assert!(burst.spread() < 0.2 && burst.p90 > 5.0, "{burst:?}");
        let single = Timing::new(vec![2.0], 7);
        assert_eq!((single.p10, single.p90, single.deviation, single.runs), (2.0, 2.0, 0.0, 7));
    }
}
