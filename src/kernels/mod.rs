//! Kernels: what a launch computes, as plain data.
//!
//! A [`Kernel`] has the sizes of a problem, the expressions fused into it, and its cost. It is independent of the
//! backend: a file of the same name in `cpu/` implements it on the host, one in `wgsl/` on a GPU. Both match on
//! [`Kernel`] exhaustively, so a missing implementation is a compile error.

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
    /// A custom operation.
    User(UserKernel),
}

/// The properties of a kernel that the planner and its reports use.
pub trait KernelInfo {
    /// Its name.
    fn name(&self) -> &'static str;
    /// Floating-point operations of one launch.
    fn flops(&self) -> u64;
    /// What it computes, with its sizes, as one line of text; empty if its operands say everything.
    fn describe(&self) -> String {
        String::new()
    }
    /// The number of inputs of a launch that are the kernel's own; those of the epilogue follow.
    fn own_inputs(&self) -> usize {
        usize::MAX
    }
    /// The epilogue, applied to each element of its result.
    fn epilogue(&self) -> Option<&Fused> {
        None
    }
    /// The same kernel with this epilogue, if it supports it.
    fn with_epilogue(&self, _epilogue: Fused) -> Option<Kernel> {
        None
    }
    /// One launch that does the work of `own`, a launch of this kernel, and of `other`, which reads the same inputs: a
    /// gradient and its loss, a weight gradient and the bias gradient.
    fn absorb(&self, _own: &Launch, _other: &Launch) -> Option<Launch> {
        None
    }
    /// Whether its epilogue may read, at its own point, a buffer that it writes.
    fn updates_in_place(&self) -> bool {
        false
    }
    /// Whether its operands must be at the start of their buffers, because its shader does not support offsets.
    fn needs_origin(&self) -> bool {
        false
    }
}

impl Kernel {
    /// The properties that the planner and its reports use.
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

    /// What it computes, with its sizes, as one line of text; empty if its operands say everything.
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
