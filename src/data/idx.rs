//! IDX files, the format in which MNIST is distributed (`train-images-idx3-ubyte`).
//!
//! A file is two zero bytes, a byte for the element type, a byte for the number of dimensions, the sizes as big-endian
//! `u32`, and the elements, big-endian, the last dimension varying fastest.
//! No error message contains a path: the caller knows it and puts it in front.

use super::raw::{RawFormat, RawType};
use flate2::bufread::MultiGzDecoder;
use std::io::{BufRead, BufReader, ErrorKind, Read};

/// The most dimensions an array may have.
pub const MOST_DIMENSIONS: usize = 8;

/// The type of the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdxElement {
    /// Bytes from 0 to 255.
    U8,
    /// Bytes from -128 to 127.
    I8,
    /// Whole numbers of two bytes.
    I16,
    /// Whole numbers of four bytes.
    I32,
    /// Floating-point numbers of four bytes.
    F32,
    /// Floating-point numbers of eight bytes.
    F64,
}

impl IdxElement {
    /// All types.
    pub const ALL: [IdxElement; 6] =
        [IdxElement::U8, IdxElement::I8, IdxElement::I16, IdxElement::I32, IdxElement::F32, IdxElement::F64];

    /// How a file stores elements of this type.
    pub fn format(self) -> RawFormat {
        let element = match self {
            IdxElement::U8 => RawType::U8,
            IdxElement::I8 => RawType::I8,
            IdxElement::I16 => RawType::I16,
            IdxElement::I32 => RawType::I32,
            IdxElement::F32 => RawType::F32,
            IdxElement::F64 => RawType::F64,
        };
        RawFormat { element, big_endian: true }
    }

    /// Bytes per element.
    pub fn size(self) -> usize {
        self.format().element.size()
    }

    /// The byte that stands for the type in a file.
    pub fn code(self) -> u8 {
        match self {
            IdxElement::U8 => 0x08,
            IdxElement::I8 => 0x09,
            IdxElement::I16 => 0x0B,
            IdxElement::I32 => 0x0C,
            IdxElement::F32 => 0x0D,
            IdxElement::F64 => 0x0E,
        }
    }
}

/// What a file says about its contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdxHeader {
    /// The type of the elements.
    pub element: IdxElement,
    /// The size of each dimension; 1 to [`MOST_DIMENSIONS`] of them, some may be 0.
    pub shape: Vec<usize>,
    /// Where the elements begin in the file.
    pub offset: usize,
}

impl IdxHeader {
    /// The number of elements, if that and the length of the file are numbers of the machine, which [`header`] checks.
    pub fn count(&self) -> Result<usize, String> {
        // A size of 0 must not hide an overflow of the other sizes, which callers multiply by themselves.
        let product = self.shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size.max(1)));
        let bytes = product.and_then(|count| count.checked_mul(self.element.size()));
        if bytes.and_then(|bytes| bytes.checked_add(self.offset)).is_none() {
            return Err(format!("the sizes {:?} are too large", self.shape));
        }
        Ok(self.shape.iter().product())
    }
}

/// Reads the header from the first bytes of a file; there may be any number of bytes behind it.
pub fn header(bytes: &[u8]) -> Result<IdxHeader, String> {
    let [first, second, code, rank, sizes @ ..] = bytes else {
        return Err(format!("is not an IDX file: it has {} bytes, but the header has at least 8", bytes.len()));
    };
    if (*first, *second) != (0, 0) {
        return Err(format!("is not an IDX file: it begins with {first:#04x} {second:#04x} and not with two zeros"));
    }
    let element = IdxElement::ALL.into_iter().find(|element| element.code() == *code);
    let element = element.ok_or_else(|| format!("has the unknown IDX element type {code:#04x}"))?;
    let rank = usize::from(*rank);
    if rank == 0 || rank > MOST_DIMENSIONS {
        return Err(format!("has {rank} dimensions; 1 to {MOST_DIMENSIONS} are possible"));
    }
    let offset = 4 + 4 * rank;
    let (sizes, _) = sizes.as_chunks::<4>();
    if sizes.len() < rank {
        return Err(format!("ends within the IDX header, which has {offset} bytes, not {}", bytes.len()));
    }
    let size = |bytes: &[u8; 4]| usize::try_from(u32::from_be_bytes(*bytes)).map_err(|error| error.to_string());
    let shape = sizes.iter().take(rank).map(size).collect::<Result<Vec<usize>, String>>()?;
    let header = IdxHeader { element, shape, offset };
    header.count()?;
    Ok(header)
}

/// Checks that a file of `file_length` bytes has exactly the elements that its header announces.
pub fn check_length(header: &IdxHeader, file_length: u64) -> Result<(), String> {
    let data = header.count()? as u64 * header.element.size() as u64;
    let expected = data + header.offset as u64;
    let what = format!("the {expected} bytes of an array of sizes {:?}", header.shape);
    if file_length < expected {
        return Err(format!("is cut off: {} of {what} are missing", expected - file_length));
    }
    if file_length > expected {
        return Err(format!("is too long: it has {} bytes more than {what}", file_length - expected));
    }
    Ok(())
}

/// Unpacks gzip, also of several members one after the other.
///
/// More than `most_bytes` unpacked bytes are an error. The memory used grows with what has really been unpacked; no
/// size that the stream states about itself is believed.
pub fn read_gz(reader: impl Read, most_bytes: u64) -> Result<Vec<u8>, String> {
    let broken = |error: std::io::Error| match error.kind() {
        ErrorKind::UnexpectedEof => "is cut off: the gzip stream ends early".to_string(),
        _ => format!("cannot be unpacked: {error}"),
    };
    let mut packed = BufReader::new(reader);
    if packed.fill_buf().map_err(broken)?.is_empty() {
        return Err("is empty and not a gzip stream".to_string());
    }
    let mut unpacked = Vec::new();
    // One byte more shows that there is more without unpacking all of it.
    let limit = most_bytes.saturating_add(1);
    MultiGzDecoder::new(packed).take(limit).read_to_end(&mut unpacked).map_err(broken)?;
    if unpacked.len() as u64 > most_bytes {
        return Err(format!("unpacks to more than {most_bytes} bytes"));
    }
    Ok(unpacked)
}

/// An IDX file of the given shape, with `data` being the elements in big-endian order.
pub fn write(element: IdxElement, shape: &[usize], data: &[u8]) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0, 0, element.code()];
    bytes.push(u8::try_from(shape.len()).map_err(|_| format!("{} dimensions are too many", shape.len()))?);
    for &size in shape {
        let size = u32::try_from(size).map_err(|_| format!("the size {size} is too large"))?;
        bytes.extend_from_slice(&size.to_be_bytes());
    }
    let header = header(&bytes)?;
    bytes.extend_from_slice(data);
    check_length(&header, bytes.len() as u64)?;
    Ok(bytes)
}

/// An IDX file of bytes.
pub fn write_u8(shape: &[usize], data: &[u8]) -> Result<Vec<u8>, String> {
    write(IdxElement::U8, shape, data)
}
