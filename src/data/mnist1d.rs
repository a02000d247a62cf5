//! The MNIST-1D generator (Greydanus & Kobak): ten digit-like curves, padded, scaled, rotated, sheared and made
//! noisy.
//!
//! For any settings the result equals that of the `mnist1d` Python package (0.0.2.post1) up to float64 rounding: the
//! random draws, their order and the arithmetic are the same. The default settings give the published data set.

mod config;

pub use config::{Mnist1dConfig, Mnist1dPreset, SplitRanges};

use super::{Dataset, RandomState, Split};
use crate::error::{Error, Result};
use std::ops::Range;

/// The number of digit classes.
pub const CLASSES: usize = 10;
/// The number of points of a template.
pub const TEMPLATE_POINTS: usize = 12;

/// The templates before normalisation.
const DIGITS: [[f64; TEMPLATE_POINTS]; CLASSES] = [
    [5.0, 6.0, 6.5, 6.75, 7.0, 7.0, 7.0, 7.0, 6.75, 6.5, 6.0, 5.0],
    [5.0, 3.0, 3.0, 3.4, 3.8, 4.2, 4.6, 5.0, 5.4, 5.8, 5.0, 5.0],
    [5.0, 6.0, 6.5, 6.5, 6.0, 5.25, 4.75, 4.0, 3.5, 3.5, 4.0, 5.0],
    [5.0, 6.0, 6.5, 6.5, 6.0, 5.0, 5.0, 6.0, 6.5, 6.5, 6.0, 5.0],
    [5.0, 4.4, 3.8, 3.2, 2.6, 2.6, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0],
    [5.0, 3.0, 3.0, 3.0, 3.0, 5.0, 6.0, 6.5, 6.5, 6.0, 4.5, 5.0],
    [5.0, 4.0, 3.5, 3.25, 3.0, 3.0, 3.0, 3.0, 3.25, 3.5, 4.0, 5.0],
    [5.0, 7.0, 7.0, 6.6, 6.2, 5.8, 5.4, 5.0, 4.6, 4.2, 5.0, 5.0],
    [5.0, 4.0, 3.5, 3.5, 4.0, 5.0, 5.0, 4.0, 3.5, 3.5, 4.0, 5.0],
    [5.0, 4.0, 3.5, 3.5, 4.0, 5.0, 5.0, 5.0, 5.0, 4.7, 4.3, 5.0],
];

/// Radius and variance of the Gaussian filter for the correlated noise: sigma 2, truncated at four sigma.
const SMOOTH_RADIUS: usize = 8;
const SMOOTH_VARIANCE: f64 = 4.0;

/// A generated data set in f64, with the samples in their final order.
#[derive(Debug, Clone, PartialEq)]
pub struct Mnist1d {
    /// The signals, row-major, `[rows × features]`; over all of them the mean is 0 and the standard deviation 1.
    pub x: Vec<f64>,
    /// The digit of each row, 0 to 9.
    pub y: Vec<i64>,
    /// The time axis, `[features]`, in units of the signals' standard deviation before normalisation, as published.
    pub t: Vec<f64>,
    /// The number of samples: `num_samples` rounded down to a multiple of 10.
    pub rows: usize,
    /// The length of one signal.
    pub features: usize,
    /// The number of rows for training: the first ones.
    pub train_rows: usize,
}

impl Mnist1d {
    /// The signals of a range of rows, row-major. Rows past the end are left out.
    pub fn x_rows(&self, rows: Range<usize>) -> &[f64] {
        let end = rows.end.min(self.rows);
        self.x.get(rows.start.min(end) * self.features..end * self.features).unwrap_or_default()
    }

    /// The labels of a range of rows. Rows past the end are left out.
    pub fn y_rows(&self, rows: Range<usize>) -> &[i64] {
        let end = rows.end.min(self.rows);
        self.y.get(rows.start.min(end)..end).unwrap_or_default()
    }

    /// The splits of a preset, in f32, for training.
    ///
    /// # Errors
    /// [`Error::Value`] if no rows are left for training.
    pub fn dataset(&self, preset: Mnist1dPreset) -> Result<Dataset> {
        let ranges = preset.ranges(self);
        let split = |rows: Range<usize>| {
            let x = self.x_rows(rows.clone()).iter().map(|&v| v as f32).collect();
            let y = self.y_rows(rows).iter().map(|&label| label as u32).collect();
            Split::new(x, y, [self.features])
        };
        let val = ranges.val.map(split).transpose()?;
        let test = ranges.test.map(split).transpose()?;
        Dataset::new(split(ranges.train)?, val, test, CLASSES)
    }
}

