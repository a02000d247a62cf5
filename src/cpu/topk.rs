//! Top-k: the indices of the largest or smallest elements of each row, in order.

use super::CpuContext;
use super::threads::{MOST, parts, split};
use crate::dtype::DType;
use crate::kernels::topk::TopKKernel;

/// Runs the kernel.
pub(super) fn run(kernel: &TopKKernel, cx: &mut CpuContext<'_>) {
    let key = match cx.launch.inputs[0].dtype {
        DType::F32 | DType::F16 => float_key,
        DType::U32 => |word| word,
        DType::I32 => |word| word ^ (1 << 31),
    };
    let (k, columns) = (kernel.k, kernel.columns);
    // Comparisons: a selection takes a few per element.
    let work = 8 * kernel.rows * columns;
    cx.dense(|[x], indices, _| {
        split(indices, k, parts(work, MOST.min(kernel.rows)), work, &|first, indices: &mut [u32]| {
            let mut order: Vec<u64> = Vec::with_capacity(columns);
            for (row, indices) in x[first * columns..].chunks_exact(columns).zip(indices.chunks_exact_mut(k)) {
                order.clear();
                // The key is in the high bits, the index in the low ones, so that ties are broken by index.
                let entries = row.iter().zip(0..).map(|(&word, index): (&u32, u64)| {
                    let key = if kernel.largest { !key(word) } else { key(word) };
                    u64::from(key) << 32 | index
                });
                order.extend(entries);
                if k < columns {
                    order.select_nth_unstable(k - 1);
                }
                order[..k].sort_unstable();
                indices.iter_mut().zip(&order).for_each(|(index, entry)| *index = *entry as u32);
            }
        });
    });
}

/// Maps the bits of a float to an integer that sorts in the same order: NaN is the largest, and −0 and 0 are equal.
fn float_key(bits: u32) -> u32 {
    let magnitude = bits & (u32::MAX >> 1);
    match () {
        () if magnitude > 0x7f80_0000 => u32::MAX,
        () if bits > magnitude => (1 << 31) - magnitude,
        () => (1 << 31) + magnitude,
    }
}
