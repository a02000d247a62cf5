//! Index-select and scatter-add.

use super::CpuContext;
use super::elementwise::{FIRST, prologue};
use super::words::{floats, floats_mut};
use crate::dtype::DType;
use crate::kernels::index::IndexKernel;

/// Runs the kernel.
pub(super) fn run(kernel: &IndexKernel, cx: &mut CpuContext<'_>) {
    let index = prologue(&kernel.index, &cx.launch.inputs[1..], FIRST, cx);
    let rows = Rows { last: kernel.rows.saturating_sub(1), signed: kernel.signed, index: &index[..kernel.count] };
    if kernel.scatter {
        cx.dense(|[values], out, _| scatter(kernel, floats(values), &rows, floats_mut(out)));
    } else {
        select(kernel, cx, &rows);
    }
    cx.put_back(FIRST, index);
}

/// The indices of the selected slices, clamped to the valid range.
struct Rows<'a> {
    last: usize,
    signed: bool,
    index: &'a [u32],
}

impl Rows<'_> {
    fn iter(&self) -> impl Iterator<Item = usize> {
        let clamp = |&index: &u32| {
            let index = if self.signed { (index as i32).max(0) as u32 } else { index };
            (index as usize).min(self.last)
        };
        self.index.iter().map(clamp)
    }
}

/// Index-select. It copies elements bitwise, so that `f16` is not converted.
fn select(kernel: &IndexKernel, cx: &mut CpuContext<'_>, rows: &Rows<'_>) {
    let (values, output) = (&cx.launch.inputs[0], &cx.launch.outputs[0]);
    let mut target = std::mem::take(&mut cx.buffers[output.buffer.index()]);
    let from = &cx.buffers[values.buffer.index()];
    let offsets = (values.view.offset, output.view.offset);
    if values.dtype == DType::F16 {
        let (from, to) = (bytemuck::cast_slice::<u32, u16>(from), bytemuck::cast_slice_mut::<u32, u16>(&mut target));
        copy_slices(kernel, &from[offsets.0..], rows, &mut to[offsets.1..]);
    } else {
        copy_slices(kernel, &from[offsets.0..], rows, &mut target[offsets.1..]);
    }
    cx.buffers[output.buffer.index()] = target;
}

fn copy_slices<T: Copy>(kernel: &IndexKernel, from: &[T], rows: &Rows<'_>, to: &mut [T]) {
    let inner = kernel.inner;
    for o in 0..kernel.outer {
        let from = &from[o * kernel.rows * inner..][..kernel.rows * inner];
        let to = &mut to[o * kernel.count * inner..][..kernel.count * inner];
        if inner == 1 {
            to.iter_mut().zip(rows.iter()).for_each(|(to, row)| *to = from[row]);
        } else {
            for (to, row) in to.chunks_exact_mut(inner.max(1)).zip(rows.iter()) {
                to.copy_from_slice(&from[row * inner..][..inner]);
            }
        }
    }
}

fn scatter(kernel: &IndexKernel, values: &[f32], rows: &Rows<'_>, out: &mut [f32]) {
    let inner = kernel.inner;
    out.fill(0.0);
    for o in 0..kernel.outer {
        let from = &values[o * kernel.count * inner..][..kernel.count * inner];
        let to = &mut out[o * kernel.rows * inner..][..kernel.rows * inner];
        for (from, row) in from.chunks_exact(inner.max(1)).zip(rows.iter()) {
            let to = &mut to[row * inner..][..inner];
            to.iter_mut().zip(from).for_each(|(t, f)| *t += f);
        }
    }
}