/// The ten normalised templates that the generator starts from: each begins at 0 and has standard deviation 1/6.
pub fn templates() -> [[f64; TEMPLATE_POINTS]; CLASSES] {
    DIGITS.map(|digit| {
        let points = TEMPLATE_POINTS as f64;
        let mean = digit.iter().sum::<f64>() / points;
        let centred = digit.map(|v| v - mean);
        let centre = centred.iter().sum::<f64>() / points;
        let std = (centred.iter().map(|v| (v - centre) * (v - centre)).sum::<f64>() / points).sqrt();
        let whitened = centred.map(|v| v / std);
        whitened.map(|v| (v - whitened[0]) / 6.0)
    })
}

/// Generates the data set of `config`.
///
/// # Errors
/// [`Error::Config`] for settings that [`Mnist1dConfig::validate`] rejects, and for scales so extreme that the signals
/// overflow or are all equal, with a standard deviation of 0.
pub fn generate(config: &Mnist1dConfig) -> Result<Mnist1d> {
    config.validate()?;
    let mut rng = RandomState::new(config.seed as u32);
    let (length, features) = (config.template_len + config.padding[1], config.final_seq_length);
    let per_class = config.num_samples / CLASSES;
    let rows = per_class * CLASSES;
    let make = Transform::new(config, length);

    let mut signals = Vec::with_capacity(rows * features);
    for template in &templates() {
        for _ in 0..per_class {
            make.example(template, &mut rng, &mut signals);
        }
    }
    let order = rng.permutation(rows);
    let columns = if config.shuffle_seq { rng.permutation(features) } else { (0..features).collect() };
    let mut x = Vec::with_capacity(rows * features);
    for &row in &order {
        let signal = &signals[row * features..][..features];
        x.extend(columns.iter().map(|&column| signal[column]));
    }
    let y = order.iter().map(|&row| (row / per_class) as i64).collect();

    // One mean and one standard deviation for all samples, training and test together, as in the published data set.
    let count = x.len() as f64;
    let mean = pairwise_sum(&x, &|v| v) / count;
    let std = (pairwise_sum(&x, &|v| (v - mean) * (v - mean)) / count).sqrt();
    x.iter_mut().for_each(|v| *v = (*v - mean) / std);
    let time: Vec<f64> = linspace(-5.0, 5.0, TEMPLATE_POINTS).iter().map(|v| v / 6.0).collect();
    let t: Vec<f64> = resample(&resample(&time, length), features).iter().map(|v| v / std).collect();
    if !x.iter().chain(&t).all(|v| v.is_finite()) {
        let message = format!("these scales give signals of mean {mean} and standard deviation {std}");
        return Err(Error::config("mnist1d", message));
    }
    let train_rows = (rows as f64 * config.train_split) as usize;
    Ok(Mnist1d { x, y, t, rows, features, train_rows })
}

/// The random transformation of a template, with everything that all examples share computed once.
struct Transform<'a> {
    config: &'a Mnist1dConfig,
    length: usize,
    ramp: Vec<f64>,
    weights: [f64; SMOOTH_RADIUS + 1],
}

impl<'a> Transform<'a> {
    fn new(config: &'a Mnist1dConfig, length: usize) -> Self {
        let mut weights = [0.0; SMOOTH_RADIUS + 1];
        for (k, weight) in weights.iter_mut().enumerate() {
            *weight = (-0.5 / SMOOTH_VARIANCE * (k * k) as f64).exp();
        }
        let total = weights[0] + 2.0 * weights[1..].iter().sum::<f64>();
        Transform { config, length, ramp: linspace(-0.5, 0.5, length), weights: weights.map(|w| w / total) }
    }

    /// Appends one example to `out`. The order of the random draws is part of the data set's definition; every draw
    /// is made, even where its scale is 0.
    fn example(&self, template: &[f64], rng: &mut RandomState, out: &mut Vec<f64>) {
        let c = self.config;
        // The offset keeps the template's points non-zero: below, a zero means padding.
        let mut v: Vec<f64> = template.iter().map(|p| p + 1e-8).collect();
        let [low, high] = c.padding;
        let zeros = low + (rng.rand() * (high - low + 1) as f64) as usize;
        v.resize(v.len() + zeros, 0.0);
        v = resample(&v, self.length);

        let scale = 1.0 + c.scale_coeff * (rng.rand() - 0.5);
        v.iter_mut().for_each(|p| *p *= scale);

        let k = rng.choice(c.max_translation).unwrap_or(0);
        // The package rotates with Python slices: if k is past the end, they leave the signal unchanged.
        if k < v.len() {
            v.rotate_right(k);
        }

        let noise: Vec<f64> = v.iter().map(|_| c.corr_noise_scale * rng.randn()).collect();
        for (p, n) in v.iter_mut().zip(self.smooth(&noise)) {
            if *p == 0.0 {
                *p = n;
            }
        }
        v.iter_mut().for_each(|p| *p += c.iid_noise_scale * rng.randn());

        let shear = c.shear_scale * (rng.rand() - 0.5);
        v.iter_mut().zip(&self.ramp).for_each(|(p, r)| *p -= shear * r);
        out.extend(resample(&v, c.final_seq_length));
    }

