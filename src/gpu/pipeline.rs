//! Compute pipelines: built once for each specialised shader, several at a time.

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

/// What a pipeline is built from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    shader: Shader,
    /// Each binding of a buffer: whether it is written; none for a uniform.
    written: Vec<Option<bool>>,
    pub(super) immediates: bool,
    /// Of a user's shader, bytes that each binding has at least.
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

    /// Bindings, the parameters' included.
    pub(super) fn bindings(&self) -> usize {
        1 + self.written.len()
    }

    /// How long its shader is before specialisation: roughly, how long compiling it takes.
    pub(super) fn length(&self) -> usize {
        self.shader.text.len()
    }
}

/// A pipeline that is to be built, and the parameters of a dispatch of it.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) key: Key,
    params: Vec<u32>,
}

impl Wanted {
    pub(super) fn new(dispatch: &Dispatch) -> Wanted {
        Wanted { key: Key::new(dispatch), params: dispatch.params.clone() }
    }
}

/// Parameters in one buffer.
pub(super) struct Uniform {
    pub(super) buffer: wgpu::Buffer,
    /// Offset and size of each one's part.
    pub(super) parts: Vec<(u64, u64)>,
}

impl Uniform {
    pub(super) fn new(gpu: &Gpu, wanted: &[Wanted]) -> Result<Uniform> {
        let alignment = gpu.limits.min_uniform_buffer_offset_alignment as usize / 4;
        let mut words: Vec<u32> = Vec::new();
        let mut parts = Vec::with_capacity(wanted.len());
        for Wanted { params, .. } in wanted {
            words.resize(words.len().next_multiple_of(alignment), 0);
            let start = words.len();
            words.extend(params);
            // A uniform struct's size is a multiple of 16 bytes.
            words.resize(start + params.len().next_multiple_of(4), 0);
            parts.push((start as u64 * 4, (words.len() - start) as u64 * 4));
        }
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let buffer = gpu.buffer("kernel parameters", words.len() as u64 * 4, usage)?;
        gpu.write(&buffer, 0, bytemuck::cast_slice(&words));
        Ok(Uniform { buffer, parts })
    }
}

/// How a pipeline is bound. Pipelines that are bound alike share one: what was bound or set for one then stays for the
/// next, and wgpu has less to check at each launch.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) group: wgpu::BindGroupLayout,
    pipeline: wgpu::PipelineLayout,
}

/// What a layout is built from: the parts of a [`Key`] beside the shader.
type LayoutKey = (Vec<Option<bool>>, bool, Vec<u64>);

/// A built pipeline.
#[derive(Debug, Clone)]
pub(super) struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: Layout,
}

/// How many threads may have pipelines built at once: as many as the host has processors. On GL one: more would only wait
/// for its one context, which its devices share, and wgpu panics when that takes some seconds.
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
    /// Builds what is missing of those wanted, on several threads, and says which it was.
    pub(super) fn prepare<'w>(&mut self, gpu: &Gpu, wanted: &'w [Wanted]) -> Result<Vec<&'w Wanted>> {
        let mut missing: Vec<(&'w Wanted, Layout)> = Vec::new();
        for wanted in wanted {
            let key = &wanted.key;
            if !self.built.contains_key(key) && !missing.iter().any(|(other, _)| other.key == *key) {
                missing.push((wanted, self.layout(gpu, key)?));
            }
        }
        let threads = processors(gpu).min(missing.len());
        let next = AtomicUsize::new(0);
        let results = Mutex::new(Vec::new());
        let work = || {
            while let Some((Wanted { key, .. }, layout)) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
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
        Ok(missing.into_iter().map(|(wanted, _)| wanted).collect())
    }

    /// The layout of `key`'s pipeline.
    fn layout(&mut self, gpu: &Gpu, key: &Key) -> Result<Layout> {
        let layout_key = (key.written.clone(), key.immediates, key.declared.clone());
        if let Some(layout) = self.layouts.get(&layout_key) {
            return Ok(layout.clone());
        }
        let name = key.shader.name();
        if key.immediates && !gpu.features.contains(wgpu::Features::IMMEDIATES) {
            let label = gpu.info.label();
            let message = format!("{label} lacks IMMEDIATES, which random numbers and the step counter need");
            return Err(Error::Device(message));
        }
        let entry = |binding: usize, ty: wgpu::BufferBindingType| wgpu::BindGroupLayoutEntry {
            binding: binding as u32,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty,
                has_dynamic_offset: false,
                // A user's shader that declares more is refused here, and not when it runs.
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

/// What is wrong with a text that is not wgrad's own is not wgrad's fault.
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
        return Err(Error::Device(format!("{label} lacks SHADER_F16, which {name} on f16 needs; use f32")));
    }
    let text = key.shader.wgsl()?;
    // Messages about a text that is not wgrad's own quote it.
    let simplified = if key.shader.is_replaced() { None } else { simplify(&text) };
    let source = match simplified {
        Some(module) => wgpu::ShaderSource::Naga(Cow::Owned(module)),
        None => wgpu::ShaderSource::Wgsl(text.into()),
    };
    gpu.scoped(&format!("kernel {name}"), || {
        let device = &gpu.device;
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label: Some(name), source });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: Some(&layout.pipeline),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                // Every kernel of wgrad's writes workgroup memory before it reads it.
                zero_initialize_workgroup_memory: key.shader.custom.is_some(),
                ..Default::default()
            },
            cache: gpu.cache.as_ref().map(super::pipeline_cache::PipelineCache::cache),
        });
        Pipeline { pipeline, layout: layout.clone() }
    })
}
