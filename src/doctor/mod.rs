//! `wgrad doctor`: how a device computes, beside what WGSL promises.
//!
//! A driver may round, flush, fuse and approximate in many ways, and each of them is allowed, or is not. Here short shaders
//! ask for one property each, the host compares the answers with exact ones (f64), and each finding says what was found, what
//! WGSL promises and where, and whether the one is within the other. On the CPU device the same questions go to wgrad's own
//! operations, where there is one.
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
mod functions;
#[cfg(feature = "gpu")]
mod halves;
#[cfg(feature = "gpu")]
mod memory;
mod patient;
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
use patient::Patient;

/// How a subject is examined.
enum Examination {
    /// On every device.
    Any(fn(&mut Patient) -> Result<Vec<Finding>>),
    /// On GPUs.
    #[cfg(feature = "gpu")]
    Gpu(fn(&crate::gpu::Probe) -> Result<Vec<Finding>>),
    /// On GPUs with a feature, which is named.
    #[cfg(feature = "gpu")]
    Feature(&'static str, fn(&crate::gpu::AdapterInfo) -> bool, fn(&crate::gpu::Probe) -> Result<Vec<Finding>>),
}

/// All subjects, in the order of the page. Rates, which need no shader of their own, come last: see [`examine`].
const SUBJECTS: &[(&str, Examination)] = &[
    ("arithmetic", Examination::Any(arithmetic::examine)),
    ("functions", Examination::Any(functions::examine)),
    ("not a number, not finite", Examination::Any(special::examine)),
    #[cfg(feature = "gpu")]
    ("conversions and integers", Examination::Gpu(conversion::examine)),
    #[cfg(feature = "gpu")]
    ("f16", Examination::Feature("SHADER_F16", |adapter| adapter.f16, halves::examine)),
    #[cfg(feature = "gpu")]
    ("subgroups", Examination::Feature("SUBGROUP", |adapter| adapter.subgroups, subgroups::examine)),
    #[cfg(feature = "gpu")]
    ("barriers", Examination::Gpu(memory::barriers)),
    #[cfg(feature = "gpu")]
    ("workgroup memory", Examination::Gpu(memory::zeros)),
    #[cfg(feature = "gpu")]
    ("atomics", Examination::Gpu(memory::atomics)),
    #[cfg(feature = "gpu")]
    ("bounds", Examination::Gpu(memory::bounds)),
    #[cfg(feature = "gpu")]
    ("loops", Examination::Gpu(memory::loops)),
    #[cfg(feature = "gpu")]
    ("clocks and costs", Examination::Gpu(timing::examine)),
];

/// What a subject's examination gives; `None` where it makes no sense. One that fails is a finding, too.
fn look(subject: &str, examination: &Examination, patient: &mut Patient) -> Option<Vec<Finding>> {
    let findings = match examination {
        Examination::Any(examine) => examine(patient),
        #[cfg(feature = "gpu")]
        Examination::Gpu(examine) => examine(patient.probe()?),
        #[cfg(feature = "gpu")]
        Examination::Feature(feature, has, examine) => {
            let probe = patient.probe()?;
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
    // Drivers' messages have several lines, and a finding is one.
    let message = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    Finding::new(subject, message, ["", ""], Verdict::NotRun)
}

/// Examines a device; `progress` is told each subject before it is looked at.
///
/// An examination that fails is a finding with [`Verdict::NotRun`], and the others go on.
///
/// # Errors
/// The device does not open, or is the reference, which is exact by definition.
pub fn examine(device: &Device, mut progress: impl FnMut(&str)) -> Result<Report> {
    if *device == Device::reference() {
        return Err(Error::config(
            "device",
            "the reference computes in f64 and is what others are set against; use cpu or gpu",
        ));
    }
    // Opened only to be described: the probe has a device of its own.
    let machine = Machine::of(&Session::new(device.clone())?);
    let mut patient = Patient::open(device)?;
    let mut report = Report {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_string(),
        date: now(),
        machine,
        adapter: adapter(&patient),
        specification: SPECIFICATION.to_string(),
        findings: Vec::new(),
        roof: None,
    };
    let mut add = |subject: &str, findings: Vec<Finding>| {
        report.findings.extend(findings.into_iter().map(|f| Finding { subject: subject.to_string(), ..f }));
    };
    for (subject, examination) in SUBJECTS {
        progress(subject);
        if let Some(findings) = look(subject, examination, &mut patient) {
            add(subject, findings);
        }
    }
    drop(patient);
    progress("rates");
    match Roof::measure(device, timing::ROOF) {
        Ok(roof) => {
            add("rates", timing::rates(&roof));
            report.roof = Some(roof);
        }
        Err(error) => add("rates", vec![not_run("rates", &error)]),
    }
    Ok(report)
}

/// The adapter's fields by name.
#[cfg(feature = "gpu")]
fn adapter(patient: &Patient) -> std::collections::BTreeMap<String, serde_json::Value> {
    match patient.probe().map(|probe| serde_json::to_value(probe.adapter())) {
        Some(Ok(serde_json::Value::Object(fields))) => fields.into_iter().collect(),
        _ => Default::default(),
    }
}

#[cfg(not(feature = "gpu"))]
fn adapter(_: &Patient) -> std::collections::BTreeMap<String, serde_json::Value> {
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
    fn a_failed_examination_is_a_finding() {
        let mut patient = Patient::open(&Device::cpu()).unwrap();
        let fails = Examination::Any(|_| Err(Error::Device("it broke".into())));
        let findings = look("loops", &fails, &mut patient).unwrap();
        assert!(findings[0].verdict == Verdict::NotRun && findings[0].found.contains("it broke"));
    }
}
