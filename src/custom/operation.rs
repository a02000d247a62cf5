//! A user's kernel as one of wgrad's operations.

use super::CustomKernel;
use crate::cpu::CpuContext;
use crate::error::{Error, Result};
use crate::ops::{GradContext, Operation};
use crate::plan::{Dispatch, GpuTarget, Kernel, Launch, Lowering, Shader, Value};
use crate::reference::RefTensor;
use crate::shape::TensorType;
use crate::tensor::Tensor;

/// Words a uniform has room for on any device.
const MOST_PARAMS: usize = 4096;

/// The adapter.
#[derive(Debug, Clone)]
pub(super) struct Custom<K>(K);

impl<K: CustomKernel> Custom<K> {
    pub(super) fn new(kernel: &K) -> Self {
        Custom(kernel.clone())
    }

    fn error(&self, message: impl ToString) -> Error {
        Error::value(format!("custom kernel `{}`", self.0.name()), message)
    }

    /// What the reference gives, of whatever length.
    fn values(&self, inputs: &[&RefTensor], output: &TensorType) -> RefTensor {
        // What divides by a size need not look out for 0.
        let nothing = output.shape.elements() == 0;
        let data = if nothing { Vec::new() } else { self.0.reference(inputs, output) };
        RefTensor { shape: output.shape.clone(), dtype: output.dtype, data }
    }
}

impl<K: CustomKernel> Operation for Custom<K> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn attributes(&self) -> String {
        format!("{:?}", self.0)
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<TensorType, String> {
        self.0.infer(inputs)
    }

    fn grad<'g>(&self, cx: &GradContext<'_, 'g>) -> Vec<Option<Tensor<'g>>> {
        let count = cx.inputs.len();
        let problem = match self.0.grad(cx) {
            Some(gradients) if gradients.len() == count => return gradients,
            Some(gradients) => format!("its rule gave {} gradients for {count} inputs", gradients.len()),
            None => "has no gradient: write CustomKernel::grad, or detach its inputs".into(),
        };
        cx.upstream.graph().fail(self.0.name(), problem);
        vec![None; count]
    }

    fn reference(&self, inputs: &[&RefTensor], output: &TensorType) -> RefTensor {
        self.values(inputs, output)
    }

    fn error_scale(&self, inputs: &[&RefTensor], value: &RefTensor) -> Vec<f64> {
        if value.data.is_empty() { Vec::new() } else { self.0.error_scale(inputs, value) }
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<Value> {
        let count = cx.input_count();
        if count >= cx.max_buffers() {
            let limit = cx.max_buffers();
            return Err(self.error(format!(
                "has {count} inputs and an output, but the device binds {limit} buffers at once; concatenate inputs"
            )));
        }
        let (inputs, ty) = ((0..count).map(|k| cx.input_type(k)).collect(), cx.output_type());
        let kernel = Typed { custom: self.clone(), inputs, output: ty.clone() };
        let operands = (0..count).map(|k| cx.dense(k)).collect();
        let output = cx.allocate(ty);
        cx.launch(kernel, operands, vec![output.clone()]);
        Ok(Value::Stored(output))
    }
}

/// The adapter with its operands' types.
#[derive(Debug, Clone)]
struct Typed<K> {
    custom: Custom<K>,
    inputs: Vec<TensorType>,
    output: TensorType,
}

impl<K: CustomKernel> Typed<K> {
    /// Runs the reference and rounds.
    fn run(&self, cx: &mut CpuContext<'_>) -> Result<()> {
        let inputs = (0..self.inputs.len()).map(|k| Ok(RefTensor::from_array(&cx.read(k)?)));
        let inputs: Vec<RefTensor> = inputs.collect::<Result<_>>()?;
        let value = self.custom.values(&inputs.iter().collect::<Vec<_>>(), &self.output);
        value.check_length(self.name())?;
        cx.write(0, &value.to_array()?);
        Ok(())
    }
}

impl<K: CustomKernel> Kernel for Typed<K> {
    fn name(&self) -> &'static str {
        self.custom.0.name()
    }

    fn describe(&self) -> String {
        format!("custom {:?}", self.custom.0)
    }

    fn flops(&self) -> u64 {
        self.custom.0.flops(&self.inputs, &self.output)
    }

    fn needs_origin(&self) -> bool {
        true
    }

    fn cpu(&self, cx: &mut CpuContext<'_>) {
        if let Err(error) = self.run(cx) {
            cx.fail(error);
        }
    }

    fn gpu(&self, launch: &Launch, _: &GpuTarget) -> Result<Dispatch> {
        let Typed { custom, inputs, output } = self;
        let kernel = &custom.0;
        let text = kernel.wgsl(inputs, output);
        let workgroups = match kernel.workgroups(inputs, output) {
            Some(count) => count,
            None => {
                let size = workgroup_size(&text).ok_or_else(|| {
                    custom.error("its shader has no `@workgroup_size` in numbers: write CustomKernel::workgroups")
                })?;
                (output.shape.elements() as u64).div_ceil(size)
            }
        };
        let mut params = kernel.params(inputs, output);
        if params.len() > MOST_PARAMS {
            return Err(custom.error(format!("has {} parameters; {MOST_PARAMS} fit", params.len())));
        }
        // A binding is never empty.
        params.resize(params.len().next_multiple_of(4).max(4), 0);
        let f16 = inputs.iter().chain([output]).any(|ty| ty.dtype == crate::DType::F16);
        let storage = inputs.iter().chain([output]).map(|ty| ty.bytes().next_multiple_of(4).max(16) as u64);
        let declared = std::iter::once(4 * params.len() as u64).chain(storage).collect();
        let shader = Shader::custom(kernel.name(), text, f16);
        Ok(Dispatch { declared, ..Dispatch::new(launch, shader, params, workgroups) })
    }
}

/// Invocations of a workgroup, as the text says; `None` if that takes more than reading numbers.
fn workgroup_size(text: &str) -> Option<u64> {
    let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or("")).collect();
    let code = code.join("\n");
    let (_, rest) = code.split_once("@workgroup_size")?;
    let (sizes, _) = rest.trim_start().strip_prefix('(')?.split_once(')')?;
    let number = |size: &str| size.trim().trim_end_matches(['u', 'i']).parse::<u64>().ok();
    let sizes: Vec<u64> = sizes.split(',').filter(|s| !s.trim().is_empty()).map(number).collect::<Option<_>>()?;
    Some(sizes.into_iter().product()).filter(|&product| product > 0)
}

#[cfg(test)]
mod tests {
    use super::workgroup_size;

    #[test]
    fn the_text_says_the_workgroup_size() {
        assert_eq!(workgroup_size("@compute @workgroup_size(64) fn main() {}"), Some(64));
        assert_eq!(workgroup_size("// @workgroup_size(1)\n@workgroup_size( 8u , 4, )"), Some(32));
        assert_eq!(workgroup_size("@workgroup_size(N)"), None);
        assert_eq!(workgroup_size("@workgroup_size(0)"), None);
        assert_eq!(workgroup_size("fn main() {}"), None);
    }
}
