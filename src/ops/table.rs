//! The table of element-wise operations: the only list of them.
//!
//! A row holds the operation's name, the dtypes it accepts, its definition as a Rust expression (expanded for `f64`,
//! the reference, and for `f32`, the CPU executor), its WGSL expression, the range from which samples are drawn, the
//! error that a correct implementation may make (in units of the dtype's epsilon, from the WGSL specification's
//! accuracy table), and its gradient in graph operations. The planner, both executors, the parity suite and gradcheck
//! read these rows: adding an element-wise operation means adding a row.
//!
//! `wgsl` is an expression in `x` (unary) or `a` and `b` (binary). Helper functions such as `tanh_guarded` are
//! defined in `shaders/elementwise.wgsl`.

use crate::dtype::DType;
use crate::tensor::Tensor;

/// The dtypes that an operation accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// `f32` and `f16`.
    Float,
    /// Floats and `i32`.
    Signed,
    /// `u32` and `i32`.
    Integer,
    /// All.
    Any,
}

impl Domain {
    /// Whether `dtype` is one of them.
    pub fn contains(self, dtype: DType) -> bool {
        match self {
            Domain::Float => dtype.is_float(),
            Domain::Signed => dtype != DType::U32,
            Domain::Integer => !dtype.is_float(),
            Domain::Any => true,
        }
    }
    /// The dtypes in words, for messages.
    pub fn describe(self) -> &'static str {
        match self {
            Domain::Float => "f32 or f16",
            Domain::Signed => "f32, f16 or i32",
            Domain::Integer => "u32 or i32",
            Domain::Any => "any dtype",
        }
    }
}

/// The columns that the rows of unary and binary operations share.
#[derive(Debug)]
pub struct Row<F, G> {
    /// The operation's name.
    pub name: &'static str,
    /// The dtypes it accepts.
    pub domain: Domain,
    /// The reference implementation.
    pub f64: F,
    /// The WGSL expression.
    pub wgsl: &'static str,
    /// The range from which samples are drawn.
    pub range: (f64, f64),
    /// The vector-Jacobian product: input gradients from the upstream gradient.
    pub grad: G,
}

/// `f32` and `f64` functions that Rust's standard library lacks, under one name.
trait Real: Copy {
    fn error_function(self) -> Self;
    fn signum_or_zero(self) -> Self;
    fn logistic(self) -> Self;
}

macro_rules! real {
    ($t:ty, $erf:path) => {
        impl Real for $t {
            fn error_function(self) -> Self {
                $erf(self)
            }
            #[inline(always)]
            fn signum_or_zero(self) -> Self {
                if self > 0.0 {
                    1.0
                } else if self < 0.0 {
                    -1.0
                } else {
                    self
                }
            }
            #[inline(always)]
            fn logistic(self) -> Self {
                let e = (-self.abs()).exp();
                if self >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
            }
        }
    };
}
real!(f32, libm::erff);
real!(f64, libm::erf);

type UnaryGrad = for<'g> fn(Tensor<'g>, Tensor<'g>, Tensor<'g>) -> Option<Tensor<'g>>;
type BinaryGrad = for<'g> fn(Tensor<'g>, Tensor<'g>, Tensor<'g>, Tensor<'g>) -> [Option<Tensor<'g>>; 2];

macro_rules! unary_table {
    ($($doc:literal $variant:ident $name:literal $domain:ident
       f: |$x:ident| $rust:expr; wgsl: $wgsl:literal; range: $range:expr;
       error: |$ex:pat_param, $ey:pat_param| $error:expr; grad: |$gx:pat_param, $gy:pat_param, $g:pat_param| $grad:expr;)*) => {
        /// A unary element-wise operation.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum Unary { $(#[doc = $doc] $variant),* }

        impl Unary {
            /// All of them.
            pub const ALL: &'static [Unary] = &[$(Unary::$variant),*];
            /// Its row.
            pub fn row(self) -> &'static Row<fn(f64) -> f64, UnaryGrad> {
                static ROWS: &[Row<fn(f64) -> f64, UnaryGrad>] = &[$(Row {
                    name: $name, domain: Domain::$domain, f64: |$x: f64| $rust, wgsl: $wgsl, range: $range,
                    grad: |$gx, $gy, $g| $grad,
                }),*];
                &ROWS[self as usize]
            }
            /// The error allowed for input `x` and output `y`, in units of the dtype's epsilon.
            pub fn error(self, x: f64, y: f64) -> f64 {
                match self { $(Unary::$variant => { let ($ex, $ey) = (x, y); $error })* }
            }
            /// `out[i] = f(x[i])`.
            #[inline(always)]
            pub fn apply_f32(self, x: &[f32], out: &mut [f32]) {
                match self {
                    $(Unary::$variant => for (o, &$x) in out.iter_mut().zip(x) { *o = $rust; })*
                }
            }
        }
    };
}

