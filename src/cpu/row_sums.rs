//! The second output of a matmul, the row sums of its left operand: the gradient of a bias. Likewise for the weight
//! gradient of a convolution, the sums of `dy` for each output channel.

use super::CpuContext;
use super::simd::fast;
use super::strided::Walk;
use super::words::sized;
use crate::dtype::DType;
use crate::kernels::Operand;
use crate::kernels::conv::ConvKernel;
use crate::kernels::matmul::MatmulKernel;
use half::f16;

/// Elements per block.
const BLOCK: usize = 1024;

/// `s[…, i] = Σ_k a[…, i, k]`.
pub(super) fn matmul(kernel: &MatmulKernel, cx: &mut CpuContext<'_>) {
    let a = &cx.launch.inputs[0];
    let (rank, batches) = (kernel.batch.rank(), kernel.batch.elements());
    // With k outermost, the sums of all rows are accumulated elementwise.
    let order = std::iter::once(rank + 1).chain(0..=rank);
    sum_groups(a, order, batches * kernel.m, 1, cx);
}

/// `s[o] = Σ dy[n, o, p]` over samples and positions.
pub(super) fn conv(kernel: &ConvKernel, cx: &mut CpuContext<'_>) {
    let (g, dy) = (&kernel.geometry, &cx.launch.inputs[1]);
    let area = g.output[0] * g.output[1];
    sum_groups(dy, 0..dy.view.shape.rank(), g.out_channels, area, cx);
}

/// Writes sums of the operand's elements to the second output. With its axes permuted to `order`, the operand is a
/// matrix whose rows are `sums` groups of `size` elements; each sum is that of a group over all rows.
fn sum_groups(
    operand: &Operand,
    order: impl Iterator<Item = usize>,
    sums: usize,
    size: usize,
    cx: &mut CpuContext<'_>,
) {
    let walk = Walk::over(&operand.view, order);
    let (width, total) = (sums * size, operand.view.shape.elements());
    let words = &cx.buffers[operand.buffer.index()][..];
    let scratch = &mut cx.scratch.expr;
    let columns = sized(&mut scratch.sums, width);
    columns.fill(0.0);
    let mut block = [0u32; BLOCK];
    let dense = walk.dense_from().filter(|_| operand.dtype == DType::F32);
    fast(
        #[inline(always)]
        || {
            let (mut start, mut column) = (0, 0);
            while start < total {
                let len = BLOCK.min(total - start).min(width - column);
                let values = match dense {
                    Some(first) => &words[first + start..][..len],
                    None => {
                        walk.load(words, operand.dtype, start, &mut block[..len]);
                        &block[..len]
                    }
                };
                let values: &[f32] = bytemuck::cast_slice(values);
                columns[column..][..len].iter_mut().zip(values).for_each(|(sum, &x)| *sum += f64::from(x));
                start += len;
                column = if column + len == width { 0 } else { column + len };
            }
        },
    );
    let sums = columns.chunks_exact(size.max(1)).map(|columns| columns.iter().sum());
    put(&cx.launch.outputs[1], sums, cx.buffers);
}

/// Writes the sums that the kernel has computed in scratch memory to the second output.
pub(super) fn put_totals(count: usize, cx: &mut CpuContext<'_>) {
    let totals = &cx.scratch.totals[..count];
    put(&cx.launch.outputs[1], totals.iter().copied().map(f64::from), cx.buffers);
}

fn put(output: &Operand, sums: impl Iterator<Item = f64>, buffers: &mut [Vec<u32>]) {
    let (words, first) = (&mut buffers[output.buffer.index()], output.view.offset);
    if output.dtype == DType::F16 {
        let halves = &mut bytemuck::cast_slice_mut::<u32, f16>(words)[first..];
        halves.iter_mut().zip(sums).for_each(|(to, sum)| *to = f16::from_f64(sum));
    } else {
        words[first..].iter_mut().zip(sums).for_each(|(to, sum)| *to = (sum as f32).to_bits());
    }
}
