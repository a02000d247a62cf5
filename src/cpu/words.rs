//! Buffers as arrays of 32-bit words: views of them as `f32`, copies from and to [`Array`]s, and scratch vectors that
//! grow on demand.

use crate::array::Array;
use crate::error::Result;
use crate::shape::TensorType;

pub(super) fn zeros(ty: &TensorType) -> Vec<u32> {
    vec![0; ty.bytes().div_ceil(4)]
}

pub(super) fn words_of(array: &Array) -> Vec<u32> {
    let mut words = zeros(&array.tensor_type());
    copy_words(array, 0, &mut words);
    words
}

/// Copies an array into a buffer, from element `offset` on.
pub(super) fn copy_words(array: &Array, offset: usize, words: &mut [u32]) {
    let (bytes, start) = (array.bytes(), offset * array.tensor_type().dtype.size());
    bytemuck::cast_slice_mut(words)[start..][..bytes.len()].copy_from_slice(bytes);
}

pub(super) fn array_of(ty: &TensorType, words: &[u32], offset: usize) -> Result<Array> {
    let bytes: &[u8] = bytemuck::cast_slice(words);
    Array::from_bytes(ty, &bytes[offset * ty.dtype.size()..][..ty.bytes()])
}

/// The first `n` elements of a scratch vector, which grows if needed. Their contents are undefined.
pub(super) fn sized<T: Copy + Default>(vector: &mut Vec<T>, n: usize) -> &mut [T] {
    if vector.len() < n {
        vector.resize(n, T::default());
    }
    &mut vector[..n]
}

/// Like [`sized`], but aligned to a cache line, so that vector loads do not cross one.
pub(super) fn aligned<T: Copy + Default>(vector: &mut Vec<T>, n: usize) -> &mut [T] {
    const LINE: usize = 64;
    let most = LINE / size_of::<T>();
    let words = sized(vector, n + most);
    let skip = words.as_ptr().align_offset(LINE).min(most);
    &mut words[skip..][..n]
}

/// Reinterprets words as `f32`.
pub(super) fn floats(words: &[u32]) -> &[f32] {
    bytemuck::cast_slice(words)
}

/// Reinterprets words as `f32`.
pub(super) fn floats_mut(words: &mut [u32]) -> &mut [f32] {
    bytemuck::cast_slice_mut(words)
}
