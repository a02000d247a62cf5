//! How long a dispatch would take on a GPU that is described by a few numbers: to see, without one, which of them leave it
//! idle.
//!
//! A dispatch takes the device's shortest time and the longest of three others:
//!   bytes        bytes / bandwidth;
//!   instructions those of the fullest compute unit: ⌈workgroups / units⌉ workgroups' instructions at the unit's rate;
//!   one thread   the longest thread's loads that wait for one another, barriers and instructions, as often as workgroups
//!                are more than the device holds.

use super::{GpuTarget, Work};
use crate::error::{Error, Result};
use serde::Deserialize;
use std::path::Path;

/// A GPU as estimates see it. Read from TOML; `devices/h200.toml` says what each number is.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DescribedGpu {
    /// Its name.
    pub name: String,
    /// What kernels are chosen for.
    pub limits: Limits,
    /// How fast it is.
    pub speed: Speed,
}

/// The limits of a described GPU; see [`GpuTarget`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Limits {
    pub max_invocations: u32,
    pub workgroup_memory: u32,
    pub storage_buffers: u32,
    pub f16: bool,
    pub subgroup_size: u32,
}

/// The speed of a described GPU.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Speed {
    /// Compute units.
    pub units: u32,
    /// Threads that a unit holds at a time.
    pub threads_per_unit: u32,
    /// Bytes read and written a second.
    pub bytes_per_second: f64,
    /// Instructions of all threads a second; a multiply-add is one.
    pub instructions_per_second: f64,
    /// Microseconds of a dispatch that does next to nothing, after another one.
    pub dispatch_us: f64,
    /// Nanoseconds of a load that the next instruction needs.
    pub load_ns: f64,
    /// Nanoseconds of a barrier of up to 32 threads.
    pub barrier_ns: f64,
    /// More of them for each 32 threads more.
    pub more_barrier_ns: f64,
    /// Nanoseconds of an instruction of one thread.
    pub instruction_ns: f64,
}

/// What a dispatch would take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Seconds.
    pub seconds: f64,
    /// Seconds that any dispatch of its bytes and of the instructions needed would take.
    pub least: f64,
}

const H200: &str = include_str!("../../devices/h200.toml");

impl DescribedGpu {
    /// The description in a TOML file; or one that wgrad knows: `h200`.
    ///
    /// ```
    /// let gpu = wgrad::wgsl::DescribedGpu::read("h200".as_ref())?;
    /// assert_eq!(gpu.speed.units, 132);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the file cannot be read, or a number is missing or not above 0.
    pub fn read(path: &Path) -> Result<DescribedGpu> {
        let fault = |message: String| Error::file(path, message);
        let text = match path.to_str() {
            Some("h200") => H200.to_string(),
            _ => std::fs::read_to_string(path)
                .map_err(|e| fault(format!("{e}; a description of a GPU is a TOML file, or `h200`")))?,
        };
        let gpu: DescribedGpu = toml::from_str(&text).map_err(|e| fault(e.to_string()))?;
        let (limits, speed) = (&gpu.limits, &gpu.speed);
        let counts = [
            ("max_invocations", limits.max_invocations, 128, 1 << 16),
            ("workgroup_memory", limits.workgroup_memory, 16 * 1024, 1 << 30),
            ("storage_buffers", limits.storage_buffers, 8, 1 << 16),
            ("units", speed.units, 1, 1 << 20),
            ("threads_per_unit", speed.threads_per_unit, 1, 1 << 20),
        ];
        if let Some((name, value, least, most)) = counts.into_iter().find(|&(_, n, least, most)| n < least || n > most) {
            return Err(fault(format!("`{name}` is {value}, but must be {least} to {most}")));
        }
        let rates = [
            ("bytes_per_second", speed.bytes_per_second),
            ("instructions_per_second", speed.instructions_per_second),
            ("dispatch_us", speed.dispatch_us),
            ("load_ns", speed.load_ns),
            ("barrier_ns", speed.barrier_ns),
            ("more_barrier_ns", speed.more_barrier_ns),
            ("instruction_ns", speed.instruction_ns),
        ];
        if let Some((name, value)) = rates.into_iter().find(|&(_, value)| !(value > 0.0 && value.is_finite())) {
            return Err(fault(format!("`{name}` is {value}, but must be above 0")));
        }
        Ok(gpu)
    }

    /// What kernels are chosen for on it.
    pub fn target(&self) -> GpuTarget {
        let Limits { max_invocations, workgroup_memory, storage_buffers, f16, subgroup_size } = self.limits;
        let subgroups = subgroup_size > 0;
        let limits = GpuTarget { max_invocations, workgroup_memory, storage_buffers, ..GpuTarget::default() };
        GpuTarget { f16, subgroups, subgroup_size, ..limits }
    }

    /// What a dispatch of so many workgroups would take on it.
    pub fn estimate(&self, work: &Work, workgroups: u64) -> Estimate {
        let speed = &self.speed;
        let (units, threads) = (f64::from(speed.units), f64::from(work.threads.max(1)));
        let unit_rate = speed.instructions_per_second / units;
        let fullest = (workgroups as f64 / units).ceil();
        let busy = fullest * threads * work.instructions as f64 / unit_rate;
        let barrier = speed.barrier_ns + speed.more_barrier_ns * ((threads / 32.0).ceil() - 1.0);
        let loads = work.waits as f64 * speed.load_ns;
        let chain =
            loads + work.barriers as f64 * barrier + work.instructions as f64 * speed.instruction_ns;
        let held = units * (f64::from(speed.threads_per_unit) / threads).floor().clamp(1.0, 32.0);
        let chain = 1e-9 * chain * (workgroups as f64 / held).ceil();
        let bytes = work.bytes as f64 / speed.bytes_per_second;
        let needed = work.needed as f64 / speed.instructions_per_second;
        let dispatch = 1e-6 * speed.dispatch_us;
        Estimate { seconds: dispatch + bytes.max(busy).max(chain), least: dispatch + bytes.max(needed) }
    }
}
