//! The cumulative sum along the last axis: `y[j] = Σ_{i ≤ j} x[i]`, or from the end, `y[j] = Σ_{i ≥ j} x[i]`.
//!
//! A long row is cut into segments: their totals are summed, these sums scanned, and each segment scanned from the sum
//! before it.

use super::matmul::accumulation_error;
use super::{GradContext, Op, Operation};
use crate::cpu::CpuContext;
use crate::error::Result;
use crate::plan::{Dispatch, GpuTarget, Kernel, Launch, Lowering, Operand, Shader, Value};
use crate::reference::RefTensor;
use crate::shape::TensorType;
use crate::tensor::Tensor;
use crate::{DType, Shape};

/// A cumulative sum along the last axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scan {
    /// From the end.
    pub reverse: bool,
}

/// Elements of the longest row that is not cut.
const LONGEST: usize = 1 << 16;
/// Elements of a segment of a longer one.
const SEGMENT: usize = 1 << 14;

/// The sums up to each element, as the dtype adds.
fn running(dtype: DType, row: impl Iterator<Item = f64>) -> impl Iterator<Item = f64> {
    row.scan(0.0, move |sum, x| {
        *sum = match dtype {
            DType::F32 | DType::F16 => *sum + x,
            DType::U32 => f64::from((*sum as u32).wrapping_add(x as u32)),
            DType::I32 => f64::from((*sum as i32).wrapping_add(x as i32)),
        };
        Some(*sum)
    })
}

impl Scan {
    fn sums(self, x: &RefTensor) -> Vec<f64> {
        let columns = x.shape[x.shape.rank() - 1].max(1);
        let row = |row: &[f64]| -> Vec<f64> {
            if !self.reverse {
                return running(x.dtype, row.iter().copied()).collect();
            }
            let mut sums: Vec<f64> = running(x.dtype, row.iter().rev().copied()).collect();
            sums.reverse();
            sums
        };
        x.data.chunks_exact(columns).flat_map(row).collect()
    }
}

impl Operation for Scan {
    fn name(&self) -> &'static str {
        "cumsum"
    }

    fn attributes(&self) -> String {
        if self.reverse { "reverse".into() } else { String::new() }
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<TensorType, String> {
        let [x] = inputs else { return Err(format!("takes one operand, but {} were given", inputs.len())) };
        if x.shape.rank() == 0 {
            return Err("takes a tensor with an axis or more".into());
        }
        Ok(x.clone())
    }

    fn grad<'g>(&self, cx: &GradContext<'_, 'g>) -> Vec<Option<Tensor<'g>>> {
        let op = Op::Scan(Scan { reverse: !self.reverse });
        vec![Some(cx.upstream.graph().apply(op, &[cx.upstream]))]
    }

    fn reference(&self, inputs: &[&RefTensor], output: &TensorType) -> RefTensor {
        RefTensor { shape: output.shape.clone(), dtype: output.dtype, data: self.sums(inputs[0]) }
    }

    fn error_scale(&self, inputs: &[&RefTensor], value: &RefTensor) -> Vec<f64> {
        if !value.dtype.is_float() {
            return vec![0.0; value.data.len()];
        }
        let columns = value.shape[value.shape.rank() - 1].max(1);
        let terms = |i: usize| if self.reverse { columns - i % columns } else { i % columns + 1 };
        let magnitude = self.sums(&inputs[0].abs());
        magnitude.iter().enumerate().map(|(i, m)| accumulation_error(terms(i)) * m).collect()
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<Value> {
        let (x, output) = (cx.dense(0), cx.allocate(cx.output_type()));
        let columns = x.view.shape[x.view.shape.rank() - 1];
        let rows = x.view.shape.elements() / columns.max(1);
        scan(cx, self.reverse, rows, columns, x, output.clone());
        Ok(Value::Stored(output))
    }
}

fn scan(cx: &mut Lowering<'_>, reverse: bool, rows: usize, columns: usize, x: Operand, y: Operand) {
    let length = if columns > LONGEST { SEGMENT } else { columns };
    let kernel = ScanKernel { reverse, rows, columns, length, pass: ScanPass::Whole };
    if length == columns {
        return cx.launch(kernel, vec![x], vec![y]);
    }
    let segments = columns.div_ceil(length);
    let ty = TensorType::new(Shape::from([rows, segments]), x.dtype.compute());
    let (totals, before) = (cx.allocate(ty.clone()), cx.allocate(ty));
    cx.launch(ScanKernel { pass: ScanPass::Totals, ..kernel.clone() }, vec![x.clone()], vec![totals.clone()]);
    // Segments are counted in the direction of the scan, so their totals are scanned forward.
    scan(cx, false, rows, segments, totals, before.clone());
    cx.launch(ScanKernel { pass: ScanPass::From, ..kernel }, vec![x, before], vec![y]);
}

/// What of a scan a launch does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScanPass {
    /// All of it: there is one segment.
    Whole,
    /// Each segment's total.
    Totals,
    /// The scan, with the sums up to each segment as the second input.
    From,
}

