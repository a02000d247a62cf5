//! What was found, and whether WGSL allows it.

use crate::bench::{Machine, Roof};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The version of the JSON document's layout.
pub const SCHEMA: u32 = 1;

/// Where the sections of [`Finding::section`] are.
pub const SPECIFICATION: &str = "https://www.w3.org/TR/WGSL/";

/// Whether something is as WGSL promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Within WGSL's promise.
    Within,
    /// Outside WGSL's promise: a defect of the driver, or of what stands between it and WGSL.
    Outside,
    /// WGSL promises nothing.
    Information,
    /// It could not be found out.
    NotRun,
}

impl Verdict {
    /// [`Verdict::Within`] if `kept`, else [`Verdict::Outside`].
    pub fn of(kept: bool) -> Verdict {
        if kept { Verdict::Within } else { Verdict::Outside }
    }
    /// For people.
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
    /// Its group, e.g. `functions`.
    pub subject: String,
    /// What was looked at, e.g. `exp(x)`.
    pub property: String,
    /// What was found.
    pub found: String,
    /// What WGSL promises, in short.
    pub promise: String,
    /// The section that says so: an anchor in [`SPECIFICATION`]; empty where no section speaks of it.
    pub section: String,
    /// Whether the one agrees with the other.
    pub verdict: Verdict,
    /// The numbers behind `found`, by name; only finite ones.
    #[serde(default)]
    pub values: BTreeMap<String, f64>,
}

impl Finding {
    /// A finding of no group yet, without numbers.
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
    /// The same with a number. JSON has no NaN and no infinity, so such are left out.
    pub fn value(mut self, name: &str, value: f64) -> Self {
        if value.is_finite() {
            self.values.insert(name.to_string(), value);
        }
        self
    }
}

/// What is known of a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The layout's version: [`SCHEMA`].
    pub schema: u32,
    /// wgrad's version.
    pub version: String,
    /// When, in UTC.
    pub date: String,
    /// On what.
    pub machine: Machine,
    /// The adapter's backend, limits and features, by name; empty on the CPU.
    pub adapter: BTreeMap<String, serde_json::Value>,
    /// Where the sections are.
    pub specification: String,
    /// The findings, by group.
    pub findings: Vec<Finding>,
    /// What the device is capable of; `None` if that could not be measured, which a finding then says.
    pub roof: Option<Roof>,
}

impl Report {
    /// The findings with a verdict.
    pub fn with(&self, verdict: Verdict) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |f| f.verdict == verdict)
    }

    /// As JSON.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(|e| Error::Internal(format!("a report as JSON: {e}")))
    }

    /// As a page for people.
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
            "\n{} within WGSL's promise, {} outside, {} for information, {} could not run; sections (#) are those of {}",
            count(Verdict::Within),
            count(Verdict::Outside),
            count(Verdict::Information),
            count(Verdict::NotRun),
            self.specification
        );
        out
    }
}
