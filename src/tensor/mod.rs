//! [`Tensor`], the handle that programs are written with.

mod activation;
mod einsum;
mod movement;
mod statistics;
mod windows;

pub use einsum::einsum;

use crate::dtype::DType;
use crate::graph::{Graph, NodeId};
use crate::ops::conv::{Conv, ConvKind, ConvOptions};
use crate::ops::cross_entropy::CrossEntropy;
use crate::ops::elementwise::Elementwise;
use crate::ops::leaf::Leaf;
use crate::ops::matmul::Matmul;
use crate::ops::movement::Movement;
use crate::ops::reduce::{Reduce, ReduceKind};
use crate::ops::softmax::Softmax;
use crate::ops::table::{Binary, Compare, Unary};
use crate::ops::{Op, Operation};
use crate::shape::{Axes, Shape, TensorType, resolve_axis};
use crate::variable::Variable;

/// A value in a [`Graph`]: a `Copy` handle with operators and methods named as in PyTorch and NumPy.
///
/// Binary operations broadcast by NumPy's rule. A number on either side of an operator takes the tensor's dtype. Errors
/// (incompatible shapes, axes out of range) are recorded with the caller's file and line and returned by
/// [`Session::compile`](crate::Session::compile).
#[derive(Clone, Copy)]
pub struct Tensor<'g> {
    pub(crate) graph: &'g Graph,
    pub(crate) id: NodeId,
}

impl std::fmt::Debug for Tensor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "%{}: {}", self.id.index(), self.tensor_type())
    }
}