macro_rules! binary_table {
    ($($doc:literal $variant:ident $name:literal $domain:ident
       f: |$a:ident, $b:ident| $rust:expr; wgsl: $wgsl:literal; range: $range:expr;
       error: |$ea:pat_param, $eb:pat_param, $ey:pat_param| $error:expr;
       grad: |$ga:pat_param, $gb:pat_param, $gy:pat_param, $g:pat_param| $grad:expr;)*) => {
        /// A binary element-wise operation.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum Binary { $(#[doc = $doc] $variant),* }

        impl Binary {
            /// All of them.
            pub const ALL: &'static [Binary] = &[$(Binary::$variant),*];
            /// Its row.
            pub fn row(self) -> &'static Row<fn(f64, f64) -> f64, BinaryGrad> {
                static ROWS: &[Row<fn(f64, f64) -> f64, BinaryGrad>] = &[$(Row {
                    name: $name, domain: Domain::$domain, f64: |$a: f64, $b: f64| $rust, wgsl: $wgsl, range: $range,
                    grad: |$ga, $gb, $gy, $g| $grad,
                }),*];
                &ROWS[self as usize]
            }
            /// The error allowed for inputs `a`, `b` and output `y`, in units of the dtype's epsilon.
            pub fn error(self, a: f64, b: f64, y: f64) -> f64 {
                match self { $(Binary::$variant => { let ($ea, $eb, $ey) = (a, b, y); $error })* }
            }
            /// `out[i] = f(a[i], b[i])`.
            #[inline(always)]
            pub fn apply_f32(self, a: &[f32], b: &[f32], out: &mut [f32]) {
                match self {
                    $(Binary::$variant => for ((o, &$a), &$b) in out.iter_mut().zip(a).zip(b) { *o = $rust; })*
                }
            }
        }
    };
}

