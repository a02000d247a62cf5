//! The CPU executor: runs a plan on the host.

pub mod context;
pub mod conv;
pub mod cross_entropy;
pub mod elementwise;
mod executor;
pub mod index;
pub mod matmul;
pub mod reduce;
pub mod softmax;

pub use context::CpuContext;
pub use executor::CpuExecutor;
