//! Index-select and scatter-add.

use super::CpuContext;
use super::context::{floats, floats_mut};
use crate::dtype::DType;
use crate::ops::index::IndexKernel;

/// Runs the kernel.
pub fn run(kernel: &IndexKernel, cx: &mut CpuContext<'_>) {
    let signed = cx.launch.inputs[1].dtype == DType::I32;
    let last = kernel.rows.saturating_sub(1);
    let row = |index: u32| {
        let index = if signed { (index as i32).max(0) as u32 } else { index };
        (index as usize).min(last)
    };
    if kernel.scatter {
        cx.dense(|[values, index], out, _| scatter(kernel, floats(values), index, floats_mut(out), row));
    } else {
        select(kernel, cx, row);
    }
}

/// Picks slices as they are in memory: a table of `f16` is not converted.
fn select(kernel: &IndexKernel, cx: &mut CpuContext<'_>, row: impl Fn(u32) -> usize) {
    let (values, index, output) = (&cx.launch.inputs[0], &cx.launch.inputs[1], &cx.launch.outputs[0]);
    let mut target = std::mem::take(&mut cx.buffers[output.buffer.index()]);
    let from = &cx.buffers[values.buffer.index()];
    let index = &cx.buffers[index.buffer.index()][index.view.offset..][..kernel.count];
    let offsets = (values.view.offset, output.view.offset);
    if values.dtype == DType::F16 {
        let (from, to) = (bytemuck::cast_slice::<u32, u16>(from), bytemuck::cast_slice_mut::<u32, u16>(&mut target));
        pick(kernel, &from[offsets.0..], index, &mut to[offsets.1..], row);
    } else {
        pick(kernel, &from[offsets.0..], index, &mut target[offsets.1..], row);
    }
    cx.buffers[output.buffer.index()] = target;
}

fn pick<T: Copy>(kernel: &IndexKernel, from: &[T], index: &[u32], to: &mut [T], row: impl Fn(u32) -> usize) {
    let inner = kernel.inner;
    for o in 0..kernel.outer {
        let from = &from[o * kernel.rows * inner..][..kernel.rows * inner];
        let to = &mut to[o * kernel.count * inner..][..kernel.count * inner];
        if inner == 1 {
            to.iter_mut().zip(index).for_each(|(to, &i)| *to = from[row(i)]);
        } else {
            for (to, &i) in to.chunks_exact_mut(inner.max(1)).zip(index) {
                to.copy_from_slice(&from[row(i) * inner..][..inner]);
            }
        }
    }
}

fn scatter(kernel: &IndexKernel, values: &[f32], index: &[u32], out: &mut [f32], row: impl Fn(u32) -> usize) {
    let inner = kernel.inner;
    out.fill(0.0);
    for o in 0..kernel.outer {
        let from = &values[o * kernel.count * inner..][..kernel.count * inner];
        let to = &mut out[o * kernel.rows * inner..][..kernel.rows * inner];
        for (from, &i) in from.chunks_exact(inner.max(1)).zip(index) {
            let to = &mut to[row(i) * inner..][..inner];
            to.iter_mut().zip(from).for_each(|(t, f)| *t += f);
        }
    }
}
