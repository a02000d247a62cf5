//! The plan: an ordered list of kernel launches over numbered buffers.
//!
//! A plan holds no device types. It can be printed, compared, and asked for its launch count and peak bytes without a
//! GPU. [`lower`](fn@lower) makes it from a graph; the `cpu` and `gpu` executors run it.

mod arena;
mod channels_last;
mod fuse;
mod lazy;
mod lower;
mod memory;
mod origin;
mod print;
mod scratch;
mod storage;
mod target;
mod updates;

pub use lazy::Lazy;
pub use lower::{Lowering, Value, lower};
pub use storage::{Placement, Storage};
pub use target::{AnyBackend, Backend, Target};

use crate::array::Array;
use crate::kernels::{Launch, Operand};
use crate::shape::TensorType;
use std::sync::Arc;

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
