//! The plan: an ordered list of kernel launches over numbered buffers.
//!
//! A plan is independent of the device: it can be printed and compared, and gives its launch count and peak memory
//! without a GPU. [`lower`](fn@lower) creates it from a graph; the `cpu` and `gpu` executors run it.

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
pub(crate) use print::count;
pub use storage::{Placement, Storage};
pub use target::{AnyBackend, Backend, Target};

use crate::array::Array;
use crate::kernels::{Launch, Operand};
use crate::shape::TensorType;
use std::sync::Arc;

/// The contents of a buffer.
#[derive(Debug, Clone)]
pub enum BufferKind {
    /// Host data, uploaded once.
    Constant(Arc<Array>),
    /// An input of a run, by name.
    Input(String),
    /// The storage of variables, shared by all programs of a session.
    Variable(Arc<Storage>),
    /// An intermediate value.
    Scratch,
}

/// A buffer of a plan.
#[derive(Debug, Clone)]
pub struct Buffer {
    /// The type of its contents, which are dense.
    pub ty: TensorType,
    /// Its contents.
    pub kind: BufferKind,
}

/// A planned program.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The buffers.
    pub buffers: Vec<Buffer>,
    /// The launches, in order of execution.
    pub launches: Vec<Launch>,
    /// The outputs after a run: dense operands that no later launch overwrites.
    pub outputs: Vec<Operand>,
    /// The peak size in bytes of the intermediate values that are live at the same time: a lower bound for their
    /// buffers.
    pub live_bytes: u64,
}

impl Plan {
    /// The number of kernel launches per run.
    pub fn launch_count(&self) -> usize {
        self.launches.len()
    }
    /// The total size of all buffers in bytes: the peak memory of a run.
    pub fn peak_bytes(&self) -> u64 {
        self.buffers.iter().map(|b| b.ty.bytes() as u64).sum()
    }
    /// The size in bytes of the buffers that are not there yet: all but the variables that `placed` has a place for.
    pub fn new_bytes(&self, placed: &Placement) -> u64 {
        let is_new = |buffer: &&Buffer| match &buffer.kind {
            BufferKind::Variable(storage) => placed.get(&storage.slots[0].0).is_none(),
            _ => true,
        };
        self.buffers.iter().filter(is_new).map(|b| b.ty.bytes() as u64).sum()
    }
    /// The total size of the buffers for intermediate values, in bytes.
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
