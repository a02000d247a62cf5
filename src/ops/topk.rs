//! Where the `k` largest (or smallest) elements of each row of the last axis are, in order.
//!
//! As in PyTorch a NaN counts as larger than any number; among equal elements the first comes first.

use super::{GradContext, Operation};
use crate::cpu::CpuContext;
use crate::dtype::DType;
use crate::error::Result;
use crate::plan::{Dispatch, GpuTarget, Kernel, Launch, Lowering, Shader, Value, wgsl};
use crate::reference::RefTensor;
use crate::shape::TensorType;
use crate::tensor::Tensor;
use std::cmp::Ordering;

/// The indices of the first `k` elements of each row, sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TopK {
    /// How many.
    pub k: usize,
    /// The largest first; else the smallest.
    pub largest: bool,
}

/// Numbers in order, with NaN above all.
fn order(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

impl Operation for TopK {
    fn name(&self) -> &'static str {
        "topk"
    }

    fn attributes(&self) -> String {
        format!("k={} {}", self.k, if self.largest { "largest" } else { "smallest" })
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<TensorType, String> {
        let [x] = inputs else { return Err(format!("takes one operand, but {} were given", inputs.len())) };
        let Some((&size, lead)) = x.shape.split_last() else {
            return Err("takes a tensor with an axis or more".into());
        };
        if self.k > size {
            return Err(format!("k = {} is more than the {size} elements of the axis", self.k));
        }
        Ok(TensorType::new([lead, &[self.k]].concat(), DType::U32))
    }

    fn grad<'g>(&self, _: &GradContext<'_, 'g>) -> Vec<Option<Tensor<'g>>> {
        vec![None]
    }

    fn reference(&self, inputs: &[&RefTensor], output: &TensorType) -> RefTensor {
        let x = inputs[0];
        let size = x.shape[x.shape.rank() - 1].max(1);
        let mut data = Vec::with_capacity(output.shape.elements());
        for row in x.data.chunks_exact(size) {
            let mut indices: Vec<usize> = (0..row.len()).collect();
            // A stable sort keeps equal elements in order.
            indices.sort_by(|&a, &b| {
                let order = order(row[a], row[b]);
                if self.largest { order.reverse() } else { order }
            });
            data.extend(indices[..self.k].iter().map(|&i| i as f64));
        }
        RefTensor { shape: output.shape.clone(), dtype: DType::U32, data }
    }

    fn error_scale(&self, _: &[&RefTensor], value: &RefTensor) -> Vec<f64> {
        vec![0.0; value.data.len()]
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<Value> {
        let (x, output) = (cx.dense(0), cx.allocate(cx.output_type()));
        let columns = x.view.shape[x.view.shape.rank() - 1];
        let rows = x.view.shape.elements() / columns.max(1);
        let kernel = TopKKernel { rows, columns, k: self.k, largest: self.largest };
        cx.launch(kernel, vec![x], vec![output.clone()]);
        Ok(Value::Stored(output))
    }
}

/// Rows of a dense operand.
#[derive(Debug, Clone)]
pub struct TopKKernel {
    /// How many rows.
    pub rows: usize,
    /// Elements of a row.
    pub columns: usize,
    /// How many indices.
    pub k: usize,
    /// The largest first.
    pub largest: bool,
}

/// `fn key` of the shader for integers.
const UNSIGNED: &str = "fn key(value: T) -> u32 {\n    return u32(value);\n}";
const SIGNED: &str = "fn key(value: T) -> u32 {\n    return bitcast<u32>(i32(value)) ^ 0x80000000u;\n}";

impl Kernel for TopKKernel {
    fn name(&self) -> &'static str {
        "topk"
    }
    fn describe(&self) -> String {
        let which = if self.largest { "largest" } else { "smallest" };
        format!("the {} {which} of {} for each of {} rows", self.k, self.columns, self.rows)
    }
    fn flops(&self) -> u64 {
        (self.rows * self.columns * self.k) as u64
    }
    fn cpu(&self, cx: &mut CpuContext<'_>) {
        crate::cpu::topk::run(self, cx);
    }
    fn gpu(&self, launch: &Launch, target: &GpuTarget) -> Result<Dispatch> {
        let (x, y) = (&launch.inputs[0], &launch.outputs[0]);
        let lanes = wgsl::share(self.rows, self.columns, target);
        let shader = Shader::file("topk", include_str!("../../shaders/topk.wgsl"))
            .constant("WORKGROUP", lanes.workgroup)
            .constant("LANES", lanes.lanes)
            .constant("LARGEST", self.largest.into())
            .alias("T", x.dtype);
        let shader = match x.dtype {
            DType::F32 | DType::F16 => shader,
            DType::U32 => shader.replace("key", UNSIGNED),
            DType::I32 => shader.replace("key", SIGNED),
        };
        let params = [self.rows, self.columns, self.k, x.view.offset, y.view.offset, 0, 0, 0].map(|n| n as u32);
        Ok(Dispatch::new(launch, shader, params.to_vec(), lanes.workgroups))
    }
}
