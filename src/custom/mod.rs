//! Custom kernels: one trait defines an operation and its GPU shader. The rest of wgrad then treats it like a
//! built-in operation: graphs, gradients, plans, every device, `check`, `gradcheck` and `bench`.
//!
//! - [`Graph::custom`](crate::Graph::custom) applies it;
//! - [`verify::check_custom`](crate::verify::check_custom) compares a device's results with its reference, forward
//!   and backward and for edge cases of shapes and layouts, and checks its gradient against finite differences;
//! - [`bench::custom`](crate::bench::custom) makes benchmark cases from it;
//! - [`verify::divergence`](crate::verify::divergence) finds it if it is the faulty node of a larger graph.
//!
//! `examples/custom_kernel.rs` shows all of this.

mod operation;
mod scale;

use crate::graph::Graph;
use crate::ops::samples::{Sample, SampleInput};
use crate::ops::{GradContext, Op};
use crate::reference::RefTensor;
use crate::shape::TensorType;
use crate::tensor::Tensor;
use operation::Custom;
use std::fmt::Debug;
use std::sync::Arc;

pub use scale::by_differences;

/// A custom operation with one output: its shape rule, its f64 reference, its WGSL shader, and optionally its
/// gradient.
///
/// The type holds the operation's attributes (such as an epsilon or a width) and little else: it is cloned often.
///
/// # The shader
/// [`wgsl`](CustomKernel::wgsl) returns a complete WGSL module with the entry point `main` and these bindings:
///
/// | | |
/// |---|---|
/// | `@group(0) @binding(0) var<uniform>` | [`params`](CustomKernel::params): a struct of `u32`, or of `f32` made of their bits |
/// | `@group(0) @binding(1) var<storage, read>` | the first input; the others follow |
/// | `@group(0) @binding(1 + inputs) var<storage, read_write>` | the output |
///
/// Unused bindings may be left out. Inputs and output are contiguous and row-major, and start at the first element of
/// their array; `enable f16;` is added where an operand is `f16`. A buffer may be longer than its tensor, so take
/// sizes from the parameters, not from `arrayLength`. The shader must write every element of the output: the buffer's
/// old contents are undefined.
///
/// The workgroups are dispatched in two dimensions, and a few more may run than requested:
///
/// ```wgsl
/// @compute @workgroup_size(64)
/// fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
///         @builtin(local_invocation_index) lane: u32) {
///     let i = (group.y * groups.x + group.x) * 64u + lane;
///     if i < params.outputs { … }
/// }
/// ```
///
/// # Errors
/// A shader that is not valid WGSL, has no `main`, or has other bindings, and a reference of the wrong length, cause
/// an [`Error::Value`](crate::Error::Value) that names the kernel, from `compile` or from the run. An error of
/// [`infer`](CustomKernel::infer) is recorded in the graph, with the line that applied the kernel.
///
/// ```
/// use wgrad::custom::CustomKernel;
/// use wgrad::ops::GradContext;
/// use wgrad::ops::samples::{SampleInput, floats};
/// use wgrad::reference::RefTensor;
/// use wgrad::{Array, Device, Graph, Session, Tensor, TensorType};
///
/// /// `x²`.
/// #[derive(Debug, Clone)]
/// struct Square;
///
/// impl CustomKernel for Square {
///     fn name(&self) -> &'static str {
///         "my_square"
///     }
///     fn infer(&self, inputs: &[TensorType]) -> Result<TensorType, String> {
///         match inputs {
///             [x] if x.dtype == wgrad::DType::F32 => Ok(x.clone()),
///             _ => Err("takes one f32 tensor".into()),
///         }
///     }
///     fn reference(&self, inputs: &[&RefTensor], _: &TensorType) -> Vec<f64> {
///         inputs[0].data.iter().map(|x| x * x).collect()
///     }
///     fn wgsl(&self, _: &[TensorType], _: &TensorType) -> String {
///         "struct Params { inputs: u32, outputs: u32 }
///          @group(0) @binding(0) var<uniform> params: Params;
///          @group(0) @binding(1) var<storage, read> x: array<f32>;
///          @group(0) @binding(2) var<storage, read_write> y: array<f32>;
///          @compute @workgroup_size(64)
///          fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
///                  @builtin(local_invocation_index) lane: u32) {
///              let i = (group.y * groups.x + group.x) * 64u + lane;
///              if i < params.outputs { y[i] = x[i] * x[i]; }
///          }".into()
///     }
///     fn grad<'g>(&self, cx: &GradContext<'_, 'g>) -> Option<Vec<Option<Tensor<'g>>>> {
///         Some(vec![Some(cx.upstream * cx.inputs[0] * 2.0)])
///     }
///     fn samples(&self) -> Vec<Vec<SampleInput>> {
///         vec![vec![floats([3, 7])]]
///     }
/// }
///
/// let g = Graph::new();
/// let x = g.input("x", [2], wgrad::DType::F32);
/// let y = g.custom(&Square, &[x]);
/// let dx = y.sum(..).grad(&[x])[0];
/// let mut session = Session::new(Device::cpu())?;
/// let program = session.compile(&g, &[y, dx])?;
/// let out = session.run(&program, &[("x", &Array::from([3.0f32, -4.0]))])?;
/// assert_eq!((out[0].to_f64(), out[1].to_f64()), (vec![9.0, 16.0], vec![6.0, -8.0]));
/// assert!(wgrad::verify::check_custom(&Square, Device::cpu())?.passed());
/// # Ok::<(), wgrad::Error>(())
/// ```
pub trait CustomKernel: Clone + Debug + Send + Sync + 'static {
    /// The operation's name in errors, plans and reports.
    fn name(&self) -> &'static str;

    /// The shape rule: the output's type, or what is wrong with the inputs. It must reject all inputs that the
    /// reference and the shader do not support: they are called with no others.
    fn infer(&self, inputs: &[TensorType]) -> Result<TensorType, String>;

    /// The reference, in plain loops: the output's elements in row-major order, with integers exact. Devices are
    /// compared with it, and the CPU device runs it and rounds to the output's dtype. Not called for an output
    /// without elements.
    fn reference(&self, inputs: &[&RefTensor], output: &TensorType) -> Vec<f64>;

    /// The shader for operands of these types: see [above](CustomKernel#the-shader).
    fn wgsl(&self, inputs: &[TensorType], output: &TensorType) -> String;

    /// The 32-bit words of the uniform buffer, at most 4096. By default the number of elements of each input, then of
    /// the output.
    fn params(&self, inputs: &[TensorType], output: &TensorType) -> Vec<u32> {
        inputs.iter().chain([output]).map(|ty| ty.shape.elements() as u32).collect()
    }

    /// The number of workgroups to dispatch. By default (`None`) one thread per element of the output, at the
    /// shader's `@workgroup_size`, which must then be given as literal numbers.
    fn workgroups(&self, _inputs: &[TensorType], _output: &TensorType) -> Option<u64> {
        None
    }

    /// The gradient rule, in graph operations, with one entry per input; `None` means a gradient of zero. By default
    /// there is no rule, and differentiating the operation is an error.
    fn grad<'g>(&self, _cx: &GradContext<'_, 'g>) -> Option<Vec<Option<Tensor<'g>>>> {
        None
    }

    /// The scale of the rounding error of a correct shader, element-wise, in units of the output dtype's epsilon: see
    /// [`Operation::error_scale`](crate::ops::Operation::error_scale). By default it is derived from how the
    /// reference responds to small changes of its inputs: see [`by_differences`], which also says when to write your
    /// own.
    fn error_scale(&self, inputs: &[&RefTensor], value: &RefTensor) -> Vec<f64> {
        by_differences(self, inputs, value)
    }

    /// The number of floating-point operations, for plans and benchmarks. By default one per element of the inputs
    /// and the output.
    fn flops(&self, inputs: &[TensorType], output: &TensorType) -> u64 {
        inputs.iter().chain([output]).map(|ty| ty.shape.elements() as u64).sum()
    }

    /// Computes the output on the CPU device, if there is a faster routine than the reference. Returns whether it
    /// did. Each element is a 32-bit word: the bits of an `f32` (also for `f16`, which is rounded afterwards), a
    /// `u32` or an `i32`. By default it returns false, and the reference runs.
    fn host(&self, _inputs: &[&[u32]], _output: &mut [u32]) -> bool {
        false
    }

    /// Operands to check the kernel with, one list per case. Keep them small: the gradient of every element is
    /// checked. Cases with other sizes and layouts are derived from these.
    fn samples(&self) -> Vec<Vec<SampleInput>>;

    /// Operands to benchmark the kernel with. By default those of [`samples`](CustomKernel::samples).
    fn bench_inputs(&self) -> Vec<Vec<SampleInput>> {
        self.samples()
    }
}

