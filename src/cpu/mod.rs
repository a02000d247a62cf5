//! The CPU executor: runs a plan on the host, multi-threaded where a launch is large enough.

pub mod context;
mod conv;
mod conv_direct;
mod conv_line;
mod conv_patches;
mod cross_entropy;
mod custom;
mod elementwise;
mod epilogue;
mod executor;
mod expr;
mod functions;
mod gemm;
mod index;
mod lanes;
mod matmul;
mod pool;
mod reduce;
mod row_sums;
mod scan;
mod simd;
mod softmax;
mod strided;
pub mod threads;
mod tiles;
mod topk;
mod words;

pub use context::CpuContext;
pub use executor::{CpuExecutor, CpuOptions};
