//! Pooling and its gradients; threads process whole planes.

use super::CpuContext;
use super::threads::{MOST, parts, split};
use super::words::{floats, floats_mut};
use crate::kernels::pool::{PoolKernel, PoolPass};
use crate::ops::pool::PoolGeometry;

/// Runs the kernel.
pub(super) fn run(kernel: &PoolKernel, cx: &mut CpuContext<'_>) {
    let g = &kernel.geometry;
    let flops = g.planes * g.output_size() * g.window_size();
    let parts = parts(flops, MOST.min(g.planes));
    let (m, n) = (g.input_size(), g.output_size());
    match kernel.pass {
        PoolPass::Max { value, place } => maxima(g, value, place, parts, flops, cx),
        PoolPass::Average => cx.dense(|[x], y, _| {
            let x = floats(x);
            split(floats_mut(y), n, parts, flops, &|first, y: &mut [f32]| {
                y.chunks_exact_mut(n).zip(x[first * m..].chunks_exact(m)).for_each(|(y, x)| averages(g, x, y));
            });
        }),
        PoolPass::AverageGrad => cx.dense(|[dy], dx, _| {
            let dy = floats(dy);
            split(floats_mut(dx), m, parts, flops, &|first, dx: &mut [f32]| {
                for (dx, dy) in dx.chunks_exact_mut(m).zip(dy[first * n..].chunks_exact(n)) {
                    dx.fill(0.0);
                    each_window(g, |o, oy, ox| {
                        let each = dy[o] / g.divisor(oy, ox) as f32;
                        g.window(oy, ox).for_each(|i| dx[i] += each);
                    });
                }
            });
        }),
        PoolPass::Put => cx.dense(|[dy, places], dx, _| {
            let dy = floats(dy);
            split(floats_mut(dx), m, parts, flops, &|first, dx: &mut [f32]| {
                let windows = dy[first * n..].chunks_exact(n).zip(places[first * n..].chunks_exact(n));
                for (dx, (dy, places)) in dx.chunks_exact_mut(m).zip(windows) {
                    dx.fill(0.0);
                    each_window(g, |o, oy, ox| {
                        let place = places[o] as usize;
                        if covers(g, oy, ox, place) {
                            dx[place] += dy[o];
                        }
                    });
                }
            });
        }),
    }
}

fn each_window(g: &PoolGeometry, mut f: impl FnMut(usize, usize, usize)) {
    let width = g.axes[1].output;
    for oy in 0..g.axes[0].output {
        (0..width).for_each(|ox| f(oy * width + ox, oy, ox));
    }
}

/// Whether window `(oy, ox)` covers the element at `place`. Indices are an operand, so they may be invalid.
fn covers(g: &PoolGeometry, oy: usize, ox: usize, place: usize) -> bool {
    let (y, x) = (place / g.axes[1].input, place % g.axes[1].input);
    y < g.axes[0].input
        && g.axes[0].covering(g.adaptive, y).contains(&oy)
        && g.axes[1].covering(g.adaptive, x).contains(&ox)
}

fn averages(g: &PoolGeometry, x: &[f32], y: &mut [f32]) {
    each_window(g, |o, oy, ox| {
        let sum: f64 = g.window(oy, ox).map(|i| f64::from(x[i])).sum();
        y[o] = (sum / g.divisor(oy, ox) as f64) as f32;
    });
}

/// Calls `store(window, place, value)` with the maximum of each window of each plane; NaN is the maximum if there is
/// one.
#[inline(always)]
fn largest(g: &PoolGeometry, x: &[f32], mut store: impl FnMut(usize, usize, f32)) {
    for (plane, x) in x.chunks_exact(g.input_size()).enumerate() {
        each_window(g, |o, oy, ox| {
            let better = |best: usize, i: usize| x[i] > x[best] || (x[i].is_nan() && !x[best].is_nan());
            let best = g.window(oy, ox).reduce(|best, i| if better(best, i) { i } else { best }).unwrap_or(0);
            store(plane * g.output_size() + o, best, x[best]);
        });
    }
}

/// Max pooling: writes the maxima, their indices, or both, to the launch's outputs in this order.
fn maxima(g: &PoolGeometry, value: bool, place: bool, parts: usize, flops: usize, cx: &mut CpuContext<'_>) {
    let (m, n) = (g.input_size(), g.output_size());
    if !value {
        return cx.dense(|[x], places, _| {
            let x = floats(x);
            split(places, n, parts, flops, &|first, places: &mut [u32]| {
                largest(g, &x[first * m..][..places.len() / n * m], |o, best, _| places[o] = best as u32);
            });
        });
    }
    // The second output's buffer is taken out of the context while `dense` borrows the context.
    let second = place.then(|| (cx.launch.outputs[1].buffer.index(), cx.launch.outputs[1].view.offset));
    let mut taken = second.map(|(at, _)| std::mem::take(&mut cx.buffers[at]));
    let offset = second.map_or(0, |(_, offset)| offset);
    cx.dense(|[x], y, _| {
        let (x, y) = (floats(x), floats_mut(y));
        match &mut taken {
            None => split(y, n, parts, flops, &|first, y: &mut [f32]| {
                largest(g, &x[first * m..][..y.len() / n * m], |o, _, value| y[o] = value);
            }),
            Some(places) => largest(g, x, |o, best, value| {
                y[o] = value;
                places[offset + o] = best as u32;
            }),
        }
    });
    if let (Some((at, _)), Some(places)) = (second, taken) {
        cx.buffers[at] = places;
    }
}
