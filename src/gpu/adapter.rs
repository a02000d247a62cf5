//! Which adapters there are, and which one is meant.

use crate::device::{Backend, GpuChoice};
use crate::error::{Error, Result};
use serde::Serialize;
use std::sync::OnceLock;

/// An adapter: a GPU, or a software driver that stands in for one, as one backend shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AdapterInfo {
    /// Its position in the list: `gpu:INDEX` picks it.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// The API it is reached through: `vulkan`, `metal`, `dx12` or `gl`.
    pub backend: String,
    /// `discrete`, `integrated`, `virtual`, `cpu` or `other`.
    pub kind: String,
    /// The driver's name.
    pub driver: String,
    /// The driver's version and build.
    pub driver_info: String,
    /// The vendor's id (PCI, where there is one).
    pub vendor: u32,
    /// The device's id.
    pub device: u32,
    /// Whether shaders may use subgroups.
    pub subgroups: bool,
    /// The smallest and the largest subgroup.
    pub subgroup_sizes: [u32; 2],
    /// Whether shaders may use 16-bit floats.
    pub f16: bool,
    /// Whether dispatches can be timed on the device.
    pub timestamps: bool,
    /// Whether shaders may use immediates; random numbers and the step counter need them.
    pub immediates: bool,
    /// The largest buffer, in bytes.
    pub max_buffer_bytes: u64,
    /// The largest part of a buffer a shader can see, in bytes.
    pub max_binding_bytes: u64,
    /// Storage buffers a shader can see.
    pub max_storage_buffers: u32,
    /// Bytes of workgroup memory.
    pub max_workgroup_memory: u32,
    /// Threads of a workgroup.
    pub max_workgroup_threads: u32,
    /// Workgroups in a dimension of a dispatch.
    pub max_workgroups: u32,
}

impl AdapterInfo {
    /// Whether it is a GPU and not a software driver.
    pub fn is_hardware(&self) -> bool {
        matches!(self.kind.as_str(), "discrete" | "integrated" | "virtual")
    }
    /// Whether it is a software driver.
    pub fn is_software(&self) -> bool {
        self.kind == "cpu"
    }
    /// The name people see, which [`GpuChoice::Name`] searches.
    pub fn label(&self) -> String {
        format!("{} ({})", self.name, self.backend)
    }
}

type Adapters = Vec<(wgpu::Adapter, AdapterInfo)>;

/// The variable that says which backends there are; other programs on wgpu mind it too.
const BACKEND_VARIABLE: &str = "WGPU_BACKEND";

/// What [`BACKEND_VARIABLE`] says, if it says anything.
fn wanted_backends() -> Option<String> {
    std::env::var(BACKEND_VARIABLE).ok().filter(|text| !text.trim().is_empty())
}

/// The adapters of some backends, numbered from `first`.
fn enumerate(backends: wgpu::Backends, first: usize) -> Adapters {
    let wanted = wanted_backends().map(|text| wgpu::Backends::from_comma_list(&text));
    let backends = backends & wanted.unwrap_or(wgpu::Backends::all());
    if backends.is_empty() {
        return Vec::new();
    }
    let descriptor = wgpu::InstanceDescriptor { backends, ..wgpu::InstanceDescriptor::new_without_display_handle() };
    let instance = wgpu::Instance::new(descriptor);
    let found = pollster::block_on(instance.enumerate_adapters(backends));
    let compute = wgpu::DownlevelFlags::COMPUTE_SHADERS;
    let able = found.into_iter().filter(|a| a.get_downlevel_capabilities().flags.contains(compute));
    able.enumerate().map(|(index, adapter)| (adapter.clone(), describe(first + index, &adapter))).collect()
}

/// The platform's own adapters: Vulkan, Metal, DX12. Asked for once.
fn native() -> &'static Adapters {
    static NATIVE: OnceLock<Adapters> = OnceLock::new();
    NATIVE.get_or_init(|| enumerate(wgpu::Backends::PRIMARY, 0))
}

/// GL's adapters, numbered after the native ones. Asked for only when something needs them: GL drivers take time to
/// start, and on a machine without a display some complain on stderr.
fn gl() -> &'static Adapters {
    static GL: OnceLock<Adapters> = OnceLock::new();
    GL.get_or_init(|| enumerate(wgpu::Backends::GL, native().len()))
}

/// All adapters.
fn everything() -> Vec<&'static (wgpu::Adapter, AdapterInfo)> {
    native().iter().chain(gl()).collect()
}

/// What to choose the fastest from: the native adapters, or GL's if there are none.
fn preferred() -> &'static Adapters {
    if native().is_empty() { gl() } else { native() }
}

