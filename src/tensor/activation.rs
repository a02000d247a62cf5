//! Activation functions, with the names and meaning of `torch.nn.functional`.
//!
//! Every function and its gradient are finite for any finite input: a branch that is not selected gets a clamped
//! argument, so it neither overflows nor puts a NaN into the gradient.

use super::Tensor;
use crate::shape::resolve_axis;

/// For larger `x`, `e⁻ˣ` is 0 or negligible in every format, including the reference's `f64`.
const FAR: f64 = 1e4;

impl<'g> Tensor<'g> {
    /// `x` where negative, otherwise 0.
    #[track_caller]
    fn negative_part(self) -> Tensor<'g> {
        self.gt(0.0).select(0.0, self)
    }

    /// `x` where positive, otherwise `slope·x`.
    #[track_caller]
    pub fn leaky_relu(self, slope: f64) -> Tensor<'g> {
        self.gt(0.0).select(self, self.negative_part() * slope)
    }

    /// `x` where positive, otherwise `weight·x`, with one weight in all or one per channel (axis 1).
    #[track_caller]
    pub fn prelu(self, weight: Tensor<'g>) -> Tensor<'g> {
        if self.is_poisoned() || weight.is_poisoned() {
            return if self.is_poisoned() { self } else { weight };
        }
        let (shape, count) = (self.shape(), weight.shape().elements());
        let channels = shape.get(1).copied().unwrap_or(1);
        if weight.shape().rank() > 1 || (count != 1 && count != channels) {
            let message = format!("a weight {} does not match the {channels} channels of {shape}", weight.shape());
            return self.graph.fail("prelu", message);
        }
        let mut sizes = vec![1; shape.rank()];
        if count > 1 {
            sizes[1] = count;
        }
        self.gt(0.0).select(self, self.negative_part() * weight.reshape(sizes))
    }

    /// `x` where positive, otherwise `alpha·(eˣ − 1)`.
    #[track_caller]
    pub fn elu(self, alpha: f64) -> Tensor<'g> {
        self.gt(0.0).select(self, (self.negative_part().exp() - 1.0) * alpha)
    }

    /// `x` where positive, otherwise `alpha·(e^(x/alpha) − 1)`; `alpha` must be positive.
    #[track_caller]
    pub fn celu(self, alpha: f64) -> Tensor<'g> {
        if alpha.is_nan() || alpha <= 0.0 {
            return self.graph.fail("celu", format!("alpha must be positive, but is {alpha}"));
        }
        let inner = self.clamp(-FAR * alpha, 0.0) * (1.0 / alpha);
        self.gt(0.0).select(self, (inner.exp() - 1.0) * alpha)
    }

    /// The self-normalising `scale·elu(x, alpha)`.
    #[track_caller]
    pub fn selu(self) -> Tensor<'g> {
        self.elu(1.673_263_242_354_377_2) * 1.050_700_987_355_480_5
    }

    /// `x·Φ(x)`, where `Φ` is the standard normal distribution function, computed with the error function.
    #[track_caller]
    pub fn gelu(self) -> Tensor<'g> {
        let inner = (self * std::f64::consts::FRAC_1_SQRT_2).clamp(-12.0, 12.0);
        self * 0.5 * (inner.erf() + 1.0)
    }

    /// `x·Φ(x)` with the tanh approximation: PyTorch's `gelu(approximate="tanh")`.
    #[track_caller]
    pub fn gelu_tanh(self) -> Tensor<'g> {
        let x = self.clamp(-20.0, 20.0);
        let inner = (x + x * x * x * 0.044_715) * (2.0 / std::f64::consts::PI).sqrt();
        self * 0.5 * (inner.tanh() + 1.0)
    }

    /// `x/(1 + e⁻ˣ)`.
    #[track_caller]
    pub fn silu(self) -> Tensor<'g> {
        // Where `|x|` is large, `silu(x)` is `x` or 0.
        let x = self.clamp(-FAR, FAR);
        self.gt(FAR).select(self, x * x.sigmoid())
    }

    /// `x·tanh(log(1 + eˣ))`.
    #[track_caller]
    pub fn mish(self) -> Tensor<'g> {
        let x = self.clamp(-FAR, FAR);
        self.gt(FAR).select(self, x * x.softplus(1.0, 20.0).tanh())
    }

    /// `log(1 + e^(beta·x))/beta`, and `x` where `beta·x` is above `threshold`; `beta` must be positive.
    #[track_caller]
    pub fn softplus(self, beta: f64, threshold: f64) -> Tensor<'g> {
        if beta.is_nan() || beta <= 0.0 || threshold.is_nan() {
            let message =
                format!("beta must be positive and the threshold a number, but they are {beta} and {threshold}");
            return self.graph.fail("softplus", message);
        }
        let edge = (threshold / beta).clamp(-f64::from(f32::MAX), f64::from(f32::MAX));
        let z = self.clamp(-FAR.max(-threshold) / beta, edge) * beta;
        self.gt(edge).select(self, (z.maximum(0.0) + ((-z.abs()).exp() + 1.0).log()) * (1.0 / beta))
    }

    /// `log(1/(1 + e⁻ˣ))`.
    #[track_caller]
    pub fn log_sigmoid(self) -> Tensor<'g> {
        self.minimum(0.0) - ((-self.abs()).exp() + 1.0).log()
    }

    /// `x` clamped to `[low, high]`; at the bounds the gradient is 0.
    #[track_caller]
    pub fn hardtanh(self, low: f64, high: f64) -> Tensor<'g> {
        if low.is_nan() || high.is_nan() || low > high {
            return self
                .graph
                .fail("hardtanh", format!("the bounds must be ordered numbers, but are {low} and {high}"));
        }
        self.ge(high).select(high, self.le(low).select(low, self))
    }

    /// `x` clamped to `[0, 6]`.
    #[track_caller]
    pub fn relu6(self) -> Tensor<'g> {
        self.hardtanh(0.0, 6.0)
    }

    /// `x/6 + 1/2` clamped to `[0, 1]`.
    #[track_caller]
    pub fn hardsigmoid(self) -> Tensor<'g> {
        self.hardtanh(-3.0, 3.0) * (1.0 / 6.0) + 0.5
    }

    /// `x·hardsigmoid(x)`.
    #[track_caller]
    pub fn hardswish(self) -> Tensor<'g> {
        let inner = self.hardtanh(-3.0, 3.0);
        self.ge(3.0).select(self, inner * (inner + 3.0) * (1.0 / 6.0))
    }

    /// `x/(1 + |x|)`.
    #[track_caller]
    pub fn softsign(self) -> Tensor<'g> {
        self / (self.abs() + 1.0)
    }

    /// `x − tanh(x)`.
    #[track_caller]
    pub fn tanhshrink(self) -> Tensor<'g> {
        self - self.tanh()
    }

    /// `x − lambda·sign(x)` where `|x|` is above `lambda`, otherwise 0.
    #[track_caller]
    pub fn softshrink(self, lambda: f64) -> Tensor<'g> {
        self.gt(lambda).select(self - lambda, self.lt(-lambda).select(self + lambda, 0.0))
    }

    /// `x` where `|x|` is above `lambda`, otherwise 0.
    #[track_caller]
    pub fn hardshrink(self, lambda: f64) -> Tensor<'g> {
        self.abs().gt(lambda).select(self, 0.0)
    }

    /// `x` where above `threshold`, otherwise `value`.
    #[track_caller]
    pub fn threshold(self, threshold: f64, value: f64) -> Tensor<'g> {
        self.gt(threshold).select(self, value)
    }

    /// Gated linear unit: the first half of `axis` times the sigmoid of the second half.
    #[track_caller]
    pub fn glu(self, axis: isize) -> Tensor<'g> {
        if self.is_poisoned() {
            return self;
        }
        let shape = self.shape();
        match resolve_axis(axis, shape.rank()) {
            Ok(k) if shape[k].is_multiple_of(2) => {
                let half = shape[k] / 2;
                self.slice(axis, 0..half) * self.slice(axis, half..2 * half).clamp(-FAR, FAR).sigmoid()
            }
            Ok(k) => self.graph.fail("glu", format!("axis {axis} of {shape} has an odd size, {}", shape[k])),
            Err(message) => self.graph.fail("glu", message),
        }
    }

    /// Softmax of `−x` along `axis`.
    #[track_caller]
    pub fn softmin(self, axis: isize) -> Tensor<'g> {
        (-self).softmax(axis)
    }
}
