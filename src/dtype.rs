//! Element types.

use half::f16;

/// The type of a tensor's elements.
///
/// `F16` is a storage type: kernels compute in `f32` and round once, when they store. Comparisons give `U32` tensors of
/// 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// IEEE binary32.
    F32,
    /// IEEE binary16.
    F16,
    /// Unsigned 32-bit integer.
    U32,
    /// Signed 32-bit integer.
    I32,
}

impl DType {
    /// All dtypes.
    pub const ALL: [DType; 4] = [DType::F32, DType::F16, DType::U32, DType::I32];

    /// The size of an element in bytes.
    pub fn size(self) -> usize {
        match self {
            DType::F16 => 2,
            DType::F32 | DType::U32 | DType::I32 => 4,
        }
    }
    /// `F32` or `F16`.
    pub fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F16)
    }
    /// The name used in messages and in WGSL: `f32`, `f16`, `u32`, `i32`.
    pub fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::U32 => "u32",
            DType::I32 => "i32",
        }
    }
    /// The type that kernels compute in: `F32` for `F16`, otherwise the dtype itself.
    pub fn compute(self) -> DType {
        if self == DType::F16 { DType::F32 } else { self }
    }
    /// The machine epsilon: the distance from 1 to the next larger number of this dtype; 0 for integers.
    pub fn epsilon(self) -> f64 {
        match self {
            DType::F32 => f64::from(f32::EPSILON),
            DType::F16 => f16::EPSILON.to_f64(),
            DType::U32 | DType::I32 => 0.0,
        }
    }
}

impl std::fmt::Display for DType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