/// A scan of the rows of a dense operand.
#[derive(Debug, Clone)]
pub struct ScanKernel {
    /// From the end of each row.
    pub reverse: bool,
    /// How many rows.
    pub rows: usize,
    /// Elements of a row.
    pub columns: usize,
    /// Elements of a segment.
    pub length: usize,
    /// Which part.
    pub pass: ScanPass,
}

impl ScanKernel {
    /// Segments of a row.
    pub fn segments(&self) -> usize {
        self.columns.div_ceil(self.length.max(1))
    }
}

impl Kernel for ScanKernel {
    fn name(&self) -> &'static str {
        "cumsum"
    }
    fn describe(&self) -> String {
        let direction = if self.reverse { " from the end" } else { "" };
        let part = match self.pass {
            ScanPass::Whole => String::new(),
            ScanPass::Totals => format!("; totals of segments of {}", self.length),
            ScanPass::From => format!("; segments of {} from the sums before them", self.length),
        };
        format!("{} rows of {}{direction}{part}", self.rows, self.columns)
    }
    fn flops(&self) -> u64 {
        (self.rows * self.columns) as u64
    }
    fn cpu(&self, cx: &mut CpuContext<'_>) {
        crate::cpu::scan::run(self, cx);
    }
    fn gpu(&self, launch: &Launch, target: &GpuTarget) -> Result<Dispatch> {
        let (x, y) = (&launch.inputs[0], &launch.outputs[0]);
        let units = self.rows * self.segments();
        // A thread takes four neighbours; as many threads as there are fours, up to a workgroup.
        let most = 256.min(1 << target.max_invocations.ilog2());
        let lanes = (self.length.div_ceil(4).next_power_of_two() as u32).min(most);
        let workgroup = lanes.max(64.min(most));
        let before = (self.pass == ScanPass::From).then(|| &launch.inputs[1]);
        let shader = Shader::file("scan", include_str!("../../shaders/scan.wgsl"))
            .constant("WORKGROUP", workgroup)
            .constant("LANES", lanes)
            .constant("REVERSE", self.reverse.into())
            .constant("TOTALS", (self.pass == ScanPass::Totals).into())
            .alias("T", x.dtype)
            .alias("A", x.dtype.compute())
            .alias("Y", y.dtype);
        let shader = if before.is_some() { shader } else { shader.replace("before", NOTHING_BEFORE) };
        let offsets = [x.view.offset, y.view.offset, before.map_or(0, |o| o.view.offset)];
        let sizes = [units, self.columns, self.length, self.segments()];
        let params = sizes.into_iter().chain(offsets).chain([0]).map(|n| n as u32).collect();
        Ok(Dispatch::new(launch, shader, params, (units as u64).div_ceil(u64::from(workgroup / lanes))))
    }
}

/// What the shader has in the place of the sums before segments where there is one segment.
const NOTHING_BEFORE: &str = "@group(0) @binding(2) var<storage, read_write> y: array<Y>;
fn sum_before(unit: u32, segment: u32) -> A {
    return A();
}";
