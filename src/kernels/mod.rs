//! Kernels: what a launch computes, as plain data.
//!
//! A [`Kernel`] holds the sizes of a problem, what is fused into it, and how much work it is. It names no backend: how
//! the host runs each one is a file of the same name in `cpu/`, how a GPU does one in `wgsl/`. Both match on [`Kernel`]
//! exhaustively, so a kernel that a backend cannot run does not compile.

pub mod conv;
pub mod cross_entropy;
pub mod custom;
pub mod elementwise;
mod expr;
mod expr_print;
mod fused;
pub mod index;
mod launch;
pub mod matmul;
mod operand;
pub mod pool;
pub mod reduce;
pub mod scan;
pub mod softmax;
pub mod topk;

pub use expr::{Expr, Instr, Slot};
pub use fused::Fused;
pub use launch::Launch;
pub use operand::{BufferId, Operand, distinct_buffers};

use conv::ConvKernel;
use cross_entropy::CrossEntropyKernel;
use custom::UserKernel;
use elementwise::ElementwiseKernel;
use index::IndexKernel;
use matmul::MatmulKernel;
use pool::PoolKernel;
use reduce::ReduceKernel;
use scan::ScanKernel;
use softmax::SoftmaxKernel;
use topk::TopKKernel;

/// What a launch computes.
#[derive(Debug, Clone)]
pub enum Kernel {
    /// An expression at every point of a shape.
    Elementwise(ElementwiseKernel),
    /// An expression reduced over axes.
    Reduce(ReduceKernel),
    /// Batched matmul.
    Matmul(MatmulKernel),
    /// Convolution or one of its gradients.
    Conv(ConvKernel),
    /// Pooling or one of its gradients.
    Pool(PoolKernel),
    /// Softmax or log-softmax of rows.
    Softmax(SoftmaxKernel),
    /// Cross-entropy of rows, its gradient, or both.
    CrossEntropy(CrossEntropyKernel),
    /// Index-select or scatter-add.
    Index(IndexKernel),
    /// Indices of the largest or smallest elements of rows.
    TopK(TopKKernel),
    /// Cumulative sums of rows.
    Scan(ScanKernel),
    /// A user's own.
    User(UserKernel),
}

/// What the planner and its reports know of a kernel.
pub trait KernelInfo {
    /// Its name.
    fn name(&self) -> &'static str;
    /// Floating-point operations of one launch.
    fn flops(&self) -> u64;
    /// What it computes, with its sizes, on one line for people; empty if its operands say all there is to say.
    fn describe(&self) -> String {
        String::new()
    }
    /// How many of a launch's inputs are its own; an epilogue's follow.
    fn own_inputs(&self) -> usize {
        usize::MAX
    }
    /// The expression it applies to each element of its result.
    fn epilogue(&self) -> Option<&Fused> {
        None
    }
    /// The same kernel with this expression applied to each element of its result, if it can do that.
    fn with_epilogue(&self, _epilogue: Fused) -> Option<Kernel> {
        None
    }
    /// One launch that does `own`, a launch of this kernel, and `other` too, which reads the same: a gradient and its
    /// loss, a weight's gradient and its bias's.
    fn absorb(&self, _own: &Launch, _other: &Launch) -> Option<Launch> {
        None
    }
    /// Whether its epilogue may read, at its own point, the buffer that it writes.
    fn updates_in_place(&self) -> bool {
        false
    }
    /// Whether its operands must be the first elements of their buffers: its shader knows of no offsets.
    fn needs_origin(&self) -> bool {
        false
    }
}

impl Kernel {
    /// What the planner and its reports know of it.
    pub fn info(&self) -> &dyn KernelInfo {
        match self {
            Kernel::Elementwise(kernel) => kernel,
            Kernel::Reduce(kernel) => kernel,
            Kernel::Matmul(kernel) => kernel,
            Kernel::Conv(kernel) => kernel,
            Kernel::Pool(kernel) => kernel,
            Kernel::Softmax(kernel) => kernel,
            Kernel::CrossEntropy(kernel) => kernel,
            Kernel::Index(kernel) => kernel,
            Kernel::TopK(kernel) => kernel,
            Kernel::Scan(kernel) => kernel,
            Kernel::User(kernel) => kernel,
        }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.info().name()
    }

    /// Floating-point operations of one launch.
    pub fn flops(&self) -> u64 {
        self.info().flops()
    }

    /// What it computes, with its sizes, on one line for people; empty if its operands say all there is to say.
    pub fn describe(&self) -> String {
        self.info().describe()
    }
}

macro_rules! from {
    ($($variant:ident($kernel:ty)),*) => {$(
        impl From<$kernel> for Kernel {
            fn from(kernel: $kernel) -> Kernel {
                Kernel::$variant(kernel)
            }
        }
    )*};
}

from!(
    Elementwise(ElementwiseKernel),
    Reduce(ReduceKernel),
    Matmul(MatmulKernel),
    Conv(ConvKernel),
    Pool(PoolKernel),
    Softmax(SoftmaxKernel),
    CrossEntropy(CrossEntropyKernel),
    Index(IndexKernel),
    TopK(TopKKernel),
    Scan(ScanKernel),
    User(UserKernel)
);
