//! Kernels: what a launch runs, on either executor.

use super::{BufferId, Fused, Operand, Reads, Shader, Window};
use crate::cpu::CpuContext;
use crate::error::Result;
use std::sync::Arc;

/// A kernel with its problem sizes: plain data, printable, that both executors know how to run.
pub trait Kernel: std::fmt::Debug + Send + Sync + std::any::Any {
    /// Its name: that of its shader.
    fn name(&self) -> &'static str;
    /// Floating-point operations of one launch.
    fn flops(&self) -> u64;
    /// What it computes, with its sizes, on one line for people; empty if its operands say all there is to say.
    fn describe(&self) -> String {
        String::new()
    }
    /// Runs it on the CPU.
    fn cpu(&self, cx: &mut CpuContext<'_>);
    /// How a GPU runs it: one dispatch.
    fn gpu(&self, launch: &Launch, target: &GpuTarget) -> Result<Dispatch>;
    /// How many of a launch's inputs are its own; an epilogue's follow.
    fn own_inputs(&self) -> usize {
        usize::MAX
    }
    /// The expression it applies to each element of its result.
    fn epilogue(&self) -> Option<&Fused> {
        None
    }
    /// The same kernel with this expression applied to each element of its result, if it can do that.
    fn with_epilogue(&self, _epilogue: Fused) -> Option<Arc<dyn Kernel>> {
        None
    }
    /// One launch that does `own`, a launch of this kernel, and `other` too, which reads the same: a gradient and its
    /// loss, a weight's gradient and its bias's.
    fn absorb(&self, _own: &Launch, _other: &Launch) -> Option<Launch> {
        None
    }
    /// Whether its epilogue may read, at its own point, the buffer that it writes.
    fn updates_in_place(&self) -> bool {
        false
    }
    /// Whether the CPU runs this launch of it with those of its operands channels-last for which `lies` is true: its inputs,
    /// then its outputs. `f32` operands `[batch, channels, positions]` only; see [`Target::channels_last`](super::Target).
    fn takes_channels_last(&self, _launch: &Launch, lies: &[bool]) -> bool {
        !lies.contains(&true)
    }
    /// Whether its operands must be the first elements of their buffers: its shader knows of no offsets.
    fn needs_origin(&self) -> bool {
        false
    }
}

/// One kernel launch.
#[derive(Debug, Clone)]
pub struct Launch {
    /// What to run.
    pub kernel: Arc<dyn Kernel>,
    /// What it reads.
    pub inputs: Vec<Operand>,
    /// What it writes.
    pub outputs: Vec<Operand>,
}

impl Launch {
    /// The launch of a kernel that does this one's work and `other`'s, whose outputs follow.
    pub fn absorbing(&self, other: &Launch, kernel: impl Kernel) -> Launch {
        let outputs = [self.outputs.as_slice(), &other.outputs].concat();
        Launch { kernel: Arc::new(kernel), inputs: self.inputs.clone(), outputs }
    }

    /// The same with the first of its inputs and outputs only: a kernel's own.
    pub fn first(&self, inputs: usize, outputs: usize) -> Launch {
        let (inputs, outputs) = (self.inputs[..inputs].to_vec(), self.outputs[..outputs].to_vec());
        Launch { kernel: self.kernel.clone(), inputs, outputs }
    }

    /// Bytes read and written if every element moves once.
    pub fn bytes(&self) -> u64 {
        self.inputs.iter().chain(&self.outputs).map(Operand::bytes).sum()
    }
}

/// What a GPU can do, as far as kernel choice needs to know.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct GpuTarget {
    /// Threads a workgroup may have.
    pub max_invocations: u32,
    /// Bytes of workgroup memory.
    pub workgroup_memory: u32,
    /// Storage buffers a shader may bind.
    pub storage_buffers: u32,
    /// Workgroups a dimension may have.
    pub workgroups_per_dimension: u32,
    /// Whether shaders may use `f16`.
    pub f16: bool,
    /// Whether subgroup built-ins exist.
    pub subgroups: bool,
    /// The fewest threads a subgroup may have; 0 without subgroups.
    pub subgroup_size: u32,
    /// Whether it is a software driver: a few CPU cores that run a workgroup's threads in vectors.
    pub software: bool,
}

