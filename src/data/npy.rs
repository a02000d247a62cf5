//! `.npy` files: reading any real-valued array as f64, and writing arrays atomically.

use super::files::Staged;
use crate::error::{Error, Result};
use half::f16;
use npyz::{NpyFile, NpyHeader, Order, TypeChar, WriterBuilder};
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

/// An array read from a `.npy` file.
#[derive(Debug, Clone, PartialEq)]
pub struct NpyArray {
    /// The shape; empty for a scalar.
    pub shape: Vec<usize>,
    /// The elements in row-major (C) order, whatever the file's order and dtype. Integers beyond 2⁵³ are rounded to
    /// the nearest f64.
    pub values: Vec<f64>,
}

impl NpyArray {
    /// The indices, one per axis, of the element at `position` in [`values`](NpyArray::values).
    pub fn index(&self, position: usize) -> Vec<usize> {
        let mut rest = position;
        let mut index: Vec<usize> = self.shape.iter().rev().map(|&n| (rest % n.max(1), rest /= n.max(1)).0).collect();
        index.reverse();
        index
    }
}

/// Reads a `.npy` file of f16, f32, f64, bool or any integer dtype, little or big endian, in C or Fortran order.
///
/// # Errors
/// [`Error::File`] naming `path`: missing, not a `.npy` file, an unsupported dtype (complex, strings, objects,
/// records), shorter or longer than its header says, or too large for memory. The size is checked against the file's
/// length before memory is allocated.
pub fn read(path: impl AsRef<Path>) -> Result<NpyArray> {
    let path = path.as_ref();
    read_file(path).map_err(|message| Error::file(path, message))
}

/// As [`read`], for data that must be finite.
///
/// # Errors
/// Errors of [`read`], and an [`Error::File`] with the position of the first NaN or infinity.
pub fn read_finite(path: impl AsRef<Path>) -> Result<NpyArray> {
    let path = path.as_ref();
    let array = read(path)?;
    match array.values.iter().position(|v| !v.is_finite()) {
        None => Ok(array),
        Some(at) => {
            let message = format!("the value at {:?} is {}, but must be finite", array.index(at), array.values[at]);
            Err(Error::file(path, message))
        }
    }
}

/// The element types that can be written to a `.npy` file: f64, f32, i64 and u32.
pub trait NpyElement: sealed::Sealed {}

impl NpyElement for f64 {}
impl NpyElement for f32 {}
impl NpyElement for i64 {}
impl NpyElement for u32 {}

mod sealed {
    pub trait Sealed: npyz::AutoSerialize + Copy {}
    impl Sealed for f64 {}
    impl Sealed for f32 {}
    impl Sealed for i64 {}
    impl Sealed for u32 {}
}

/// Writes a `.npy` file of `shape` atomically, from elements in row-major order.
///
/// # Errors
/// [`Error::File`] naming `path` if the number of `values` does not match `shape`, or for the reasons of
/// [`atomic_write`](super::atomic_write).
pub fn write<T: NpyElement>(path: impl AsRef<Path>, shape: &[usize], values: &[T]) -> Result<()> {
    stage(path.as_ref(), shape, values)?.commit()
}

/// As [`write`], up to the final rename.
pub(crate) fn stage<T: NpyElement>(path: &Path, shape: &[usize], values: &[T]) -> Result<Staged> {
    if shape.iter().try_fold(1usize, |a, &b| a.checked_mul(b)) != Some(values.len()) {
        return Err(Error::file(path, format!("shape {shape:?} does not match {} values", values.len())));
    }
    let shape: Vec<u64> = shape.iter().map(|&n| n as u64).collect();
    Staged::new(path, |out: &mut dyn Write| {
        let mut writer = npyz::WriteOptions::new().default_dtype().shape(&shape).writer(out).begin_nd()?;
        writer.extend(values.iter().copied())?;
        writer.finish()
    })
}

fn read_file(path: &Path) -> Result<NpyArray, String> {
    // Checked before opening: opening a named pipe would block until a writer appears.
    let metadata = std::fs::metadata(path).map_err(|e| format!("could not open: {e}"))?;
    if !metadata.is_file() {
        return Err("is not a file".into());
    }
    let file = File::open(path).map_err(|e| format!("could not open: {e}"))?;
    let length = file.metadata().map_err(|e| format!("could not read: {e}"))?.len();
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let text = header_text(&mut reader)?;
    let header = NpyHeader::from_reader(&text[..]).map_err(|e| format!("is not a .npy file wgrad can read: {e}"))?;
    decode(header, reader, length.saturating_sub(text.len() as u64))
}

