//! Which limits a device is opened with.

/// Which limits to ask a device for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Limits {
    /// All the adapter has.
    #[default]
    Adapter,
    /// WebGPU's guaranteed ones (8 storage buffers, 16 KiB of workgroup memory, 256 threads, 128 MiB a binding), to see
    /// on a large device that a program runs on every device. Kernels are chosen as for any GPU, on a software driver too.
    Webgpu,
}
