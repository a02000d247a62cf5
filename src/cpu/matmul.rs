//! Matmuls.

use super::CpuContext;
use super::epilogue::Epilogue;
use super::gemm::{Layout, gemm};
use super::simd::lane_count;
use super::strided::Walk;
use super::threads::{self, MOST, parts, split};
use super::tiles::{Packed, PackedMatmul, Rows};
use super::words::{floats, floats_mut, sized};
use crate::dtype::DType;
use crate::kernels::Operand;
use crate::kernels::matmul::MatmulKernel;
use crate::shape::View;
use half::f16;

/// Runs the kernel.
pub(super) fn run(kernel: &MatmulKernel, cx: &mut CpuContext<'_>) {
    let (output, more) = (&cx.launch.outputs[0], &cx.launch.inputs[2..]);
    let mut target = std::mem::take(&mut cx.buffers[output.buffer.index()]);
    let elements = output.view.shape.elements();
    let epilogue = Epilogue::new(kernel.epilogue.as_ref(), more, output, cx.buffers);
    let separate = epilogue.is_none();
    let epilogue = epilogue.unwrap_or(Epilogue::None);
    if output.dtype == DType::F16 {
        let mut wide = std::mem::take(&mut cx.scratch.panels[2]);
        let c = sized(&mut wide, elements);
        into(kernel, &cx.launch.inputs, cx.buffers, &mut cx.scratch.panels, c, epilogue);
        let halves: &mut [f16] = bytemuck::cast_slice_mut(&mut target);
        let halves = &mut halves[output.view.offset..][..elements];
        halves.iter_mut().zip(c).for_each(|(h, &mut x)| *h = f16::from_f32(x));
        cx.scratch.panels[2] = wide;
    } else {
        let c = &mut floats_mut(&mut target)[output.view.offset..][..elements];
        into(kernel, &cx.launch.inputs, cx.buffers, &mut cx.scratch.panels, c, epilogue);
    }
    cx.buffers[output.buffer.index()] = target;
    if let Some(epilogue) = kernel.epilogue.as_ref().filter(|_| separate) {
        super::elementwise::epilogue(epilogue, more, cx);
    }
    if kernel.row_sums {
        super::row_sums::matmul(kernel, cx);
    }
}

/// Computes the result as contiguous `f32`, and applies the epilogue to each block of whole rows as soon as it is
/// computed.
pub(super) fn into(
    kernel: &MatmulKernel,
    inputs: &[Operand],
    buffers: &[Vec<u32>],
    panels: &mut [Vec<f32>; 3],
    c: &mut [f32],
    epilogue: Epilogue<'_>,
) {
    let [wide_a, wide_b, packed] = panels;
    let a = Matrices::new(&inputs[0], buffers, wide_a);
    let b = Matrices::new(&inputs[1], buffers, wide_b);
    matmul(kernel, &a, &b, c, packed, epilogue);
}

/// An operand in `f32`, widened if need be.
struct Matrices<'a> {
    data: &'a [f32],
    strides: Strides<'a>,
    offset: usize,
}

enum Strides<'a> {
    View(&'a View),
    /// Widened from `f16` into contiguous memory, with this view.
    Dense(View),
}

impl<'a> Matrices<'a> {
    fn new(operand: &'a Operand, buffers: &'a [Vec<u32>], wide: &'a mut Vec<f32>) -> Self {
        let words = &buffers[operand.buffer.index()];
        if operand.dtype == DType::F16 {
            let wide = sized(wide, operand.view.shape.elements());
            Walk::new(&operand.view).load(words, DType::F16, 0, bytemuck::cast_slice_mut(wide));
            let view = View::dense(&operand.view.shape);
            return Matrices { data: wide, strides: Strides::Dense(view), offset: 0 };
        }
        Matrices { data: floats(words), strides: Strides::View(&operand.view), offset: operand.view.offset }
    }
    fn view(&self) -> &View {
        match &self.strides {
            Strides::View(view) => view,
            Strides::Dense(view) => view,
        }
    }
    /// The layout of the matrix with this batch index.
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
    /// Whether the same matrix is used for the whole batch: all batch strides are 0.
    fn is_shared(&self) -> bool {
        let view = self.view();
        let axes = view.shape.rank() - 2;
        view.shape[..axes].iter().zip(&view.strides).all(|(&size, &stride)| size == 1 || stride == 0)
    }
    /// Whether the batch axes can be merged with the row axis: the batch is then one matrix with more rows.
    fn is_stacked(&self) -> bool {
        let view = self.view();
        let axes = view.shape.rank() - 2;
        (0..axes).all(|k| view.shape[k] == 1 || view.strides[k] == view.strides[k + 1] * view.shape[k + 1] as isize)
    }
}

/// The most FLOPs for which [`tiles`](super::tiles) is used. While everything fits in the L2 cache it is faster than
/// `gemm` if an axis is short, and as fast otherwise.
const MAX_TILES_FLOPS: usize = 1 << 22;

/// The number of parts that the rows of a large matmul are split into: at most one per thread, since each part packs
/// the right operand again.
fn row_parts(m: usize, n: usize, flops: usize) -> usize {
    parts(flops, MOST).min(m / min_rows(n)).min(threads::count()).max(1)
}

/// The minimum number of rows per part. `gemm` sums in blocks of `k` whose size does not depend on the number of rows,
/// except for matrices of at most 64 rows and columns. With this minimum the number of parts does not change a bit of
/// the result.
fn min_rows(n: usize) -> usize {
    if n > 64 { 32 } else { 128 }
}