/// The content of a `.npy` file, and whether its elements are integers (or bool).
pub(super) fn read_bytes(mut bytes: &[u8]) -> Result<(NpyArray, bool), String> {
    let text = header_text(&mut bytes)?;
    let header = NpyHeader::from_reader(&text[..]).map_err(|e| format!("is not a .npy file wgrad can read: {e}"))?;
    let integer = match header.dtype() {
        npyz::DType::Plain(element) => {
            matches!(element.type_char(), TypeChar::Int | TypeChar::Uint | TypeChar::Bool)
        }
        _ => false,
    };
    Ok((decode(header, bytes, bytes.len() as u64)?, integer))
}

/// The longest header that NumPy reads by default (`max_header_size`).
const MAX_HEADER: usize = 10_000;
/// A limit on the nesting of brackets in a header; the header of a plain array has depth 2.
const MAX_NESTING: usize = 6;

/// Reads the magic bytes, the version and the text of the header.
///
/// A header is a Python literal, and its parser is not robust: the time doubles with each level of nesting, and sizes
/// whose product overflows cause a panic. So headers that no array has are rejected here.
fn header_text(reader: &mut impl Read) -> Result<Vec<u8>, String> {
    let mut text = vec![0; 10];
    let eof = |_| "is not a .npy file: it ends within the header".to_string();
    reader.read_exact(&mut text).map_err(eof)?;
    if !text.starts_with(b"\x93NUMPY") {
        return Err("is not a .npy file: it does not begin with \\x93NUMPY".into());
    }
    let mut size = usize::from(u16::from_le_bytes([text[8], text[9]]));
    if text[6] > 1 {
        text.resize(12, 0);
        reader.read_exact(&mut text[10..]).map_err(eof)?;
        size |= usize::from(u16::from_le_bytes([text[10], text[11]])) << 16;
    }
    if size > MAX_HEADER {
        return Err(format!("is not a .npy file wgrad can read: its header has {size} bytes"));
    }
    let start = text.len();
    text.resize(start + size, 0);
    reader.read_exact(&mut text[start..]).map_err(eof)?;

    let body = std::str::from_utf8(&text[start..]).map_err(|_| "is not a .npy file: its header is not text")?;
    let mut depth = 0usize;
    for c in body.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_NESTING || c == '\\' {
            return Err("is not a .npy file wgrad can read: its header is not that of an array".into());
        }
    }
    for after in body.split("shape").skip(1) {
        check_shape_text(after)?;
    }
    Ok(text)
}

/// Checks the `': (2, 3), …` that follows the key `shape` in a header.
fn check_shape_text(text: &str) -> Result<(), String> {
    let list = text.trim_start_matches(['\'', '"', ':', ' ']);
    let Some(list) = list.strip_prefix(['(', '[']).and_then(|l| l.split([')', ']']).next()) else {
        return Err("has a header whose shape is not a list of sizes".into());
    };
    let mut elements = 1u64;
    for size in list.split(',').map(str::trim).filter(|s| !s.is_empty()) {
        let size: u64 = size.parse().map_err(|_| format!("has a header whose shape ({list}) holds `{size}`"))?;
        // Zeros are left out: strides are products of some of the sizes, so a zero must not hide an overflow of the
        // others.
        elements = elements
            .checked_mul(size.max(1))
            .filter(|&n| n <= isize::MAX as u64)
            .ok_or_else(|| format!("has a header whose shape ({list}) is impossibly large"))?;
    }
    Ok(())
}

