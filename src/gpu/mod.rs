//! The GPU executor: replays a plan on wgpu. The only module that uses `wgpu`.
//!
//! Everything is built when a program is compiled: pipelines (shared by all programs of an executor), bind groups, one
//! uniform buffer with the parameters of all dispatches, and a staging buffer for the outputs. A run only encodes and
//! submits.

mod adapter;
mod cache_dir;
mod compile;
mod device;
mod executor;
mod limits;
mod pipeline;
mod pipeline_cache;
mod probe;
mod program;
mod simplify;
mod timestamps;
mod tuned;

pub use adapter::{AdapterInfo, adapter, adapters, has_hardware};
pub use executor::{GpuExecutor, GpuOptions};
pub use limits::Limits;
pub use probe::{Probe, ProbeBuffer, ProbeShader, ProbeTicks};
pub use tuned::TunedFile;
