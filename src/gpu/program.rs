//! A compiled program: everything that a run needs, built in advance.

use super::device::{Gpu, IMMEDIATE_BYTES};
use super::pipeline::{PipelineRequest, Pipelines, Uniform};
use crate::array::Array;
use crate::error::{Error, Result};
use crate::executor::LaunchSeconds;
use crate::kernels::Operand;
use crate::plan::{BufferKind, Plan};
use crate::shape::TensorType;
use crate::wgsl::{self, Dispatch, GpuTarget, ShaderFolder, WINDOW};
use std::collections::HashMap;

const STORAGE: wgpu::BufferUsages =
    wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_SRC).union(wgpu::BufferUsages::COPY_DST);

/// Creates a storage buffer for a tensor, which the host can also copy from and to.
pub(super) fn storage(gpu: &Gpu, what: &str, ty: &TensorType) -> Result<wgpu::Buffer> {
    if gpu.target().broadcasts() {
        // Shaders may also bind it as a uniform buffer, in windows of a fixed size.
        let bytes = Gpu::size(ty.bytes() as u64).next_multiple_of(WINDOW as u64);
        return gpu.buffer(what, bytes, STORAGE | wgpu::BufferUsages::UNIFORM);
    }
    gpu.buffer(what, ty.bytes() as u64, STORAGE)
}

/// Creates a staging buffer for reading back.
pub(super) fn staging(gpu: &Gpu, bytes: u64) -> Result<wgpu::Buffer> {
    gpu.buffer("read-back buffer", bytes, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST)
}

/// A dispatch with its pipeline and bind group, ready to be encoded.
#[derive(Debug)]
struct BoundDispatch {
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
    workgroups: [u32; 2],
    uses_run: bool,
}

/// The copy of an output to the staging buffer. It consists of whole words, which may include bytes of other elements.
#[derive(Debug)]
struct Output {
    buffer: wgpu::Buffer,
    /// Byte offset in the buffer, a multiple of 4.
    from: u64,
    /// Byte offset in the staging buffer, a multiple of 4.
    to: u64,
    /// Bytes to copy, a multiple of 4.
    size: u64,
    /// Bytes between `from` and the first element.
    skip: usize,
    ty: TensorType,
}

/// A compiled program.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) plan: Plan,
    /// What its kernels were chosen for.
    pub(super) target: GpuTarget,
    dispatches: Vec<BoundDispatch>,
    /// The number of dispatches of each launch.
    counts: Vec<usize>,
    inputs: HashMap<String, wgpu::Buffer>,
    outputs: Vec<Output>,
    staging: Option<wgpu::Buffer>,
    /// Bytes of the buffers other than variables.
    pub(super) bytes: u64,
    /// Measured seconds per run; 0 before the first measurement.
    pub(super) seconds: f64,
}

/// A two-dimensional grid of at least `count` workgroups, with at most `limit` in each dimension.
fn fold(count: u64, limit: u32) -> Option<[u32; 2]> {
    let limit = u64::from(limit);
    let rows = count.div_ceil(limit);
    (rows <= limit).then(|| [count.div_ceil(rows.max(1)) as u32, rows as u32])
}