unary_table! {
    "`-x`" Neg "neg" Signed
        f: |x| -x; wgsl: "-x"; range: (-3.0, 3.0); error: |_, _| 0.0; grad: |_, _, g| Some(-g);
    "`|x|`; gradient 0 at 0" Abs "abs" Any
        f: |x| x.abs(); wgsl: "abs(x)"; range: (-3.0, 3.0); error: |_, _| 0.0; grad: |x, _, g| Some(g * x.sign());
    "-1, 0 or 1" Sign "sign" Signed
        f: |x| x.signum_or_zero(); wgsl: "sign(x)"; range: (-3.0, 3.0); error: |_, _| 0.0; grad: |_, _, _| None;
    "`eˣ`" Exp "exp" Float
        f: |x| x.exp(); wgsl: "exp(x)"; range: (-6.0, 6.0); error: |x, y| y.abs() * (3.0 + 2.0 * x.abs()); grad: |_, y, g| Some(g * y);
    "natural logarithm" Log "log" Float
        f: |x| x.ln(); wgsl: "log(x)"; range: (0.05, 8.0); error: |_, y| (3.0 * y.abs()).max(4.0); grad: |x, _, g| Some(g / x);
    "`√x`" Sqrt "sqrt" Float
        f: |x| x.sqrt(); wgsl: "sqrt(x)"; range: (0.05, 8.0); error: |_, y| 4.0 * y.abs(); grad: |_, y, g| Some(g * 0.5 / y);
    "`1/√x`" Rsqrt "rsqrt" Float
        f: |x| 1.0 / x.sqrt(); wgsl: "inverseSqrt(x)"; range: (0.05, 8.0); error: |_, y| 3.0 * y.abs(); grad: |x, y, g| Some(g * y / x * -0.5);
    "`1/x`" Recip "recip" Float
        f: |x| 1.0 / x; wgsl: "1.0 / x"; range: (0.2, 5.0); error: |_, y| 2.5 * y.abs(); grad: |_, y, g| Some(-(g * y * y));
    "sine" Sin "sin" Float
        f: |x| x.sin(); wgsl: "sin_reduced(x)"; range: (-9.0, 9.0); error: |x, _| 2.0 + 0.25 * x.abs(); grad: |x, _, g| Some(g * x.cos());
    "cosine" Cos "cos" Float
        f: |x| x.cos(); wgsl: "cos_reduced(x)"; range: (-9.0, 9.0); error: |x, _| 2.0 + 0.25 * x.abs(); grad: |x, _, g| Some(-(g * x.sin()));
    "hyperbolic tangent" Tanh "tanh" Float
        f: |x| x.tanh(); wgsl: "tanh_guarded(x)"; range: (-4.0, 4.0); error: |_, y| 6.0 * y.abs(); grad: |_, y, g| Some(g * (1.0 - y * y));
    "`1/(1+e⁻ˣ)`" Sigmoid "sigmoid" Float
        f: |x| x.logistic(); wgsl: "sigmoid_guarded(x)"; range: (-6.0, 6.0); error: |x, y| y.abs() * (6.0 + 2.0 * x.abs()); grad: |_, y, g| Some(g * y * (1.0 - y));
    "the error function" Erf "erf" Float
        f: |x| x.error_function(); wgsl: "erf_polynomial(x)"; range: (-3.0, 3.0); error: |_, y| 4.0 * y.abs(); grad: |x, _, g| Some(g * (x * x * -1.0).exp() * std::f64::consts::FRAC_2_SQRT_PI);
    "the largest integer not above x" Floor "floor" Float
        f: |x| x.floor(); wgsl: "floor(x)"; range: (-4.0, 4.0); error: |_, _| 0.0; grad: |_, _, _| None;
    "the smallest integer not below x" Ceil "ceil" Float
        f: |x| x.ceil(); wgsl: "ceil(x)"; range: (-4.0, 4.0); error: |_, _| 0.0; grad: |_, _, _| None;
    "the nearest integer, ties to even" Round "round" Float
        f: |x| x.round_ties_even(); wgsl: "round(x)"; range: (-4.0, 4.0); error: |_, _| 0.0; grad: |_, _, _| None;
    "`max(x, 0)`; gradient 0 at 0" Relu "relu" Signed
        f: |x| if x <= 0.0 { 0.0 } else { x }; wgsl: "max(x, zero(x))"; range: (-3.0, 3.0); error: |_, _| 0.0; grad: |_, y, g| Some(y.gt(0.0).select(g, 0.0));
}

binary_table! {
    "`a + b`" Add "add" Any
        f: |a, b| a + b; wgsl: "a + b"; range: (-3.0, 3.0); error: |_, _, y| y.abs(); grad: |_, _, _, g| [Some(g), Some(g)];
    "`a - b`" Sub "sub" Any
        f: |a, b| a - b; wgsl: "a - b"; range: (-3.0, 3.0); error: |_, _, y| y.abs(); grad: |_, _, _, g| [Some(g), Some(-g)];
    "`a · b`" Mul "mul" Any
        f: |a, b| a * b; wgsl: "a * b"; range: (-3.0, 3.0); error: |_, _, y| y.abs(); grad: |a, b, _, g| [Some(g * b), Some(g * a)];
    "`a / b`; integers truncate, and x/0 is x" Div "div" Any
        f: |a, b| a / b; wgsl: "divide_f32(a, b)"; range: (0.2, 5.0); error: |_, _, y| 2.5 * y.abs(); grad: |_, b, y, g| [Some(g / b), Some(-(g * y / b))];
    "the remainder of truncating division; x rem 0 is 0" Rem "rem" Integer
        f: |a, b| a % b; wgsl: "a % b"; range: (1.0, 9.0); error: |_, _, _| 0.0; grad: |_, _, _, _| [None, None];
    "`aᵇ`; negative a only with whole b" Pow "pow" Float
        f: |a, b| a.powf(b); wgsl: "power(a, b)"; range: (0.2, 3.0);
        error: |a, b, y| y.abs() * (8.0 + 4.0 * (b * a.abs().max(1e-30).log2()).abs() + 4.0 * b.abs());
        grad: |a, b, y, g| [Some(b.eq(0.0).select(0.0, g * b * a.pow(b - 1.0))), Some(a.gt(0.0).select(g * y * a.maximum(f64::from(f32::MIN_POSITIVE)).log(), 0.0))];
    "the maximum; equal operands share the gradient" Max "maximum" Any
        f: |a, b| if a.is_nan() || a > b { a } else { b }; wgsl: "max(a, b)"; range: (-3.0, 3.0); error: |_, _, _| 0.0; grad: |a, b, _, g| [Some(share(g, a.gt(b), a.eq(b))), Some(share(g, b.gt(a), a.eq(b)))];
    "the minimum; equal operands share the gradient" Min "minimum" Any
        f: |a, b| if a.is_nan() || a < b { a } else { b }; wgsl: "min(a, b)"; range: (-3.0, 3.0); error: |_, _, _| 0.0; grad: |a, b, _, g| [Some(share(g, a.lt(b), a.eq(b))), Some(share(g, b.lt(a), a.eq(b)))];
}

