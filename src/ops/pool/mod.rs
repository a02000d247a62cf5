//! Pooling over windows of the spatial axes, and what its gradients need; 1-D and 2-D are one operation. For a plane
//! (one channel of one sample) with windows `W_o`:
//! - max `y[o] = max_{i ∈ W_o} x[i]`, and argmax: the index in the plane of the first maximum. A NaN counts as larger
//!   than any number;
//! - put `(g, places) → x[i] = Σ_{o: places[o] = i} g[o]`, the adjoint of taking the elements at an argmax;
//! - average `y[o] = Σ_{i ∈ W_o} x[i] / d_o`, and its adjoint `x[i] = Σ_{o: i ∈ W_o} g[o] / d_o`.
//!
//! The two gradients gather from the windows around an element. They need no atomics, so results are reproducible.

mod windows;

pub use windows::{AxisWindows, PoolGeometry, PoolOptions, Windows};

use super::matmul::accumulation_error;
use super::{GradContext, Op, Operation};
use crate::dtype::DType;
use crate::error::Result;
use crate::reference::RefTensor;
use crate::shape::{Shape, TensorType};
use crate::tensor::Tensor;

/// One of the pooling operations.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum PoolKind {
    /// `x → y`: the maximum of each window.
    Max,
    /// `x → places`, `u32`: the index of that maximum in its plane.
    ArgMax,
    /// `(g, places) → x`; holds the spatial size of `x`.
    Put(Vec<usize>),
    /// `x → y`: the average of each window.
    Average,
    /// `g → x`; holds the spatial size of `x`.
    AverageGrad(Vec<usize>),
}

/// A pooling operation or one of its gradients.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Pool {
    /// Which operation.
    pub kind: PoolKind,
    /// The windows.
    pub windows: Windows,
}

impl Pool {
    /// The sizes, from the first operand's shape, or what is wrong with it.
    pub(crate) fn geometry(&self, a: &Shape) -> Result<PoolGeometry, String> {
        let average = matches!(self.kind, PoolKind::Average | PoolKind::AverageGrad(_));
        match &self.kind {
            PoolKind::Put(size) | PoolKind::AverageGrad(size) => {
                if a.rank() != size.len() + 2 {
                    return Err(format!("an input of size {size:?} does not match a gradient of shape {a}"));
                }
                let geometry = self.windows.geometry(&[&a[..2], size].concat().into(), average)?;
                if a[2..] != geometry.output_shape(a.rank()) {
                    return Err(format!("a gradient of shape {a} does not match an input of size {size:?}"));
                }
                Ok(geometry)
            }
            _ => self.windows.geometry(a, average),
        }
    }
    fn like(&self, kind: PoolKind) -> Op {
        Op::Pool(Pool { kind, windows: self.windows.clone() })
    }
}

/// The index, in the plane, of the first maximum of a window; NaN is larger than any number.
fn first_largest(plane: &[f64], window: impl Iterator<Item = usize>) -> usize {
    window
        .reduce(|best, i| if plane[i] > plane[best] || (plane[i].is_nan() && !plane[best].is_nan()) { i } else { best })
        .unwrap_or(0)
}

