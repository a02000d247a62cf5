//! Batched matrix product: `c[…, i, j] = Σ_k a[…, i, k] · b[…, k, j]`.
//!
//! Operands may be any views: a transposed side costs no copy.

use super::{GradContext, Operation};
use crate::cpu::CpuContext;
use crate::error::Result;
use crate::plan::{Dispatch, GpuTarget, Kernel, Launch, Lowering, Shader, Value};
use crate::reference::RefTensor;
use crate::shape::{Shape, TensorType, View};
use crate::tensor::Tensor;

/// The matrix product of the last two axes; leading axes are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
}

impl Kernel for MatmulKernel {
    fn name(&self) -> &'static str {
        "matmul"
    }
    fn flops(&self) -> u64 {
        2 * (self.batch.elements() * self.m * self.n * self.k) as u64
    }
    fn cpu(&self, cx: &mut CpuContext<'_>) {
        crate::cpu::matmul::run(self, cx);
    }
    fn gpu(&self, launch: &Launch, target: &GpuTarget) -> Result<Dispatch> {
        let (a, b, c) = (&launch.inputs[0], &launch.inputs[1], &launch.outputs[0]);
        let rank = self.batch.rank();
        let (tile, batches) = (Tile::choose(self, target), self.batch.elements());
        let tiles = [self.m.div_ceil(4 * tile.ty as usize), self.n.div_ceil(4 * tile.tx as usize)];
        // Sizes and strides of the leading axes, outermost first, in four slots.
        let batch = |of: &dyn Fn(usize) -> u32, missing: u32| -> Vec<u32> {
            (0..4).map(|k| if k + rank < 4 { missing } else { of(k + rank - 4) }).collect()
        };
        // Strides wrap around in the shader, so negative ones are what their bits say.
        let stride = |view: &View, axis: usize| view.strides[axis] as u32;
        let mut params: Vec<u32> = [self.m, self.n, self.k, tiles[0], tiles[1], batches, a.view.offset]
            .map(|size| size as u32)
            .into_iter()
            .chain([stride(&a.view, rank), stride(&a.view, rank + 1), b.view.offset as u32])
            .chain([stride(&b.view, rank), stride(&b.view, rank + 1), c.view.offset as u32, 0, 0, 0])
            .collect();
        params.extend(batch(&|axis| self.batch[axis] as u32, 1));
        params.extend(batch(&|axis| stride(&a.view, axis), 0));
        params.extend(batch(&|axis| stride(&b.view, axis), 0));
        let shader = Shader::file("matmul", include_str!("../../shaders/matmul.wgsl"))
            .constant("TX", tile.tx)
            .constant("TY", tile.ty)
            .constant("BK", tile.bk)
            .constant("A_BY_K", u32::from(a.view.strides[rank + 1].abs() == 1))
            .constant("B_BY_K", u32::from(b.view.strides[rank].abs() == 1 && b.view.strides[rank + 1].abs() != 1))
            .alias("T", a.dtype);
        let workgroups = (tiles[0] * tiles[1] * batches) as u64;
        Ok(Dispatch::new(launch, shader, params, workgroups))
    }
}

/// A workgroup's share of a GPU product: `4·ty` rows by `4·tx` columns, read `bk` deep.
#[derive(Debug, Clone, Copy)]
struct Tile {
    tx: u32,
    ty: u32,
    bk: u32,
}

impl Tile {
    /// The tile for a shape: narrow ones for narrow matrices, and large ones, which read each element less often,
    /// once there are enough of them to fill a device.
    fn choose(kernel: &MatmulKernel, target: &GpuTarget) -> Tile {
        let large_tiles = kernel.m.div_ceil(64) * kernel.n.div_ceil(64) * kernel.batch.elements();
        let (tx, ty, bk) = match (kernel.m, kernel.n) {
            (..=16, ..=16) => (4, 4, 32),
            (_, ..=16) => (4, 16, 32),
            (..=16, _) => (16, 4, 32),
            _ if large_tiles >= 64 && target.max_invocations >= 256 => (16, 16, 16),
            _ => (8, 8, 32),
        };
        Tile { tx, ty, bk }
    }
}
