//! Cumulative sums.

use super::CpuContext;
use crate::dtype::DType;
use crate::ops::scan::{ScanKernel, ScanPass};

/// Runs the kernel.
pub fn run(kernel: &ScanKernel, cx: &mut CpuContext<'_>) {
    match cx.launch.inputs[0].dtype {
        // Sums of floats are kept in f64: a row may be long.
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
    let (columns, segments) = (kernel.columns, kernel.segments());
    let place = |j: usize| if kernel.reverse { columns - 1 - j } else { j };
    let each = |x: &[u32], before: Option<&[u32]>, y: &mut [u32]| {
        for (row, x) in x.chunks_exact(columns).enumerate() {
            for segment in 0..segments {
                let unit = row * segments + segment;
                let elements = segment * kernel.length..((segment + 1) * kernel.length).min(columns);
                let mut sum = match before {
                    Some(before) if segment > 0 => add(zero, before[unit - 1]),
                    _ => zero,
                };
                for j in elements {
                    sum = add(sum, x[place(j)]);
                    if kernel.pass != ScanPass::Totals {
                        y[row * columns + place(j)] = word(sum);
                    }
                }
                if kernel.pass == ScanPass::Totals {
                    y[unit] = word(sum);
                }
            }
        }
    };
    match kernel.pass {
        ScanPass::From => cx.dense(|[x, before], y, _| each(x, Some(before), y)),
        ScanPass::Whole | ScanPass::Totals => cx.dense(|[x], y, _| each(x, None, y)),
    }
}
