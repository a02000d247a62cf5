//! The two kernels that measure a machine: one that only multiplies and adds, one that only moves data.

use crate::cpu::CpuContext;
use crate::cpu::context::{floats, floats_mut};
use crate::cpu::threads::{MOST, split};
use crate::dtype::DType;
use crate::error::Result;
use crate::ops::elementwise::ElementwiseKernel;
use crate::ops::table::Binary;
use crate::ops::{GradContext, Operation};
use crate::plan::wgsl::workgroup_size;
use crate::plan::{Dispatch, Expr, GpuTarget, Instr, Kernel, Launch, Lowering, Shader, Value};
use crate::reference::RefTensor;
use crate::shape::{Shape, TensorType};
use crate::tensor::Tensor;
use pulp::{Arch, Simd, WithSimd};

/// Vectors a thread works on, each of which waits for nothing but itself: enough for the units' latency, few enough for
/// their registers.
const CHAINS: usize = 12;
/// Elements of a thread's smallest part: whole chains, however wide the vectors are.
const UNIT: usize = 16 * CHAINS;
/// Rounds of a turn of the shader's loop.
const ROUNDS_A_TURN: usize = 4;

/// `x ← b − x`, many times over, as fused multiply-adds: after an even number of rounds it is `x` again.
#[derive(Debug, Clone, Copy)]
pub(super) struct FusedMultiplyAdd {
    pub(super) threads: usize,
    /// Of the shader's loop.
    pub(super) turns: usize,
}

impl FusedMultiplyAdd {
    /// Elements of its operand.
    pub(super) fn elements(self) -> usize {
        CHAINS * self.threads
    }
    fn rounds(self) -> usize {
        ROUNDS_A_TURN * self.turns
    }
}

impl Operation for FusedMultiplyAdd {
    fn name(&self) -> &'static str {
        "bench_fma"
    }
    fn infer(&self, inputs: &[TensorType]) -> Result<TensorType, String> {
        let wanted = TensorType::new([self.elements()], DType::F32);
        match inputs {
            [x] if *x == wanted => Ok(wanted),
            _ => Err(format!("takes one operand of type {wanted}")),
        }
    }
    fn grad<'g>(&self, _: &GradContext<'_, 'g>) -> Vec<Option<Tensor<'g>>> {
        vec![None]
    }
    fn reference(&self, inputs: &[&RefTensor], _: &TensorType) -> RefTensor {
        inputs[0].clone()
    }
    fn error_scale(&self, _: &[&RefTensor], value: &RefTensor) -> Vec<f64> {
        vec![0.0; value.data.len()]
    }
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<Value> {
        let (x, y) = (cx.dense(0), cx.output_type());
        let y = cx.allocate(y);
        cx.launch(*self, vec![x], vec![y.clone()]);
        Ok(Value::Stored(y))
    }
}

impl Kernel for FusedMultiplyAdd {
    fn name(&self) -> &'static str {
        "bench_fma"
    }
    fn flops(&self) -> u64 {
        2 * (self.elements() * self.rounds()) as u64
    }
    fn cpu(&self, cx: &mut CpuContext<'_>) {
        let rounds = self.rounds();
        cx.dense::<1>(|[x], y, _| {
            let x = floats(x);
            split(floats_mut(y), UNIT, MOST, self.flops() as usize, &|first, y| {
                let x = &x[first * UNIT..][..y.len()];
                Arch::new().dispatch(Rounds { x, y, rounds, a: -1.0, b: 3.0 });
            });
        });
    }
    fn gpu(&self, launch: &Launch, target: &GpuTarget) -> Result<Dispatch> {
        let workgroup = workgroup_size(self.threads, target);
        let shader = Shader::file("bench_fma", include_str!("../../shaders/bench_fma.wgsl"))
            .constant("WORKGROUP", workgroup)
            .constant("TURNS", self.turns as u32);
        let params = vec![self.threads as u32, (-1f32).to_bits(), 3f32.to_bits()];
        Ok(Dispatch::new(launch, shader, params, (self.threads as u64).div_ceil(u64::from(workgroup))))
    }
}

