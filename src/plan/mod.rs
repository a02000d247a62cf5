//! The plan: an ordered list of kernel launches over numbered buffers.
//!
//! A plan holds no device types. It can be printed, compared, and asked for its launch count and peak bytes without a
//! GPU. [`lower`](fn@lower) makes it from a graph; the `cpu` and `gpu` executors run it.

mod arena;
mod channels_last;
mod expr;
mod expr_print;
mod fuse;
mod fused;
mod kernel;
mod lower;
mod memory;
mod origin;
mod print;
mod shader;
mod shader_folder;
mod storage;
mod updates;
pub mod wgsl;
mod window;

pub use expr::{Expr, Instr, Lazy, Slot};
pub use fused::Fused;
pub use kernel::{Binding, Dispatch, GpuTarget, Kernel, Launch};
pub use lower::{Lowering, Target, Value, lower};
pub use shader::Shader;
pub use shader_folder::ShaderFolder;
pub use storage::{Placement, Storage};
pub use window::{Reads, WINDOW, Window};

use crate::array::Array;
use crate::dtype::DType;
use crate::shape::{TensorType, View};
use std::sync::Arc;

/// A buffer's position in [`Plan::buffers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub u32);

impl BufferId {
    /// As an index into [`Plan::buffers`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a buffer holds.
#[derive(Debug, Clone)]
pub enum BufferKind {
    /// Host data, uploaded once.
    Constant(Arc<Array>),
    /// A run's input, by name.
    Input(String),
    /// Variables' storage, shared by all programs of a session.
    Variable(Arc<Storage>),
    /// An intermediate value.
    Scratch,
}

/// A buffer of a plan.
#[derive(Debug, Clone)]
pub struct Buffer {
    /// The dense type it holds.
    pub ty: TensorType,
    /// What it holds.
    pub kind: BufferKind,
}

/// Elements of a buffer seen through a view.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Operand {
    /// The buffer.
    pub buffer: BufferId,
    /// Its element type.
    pub dtype: DType,
    /// Which elements, in which order.
    pub view: View,
}

impl Operand {
    /// Whether it may have an element in common with another.
    pub fn meets(&self, other: &Operand) -> bool {
        let (a, b) = (self.view.range(), other.view.range());
        self.buffer == other.buffer && a.start < b.end && b.start < a.end
    }
    /// Bytes of the elements it shows; what a broadcast shows many times counts once.
    pub fn bytes(&self) -> u64 {
        let axes = self.view.shape.iter().zip(&self.view.strides);
        let elements: usize = axes.map(|(&size, &stride)| if stride == 0 { size.min(1) } else { size }).product();
        (elements * self.dtype.size()) as u64
    }
}

/// The buffers of some operands, each once, in order.
pub(crate) fn distinct_buffers<'a>(operands: impl IntoIterator<Item = &'a Operand>) -> Vec<BufferId> {
    let mut buffers: Vec<BufferId> = operands.into_iter().map(|o| o.buffer).collect();
    buffers.sort_unstable();
    buffers.dedup();
    buffers
}

/// A planned program.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The buffers.
    pub buffers: Vec<Buffer>,
    /// What to run, in order.
    pub launches: Vec<Launch>,
    /// Where the outputs are after a run: dense operands that no launch overwrites afterwards.
    pub outputs: Vec<Operand>,
    /// Bytes of the largest set of intermediate values that are live at once: a lower bound for their buffers.
    pub live_bytes: u64,
}

impl Plan {
    /// Kernel launches a run takes.
    pub fn launch_count(&self) -> usize {
        self.launches.len()
    }
    /// Bytes of all buffers together: what a run needs at its peak.
    pub fn peak_bytes(&self) -> u64 {
        self.buffers.iter().map(|b| b.ty.bytes() as u64).sum()
    }
    /// Bytes of the buffers for intermediate values.
    pub fn scratch_bytes(&self) -> u64 {
        let scratch = self.buffers.iter().filter(|b| matches!(b.kind, BufferKind::Scratch));
        scratch.map(|b| b.ty.bytes() as u64).sum()
    }
    /// Names and types of the inputs.
    pub fn inputs(&self) -> impl Iterator<Item = (&str, &TensorType)> {
        self.buffers.iter().filter_map(|b| match &b.kind {
            BufferKind::Input(name) => Some((name.as_str(), &b.ty)),
            _ => None,
        })
    }
}
