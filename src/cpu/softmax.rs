//! Softmax rows.

use super::CpuContext;
use super::context::{floats, floats_mut};
use crate::ops::softmax::SoftmaxKernel;

/// Runs the kernel.
pub fn run(kernel: &SoftmaxKernel, cx: &mut CpuContext<'_>) {
    cx.dense(|[x], y, _| {
        let rows = floats(x).chunks_exact(kernel.cols).zip(floats_mut(y).chunks_exact_mut(kernel.cols));
        for (x, y) in rows {
            let (max, sum) = exponentials(x, y);
            if kernel.log {
                let log_sum = sum.ln() as f32;
                y.iter_mut().zip(x).for_each(|(y, x)| *y = (x - max) - log_sum);
            } else {
                let scale = (1.0 / sum) as f32;
                y.iter_mut().for_each(|y| *y *= scale);
            }
        }
    });
}

/// Sets `y` to `e^(x − max x)` and returns the maximum and the exponentials' sum.
pub(super) fn exponentials(x: &[f32], y: &mut [f32]) -> (f32, f64) {
    let max = x.iter().fold(f32::NEG_INFINITY, |m, &x| if x > m { x } else { m });
    let mut sum = 0.0;
    for (y, x) in y.iter_mut().zip(x) {
        *y = (x - max).exp();
        sum += f64::from(*y);
    }
    (max, sum)
}
