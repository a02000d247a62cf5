//! Cross-entropy of rows of logits against class indices, and its gradient, without storing the probabilities:
//! - loss `l_n = −Σ_c t_c · log softmax(x_n)_c` with the target `t = (1 − s)·one_hot(label_n) + s/C`,
//! - gradient `dx_{n,c} = u_n · (softmax(x_n)_c − t_c)` for an upstream gradient `u`.
//!
//! A label beyond the last class counts as the last one: a device cannot stop to report it.

use super::matmul::accumulation_error;
use super::softmax::shifted_log_sum;
use super::{GradContext, Op, Operation};
use crate::cpu::CpuContext;
use crate::dtype::DType;
use crate::error::Result;
use crate::plan::{Dispatch, Fused, GpuTarget, Kernel, Launch, Lowering, Operand, Shader, Value, wgsl};
use crate::reference::RefTensor;
use crate::shape::TensorType;
use crate::tensor::Tensor;
use std::any::Any;

/// The loss of each row, or its gradient. Operands: logits `[n, classes]`, labels `[n]` (u32), and for the gradient
/// the upstream `[n]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum CrossEntropy {
    /// `[n]`.
    Loss {
        /// Label smoothing, as the bits of an `f64`.
        smoothing: u64,
    },
    /// `[n, classes]`.
    Grad {
        /// Label smoothing, as the bits of an `f64`.
        smoothing: u64,
    },
}

impl CrossEntropy {
    fn smoothing(&self) -> f64 {
        match self {
            CrossEntropy::Loss { smoothing } | CrossEntropy::Grad { smoothing } => f64::from_bits(*smoothing),
        }
    }
    fn target(&self, classes: usize, label: f64, class: usize) -> f64 {
        let hit = (label as usize).min(classes - 1) == class;
        (1.0 - self.smoothing()) * f64::from(u8::from(hit)) + self.smoothing() / classes as f64
    }
    fn is_grad(&self) -> bool {
        matches!(self, CrossEntropy::Grad { .. })
    }
}

impl Operation for CrossEntropy {
    fn name(&self) -> &'static str {
        if self.is_grad() { "cross_entropy_grad" } else { "cross_entropy" }
    }

    fn attributes(&self) -> String {
        if self.smoothing() == 0.0 { String::new() } else { format!("label_smoothing={}", self.smoothing()) }
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<TensorType, String> {
        let wanted = if self.is_grad() { 3 } else { 2 };
        if inputs.len() != wanted {
            return Err(format!("takes {wanted} operands, but {} were given", inputs.len()));
        }
        let (x, labels) = (&inputs[0], &inputs[1]);
        if !x.dtype.is_float() || x.shape.rank() != 2 || x.shape[1] == 0 {
            return Err(format!("the logits must be an f32 or f16 [n, classes] tensor, but are {x}"));
        }
        if labels.dtype != DType::U32 || *labels.shape != x.shape[..1] {
            return Err(format!("the labels must be u32[{}] to go with logits {x}, but are {labels}", x.shape[0]));
        }
        if let Some(upstream) = inputs.get(2) {
            if upstream.dtype != x.dtype || *upstream.shape != x.shape[..1] {
                return Err(format!("the upstream gradient must be {}[{}], but is {upstream}", x.dtype, x.shape[0]));
            }
            return Ok(x.clone());
        }
        Ok(TensorType::new(&x.shape[..1], x.dtype))
    }

    fn grad<'g>(&self, cx: &GradContext<'_, 'g>) -> Vec<Option<Tensor<'g>>> {
        let (x, labels, g) = (cx.inputs[0], cx.inputs[1], cx.upstream);
        if let CrossEntropy::Loss { smoothing } = *self {
            let op = Op::CrossEntropy(CrossEntropy::Grad { smoothing });
            return vec![Some(x.graph().apply(op, &[x, labels, g])), None];
        }
        // d = u·(p − t): its pullback of v is p·(v·u − Σ p·v·u) for the logits and Σ v·(p − t) for u.
        let (upstream, p) = (cx.inputs[2], x.softmax(-1));
        let classes = x.shape()[1];
        let s = self.smoothing();
        let t = labels.minimum(classes as u32 - 1).one_hot(classes).cast(x.dtype()) * (1.0 - s) + s / classes as f64;
        let vu = g * upstream.unsqueeze(1);
        let dx = p * (vu - (p * vu).sum_keepdim(1));
        vec![Some(dx), None, Some((g * (p - t)).sum(1))]
    }

    fn reference(&self, inputs: &[&RefTensor], output: &TensorType) -> RefTensor {
        let (x, labels) = (inputs[0], inputs[1]);
        let classes = x.shape[1];
        let mut data = Vec::with_capacity(output.shape.elements());
        for (n, row) in x.data.chunks_exact(classes).enumerate() {
            let (max, log_sum) = shifted_log_sum(row);
            let target = |c| self.target(classes, labels.data[n], c);
            let log_p = |c: usize| row[c] - max - log_sum;
            if self.is_grad() {
                data.extend((0..classes).map(|c| inputs[2].data[n] * (log_p(c).exp() - target(c))));
            } else {
                // A class of weight 0 adds nothing, however small its probability.
                data.push(-(0..classes).filter(|&c| target(c) != 0.0).map(|c| target(c) * log_p(c)).sum::<f64>());
            }
        }
        RefTensor { shape: output.shape.clone(), dtype: output.dtype, data }
    }

    fn error_scale(&self, inputs: &[&RefTensor], value: &RefTensor) -> Vec<f64> {
        let (x, labels) = (inputs[0], inputs[1]);
        let classes = x.shape[1];
        let mut scale = Vec::with_capacity(value.data.len());
        for (n, row) in x.data.chunks_exact(classes).enumerate() {
            let (max, log_sum) = shifted_log_sum(row);
            let target = |c| self.target(classes, labels.data[n], c);
            let shared = 3.0 + accumulation_error(classes) + log_sum;
            if self.is_grad() {
                scale.extend(row.iter().enumerate().map(|(c, x)| {
                    let p = (x - max - log_sum).exp();
                    inputs[2].data[n].abs() * (p * (6.0 + 3.0 * (x - max).abs() + shared) + 2.0 * p + 2.0 * target(c))
                }));
            } else {
                let terms: f64 = row.iter().enumerate().map(|(c, x)| target(c) * ((x - max).abs() + log_sum)).sum();
                scale.push(shared + 4.0 * terms);
            }
        }
        scale
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<Value> {
        let (ty, x) = (cx.output_type(), cx.dense(0));
        let (labels, mut loads) = cx.prologue(1);
        let mut kernel = CrossEntropyKernel {
            loss: !self.is_grad(),
            upstream: None,
            rows: x.view.shape[0],
            classes: x.view.shape[1],
            smoothing: self.smoothing() as f32,
            labels,
        };
        if self.is_grad() {
            let (upstream, more) = cx.prologue(2);
            kernel.upstream = Some(upstream);
            loads.extend(more);
        }
        let output = cx.allocate(ty);
        cx.launch(kernel, std::iter::once(x).chain(loads).collect(), vec![output.clone()]);
        Ok(Value::Stored(output))
    }
}

/// The loss of each row, its gradient, or both. Inputs: dense logits, then what the labels and the upstream load; outputs:
/// the gradient and the loss, each dense, in that order.
#[derive(Debug, Clone)]
pub struct CrossEntropyKernel {
    /// Whether the loss is computed.
    pub loss: bool,
    /// The upstream gradient, if the gradient is computed.
    pub upstream: Option<Fused>,
    /// Samples.
    pub rows: usize,
    /// Classes.
    pub classes: usize,
    /// Label smoothing.
    pub smoothing: f32,
    /// The labels.
    pub labels: Fused,
}

impl CrossEntropyKernel {
    /// What the labels and what the upstream load, of a launch's inputs.
    pub fn loads<'a>(&self, launch: &'a Launch) -> (&'a [Operand], &'a [Operand]) {
        launch.inputs[1..].split_at(self.labels.prologue_inputs())
    }
}

