//! Reductions over any axes: sum, mean, max, min, argmax, argmin.

use super::{GradContext, Operation};
use crate::dtype::DType;
use crate::error::Result;
use crate::reference::RefTensor;
use crate::shape::{Shape, TensorType, View};
use crate::tensor::Tensor;

/// What a reduction computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum ReduceKind {
    /// `Σ x`.
    Sum,
    /// `Σ x / n`.
    Mean,
    /// The maximum.
    Max,
    /// The minimum.
    Min,
    /// The index of the first maximum, row-major over the reduced axes, as `u32`.
    ArgMax,
    /// The index of the first minimum, row-major over the reduced axes, as `u32`.
    ArgMin,
}

impl ReduceKind {
    /// All of them.
    pub const ALL: [ReduceKind; 6] =
        [ReduceKind::Sum, ReduceKind::Mean, ReduceKind::Max, ReduceKind::Min, ReduceKind::ArgMax, ReduceKind::ArgMin];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            ReduceKind::Sum => "sum",
            ReduceKind::Mean => "mean",
            ReduceKind::Max => "max",
            ReduceKind::Min => "min",
            ReduceKind::ArgMax => "argmax",
            ReduceKind::ArgMin => "argmin",
        }
    }
    /// Whether the result is an index (argmax and argmin).
    pub fn is_arg(self) -> bool {
        matches!(self, ReduceKind::ArgMax | ReduceKind::ArgMin)
    }
}

/// A reduction over some axes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Reduce {
    /// What it computes.
    pub kind: ReduceKind,
    /// The reduced axes, sorted.
    pub axes: Vec<usize>,
    /// Whether the reduced axes are kept with size 1.
    pub keepdim: bool,
}

impl Reduce {
    pub(crate) fn kept(&self, rank: usize) -> Vec<usize> {
        (0..rank).filter(|a| !self.axes.contains(a)).collect()
    }
    fn output_shape(&self, shape: &Shape, keepdim: bool) -> Shape {
        let sizes = shape.iter().enumerate();
        if keepdim {
            sizes.map(|(a, &n)| if self.axes.contains(&a) { 1 } else { n }).collect::<Vec<_>>().into()
        } else {
            self.kept(shape.rank()).iter().map(|&a| shape[a]).collect::<Vec<_>>().into()
        }
    }
    /// For each output element, the linear indices of the input elements that it reduces, in row-major order.
    fn groups(&self, shape: &Shape) -> Vec<Vec<usize>> {
        let order: Vec<usize> = self.kept(shape.rank()).into_iter().chain(self.axes.iter().copied()).collect();
        let view = View::dense(shape).permute(&order);
        let outer = self.output_shape(shape, false).elements();
        let inner: usize = self.axes.iter().map(|&a| shape[a]).product();
        (0..outer).map(|o| (0..inner).map(|i| view.index(o * inner + i)).collect()).collect()
    }
}

impl Operation for Reduce {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn attributes(&self) -> String {
        format!("axes={:?}{}", self.axes, if self.keepdim { " keepdim" } else { "" })
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<TensorType, String> {
        let [x] = inputs else { return Err(format!("takes one operand, but {} were given", inputs.len())) };
        if self.axes.iter().any(|&a| a >= x.shape.rank()) {
            return Err(format!("axes {:?} are out of range for shape {}", self.axes, x.shape));
        }
        if self.kind == ReduceKind::Mean && !x.dtype.is_float() {
            return Err(format!("takes f32 or f16, but the operand is {}; cast it first", x.dtype));
        }
        let needs_elements = !matches!(self.kind, ReduceKind::Sum);
        if needs_elements && self.axes.iter().any(|&a| x.shape[a] == 0) {
            return Err(format!(
                "the reduced axes of {} have no elements, and the {} of nothing is undefined",
                x.shape,
                self.name()
            ));
        }
        let dtype = if self.kind.is_arg() { DType::U32 } else { x.dtype };
        Ok(TensorType { shape: self.output_shape(&x.shape, self.keepdim), dtype })
    }

    fn grad<'g>(&self, cx: &GradContext<'_, 'g>) -> Vec<Option<Tensor<'g>>> {
        let x = cx.inputs[0];
        let shape = x.shape();
        let kept = self.output_shape(&shape, true);
        let expand = |t: Tensor<'g>| t.reshape(&kept).broadcast_to(&shape);
        let g = expand(cx.upstream);
        vec![match self.kind {
            ReduceKind::Sum => Some(g),
            ReduceKind::Mean => {
                let n: usize = self.axes.iter().map(|&a| shape[a]).product();
                Some(g * (1.0 / n as f64))
            }
            ReduceKind::Max | ReduceKind::Min => {
                // Counted in f32: f16 cannot represent the number of many equal elements.
                let winners = x.eq(expand(cx.output)).cast(DType::F32);
                let count = winners.sum_keepdim(&self.axes[..]);
                Some(g * (winners / count).cast(x.dtype()))
            }
            ReduceKind::ArgMax | ReduceKind::ArgMin => None,
        }]
    }

    fn reference(&self, inputs: &[&RefTensor], output: &TensorType) -> RefTensor {
        let x = inputs[0];
        let data = self.groups(&x.shape).into_iter().map(|group| {
            let values = group.iter().map(|&i| x.data[i]);
            let count = group.len() as f64;
            let first = |better: fn(f64, f64) -> bool| {
                let mut best = 0;
                for (k, value) in values.clone().enumerate() {
                    if better(value, x.data[group[best]]) {
                        best = k;
                    }
                }
                best as f64
            };
            match self.kind {
                ReduceKind::Sum => match x.dtype {
                    DType::U32 => f64::from(values.fold(0u32, |a, v| a.wrapping_add(v as u32))),
                    DType::I32 => f64::from(values.fold(0i32, |a, v| a.wrapping_add(v as i32))),
                    DType::F32 | DType::F16 => values.sum(),
                },
                ReduceKind::Mean => values.sum::<f64>() / count,
                ReduceKind::Max => values.fold(f64::NEG_INFINITY, f64::max),
                ReduceKind::Min => values.fold(f64::INFINITY, f64::min),
                ReduceKind::ArgMax => first(|a, b| a > b),
                ReduceKind::ArgMin => first(|a, b| a < b),
            }
        });
        RefTensor { shape: output.shape.clone(), dtype: output.dtype, data: data.collect() }
    }

    fn error_scale(&self, inputs: &[&RefTensor], value: &RefTensor) -> Vec<f64> {
        let x = inputs[0];
        let sum_like = matches!(self.kind, ReduceKind::Sum | ReduceKind::Mean) && value.dtype.is_float();
        if !sum_like {
            return vec![0.0; value.data.len()];
        }
        let groups = self.groups(&x.shape);
        groups
            .iter()
            .map(|group| {
                let terms: f64 = group.iter().map(|&i| x.data[i].abs()).sum();
                let mean = if self.kind == ReduceKind::Mean { group.len() as f64 } else { 1.0 };
                super::matmul::accumulation_error(group.len()) * terms / mean
            })
            .collect()
    }
}
