//! The CPU executor: runs a plan on the host, on one thread.

pub mod context;
pub mod conv;
mod conv_direct;
mod conv_line;
pub mod cross_entropy;
pub mod elementwise;
mod executor;
mod expr;
mod gemm;
pub mod index;
mod lanes;
pub mod matmul;
pub mod reduce;
pub mod row_sums;
mod simd;
pub mod softmax;
mod strided;

pub use context::CpuContext;
pub use executor::{CpuExecutor, CpuOptions};
