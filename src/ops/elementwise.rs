//! Element-wise operations: each output element depends on the input elements at the same index.
//!
//! A row of [`table`](crate::ops::table) says what each one computes. Operands have equal shapes: [`Tensor`]'s
//! methods insert broadcasts, which are movement operations.

use super::table::integer::Int;
use super::table::{Binary, Compare, Unary};
use super::{GradContext, Operation};
use crate::dtype::DType;
use crate::error::Result;
use crate::reference::RefTensor;
use crate::shape::TensorType;
use crate::tensor::Tensor;

/// An element-wise operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Elementwise {
    /// A row of the unary table.
    Unary(Unary),
    /// A row of the binary table.
    Binary(Binary),
    /// A comparison; the result is `u32`.
    Compare(Compare),
    /// `condition ≠ 0 ? a : b`.
    Select,
    /// Conversion to another dtype.
    Cast(DType),
}

/// Evaluates an integer operation on integers that the `f64` values hold exactly.
fn on_integers(dtype: DType, values: &[f64], u: impl Fn(&[u32]) -> u32, i: impl Fn(&[i32]) -> i32) -> f64 {
    match dtype {
        DType::I32 => f64::from(i(&values.iter().map(|&x| x as i32).collect::<Vec<_>>())),
        _ => f64::from(u(&values.iter().map(|&x| x as u32).collect::<Vec<_>>())),
    }
}

impl Operation for Elementwise {
    fn name(&self) -> &'static str {
        match self {
            Elementwise::Unary(op) => op.row().name,
            Elementwise::Binary(op) => op.row().name,
            Elementwise::Compare(op) => op.name(),
            Elementwise::Select => "select",
            Elementwise::Cast(_) => "cast",
        }
    }

    fn attributes(&self) -> String {
        match self {
            Elementwise::Cast(dtype) => dtype.to_string(),
            _ => String::new(),
        }
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<TensorType, String> {
        let arity = match self {
            Elementwise::Unary(_) | Elementwise::Cast(_) => 1,
            Elementwise::Binary(_) | Elementwise::Compare(_) => 2,
            Elementwise::Select => 3,
        };
        if inputs.len() != arity {
            return Err(format!("takes {arity} operands, but {} were given", inputs.len()));
        }
        if let Some(other) = inputs.iter().find(|t| t.shape != inputs[0].shape) {
            return Err(format!("shapes {} and {} differ", inputs[0].shape, other.shape));
        }
        let (domain, values) = match self {
            Elementwise::Unary(op) => (Some(op.row().domain), inputs),
            Elementwise::Binary(op) => (Some(op.row().domain), inputs),
            Elementwise::Select => (None, &inputs[1..]),
            _ => (None, inputs),
        };
        let dtype = values[0].dtype;
        if let Some(other) = values.iter().find(|t| t.dtype != dtype) {
            return Err(format!("dtypes {dtype} and {} differ; cast one of them", other.dtype));
        }
        if let Some(domain) = domain.filter(|d| !d.contains(dtype)) {
            return Err(format!("takes {}, but the operand is {dtype}", domain.describe()));
        }
        let dtype = match self {
            Elementwise::Compare(_) => DType::U32,
            Elementwise::Select if inputs[0].dtype != DType::U32 => {
                return Err(format!("the condition must be u32 (a comparison's result), but is {}", inputs[0].dtype));
            }
            Elementwise::Cast(to) => *to,
            _ => dtype,
        };
        Ok(TensorType { shape: inputs[0].shape.clone(), dtype })
    }

    fn grad<'g>(&self, cx: &GradContext<'_, 'g>) -> Vec<Option<Tensor<'g>>> {
        let (inputs, y, g) = (cx.inputs, cx.output, cx.upstream);
        match self {
            Elementwise::Unary(op) => vec![(op.row().grad)(inputs[0], y, g)],
            Elementwise::Binary(op) => (op.row().grad)(inputs[0], inputs[1], y, g).to_vec(),
            Elementwise::Compare(_) => vec![None, None],
            Elementwise::Select => {
                vec![
                    None,
                    cx.wanted[1].then(|| inputs[0].select(g, 0.0)),
                    cx.wanted[2].then(|| inputs[0].select(0.0, g)),
                ]
            }
            Elementwise::Cast(to) => {
                let from = inputs[0].dtype();
                vec![(from.is_float() && to.is_float()).then(|| g.cast(from))]
            }
        }
    }

    fn reference(&self, inputs: &[&RefTensor], output: &TensorType) -> RefTensor {
        let at = |k: usize, i: usize| inputs[k].data[i];
        let dtype = inputs[0].dtype;
        let float = dtype.is_float();
        RefTensor::from_fn(&output.shape, output.dtype, |i| match self {
            Elementwise::Unary(op) if float => (op.row().f64)(at(0, i)),
            Elementwise::Unary(op) => {
                on_integers(dtype, &[at(0, i)], |v| Int::unary(*op, v[0]), |v| Int::unary(*op, v[0]))
            }
            Elementwise::Binary(op) if float => (op.row().f64)(at(0, i), at(1, i)),
            Elementwise::Binary(op) => on_integers(
                dtype,
                &[at(0, i), at(1, i)],
                |v| Int::binary(*op, v[0], v[1]),
                |v| Int::binary(*op, v[0], v[1]),
            ),
            Elementwise::Compare(op) => f64::from(u8::from(op.holds(at(0, i), at(1, i)))),
            Elementwise::Select => at(if at(0, i) != 0.0 { 1 } else { 2 }, i),
            Elementwise::Cast(DType::U32) if dtype == DType::I32 => f64::from(at(0, i) as i32 as u32),
            Elementwise::Cast(DType::I32) if dtype == DType::U32 => f64::from(at(0, i) as u32 as i32),
            Elementwise::Cast(DType::U32) => f64::from(at(0, i) as u32),
            Elementwise::Cast(DType::I32) => f64::from(at(0, i) as i32),
            Elementwise::Cast(DType::F16) => half::f16::from_f64(at(0, i)).to_f64(),
            Elementwise::Cast(DType::F32) => at(0, i),
        })
    }

    fn error_scale(&self, inputs: &[&RefTensor], value: &RefTensor) -> Vec<f64> {
        let rounding = |y: f64| if value.dtype == DType::F16 { y.abs() } else { 0.0 };
        if !value.dtype.is_float() {
            return vec![0.0; value.data.len()];
        }
        let each = |f: &dyn Fn(usize, f64) -> f64| {
            value.data.iter().enumerate().map(|(i, &y)| f(i, y) + rounding(y)).collect()
        };
        match self {
            Elementwise::Unary(op) => each(&|i, y| op.error(inputs[0].data[i], y)),
            Elementwise::Binary(op) => each(&|i, y| op.error(inputs[0].data[i], inputs[1].data[i], y)),
            Elementwise::Cast(_) if !inputs[0].dtype.is_float() => each(&|_, y| y.abs()),
            Elementwise::Compare(_) | Elementwise::Select | Elementwise::Cast(_) => each(&|_, _| 0.0),
        }
    }
}
