//! The findings, and whether they conform to WGSL.

use crate::bench::{Machine, Roof};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The version of the JSON format.
pub const SCHEMA: u32 = 1;

/// The specification that [`Finding::section`] refers to.
pub const SPECIFICATION: &str = "https://www.w3.org/TR/WGSL/";

/// Whether a finding conforms to WGSL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The finding conforms to WGSL.
    Within,
    /// The finding does not conform to WGSL: a defect of the driver, or of the software between it and WGSL.
    Outside,
    /// WGSL does not specify the result.
    Information,
    /// The test could not run.
    NotRun,
}

impl Verdict {
    /// [`Verdict::Within`] if `conforms`, otherwise [`Verdict::Outside`].
    pub fn of(conforms: bool) -> Verdict {
        if conforms { Verdict::Within } else { Verdict::Outside }
    }
    /// The verdict as printed in the report.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Within => "within",
            Verdict::Outside => "OUTSIDE",
            Verdict::Information => "info",
            Verdict::NotRun => "NOT RUN",
        }
    }
}

/// One property of a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The group of the property, e.g. `functions`.
    pub subject: String,
    /// The property tested, e.g. `exp(x)`.
    pub property: String,
    /// The result.
    pub found: String,
    /// What WGSL guarantees, in short.
    pub promise: String,
    /// The section that specifies it, as an anchor in [`SPECIFICATION`]; empty if there is none.
    pub section: String,
    /// Whether the result conforms.
    pub verdict: Verdict,
    /// The numbers behind `found`, by name. Non-finite numbers are omitted.
    #[serde(default)]
    pub values: BTreeMap<String, f64>,
}

impl Finding {
    /// A finding without a group and without numbers.
    pub fn new(property: impl ToString, found: impl ToString, [promise, section]: [&str; 2], verdict: Verdict) -> Self {
        Finding {
            subject: String::new(),
            property: property.to_string(),
            found: found.to_string(),
            promise: promise.to_string(),
            section: section.to_string(),
            verdict,
            values: BTreeMap::new(),
        }
    }
    /// Adds a number. NaN and infinity are omitted, because JSON cannot represent them.
    pub fn value(mut self, name: &str, value: f64) -> Self {
        if value.is_finite() {
            self.values.insert(name.to_string(), value);
        }
        self
    }
}

/// The report on a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The version of the format: [`SCHEMA`].
    pub schema: u32,
    /// The version of wgrad.
    pub version: String,
    /// The date and time, in UTC.
    pub date: String,
    /// The device and its host.
    pub machine: Machine,
    /// The backend, limits and features of the adapter, by name; empty for the CPU.
    pub adapter: BTreeMap<String, serde_json::Value>,
    /// The URL of the specification.
    pub specification: String,
    /// The findings, by group.
    pub findings: Vec<Finding>,
    /// The roofline of the device; `None` if it could not be measured, in which case a finding has the error.
    pub roof: Option<Roof>,
}

impl Report {
    /// The findings with the given verdict.
    pub fn with(&self, verdict: Verdict) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |f| f.verdict == verdict)
    }

    /// The report as JSON.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(|e| Error::Internal(format!("a report as JSON: {e}")))
    }

    /// The report as text.
    pub fn page(&self) -> String {
        let mut out = format!("wgrad {} doctor, {}\ndevice    {}\n", self.version, self.date, self.machine.label());
        let text = |name: &str| self.adapter.get(name).map(|v| v.to_string().trim_matches('"').to_string());
        let listed = |names: &[&str]| {
            let parts = names.iter().filter_map(|name| Some(format!("{} {}", name.replace('_', " "), text(name)?)));
            parts.collect::<Vec<_>>().join(", ")
        };
        if !self.adapter.is_empty() {
            let _ = writeln!(out, "adapter   {}", listed(&["backend", "kind", "vendor", "device"]));
            let features = ["subgroups", "subgroup_sizes", "f16", "timestamps", "immediates"];
            let _ = writeln!(out, "features  {}", listed(&features));
            let limits = ["max_buffer_bytes", "max_binding_bytes", "max_storage_buffers"];
            let workgroups = ["max_workgroup_memory", "max_workgroup_threads", "max_workgroups"];
            let _ = writeln!(out, "limits    {}\n          {}", listed(&limits), listed(&workgroups));
        }
        let width = |of: fn(&Finding) -> &str| {
            self.findings.iter().map(|f| of(f).chars().count().min(52)).max().unwrap_or_default()
        };
        let (property, found, promise) = (width(|f| &f.property), width(|f| &f.found), width(|f| &f.promise));
        let mut subject = "";
        for f in &self.findings {
            if f.subject != subject {
                subject = &f.subject;
                let _ = writeln!(out, "\n{subject}");
            }
            let section = if f.section.is_empty() { String::new() } else { format!("  #{}", f.section) };
            let line = format!(
                "  {:<property$}  {:<8}{:<found$}  {:<promise$}{section}",
                f.property,
                f.verdict.name(),
                f.found,
                f.promise
            );
            let _ = writeln!(out, "{}", line.trim_end());
        }
        let count = |verdict| self.with(verdict).count();
        let _ = write!(
            out,
            "\n{} conform to WGSL, {} do not (OUTSIDE), {} for information, {} could not run; sections (#) are in {}",
            count(Verdict::Within),
            count(Verdict::Outside),
            count(Verdict::Information),
            count(Verdict::NotRun),
            self.specification
        );
        out
    }
}
