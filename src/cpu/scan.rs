//! Cumulative sums.

use super::CpuContext;
use crate::dtype::DType;
use crate::kernels::scan::ScanKernel;

/// Runs the kernel.
pub(super) fn run(kernel: &ScanKernel, cx: &mut CpuContext<'_>) {
    match cx.launch.inputs[0].dtype {
        // Floats are accumulated in `f64`, since a row may be long.
        DType::F32 | DType::F16 => {
            scan(kernel, cx, 0.0, |sum, word| sum + f64::from(f32::from_bits(word)), |sum| (sum as f32).to_bits());
        }
        DType::U32 | DType::I32 => scan(kernel, cx, 0, u32::wrapping_add, |sum| sum),
    }
}

fn scan<S: Copy>(
    kernel: &ScanKernel,
    cx: &mut CpuContext<'_>,
    zero: S,
    add: impl Fn(S, u32) -> S,
    word: impl Fn(S) -> u32,
) {
    let columns = kernel.columns.max(1);
    cx.dense(|[x], y, _| {
        for (x, y) in x.chunks_exact(columns).zip(y.chunks_exact_mut(columns)) {
            let mut sum = zero;
            let mut next = |x: &u32, y: &mut u32| {
                sum = add(sum, *x);
                *y = word(sum);
            };
            if kernel.reverse {
                x.iter().zip(y).rev().for_each(|(x, y)| next(x, y));
            } else {
                x.iter().zip(y).for_each(|(x, y)| next(x, y));
            }
        }
    });
}
