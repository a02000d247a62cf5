//! Which device a session runs on.

use crate::error::{Error, Result};
use std::str::FromStr;

/// Which device to run on. As text: `auto`, `gpu`, `gpu:low-power`, `gpu:gl` (or another [`Backend`]), `gpu:1`,
/// `gpu:NAME`, `cpu`, `reference`.
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
    /// The fastest kind there is: discrete, then integrated, then software. GL only if there is nothing else.
    #[default]
    Fastest,
    /// The one that draws least power: integrated, then discrete, then software. GL only if there is nothing else.
    LowPower,
    /// The fastest of those reached through an API.
    Backend(Backend),
    /// By its position in `wgrad devices`.
    Index(usize),
    /// The first whose name contains this, ignoring case.
    Name(String),
}

/// An API through which a GPU is reached. As text: `vulkan`, `metal`, `dx12`, `gl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Backend {
    /// Vulkan.
    Vulkan,
    /// Metal, on Apple's systems.
    Metal,
    /// Direct3D 12, on Windows.
    Dx12,
    /// OpenGL ES 3.1 or OpenGL 4.3: fewer buffers for a kernel, no 16-bit floats, no subgroups.
    Gl,
}

impl Backend {
    /// All of them.
    pub const ALL: [Backend; 4] = [Backend::Vulkan, Backend::Metal, Backend::Dx12, Backend::Gl];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Vulkan => "vulkan",
            Backend::Metal => "metal",
            Backend::Dx12 => "dx12",
            Backend::Gl => "gl",
        }
    }
}

impl std::fmt::Display for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
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
                Some(rest) if !rest.is_empty() => {
                    // A backend comes before a name: `gl` is in the name of everything of Google's.
                    let backend = Backend::ALL.into_iter().find(|b| b.name().eq_ignore_ascii_case(rest));
                    Device::Gpu(match (backend, rest.parse()) {
                        (Some(backend), _) => GpuChoice::Backend(backend),
                        (_, Ok(index)) => GpuChoice::Index(index),
                        _ => GpuChoice::Name(rest.to_string()),
                    })
                }
                _ => {
                    let message = format!(
                        "unknown device `{text}`: use auto, gpu, gpu:low-power, gpu:vulkan, gpu:metal, gpu:dx12, gpu:gl, \
                         gpu:N, gpu:NAME, cpu or reference"
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
            Device::Gpu(GpuChoice::Backend(backend)) => write!(f, "gpu:{backend}"),
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
        let backends = Backend::ALL.map(|backend| format!("gpu:{backend}"));
        let others = ["auto", "gpu", "gpu:3", "gpu:low-power", "gpu:llvmpipe", "cpu", "reference"];
        for text in backends.iter().map(String::as_str).chain(others) {
            assert_eq!(text.parse::<Device>().map(|d| d.to_string()).ok().as_deref(), Some(text));
        }
        assert_eq!("gpu:GL".parse::<Device>().ok(), Some(Device::Gpu(GpuChoice::Backend(Backend::Gl))));
        assert_eq!("gpu:google".parse::<Device>().ok(), Some(Device::Gpu(GpuChoice::Name("google".into()))));
        assert!("gpu:".parse::<Device>().is_err());
        assert!("tpu".parse::<Device>().is_err());
    }
}
