//! `wgrad doctor`: how a device computes, beside what WGSL promises.

use super::DeviceArg;
use super::output::{Failure, Outcome, note, print};
use clap::Args;
use std::path::{Path, PathBuf};
use wgrad::Error;
use wgrad::data::atomic_write;
use wgrad::doctor::{Finding, Report, Verdict, examine};

/// Examine how a device computes, and set it beside what WGSL promises
///
/// Rounding, contraction, denormal numbers, the error of functions, NaN and infinity, conversions, 16-bit floats, subgroups,
/// barriers, atomics, accesses out of bounds, long loops, clocks, costs and rates. Each line says what was found, what WGSL
/// promises, and whether that is kept. It informs: exit code 2 only if an examination could not run.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    device: DeviceArg,
    /// Write everything as JSON to a file besides, or with `-` to stdout instead
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,
    /// Exit with 1 if something is outside WGSL's promise
    #[arg(long)]
    strict: bool,
}

impl DoctorArgs {
    pub(super) fn run(&self) -> Outcome {
        let report = examine(&self.device.device, |subject| note(format_args!("examining: {subject}")))?;
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

    /// What the exit code says of a report.
    fn verdict(&self, report: &Report) -> Outcome {
        let names = |verdict| {
            let named = report.with(verdict).map(|f: &Finding| format!("{}: {}", f.subject, f.property));
            named.collect::<Vec<_>>().join("; ")
        };
        let (failed, outside) = (names(Verdict::NotRun), names(Verdict::Outside));
        if !failed.is_empty() {
            return Err(Error::Device(format!("could not be examined: {failed}")).into());
        }
        if self.strict && !outside.is_empty() {
            return Err(Failure::Check(format!("outside WGSL's promise: {outside}")));
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

    /// A report of one finding, as another program might have written it.
    fn report(verdict: &str) -> Report {
        let value = serde_json::json!({
            "schema": 1, "version": "0", "date": "", "adapter": {}, "specification": "", "roof": null,
            "machine": { "device": "gpu", "name": "", "driver": "", "timestamps": false, "threads": 1, "cpu": "", "system": "" },
            "findings": [{ "subject": "loops", "property": "a loop", "found": "", "promise": "", "section": "", "verdict": verdict }],
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