    /// SciPy's `gaussian_filter(v, 2)`, with the same order of summation.
    fn smooth(&self, v: &[f64]) -> Vec<f64> {
        // Half-sample symmetric: d c b a | a b c d | d c b a, repeated for signals shorter than the radius.
        let at = |i: isize| {
            let n = v.len() as isize;
            let folded = i.rem_euclid(2 * n);
            v[folded.min(2 * n - 1 - folded) as usize]
        };
        (0..v.len() as isize)
            .map(|i| {
                let far_to_near = (1..=SMOOTH_RADIUS).rev();
                far_to_near.fold(v[i as usize] * self.weights[0], |sum, d| {
                    sum + (at(i - d as isize) + at(i + d as isize)) * self.weights[d]
                })
            })
            .collect()
    }
}

/// `numpy.linspace(start, stop, n)`.
fn linspace(start: f64, stop: f64, n: usize) -> Vec<f64> {
    let step = (stop - start) / (n.max(2) - 1) as f64;
    let mut values: Vec<f64> = (0..n).map(|i| i as f64 * step + start).collect();
    if let Some(last) = values.last_mut().filter(|_| n > 1) {
        *last = stop;
    }
    values
}

/// `v` resampled to `n` points by linear interpolation, as `numpy.interp` does.
fn resample(v: &[f64], n: usize) -> Vec<f64> {
    let knots = linspace(0.0, 1.0, v.len());
    let mut j = 0;
    let interpolate = |q: f64| {
        while j + 1 < knots.len() && knots[j + 1] <= q {
            j += 1;
        }
        if j + 1 == knots.len() || knots[j] == q {
            return v[j];
        }
        let slope = (v[j + 1] - v[j]) / (knots[j + 1] - knots[j]);
        slope * (q - knots[j]) + v[j]
    };
    linspace(0.0, 1.0, n).into_iter().map(interpolate).collect()
}

/// `Σ f(v)` by pairwise summation, as NumPy sums: the error grows with the logarithm of the length.
fn pairwise_sum(values: &[f64], f: &impl Fn(f64) -> f64) -> f64 {
    if values.len() <= 128 {
        return values.iter().map(|&v| f(v)).sum();
    }
    let (left, right) = values.split_at(values.len() / 2);
    pairwise_sum(left, f) + pairwise_sum(right, f)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn templates_start_at_zero_with_a_standard_deviation_of_a_sixth() {
        for template in templates() {
            assert_eq!(template[0], 0.0);
            let mean = template.iter().sum::<f64>() / 12.0;
            let variance = template.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 12.0;
            assert!((variance.sqrt() - 1.0 / 6.0).abs() < 1e-15);
        }
    }

    #[test]
    fn resampling_keeps_the_ends_and_the_knots() {
        assert_eq!(resample(&[1.0, 3.0, 2.0], 5), vec![1.0, 2.0, 3.0, 2.5, 2.0]);
        assert_eq!(resample(&[1.0, 3.0, 2.0], 1), vec![1.0]);
        assert_eq!(linspace(-0.5, 0.5, 1), vec![-0.5]);
        assert_eq!(linspace(0.0, 1.0, 3), vec![0.0, 0.5, 1.0]);
    }

    #[test]
    fn scales_that_overflow_are_an_error() {
        let config = Mnist1dConfig { iid_noise_scale: 1e308, ..Mnist1dConfig::paper().with_num_samples(20) };
        let error = generate(&config).unwrap_err().to_string();
        assert!(error.contains("mnist1d"), "{error}");
    }

    #[test]
    fn splits_follow_the_presets() {
        let data = generate(&Mnist1dConfig::paper().with_num_samples(57)).unwrap();
        assert_eq!((data.rows, data.train_rows, data.y.len(), data.x.len()), (50, 40, 50, 2000));
        let paper = data.dataset(Mnist1dPreset::Paper).unwrap();
        assert_eq!((paper.train.rows(), paper.test.map(|t| t.rows()), paper.val), (40, Some(10), None));
        let udl = data.dataset(Mnist1dPreset::Udl).unwrap();
        assert_eq!((udl.train.rows(), udl.val.map(|v| v.rows()), udl.test.map(|t| t.rows())), (20, Some(10), Some(10)));
        let all = Mnist1dConfig { train_split: 1.0, ..Mnist1dConfig::paper().with_num_samples(10) };
        assert_eq!(generate(&all).unwrap().dataset(Mnist1dPreset::Paper).unwrap().test, None);
        let none = Mnist1dConfig { train_split: 0.0, ..all };
        assert!(generate(&none).unwrap().dataset(Mnist1dPreset::Paper).is_err());
        #[allow(clippy::reversed_empty_ranges)]
        let empty = data.x_rows(70..60);
        assert!(empty.is_empty() && data.y_rows(45..99).len() == 5);
    }
}
