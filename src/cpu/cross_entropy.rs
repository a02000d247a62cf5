//! Cross-entropy rows.

use super::CpuContext;
use super::context::{FIRST, SECOND, floats, floats_mut, sized};
use super::elementwise::prologue;
use super::softmax::exponentials;
use crate::dtype::DType;
use crate::ops::cross_entropy::CrossEntropyKernel;
use half::f16;

/// Runs the kernel.
pub fn run(kernel: &CrossEntropyKernel, cx: &mut CpuContext<'_>) {
    let (labels, upstream) = kernel.loads(cx.launch);
    let labels = prologue(&kernel.labels, labels, FIRST, cx);
    if let Some(fused) = &kernel.upstream {
        let upstream = prologue(fused, upstream, SECOND, cx);
        let losses = cx.launch.outputs.get(1);
        let mut taken = losses.map(|operand| std::mem::take(&mut cx.buffers[operand.buffer.index()]));
        let offset = losses.map_or(0, |operand| operand.view.offset);
        cx.dense(|[x], dx, _| {
            let rows = floats(x).chunks_exact(kernel.classes).zip(floats_mut(dx).chunks_exact_mut(kernel.classes));
            for (n, ((x, dx), (&label, &upstream))) in rows.zip(labels.iter().zip(floats(&upstream))).enumerate() {
                let row = Row::new(kernel, x, label, dx);
                if let Some(words) = &mut taken {
                    put(words, losses.map_or(DType::F32, |o| o.dtype), offset + n, row.loss());
                }
                row.grad(upstream, dx);
            }
        });
        if let (Some(operand), Some(words)) = (losses, taken) {
            cx.buffers[operand.buffer.index()] = words;
        }
        cx.put_back(SECOND, upstream);
    } else {
        cx.dense(|[x], loss, scratch| {
            let buffer = sized(&mut scratch.panels[0], kernel.classes);
            for ((x, loss), &label) in floats(x).chunks_exact(kernel.classes).zip(floats_mut(loss)).zip(&labels) {
                *loss = Row::new(kernel, x, label, buffer).loss();
            }
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

/// A sample.
struct Row<'a> {
    x: &'a [f32],
    max: f32,
    /// The sum of the exponentials.
    sum: f64,
    label: usize,
    /// What smoothing gives to each class, and what is left for the label.
    share: f64,
    rest: f64,
}

impl<'a> Row<'a> {
    /// Puts the exponentials of `x − max x` into `exponents`.
    fn new(kernel: &CrossEntropyKernel, x: &'a [f32], label: u32, exponents: &mut [f32]) -> Self {
        let (max, sum) = exponentials(x, exponents);
        let smoothing = f64::from(kernel.smoothing);
        let label = (label as usize).min(kernel.classes - 1);
        Row { x, max, sum, label, share: smoothing / kernel.classes as f64, rest: 1.0 - smoothing }
    }

    fn loss(&self) -> f32 {
        let log_sum = self.sum.ln();
        let log_p = |x: f32| f64::from(x) - f64::from(self.max) - log_sum;
        // A class of weight 0 adds nothing, however small its probability.
        let mut total = if self.rest == 0.0 { 0.0 } else { self.rest * log_p(self.x[self.label]) };
        if self.share != 0.0 {
            total += self.share * self.x.iter().map(|&x| log_p(x)).sum::<f64>();
        }
        -total as f32
    }

    /// From the exponentials to the gradient.
    fn grad(&self, upstream: f32, dx: &mut [f32]) {
        let (scale, share) = ((1.0 / self.sum) as f32, self.share as f32);
        let probability = dx[self.label] * scale;
        dx.iter_mut().for_each(|d| *d = upstream * (*d * scale - share));
        dx[self.label] = upstream * (probability - (self.rest + f64::from(share)) as f32);
    }
}
