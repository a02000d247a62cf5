//! `wgrad devices`: the available devices.

use super::output::{Outcome, print, print_json};
use clap::Args;
use serde::Serialize;
use std::fmt::Write;
use wgrad::{Device, Session};

/// List the available devices, with their limits and features
///
/// The first column is the value for `--device`. It is not an error if there is no GPU. A GPU available through two
/// APIs (such as Vulkan and GL) is listed once for each.
#[derive(Debug, Args)]
pub(super) struct DevicesArgs {
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

/// An entry of the list.
#[derive(Debug, Serialize)]
struct Listed {
    /// The value for `--device`.
    device: String,
    /// The name of the device.
    name: String,
    /// The kind of device.
    kind: String,
    /// The limits and features of a GPU adapter.
    #[cfg(feature = "gpu")]
    #[serde(skip_serializing_if = "Option::is_none")]
    adapter: Option<wgrad::gpu::AdapterInfo>,
    /// The limits and features as text.
    #[serde(skip)]
    details: Vec<String>,
}

impl DevicesArgs {
    pub(super) fn run(&self) -> Outcome {
        let mut devices = hosts()?;
        devices.extend(gpus());
        if self.json {
            return print_json(&serde_json::json!({ "devices": devices }));
        }
        let width = devices.iter().map(|d| d.device.len()).max().unwrap_or(0);
        let mut out = String::new();
        for Listed { device, name, kind, details, .. } in &devices {
            let _ = writeln!(out, "{device:width$}  {name}  [{kind}]");
            for line in details {
                let _ = writeln!(out, "{:width$}  {line}", "");
            }
        }
        if devices.iter().all(|d| !d.device.starts_with("gpu")) {
            out.push_str("no GPU found: there is none, its driver is missing, or this build has no GPU support\n");
        }
        print(out.trim_end())
    }
}

/// The devices available on every machine.
fn hosts() -> Outcome<Vec<Listed>> {
    let mut devices = Vec::new();
    for (device, kind) in [(Device::cpu(), "CPU"), (Device::reference(), "for verification")] {
        devices.push(Listed {
            device: device.to_string(),
            name: Session::new(device.clone())?.device_name(),
            kind: kind.into(),
            #[cfg(feature = "gpu")]
            adapter: None,
            details: Vec::new(),
        });
    }
    Ok(devices)
}

#[cfg(not(feature = "gpu"))]
fn gpus() -> Vec<Listed> {
    Vec::new()
}

#[cfg(feature = "gpu")]
fn gpus() -> Vec<Listed> {
    wgrad::gpu::adapters().into_iter().map(listed).collect()
}

#[cfg(feature = "gpu")]
fn listed(info: wgrad::gpu::AdapterInfo) -> Listed {
    use super::output::bytes;
    let kind = match info.kind.as_str() {
        "cpu" => "software driver".to_string(),
        "other" => "unknown kind".to_string(),
        kind => format!("{kind} GPU"),
    };
    let subgroups = match info.subgroup_sizes {
        _ if !info.subgroups => "no subgroups".to_string(),
        [low, high] if low == high => format!("subgroups of {low}"),
        [low, high] => format!("subgroups of {low} to {high}"),
    };
    let support = |has: bool, what: &str| if has { what.to_string() } else { format!("no {what}") };
    let features = [subgroups, support(info.f16, "f16"), support(info.timestamps, "timestamps")];
    let driver = [info.driver.as_str(), info.driver_info.as_str()];
    let driver: Vec<&str> = driver.into_iter().filter(|part| !part.is_empty()).collect();
    let details = vec![
        format!("driver      {}", if driver.is_empty() { "unknown".into() } else { driver.join(", ") }),
        format!("features    {}", features.join(", ")),
        format!(
            "buffers     {} each, {} per binding, {} per shader",
            bytes(info.max_buffer_bytes),
            bytes(info.max_binding_bytes),
            info.max_storage_buffers
        ),
        format!(
            "workgroups  {} threads, {} of memory, {} per dimension",
            info.max_workgroup_threads,
            bytes(info.max_workgroup_memory.into()),
            info.max_workgroups
        ),
    ];
    Listed { device: format!("gpu:{}", info.index), name: info.label(), kind, adapter: Some(info), details }
}