/// A tensor, or a number that becomes a scalar of the other operand's dtype.
pub trait Operand<'g> {
    /// The operand as a tensor; a number takes the dtype of `like`.
    fn operand(self, like: Tensor<'g>) -> Tensor<'g>;
    /// The tensor, or `None` for a number.
    fn tensor(&self) -> Option<Tensor<'g>> {
        None
    }
}
impl<'g> Operand<'g> for Tensor<'g> {
    fn operand(self, _: Tensor<'g>) -> Tensor<'g> {
        self
    }
    fn tensor(&self) -> Option<Tensor<'g>> {
        Some(*self)
    }
}
macro_rules! number_operand {
    ($($t:ty),*) => {$(
        impl<'g> Operand<'g> for $t {
            #[track_caller]
            fn operand(self, like: Tensor<'g>) -> Tensor<'g> {
                like.graph.scalar(f64::from(self), like.dtype())
            }
        }
    )*};
}
number_operand!(f64, f32, i32, u32);

macro_rules! unary_methods {
    ($($(#[$doc:meta])* $method:ident $variant:ident;)*) => {
        impl<'g> Tensor<'g> {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $method(self) -> Tensor<'g> {
                self.graph.apply(Op::Elementwise(Elementwise::Unary(Unary::$variant)), &[self])
            }
        )*}
    };
}
unary_methods! {
    /// `|x|`.
    abs Abs;
    /// -1, 0 or 1.
    sign Sign;
    /// `eˣ`.
    exp Exp;
    /// Natural logarithm.
    log Log;
    /// `√x`.
    sqrt Sqrt;
    /// `1/√x`.
    rsqrt Rsqrt;
    /// `1/x`, PyTorch's `reciprocal`.
    recip Recip;
    /// Sine.
    sin Sin;
    /// Cosine.
    cos Cos;
    /// Hyperbolic tangent.
    tanh Tanh;
    /// `1/(1+e⁻ˣ)`, for any finite `x`.
    sigmoid Sigmoid;
    /// The error function.
    erf Erf;
    /// The largest integer not above `x`.
    floor Floor;
    /// The smallest integer not below `x`.
    ceil Ceil;
    /// The nearest integer; ties round to even.
    round Round;
    /// `max(x, 0)`.
    relu Relu;
}

macro_rules! binary_methods {
    ($($(#[$doc:meta])* $method:ident $variant:ident;)*) => {
        impl<'g> Tensor<'g> {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $method(self, other: impl Operand<'g>) -> Tensor<'g> {
                self.binary(Elementwise::Binary(Binary::$variant), other.operand(self))
            }
        )*}
    };
}
binary_methods! {
    /// `selfᵒᵗʰᵉʳ`. A negative base gives NaN unless the exponent is an integer.
    pow Pow;
    /// The element-wise maximum.
    maximum Max;
    /// The element-wise minimum.
    minimum Min;
}

macro_rules! compare_methods {
    ($($(#[$doc:meta])* $method:ident $variant:ident;)*) => {
        impl<'g> Tensor<'g> {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $method(self, other: impl Operand<'g>) -> Tensor<'g> {
                self.binary(Elementwise::Compare(Compare::$variant), other.operand(self))
            }
        )*}
    };
}
compare_methods! {
    /// 1 where equal, otherwise 0 (`u32`).
    eq Eq;
    /// 1 where different, otherwise 0 (`u32`).
    ne Ne;
    /// 1 where less, otherwise 0 (`u32`).
    lt Lt;
    /// 1 where less or equal, otherwise 0 (`u32`).
    le Le;
    /// 1 where greater, otherwise 0 (`u32`).
    gt Gt;
    /// 1 where greater or equal, otherwise 0 (`u32`).
    ge Ge;
}

impl<'g> Tensor<'g> {
    /// The graph this tensor belongs to.
    pub fn graph(self) -> &'g Graph {
        self.graph
    }
    /// The node's id.
    pub fn id(self) -> NodeId {
        self.id
    }
    /// The shape and dtype.
    pub fn tensor_type(&self) -> TensorType {
        self.graph.nodes()[self.id.index()].ty.clone()
    }
    /// The shape.
    pub fn shape(&self) -> Shape {
        self.graph.nodes()[self.id.index()].ty.shape.clone()
    }
    /// The dtype.
    pub fn dtype(&self) -> DType {
        self.graph.nodes()[self.id.index()].ty.dtype
    }
    /// Names the node; printouts and messages show the name.
    pub fn named(self, name: impl Into<String>) -> Self {
        self.graph.set_name(self.id, name.into());
        self
    }
    /// Whether the call that made this tensor, or an operand, was in error.
    pub(crate) fn is_poisoned(&self) -> bool {
        matches!(self.graph.nodes()[self.id.index()].op, Op::Leaf(Leaf::Poison))
    }
    /// Makes every run store this value in `variable`; see [`Graph::update`].
    #[track_caller]
    pub fn assign_to(self, variable: &Variable) {
        self.graph.update(variable, self);
    }

    #[track_caller]
    fn binary(self, op: Elementwise, other: Tensor<'g>) -> Tensor<'g> {
        if self.is_poisoned() || other.is_poisoned() {
            return self.graph.apply(Op::Elementwise(op), &[self, other]);
        }
        let (a, b) = (self.shape(), other.shape());
        match a.broadcast(&b) {
            Some(shape) => {
                self.graph.apply(Op::Elementwise(op), &[self.broadcast_to(&shape), other.broadcast_to(&shape)])
            }
            None => self.graph.fail(op.name(), format!("shapes {a} and {b} do not broadcast together")),
        }
    }

    /// Element-wise `self ≠ 0 ? on_true : on_false`: `torch.where` with this `u32` tensor as the condition. All three
    /// broadcast together.
    #[track_caller]
    pub fn select(self, on_true: impl Operand<'g>, on_false: impl Operand<'g>) -> Tensor<'g> {
        // A number takes the dtype of the other branch; two numbers are `f32`.
        let like = on_true.tensor().or(on_false.tensor()).unwrap_or_else(|| self.graph.scalar(0.0, DType::F32));
        let (a, b) = (on_true.operand(like), on_false.operand(like));
        let shape = a.shape().broadcast(&b.shape()).and_then(|s| s.broadcast(&self.shape()));
        match shape {
            Some(shape) => self.graph.apply(
                Op::Elementwise(Elementwise::Select),
                &[self.broadcast_to(&shape), a.broadcast_to(&shape), b.broadcast_to(&shape)],
            ),
            None => self.graph.fail(
                "select",
                format!("shapes {}, {} and {} do not broadcast together", self.shape(), a.shape(), b.shape()),
            ),
        }
    }

    /// Clamps to `[low, high]`. At the bounds the gradient is passed on, as in PyTorch.
    #[track_caller]
    pub fn clamp(self, low: f64, high: f64) -> Tensor<'g> {
        if low.is_nan() || high.is_nan() || low > high {
            return self.graph.fail("clamp", format!("the bounds must be ordered numbers, but are {low} and {high}"));
        }
        // Not maximum and minimum: at a bound those would split the gradient between the operands, but all of it
        // belongs to this tensor.
        self.lt(low).select(low, self.gt(high).select(high, self))
    }
    /// Converts the elements to `dtype`. Floats are truncated to integers, with saturation.
    #[track_caller]
    pub fn cast(self, dtype: DType) -> Tensor<'g> {
        if self.dtype() == dtype {
            return self;
        }
        self.graph.apply(Op::Elementwise(Elementwise::Cast(dtype)), &[self])
    }
    /// `self · self`.
    #[track_caller]
    pub fn square(self) -> Tensor<'g> {
        self * self
    }

    #[track_caller]
    fn reduce(self, kind: ReduceKind, axes: Axes, keepdim: bool) -> Tensor<'g> {
        if self.is_poisoned() {
            return self;
        }
        match axes.resolve(self.shape().rank()) {
            Ok(axes) => self.graph.apply(Op::Reduce(Reduce { kind, axes, keepdim }), &[self]),
            Err(message) => self.graph.fail(kind.name(), message),
        }
    }
    /// Whether the elements are stored in row-major order, as far as the operation says: a view that is not would have to be
    /// copied to get another shape.
    fn is_in_order(self) -> bool {
        !matches!(
            self.graph.nodes()[self.id().index()].op,
            Op::Movement(Movement::Permute(_) | Movement::Broadcast(_) | Movement::Slice { .. })
        )
    }
    /// Matrix multiplication over the last two axes, `[…, m, k] × […, k, n] → […, m, n]`; leading axes broadcast. A 1-D
    /// operand is a row vector on the left and a column vector on the right, as in NumPy.
    #[track_caller]
    pub fn matmul(self, other: Tensor<'g>) -> Tensor<'g> {
        if self.is_poisoned() || other.is_poisoned() {
            return self.graph.apply(Op::Matmul(Matmul), &[self, other]);
        }
        let (ra, rb) = (self.shape().rank(), other.shape().rank());
        let a = if ra == 1 { self.unsqueeze(0) } else { self };
        let b = if rb == 1 { other.unsqueeze(1) } else { other };
        let (sa, sb) = (a.shape(), b.shape());
        if sa.rank() < 2 || sb.rank() < 2 {
            return self.graph.fail("matmul", format!("operands need at least one axis, but are {sa} and {sb}"));
        }
        let (la, lb) = (Shape::from(&sa[..sa.rank() - 2]), Shape::from(&sb[..sb.rank() - 2]));
        let Some(lead) = la.broadcast(&lb) else {
            return self.graph.fail("matmul", format!("leading axes of {sa} and {sb} do not broadcast together"));
        };
        // One matrix for all leading axes: one product with as many rows, also in the gradients.
        if ra > 2 && sb.rank() == 2 && sa[ra - 1] == sb[0] && a.is_in_order() {
            let rows = sa[..sa.rank() - 1].iter().product::<usize>();
            let flat = self.graph.apply(Op::Matmul(Matmul), &[a.reshape([rows, sa[sa.rank() - 1]]), b]);
            let result = flat.reshape([&sa[..sa.rank() - 1], &[sb[1]]].concat());
            return if rb == 1 { result.squeeze(-1) } else { result };
        }
        let with = |s: &Shape| Shape::from([&lead[..], &s[s.rank() - 2..]].concat());
        let result = self.graph.apply(Op::Matmul(Matmul), &[a.broadcast_to(with(&sa)), b.broadcast_to(with(&sb))]);
        let result = if rb == 1 { result.squeeze(-1) } else { result };
        if ra == 1 { result.squeeze(if rb == 1 { -1 } else { -2 }) } else { result }
    }
    /// Convolution (cross-correlation, as in PyTorch): `[n, c, …] ⋆ [o, c/groups, …] → [n, o, …]` with one (1-D) or two
    /// (2-D) spatial axes; see [`ConvOptions`].
    #[track_caller]
    pub fn conv(self, weight: Tensor<'g>, options: &ConvOptions) -> Tensor<'g> {
        self.graph.apply(Op::Conv(Conv { kind: ConvKind::Forward, options: options.clone() }), &[self, weight])
    }

    /// Applies an operation that works on the last axis to any axis, by transposing.
    #[track_caller]
    fn along_last(self, op: Op, axis: isize) -> Tensor<'g> {
        if self.is_poisoned() {
            return self;
        }
        let rank = self.shape().rank();
        match resolve_axis(axis, rank) {
            Ok(k) if k + 1 == rank => self.graph.apply(op, &[self]),
            Ok(_) => {
                let y = self.graph.apply(op, &[self.transpose(axis, -1)]);
                if y.is_poisoned() { y } else { y.transpose(axis, -1) }
            }
            Err(message) => self.graph.fail(op.definition().name(), message),
        }
    }
    /// `eˣ / Σ eˣ` along `axis`, computed after subtraction of the maximum.
    #[track_caller]
    pub fn softmax(self, axis: isize) -> Tensor<'g> {
        self.along_last(Op::Softmax(Softmax { log: false }), axis)
    }
    /// `x − log Σ eˣ` along `axis`, computed after subtraction of the maximum.
    #[track_caller]
    pub fn log_softmax(self, axis: isize) -> Tensor<'g> {
        self.along_last(Op::Softmax(Softmax { log: true }), axis)
    }
    /// The cross-entropy loss of logits `[n, classes]` and integer class `labels` `[n]`, without reduction: one value
    /// per row, `[n]`. With label smoothing `s` the target distribution is `(1 − s)·one_hot + s/classes`, as in
    /// PyTorch.
    #[track_caller]
    pub fn cross_entropy(self, labels: Tensor<'g>, label_smoothing: f64) -> Tensor<'g> {
        if !(0.0..=1.0).contains(&label_smoothing) {
            return self
                .graph
                .fail("cross_entropy", format!("label smoothing must lie in [0, 1], but is {label_smoothing}"));
        }
        let op = CrossEntropy::Loss { smoothing: label_smoothing.to_bits() };
        // The operation itself rejects labels that are not integers.
        self.graph.apply(Op::CrossEntropy(op), &[self, labels.as_index()])
    }
}

