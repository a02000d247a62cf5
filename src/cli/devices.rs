//! `wgrad devices`: what can run here.

use super::output::{Outcome, print, print_json};
use clap::Args;
use serde::Serialize;
use wgrad::{Device, Session};

/// List the devices that can run here
///
/// The first column is what `--device` takes. There may be no GPU; that is not an error.
#[derive(Debug, Args)]
pub(super) struct DevicesArgs {
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

/// A device as listed.
#[derive(Debug, Serialize)]
struct Listed {
    /// What `--device` takes.
    device: String,
    /// Its name, for people.
    name: String,
    /// What it is.
    kind: String,
}

impl DevicesArgs {
    pub(super) fn run(&self) -> Outcome {
        let devices = hosts()?;
        if self.json {
            return print_json(&serde_json::json!({ "devices": devices }));
        }
        let width = devices.iter().map(|d| d.device.len()).max().unwrap_or(0);
        for Listed { device, name, kind } in &devices {
            print(format_args!("{device:width$}  {name}  ({kind})"))?;
        }
        Ok(())
    }
}

/// The devices that are everywhere.
fn hosts() -> Outcome<Vec<Listed>> {
    let mut devices = Vec::new();
    for (device, kind) in [(Device::cpu(), "CPU"), (Device::reference(), "f64 interpreter, for checking")] {
        let name = Session::new(device.clone())?.device_name();
        devices.push(Listed { device: device.to_string(), name, kind: kind.into() });
    }
    Ok(devices)
}
