//! Comparison of a device's values with the reference's, within error bounds.

use crate::dtype::DType;
use serde::{Deserialize, Serialize};

/// The element with the largest error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Element {
    /// Its linear index, row-major.
    pub index: usize,
    /// The device's value. A string in reports: JSON has neither NaN nor infinity.
    #[serde(with = "text")]
    pub got: f64,
    /// The reference's value.
    #[serde(with = "text")]
    pub expected: f64,
    /// The error bound.
    #[serde(with = "text")]
    pub bound: f64,
}

mod text {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &f64, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&format_args!("{value:e}"))
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl std::fmt::Display for Element {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "element {} is {:e}, not {:e} ± {:.1e}", self.index, self.got, self.expected, self.bound)
    }
}

/// The result of comparing values with the reference's.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Comparison {
    /// The largest error in units of its bound: 1 or less passes. `f64::MAX` for NaN, infinity or a wrong number of
    /// elements.
    pub worst: f64,
    /// The element with that error; `None` if all elements are equal.
    pub at: Option<Element>,
    /// The number of elements compared: those with a finite bound whose reference value the dtype can represent.
    pub compared: usize,
    /// The number of elements.
    pub elements: usize,
}

impl Comparison {
    /// Compares values with the reference's. Elements whose reference value is NaN or overflows the dtype, or whose
    /// bound is infinite, are not compared: WGSL does not specify results of infinity and NaN.
    pub fn of(got: &[f64], expected: &[f64], bounds: &[f64], dtype: DType) -> Comparison {
        let mut result = Comparison { elements: expected.len(), ..Comparison::default() };
        if got.len() != expected.len() || bounds.len() != expected.len() {
            result.worst = f64::MAX;
            return result;
        }
        for (index, ((&got, &expected), &bound)) in got.iter().zip(expected).zip(bounds).enumerate() {
            if !representable(expected, dtype) || !bound.is_finite() {
                continue;
            }
            result.compared += 1;
            let ratio = ratio(got, expected, bound);
            if ratio > result.worst {
                (result.worst, result.at) = (ratio, Some(Element { index, got, expected, bound }));
            }
        }
        result
    }

    /// Whether the error of every element compared is within its bound.
    pub fn passed(&self) -> bool {
        self.worst <= 1.0
    }
}

/// An error in units of its bound.
pub(super) fn ratio(got: f64, expected: f64, bound: f64) -> f64 {
    if got == expected {
        return 0.0;
    }
    let ratio = (got - expected).abs() / bound;
    if ratio.is_nan() { f64::MAX } else { ratio.min(f64::MAX) }
}

/// Whether a value is within the finite range of a dtype, with a margin for rounding.
pub(super) fn representable(value: f64, dtype: DType) -> bool {
    let largest = match dtype {
        DType::F32 => f64::from(f32::MAX),
        DType::F16 => half::f16::MAX.to_f64(),
        DType::U32 | DType::I32 => f64::MAX,
    };
    value.abs() <= largest * (1.0 - 4.0 * dtype.epsilon())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_elements_with_a_reference_value_and_a_bound_are_compared() {
        let of = |got: &[f64], expected: &[f64], bounds: &[f64]| Comparison::of(got, expected, bounds, DType::F32);
        let all = of(&[1.0, f64::NAN, 7.0, 2.0], &[1.0, f64::INFINITY, 1e39, 2.5], &[0.0, 1.0, 1.0, 1.0]);
        assert!(all.passed() && all.compared == 2 && all.worst == 0.5, "{all:?}");
        assert!(!of(&[f64::NAN], &[1.0], &[1e-3]).passed());
        assert!(!of(&[1.0], &[2.0], &[0.0]).passed());
        assert!(!of(&[], &[2.0], &[0.0]).passed());
    }
}
