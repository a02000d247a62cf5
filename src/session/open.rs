//! Opening a device.

use super::reference::ReferenceExecutor;
use crate::cpu::CpuExecutor;
use crate::device::Device;
#[cfg(feature = "gpu")]
use crate::device::GpuChoice;
use crate::error::Result;
use crate::executor::Executor;

impl Device {
    /// Enumerates the adapters that opening this device needs; a process does this only once. Meant to be called on
    /// another thread, to overlap with other work. Errors are reported when the device is opened.
    pub fn look_up(&self) {
        #[cfg(feature = "gpu")]
        match self {
            Device::Gpu(choice) => drop(crate::gpu::adapter(choice)),
            Device::Auto => drop(crate::gpu::has_hardware()),
            Device::Cpu | Device::Reference => {}
        }
    }

    pub(super) fn open(&self) -> Result<Box<dyn Executor>> {
        match self {
            Device::Reference => Ok(Box::new(ReferenceExecutor::default())),
            Device::Cpu => Ok(Box::new(CpuExecutor::default())),
            #[cfg(feature = "gpu")]
            Device::Gpu(choice) => Ok(Box::new(crate::gpu::GpuExecutor::new(choice)?)),
            #[cfg(feature = "gpu")]
            Device::Auto if crate::gpu::has_hardware() => {
                Ok(Box::new(crate::gpu::GpuExecutor::new(&GpuChoice::Fastest)?))
            }
            #[cfg(not(feature = "gpu"))]
            Device::Gpu(_) => {
                Err(crate::Error::Device("this build has no GPU support; build with the `gpu` feature".into()))
            }
            Device::Auto => Device::Cpu.open(),
        }
    }
}
