//! Arrays of samples: in memory, or in a file from which rows are read when they are needed.

use super::raw::{RawFormat, RawType};
use crate::error::{Error, Result};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rows of numbers of one shape. Cloning is cheap: the values are shared.
///
/// ```
/// use wgrad::data::Samples;
/// let images = Samples::bytes(vec![0, 64, 128, 255, 1, 2, 3, 4], [1, 2, 2])?;
/// assert_eq!((images.rows(), images.shape()), (2, &[1, 2, 2][..]));
/// assert_eq!(images.select(vec![1])?.to_f32()?, [1.0, 2.0, 3.0, 4.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Samples {
    rows: usize,
    shape: Vec<usize>,
    values: Values,
    /// The rows of `values` that these samples are; all of them, in order, if absent.
    chosen: Option<Arc<Vec<u32>>>,
}

#[derive(Debug, Clone)]
enum Values {
    F32(Arc<Vec<f32>>),
    U8(Arc<Vec<u8>>),
    File(Arc<FileRows>),
}

/// An array in a file, row after row.
#[derive(Debug)]
struct FileRows {
    file: File,
    path: PathBuf,
    /// Where the first row starts, in bytes.
    start: u64,
    format: RawFormat,
}

/// The product of a shape's sizes.
fn product(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |a, &b| a.checked_mul(b))
}

fn no_values(rows: usize, shape: &[usize]) -> Error {
    Error::value("data", format!("{rows} samples of shape {shape:?} have no values"))
}

impl Samples {
    fn with_values(count: usize, shape: Vec<usize>, values: Values) -> Result<Self> {
        let features = product(&shape).unwrap_or(usize::MAX);
        if count == 0 || features == 0 {
            return Err(no_values(count / features.max(1), &shape));
        }
        if !count.is_multiple_of(features) {
            let message = format!("{count} values are not a whole number of samples of shape {shape:?}");
            return Err(Error::value("data", message));
        }
        Ok(Samples { rows: count / features, shape, values, chosen: None })
    }

    /// Samples of `shape` from their values in row-major order.
    ///
    /// # Errors
    /// [`Error::Value`] if there are no values, they are not a whole number of samples, or one of them is not finite.
    pub fn new(values: Vec<f32>, shape: impl Into<Vec<usize>>) -> Result<Self> {
        let samples = Samples::with_values(values.len(), shape.into(), Values::F32(Arc::new(values)))?;
        samples.check_finite()?;
        Ok(samples)
    }

    /// As [`Samples::new`], for values that are whole numbers from 0 to 255. They take a byte each, on the device too.
    ///
    /// # Errors
    /// [`Error::Value`] if there are no values, or they are not a whole number of samples.
    pub fn bytes(values: Vec<u8>, shape: impl Into<Vec<usize>>) -> Result<Self> {
        Samples::with_values(values.len(), shape.into(), Values::U8(Arc::new(values)))
    }

    /// `rows` samples of `shape` that stay in the file at `path`, `start` bytes from its beginning, and are read when
    /// they are needed.
    ///
    /// # Errors
    /// [`Error::File`] if the file cannot be opened or is too short.
    pub fn in_file(
        path: impl AsRef<Path>,
        start: u64,
        rows: usize,
        shape: impl Into<Vec<usize>>,
        format: RawFormat,
    ) -> Result<Self> {
        let (path, shape) = (path.as_ref(), shape.into());
        let file = File::open(path).map_err(|e| Error::file(path, format!("could not open: {e}")))?;
        let length = file.metadata().map_err(|e| Error::file(path, format!("could not read: {e}")))?.len();
        let bytes = product(&shape).and_then(|n| n.checked_mul(rows)?.checked_mul(format.element.size()));
        let end = bytes.and_then(|bytes| start.checked_add(bytes as u64));
        if end.is_none_or(|end| end > length) {
            let message = format!("has {length} bytes, too few for {rows} samples of shape {shape:?}");
            return Err(Error::file(path, message));
        }
        if bytes == Some(0) {
            return Err(no_values(rows, &shape));
        }
        let values = Values::File(Arc::new(FileRows { file, path: path.to_path_buf(), start, format }));
        Ok(Samples { rows, shape, values, chosen: None })
    }

