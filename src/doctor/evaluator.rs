//! Evaluates expressions on the device under test.

use crate::array::Array;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::Result;
use crate::graph::Graph;
use crate::session::Session;
use crate::tensor::Tensor;

#[cfg(feature = "gpu")]
use crate::gpu::{Limits, Probe, ProbeBuffer, ProbeShader};
#[cfg(feature = "gpu")]
use crate::wgsl::Shader;

/// An expression of up to three `f32` operands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expression {
    /// The body of a WGSL function of `x`, `y` and `z`.
    #[cfg_attr(not(feature = "gpu"), expect(dead_code, reason = "unused without GPU support"))]
    pub(super) wgsl: &'static str,
    /// The same expression as wgrad operations, for the CPU; `None` if there is none.
    pub(super) graph: Option<for<'g> fn([Tensor<'g>; 3]) -> Tensor<'g>>,
}

/// The device under test.
pub(super) enum Evaluator {
    /// wgrad's CPU executor.
    Cpu(Session),
    /// A GPU with its driver.
    #[cfg(feature = "gpu")]
    Gpu(Box<Probe>),
}

impl Evaluator {
    /// Opens a device.
    pub(super) fn open(device: &Device) -> Result<Evaluator> {
        match device {
            #[cfg(feature = "gpu")]
            Device::Gpu(choice) => Ok(Evaluator::Gpu(Box::new(Probe::open(choice, Limits::Adapter)?))),
            #[cfg(feature = "gpu")]
            Device::Auto if crate::gpu::has_hardware() => {
                Ok(Evaluator::Gpu(Box::new(Probe::open(&crate::device::GpuChoice::Fastest, Limits::Adapter)?)))
            }
            Device::Auto => Ok(Evaluator::Cpu(Session::new(Device::cpu())?)),
            device => Ok(Evaluator::Cpu(Session::new(device.clone())?)),
        }
    }

    /// The probe, if the device is a GPU.
    #[cfg(feature = "gpu")]
    pub(super) fn probe(&self) -> Option<&Probe> {
        match self {
            Evaluator::Gpu(probe) => Some(probe),
            Evaluator::Cpu(_) => None,
        }
    }

    /// Evaluates an expression elementwise; missing operands are 0. `None` if the device does not support it.
    pub(super) fn floats(&mut self, expression: &Expression, operands: &[&[f32]]) -> Result<Option<Vec<f32>>> {
        let count = operands.first().map_or(0, |x| x.len());
        let operand = |k: usize| operands.get(k).map_or_else(|| vec![0.0; count], |x| x.to_vec());
        match self {
            Evaluator::Cpu(session) => {
                let Some(build) = expression.graph else { return Ok(None) };
                let graph = Graph::new();
                let names = ["x", "y", "z"];
                let output = build(names.map(|name| graph.input(name, [count], DType::F32))).cast(DType::F32);
                let program = session.compile(&graph, &[output])?;
                let mut arrays = Vec::new();
                for (k, name) in names.into_iter().enumerate() {
                    if program.inputs().iter().any(|(input, _)| input == name) {
                        arrays.push((name, Array::new([count], operand(k))?));
                    }
                }
                let inputs: Vec<(&str, &Array)> = arrays.iter().map(|(name, array)| (*name, array)).collect();
                let outputs = session.run(&program, &inputs)?;
                Ok(Some(outputs[0].as_slice::<f32>()?.to_vec()))
            }
            #[cfg(feature = "gpu")]
            Evaluator::Gpu(probe) => {
                let text = include_str!("../../shaders/doctor_floats.wgsl");
                let wgsl = Shader::file("doctor_floats", text).replace("f", expression.wgsl).wgsl()?;
                let [x, y, z] = [0, 1, 2].map(|k| ProbeBuffer::read_only(&operand(k)));
                // A sentinel, so that an element that is never written is not taken for a result.
                let mut buffers = [x, y, z, ProbeBuffer::of(&vec![-7.25f32; count])];
                let workgroups = (count as u32).div_ceil(64);
                probe.run(&ProbeShader::new("doctor_floats", &wgsl), &mut buffers, workgroups)?;
                Ok(Some(buffers[3].to()))
            }
        }
    }
}
