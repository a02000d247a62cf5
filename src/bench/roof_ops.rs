//! The two kernels that measure the roofline: fused multiply-adds for the compute peak, `a + b` for the bandwidth.

use crate::cpu::threads::{MOST, split};
use crate::custom::CustomKernel;
use crate::dtype::DType;
use crate::ops::samples::{SampleInput, floats};
use crate::reference::RefTensor;
use crate::shape::TensorType;
use bytemuck::{cast_slice, cast_slice_mut};
use pulp::{Arch, Simd, WithSimd};

/// Independent dependency chains per thread: enough to hide the latency of the arithmetic units, few enough to stay in
/// registers.
const CHAINS: usize = 12;
/// The granularity of a thread's part in elements: whole chains for any SIMD width.
const UNIT: usize = 16 * CHAINS;
/// Rounds per iteration of the shader's loop.
const ROUNDS_PER_ITERATION: usize = 4;

/// `x ← b − x`, repeated, as fused multiply-adds: after an even number of rounds, the result is `x` again.
#[derive(Debug, Clone, Copy)]
pub(super) struct FusedMultiplyAdd {
    pub(super) threads: usize,
    /// Iterations of the shader's loop.
    pub(super) iterations: usize,
}

impl FusedMultiplyAdd {
    /// The number of elements of the operand.
    pub(super) fn elements(self) -> usize {
        CHAINS * self.threads
    }
    fn rounds(self) -> usize {
        ROUNDS_PER_ITERATION * self.iterations
    }
}

impl CustomKernel for FusedMultiplyAdd {
    fn name(&self) -> &'static str {
        "bench_fma"
    }
    fn infer(&self, inputs: &[TensorType]) -> Result<TensorType, String> {
        let wanted = TensorType::new([self.elements()], DType::F32);
        match inputs {
            [x] if *x == wanted => Ok(wanted),
            _ => Err(format!("expects one operand of type {wanted}")),
        }
    }
    fn reference(&self, inputs: &[&RefTensor], _: &TensorType) -> Vec<f64> {
        inputs[0].data.clone()
    }
    fn error_scale(&self, _: &[&RefTensor], value: &RefTensor) -> Vec<f64> {
        vec![0.0; value.data.len()]
    }
    fn wgsl(&self, _: &[TensorType], _: &TensorType) -> String {
        include_str!("../../shaders/bench_fma.wgsl").into()
    }
    fn params(&self, _: &[TensorType], _: &TensorType) -> Vec<u32> {
        vec![self.threads as u32, self.iterations as u32, (-1f32).to_bits(), 3f32.to_bits()]
    }
    fn workgroups(&self, _: &[TensorType], _: &TensorType) -> Option<u64> {
        Some((self.threads as u64).div_ceil(WORKGROUP))
    }
    fn flops(&self, _: &[TensorType], _: &TensorType) -> u64 {
        2 * (self.elements() * self.rounds()) as u64
    }
    fn host(&self, inputs: &[&[u32]], output: &mut [u32]) -> bool {
        let (x, y): (&[f32], &mut [f32]) = (cast_slice(inputs[0]), cast_slice_mut(output));
        let rounds = self.rounds();
        split(y, UNIT, MOST, 2 * self.elements() * rounds, &|first, y| {
            let x = &x[first * UNIT..][..y.len()];
            Arch::new().dispatch(Rounds { x, y, rounds, a: -1.0, b: 3.0 });
        });
        true
    }
    fn samples(&self) -> Vec<Vec<SampleInput>> {
        vec![vec![floats([self.elements()])]]
    }
}

/// The workgroup size of both shaders.
const WORKGROUP: u64 = 64;

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
        // Opaque, so that no round can be evaluated at compile time.
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

/// `a + b`, elementwise, for contiguous vectors whose length is a multiple of four: twelve bytes and one operation per
/// element.
#[derive(Debug, Clone, Copy)]
pub(super) struct Add;

impl CustomKernel for Add {
    fn name(&self) -> &'static str {
        "bench_stream"
    }
    fn infer(&self, inputs: &[TensorType]) -> Result<TensorType, String> {
        match inputs {
            [a, b] if a == b && a.dtype == DType::F32 && a.shape.elements().is_multiple_of(4) => Ok(a.clone()),
            _ => Err("expects two f32 operands of the same shape with a multiple of four elements".into()),
        }
    }
    fn reference(&self, inputs: &[&RefTensor], _: &TensorType) -> Vec<f64> {
        inputs[0].data.iter().zip(&inputs[1].data).map(|(a, b)| a + b).collect()
    }
    fn error_scale(&self, _: &[&RefTensor], value: &RefTensor) -> Vec<f64> {
        value.data.iter().map(|y| y.abs()).collect()
    }
    fn wgsl(&self, _: &[TensorType], _: &TensorType) -> String {
        include_str!("../../shaders/bench_stream.wgsl").into()
    }
    fn params(&self, _: &[TensorType], output: &TensorType) -> Vec<u32> {
        vec![output.shape.elements() as u32 / 4]
    }
    fn workgroups(&self, _: &[TensorType], output: &TensorType) -> Option<u64> {
        Some((output.shape.elements() as u64 / 4).div_ceil(WORKGROUP))
    }
    fn flops(&self, _: &[TensorType], output: &TensorType) -> u64 {
        output.shape.elements() as u64
    }
    fn host(&self, inputs: &[&[u32]], output: &mut [u32]) -> bool {
        let (a, b): (&[f32], &[f32]) = (cast_slice(inputs[0]), cast_slice(inputs[1]));
        let y: &mut [f32] = cast_slice_mut(output);
        // An element costs about as much as eight operations.
        let work = 8 * y.len();
        split(y, 1, MOST, work, &|first, y| {
            let (a, b) = (&a[first..][..y.len()], &b[first..][..y.len()]);
            Arch::new().dispatch(|| y.iter_mut().zip(a).zip(b).for_each(|((y, a), b)| *y = a + b));
        });
        true
    }
    fn samples(&self) -> Vec<Vec<SampleInput>> {
        vec![vec![floats([64]), floats([64])]]
    }
}
