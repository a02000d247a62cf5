//! Compute pipelines: one per specialised shader, built on several threads.

use super::device::{Gpu, IMMEDIATE_BYTES};
use super::simplify::simplify;
use crate::device::Backend;
use crate::error::{Error, Result};
use crate::wgsl::{Dispatch, Shader};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The key of a pipeline: everything that it is built from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    shader: Shader,
    /// For each buffer binding, whether it is read-write; `None` for a uniform buffer.
    written: Vec<Option<bool>>,
    pub(super) immediates: bool,
    /// For a user's shader, the minimum size of each binding, in bytes.
    declared: Vec<u64>,
}

impl Key {
    fn new(dispatch: &Dispatch) -> Key {
        Key {
            shader: dispatch.shader.clone(),
            written: dispatch.bindings.iter().map(|b| b.window.is_none().then_some(b.written)).collect(),
            immediates: dispatch.uses_run,
            declared: dispatch.declared.clone(),
        }
    }

    /// The number of bindings, including the parameters.
    pub(super) fn bindings(&self) -> usize {
        1 + self.written.len()
    }

    /// The length of its shader before specialisation: a rough estimate of the compile time.
    pub(super) fn length(&self) -> usize {
        self.shader.text.len()
    }
}

/// A request for a pipeline, with the parameters of one of its dispatches.
#[derive(Debug)]
pub(super) struct PipelineRequest {
    pub(super) key: Key,
    params: Vec<u32>,
}

impl PipelineRequest {
    pub(super) fn new(dispatch: &Dispatch) -> PipelineRequest {
        PipelineRequest { key: Key::new(dispatch), params: dispatch.params.clone() }
    }
}

/// The parameters of several dispatches in one uniform buffer.
pub(super) struct Uniform {
    pub(super) buffer: wgpu::Buffer,
    /// The offset and size of each dispatch's parameters, in bytes.
    pub(super) parts: Vec<(u64, u64)>,
}

impl Uniform {
    pub(super) fn new(gpu: &Gpu, requests: &[PipelineRequest]) -> Result<Uniform> {
        let alignment = gpu.limits.min_uniform_buffer_offset_alignment as usize / 4;
        let mut words: Vec<u32> = Vec::new();
        let mut parts = Vec::with_capacity(requests.len());
        for PipelineRequest { params, .. } in requests {
            words.resize(words.len().next_multiple_of(alignment), 0);
            let start = words.len();
            words.extend(params);
            // The size of a uniform struct is a multiple of 16 bytes.
            words.resize(start + params.len().next_multiple_of(4), 0);
            parts.push((start as u64 * 4, (words.len() - start) as u64 * 4));
        }
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let buffer = gpu.buffer("kernel parameters", words.len() as u64 * 4, usage)?;
        gpu.write(&buffer, 0, bytemuck::cast_slice(&words));
        Ok(Uniform { buffer, parts })
    }
}

/// The layouts of a pipeline. Pipelines with the same bindings share one: bind groups and immediates then stay set from
/// one pipeline to the next, and wgpu validates less per dispatch.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) group: wgpu::BindGroupLayout,
    pipeline: wgpu::PipelineLayout,
}

/// The key of a layout: the fields of a [`Key`] other than the shader.
type LayoutKey = (Vec<Option<bool>>, bool, Vec<u64>);

/// A built pipeline.
#[derive(Debug, Clone)]
pub(super) struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: Layout,
}

/// The number of threads that may build pipelines concurrently: the host's number of processors. One on GL: all devices
/// share its single context, so more threads would only wait for it, and wgpu panics if such a wait takes some seconds.
pub(super) fn processors(gpu: &Gpu) -> usize {
    let all = || std::thread::available_parallelism().map_or(1, usize::from);
    if gpu.info.backend == Backend::Gl.name() { 1 } else { all() }
}

/// The pipelines of a device.
#[derive(Debug, Default)]
pub(super) struct Pipelines {
    built: HashMap<Key, Pipeline>,
    layouts: HashMap<LayoutKey, Layout>,
}

