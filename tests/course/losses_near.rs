//! Numbers with the most that f32 arithmetic may be off: running error analysis.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// What one rounding to f32 changes, relative to the number.
const ROUNDING: f64 = 0.5 * f32::EPSILON as f64;

/// A value computed in f64, and a bound on the error of the same computation in f32. Each operation carries its operands' errors on
/// and adds a rounding; exponentials and logarithms add two units.
#[derive(Debug, Clone, Copy)]
pub(super) struct Near {
    pub(super) value: f64,
    pub(super) error: f64,
}

impl Near {
    /// A number that f32 rounds.
    pub(super) fn new(value: f64) -> Self {
        Near::rounded(value, 0.0, 1.0)
    }
    fn rounded(value: f64, error: f64, roundings: f64) -> Self {
        Near { value, error: error + roundings * ROUNDING * (value.abs() + error) }
    }
    pub(super) fn exp(self) -> Self {
        let value = self.value.exp();
        Near::rounded(value, value * (self.error.exp() - 1.0), 4.0)
    }
    pub(super) fn ln(self) -> Self {
        assert!(self.error < self.value);
        Near::rounded(self.value.ln(), -(1.0 - self.error / self.value).ln(), 4.0)
    }
    pub(super) fn relu(self) -> Self {
        Near { value: self.value.max(0.0), error: self.error }
    }
    pub(super) fn sigmoid(self) -> Self {
        Near::new(1.0) / (Near::new(1.0) + (-self).exp())
    }
    pub(super) fn square(self) -> Self {
        self * self
    }
}

impl Add for Near {
    type Output = Near;
    fn add(self, other: Near) -> Near {
        Near::rounded(self.value + other.value, self.error + other.error, 1.0)
    }
}

impl Neg for Near {
    type Output = Near;
    fn neg(self) -> Near {
        Near { value: -self.value, error: self.error }
    }
}

impl Sub for Near {
    type Output = Near;
    fn sub(self, other: Near) -> Near {
        self + -other
    }
}

impl Mul for Near {
    type Output = Near;
    fn mul(self, other: Near) -> Near {
        let error = self.value.abs() * other.error + other.value.abs() * self.error + self.error * other.error;
        Near::rounded(self.value * other.value, error, 1.0)
    }
}

impl Div for Near {
    type Output = Near;
    fn div(self, other: Near) -> Near {
        assert!(other.error < other.value.abs());
        let value = self.value / other.value;
        Near::rounded(value, (self.error + value.abs() * other.error) / (other.value.abs() - other.error), 2.0)
    }
}

/// The sum, in any order.
pub(super) fn sum(values: impl IntoIterator<Item = Near>) -> Near {
    let zero = Near { value: 0.0, error: 0.0 };
    let all: Vec<Near> = values.into_iter().collect();
    let largest: f64 = all.iter().map(|v| v.value.abs() + v.error).sum();
    let exact = all.iter().fold(zero, |a, b| Near { value: a.value + b.value, error: a.error + b.error });
    Near { value: exact.value, error: exact.error + all.len() as f64 * ROUNDING * largest }
}

/// The product, in any order. A part of it that is below the least f32 may become 0, whatever the others, up to `largest`, are.
pub(super) fn product(values: &[Near], largest: f64) -> Near {
    let one = Near { value: 1.0, error: 0.0 };
    let all = values.iter().fold(one, |a, &b| a * b);
    let lost = f64::from(f32::MIN_POSITIVE) * largest.powi(values.len() as i32);
    Near { value: all.value, error: all.error + lost }
}
