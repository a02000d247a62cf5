//! Dense arrays on the host: the inputs, constants and outputs of programs.

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::shape::{Shape, TensorType};
use half::f16;

/// The elements of an [`Array`].
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 16-bit floats.
    F16(Vec<f16>),
    /// Unsigned integers.
    U32(Vec<u32>),
    /// Signed integers.
    I32(Vec<i32>),
}

/// A Rust type that can be a tensor's element type.
pub trait Element: bytemuck::Pod + PartialEq + std::fmt::Debug + Send + Sync {
    /// The corresponding dtype.
    const DTYPE: DType;
    /// The value as `f64` (exact).
    fn to_f64(self) -> f64;
    /// The value of this type nearest to `x` (integers: truncated, saturating).
    fn from_f64(x: f64) -> Self;
    /// The vector with its dtype attached.
    fn wrap(data: Vec<Self>) -> Data;
}

macro_rules! element {
    ($t:ty, $d:ident) => {
        impl Element for $t {
            const DTYPE: DType = DType::$d;
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            fn from_f64(x: f64) -> Self {
                x as $t
            }
            fn wrap(data: Vec<Self>) -> Data {
                Data::$d(data)
            }
        }
    };
}
element!(f32, F32);
element!(u32, U32);
element!(i32, I32);

impl Element for f16 {
    const DTYPE: DType = DType::F16;
    fn to_f64(self) -> f64 {
        f16::to_f64(self)
    }
    fn from_f64(x: f64) -> Self {
        f16::from_f64(x)
    }
    fn wrap(data: Vec<Self>) -> Data {
        Data::F16(data)
    }
}

/// Runs `$body` with `$v` bound to the typed vector inside a [`Data`].
macro_rules! each_data {
    ($data:expr, $v:ident => $body:expr) => {
        match $data {
            $crate::array::Data::F32($v) => $body,
            $crate::array::Data::F16($v) => $body,
            $crate::array::Data::U32($v) => $body,
            $crate::array::Data::I32($v) => $body,
        }
    };
}

/// A dense row-major array on the host.
///
/// ```
/// use wgrad::Array;
/// let a = Array::new([2, 2], vec![1.0f32, 2.0, 3.0, 4.0])?;
/// assert_eq!(a.as_slice::<f32>()?[3], 4.0);
/// assert_eq!(a, Array::from([[1.0f32, 2.0], [3.0, 4.0]]));
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    shape: Shape,
    data: Data,
}

