//! Batched matrix product: `c[…, i, j] = Σ_k a[…, i, k] · b[…, k, j]`.
//!
//! Operands may be any views: a transposed side costs no copy.

use super::{GradContext, Operation};
use crate::cpu::CpuContext;
use crate::error::Result;
use crate::plan::{Dispatch, Fused, GpuTarget, Kernel, Launch, Lowering, Value, wgsl};
use crate::reference::RefTensor;
use crate::shape::{Shape, TensorType};
use crate::tensor::Tensor;
use std::sync::Arc;

/// The matrix product of the last two axes; leading axes are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Matmul;

/// How many epsilons times `Σ|terms|` a float accumulation of `n` terms may be off: the rounding errors behave like a
/// random walk (Higham & Mary, *A new approach to probabilistic rounding error analysis*, 2019), with room for the
/// products' own rounding.
pub fn accumulation_error(n: usize) -> f64 {
    2.0 + (n as f64).sqrt()
}

fn product(a: &RefTensor, b: &RefTensor, output: &TensorType) -> RefTensor {
    let rank = a.shape.rank();
    let (m, k, n) = (a.shape[rank - 2], a.shape[rank - 1], b.shape[rank - 1]);
    RefTensor::from_fn(&output.shape, output.dtype, |index| {
        let (batch, i, j) = (index / (m * n), index / n % m, index % n);
        (0..k).map(|p| a.data[(batch * m + i) * k + p] * b.data[(batch * k + p) * n + j]).sum()
    })
}

impl Operation for Matmul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<TensorType, String> {
        let [a, b] = inputs else { return Err(format!("takes two operands, but {} were given", inputs.len())) };
        if a.dtype != b.dtype || !a.dtype.is_float() {
            return Err(format!("takes two f32 or two f16 operands, but they are {} and {}", a.dtype, b.dtype));
        }
        let rank = a.shape.rank();
        if rank < 2 || rank != b.shape.rank() || a.shape[..rank - 2] != b.shape[..rank - 2] {
            return Err(format!("leading axes of {} and {} differ", a.shape, b.shape));
        }
        let (inner_a, inner_b) = (a.shape[rank - 1], b.shape[rank - 2]);
        if inner_a != inner_b {
            return Err(format!(
                "inner sizes differ: {} has {inner_a} columns, {} has {inner_b} rows",
                a.shape, b.shape
            ));
        }
        let shape = [&a.shape[..rank - 1], &[b.shape[rank - 1]]].concat();
        Ok(TensorType { shape: shape.into(), dtype: a.dtype })
    }

    fn grad<'g>(&self, cx: &GradContext<'_, 'g>) -> Vec<Option<Tensor<'g>>> {
        let (a, b, g) = (cx.inputs[0], cx.inputs[1], cx.upstream);
        vec![cx.wanted[0].then(|| g.matmul(b.t())), cx.wanted[1].then(|| a.t().matmul(g))]
    }

    fn reference(&self, inputs: &[&RefTensor], output: &TensorType) -> RefTensor {
        product(inputs[0], inputs[1], output)
    }

    fn error_scale(&self, inputs: &[&RefTensor], value: &RefTensor) -> Vec<f64> {
        let (a, b) = (inputs[0].abs(), inputs[1].abs());
        let output = TensorType::new(&value.shape, value.dtype);
        let k = a.shape[a.shape.rank() - 1];
        product(&a, &b, &output).data.iter().map(|terms| accumulation_error(k) * terms).collect()
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<Value> {
        let (ty, a, b) = (cx.output_type(), cx.operand(0), cx.operand(1));
        let rank = ty.shape.rank();
        let kernel = MatmulKernel {
            batch: Shape::from(&ty.shape[..rank - 2]),
            m: ty.shape[rank - 2],
            n: ty.shape[rank - 1],
            k: a.view.shape[rank - 1],
            epilogue: None,
            row_sums: false,
        };
        let output = cx.allocate(ty);
        cx.launch(kernel, vec![a, b], vec![output.clone()]);
        Ok(Value::Stored(output))
    }
}

/// `[batch…, m, k] × [batch…, k, n] → [batch…, m, n]`, inputs through any views, output dense.
#[derive(Debug, Clone)]
pub struct MatmulKernel {
    /// The leading axes.
    pub batch: Shape,
    /// Rows of the output.
    pub m: usize,
    /// Columns of the output.
    pub n: usize,
    /// The summed size.
    pub k: usize,
    /// What is done with each element.
    pub epilogue: Option<Fused>,
    /// Whether the second output is the sum of each of the first input's rows.
    pub row_sums: bool,
}

impl Kernel for MatmulKernel {
    fn name(&self) -> &'static str {
        "matmul"
    }
    fn flops(&self) -> u64 {
        2 * (self.batch.elements() * self.m * self.n * self.k) as u64
    }
    fn describe(&self) -> String {
        let batch = if self.batch.elements() == 1 { String::new() } else { format!("{} of ", self.batch.elements()) };
        let epilogue = self.epilogue.as_ref().map_or(String::new(), |fused| fused.describe_epilogue(2));
        let sums = if self.row_sums { "; sums of in0's rows" } else { "" };
        format!("{batch}{}x{} by {}x{}{sums}{epilogue}", self.m, self.k, self.k, self.n)
    }
    fn cpu(&self, cx: &mut CpuContext<'_>) {
        crate::cpu::matmul::run(self, cx);
    }
    fn gpu(&self, launch: &Launch, target: &GpuTarget) -> Result<Dispatch> {
        let own = launch.first(2, 1 + usize::from(self.row_sums));
        let (dispatch, named) = super::matmul_gpu::dispatch(self, &own, target);
        let axes = [(self.batch.elements(), 0), (self.m, 1), (self.n, 2)];
        let stores = wgsl::Stores { axes: &axes, quads: Some(launch.inputs[0].dtype), held: false };
        Ok(wgsl::store(dispatch, &named, launch, 2, self.epilogue.as_ref(), stores))
    }
    fn own_inputs(&self) -> usize {
        2
    }
    fn epilogue(&self) -> Option<&Fused> {
        self.epilogue.as_ref()
    }
    fn with_epilogue(&self, epilogue: Fused) -> Option<Arc<dyn Kernel>> {
        (!self.row_sums).then(|| Arc::new(MatmulKernel { epilogue: Some(epilogue), ..self.clone() }) as _)
    }
    fn absorb(&self, own: &Launch, other: &Launch) -> Option<Launch> {
        let (a, plain) = (&own.inputs[0], self.epilogue.is_none() && !self.row_sums);
        if !plain || self.batch.elements() != 1 || !super::reduce::sums_rows(other, a, a.view.shape.rank() - 2) {
            return None;
        }
        Some(own.absorbing(other, MatmulKernel { row_sums: true, ..self.clone() }))
    }
}