macro_rules! reduce_methods {
    ($($(#[$doc:meta])* $method:ident $keep:ident $variant:ident;)*) => {
        impl<'g> Tensor<'g> {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $method(self, axes: impl Into<Axes>) -> Tensor<'g> {
                self.reduce(ReduceKind::$variant, axes.into(), false)
            }
            $(#[$doc])*
            /// As above; the reduced axes are kept, with size 1.
            #[track_caller]
            pub fn $keep(self, axes: impl Into<Axes>) -> Tensor<'g> {
                self.reduce(ReduceKind::$variant, axes.into(), true)
            }
        )*}
    };
}
reduce_methods! {
    /// The sum over `axes` (`..` for all).
    sum sum_keepdim Sum;
    /// The mean over `axes` (`..` for all). `f32` and `f16` only.
    mean mean_keepdim Mean;
    /// The maximum over `axes`; equal maxima share the gradient equally, as in `torch.amax`.
    max max_keepdim Max;
    /// The minimum over `axes`; equal minima share the gradient equally, as in `torch.amin`.
    min min_keepdim Min;
    /// The index of the first maximum, as `u32`; over several axes, the row-major index into them.
    argmax argmax_keepdim ArgMax;
    /// The index of the first minimum, as `u32`; over several axes, the row-major index into them.
    argmin argmin_keepdim ArgMin;
}