impl Array {
    /// An array of `shape` from its elements in row-major order. An error if the number of elements differs from the
    /// shape's.
    pub fn new<T: Element>(shape: impl Into<Shape>, data: Vec<T>) -> Result<Self> {
        let shape = shape.into();
        shape.check().map_err(|m| Error::value("array", m))?;
        if shape.elements() != data.len() {
            return Err(Error::value(
                "array",
                format!("shape {shape} has {} elements, but {} were given", shape.elements(), data.len()),
            ));
        }
        Ok(Array { shape, data: T::wrap(data) })
    }
    /// A 0-D array holding `x`.
    pub fn scalar<T: Element>(x: T) -> Self {
        Array { shape: Shape::scalar(), data: T::wrap(vec![x]) }
    }
    /// An array with every element equal to `x`.
    pub fn full<T: Element>(shape: impl Into<Shape>, x: T) -> Result<Self> {
        let shape = shape.into();
        shape.check().map_err(|m| Error::value("array", m))?;
        let n = shape.elements();
        Array::new(shape, vec![x; n])
    }
    /// An array of zeros.
    pub fn zeros(shape: impl Into<Shape>, dtype: DType) -> Result<Self> {
        let shape = shape.into();
        match dtype {
            DType::F32 => Array::full(shape, 0f32),
            DType::F16 => Array::full(shape, f16::ZERO),
            DType::U32 => Array::full(shape, 0u32),
            DType::I32 => Array::full(shape, 0i32),
        }
    }
    /// An array from `f64` elements in row-major order, rounded to `dtype` (integers: truncated).
    pub fn from_f64(shape: impl Into<Shape>, data: &[f64], dtype: DType) -> Result<Self> {
        fn convert<T: Element>(data: &[f64]) -> Vec<T> {
            data.iter().map(|&x| T::from_f64(x)).collect()
        }
        match dtype {
            DType::F32 => Array::new(shape, convert::<f32>(data)),
            DType::F16 => Array::new(shape, convert::<f16>(data)),
            DType::U32 => Array::new(shape, convert::<u32>(data)),
            DType::I32 => Array::new(shape, convert::<i32>(data)),
        }
    }
    /// The shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }
    /// The element type.
    pub fn dtype(&self) -> DType {
        match self.data {
            Data::F32(_) => DType::F32,
            Data::F16(_) => DType::F16,
            Data::U32(_) => DType::U32,
            Data::I32(_) => DType::I32,
        }
    }
    /// The shape and dtype together.
    pub fn tensor_type(&self) -> TensorType {
        TensorType { shape: self.shape.clone(), dtype: self.dtype() }
    }
    /// The number of elements.
    pub fn len(&self) -> usize {
        each_data!(&self.data, v => v.len())
    }
    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The elements.
    pub fn data(&self) -> &Data {
        &self.data
    }
    /// The elements as a slice of `T`; an error if that is not the array's dtype.
    pub fn as_slice<T: Element>(&self) -> Result<&[T]> {
        if T::DTYPE != self.dtype() {
            return Err(Error::value(
                "array",
                format!("the dtype is {}, but {} was requested", self.dtype(), T::DTYPE),
            ));
        }
        Ok(bytemuck::cast_slice(self.bytes()))
    }
    /// The elements as bytes, row-major, in native byte order.
    pub fn bytes(&self) -> &[u8] {
        each_data!(&self.data, v => bytemuck::cast_slice(v))
    }
    /// An array from row-major bytes in native byte order. An error if their number differs from the type's size.
    pub fn from_bytes(ty: &TensorType, bytes: &[u8]) -> Result<Self> {
        if bytes.len() != ty.bytes() {
            return Err(Error::value(
                "array",
                format!("{ty} takes {} bytes, but {} were given", ty.bytes(), bytes.len()),
            ));
        }
        let shape = ty.shape.clone();
        match ty.dtype {
            DType::F32 => Array::new(shape, bytemuck::allocation::pod_collect_to_vec::<u8, f32>(bytes)),
            DType::F16 => Array::new(shape, bytemuck::allocation::pod_collect_to_vec::<u8, f16>(bytes)),
            DType::U32 => Array::new(shape, bytemuck::allocation::pod_collect_to_vec::<u8, u32>(bytes)),
            DType::I32 => Array::new(shape, bytemuck::allocation::pod_collect_to_vec::<u8, i32>(bytes)),
        }
    }
    /// All elements as `f64` (exact for every dtype).
    pub fn to_f64(&self) -> Vec<f64> {
        each_data!(&self.data, v => v.iter().map(|&x| x.to_f64()).collect())
    }
    /// The single element of a one-element array, as `f64`.
    pub fn item(&self) -> Result<f64> {
        if self.len() != 1 {
            return Err(Error::value("array", format!("item needs one element, but the shape is {}", self.shape)));
        }
        Ok(self.to_f64()[0])
    }
    /// The same elements, row-major, in another shape. An error if the number of elements differs.
    pub fn reshape(self, shape: impl Into<Shape>) -> Result<Self> {
        let shape = shape.into();
        if shape.elements() != self.len() {
            return Err(Error::value("array", format!("{} cannot be reshaped to {shape}", self.shape)));
        }
        Ok(Array { shape, data: self.data })
    }
    /// The elements converted to `dtype`.
    pub fn cast(&self, dtype: DType) -> Self {
        if dtype == self.dtype() {
            return self.clone();
        }
        match Array::from_f64(self.shape.clone(), &self.to_f64(), dtype) {
            Ok(array) => array,
            Err(_) => unreachable!("the shape is this array's own"),
        }
    }
}

impl From<Vec<f32>> for Array {
    fn from(v: Vec<f32>) -> Self {
        Array { shape: Shape::from([v.len()]), data: Data::F32(v) }
    }
}
impl<T: Element, const N: usize> From<[T; N]> for Array {
    fn from(v: [T; N]) -> Self {
        Array { shape: Shape::from([N]), data: T::wrap(v.to_vec()) }
    }
}
impl<T: Element, const N: usize, const M: usize> From<[[T; M]; N]> for Array {
    fn from(v: [[T; M]; N]) -> Self {
        Array { shape: Shape::from([N, M]), data: T::wrap(v.concat()) }
    }
}
impl<T: Element> From<T> for Array {
    fn from(x: T) -> Self {
        Array::scalar(x)
    }
}
impl From<&Array> for Array {
    fn from(a: &Array) -> Self {
        a.clone()
    }
}