fn describe(index: usize, adapter: &wgpu::Adapter) -> AdapterInfo {
    let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
    AdapterInfo {
        index,
        name: info.name,
        backend: info.backend.to_string(),
        kind: match info.device_type {
            wgpu::DeviceType::DiscreteGpu => "discrete",
            wgpu::DeviceType::IntegratedGpu => "integrated",
            wgpu::DeviceType::VirtualGpu => "virtual",
            wgpu::DeviceType::Cpu => "cpu",
            wgpu::DeviceType::Other => "other",
        }
        .into(),
        driver: info.driver,
        driver_info: info.driver_info,
        vendor: info.vendor,
        device: info.device,
        subgroups: features.contains(wgpu::Features::SUBGROUP),
        subgroup_sizes: [info.subgroup_min_size, info.subgroup_max_size],
        f16: features.contains(wgpu::Features::SHADER_F16),
        timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
        immediates: features.contains(wgpu::Features::IMMEDIATES),
        max_buffer_bytes: limits.max_buffer_size,
        max_binding_bytes: limits.max_storage_buffer_binding_size,
        max_storage_buffers: limits.max_storage_buffers_per_shader_stage,
        max_workgroup_memory: limits.max_compute_workgroup_storage_size,
        max_workgroup_threads: limits.max_compute_invocations_per_workgroup,
        max_workgroups: limits.max_compute_workgroups_per_dimension,
    }
}

/// All adapters that can compute, over all of wgpu's backends, or those the environment's `WGPU_BACKEND` names. The list
/// stays the same while the process lives.
pub fn adapters() -> Vec<AdapterInfo> {
    everything().into_iter().map(|(_, info)| info.clone()).collect()
}

/// Whether there is a GPU that is not a software driver.
pub fn has_hardware() -> bool {
    preferred().iter().any(|(_, info)| info.is_hardware())
}

/// What is known of the adapter that `choice` means, without opening it.
pub fn adapter(choice: &GpuChoice) -> Result<AdapterInfo> {
    find(choice).map(|(_, info)| info.clone())
}

/// The adapter that `choice` means, to open a device on. All devices of a GL adapter share its one context, and wgpu panics
/// when a thread waits for that for some seconds: two sessions would be in each other's way. So each gets a context.
pub(super) fn choose(choice: &GpuChoice) -> Result<(wgpu::Adapter, AdapterInfo)> {
    let found = find(choice)?;
    let again = if found.1.backend == Backend::Gl.name() {
        enumerate(wgpu::Backends::GL, native().len()).into_iter().find(|(_, info)| *info == found.1)
    } else {
        None
    };
    Ok(again.unwrap_or_else(|| found.clone()))
}

fn find(choice: &GpuChoice) -> Result<&'static (wgpu::Adapter, AdapterInfo)> {
    let kinds = match choice {
        GpuChoice::LowPower => ["integrated", "discrete", "virtual", "cpu", "other"],
        _ => ["discrete", "integrated", "virtual", "cpu", "other"],
    };
    // The first of the best kind.
    let rank = |(_, info): &&(wgpu::Adapter, AdapterInfo)| kinds.iter().position(|kind| *kind == info.kind);
    let found = match choice {
        GpuChoice::Index(index) if *index < native().len() => Some(&native()[*index]),
        GpuChoice::Index(index) => everything().into_iter().nth(*index),
        GpuChoice::Name(name) => {
            let name = name.to_lowercase();
            let has_name = |(_, info): &&(wgpu::Adapter, AdapterInfo)| info.label().to_lowercase().contains(&name);
            native().iter().find(has_name).or_else(|| gl().iter().find(has_name))
        }
        GpuChoice::Backend(backend) => {
            let reached = if *backend == Backend::Gl { gl() } else { native() };
            reached.iter().filter(|(_, info)| info.backend == backend.name()).min_by_key(rank)
        }
        GpuChoice::Fastest | GpuChoice::LowPower => preferred().iter().min_by_key(rank),
    };
    if let Some(found) = found {
        return Ok(found);
    }
    let labels =
        adapters().iter().map(|info| format!("{}: {}", info.index, info.label())).collect::<Vec<_>>().join(", ");
    let known = if labels.is_empty() {
        "there is none: install a Vulkan driver (Mesa's lavapipe runs on any CPU), or use the cpu device".to_string()
    } else {
        format!("there are {labels}")
    };
    let known = match wanted_backends() {
        Some(wanted) => format!("{known} ({BACKEND_VARIABLE} is `{wanted}`)"),
        None => known,
    };
    Err(Error::Device(match choice {
        GpuChoice::Index(index) => format!("no GPU has index {index}; {known}"),
        GpuChoice::Backend(backend) => format!("no GPU is reached through {backend}; {known}"),
        GpuChoice::Name(name) => format!("no GPU's name contains `{name}`; {known}"),
        GpuChoice::Fastest | GpuChoice::LowPower => format!("no GPU; {known}"),
    }))
}
