//! Cross-entropy and its gradient, row by row.

use super::CpuContext;
use super::context::{FIRST, SECOND};
use super::elementwise::prologue;
use super::simd::fast;
use super::softmax::{ROWS, exponentials, sum};
use super::words::{floats, floats_mut, sized};
use crate::dtype::DType;
use crate::kernels::cross_entropy::CrossEntropyKernel;
use half::f16;

/// Runs the kernel.
pub(super) fn run(kernel: &CrossEntropyKernel, cx: &mut CpuContext<'_>) {
    let (labels, upstream) = kernel.loads(cx.launch);
    let size = ROWS * kernel.classes;
    let labels = prologue(&kernel.labels, labels, FIRST, cx);
    if let Some(fused) = &kernel.upstream {
        let upstream = prologue(fused, upstream, SECOND, cx);
        let losses = cx.launch.outputs.get(1);
        let mut taken = losses.map(|operand| std::mem::take(&mut cx.buffers[operand.buffer.index()]));
        let offset = losses.map_or(0, |operand| operand.view.offset);
        cx.dense(|[x], dx, _| {
            fast(
                #[inline(always)]
                || {
                    let mut maxima = [0.0; ROWS];
                    let blocks = floats(x).chunks(size).zip(floats_mut(dx).chunks_mut(size));
                    for (block, (x, dx)) in blocks.enumerate() {
                        exponentials(x, dx, kernel.classes, &mut maxima);
                        let rows = x.chunks_exact(kernel.classes).zip(dx.chunks_exact_mut(kernel.classes));
                        for (n, ((x, dx), max)) in rows.zip(maxima).enumerate() {
                            let n = block * ROWS + n;
                            let row = Row::new(kernel, x, max, sum(dx), labels[n]);
                            if let Some(words) = &mut taken {
                                put(words, losses.map_or(DType::F32, |o| o.dtype), offset + n, row.loss());
                            }
                            row.grad(f32::from_bits(upstream[n]), dx);
                        }
                    }
                },
            );
        });
        if let (Some(operand), Some(words)) = (losses, taken) {
            cx.buffers[operand.buffer.index()] = words;
        }
        cx.put_back(SECOND, upstream);
    } else {
        cx.dense(|[x], loss, scratch| {
            let buffer = sized(&mut scratch.panels[0], size);
            fast(
                #[inline(always)]
                || {
                    let mut maxima = [0.0; ROWS];
                    let blocks = floats(x).chunks(size).zip(floats_mut(loss).chunks_mut(ROWS));
                    for ((x, losses), labels) in blocks.zip(labels.chunks(ROWS)) {
                        let buffer = &mut buffer[..x.len()];
                        exponentials(x, buffer, kernel.classes, &mut maxima);
                        let rows = x.chunks_exact(kernel.classes).zip(buffer.chunks_exact(kernel.classes));
                        for (((x, exponents), max), (loss, &label)) in
                            rows.zip(maxima).zip(losses.iter_mut().zip(labels))
                        {
                            *loss = Row::new(kernel, x, max, sum(exponents), label).loss();
                        }
                    }
                },
            );
        });
    }
    cx.put_back(FIRST, labels);
}

fn put(words: &mut [u32], dtype: DType, at: usize, value: f32) {
    if dtype == DType::F16 {
        bytemuck::cast_slice_mut::<u32, f16>(words)[at] = f16::from_f32(value);
    } else {
        words[at] = value.to_bits();
    }
}

/// A row of logits: one sample.
struct Row<'a> {
    x: &'a [f32],
    max: f32,
    /// The sum of the exponentials.
    sum: f64,
    label: usize,
    /// The target probability that label smoothing gives to every class, and the rest, which the label gets in
    /// addition.
    share: f64,
    rest: f64,
}

impl<'a> Row<'a> {
    fn new(kernel: &CrossEntropyKernel, x: &'a [f32], max: f32, sum: f64, label: u32) -> Self {
        let smoothing = f64::from(kernel.smoothing);
        let label = (label as usize).min(kernel.classes - 1);
        Row { x, max, sum, label, share: smoothing / kernel.classes as f64, rest: 1.0 - smoothing }
    }

    fn loss(&self) -> f32 {
        let log_sum = self.sum.ln();
        let log_p = |x: f32| f64::from(x) - f64::from(self.max) - log_sum;
        // A weight of 0 must add 0: with a log probability of −∞ the multiplication would give NaN.
        let mut total = if self.rest == 0.0 { 0.0 } else { self.rest * log_p(self.x[self.label]) };
        if self.share != 0.0 {
            total += self.share * self.x.iter().map(|&x| log_p(x)).sum::<f64>();
        }
        -total as f32
    }

    /// Computes the gradient in place, from the exponentials in `dx`.
    fn grad(&self, upstream: f32, dx: &mut [f32]) {
        let (scale, share) = ((1.0 / self.sum) as f32, self.share as f32);
        let probability = dx[self.label] * scale;
        dx.iter_mut().for_each(|d| *d = upstream * (*d * scale - share));
        dx[self.label] = upstream * (probability - (self.rest + f64::from(share)) as f32);
    }
}
