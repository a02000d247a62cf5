//! The second output of a product: the sums of its left side's rows, which are a bias's gradient.

use super::CpuContext;
use super::context::floats_mut;
use super::strided::Walk;
use crate::dtype::DType;
use crate::ops::conv::ConvKernel;
use crate::ops::matmul::MatmulKernel;
use crate::plan::Operand;
use half::f16;

/// The elements an operand's view shows, in row-major order.
fn elements(operand: &Operand, buffers: &[Vec<u32>]) -> Vec<f32> {
    let mut out = vec![0.0f32; operand.view.shape.elements()];
    let words = &buffers[operand.buffer.index()];
    Walk::new(&operand.view).load(words, operand.dtype, 0, bytemuck::cast_slice_mut(&mut out));
    out
}

/// Writes sums to the second output.
fn write(cx: &mut CpuContext<'_>, sums: &[f64]) {
    let output = &cx.launch.outputs[1];
    let words = &mut cx.buffers[output.buffer.index()];
    let from = output.view.offset;
    if output.dtype == DType::F16 {
        let halves: &mut [f16] = bytemuck::cast_slice_mut(words);
        halves[from..].iter_mut().zip(sums).for_each(|(to, &sum)| *to = f16::from_f64(sum));
    } else {
        floats_mut(words)[from..].iter_mut().zip(sums).for_each(|(to, &sum)| *to = sum as f32);
    }
}

/// `s[…, i] = Σ_k a[…, i, k]`.
pub fn matmul(kernel: &MatmulKernel, cx: &mut CpuContext<'_>) {
    let a = elements(&cx.launch.inputs[0], cx.buffers);
    let rows = kernel.batch.elements() * kernel.m;
    let sum = |row: usize| a[row * kernel.k..][..kernel.k].iter().map(|&x| f64::from(x)).sum();
    let sums: Vec<f64> = (0..rows).map(sum).collect();
    write(cx, &sums);
}

/// `s[o] = Σ dy[n, o, p]` over samples and positions.
pub fn conv(kernel: &ConvKernel, cx: &mut CpuContext<'_>) {
    let g = &kernel.geometry;
    let dy = elements(&cx.launch.inputs[1], cx.buffers);
    let area = g.output[0] * g.output[1];
    let mut sums = vec![0.0f64; g.out_channels];
    for (line, values) in dy.chunks_exact(area.max(1)).enumerate() {
        sums[line % g.out_channels] += values.iter().map(|&x| f64::from(x)).sum::<f64>();
    }
    write(cx, &sums);
}