impl Graph {
    /// Applies a custom kernel: see [`CustomKernel`].
    ///
    /// # Errors
    /// Recorded in the graph if the kernel's shape rule rejects the inputs.
    #[track_caller]
    pub fn custom<K: CustomKernel>(&self, kernel: &K, inputs: &[Tensor<'_>]) -> Tensor<'_> {
        self.apply(Op::Custom(Arc::new(Custom::new(kernel))), inputs)
    }
}

/// A kernel's [`samples`](CustomKernel::samples) as [`Sample`]s, named by their shapes. Those of a kernel without a
/// gradient are checked forward only.
pub fn samples<K: CustomKernel>(kernel: &K) -> Vec<Sample> {
    let sample = |inputs: Vec<SampleInput>| {
        let (kernel, differentiable) = (kernel.clone(), has_gradient(kernel, &inputs));
        Sample::new(kernel.name(), label(&inputs), inputs, move |graph, operands| {
            let detach = |t: &Tensor<'_>| graph.tensor(if differentiable { t.id() } else { t.detach().id() });
            graph.custom(&kernel, &operands.iter().map(detach).collect::<Vec<_>>())
        })
    };
    kernel.samples().into_iter().map(sample).collect()
}

/// The operands' types for display: `f32[3, 7] f32[7]`.
pub(crate) fn label(inputs: &[SampleInput]) -> String {
    let types = inputs.iter().map(|i| TensorType::new(&i.shape, i.dtype).to_string());
    types.collect::<Vec<_>>().join(" ")
}

/// Whether the kernel has a gradient rule for these operands: it is called in a temporary graph.
pub(crate) fn has_gradient<K: CustomKernel>(kernel: &K, inputs: &[SampleInput]) -> bool {
    let graph = Graph::new();
    let named = inputs.iter().enumerate();
    let operands: Vec<Tensor<'_>> = named.map(|(k, i)| graph.input(format!("x{k}"), &i.shape, i.dtype)).collect();
    let output = graph.custom(kernel, &operands);
    if graph.check().is_err() {
        // The check that runs later reports this error.
        return true;
    }
    let upstream = graph.input("upstream", output.shape(), output.dtype());
    let wanted: Vec<bool> = operands.iter().map(|t| t.dtype().is_float()).collect();
    kernel.grad(&GradContext { inputs: &operands, output, upstream, wanted: &wanted }).is_some()
}
