//! The machine that a measurement was made on.

use crate::session::Session;
use serde::{Deserialize, Serialize};

/// A device and its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The device as requested.
    pub device: String,
    /// The name of the device.
    pub name: String,
    /// The GPU driver and its version; empty for the CPU.
    pub driver: String,
    /// Whether the GPU supports timestamps.
    pub timestamps: bool,
    /// The number of threads that the CPU device uses; for a GPU, the host's number of hardware threads.
    pub threads: usize,
    /// The host's processor.
    pub cpu: String,
    /// The operating system and architecture.
    pub system: String,
    /// On a GPU, which variants of kernels ran: `by rule`, `tuned for 12 launches`, or the one
    /// asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variants: Option<String>,
}

impl Machine {
    /// The machine of a session.
    pub fn of(session: &Session) -> Self {
        let name = session.device_name();
        let is_gpu = session.gpu_target().is_some();
        let (driver, timestamps) = adapter(session);
        let host = std::thread::available_parallelism().map_or(1, usize::from);
        Machine {
            device: session.device().to_string(),
            name,
            driver,
            timestamps,
            threads: if is_gpu { host } else { crate::cpu::threads::count() },
            cpu: processor(),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            variants: session.gpu_target().map(|target| target.choice.to_string()),
        }
    }

    /// Why times measured on `other` are not comparable with this machine's; `None` if they are.
    pub fn differs(&self, other: &Machine) -> Option<String> {
        let fields = [
            ("device", &self.name, &other.name),
            ("driver", &self.driver, &other.driver),
            ("processor", &self.cpu, &other.cpu),
            ("system", &self.system, &other.system),
        ];
        let threads = [self, other].map(|m| m.threads.to_string());
        let mut all = fields.into_iter().chain([("number of threads", &threads[0], &threads[1])]);
        all.find(|(_, a, b)| a != b)
            .map(|(what, here, there)| format!("the {what} was `{there}`, but is `{here}` here"))
    }

    /// A description in one line.
    pub fn label(&self) -> String {
        let threads = if self.threads == 1 { "1 thread".to_string() } else { format!("{} threads", self.threads) };
        match self.driver.as_str() {
            "" => format!("{} ({}, {threads})", self.name, self.cpu),
            driver => {
                let variants = self.variants.as_ref().map_or(String::new(), |chosen| format!("; variants: {chosen}"));
                format!("{}, {driver}{variants}; host {} ({threads})", self.name, self.cpu)
            }
        }
    }
}

/// The driver of a GPU session, and whether it supports timestamps.
#[cfg(feature = "gpu")]
fn adapter(session: &Session) -> (String, bool) {
    use crate::device::{Device, GpuChoice};
    if session.gpu_target().is_none() {
        return Default::default();
    }
    let choice = match session.device() {
        Device::Gpu(choice) => choice.clone(),
        _ => GpuChoice::Fastest,
    };
    let found = crate::gpu::adapter(&choice).ok();
    found
        .map_or_else(Default::default, |a| (format!("{} {}", a.driver, a.driver_info).trim().to_string(), a.timestamps))
}

#[cfg(not(feature = "gpu"))]
fn adapter(_: &Session) -> (String, bool) {
    Default::default()
}

/// The name of the processor, if the operating system provides it.
fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or_else(|| "unknown processor".to_string(), |(_, name)| name.trim().to_string())
}