struct Rounds<'a> {
    x: &'a [f32],
    y: &'a mut [f32],
    rounds: usize,
    a: f32,
    b: f32,
}

impl WithSimd for Rounds<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Opaque, so that no round can be worked out beforehand.
        let (a, b) = std::hint::black_box((self.a, self.b));
        let (a, b) = (simd.splat_f32s(a), simd.splat_f32s(b));
        let (x, rest) = S::as_simd_f32s(self.x);
        let (y, rest_y) = S::as_mut_simd_f32s(self.y);
        for (x, y) in x.chunks_exact(CHAINS).zip(y.chunks_exact_mut(CHAINS)) {
            let mut chains: [S::f32s; CHAINS] = std::array::from_fn(|k| x[k]);
            for _ in 0..self.rounds {
                for chain in &mut chains {
                    *chain = simd.mul_add_e_f32s(*chain, a, b);
                }
            }
            y.copy_from_slice(&chains);
        }
        rest_y.copy_from_slice(rest);
    }
}

/// `a + b`, element by element, over dense vectors: twelve bytes an element and next to no arithmetic.
#[derive(Debug, Clone, Copy)]
pub(super) struct Add;

impl Operation for Add {
    fn name(&self) -> &'static str {
        "bench_stream"
    }
    fn infer(&self, inputs: &[TensorType]) -> Result<TensorType, String> {
        match inputs {
            [a, b] if a == b && a.dtype == DType::F32 => Ok(a.clone()),
            _ => Err("takes two f32 operands of one shape".into()),
        }
    }
    fn grad<'g>(&self, _: &GradContext<'_, 'g>) -> Vec<Option<Tensor<'g>>> {
        vec![None, None]
    }
    fn reference(&self, inputs: &[&RefTensor], output: &TensorType) -> RefTensor {
        RefTensor::from_fn(&output.shape, output.dtype, |i| inputs[0].data[i] + inputs[1].data[i])
    }
    fn error_scale(&self, _: &[&RefTensor], value: &RefTensor) -> Vec<f64> {
        value.data.iter().map(|y| y.abs()).collect()
    }
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<Value> {
        let (a, b, ty) = (cx.dense(0), cx.dense(1), cx.output_type());
        let elements = ty.shape.elements();
        let y = cx.allocate(ty);
        cx.launch(AddKernel { elements }, vec![a, b], vec![y.clone()]);
        Ok(Value::Stored(y))
    }
}

#[derive(Debug, Clone, Copy)]
struct AddKernel {
    elements: usize,
}

impl Kernel for AddKernel {
    fn name(&self) -> &'static str {
        "bench_stream"
    }
    fn flops(&self) -> u64 {
        self.elements as u64
    }
    fn cpu(&self, cx: &mut CpuContext<'_>) {
        cx.dense::<2>(|[a, b], y, _| {
            let (a, b) = (floats(a), floats(b));
            // An element takes about as long as some operations.
            split(floats_mut(y), 1, MOST, 8 * self.elements, &|first, y| {
                let (a, b) = (&a[first..][..y.len()], &b[first..][..y.len()]);
                Arch::new().dispatch(|| y.iter_mut().zip(a).zip(b).for_each(|((y, a), b)| *y = a + b));
            });
        });
    }
    fn gpu(&self, launch: &Launch, target: &GpuTarget) -> Result<Dispatch> {
        let load = |input| Instr::Load { input, dtype: DType::F32 };
        let sum = Instr::Binary { op: Binary::Add, dtype: DType::F32, a: 0, b: 1 };
        let expr = Expr { instrs: vec![load(0), load(1), sum], roots: vec![2] };
        ElementwiseKernel { shape: Shape::from([self.elements]), expr }.gpu(launch, target)
    }
}
