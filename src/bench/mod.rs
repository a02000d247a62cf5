//! Benchmarks of kernels with given shapes and of training steps, against the measured roofline of the machine.
//!
//! The result of a kernel is checked before it is timed: a wrong kernel is not timed. Times are medians of many samples
//! with their spread, by the host's clock and, where supported, by GPU timestamps. They are compared with the roofline:
//! the minimum time for the work, given the device's throughput of fused multiply-adds and its memory bandwidth, which
//! are measured first.
//!
//! ```
//! use wgrad::bench::{Case, Options, run_case, values};
//! use wgrad::{Device, Session};
//! let case = Case::new("double/1000", vec![values([1000])], |_, t| t[0] * 2.0);
//! let mut session = Session::new(Device::cpu())?;
//! let options = Options { samples: 3, min_time: 0.0 };
//! let result = run_case(&mut session, &case, options)?;
//! assert!(!result.wrong && result.wall.is_some());
//! # Ok::<(), wgrad::Error>(())
//! ```

mod case;
mod cases;
mod check;
mod compare;
mod estimate;
mod machine;
mod report;
mod roof;
mod roof_ops;
mod timing;
mod train;
pub mod tune;

pub use case::{Along, Case, custom, halves, indices, values};
pub use cases::all;
pub use compare::{Change, Comparison, compare};
pub use estimate::{CaseEstimate, estimate};
pub use machine::Machine;
pub(crate) use report::now;
pub use report::{CaseResult, Report, SCHEMA};
pub use roof::{Roof, Stream};
pub use timing::Timing;
pub use train::{BatchSize, TrainReport, train};

use crate::error::{Error, Result};
use crate::session::{Program, Session};
use serde::{Deserialize, Serialize};

/// Options that control the measuring time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// The number of samples, at least 1. Slow cases get fewer, but at least three, if that many are requested.
    pub samples: usize,
    /// The approximate total time of the samples of a case, in seconds. Long runs may exceed it.
    pub min_time: f64,
}

impl Default for Options {
    fn default() -> Self {
        Options { samples: 20, min_time: 0.5 }
    }
}

/// Checks a case on the session's device, and times it if the result is correct.
///
/// A case is skipped, with the reason, if the device lacks 16-bit floats or memory, or if the case exceeds a limit.
pub fn run_case(session: &mut Session, case: &Case, options: Options) -> Result<CaseResult> {
    match measure(session, case, options) {
        Err(Error::Device(reason)) if reason.contains("SHADER_F16") => Ok(CaseResult::skipped(case, &reason)),
        Err(error @ (Error::Limit { .. } | Error::OutOfMemory(_))) => Ok(CaseResult::skipped(case, &error.to_string())),
        result => result,
    }
}

fn measure(session: &mut Session, case: &Case, options: Options) -> Result<CaseResult> {
    let subject = |message: &str| Error::value(format!("case `{}`", case.name), message);
    let prepared = case.prepare(session)?;
    let program = &prepared.program;
    let plan = session.plan(program).ok_or_else(|| subject("the reference device cannot be benchmarked"))?;
    let (launches, flops) = (plan.launch_count(), plan.flops());
    let parity = prepared.check(session, case)?;
    let mut result = CaseResult {
        name: case.name.clone(),
        launches,
        flops,
        bytes: prepared.bytes,
        // JSON has no infinity.
        worst_error: parity.worst.min(f64::MAX),
        at: parity
            .at
            .map(|(index, got, expected)| format!("element {index} is {got:e}, but {expected:e} was expected")),
        wrong: !parity.passed(),
        skipped: None,
        wall: None,
        device: None,
    };
    if !result.wrong {
        result.wall = Some(timing::wall(session, program, options)?);
        result.device = timing::device(session, program, options, result.wall.as_ref())?;
    }
    Ok(result)
}

/// Runs a program several times, waits for completion, and returns the total seconds.
fn seconds_of(session: &mut Session, program: &Program, runs: u32) -> Result<f64> {
    let start = std::time::Instant::now();
    session.run_steps(program, &[], runs)?;
    session.finish()?;
    Ok(start.elapsed().as_secs_f64())
}
