//! The CPU executor: runs a plan on the host, on the machine's cores where that pays.

mod after;
pub mod context;
pub mod conv;
mod conv_direct;
mod conv_line;
mod conv_patches;
pub mod cross_entropy;
pub mod elementwise;
mod executor;
mod exp;
mod expr;
mod gemm;
pub mod index;
mod lanes;
pub mod matmul;
pub mod pool;
pub mod reduce;
pub mod row_sums;
pub mod scan;
mod simd;
pub mod softmax;
mod strided;
pub mod threads;
mod tiles;
pub mod topk;

pub use context::CpuContext;
pub use executor::{CpuExecutor, CpuOptions};
