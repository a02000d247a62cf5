//! **wgrad** trains on any GPU and lets you trust the numbers.

#[macro_use]
mod array;
mod autodiff;
pub mod bench;
pub mod cpu;
pub mod custom;
pub mod data;
mod device;
pub mod doctor;
mod dtype;
mod error;
mod executor;
#[cfg(feature = "gpu")]
pub mod gpu;
mod graph;
pub mod kernels;
pub mod nn;
pub mod ops;
pub mod optim;
pub mod passes;
pub mod plan;
pub mod reference;
mod session;
mod shape;
mod tensor;
pub mod train;
#[cfg(feature = "translate")]
pub mod translate;
mod variable;
pub mod verify;
pub mod wgsl;

pub use array::{Array, Data, Element};
pub use device::{Backend, Device, GpuChoice};
pub use dtype::DType;
pub use error::{Error, Result};
pub use executor::{Executor, LaunchSeconds};
pub use graph::{Graph, Node, NodeId};
pub use ops::conv::ConvOptions;
pub use ops::pool::PoolOptions;
pub use session::{Program, Session};
pub use shape::{Axes, MAX_ELEMENTS, MAX_RANK, Shape, TensorType, View};
pub use tensor::{Operand, Tensor, einsum};
pub use variable::Variable;
