//! The operations: what each one means.
//!
//! [`Op`] is the closed list of operations of a graph node; [`Operation`] is what each of them defines: shape rule,
//! gradient, f64 reference, error scale. Element-wise operations are rows of [`table`]; each structured operation has
//! a file of its own here, and a file of the same name in `plan/lower/` that turns it into kernel launches.

pub mod conv;
pub mod cross_entropy;
pub mod custom;
pub mod elementwise;
pub mod index;
pub mod leaf;
pub mod matmul;
pub mod movement;
pub mod pool;
pub mod random;
pub mod reduce;
pub mod samples;
pub mod scan;
pub mod softmax;
pub mod table;
pub mod take;
pub mod topk;

use crate::error::Result;
use crate::reference::RefTensor;
use crate::shape::TensorType;
use crate::tensor::Tensor;
use std::sync::Arc;

/// A node's operation.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub enum Op {
    /// Host data, a run's input, a variable, the step counter, an index grid, a fill.
    Leaf(leaf::Leaf),
    /// Counter-based random numbers.
    Random(random::Random),
    /// Element-wise: unary, binary, comparison, select, cast.
    Elementwise(elementwise::Elementwise),
    /// Sum, mean, max, min, argmax, argmin over axes.
    Reduce(reduce::Reduce),
    /// Batched matmul.
    Matmul(matmul::Matmul),
    /// Convolution and its two gradients.
    Conv(conv::Conv),
    /// Reshape, permute, broadcast, slice, flip, pad, concat, detach.
    Movement(movement::Movement),
    /// Index-select and scatter-add along an axis.
    Index(index::Index),
    /// Elements along an axis, picked by an index tensor of the same rank.
    Take(take::Take),
    /// Indices of the largest or smallest elements of rows.
    TopK(topk::TopK),
    /// Cumulative sum along the last axis.
    Scan(scan::Scan),
    /// Pooling over windows, and its gradients.
    Pool(pool::Pool),
    /// Softmax and log-softmax over the last axis.
    Softmax(softmax::Softmax),
    /// Cross-entropy of rows of logits against class indices, and its gradient.
    CrossEntropy(cross_entropy::CrossEntropy),
    /// A user's operation; it cannot be serialised.
    #[serde(skip)]
    Custom(Arc<dyn custom::CustomOperation>),
}

impl Op {
    /// The operation's definition.
    pub fn definition(&self) -> &dyn Operation {
        match self {
            Op::Leaf(op) => op,
            Op::Random(op) => op,
            Op::Elementwise(op) => op,
            Op::Reduce(op) => op,
            Op::Matmul(op) => op,
            Op::Conv(op) => op,
            Op::Movement(op) => op,
            Op::Index(op) => op,
            Op::Take(op) => op,
            Op::TopK(op) => op,
            Op::Scan(op) => op,
            Op::Pool(op) => op,
            Op::Softmax(op) => op,
            Op::CrossEntropy(op) => op,
            Op::Custom(op) => op.as_ref(),
        }
    }
}

/// What a gradient rule may use.
pub struct GradContext<'a, 'g> {
    /// The operation's operands.
    pub inputs: &'a [Tensor<'g>],
    /// Its output.
    pub output: Tensor<'g>,
    /// The upstream gradient: the gradient of the final scalar with respect to the output, with the output's shape.
    pub upstream: Tensor<'g>,
    /// Which operands need a gradient; the rule may return `None` for the others.
    pub wanted: &'a [bool],
}

/// The definition of an operation.
pub trait Operation: std::fmt::Debug + Send + Sync {
    /// Its name, as PyTorch or NumPy calls it.
    fn name(&self) -> &'static str;

    /// Its attributes, as printed; empty if it has none.
    fn attributes(&self) -> String {
        String::new()
    }

    /// The shape rule: the output's type, or what is wrong with the operands.
    fn infer(&self, inputs: &[TensorType]) -> Result<TensorType, String>;

    /// The gradient rule, in graph operations, with one entry per operand; `None` means a gradient of zero.
    fn grad<'g>(&self, cx: &GradContext<'_, 'g>) -> Vec<Option<Tensor<'g>>>;

    /// The reference implementation: plain loops in f64. `output` is the type that `infer` returned.
    fn reference(&self, inputs: &[&RefTensor], output: &TensorType) -> RefTensor;

    /// The scale of the rounding error of a correct implementation, element-wise: in a format with epsilon ε, an
    /// implementation may differ from the reference by ε times this. `value` is the reference's output.
    fn error_scale(&self, inputs: &[&RefTensor], value: &RefTensor) -> Vec<f64>;
}
