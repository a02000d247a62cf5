//! Elements as data files store them, and their conversion to f32.

use half::f16;

/// The type of a file's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum RawType {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    F32,
    F64,
}

impl RawType {
    /// The size of an element in bytes.
    pub fn size(self) -> usize {
        match self {
            RawType::Bool | RawType::U8 | RawType::I8 => 1,
            RawType::U16 | RawType::I16 | RawType::F16 => 2,
            RawType::U32 | RawType::I32 | RawType::F32 => 4,
            RawType::U64 | RawType::I64 | RawType::F64 => 8,
        }
    }
    /// Whether the elements are floating-point numbers.
    pub fn is_float(self) -> bool {
        matches!(self, RawType::F16 | RawType::F32 | RawType::F64)
    }
}

/// How a file stores its elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawFormat {
    /// The element type.
    pub element: RawType,
    /// Whether the first byte of an element is the most significant one.
    pub big_endian: bool,
}

impl RawFormat {
    /// Little-endian elements of a type.
    pub fn little(element: RawType) -> Self {
        RawFormat { element, big_endian: false }
    }

    /// Appends the elements of `bytes`, a whole number of them, to `out`, each rounded to the nearest f32.
    pub fn decode(self, bytes: &[u8], out: &mut Vec<f32>) {
        macro_rules! decode {
            ($t:ty, $convert:expr) => {
                bytes.chunks_exact(size_of::<$t>()).map(|b| {
                    let mut raw = [0; size_of::<$t>()];
                    raw.copy_from_slice(b);
                    let value = if self.big_endian { <$t>::from_be_bytes(raw) } else { <$t>::from_le_bytes(raw) };
                    $convert(value)
                })
            };
        }
        match self.element {
            RawType::Bool => out.extend(bytes.iter().map(|&b| f32::from(u8::from(b != 0)))),
            RawType::U8 => out.extend(bytes.iter().map(|&b| f32::from(b))),
            RawType::I8 => out.extend(bytes.iter().map(|&b| f32::from(b as i8))),
            RawType::U16 => out.extend(decode!(u16, f32::from)),
            RawType::I16 => out.extend(decode!(i16, f32::from)),
            RawType::U32 => out.extend(decode!(u32, |v| v as f32)),
            RawType::I32 => out.extend(decode!(i32, |v| v as f32)),
            RawType::U64 => out.extend(decode!(u64, |v| v as f32)),
            RawType::I64 => out.extend(decode!(i64, |v| v as f32)),
            RawType::F16 => out.extend(decode!(f16, f32::from)),
            RawType::F32 => out.extend(decode!(f32, |v| v)),
            RawType::F64 => out.extend(decode!(f64, |v| v as f32)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_type_is_read_in_both_byte_orders() {
        let check = |element, little: &[u8], expected: f32| {
            let mut out = Vec::new();
            RawFormat::little(element).decode(little, &mut out);
            let reversed: Vec<u8> = little.iter().rev().copied().collect();
            RawFormat { element, big_endian: true }.decode(&reversed, &mut out);
            assert_eq!(out, [expected; 2], "{element:?}");
            assert_eq!(little.len(), element.size());
        };
        check(RawType::Bool, &[1], 1.0);
        check(RawType::U8, &[200], 200.0);
        check(RawType::I8, &[200], -56.0);
        check(RawType::U16, &50_000u16.to_le_bytes(), 50_000.0);
        check(RawType::I16, &(-300i16).to_le_bytes(), -300.0);
        check(RawType::U32, &4_000_000_000u32.to_le_bytes(), 4e9);
        check(RawType::I32, &(-70_000i32).to_le_bytes(), -70_000.0);
        check(RawType::U64, &(1u64 << 40).to_le_bytes(), 1_099_511_627_776.0);
        check(RawType::I64, &(-5i64).to_le_bytes(), -5.0);
        check(RawType::F16, &f16::from_f32(0.25).to_le_bytes(), 0.25);
        check(RawType::F32, &1.5f32.to_le_bytes(), 1.5);
        check(RawType::F64, &(-2.5f64).to_le_bytes(), -2.5);
    }
}