impl GpuTarget {
    /// Whether kernels should pass values between eight lanes of a subgroup rather than read them in every thread: on a
    /// software driver a read by eight threads costs eight, and passing values costs nothing.
    pub fn broadcasts(&self) -> bool {
        self.software && self.subgroups && self.subgroup_size >= 8
    }
}

impl Default for GpuTarget {
    /// WebGPU's guaranteed limits.
    fn default() -> Self {
        GpuTarget {
            max_invocations: 256,
            workgroup_memory: 16 * 1024,
            storage_buffers: 8,
            workgroups_per_dimension: 65_535,
            f16: false,
            subgroups: false,
            subgroup_size: 0,
            software: false,
        }
    }
}

/// A GPU dispatch, as plain data: which shader, specialised how, over which buffers.
///
/// The parameters are bound as a uniform at `@group(0) @binding(0)`, and buffers from `@binding(1)` on in the
/// order of `bindings`.
#[derive(Debug, Clone)]
pub struct Dispatch {
    /// The specialised shader.
    pub shader: Shader,
    /// The uniform's words.
    pub params: Vec<u32>,
    /// The buffers bound, in binding order.
    pub bindings: Vec<Binding>,
    /// Workgroups in all; folded into two dimensions, so a shader takes `workgroup_id.y · num_workgroups.x +
    /// workgroup_id.x` as its number and does nothing if that is beyond the last.
    pub workgroups: u64,
    /// Whether the shader reads the run's index or seed: three words of immediates, the index and the key's two.
    pub uses_run: bool,
    /// Bytes of the parameters and of each binding, more than which a user's shader may not declare; empty for wgrad's own.
    pub declared: Vec<u64>,
}

impl Dispatch {
    /// A dispatch that binds every operand of `launch`, inputs first, each at its own binding.
    pub fn new(launch: &Launch, shader: Shader, params: Vec<u32>, workgroups: u64) -> Dispatch {
        let read = launch.inputs.iter().map(|o| Binding { buffer: o.buffer, written: false, window: None });
        let written = launch.outputs.iter().map(|o| Binding { buffer: o.buffer, written: true, window: None });
        let bindings = read.chain(written).collect();
        Dispatch { shader, params, bindings, workgroups, uses_run: false, declared: Vec::new() }
    }

    /// The dispatch of a shader that calls its result `c` and another output `row_sums`, and reads its inputs so; and what it
    /// calls the buffers.
    pub fn reading(
        launch: &Launch,
        shader: Shader,
        params: Vec<u32>,
        workgroups: u64,
        reads: &[Reads],
    ) -> (Dispatch, Vec<&'static str>) {
        let outputs = &["c", "row_sums"][..launch.outputs.len()];
        let names = reads.iter().flat_map(Reads::names).chain(outputs.iter().copied()).collect();
        let regions = reads.iter().filter_map(|reads| Some((reads.names()[0], reads.region()?)));
        let shader = regions.fold(shader, |shader, (name, text)| shader.replace(name, text));
        let mut dispatch = Dispatch::new(launch, shader, params, workgroups);
        let read = reads.iter().zip(&launch.inputs).flat_map(|(reads, operand)| reads.bindings(operand));
        dispatch.bindings = read.chain(dispatch.bindings[launch.inputs.len()..].iter().copied()).collect();
        (dispatch, names)
    }
}

/// One binding of a dispatch: a whole buffer as storage, or part of one as a uniform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// The buffer.
    pub buffer: BufferId,
    /// Whether it is bound `read_write` (else `read`).
    pub written: bool,
    /// The part that is bound as a uniform.
    pub window: Option<Window>,
}
