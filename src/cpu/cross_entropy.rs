//! Cross-entropy rows.

use super::CpuContext;
use super::context::{floats, floats_mut, sized};
use super::softmax::exponentials;
use crate::ops::cross_entropy::CrossEntropyKernel;

/// Runs the kernel.
pub fn run(kernel: &CrossEntropyKernel, cx: &mut CpuContext<'_>) {
    let classes = kernel.classes;
    let (share, rest) = (f64::from(kernel.smoothing) / classes as f64, 1.0 - f64::from(kernel.smoothing));
    let label = |word: u32| (word as usize).min(classes - 1);
    if kernel.grad {
        cx.dense(|[x, labels, upstream], dx, _| {
            let rows = floats(x).chunks_exact(classes).zip(floats_mut(dx).chunks_exact_mut(classes));
            for ((x, dx), (&word, &upstream)) in rows.zip(labels.iter().zip(floats(upstream))) {
                let (_, sum) = exponentials(x, dx);
                let (scale, share) = ((1.0 / sum) as f32, share as f32);
                let hit = label(word);
                let probability = dx[hit] * scale;
                dx.iter_mut().for_each(|d| *d = upstream * (*d * scale - share));
                dx[hit] = upstream * (probability - (rest + f64::from(share)) as f32);
            }
        });
    } else {
        cx.dense(|[x, labels], loss, scratch| {
            let row = sized(&mut scratch.panels[0], classes);
            for ((x, loss), &word) in floats(x).chunks_exact(classes).zip(floats_mut(loss)).zip(labels) {
                let (max, sum) = exponentials(x, row);
                let log_sum = sum.ln();
                let log_p = |x: f32| f64::from(x) - f64::from(max) - log_sum;
                // A class of weight 0 adds nothing, however small its probability.
                let mut total = if rest == 0.0 { 0.0 } else { rest * log_p(x[label(word)]) };
                if share != 0.0 {
                    total += share * x.iter().map(|&x| log_p(x)).sum::<f64>();
                }
                *loss = -total as f32;
            }
        });
    }
}