impl Pipelines {
    /// Builds the missing pipelines on several threads, and returns their requests.
    pub(super) fn prepare<'w>(
        &mut self,
        gpu: &Gpu,
        requests: &'w [PipelineRequest],
    ) -> Result<Vec<&'w PipelineRequest>> {
        let mut missing: Vec<(&'w PipelineRequest, Layout)> = Vec::new();
        for request in requests {
            let key = &request.key;
            if !self.built.contains_key(key) && !missing.iter().any(|(other, _)| other.key == *key) {
                missing.push((request, self.layout(gpu, key)?));
            }
        }
        let threads = processors(gpu).min(missing.len());
        let next = AtomicUsize::new(0);
        let results = Mutex::new(Vec::new());
        let work = || {
            while let Some((PipelineRequest { key, .. }, layout)) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                let built = build(gpu, key, layout);
                results.lock().unwrap_or_else(PoisonError::into_inner).push((key, built));
            }
        };
        if threads <= 1 {
            work();
        } else {
            std::thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(work);
                }
            });
        }
        for (key, built) in results.into_inner().unwrap_or_else(PoisonError::into_inner) {
            self.built.insert(key.clone(), built?);
        }
        Ok(missing.into_iter().map(|(request, _)| request).collect())
    }

    /// The layout of the pipeline with this key.
    fn layout(&mut self, gpu: &Gpu, key: &Key) -> Result<Layout> {
        let layout_key = (key.written.clone(), key.immediates, key.declared.clone());
        if let Some(layout) = self.layouts.get(&layout_key) {
            return Ok(layout.clone());
        }
        let name = key.shader.name();
        if key.immediates && !gpu.features.contains(wgpu::Features::IMMEDIATES) {
            let label = gpu.info.label();
            let message =
                format!("{label} does not support IMMEDIATES, which random numbers and the step counter need");
            return Err(Error::Device(message));
        }
        let entry = |binding: usize, ty: wgpu::BufferBindingType| wgpu::BindGroupLayoutEntry {
            binding: binding as u32,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty,
                has_dynamic_offset: false,
                // A user's shader that declares a larger binding is rejected here, not when it runs.
                min_binding_size: key.declared.get(binding).copied().and_then(std::num::NonZeroU64::new),
            },
            count: None,
        };
        let buffer = |(k, written): (usize, &Option<bool>)| {
            let storage = written.map(|written| wgpu::BufferBindingType::Storage { read_only: !written });
            entry(k + 1, storage.unwrap_or(wgpu::BufferBindingType::Uniform))
        };
        let uniform = entry(0, wgpu::BufferBindingType::Uniform);
        let entries: Vec<_> = std::iter::once(uniform).chain(key.written.iter().enumerate().map(buffer)).collect();
        let layout = gpu.scoped(&format!("kernel {name}"), || {
            let label = Some(name);
            let group =
                gpu.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries });
            let pipeline = gpu.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label,
                bind_group_layouts: &[Some(&group)],
                immediate_size: if key.immediates { IMMEDIATE_BYTES } else { 0 },
            });
            Layout { group, pipeline }
        });
        let layout = layout.map_err(|error| blame(key, error))?;
        self.layouts.insert(layout_key, layout.clone());
        Ok(layout)
    }

    /// A prepared pipeline.
    pub(super) fn get(&self, key: &Key) -> Result<&Pipeline> {
        self.built.get(key).ok_or_else(|| Error::Internal(format!("{} was not prepared", key.shader.name())))
    }
}

/// An error in a shader that is not one of ours is the user's error, not an internal one.
fn blame(key: &Key, error: Error) -> Error {
    match error {
        Error::Internal(message) if key.shader.is_replaced() => {
            let kind = if key.shader.custom.is_some() { "custom kernel" } else { "shader" };
            Error::value(format!("{kind} `{}`", key.shader.name()), message)
        }
        error => error,
    }
}

fn build(gpu: &Gpu, key: &Key, layout: &Layout) -> Result<Pipeline> {
    build_pipeline(gpu, key, layout).map_err(|error| blame(key, error))
}

fn build_pipeline(gpu: &Gpu, key: &Key, layout: &Layout) -> Result<Pipeline> {
    let name = key.shader.name();
    if key.shader.uses_f16() && !gpu.features.contains(wgpu::Features::SHADER_F16) {
        let label = gpu.info.label();
        return Err(Error::Device(format!("{label} does not support SHADER_F16, which {name} on f16 needs; use f32")));
    }
    let text = key.shader.wgsl()?;
    // Error messages quote the source of a shader that is not one of ours.
    let simplified = if key.shader.is_replaced() { None } else { simplify(&text) };
    let source = match simplified {
        Some(module) => wgpu::ShaderSource::Naga(Cow::Owned(module)),
        None => wgpu::ShaderSource::Wgsl(text.into()),
    };
    gpu.scoped(&format!("kernel {name}"), || {
        let device = &gpu.device;
        let module = shader_module(gpu, &key.shader, wgpu::ShaderModuleDescriptor { label: Some(name), source });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: Some(&layout.pipeline),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                // Our own kernels write workgroup memory before they read it.
                zero_initialize_workgroup_memory: key.shader.custom.is_some(),
                ..Default::default()
            },
            cache: gpu.cache.as_ref().map(super::pipeline_cache::PipelineCache::cache),
        });
        Pipeline { pipeline, layout: layout.clone() }
    })
}

/// Compiles a shader: with wgpu's checks that accesses stay in bounds and loops end, or without for wgrad's own.
fn shader_module(gpu: &Gpu, shader: &Shader, descriptor: wgpu::ShaderModuleDescriptor<'_>) -> wgpu::ShaderModule {
    if gpu.checked || shader.custom.is_some() || shader.is_replaced() {
        return gpu.device.create_shader_module(descriptor);
    }
    // SAFETY: without the checks a shader must not access a buffer or an array out of bounds, and its loops must end.
    // Only files of `shaders/` as committed get here, with constants and generated expressions of `wgsl/`: never a user's
    // kernel or a file of `--shaders`. The head of each file states why its accesses stay in bounds for all sizes that the
    // planner passes (a test asks for that statement), generated code reads operands through views that have been checked
    // against their buffers, and indices that are data are clamped. `wgrad check` runs every kernel at the edges of its
    // tiles on every driver, with the checks and without. Loops count up or down to a bound that does not change.
    #[allow(unsafe_code)]
    unsafe {
        gpu.device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked())
    }
}
