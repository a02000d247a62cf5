//! `wgrad doctor`: tests of a device's arithmetic against the guarantees of WGSL.
//!
//! Drivers round, flush denormals, fuse operations and approximate functions in different ways, and WGSL allows only
//! some of them. Short shaders test one property each, and the host compares the results with exact values (f64). Each
//! finding states the result, what WGSL guarantees and in which section, and whether the result conforms. On the CPU
//! device the same tests run wgrad's corresponding operations, where there are any.
//!
//! ```
//! use wgrad::Device;
//! use wgrad::doctor::{Verdict, examine};
//! let report = examine(&Device::cpu(), |subject| println!("{subject}"))?;
//! assert_eq!(report.with(Verdict::Outside).count(), 0);
//! println!("{}", report.page());
//! # Ok::<(), wgrad::Error>(())
//! ```

mod arithmetic;
#[cfg(feature = "gpu")]
mod conversion;
mod evaluator;
mod functions;
#[cfg(feature = "gpu")]
mod halves;
#[cfg(feature = "gpu")]
mod memory;
mod report;
mod special;
#[cfg(feature = "gpu")]
mod subgroups;
mod timing;
mod ulp;

pub use report::{Finding, Report, SCHEMA, SPECIFICATION, Verdict};
pub use ulp::{error, ulp};

use crate::bench::{Machine, Roof, now};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::session::Session;
use evaluator::Evaluator;

/// The test of a subject.
enum Test {
    /// Runs on every device.
    Any(fn(&mut Evaluator) -> Result<Vec<Finding>>),
    /// Runs on GPUs.
    #[cfg(feature = "gpu")]
    Gpu(fn(&crate::gpu::Probe) -> Result<Vec<Finding>>),
    /// Runs on GPUs with the named feature.
    #[cfg(feature = "gpu")]
    Feature(&'static str, fn(&crate::gpu::AdapterInfo) -> bool, fn(&crate::gpu::Probe) -> Result<Vec<Finding>>),
}

/// All subjects, in the order of the report, except throughput, which has no shader here: see [`examine`].
const SUBJECTS: &[(&str, Test)] = &[
    ("arithmetic", Test::Any(arithmetic::examine)),
    ("functions", Test::Any(functions::examine)),
    ("NaN and infinity", Test::Any(special::examine)),
    #[cfg(feature = "gpu")]
    ("conversions and integers", Test::Gpu(conversion::examine)),
    #[cfg(feature = "gpu")]
    ("f16", Test::Feature("SHADER_F16", |adapter| adapter.f16, halves::examine)),
    #[cfg(feature = "gpu")]
    ("subgroups", Test::Feature("SUBGROUP", |adapter| adapter.subgroups, subgroups::examine)),
    #[cfg(feature = "gpu")]
    ("barriers", Test::Gpu(memory::barriers)),
    #[cfg(feature = "gpu")]
    ("workgroup memory", Test::Gpu(memory::zeros)),
    #[cfg(feature = "gpu")]
    ("atomics", Test::Gpu(memory::atomics)),
    #[cfg(feature = "gpu")]
    ("bounds", Test::Gpu(memory::bounds)),
    #[cfg(feature = "gpu")]
    ("loops", Test::Gpu(memory::loops)),
    #[cfg(feature = "gpu")]
    ("timestamps and overheads", Test::Gpu(timing::examine)),
];

/// Runs the test of a subject; `None` if it does not apply to the device. A test that fails to run is a finding, too.
fn run_test(subject: &str, test: &Test, evaluator: &mut Evaluator) -> Option<Vec<Finding>> {
    let findings = match test {
        Test::Any(examine) => examine(evaluator),
        #[cfg(feature = "gpu")]
        Test::Gpu(examine) => examine(evaluator.probe()?),
        #[cfg(feature = "gpu")]
        Test::Feature(feature, has, examine) => {
            let probe = evaluator.probe()?;
            if has(probe.adapter()) {
                examine(probe)
            } else {
                let optional = [*feature, "enable-extensions-sec"];
                Ok(vec![Finding::new(subject, "not supported", optional, Verdict::Information)])
            }
        }
    };
    Some(findings.unwrap_or_else(|error| vec![not_run(subject, &error)]))
}

fn not_run(subject: &str, error: &Error) -> Finding {
    // Driver messages may have several lines; a finding has one.
    let message = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    Finding::new(subject, message, ["", ""], Verdict::NotRun)
}

/// Tests a device; `progress` is called with each subject before it is tested.
///
/// A test that fails to run is a finding with [`Verdict::NotRun`]; the other tests still run.
///
/// # Errors
/// If the device cannot be opened, or is the reference, which is exact by definition.
pub fn examine(device: &Device, mut progress: impl FnMut(&str)) -> Result<Report> {
    if *device == Device::reference() {
        return Err(Error::config(
            "device",
            "the reference device is what other devices are compared with; use cpu or gpu",
        ));
    }
    // Opened only for its description: the probe opens a device of its own.
    let machine = Machine::of(&Session::new(device.clone())?);
    let mut evaluator = Evaluator::open(device)?;
    let mut report = Report {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_string(),
        date: now(),
        machine,
        adapter: adapter(&evaluator),
        specification: SPECIFICATION.to_string(),
        findings: Vec::new(),
        roof: None,
    };
    let mut add = |subject: &str, findings: Vec<Finding>| {
        report.findings.extend(findings.into_iter().map(|f| Finding { subject: subject.to_string(), ..f }));
    };
    for (subject, test) in SUBJECTS {
        progress(subject);
        if let Some(findings) = run_test(subject, test, &mut evaluator) {
            add(subject, findings);
        }
    }
    drop(evaluator);
    progress("throughput");
    match Roof::measure(device, timing::ROOF) {
        Ok(roof) => {
            add("throughput", timing::rates(&roof));
            report.roof = Some(roof);
        }
        Err(error) => add("throughput", vec![not_run("throughput", &error)]),
    }
    Ok(report)
}

/// The fields of the adapter, by name.
#[cfg(feature = "gpu")]
fn adapter(evaluator: &Evaluator) -> std::collections::BTreeMap<String, serde_json::Value> {
    match evaluator.probe().map(|probe| serde_json::to_value(probe.adapter())) {
        Some(Ok(serde_json::Value::Object(fields))) => fields.into_iter().collect(),
        _ => Default::default(),
    }
}

#[cfg(not(feature = "gpu"))]
fn adapter(_: &Evaluator) -> std::collections::BTreeMap<String, serde_json::Value> {
    Default::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_refused() {
        assert!(examine(&Device::reference(), |_| ()).is_err_and(|e| e.to_string().contains("reference")));
    }

    #[test]
    fn a_test_that_fails_is_a_finding() {
        let mut evaluator = Evaluator::open(&Device::cpu()).unwrap();
        let fails = Test::Any(|_| Err(Error::Device("it broke".into())));
        let findings = run_test("loops", &fails, &mut evaluator).unwrap();
        assert!(findings[0].verdict == Verdict::NotRun && findings[0].found.contains("it broke"));
    }
}
