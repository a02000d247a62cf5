//! Which device a session runs on.

use super::Executor;
use crate::error::{Error, Result};
use std::str::FromStr;

/// Which device to run on. As text: `auto`, `gpu`, `gpu:1`, `gpu:NAME`, `gpu:low-power`, `cpu`, `reference`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Device {
    /// The fastest real GPU if there is one, else the CPU.
    #[default]
    Auto,
    /// A GPU (or a software driver that stands in for one).
    Gpu(GpuChoice),
    /// The CPU executor.
    Cpu,
    /// The f64 interpreter: slow, and the definition of what the others compute.
    Reference,
}

/// Which GPU.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum GpuChoice {
    /// The fastest kind there is: discrete, then integrated, then software.
    #[default]
    Fastest,
    /// The one that draws least power: integrated, then discrete, then software.
    LowPower,
    /// By its position in `wgrad devices`.
    Index(usize),
    /// The first whose name contains this, ignoring case.
    Name(String),
}

impl Device {
    /// The fastest real GPU if there is one, else the CPU.
    pub fn auto() -> Self {
        Device::Auto
    }
    /// The fastest GPU.
    pub fn gpu() -> Self {
        Device::Gpu(GpuChoice::Fastest)
    }
    /// The CPU executor.
    pub fn cpu() -> Self {
        Device::Cpu
    }
    /// The f64 interpreter.
    pub fn reference() -> Self {
        Device::Reference
    }

    pub(super) fn open(&self) -> Result<Box<dyn Executor>> {
        match self {
            Device::Reference => Ok(Box::new(super::reference::ReferenceExecutor::default())),
            Device::Cpu => Ok(Box::new(crate::cpu::CpuExecutor::default())),
            #[cfg(feature = "gpu")]
            Device::Gpu(choice) => Ok(Box::new(crate::gpu::GpuExecutor::new(choice)?)),
            #[cfg(feature = "gpu")]
            Device::Auto if crate::gpu::has_hardware() => {
                Ok(Box::new(crate::gpu::GpuExecutor::new(&GpuChoice::Fastest)?))
            }
            #[cfg(not(feature = "gpu"))]
            Device::Gpu(_) => Err(Error::Device("this build has no GPU support; build with the `gpu` feature".into())),
            Device::Auto => Device::Cpu.open(),
        }
    }
}

impl FromStr for Device {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "auto" => Device::Auto,
            "gpu" => Device::gpu(),
            "cpu" => Device::Cpu,
            "reference" => Device::Reference,
            _ => match text.strip_prefix("gpu:") {
                Some("low-power") => Device::Gpu(GpuChoice::LowPower),
                Some(rest) if !rest.is_empty() => Device::Gpu(match rest.parse() {
                    Ok(index) => GpuChoice::Index(index),
                    Err(_) => GpuChoice::Name(rest.to_string()),
                }),
                _ => {
                    let message = format!(
                        "unknown device `{text}`: use auto, gpu, gpu:N, gpu:NAME, gpu:low-power, cpu or reference"
                    );
                    return Err(Error::config("device", message));
                }
            },
        })
    }
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Device::Auto => f.write_str("auto"),
            Device::Gpu(GpuChoice::Fastest) => f.write_str("gpu"),
            Device::Gpu(GpuChoice::LowPower) => f.write_str("gpu:low-power"),
            Device::Gpu(GpuChoice::Index(index)) => write!(f, "gpu:{index}"),
            Device::Gpu(GpuChoice::Name(name)) => write!(f, "gpu:{name}"),
            Device::Cpu => f.write_str("cpu"),
            Device::Reference => f.write_str("reference"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_read_back_as_written() {
        for text in ["auto", "gpu", "gpu:3", "gpu:low-power", "gpu:llvmpipe", "cpu", "reference"] {
            assert_eq!(text.parse::<Device>().map(|d| d.to_string()).ok().as_deref(), Some(text));
        }
        assert!("gpu:".parse::<Device>().is_err());
        assert!("tpu".parse::<Device>().is_err());
    }
}
