//! Softmax and log-softmax, row by row.

use super::CpuContext;
use super::functions::exp;
use super::simd::fast;
use super::words::{floats, floats_mut};
use crate::kernels::softmax::SoftmaxKernel;

/// Rows whose exponentials are computed in one loop, since a row may be shorter than a vector.
pub(super) const ROWS: usize = 32;
/// The number of independent accumulators, so that additions do not wait for each other.
const LANES: usize = 16;

/// Runs the kernel.
pub(super) fn run(kernel: &SoftmaxKernel, cx: &mut CpuContext<'_>) {
    cx.dense(|[x], y, _| {
        fast(
            #[inline(always)]
            || {
                let cols = kernel.cols;
                let size = ROWS * cols;
                let mut maxima = [0.0; ROWS];
                for (x, y) in floats(x).chunks(size.max(1)).zip(floats_mut(y).chunks_mut(size.max(1))) {
                    exponentials(x, y, cols, &mut maxima);
                    let rows = x.chunks_exact(cols).zip(y.chunks_exact_mut(cols));
                    for ((x, y), max) in rows.zip(maxima) {
                        let sum = sum(y);
                        if kernel.log {
                            let log_sum = sum.ln() as f32;
                            y.iter_mut().zip(x).for_each(|(y, x)| *y = (x - max) - log_sum);
                        } else {
                            let scale = (1.0 / sum) as f32;
                            y.iter_mut().for_each(|y| *y *= scale);
                        }
                    }
                }
            },
        );
    });
}

/// Sets `y` to `e^(x − max x)` and `maxima` to the maxima, for up to [`ROWS`] rows.
#[inline(always)]
pub(super) fn exponentials(x: &[f32], y: &mut [f32], cols: usize, maxima: &mut [f32; ROWS]) {
    for ((x, y), max) in x.chunks_exact(cols).zip(y.chunks_exact_mut(cols)).zip(maxima) {
        *max = largest(x);
        y.iter_mut().zip(x).for_each(|(y, x)| *y = x - *max);
    }
    y.iter_mut().for_each(|y| *y = exp(*y));
}

#[inline(always)]
fn largest(x: &[f32]) -> f32 {
    let larger = |m: f32, x: f32| if x > m { x } else { m };
    let (whole, rest) = x.as_chunks::<LANES>();
    let max = rest.iter().fold(f32::NEG_INFINITY, |m, &x| larger(m, x));
    if whole.is_empty() {
        return max;
    }
    let mut lanes = [max; LANES];
    for chunk in whole {
        lanes.iter_mut().zip(chunk).for_each(|(m, &x)| *m = larger(*m, x));
    }
    lanes.into_iter().fold(f32::NEG_INFINITY, larger)
}

/// The sum of a row, in `f64`.
#[inline(always)]
pub(super) fn sum(x: &[f32]) -> f64 {
    let (whole, rest) = x.as_chunks::<LANES>();
    let sum: f64 = rest.iter().copied().map(f64::from).sum();
    if whole.is_empty() {
        return sum;
    }
    let mut lanes = [0.0; LANES];
    for chunk in whole {
        lanes.iter_mut().zip(chunk).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    sum + lanes.iter().sum::<f64>()
}
