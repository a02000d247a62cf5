//! `.safetensors` files as named arrays.

use super::arrays::Numbers;
use super::npy::NpyArray;
use crate::error::{Error, Result};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::BTreeMap;
use std::path::Path;

/// Reads all arrays of numbers of a `.safetensors` file.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, Numbers>> {
    let wrong = |message: String| Error::file(path, message);
    let bytes = std::fs::read(path).map_err(|e| wrong(format!("could not read: {e}")))?;
    let tensors =
        SafeTensors::deserialize(&bytes).map_err(|e| wrong(format!("is not a whole safetensors file: {e}")))?;
    let mut arrays = BTreeMap::new();
    for (name, view) in tensors.tensors() {
        let values =
            values(&view).ok_or_else(|| wrong(format!("`{name}` is {:?}, which is not read", view.dtype())))?;
        let is_float = matches!(view.dtype(), Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64);
        arrays.insert(name, Numbers { array: NpyArray { shape: view.shape().to_vec(), values }, is_float });
    }
    Ok(arrays)
}

/// The values of a tensor; `None` for a type that is not read.
fn values(view: &TensorView<'_>) -> Option<Vec<f64>> {
    macro_rules! decode {
        ($t:ty, $convert:expr) => {
            view.data()
                .chunks_exact(size_of::<$t>())
                .map(|b| {
                    let mut raw = [0; size_of::<$t>()];
                    raw.copy_from_slice(b);
                    $convert(<$t>::from_le_bytes(raw))
                })
                .collect()
        };
    }
    Some(match view.dtype() {
        Dtype::BOOL | Dtype::U8 => view.data().iter().map(|&b| f64::from(b)).collect(),
        Dtype::I8 => decode!(i8, f64::from),
        Dtype::U16 => decode!(u16, f64::from),
        Dtype::I16 => decode!(i16, f64::from),
        Dtype::U32 => decode!(u32, f64::from),
        Dtype::I32 => decode!(i32, f64::from),
        Dtype::U64 => decode!(u64, |v| v as f64),
        Dtype::I64 => decode!(i64, |v| v as f64),
        Dtype::F16 => decode!(f16, f64::from),
        Dtype::BF16 => decode!(bf16, f64::from),
        Dtype::F32 => decode!(f32, f64::from),
        Dtype::F64 => decode!(f64, |v| v),
        _ => return None,
    })
}
