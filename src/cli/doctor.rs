//! `wgrad doctor`: tests a device's arithmetic against WGSL's guarantees.

use super::DeviceArg;
use super::output::{Failure, Outcome, note, print};
use clap::Args;
use std::path::{Path, PathBuf};
use wgrad::Error;
use wgrad::data::atomic_write;
use wgrad::doctor::{Finding, Report, Verdict, examine};

/// Test the arithmetic of a device and its driver, and compare it with WGSL's guarantees
///
/// Rounding, contraction, denormals, the error of functions, NaN and infinity, conversions, 16-bit floats, subgroups,
/// barriers, atomics, out-of-bounds accesses, long loops, timestamps, launch overheads and throughput. Each line shows
/// the result, what WGSL guarantees, and whether the result conforms. The exit code is 2 only if a test could not run.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    device: DeviceArg,
    /// Also write the report as JSON to a file; with `-`, print JSON to stdout instead of text
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,
    /// Exit with code 1 if a result does not conform to WGSL
    #[arg(long)]
    strict: bool,
}

impl DoctorArgs {
    pub(super) fn run(&self) -> Outcome {
        let report = examine(&self.device.device, |subject| note(format_args!("testing: {subject}")))?;
        match &self.json {
            Some(path) if path == Path::new("-") => print(report.to_json()?)?,
            Some(path) => {
                let text = report.to_json()?;
                atomic_write(path, |file| writeln!(file, "{text}"))?;
                print(report.page())?;
            }
            None => print(report.page())?,
        }
        self.verdict(&report)
    }

    /// The exit status for a report.
    fn verdict(&self, report: &Report) -> Outcome {
        let names = |verdict| {
            let named = report.with(verdict).map(|f: &Finding| format!("{}: {}", f.subject, f.property));
            named.collect::<Vec<_>>().join("; ")
        };
        let (failed, outside) = (names(Verdict::NotRun), names(Verdict::Outside));
        if !failed.is_empty() {
            return Err(Error::Device(format!("could not be tested: {failed}")).into());
        }
        if self.strict && !outside.is_empty() {
            return Err(Failure::Check(format!("does not conform to WGSL: {outside}")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: DoctorArgs,
    }

    /// A report with one finding.
    fn report(verdict: &str) -> Report {
        let value = serde_json::json!({
            "schema": 1, "version": "0", "date": "", "adapter": {}, "specification": "", "roof": null,
            "machine": { "device": "gpu", "name": "", "driver": "", "timestamps": false,
                "threads": 1, "cpu": "", "system": "" },
            "findings": [{ "subject": "loops", "property": "a loop", "found": "", "promise": "",
                "section": "", "verdict": verdict }],
        });
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn exit_codes_follow_the_verdicts() {
        let outcome = |line: &[&str], verdict: &str| {
            let args = Line::parse_from([&["doctor"], line].concat()).args;
            match args.verdict(&report(verdict)) {
                Ok(()) => 0,
                Err(Failure::Check(message)) => {
                    assert!(message.contains("loops: a loop"), "{message}");
                    1
                }
                Err(_) => 2,
            }
        };
        assert_eq!(["within", "information", "outside", "not_run"].map(|v| outcome(&[], v)), [0, 0, 0, 2]);
        assert_eq!(["within", "information", "outside", "not_run"].map(|v| outcome(&["--strict"], v)), [0, 0, 1, 2]);
    }
}
