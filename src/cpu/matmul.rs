//! Matrix products.

use super::CpuContext;
use super::context::{floats, floats_mut, sized};
use super::gemm::{Layout, gemm};
use super::strided::Walk;
use crate::dtype::DType;
use crate::ops::matmul::MatmulKernel;
use crate::plan::Operand;
use crate::shape::View;
use half::f16;

/// Runs the kernel.
pub fn run(kernel: &MatmulKernel, cx: &mut CpuContext<'_>) {
    let (inputs, output) = (&cx.launch.inputs, &cx.launch.outputs[0]);
    let mut target = std::mem::take(&mut cx.buffers[output.buffer.index()]);
    let [wide_a, wide_b, wide_c] = &mut cx.scratch.panels;
    let a = Side::new(&inputs[0], cx.buffers, wide_a);
    let b = Side::new(&inputs[1], cx.buffers, wide_b);
    let elements = output.view.shape.elements();
    if output.dtype == DType::F16 {
        let c = sized(wide_c, elements);
        product(kernel, &a, &b, c);
        let halves: &mut [f16] = bytemuck::cast_slice_mut(&mut target);
        let halves = &mut halves[output.view.offset..][..elements];
        halves.iter_mut().zip(c).for_each(|(h, &mut x)| *h = f16::from_f32(x));
    } else {
        product(kernel, &a, &b, &mut floats_mut(&mut target)[output.view.offset..][..elements]);
    }
    cx.buffers[output.buffer.index()] = target;
}

/// An operand in `f32`.
struct Side<'a> {
    data: &'a [f32],
    strides: Strides<'a>,
    offset: usize,
}

enum Strides<'a> {
    View(&'a View),
    /// Widened from `f16`: dense, of this shape.
    Dense(View),
}

impl<'a> Side<'a> {
    fn new(operand: &'a Operand, buffers: &'a [Vec<u32>], wide: &'a mut Vec<f32>) -> Self {
        let words = &buffers[operand.buffer.index()];
        if operand.dtype == DType::F16 {
            let wide = sized(wide, operand.view.shape.elements());
            Walk::new(&operand.view).load(words, DType::F16, 0, bytemuck::cast_slice_mut(wide));
            let view = View::dense(&operand.view.shape);
            return Side { data: wide, strides: Strides::Dense(view), offset: 0 };
        }
        Side { data: floats(words), strides: Strides::View(&operand.view), offset: operand.view.offset }
    }
    fn view(&self) -> &View {
        match &self.strides {
            Strides::View(view) => view,
            Strides::Dense(view) => view,
        }
    }
    /// The matrix of a batch index.
    fn layout(&self, batch: usize) -> Layout {
        let view = self.view();
        let axes = view.shape.rank() - 2;
        let (mut rest, mut offset) = (batch, self.offset as isize);
        for (&size, &stride) in view.shape[..axes].iter().zip(&view.strides).rev() {
            offset += (rest % size) as isize * stride;
            rest /= size;
        }
        Layout { offset: offset as usize, rows: view.strides[axes], columns: view.strides[axes + 1] }
    }
    /// Whether all batch indices share one matrix.
    fn is_shared(&self) -> bool {
        let view = self.view();
        let axes = view.shape.rank() - 2;
        view.shape[..axes].iter().zip(&view.strides).all(|(&size, &stride)| size == 1 || stride == 0)
    }
    /// Whether the batch's matrices lie one below the other, as one tall matrix.
    fn is_stacked(&self) -> bool {
        let view = self.view();
        let axes = view.shape.rank() - 2;
        (0..axes).all(|k| view.shape[k] == 1 || view.strides[k] == view.strides[k + 1] * view.shape[k + 1] as isize)
    }
}

fn product(kernel: &MatmulKernel, a: &Side<'_>, b: &Side<'_>, c: &mut [f32]) {
    let (m, n, k, batch) = (kernel.m, kernel.n, kernel.k, kernel.batch.elements());
    if batch > 1 && b.is_shared() && a.is_stacked() {
        gemm([batch * m, k, n], (c, Layout::dense(n)), false, (a.data, a.layout(0)), (b.data, b.layout(0)));
        return;
    }
    for index in 0..batch {
        let lc = Layout::dense(n).at(index * m * n);
        gemm([m, k, n], (&mut *c, lc), false, (a.data, a.layout(index)), (b.data, b.layout(index)));
    }
}