impl Kernel for CrossEntropyKernel {
    fn name(&self) -> &'static str {
        match (self.loss, &self.upstream) {
            (false, Some(_)) => "cross_entropy_grad",
            (true, Some(_)) => "cross_entropy_and_grad",
            (_, None) => "cross_entropy",
        }
    }
    fn describe(&self) -> String {
        let labels = self.labels.describe_prologue(1);
        let upstream = |fused: &Fused| fused.describe_prologue(1 + self.labels.prologue_inputs());
        let upstream = self.upstream.as_ref().map_or(String::new(), |fused| format!("; upstream: {}", upstream(fused)));
        format!("{} rows of {} classes; labels: {labels}{upstream}", self.rows, self.classes)
    }
    fn flops(&self) -> u64 {
        6 * (self.rows * self.classes) as u64
    }
    fn cpu(&self, cx: &mut CpuContext<'_>) {
        crate::cpu::cross_entropy::run(self, cx);
    }
    fn gpu(&self, launch: &Launch, target: &GpuTarget) -> Result<Dispatch> {
        let lanes = wgsl::share(self.rows, self.classes, target);
        let mut shader = Shader::file("cross_entropy", include_str!("../../shaders/cross_entropy.wgsl"))
            .constant("WORKGROUP", lanes.workgroup)
            .constant("LANES", lanes.lanes)
            .constant("GRAD", self.upstream.is_some().into())
            .constant("LOSS", self.loss.into())
            .alias("T", launch.inputs[0].dtype);
        let mut params = vec![self.rows as u32, self.classes as u32, launch.inputs[0].view.offset as u32];
        let mut outputs = launch.outputs.iter().map(|operand| operand.view.offset as u32);
        let named: &[&str] = match (&self.upstream, self.loss) {
            (Some(_), true) => &["x", "d", "loss"],
            (Some(_), false) => &["x", "d"],
            (None, _) => &["x", "loss"],
        };
        let (labels, upstream) = self.loads(launch);
        let mut pieces = vec![self.labels.operand("labels", labels)];
        match &self.upstream {
            Some(fused) => {
                params.push(outputs.next().unwrap_or(0));
                pieces.push(fused.operand("upstream", upstream));
            }
            None => {
                params.push(0);
                shader = shader.replace("grad", "fn store_grad(at: u32, value: f32) {}");
            }
        }
        params.push(outputs.next().unwrap_or(0));
        if !self.loss {
            shader = shader.replace("loss", "fn store_loss(at: u32, value: f32) {}");
        }
        params.push(self.smoothing.to_bits());
        let dispatch = Dispatch::new(&launch.first(1, launch.outputs.len()), shader, params, lanes.workgroups);
        Ok(wgsl::fuse(dispatch, named, launch, &pieces))
    }
    fn absorb(&self, own: &Launch, other: &Launch) -> Option<Launch> {
        let loss: &CrossEntropyKernel = (other.kernel.as_ref() as &dyn Any).downcast_ref()?;
        let (labels, _) = self.loads(own);
        let same = (self.rows, self.classes, self.smoothing) == (loss.rows, loss.classes, loss.smoothing)
            && own.inputs[0] == other.inputs[0]
            && self.labels == loss.labels
            && labels == &other.inputs[1..];
        if !same || self.loss || loss.upstream.is_some() || self.upstream.is_none() {
            return None;
        }
        Some(own.absorbing(other, CrossEntropyKernel { loss: true, ..self.clone() }))
    }
}
