//! Kernels: what a launch runs, on either executor.

use super::Operand;
use crate::cpu::CpuContext;
use crate::dtype::DType;
use crate::error::Result;
use std::borrow::Cow;
use std::sync::Arc;

/// A kernel with its problem sizes: plain data, printable, that both executors know how to run.
pub trait Kernel: std::fmt::Debug + Send + Sync {
    /// Its name: that of its shader.
    fn name(&self) -> &'static str;
    /// Floating-point operations of one launch.
    fn flops(&self) -> u64;
    /// Runs it on the CPU.
    fn cpu(&self, cx: &mut CpuContext<'_>);
    /// How a GPU runs it: one dispatch.
    fn gpu(&self, launch: &Launch, target: &GpuTarget) -> Result<Dispatch>;
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
    /// Bytes read and written if every element moves once.
    pub fn bytes(&self) -> u64 {
        self.inputs.iter().chain(&self.outputs).map(|o| (o.view.shape.elements() * o.dtype.size()) as u64).sum()
    }
}

/// What a GPU can do, as far as kernel choice needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
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
        }
    }
}

/// A GPU dispatch, as plain data: which shader, specialised how, over which buffers.
///
/// Storage buffers are bound at `@group(0) @binding(0..)` in the order of `bindings`, then the parameters as a
/// uniform at the next binding.
#[derive(Debug, Clone)]
pub struct Dispatch {
    /// The specialised shader.
    pub shader: Shader,
    /// The uniform's words.
    pub params: Vec<u32>,
    /// The storage bindings, in binding order.
    pub bindings: Vec<Binding>,
    /// Workgroups in all; folded into two dimensions, so a shader takes `workgroup_id.y · num_workgroups.x +
    /// workgroup_id.x` as its number and returns at once if that is beyond the last.
    pub workgroups: u64,
    /// Whether the shader reads the step index (an immediate).
    pub uses_step: bool,
}

/// One storage binding of a dispatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// The launch's `k`-th input, read-only.
    Input(usize),
    /// The launch's `k`-th output, read-write.
    Output(usize),
}

/// A shader with its specialisation: the key pipelines are cached by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shader {
    /// The WGSL text before specialisation.
    pub source: ShaderSource,
    /// `const NAME: u32 = …;` lines to replace.
    pub constants: Vec<(&'static str, u32)>,
    /// `alias NAME = …;` lines to replace, with dtypes in memory.
    pub aliases: Vec<(&'static str, DType)>,
}

/// Where a shader's text comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ShaderSource {
    /// A file of `shaders/`, as committed.
    File {
        /// Its name without `.wgsl`.
        name: &'static str,
        /// Its text.
        text: Cow<'static, str>,
    },
    /// `shaders/elementwise.wgsl` with a generated body.
    Elementwise(super::Expr, Vec<u8>),
}
