//! Timestamps, launch and submission overheads, and throughput.

use super::report::{Finding, Verdict};
use crate::bench::{Options, Roof};

#[cfg(feature = "gpu")]
use crate::error::Result;
#[cfg(feature = "gpu")]
use crate::gpu::{Probe, ProbeBuffer, ProbeShader, ProbeTicks};

/// WGSL specifies no timing.
const NONE: [&str; 2] = ["unspecified", ""];

/// The measuring time of the roofline.
pub(super) const ROOF: Options = Options { samples: 20, min_time: 0.1 };

/// Formats a time: 1.50 µs.
#[cfg(feature = "gpu")]
fn micros(seconds: f64) -> String {
    format!("{:.2} µs", seconds * 1e6)
}

/// The quality of the GPU timestamps.
#[cfg(feature = "gpu")]
fn clock(ticks: &ProbeTicks) -> Vec<Finding> {
    let flat: Vec<u64> = ticks.ticks.iter().flatten().copied().collect();
    let back = flat.windows(2).filter(|pair| pair[1] < pair[0]).count();
    let empty = ticks.ticks.iter().filter(|[before, after]| after == before).count();
    let span = flat.last().zip(flat.first()).map_or(0, |(last, first)| last.saturating_sub(*first));
    let seconds = span as f64 * ticks.period * 1e-9;
    let share = seconds / ticks.host;
    let order = if back == 0 { "monotonic".to_string() } else { format!("{back} times decreasing") };
    let agree = if (0.5..=1.05).contains(&share) { "agree" } else { "DISAGREE" };
    vec![
        Finding::new(
            "timestamps",
            format!("{order}; {empty} of {} dispatches have zero duration", ticks.ticks.len()),
            NONE,
            Verdict::Information,
        )
        .value("back", back as f64)
        .value("empty", empty as f64),
        Finding::new(
            "timestamps against the host's clock",
            format!("{agree}: {:.1} % of the host's time; period {} ns", 100.0 * share, ticks.period),
            NONE,
            Verdict::Information,
        )
        .value("period_ns", ticks.period)
        .value("share_of_host", share),
    ]
}

#[cfg(feature = "gpu")]
pub(super) fn examine(probe: &Probe) -> Result<Vec<Finding>> {
    let text = include_str!("../../shaders/doctor_empty.wgsl");
    let (empty, work) = (ProbeShader::new("doctor_empty", text), ProbeShader::new("doctor_empty", text).entry("work"));
    let buffers = [ProbeBuffer::of(&[0u32])];
    let mut findings = match probe.ticks(&work, &buffers, 256, 32)? {
        Some(ticks) => clock(&ticks),
        None => vec![Finding::new("timestamps", "not supported", NONE, Verdict::Information)],
    };
    // The minimum of several runs, as the machine may be busy.
    let least = |times: u32, work: [u32; 2], wait: bool| -> Result<f64> {
        let mut least = f64::INFINITY;
        for _ in 0..times {
            least = least.min(probe.seconds(&empty, &buffers, 1, work, wait)?);
        }
        Ok(least)
    };
    let dispatch = least(5, [1, 2048], false)? / 2048.0;
    let submission = least(5, [64, 1], false)? / 64.0;
    let waited = least(5, [64, 1], true)? / 64.0;
    let cost = |property: &str, seconds: f64| {
        Finding::new(property, micros(seconds), NONE, Verdict::Information).value("seconds", seconds)
    };
    findings.push(cost("an empty dispatch, 2048 per submission", dispatch));
    findings.push(cost("a submission of one dispatch, 64 in sequence", submission));
    findings.push(cost("a submission, waiting for its completion", waited));
    Ok(findings)
}

/// The measured throughputs as findings.
pub(super) fn rates(roof: &Roof) -> Vec<Finding> {
    let rate = |property: String, per_second: f64, unit: &str| {
        let found = format!("{:.3} {unit}/s", per_second * 1e-9);
        Finding::new(property, found, NONE, Verdict::Information).value("per_second", per_second)
    };
    let stream = |s: &crate::bench::Stream| rate(format!("a + b, {} KiB", s.bytes / 1024), s.bytes_per_second, "GB");
    let fma = rate("f32 fused multiply-adds".into(), roof.flops_per_second, "GFLOP");
    std::iter::once(fma).chain(roof.streams.iter().map(stream)).collect()
}

#[cfg(all(test, feature = "gpu"))]
mod tests {
    use super::*;

    #[test]
    fn decreasing_timestamps_are_reported() {
        let good = ProbeTicks { ticks: vec![[1000, 2000], [2000, 3000]], period: 1000.0, host: 0.0021 };
        let findings = clock(&good);
        assert!(findings[0].values["back"] == 0.0 && findings[1].found.starts_with("agree"), "{findings:?}");
        let bad = ProbeTicks { ticks: vec![[1000, 2000], [1500, 1500]], ..good };
        let findings = clock(&bad);
        assert_eq!((findings[0].values["back"], findings[0].values["empty"]), (1.0, 1.0));
        assert!(findings[1].found.starts_with("DISAGREE"), "{findings:?}");
    }
}