    fn check_finite(&self) -> Result<()> {
        let Values::F32(values) = &self.values else { return Ok(()) };
        match values.iter().position(|v| !v.is_finite()) {
            None => Ok(()),
            Some(at) => {
                let features = self.features();
                let message = format!("sample {}, value {} is {}", at / features, at % features, values[at]);
                Err(Error::value("data", message))
            }
        }
    }

    /// The number of samples.
    pub fn rows(&self) -> usize {
        self.rows
    }
    /// The shape of a sample.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }
    /// The number of values in a sample.
    pub fn features(&self) -> usize {
        self.shape.iter().product()
    }
    /// Whether the values are whole numbers from 0 to 255 that take a byte each.
    pub fn is_u8(&self) -> bool {
        match &self.values {
            Values::U8(_) => true,
            Values::F32(_) => false,
            Values::File(rows) => rows.format.element == RawType::U8,
        }
    }
    /// Whether the values stay in a file.
    pub fn is_in_file(&self) -> bool {
        matches!(self.values, Values::File(_))
    }
    /// The size on a device in bytes: 4 bytes a value, or one byte, with each sample padded to whole words.
    pub fn device_bytes(&self) -> u64 {
        let sample = if self.is_u8() { self.features().next_multiple_of(4) } else { 4 * self.features() };
        self.rows as u64 * sample as u64
    }

    /// The samples with these indices.
    ///
    /// # Errors
    /// [`Error::Value`] if `rows` is empty or has an index past the end.
    pub fn select(&self, rows: Vec<u32>) -> Result<Self> {
        if let Some(&past) = rows.iter().find(|&&row| row as usize >= self.rows) {
            return Err(Error::value("data", format!("there is no sample {past} among {}", self.rows)));
        }
        if rows.is_empty() {
            return Err(no_values(0, &self.shape));
        }
        let chosen = rows.iter().map(|&row| self.chosen.as_ref().map_or(row, |chosen| chosen[row as usize]));
        let chosen = Arc::new(chosen.collect::<Vec<u32>>());
        Ok(Samples { rows: rows.len(), chosen: Some(chosen), ..self.clone() })
    }

    /// The same values with samples of another shape of as many values.
    ///
    /// # Errors
    /// [`Error::Value`] if the number of values differs.
    pub fn reshape(&self, shape: impl Into<Vec<usize>>) -> Result<Self> {
        let shape = shape.into();
        if product(&shape) != Some(self.features()) {
            let message = format!("samples of shape {:?} cannot have the shape {shape:?}", self.shape);
            return Err(Error::value("data", message));
        }
        Ok(Samples { shape, ..self.clone() })
    }

    fn at(&self, row: u32) -> usize {
        self.chosen.as_ref().map_or(row, |chosen| chosen[row as usize]) as usize
    }

    /// The values of the samples with these indices, in order.
    ///
    /// # Errors
    /// [`Error::File`] if the samples are in a file that cannot be read (any more), or a value is not finite.
    pub fn read(&self, rows: impl IntoIterator<Item = u32>) -> Result<Vec<f32>> {
        let (features, rows) = (self.features(), rows.into_iter());
        let mut out = Vec::with_capacity(rows.size_hint().0 * features);
        match &self.values {
            Values::F32(values) => {
                rows.for_each(|row| out.extend_from_slice(&values[self.at(row) * features..][..features]));
            }
            Values::U8(values) => rows.for_each(|row| {
                out.extend(values[self.at(row) * features..][..features].iter().map(|&b| f32::from(b)));
            }),
            Values::File(file) => {
                let mut bytes = vec![0; features * file.format.element.size()];
                for row in rows {
                    file.read(self.at(row), &mut bytes)?;
                    let before = out.len();
                    file.format.decode(&bytes, &mut out);
                    if let Some(at) = out[before..].iter().position(|v| !v.is_finite()) {
                        let message = format!("sample {row}, value {at} is {}, but must be finite", out[before + at]);
                        return Err(Error::file(&file.path, message));
                    }
                }
            }
        }
        Ok(out)
    }