/// All of `g` where `wins` is 1, half of it where the operands are equal (`ties`), else 0.
fn share<'g>(g: Tensor<'g>, wins: Tensor<'g>, ties: Tensor<'g>) -> Tensor<'g> {
    g * (wins.cast(g.dtype()) + ties.cast(g.dtype()) * 0.5)
}

macro_rules! compare_table {
    ($($doc:literal $variant:ident $name:literal $op:tt $text:literal;)*) => {
        /// An element-wise comparison; the result is `u32`, 0 or 1. It has no gradient.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum Compare { $(#[doc = $doc] $variant),* }

        impl Compare {
            /// All of them.
            pub const ALL: &'static [Compare] = &[$(Compare::$variant),*];
            /// Its name.
            pub fn name(self) -> &'static str {
                match self { $(Compare::$variant => $name),* }
            }
            /// The WGSL expression in `a` and `b`.
            pub fn wgsl(self) -> &'static str {
                match self { $(Compare::$variant => $text),* }
            }
            /// Whether the comparison holds.
            pub fn holds<T: PartialOrd>(self, a: T, b: T) -> bool {
                match self { $(Compare::$variant => a $op b),* }
            }
            /// `out[i] = a[i] op b[i]`.
            #[inline(always)]
            pub fn apply<T: PartialOrd + Copy>(self, a: &[T], b: &[T], out: &mut [u32]) {
                match self {
                    $(Compare::$variant => for ((o, &a), &b) in out.iter_mut().zip(a).zip(b) { *o = u32::from(a $op b); })*
                }
            }
        }
    };
}

compare_table! {
    "`a = b`" Eq "eq" == "u32(a == b)";
    "`a ≠ b`" Ne "ne" != "u32(a != b)";
    "`a < b`" Lt "lt" < "u32(a < b)";
    "`a ≤ b`" Le "le" <= "u32(a <= b)";
    "`a > b`" Gt "gt" > "u32(a > b)";
    "`a ≥ b`" Ge "ge" >= "u32(a >= b)";
}

/// Integer semantics, equal on every device: arithmetic wraps; division truncates; `x / 0 = x`, `x rem 0 = 0` (WGSL's
/// rules).
pub mod integer {
    use super::{Binary, Unary};

    /// A 32-bit integer type.
    pub trait Int: Copy + Ord {
        /// Applies a unary operation. Float-only operations return `x`: shape rules reject them earlier.
        fn unary(op: Unary, x: Self) -> Self;
        /// Applies a binary operation.
        fn binary(op: Binary, a: Self, b: Self) -> Self;
    }

    macro_rules! int {
        ($t:ty, $abs:expr, $sign:expr) => {
            impl Int for $t {
                #[inline(always)]
                fn unary(op: Unary, x: Self) -> Self {
                    match op {
                        Unary::Neg => x.wrapping_neg(),
                        Unary::Abs => $abs(x),
                        Unary::Sign => $sign(x),
                        Unary::Relu => x.max(0),
                        _ => x,
                    }
                }
                #[inline(always)]
                fn binary(op: Binary, a: Self, b: Self) -> Self {
                    match op {
                        Binary::Add => a.wrapping_add(b),
                        Binary::Sub => a.wrapping_sub(b),
                        Binary::Mul => a.wrapping_mul(b),
                        Binary::Div if b == 0 => a,
                        Binary::Div => a.wrapping_div(b),
                        Binary::Rem if b == 0 => 0,
                        Binary::Rem => a.wrapping_rem(b),
                        Binary::Max => a.max(b),
                        Binary::Min => a.min(b),
                        Binary::Pow => a,
                    }
                }
            }
        };
    }
    int!(u32, |x| x, |x: u32| x.min(1));
    int!(i32, i32::wrapping_abs, i32::signum);
}
