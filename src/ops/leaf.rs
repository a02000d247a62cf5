//! Leaves: the nodes that a graph's values come from.

use super::{GradContext, Operation};
use crate::array::Array;
use crate::dtype::DType;
use crate::error::Result;
use crate::reference::RefTensor;
use crate::shape::TensorType;
use crate::tensor::Tensor;
use crate::variable::Variable;
use half::f16;
use std::sync::Arc;

/// A node without operands. Its type is stored in the node.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub enum Leaf {
    /// Fixed host data; saved as an array next to the graph.
    #[serde(skip)]
    Constant(Arc<Array>),
    /// The same value for every element, as the bits of an `f64`.
    Fill(u64),
    /// A value given to each run.
    Input {
        /// Its name.
        name: String,
    },
    /// A variable's value at the start of the run; saved as an array next to the graph.
    #[serde(skip)]
    Variable(Variable),
    /// The index of the run.
    Step,
    /// The index along an axis.
    Iota {
        /// The axis.
        axis: usize,
    },
    /// The result of a call that failed; the graph holds the error.
    Poison,
}

/// Checks that an integer dtype can represent the value: a silently truncated bound or factor would give wrong
/// results.
pub(crate) fn check_fill(value: f64, dtype: DType) -> Result<(), String> {
    let (low, high) = match dtype {
        DType::U32 => (0.0, f64::from(u32::MAX)),
        DType::I32 => (f64::from(i32::MIN), f64::from(i32::MAX)),
        DType::F32 | DType::F16 => return Ok(()),
    };
    if value.fract() == 0.0 && (low..=high).contains(&value) {
        return Ok(());
    }
    Err(format!("{value} is not a {dtype}; cast the tensor to a float dtype, or use a whole number"))
}

/// `value` rounded to `dtype`, as the bits of the dtype that kernels compute in.
pub(crate) fn fill_bits(value: f64, dtype: DType) -> u32 {
    match dtype {
        DType::F32 => (value as f32).to_bits(),
        DType::F16 => f16::from_f64(value).to_f32().to_bits(),
        DType::U32 => value as u32,
        DType::I32 => value as i32 as u32,
    }
}

impl Operation for Leaf {
    fn name(&self) -> &'static str {
        match self {
            Leaf::Constant(_) => "constant",
            Leaf::Fill(_) => "fill",
            Leaf::Input { .. } => "input",
            Leaf::Variable(_) => "variable",
            Leaf::Step => "step",
            Leaf::Iota { .. } => "iota",
            Leaf::Poison => "error",
        }
    }

    fn attributes(&self) -> String {
        match self {
            Leaf::Fill(bits) => f64::from_bits(*bits).to_string(),
            Leaf::Input { name } => name.clone(),
            Leaf::Variable(variable) => variable.name().to_string(),
            Leaf::Iota { axis } => format!("axis={axis}"),
            Leaf::Constant(_) | Leaf::Step | Leaf::Poison => String::new(),
        }
    }

    fn infer(&self, _: &[TensorType]) -> Result<TensorType, String> {
        Err("a leaf can only be created by the graph's own methods".into())
    }

    fn grad<'g>(&self, _: &GradContext<'_, 'g>) -> Vec<Option<Tensor<'g>>> {
        Vec::new()
    }

    fn reference(&self, _: &[&RefTensor], output: &TensorType) -> RefTensor {
        let (shape, dtype) = (&output.shape, output.dtype);
        match self {
            Leaf::Constant(array) => RefTensor::from_array(array),
            Leaf::Fill(bits) => {
                let value = f64::from_bits(*bits);
                let value = if dtype.is_float() { value } else { value.trunc() };
                RefTensor::from_fn(shape, dtype, |_| value)
            }
            Leaf::Iota { axis } => {
                let inner: usize = shape[axis + 1..].iter().product();
                RefTensor::from_fn(shape, dtype, |i| (i / inner % shape[*axis]) as f64)
            }
            // The interpreter takes these values from its environment.
            Leaf::Input { .. } | Leaf::Variable(_) | Leaf::Step | Leaf::Poison => {
                RefTensor::from_fn(shape, dtype, |_| 0.0)
            }
        }
    }

    fn error_scale(&self, _: &[&RefTensor], value: &RefTensor) -> Vec<f64> {
        // A fill is rounded to the dtype once; the other leaves are exact.
        let rounding = |y: f64| match value.dtype {
            DType::F32 => (y - f64::from(y as f32)).abs() / DType::F32.epsilon(),
            DType::F16 => (y - half::f16::from_f64(y).to_f64()).abs() / DType::F16.epsilon(),
            DType::U32 | DType::I32 => 0.0,
        };
        let is_fill = matches!(self, Leaf::Fill(_));
        value.data.iter().map(|&y| if is_fill { rounding(y) } else { 0.0 }).collect()
    }
}