    /// The bytes of the samples with these indices, each sample padded with zeros to a multiple of `align`. Only for
    /// samples that [are bytes](Samples::is_u8).
    ///
    /// # Errors
    /// As [`Samples::read`].
    pub fn read_bytes(&self, rows: impl IntoIterator<Item = u32>, align: usize) -> Result<Vec<u8>> {
        let (features, rows) = (self.features(), rows.into_iter());
        let mut out = Vec::with_capacity(rows.size_hint().0 * features.next_multiple_of(align));
        for row in rows {
            let at = out.len();
            match &self.values {
                Values::U8(values) => out.extend_from_slice(&values[self.at(row) * features..][..features]),
                Values::File(file) if self.is_u8() => {
                    out.resize(at + features, 0);
                    file.read(self.at(row), &mut out[at..])?;
                }
                _ => return Err(Error::Internal("bytes of samples that are not bytes".into())),
            }
            out.resize(at + features.next_multiple_of(align), 0);
        }
        Ok(out)
    }

    /// All values, in memory.
    ///
    /// # Errors
    /// As [`Samples::read`].
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        self.read(0..self.rows as u32)
    }

    /// Calls `f` with the values of every sample, in order, a limited number at a time.
    ///
    /// # Errors
    /// As [`Samples::read`], and those of `f`.
    pub fn for_each(&self, mut f: impl FnMut(&[f32])) -> Result<()> {
        const VALUES: usize = 1 << 20;
        let features = self.features();
        let most = (VALUES / features).max(1);
        for first in (0..self.rows).step_by(most) {
            let values = self.read(first as u32..(first + most).min(self.rows) as u32)?;
            values.chunks_exact(features).for_each(&mut f);
        }
        Ok(())
    }
}

/// By values: where they are kept does not matter.
impl PartialEq for Samples {
    fn eq(&self, other: &Self) -> bool {
        let same = |a: Result<Vec<f32>>, b: Result<Vec<f32>>| matches!((a, b), (Ok(a), Ok(b)) if a == b);
        self.rows == other.rows && self.shape == other.shape && same(self.to_f32(), other.to_f32())
    }
}

impl FileRows {
    /// Reads row `row`, as long as `out`.
    fn read(&self, row: usize, out: &mut [u8]) -> Result<()> {
        let at = self.start + (row * out.len()) as u64;
        read_exact_at(&self.file, out, at)
            .map_err(|e| Error::file(&self.path, format!("could not read row {row}: {e}")))
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, out: &mut [u8], at: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, at)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut out: &mut [u8], mut at: u64) -> std::io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !out.is_empty() {
        match file.seek_read(out, at)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => (out, at) = (&mut out[n..], at + n as u64),
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_the_same_wherever_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, [9, 9, 1, 2, 3, 4, 5, 6]).unwrap();
        let memory = Samples::bytes(vec![1, 2, 3, 4, 5, 6], [3]).unwrap();
        let file = Samples::in_file(&path, 2, 2, [3], RawFormat::little(RawType::U8)).unwrap();
        let floats = Samples::new(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [3]).unwrap();
        assert!(memory == file && file == floats && file.is_in_file());
        assert_eq!((memory.device_bytes(), floats.device_bytes()), (8, 24));
        assert_eq!(file.read_bytes([1, 0], 4).unwrap(), [4, 5, 6, 0, 1, 2, 3, 0]);
        let swapped = file.select(vec![1, 0, 1]).unwrap();
        assert_eq!(swapped.select(vec![2]).unwrap().to_f32().unwrap(), [4.0, 5.0, 6.0]);
        assert!(swapped.select(vec![3]).is_err() && swapped.select(vec![]).is_err());
        assert!(file.reshape([3, 1]).unwrap().shape() == [3, 1] && file.reshape([4]).is_err());
        std::fs::write(&path, [0; 5]).unwrap();
        assert!(file.to_f32().unwrap_err().to_string().contains("could not read row 1"));
        assert!(Samples::in_file(&path, 0, 2, [3], RawFormat::little(RawType::U8)).is_err());
    }

    #[test]
    fn values_are_checked() {
        assert!(Samples::new(vec![], [3]).is_err());
        assert!(Samples::new(vec![1.0], [0]).is_err());
        assert!(Samples::new(vec![1.0], [usize::MAX, 2]).is_err());
        assert!(Samples::new(vec![1.0; 5], [3]).is_err());
        let error = Samples::new(vec![1.0, 2.0, f32::NAN, 4.0], [2]).unwrap_err().to_string();
        assert!(error.contains("sample 1, value 0"), "{error}");
    }
}
