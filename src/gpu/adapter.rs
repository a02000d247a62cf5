//! Enumeration and selection of adapters.

use crate::device::{Backend, GpuChoice};
use crate::error::{Error, Result};
use serde::Serialize;
use std::sync::OnceLock;

/// An adapter: a GPU or a software driver, as exposed by one backend.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AdapterInfo {
    /// Its position in [`adapters`]: `gpu:INDEX` selects it.
    pub index: usize,
    /// The adapter's name.
    pub name: String,
    /// The backend API: `vulkan`, `metal`, `dx12` or `gl`.
    pub backend: String,
    /// The device type: `discrete`, `integrated`, `virtual`, `cpu` or `other`.
    pub kind: String,
    /// The driver's name.
    pub driver: String,
    /// The driver's version and build.
    pub driver_info: String,
    /// The vendor ID (from PCI, if there is one).
    pub vendor: u32,
    /// The device ID.
    pub device: u32,
    /// Whether shaders can use subgroup operations.
    pub subgroups: bool,
    /// The smallest and the largest subgroup size.
    pub subgroup_sizes: [u32; 2],
    /// Whether shaders can use 16-bit floats.
    pub f16: bool,
    /// Whether timestamp queries are supported.
    pub timestamps: bool,
    /// Whether shaders can use immediates; random numbers and the step counter need them.
    pub immediates: bool,
    /// The largest buffer size, in bytes.
    pub max_buffer_bytes: u64,
    /// The largest size of a storage buffer binding, in bytes.
    pub max_binding_bytes: u64,
    /// Storage buffers per shader stage.
    pub max_storage_buffers: u32,
    /// Workgroup memory per workgroup, in bytes.
    pub max_workgroup_memory: u32,
    /// Threads per workgroup.
    pub max_workgroup_threads: u32,
    /// Workgroups per dimension of a dispatch.
    pub max_workgroups: u32,
}

impl AdapterInfo {
    /// Whether it is a GPU rather than a software driver.
    pub fn is_hardware(&self) -> bool {
        matches!(self.kind.as_str(), "discrete" | "integrated" | "virtual")
    }
    /// Whether it is a software driver.
    pub fn is_software(&self) -> bool {
        self.kind == "cpu"
    }
    /// The display name, which [`GpuChoice::Name`] searches.
    pub fn label(&self) -> String {
        format!("{} ({})", self.name, self.backend)
    }
}

type Adapters = Vec<(wgpu::Adapter, AdapterInfo)>;

/// The environment variable that restricts the backends; other programs that use wgpu read it too.
const BACKEND_VARIABLE: &str = "WGPU_BACKEND";

/// The value of [`BACKEND_VARIABLE`], unless it is unset or blank.
fn wanted_backends() -> Option<String> {
    std::env::var(BACKEND_VARIABLE).ok().filter(|text| !text.trim().is_empty())
}

/// Enumerates the adapters of some backends, numbered from `first`.
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
    let capable = found.into_iter().filter(|a| a.get_downlevel_capabilities().flags.contains(compute));
    capable.enumerate().map(|(index, adapter)| (adapter.clone(), describe(first + index, &adapter))).collect()
}

/// The adapters of the platform's native APIs: Vulkan, Metal, DX12. Enumerated once.
fn native() -> &'static Adapters {
    static NATIVE: OnceLock<Adapters> = OnceLock::new();
    NATIVE.get_or_init(|| enumerate(wgpu::Backends::PRIMARY, 0))
}

/// GL adapters, numbered after the native ones. Enumerated on demand: GL drivers start slowly, and on a machine without
/// a display some print warnings to stderr.
fn gl() -> &'static Adapters {
    static GL: OnceLock<Adapters> = OnceLock::new();
    GL.get_or_init(|| enumerate(wgpu::Backends::GL, native().len()))
}

/// All adapters.
fn all_adapters() -> Vec<&'static (wgpu::Adapter, AdapterInfo)> {
    native().iter().chain(gl()).collect()
}

/// The adapters to select the default from: the native ones, or those of GL if there are none.
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

/// All adapters that support compute shaders, on all of wgpu's backends, or only those in the environment variable
/// `WGPU_BACKEND`. The list does not change during the process.
pub fn adapters() -> Vec<AdapterInfo> {
    all_adapters().into_iter().map(|(_, info)| info.clone()).collect()
}

/// Whether there is a GPU other than a software driver.
pub fn has_hardware() -> bool {
    preferred().iter().any(|(_, info)| info.is_hardware())
}

/// The properties of the adapter that `choice` selects, without opening it.
pub fn adapter(choice: &GpuChoice) -> Result<AdapterInfo> {
    find(choice).map(|(_, info)| info.clone())
}

/// The adapter that `choice` selects, for opening a device. All devices of one GL adapter share its context, and wgpu
/// panics if a thread waits some seconds for a context, so concurrent sessions would fail. Therefore each device gets a
/// GL context of its own.
pub(super) fn choose(choice: &GpuChoice) -> Result<(wgpu::Adapter, AdapterInfo)> {
    let found = find(choice)?;
    let fresh = if found.1.backend == Backend::Gl.name() {
        enumerate(wgpu::Backends::GL, native().len()).into_iter().find(|(_, info)| *info == found.1)
    } else {
        None
    };
    Ok(fresh.unwrap_or_else(|| found.clone()))
}

fn find(choice: &GpuChoice) -> Result<&'static (wgpu::Adapter, AdapterInfo)> {
    let kinds = match choice {
        GpuChoice::LowPower => ["integrated", "discrete", "virtual", "cpu", "other"],
        _ => ["discrete", "integrated", "virtual", "cpu", "other"],
    };
    // The first adapter of the best type.
    let rank = |(_, info): &&(wgpu::Adapter, AdapterInfo)| kinds.iter().position(|kind| *kind == info.kind);
    let found = match choice {
        GpuChoice::Index(index) if *index < native().len() => Some(&native()[*index]),
        GpuChoice::Index(index) => all_adapters().into_iter().nth(*index),
        GpuChoice::Name(name) => {
            let name = name.to_lowercase();
            let has_name = |(_, info): &&(wgpu::Adapter, AdapterInfo)| info.label().to_lowercase().contains(&name);
            native().iter().find(has_name).or_else(|| gl().iter().find(has_name))
        }
        GpuChoice::Backend(backend) => {
            let candidates = if *backend == Backend::Gl { gl() } else { native() };
            candidates.iter().filter(|(_, info)| info.backend == backend.name()).min_by_key(rank)
        }
        GpuChoice::Fastest | GpuChoice::LowPower => preferred().iter().min_by_key(rank),
    };
    if let Some(found) = found {
        return Ok(found);
    }
    let labels =
        adapters().iter().map(|info| format!("{}: {}", info.index, info.label())).collect::<Vec<_>>().join(", ");
    let available = if labels.is_empty() {
        "there are no adapters: install a Vulkan driver (Mesa's lavapipe runs on any CPU), or use the cpu device"
            .to_string()
    } else {
        format!("the adapters are {labels}")
    };
    let available = match wanted_backends() {
        Some(wanted) => format!("{available} ({BACKEND_VARIABLE} is `{wanted}`)"),
        None => available,
    };
    Err(Error::Device(match choice {
        GpuChoice::Index(index) => format!("no GPU has index {index}; {available}"),
        GpuChoice::Backend(backend) => format!("no GPU has the {backend} backend; {available}"),
        GpuChoice::Name(name) => format!("no GPU's name contains `{name}`; {available}"),
        GpuChoice::Fastest | GpuChoice::LowPower => format!("no GPU; {available}"),
    }))
}
