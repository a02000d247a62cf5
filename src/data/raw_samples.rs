//! Arrays as their sources have them, before it is known which axis counts the samples.

use super::raw::RawFormat;
use super::samples::Samples;
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// An array whose axis of samples is not known yet.
pub(super) struct RawSamples {
    pub(super) shape: Vec<usize>,
    pub(super) content: Content,
}

/// The values of an array in row-major order.
pub(super) enum Content {
    F32(Vec<f32>),
    U8(Vec<u8>),
    File { path: PathBuf, start: u64, format: RawFormat },
}

/// The axis that counts the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Along {
    First,
    Last,
}

/// The rows of a matrix whose columns are rows of `values`.
fn transposed<T: Copy>(values: &[T], rows: usize) -> Vec<T> {
    let features = values.len() / rows.max(1);
    (0..rows).flat_map(|row| (0..features).map(move |feature| values[feature * rows + row])).collect()
}

impl RawSamples {
    /// Samples along the first axis.
    pub(super) fn into_samples_first(self, path: &Path) -> Result<Samples> {
        self.into_samples(Along::First, path)
    }

    pub(super) fn into_samples(self, along: Along, path: &Path) -> Result<Samples> {
        let (rows, shape) = match along {
            Along::First => (self.shape.first().copied().unwrap_or(1), self.shape.iter().skip(1).copied().collect()),
            Along::Last => (self.shape[self.shape.len() - 1], self.shape[..self.shape.len() - 1].to_vec()),
        };
        let shape: Vec<usize> = if shape.is_empty() { vec![1] } else { shape };
        let first = along == Along::First;
        match self.content {
            Content::F32(values) if first => Samples::new(values, shape),
            Content::F32(values) => Samples::new(transposed(&values, rows), shape),
            Content::U8(values) if first => Samples::bytes(values, shape),
            Content::U8(values) => Samples::bytes(transposed(&values, rows), shape),
            Content::File { path, start, format } if first => Samples::in_file(path, start, rows, shape, format),
            Content::File { .. } => {
                Err(Error::value("data", "a file with samples along its last axis is not streamed"))
            }
        }
        .map_err(|e| Error::file(path, e))
    }
}
