//! Limits of a device.

/// The limits to request when a device is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Limits {
    /// The limits of the adapter.
    #[default]
    Adapter,
    /// The limits that WebGPU guarantees (8 storage buffers, 16 KiB of workgroup memory, 256 threads, 128 MiB per
    /// binding), to test on a large device that a program runs on every device. Kernels are chosen as for any GPU, even
    /// on a software driver.
    Webgpu,
}
