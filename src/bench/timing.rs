//! Samples of a time, and what they come to.

use super::{Options, seconds_of};
use crate::error::Result;
use crate::session::{Program, Session};
use serde::{Deserialize, Serialize};

/// What a run takes, in seconds, over some samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// The middle one.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// A tenth took no longer.
    pub p10: f64,
    /// A tenth took longer.
    pub p90: f64,
    /// The median distance from the median, scaled so that for a normal distribution it is the standard deviation.
    pub deviation: f64,
    /// How many samples there are.
    pub samples: usize,
    /// How many runs a sample is the mean of.
    pub runs: u32,
}

/// The value below which a part of some sorted values lies, between two of them if need be.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let place = part * last as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

impl Timing {
    /// From samples, of which there is one at least, each the mean of `runs` runs.
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

    /// The deviation as a part of the median.
    pub fn spread(&self) -> f64 {
        if self.median > 0.0 { self.deviation / self.median } else { 0.0 }
    }
}

/// By the host's clock: from an idle device to an idle device, with as many runs a sample as its share of the time holds.
pub(super) fn wall(session: &mut Session, program: &Program, options: Options) -> Result<Timing> {
    let samples = options.samples.max(1);
    let each = options.min_time / samples as f64;
    // The first run has been made by the check. Two more let the executor learn how many fit into a submission, and the
    // rest of the warm-up brings caches and clocks to where they will be.
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

/// By the device's clock, if it has one: the launches of a run, added up.
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
    // A clock that says that nothing took any time is none.
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
