//! Opening a device with options from the command line.

#[cfg(feature = "gpu")]
use super::output::note;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use wgrad::cpu::{CpuExecutor, CpuOptions};
use wgrad::passes::Passes;
use wgrad::wgsl::Choice;
use wgrad::{Device, Error, Session};

/// Options for opening a GPU.
#[derive(Debug, Clone, Args)]
pub(super) struct GpuArgs {
    /// The limits to request from a GPU: all of the adapter's, or WebGPU's defaults, with the kernels that run on any
    /// GPU
    #[arg(long, value_name = "LIMITS", value_enum, default_value_t = LimitsArg::Adapter)]
    pub(super) limits: LimitsArg,
    /// Load the shader NAME from DIR/NAME.wgsl if that file exists: to test changed kernels without rebuilding
    #[arg(long, value_name = "DIR")]
    pub(super) shaders: Option<PathBuf>,
    /// Run this variant of every kernel that has it: a name that --explain prints, or a number, counted in a circle
    #[arg(long, value_name = "NAME|N", conflicts_with = "no_tune")]
    pub(super) variant: Option<String>,
    /// Choose variants by rule even where `wgrad tune` measured them
    #[arg(long)]
    pub(super) no_tune: bool,
    /// Compile bounds checks into wgrad's own shaders too
    #[arg(long)]
    pub(super) checked_shaders: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LimitsArg {
    Adapter,
    Webgpu,
}

impl GpuArgs {
    /// Opens a device with the given rewrite passes.
    pub(super) fn open(&self, device: &Device, passes: Passes) -> Result<Session, Error> {
        self.open_with(device, passes, self.choice())
    }

    /// The variants asked for, if any.
    pub(super) fn choice(&self) -> Option<Choice> {
        match &self.variant {
            Some(name) => Some(name.parse().map_or_else(|_| Choice::Named(name.as_str().into()), Choice::Number)),
            None => self.no_tune.then_some(Choice::Rule),
        }
    }

    /// As [`GpuArgs::open`], with these variants of kernels.
    pub(super) fn open_with(
        &self,
        device: &Device,
        passes: Passes,
        variants: Option<Choice>,
    ) -> Result<Session, Error> {
        #[cfg(feature = "gpu")]
        {
            use wgrad::GpuChoice;
            use wgrad::gpu::{GpuExecutor, GpuOptions, Limits, has_hardware};
            use wgrad::wgsl::ShaderFolder;
            let choice = match device {
                Device::Gpu(choice) => Some(choice.clone()),
                Device::Auto if has_hardware() => Some(GpuChoice::Fastest),
                _ => None,
            };
            if let Some(choice) = choice {
                let limits = if self.limits == LimitsArg::Webgpu { Limits::Webgpu } else { Limits::Adapter };
                let shaders = self.shaders.as_ref().map(ShaderFolder::read_own).transpose()?.unwrap_or_default();
                let checked_shaders = self.checked_shaders;
                let options = GpuOptions { limits, passes, shaders, choice: variants, checked_shaders };
                let executor = GpuExecutor::with_options(&choice, options)?;
                if let Some(error) = executor.unused_tuning() {
                    note(format_args!("not used: {error}"));
                }
                return Ok(Session::with_executor(Device::Gpu(choice), Box::new(executor)));
            }
        }
        let gpu_only = |flag: &str| Err(Error::config(flag, format!("is only for GPUs, but the device is `{device}`")));
        match device {
            _ if self.limits != LimitsArg::Adapter => gpu_only("limits"),
            _ if self.shaders.is_some() => gpu_only("shaders"),
            _ if variants.is_some() => gpu_only(if self.no_tune { "no-tune" } else { "variant" }),
            _ if self.checked_shaders => gpu_only("checked-shaders"),
            Device::Cpu | Device::Auto => {
                let executor = CpuExecutor::with_options(CpuOptions { passes });
                Ok(Session::with_executor(Device::Cpu, Box::new(executor)))
            }
            _ => Session::new(device.clone()),
        }
    }

    /// The arguments that select the same options.
    pub(super) fn repeat(&self) -> String {
        let limits = if self.limits == LimitsArg::Webgpu { " --limits webgpu" } else { "" };
        let shaders = self.shaders.as_ref().map(|dir| format!(" --shaders {}", dir.display())).unwrap_or_default();
        let variant = self.variant.as_ref().map(|name| format!(" --variant {name}")).unwrap_or_default();
        let no_tune = if self.no_tune { " --no-tune" } else { "" };
        let checked = if self.checked_shaders { " --checked-shaders" } else { "" };
        format!("{limits}{shaders}{variant}{no_tune}{checked}")
    }
}