impl Operation for Pool {
    fn name(&self) -> &'static str {
        match self.kind {
            PoolKind::Max => "max_pool",
            PoolKind::ArgMax => "max_pool_indices",
            PoolKind::Put(_) => "max_pool_grad",
            PoolKind::Average => "avg_pool",
            PoolKind::AverageGrad(_) => "avg_pool_grad",
        }
    }

    fn attributes(&self) -> String {
        match &self.windows {
            Windows::Adaptive(size) => format!("adaptive output_size={size:?}"),
            Windows::Sliding(o) => {
                let stride = o.stride.as_ref().unwrap_or(&o.kernel);
                format!("kernel={:?} stride={stride:?} padding={:?} dilation={:?}", o.kernel, o.padding, o.dilation)
            }
        }
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<TensorType, String> {
        let wanted = if matches!(self.kind, PoolKind::Put(_)) { 2 } else { 1 };
        if inputs.len() != wanted {
            return Err(format!("takes {wanted} operands, but {} were given", inputs.len()));
        }
        let a = &inputs[0];
        if !a.dtype.is_float() {
            return Err(format!("takes f32 or f16, but the operand is {}", a.dtype));
        }
        if let Some(places) = inputs.get(1)
            && *places != TensorType::new(&a.shape, DType::U32)
        {
            return Err(format!("the places must be u32{} to go with {a}, but are {places}", a.shape));
        }
        let geometry = self.geometry(&a.shape)?;
        let dtype = if self.kind == PoolKind::ArgMax { DType::U32 } else { a.dtype };
        let spatial = match &self.kind {
            PoolKind::Put(size) | PoolKind::AverageGrad(size) => size.clone(),
            _ => geometry.output_shape(a.shape.rank()),
        };
        Ok(TensorType::new([&a.shape[..2], &spatial].concat(), dtype))
    }

    fn grad<'g>(&self, cx: &GradContext<'_, 'g>) -> Vec<Option<Tensor<'g>>> {
        let (a, g) = (cx.inputs[0], cx.upstream);
        let graph = g.graph();
        let size = || a.shape()[2..].to_vec();
        match &self.kind {
            PoolKind::Max => {
                let places = graph.apply(self.like(PoolKind::ArgMax), &[a]);
                vec![Some(graph.apply(self.like(PoolKind::Put(size())), &[g, places]))]
            }
            PoolKind::ArgMax => vec![None],
            PoolKind::Put(_) => {
                let places = cx.inputs[1];
                let taken = g.flatten(2).gather(2, places.flatten(2));
                vec![Some(taken.reshape(a.shape())), None]
            }
            PoolKind::Average => vec![Some(graph.apply(self.like(PoolKind::AverageGrad(size())), &[g]))],
            PoolKind::AverageGrad(_) => vec![Some(graph.apply(self.like(PoolKind::Average), &[g]))],
        }
    }

    fn reference(&self, inputs: &[&RefTensor], output: &TensorType) -> RefTensor {
        let Ok(g) = self.geometry(&inputs[0].shape) else { unreachable!("checked by infer") };
        let (m, n) = (g.input_size(), g.output_size());
        let mut out = RefTensor::from_fn(&output.shape, output.dtype, |_| 0.0);
        let width = g.axes[1].output;
        for (plane, o) in (0..g.planes).flat_map(|plane| (0..n).map(move |o| (plane, o))) {
            let (oy, ox) = (o / width, o % width);
            let input = |plane: usize| &inputs[0].data[plane * m..][..m];
            match &self.kind {
                PoolKind::Max => {
                    let x = input(plane);
                    out.data[plane * n + o] = x[first_largest(x, g.window(oy, ox))];
                }
                PoolKind::ArgMax => out.data[plane * n + o] = first_largest(input(plane), g.window(oy, ox)) as f64,
                PoolKind::Average => {
                    let x = input(plane);
                    let sum: f64 = g.window(oy, ox).map(|i| x[i]).sum();
                    out.data[plane * n + o] = sum / g.divisor(oy, ox) as f64;
                }
                PoolKind::Put(_) => {
                    let place = inputs[1].data[plane * n + o] as usize;
                    // A place outside of the window cannot be the maximum's index: it gets no gradient.
                    if g.window(oy, ox).any(|i| i == place) {
                        out.data[plane * m + place] += inputs[0].data[plane * n + o];
                    }
                }
                PoolKind::AverageGrad(_) => {
                    let each = inputs[0].data[plane * n + o] / g.divisor(oy, ox) as f64;
                    g.window(oy, ox).for_each(|i| out.data[plane * m + i] += each);
                }
            }
        }
        out
    }

    fn error_scale(&self, inputs: &[&RefTensor], value: &RefTensor) -> Vec<f64> {
        if matches!(self.kind, PoolKind::Max | PoolKind::ArgMax) {
            return vec![0.0; value.data.len()];
        }
        let Ok(g) = self.geometry(&inputs[0].shape) else { unreachable!("checked by infer") };
        let output = TensorType::new(&value.shape, value.dtype);
        let magnitude = inputs[0].abs();
        let operands: Vec<&RefTensor> = std::iter::once(&magnitude).chain(inputs[1..].iter().copied()).collect();
        // The divisions round, too.
        let scale = 1.0 + accumulation_error(g.window_size());
        self.reference(&operands, &output).data.iter().map(|m| scale * m).collect()
    }
}