fn matmul(
    kernel: &MatmulKernel,
    a: &Matrices<'_>,
    b: &Matrices<'_>,
    c: &mut [f32],
    packed: &mut Vec<f32>,
    epilogue: Epilogue<'_>,
) {
    let (m, n, k, batch) = (kernel.m, kernel.n, kernel.k, kernel.batch.elements());
    if c.is_empty() {
        return;
    }
    let single = batch == 1 || (b.is_shared() && a.is_stacked());
    if !single {
        let flops = work(m, n, k) * batch;
        split(c, m * n, parts(flops, batch.min(MOST)), flops, &|first, block| {
            for (i, c) in block.chunks_exact_mut(m * n).enumerate() {
                let (index, dense) = (first + i, Layout::dense(n));
                gemm([m, k, n], (c, dense), false, (a.data, a.layout(index)), (b.data, b.layout(index)));
            }
            epilogue.finish(first * m * n, block);
        });
        return;
    }
    let (m, la, lb, flops) = (m * batch, a.layout(0), b.layout(0), work(m * batch, n, k));
    let from_row = |first: usize| la.at((la.offset as isize + first as isize * la.rows) as usize);
    let rows = match (usize::try_from(la.rows), usize::try_from(la.columns)) {
        (Ok(stride), Ok(1)) => Some(Rows::Dense { stride }),
        (Ok(1), Ok(stride)) => Some(Rows::Transposed { stride }),
        _ => None,
    };
    match rows.filter(|_| 2 * m * n * k <= MAX_TILES_FLOPS && k > 0 && lane_count() > 1) {
        Some(rows) => {
            let b = Packed::new(k, n, b.data, lb, packed);
            split(c, n, parts(flops, (m / 16).min(MOST)), flops, &|first, block| {
                let (a, m) = (&a.data[from_row(first).offset..], block.len() / n);
                PackedMatmul { m, a, rows, b, c: block, ldc: n, accumulate: false }.run();
                epilogue.finish(first * n, block);
            });
        }
        None => {
            split(c, n, row_parts(m, n, flops), flops, &|first, block| {
                let dense = (&mut *block, Layout::dense(n));
                gemm([dense.0.len() / n, k, n], dense, false, (a.data, from_row(first)), (b.data, lb));
                epilogue.finish(first * n, block);
            });
        }
    }
}

/// FLOPs, with the last vector of a row counted as full.
fn work(m: usize, n: usize, k: usize) -> usize {
    2 * m * k * n.next_multiple_of(lane_count())
}

#[cfg(test)]
mod tests {
    use super::super::threads::region;
    use super::*;

    /// The number of parts depends on the machine; the result must not.
    #[test]
    fn rows_in_parts_are_the_same_bits() {
        for (n, k) in [(10, 1000), (64, 600), (65, 1000), (300, 1030)] {
            let m = 4 * min_rows(n) + 1;
            let x: Vec<f32> = (0..m * k).map(|i| (i as f32 * 0.7).sin()).collect();
            let y: Vec<f32> = (0..k * n).map(|i| (i as f32 * 0.3).sin()).collect();
            let in_parts = |rows: usize| {
                let mut c = vec![0.0; m * n];
                for (first, c) in c.chunks_mut(rows * n).enumerate() {
                    let (a, b) = (Layout::dense(k).at(first * rows * k), Layout::dense(n));
                    gemm([c.len() / n, k, n], (c, b), false, (&x, a), (&y, b));
                }
                c
            };
            let whole = in_parts(m);
            // Of four parts the last one has fewer rows than `min_rows`.
            for parts in [2, 3, 4] {
                assert!(in_parts(m.div_ceil(parts)) == whole, "{n} {k} {parts}");
            }
        }
    }

    /// Small and large matmuls and batches, transposed or not, are correct, and bitwise identical with several threads.
    #[test]
    fn threads_do_not_change_a_bit() {
        let cases =
            [(1, 100, 40, 100), (1, 100, 100, 10), (1, 3, 5, 7), (1, 300, 150, 290), (5, 60, 60, 60), (2, 1, 9, 33)];
        for (batch, m, k, n) in cases {
            let view = |rows: usize, columns: usize, transposed: bool| {
                let shape = if transposed { [batch, columns, rows] } else { [batch, rows, columns] };
                let view = View::dense(shape);
                if transposed { view.permute(&[0, 2, 1]) } else { view }
            };
            let data =
                |len: usize, seed: f32| -> Vec<f32> { (0..len).map(|i| (i as f32 * 0.7 + seed).sin()).collect() };
            let (x, y) = (data(batch * m * k, 0.1), data(batch * k * n, 0.2));
            for (ta, tb) in [(false, false), (true, false), (false, true), (true, true)] {
                let (va, vb) = (view(m, k, ta), view(k, n, tb));
                let a = Matrices { data: &x, strides: Strides::View(&va), offset: 0 };
                let b = Matrices { data: &y, strides: Strides::View(&vb), offset: 0 };
                let kernel = MatmulKernel { batch: [batch].into(), m, n, k, epilogue: None, row_sums: false };
                let run = || {
                    let mut c = vec![f32::NAN; batch * m * n];
                    matmul(&kernel, &a, &b, &mut c, &mut Vec::new(), Epilogue::None);
                    c
                };
                let (outside, inside) = (run(), region(run));
                assert!(outside == inside, "{batch} {m} {k} {n}");
                for (index, &c) in outside.iter().enumerate().step_by(7) {
                    let (i, j, of) = (index / n % m, index % n, index / (m * n));
                    let term = |p: usize| x[va.index((of * m + i) * k + p)] * y[vb.index((of * k + p) * n + j)];
                    let sum: f32 = (0..k).map(term).sum();
                    assert!((c - sum).abs() < 1e-3, "{batch} {m} {k} {n}: {c} {sum}");
                }
            }
        }
    }
}