macro_rules! operator {
    ($trait:ident $method:ident $variant:ident) => {
        impl<'g, R: Operand<'g>> std::ops::$trait<R> for Tensor<'g> {
            type Output = Tensor<'g>;
            #[track_caller]
            fn $method(self, right: R) -> Tensor<'g> {
                self.binary(Elementwise::Binary(Binary::$variant), right.operand(self))
            }
        }
        operator!(@left $trait $method $variant f64 f32);
    };
    (@left $trait:ident $method:ident $variant:ident $($t:ty)*) => {$(
        impl<'g> std::ops::$trait<Tensor<'g>> for $t {
            type Output = Tensor<'g>;
            #[track_caller]
            fn $method(self, right: Tensor<'g>) -> Tensor<'g> {
                self.operand(right).binary(Elementwise::Binary(Binary::$variant), right)
            }
        }
    )*};
}
operator!(Add add Add);
operator!(Sub sub Sub);
operator!(Mul mul Mul);
operator!(Div div Div);
operator!(Rem rem Rem);

impl<'g> std::ops::Neg for Tensor<'g> {
    type Output = Tensor<'g>;
    #[track_caller]
    fn neg(self) -> Tensor<'g> {
        self.graph.apply(Op::Elementwise(Elementwise::Unary(Unary::Neg)), &[self])
    }
}
