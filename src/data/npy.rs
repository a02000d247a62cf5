//! `.npy` files: reading any real-valued array as f64, and writing arrays atomically.

use super::files::Staged;
use super::raw::{RawFormat, RawType};
use super::raw_samples::{Content, RawSamples};
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

/// As [`read`]; also whether the elements are floating-point numbers.
pub(super) fn read_typed(path: &Path) -> Result<(NpyArray, bool)> {
    let wrong = |message: String| Error::file(path, message);
    let Opened { header, reader, available, format, .. } = open(path).map_err(wrong)?;
    let array = decode(header, reader, available).map_err(wrong)?;
    Ok((array, format.is_none_or(|format| format.element.is_float())))
}

/// From this size in bytes on, an array of samples stays in its file.
pub(super) const IN_FILE_BYTES: u64 = 512 << 20;

/// Reads an array of finite numbers as samples. Large ones, and with `in_file` all in C order, stay in the file.
pub(super) fn read_samples(path: &Path, in_file: bool) -> Result<RawSamples> {
    let wrong = |message: String| Error::file(path, message);
    let opened = open(path).map_err(wrong)?;
    let Opened { header, mut reader, start, available, format } = opened;
    let Some(format) = format.filter(|_| header.order() == Order::C) else {
        return to_samples(&read_finite(path)?, path);
    };
    let shape: Vec<usize> = header.shape().iter().map(|&n| n as usize).collect();
    let bytes = header.len().checked_mul(format.element.size() as u64);
    if bytes == Some(available) && (in_file || available > IN_FILE_BYTES) && available > 0 {
        return Ok(RawSamples { shape, content: Content::File { path: path.to_path_buf(), start, format } });
    }
    if bytes != Some(available) {
        // For its message.
        return to_samples(&read_finite(path)?, path);
    }
    let mut data = Vec::new();
    data.try_reserve_exact(available as usize).map_err(|_| wrong("is too large for the available memory".into()))?;
    reader.read_to_end(&mut data).map_err(|e| wrong(format!("could not read: {e}")))?;
    if format.element == RawType::U8 {
        return Ok(RawSamples { shape, content: Content::U8(data) });
    }
    let mut values = Vec::with_capacity(data.len() / format.element.size());
    format.decode(&data, &mut values);
    if values.iter().any(|v| !v.is_finite()) {
        // For its message.
        return to_samples(&read_finite(path)?, path);
    }
    Ok(RawSamples { shape, content: Content::F32(values) })
}

/// An array's values as f32.
pub(super) fn to_samples(array: &NpyArray, path: &Path) -> Result<RawSamples> {
    if let Some(at) = array.values.iter().position(|&v| !(v as f32).is_finite()) {
        let (index, value) = (array.index(at), array.values[at]);
        let problem = if value.is_finite() { "too large for f32" } else { "but must be finite" };
        let shown = if value.is_finite() { format!("{value:e}") } else { value.to_string() };
        return Err(Error::file(path, format!("the value at {index:?} is {shown}, {problem}")));
    }
    let values = array.values.iter().map(|&v| v as f32).collect();
    Ok(RawSamples { shape: array.shape.clone(), content: Content::F32(values) })
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

/// A file whose header has been read.
struct Opened {
    header: NpyHeader,
    /// The rest of the file.
    reader: BufReader<File>,
    /// Where the data begin, in bytes.
    start: u64,
    /// The number of bytes from there on.
    available: u64,
    /// How elements are stored; `None` for types that are not read.
    format: Option<RawFormat>,
}

fn open(path: &Path) -> Result<Opened, String> {
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
    let (start, format) = (text.len() as u64, format_of(&header));
    Ok(Opened { header, reader, start, available: length.saturating_sub(start), format })
}

fn read_file(path: &Path) -> Result<NpyArray, String> {
    let Opened { header, reader, available, .. } = open(path)?;
    decode(header, reader, available)
}

/// How a file stores its elements.
fn format_of(header: &NpyHeader) -> Option<RawFormat> {
    let dtype = header.dtype();
    let npyz::DType::Plain(element) = &dtype else { return None };
    let element_type = match (element.type_char(), element.num_bytes()?) {
        (TypeChar::Bool, 1) => RawType::Bool,
        (TypeChar::Uint, 1) => RawType::U8,
        (TypeChar::Int, 1) => RawType::I8,
        (TypeChar::Uint, 2) => RawType::U16,
        (TypeChar::Int, 2) => RawType::I16,
        (TypeChar::Uint, 4) => RawType::U32,
        (TypeChar::Int, 4) => RawType::I32,
        (TypeChar::Uint, 8) => RawType::U64,
        (TypeChar::Int, 8) => RawType::I64,
        (TypeChar::Float, 2) => RawType::F16,
        (TypeChar::Float, 4) => RawType::F32,
        (TypeChar::Float, 8) => RawType::F64,
        _ => return None,
    };
    Some(RawFormat { element: element_type, big_endian: dtype.descr().contains('>') })
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
