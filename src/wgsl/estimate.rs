//! How long a dispatch would take on a GPU that is described by a few numbers: to see, without one, which of them leave it
//! idle.
//!
//! A dispatch takes the device's shortest time and the longest of three others:
//!   bytes        bytes / bandwidth, and what workgroups read / the bandwidth of the cache that they share;
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
    /// Bytes that workgroups read a second from the cache that they share.
    pub cache_bytes_per_second: f64,
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
        if let Some((name, value, least, most)) = counts.into_iter().find(|&(_, n, least, most)| n < least || n > most)
        {
            return Err(fault(format!("`{name}` is {value}, but must be {least} to {most}")));
        }
        let rates = [
            ("bytes_per_second", speed.bytes_per_second),
            ("cache_bytes_per_second", speed.cache_bytes_per_second),
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
        // Hardware's usual largest binding.
        GpuTarget { f16, subgroups, subgroup_size, max_binding: (2 << 30) - 4, ..limits }
    }

    /// What a dispatch of so many workgroups would take on it.
    pub fn estimate(&self, work: &Work, workgroups: u64) -> Estimate {
        self.speed.estimate(work, workgroups)
    }
}

impl Speed {
    /// What the rules choose variants for: a data-centre GPU, as `devices/h200.toml` has it.
    pub(super) const TYPICAL: Speed = Speed {
        units: 132,
        threads_per_unit: 2048,
        bytes_per_second: 4.5e12,
        cache_bytes_per_second: 5.5e12,
        instructions_per_second: 23.9e12,
        dispatch_us: 3.5,
        load_ns: 180.0,
        barrier_ns: 75.0,
        more_barrier_ns: 35.0,
        instruction_ns: 0.7,
    };

    /// What a dispatch of so many workgroups would take.
    fn estimate(&self, work: &Work, workgroups: u64) -> Estimate {
        let (units, threads) = (f64::from(self.units), f64::from(work.threads.max(1)));
        let unit_rate = self.instructions_per_second / units;
        let fullest = (workgroups as f64 / units).ceil();
        // A subgroup's threads take as long together as one of them.
        let busy = fullest * 32.0 * (threads / 32.0).ceil() * work.instructions as f64 / unit_rate;
        let barrier = self.barrier_ns + self.more_barrier_ns * ((threads / 32.0).ceil() - 1.0);
        let loads = work.waits as f64 * self.load_ns;
        let chain = loads + work.barriers as f64 * barrier + work.instructions as f64 * self.instruction_ns;
        let held = units * (f64::from(self.threads_per_unit) / threads).floor().clamp(1.0, 32.0);
        let chain = 1e-9 * chain * (workgroups as f64 / held).ceil();
        let bytes = work.bytes as f64 / self.bytes_per_second;
        let loaded = (work.loaded.saturating_mul(workgroups)) as f64 / self.cache_bytes_per_second;
        let needed = work.needed as f64 / self.instructions_per_second;
        let dispatch = 1e-6 * self.dispatch_us;
        Estimate { seconds: dispatch + bytes.max(loaded).max(busy).max(chain), least: dispatch + bytes.max(needed) }
    }
}

/// The seconds of a dispatch on a typical GPU.
pub(super) fn seconds(work: &Work, workgroups: u64) -> f64 {
    Speed::TYPICAL.estimate(work, workgroups).seconds
}

/// The variant that takes the fewest seconds; of those within a twentieth, the first.
pub(super) fn fastest<V>(variants: impl IntoIterator<Item = V>, seconds: impl Fn(&V) -> f64) -> Option<V> {
    let timed = variants.into_iter().map(|variant| (seconds(&variant), variant));
    let better = |best: (f64, V), other: (f64, V)| if other.0 < 0.95 * best.0 { other } else { best };
    timed.reduce(better).map(|(_, variant)| variant)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_are_read_or_refused() {
        assert_eq!(DescribedGpu::read("h200".as_ref()).unwrap().speed, Speed::TYPICAL);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("gpu.toml");
        for (from, to, word) in [
            ("units = 132", "units = 0", "`units` is 0"),
            ("load_ns = 180.0", "load_ns = -1.0", "`load_ns` is -1"),
            ("load_ns = 180.0", "", "load_ns"),
            ("max_invocations = 1024", "max_invocations = 64", "128 to"),
            ("f16 = true", "f16 = true\nwarp = 3", "warp"),
        ] {
            std::fs::write(&file, H200.replace(from, to)).unwrap();
            let error = DescribedGpu::read(&file).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains("gpu.toml"), "{error}");
        }
        assert!(DescribedGpu::read("none.toml".as_ref()).unwrap_err().to_string().contains("`h200`"));
    }

    #[test]
    fn the_slowest_part_counts() {
        let speed = Speed::TYPICAL;
        let seconds = |work: Work, workgroups| 1e6 * speed.estimate(&work, workgroups).seconds - speed.dispatch_us;
        let near = |a: f64, b: f64| assert!((a / b - 1.0).abs() < 1e-6, "{a} is not {b}");
        // 4.5 MB; one workgroup that waits ten times and comes to two barriers of 320 ns; 64 instructions of many threads.
        near(seconds(Work { threads: 64, bytes: 4_500_000, ..Work::default() }, 1), 1.0);
        near(seconds(Work::of(256, 10, 2, 100), 1), 10.0 * 0.18 + 2.0 * 0.32 + 0.07);
        near(seconds(Work::of(256, 0, 0, 64), 132 * 1000), 1000.0 * 256.0 * 64.0 * 132.0 / 23.9e6);
        // Twice as many workgroups as the device holds wait twice as long.
        near(seconds(Work::of(1024, 10, 0, 0), 2 * 2 * 132), 2.0 * 1.8);
        assert_eq!(fastest([1.0, 0.96, 0.5, 0.48], |&x| x), Some(0.5));
    }
}
