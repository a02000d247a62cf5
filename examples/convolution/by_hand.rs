//! Convolution with plain loops, in f64: what `Tensor::conv` computes.

use wgrad::{Array, DType, Result};

/// A dense row-major array in f64: a batch of signals `[n, c, l]` or of images `[n, c, h, w]`, or weights with the output
/// channels in place of the batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// Its sizes.
    pub shape: Vec<usize>,
    /// Its elements.
    pub data: Vec<f64>,
}

impl Block {
    /// As a device takes it: in f32.
    pub fn array(&self) -> Result<Array> {
        Array::from_f64(self.shape.clone(), &self.data, DType::F32)
    }
}

/// The settings of a convolution, the same along every spatial axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Distance between the inputs of neighbouring outputs.
    pub stride: usize,
    /// Zeros on both sides.
    pub padding: usize,
    /// Distance between the inputs of neighbouring kernel elements.
    pub dilation: usize,
}

impl Settings {
    /// Every output, no padding, a kernel without gaps.
    pub const PLAIN: Settings = Settings { stride: 1, padding: 0, dilation: 1 };

    /// The number of outputs for `length` inputs and a kernel of `size` elements.
    pub fn outputs(self, length: usize, size: usize) -> usize {
        let reach = self.dilation * (size - 1) + 1;
        (length + 2 * self.padding - reach) / self.stride + 1
    }

    /// The input that kernel element `q` reads for output `p`; `None` in the padding.
    pub fn input(self, p: usize, q: usize, length: usize) -> Option<usize> {
        let place = (p * self.stride + q * self.dilation).checked_sub(self.padding)?;
        (place < length).then_some(place)
    }
}

/// `y[n, o, p] = Σ_{c, q} w[o, c, q] · x[n, c, p·stride + q·dilation − padding]`.
pub fn conv1d(x: &Block, w: &Block, settings: Settings) -> Block {
    let [batch, channels, length] = [0, 1, 2].map(|k| x.shape[k]);
    let [out_channels, size] = [w.shape[0], w.shape[2]];
    let outputs = settings.outputs(length, size);
    let mut data = Vec::new();
    for n in 0..batch {
        for o in 0..out_channels {
            for p in 0..outputs {
                let mut sum = 0.0;
                for c in 0..channels {
                    for q in 0..size {
                        if let Some(i) = settings.input(p, q, length) {
                            sum += w.data[(o * channels + c) * size + q] * x.data[(n * channels + c) * length + i];
                        }
                    }
                }
                data.push(sum);
            }
        }
    }
    Block { shape: vec![batch, out_channels, outputs], data }
}

/// The same with two spatial axes: two more loops.
pub fn conv2d(x: &Block, w: &Block, settings: Settings) -> Block {
    let [batch, channels, height, width] = [0, 1, 2, 3].map(|k| x.shape[k]);
    let [out_channels, rows, columns] = [w.shape[0], w.shape[2], w.shape[3]];
    let (out_height, out_width) = (settings.outputs(height, rows), settings.outputs(width, columns));
    let mut data = Vec::new();
    for n in 0..batch {
        for o in 0..out_channels {
            for (py, px) in places(out_height, out_width) {
                let mut sum = 0.0;
                for c in 0..channels {
                    for (qy, qx) in places(rows, columns) {
                        let (iy, ix) = (settings.input(py, qy, height), settings.input(px, qx, width));
                        if let (Some(iy), Some(ix)) = (iy, ix) {
                            let weight = w.data[((o * channels + c) * rows + qy) * columns + qx];
                            sum += weight * x.data[((n * channels + c) * height + iy) * width + ix];
                        }
                    }
                }
                data.push(sum);
            }
        }
    }
    Block { shape: vec![batch, out_channels, out_height, out_width], data }
}

/// All places of a grid, row by row.
fn places(rows: usize, columns: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..rows).flat_map(move |y| (0..columns).map(move |x| (y, x)))
}

/// The convolution of one signal with one kernel as a matrix, `[outputs, inputs]`: row `p` has the kernel where output `p`
/// reads.
pub fn matrix(length: usize, kernel: &[f64], settings: Settings) -> Block {
    let outputs = settings.outputs(length, kernel.len());
    let mut data = vec![0.0; outputs * length];
    for p in 0..outputs {
        for (q, weight) in kernel.iter().enumerate() {
            if let Some(i) = settings.input(p, q, length) {
                data[p * length + i] = *weight;
            }
        }
    }
    Block { shape: vec![outputs, length], data }
}