impl Program {
    pub(super) fn new(
        gpu: &Gpu,
        pipelines: &mut Pipelines,
        variables: &HashMap<u64, wgpu::Buffer>,
        shaders: &ShaderFolder,
        plan: Plan,
    ) -> Result<Program> {
        let target = gpu.target();
        let mut dispatches: Vec<Dispatch> = Vec::new();
        let mut counts = Vec::with_capacity(plan.launch_count());
        for launch in &plan.launches {
            let list = wgsl::dispatches(launch, &target)?;
            counts.push(list.len());
            dispatches.extend(list.into_iter().map(|d| Dispatch { shader: shaders.apply(d.shader), ..d }));
        }
        let requests: Vec<PipelineRequest> = dispatches.iter().map(PipelineRequest::new).collect();
        let new = pipelines.prepare(gpu, &requests)?;
        // This is only an optimisation: an error that matters occurs again at the first use.
        let _ = super::compile::compile(gpu, pipelines, &new);

        let mut inputs = HashMap::new();
        let mut buffers = Vec::with_capacity(plan.buffers.len());
        let mut bytes = 0;
        for (index, buffer) in plan.buffers.iter().enumerate() {
            let (what, ty) = (format!("buffer b{index}: {}", buffer.ty), &buffer.ty);
            let created = match &buffer.kind {
                BufferKind::Variable(storage) => match variables.get(&storage.id()) {
                    Some(shared) => shared.clone(),
                    None => return Err(Error::Internal(format!("variables {:?} have no buffer", storage.slots))),
                },
                BufferKind::Constant(array) => {
                    let created = storage(gpu, &what, ty)?;
                    gpu.write(&created, 0, array.bytes());
                    created
                }
                BufferKind::Input(name) => {
                    let created = storage(gpu, &format!("input `{name}`: {ty}"), ty)?;
                    inputs.insert(name.clone(), created.clone());
                    created
                }
                BufferKind::Scratch => storage(gpu, &what, ty)?,
            };
            if !matches!(buffer.kind, BufferKind::Variable(_)) {
                bytes += created.size();
            }
            buffers.push(created);
        }

        let uniform = Uniform::new(gpu, &requests)?;
        bytes += uniform.buffer.size();
        let mut bound = Vec::with_capacity(dispatches.len());
        for (position, (dispatch, request)) in dispatches.iter().zip(&requests).enumerate() {
            let pipeline = pipelines.get(&request.key)?;
            let part = |k: usize, buffer, (offset, size): (u64, Option<u64>)| wgpu::BindGroupEntry {
                binding: k as u32,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer,
                    offset,
                    size: size.and_then(std::num::NonZeroU64::new),
                }),
            };
            let (offset, size) = uniform.parts[position];
            let storage = dispatch.bindings.iter().enumerate().map(|(k, b)| {
                // A storage binding covers only the elements, not the padding of the buffer.
                let whole = Gpu::size(plan.buffers[b.buffer.index()].ty.bytes() as u64);
                let (start, bytes) = b.window.map_or((0, whole), |window| (window.start, window.bytes));
                part(k + 1, &buffers[b.buffer.index()], (start, Some(bytes)))
            });
            let own = part(0, &uniform.buffer, (offset, Some(size)));
            let entries: Vec<_> = std::iter::once(own).chain(storage).collect();
            let name = dispatch.shader.name();
            let group = gpu.scoped(&format!("dispatch {position} ({name})"), || {
                gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
                    label: Some(name),
                    layout: &pipeline.layout.group,
                    entries: &entries,
                })
            })?;
            let Some(workgroups) = fold(dispatch.workgroups, target.workgroups_per_dimension) else {
                let limit = u64::from(target.workgroups_per_dimension).pow(2);
                return Err(Error::Limit {
                    what: format!("a {name} launch (workgroups)"),
                    needed: dispatch.workgroups,
                    limit,
                    remedy: "use a smaller batch".into(),
                });
            };
            bound.push(BoundDispatch {
                pipeline: pipeline.pipeline.clone(),
                group,
                workgroups,
                uses_run: dispatch.uses_run,
            });
        }

        let mut outputs = Vec::with_capacity(plan.outputs.len());
        let mut staged = 0;
        for operand in &plan.outputs {
            let output = output(operand, &buffers[operand.buffer.index()], staged);
            staged += output.size;
            outputs.push(output);
        }
        let staging = if staged > 0 { Some(staging(gpu, staged)?) } else { None };
        bytes += staging.as_ref().map_or(0, wgpu::Buffer::size);
        Ok(Program { plan, target, dispatches: bound, counts, inputs, outputs, staging, bytes, seconds: 0.0 })
    }

    /// Uploads an input for all later submissions.
    pub(super) fn write_input(&self, gpu: &Gpu, name: &str, value: &Array) {
        // An input that no launch reads has no buffer.
        if let Some(buffer) = self.inputs.get(name) {
            gpu.write(buffer, 0, value.bytes());
        }
    }

    /// The number of dispatches per run.
    pub(super) fn dispatch_count(&self) -> usize {
        self.dispatches.len()
    }

    /// Groups the measured seconds of all dispatches by launch.
    pub(super) fn by_launch(&self, seconds: &[f64]) -> Vec<LaunchSeconds> {
        let mut start = 0;
        let launch = |&count: &usize| {
            start += count;
            seconds[start - count..start].to_vec()
        };
        self.counts.iter().map(launch).collect()
    }

    /// Encodes a range of the dispatches (all of them, except for profiling) for the runs `first..first + count`.
    pub(super) fn encode(
        &self,
        gpu: &Gpu,
        dispatches: std::ops::Range<usize>,
        first: u32,
        count: u32,
        key: [u32; 2],
    ) -> wgpu::CommandBuffer {
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("run") });
        // A single pass: each dispatch sees the writes of the previous ones.
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        for step in first..first + count {
            let words: [u32; IMMEDIATE_BYTES as usize / 4] = [step, key[0], key[1], 0];
            for dispatch in dispatches.clone() {
                self.record(&mut pass, dispatch, &words);
            }
        }
        drop(pass);
        encoder.finish()
    }

    /// Records one dispatch; `words` are the run's immediates.
    pub(super) fn record(&self, pass: &mut wgpu::ComputePass<'_>, dispatch: usize, words: &[u32]) {
        let dispatch = &self.dispatches[dispatch];
        pass.set_pipeline(&dispatch.pipeline);
        pass.set_bind_group(0, &dispatch.group, &[]);
        if dispatch.uses_run {
            pass.set_immediates(0, bytemuck::cast_slice(words));
        }
        pass.dispatch_workgroups(dispatch.workgroups[0], dispatch.workgroups[1], 1);
    }

    /// Whether a run has no dispatches.
    pub(super) fn is_empty(&self) -> bool {
        self.dispatches.is_empty()
    }

    /// Reads the outputs back.
    pub(super) fn read(&self, gpu: &Gpu) -> Result<Vec<Array>> {
        let Some(staging) = &self.staging else {
            return self.outputs.iter().map(|o| Array::from_bytes(&o.ty, &[])).collect();
        };
        let bytes = gpu.scoped("reading the outputs", || {
            let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            for o in self.outputs.iter().filter(|o| o.size > 0) {
                encoder.copy_buffer_to_buffer(&o.buffer, o.from, staging, o.to, o.size);
            }
            gpu.queue.submit([encoder.finish()]);
        });
        bytes?;
        let bytes = gpu.map(staging)?;
        let read = |o: &Output| {
            let start = o.to as usize + o.skip;
            Array::from_bytes(&o.ty, &bytes[start..start + o.ty.bytes()])
        };
        self.outputs.iter().map(read).collect()
    }
}

fn output(operand: &Operand, buffer: &wgpu::Buffer, to: u64) -> Output {
    let ty = TensorType { shape: operand.view.shape.clone(), dtype: operand.dtype };
    let start = if ty.bytes() == 0 { 0 } else { operand.view.offset * operand.dtype.size() };
    let from = start / 4 * 4;
    let size = (start + ty.bytes()).next_multiple_of(4) - from;
    let size = if ty.bytes() == 0 { 0 } else { size as u64 };
    Output { buffer: buffer.clone(), from: from as u64, to, size, skip: start - from, ty }
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn workgroups_fold_into_two_dimensions() {
        assert_eq!(fold(7, 65_535), Some([7, 1]));
        assert_eq!(fold(65_536, 65_535), Some([32_768, 2]));
        let [x, y] = fold(10_000_000, 65_535).unwrap();
        assert!(x <= 65_535 && u64::from(x) * u64::from(y) >= 10_000_000);
        assert_eq!(fold(1 << 40, 65_535), None);
    }
}