/// Reads the `available` bytes of data that follow the header.
fn decode(header: NpyHeader, reader: impl Read, available: u64) -> Result<NpyArray, String> {
    let shape = header.shape().iter().map(|&n| usize::try_from(n)).collect::<Result<Vec<_>, _>>();
    let shape = shape.map_err(|_| "is too large for this machine".to_string())?;
    let dtype = header.dtype();
    let unsupported = || format!("holds {}, but wgrad reads only floats, integers and bool", dtype.descr());
    let npyz::DType::Plain(element) = &dtype else { return Err(unsupported()) };
    let size = element.num_bytes().ok_or_else(unsupported)? as u64;
    let (order, elements) = (header.order(), header.len());
    let file = NpyFile::with_header(header, reader);
    let wanted = move || match elements.checked_mul(size) {
        Some(bytes) if bytes == available => usize::try_from(elements).map_err(|_| "is too large".to_string()),
        Some(bytes) if bytes < available => {
            Err(format!("has {} bytes after the {bytes} its header says", available - bytes))
        }
        _ => {
            Err(format!("is truncated: its header says {elements} elements of {size} bytes, {available} bytes follow"))
        }
    };
    let values = match (element.type_char(), size) {
        (TypeChar::Float, 8) => collect(file, wanted()?, |v: f64| v),
        (TypeChar::Float, 4) => collect(file, wanted()?, |v: f32| f64::from(v)),
        (TypeChar::Float, 2) => collect(file, wanted()?, |v: f16| f64::from(v)),
        (TypeChar::Int, 8) => collect(file, wanted()?, |v: i64| v as f64),
        (TypeChar::Int, 4) => collect(file, wanted()?, |v: i32| f64::from(v)),
        (TypeChar::Int, 2) => collect(file, wanted()?, |v: i16| f64::from(v)),
        (TypeChar::Int, 1) => collect(file, wanted()?, |v: i8| f64::from(v)),
        (TypeChar::Uint, 8) => collect(file, wanted()?, |v: u64| v as f64),
        (TypeChar::Uint, 4) => collect(file, wanted()?, |v: u32| f64::from(v)),
        (TypeChar::Uint, 2) => collect(file, wanted()?, |v: u16| f64::from(v)),
        (TypeChar::Uint, 1) => collect(file, wanted()?, |v: u8| f64::from(v)),
        (TypeChar::Bool, 1) => collect(file, wanted()?, |v: bool| f64::from(u8::from(v))),
        _ => return Err(unsupported()),
    }?;
    Ok(match order {
        Order::C => NpyArray { shape, values },
        Order::Fortran => NpyArray { values: from_fortran(&shape, &values), shape },
    })
}

fn collect<T: npyz::Deserialize, R: Read>(
    file: NpyFile<R>,
    elements: usize,
    convert: impl Fn(T) -> f64,
) -> Result<Vec<f64>, String> {
    let mut values = Vec::new();
    values
        .try_reserve_exact(elements)
        .map_err(|_| format!("holds {elements} values, too many for the available memory"))?;
    let data = file.data::<T>().map_err(|e| e.to_string())?;
    for value in data {
        values.push(convert(value.map_err(|e: io::Error| format!("could not read: {e}"))?));
    }
    Ok(values)
}

/// Converts column-major order to row-major order.
fn from_fortran(shape: &[usize], values: &[f64]) -> Vec<f64> {
    let mut strides = vec![1; shape.len()];
    for axis in 1..shape.len() {
        strides[axis] = strides[axis - 1] * shape[axis - 1];
    }
    let (mut index, mut at) = (vec![0; shape.len()], 0);
    let mut next = || {
        let here = at;
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            at += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            at -= index[axis] * strides[axis];
            index[axis] = 0;
        }
        values[here]
    };
    (0..values.len()).map(|_| next()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn fortran_order_becomes_c_order() {
        assert_eq!(from_fortran(&[2, 3], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let values: Vec<f64> = (0..24).map(f64::from).collect();
        let array = NpyArray { shape: vec![2, 3, 4], values: from_fortran(&[2, 3, 4], &values) };
        for (position, &value) in array.values.iter().enumerate() {
            let index = array.index(position);
            assert_eq!(value as usize, index[0] + 2 * index[1] + 6 * index[2]);
        }
        assert_eq!(from_fortran(&[], &[7.0]), [7.0]);
        assert!(from_fortran(&[3, 0], &[]).is_empty());
    }

    #[test]
    fn shapes_that_cannot_be_are_refused_before_parsing() {
        assert!(check_shape_text("': (2, 3), }").is_ok());
        assert!(check_shape_text("': (), }").is_ok());
        assert!(check_shape_text("\": [5,], }").is_ok());
        for bad in [
            "': (0, 18446744073709551615, 2)",
            "': (4294967296, 4294967296)",
            "': (-1,)",
            "': (1+1,)",
            "': (0x10,)",
            "': 3",
            "",
            "': (99999999999999999999999999,)",
        ] {
            assert!(check_shape_text(bad).is_err(), "{bad}");
        }
    }
}
