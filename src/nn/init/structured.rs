//! Initialisers whose elements depend on one another or on their position.

use super::{Generator, Initializer, normal};
use crate::ops::random::Distribution;
use crate::shape::Shape;

impl Initializer {
    /// The elements in row-major order, or a message about the shapes it supports.
    pub(super) fn structured(self, shape: &Shape, rng: &mut Generator) -> Result<Vec<f64>, String> {
        match self {
            Initializer::TruncNormal { mean, std, low, high } => {
                if !(low < high && std > 0.0) {
                    return Err("needs a positive standard deviation and low < high".into());
                }
                Ok(truncated(rng, shape.elements(), mean, std, low, high))
            }
            Initializer::Orthogonal { gain } => {
                if shape.rank() < 2 {
                    return Err(format!("is for weights of rank 2 or more, not {shape}"));
                }
                let rows = shape[0];
                let columns = shape.elements() / rows.max(1);
                let mut data = orthogonal(rng, rows, columns);
                data.iter_mut().for_each(|x| *x *= gain);
                Ok(data)
            }
            Initializer::Sparse { sparsity, std } => {
                let [rows, columns] = shape[..] else { return Err(format!("is for weights [out, in], not {shape}")) };
                if !(0.0..=1.0).contains(&sparsity) {
                    return Err("needs a sparsity in [0, 1]".into());
                }
                Ok(sparse(rng, rows, columns, sparsity, std))
            }
            Initializer::Eye => {
                let [rows, columns] = shape[..] else { return Err(format!("is for weights [out, in], not {shape}")) };
                Ok((0..rows * columns).map(|i| if i / columns == i % columns { 1.0 } else { 0.0 }).collect())
            }
            Initializer::Dirac { groups } => dirac(shape, groups),
            _ => Err("is not a structured initialiser".into()),
        }
    }
}

/// Inverts the distribution function, so that every element takes one random number.
fn truncated(rng: &mut Generator, count: usize, mean: f64, std: f64, low: f64, high: f64) -> Vec<f64> {
    // erf maps to (−1, 1), the distribution function to (0, 1).
    let place = |x: f64| libm::erf((x - mean) / (std * std::f64::consts::SQRT_2));
    let (from, to) = (place(low), place(high));
    let value = |u: f64| {
        let x = mean + std * std::f64::consts::SQRT_2 * inverse_erf(from + (to - from) * u);
        x.clamp(low, high)
    };
    rng.numbers(count, Distribution::Uniform).into_iter().map(value).collect()
}

/// Winitzki's approximation, then Newton's method.
fn inverse_erf(y: f64) -> f64 {
    if y.abs() >= 1.0 {
        return f64::INFINITY.copysign(y);
    }
    let a = 0.147;
    let log = (-y * y).ln_1p();
    let t = 2.0 / (std::f64::consts::PI * a) + log / 2.0;
    let mut x = ((t * t - log / a).sqrt() - t).max(0.0).sqrt().copysign(y);
    for _ in 0..3 {
        let slope = std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp();
        if slope > 0.0 {
            x -= (libm::erf(x) - y) / slope;
        }
    }
    x
}

/// The `Q` of the QR decomposition of a normal matrix, with a positive diagonal in `R`: uniformly distributed among
/// the orthogonal matrices. Computed by the Gram–Schmidt process, run twice, along the shorter axis.
fn orthogonal(rng: &mut Generator, rows: usize, columns: usize) -> Vec<f64> {
    let (count, length) = (rows.min(columns), rows.max(columns));
    let drawn = normal(rng, count * length, 0.0, 1.0);
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(count);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    for vector in drawn.chunks(length.max(1)) {
        let mut vector = vector.to_vec();
        // The second run removes the rounding errors of the first.
        for _ in 0..2 {
            for other in &basis {
                let along = dot(&vector, other);
                vector.iter_mut().zip(other).for_each(|(x, y)| *x -= along * y);
            }
        }
        let norm = dot(&vector, &vector).sqrt();
        vector.iter_mut().for_each(|x| *x /= norm);
        basis.push(vector);
    }
    let element = |i: usize| {
        let (row, column) = (i / columns, i % columns);
        if rows <= columns { basis[row][column] } else { basis[column][row] }
    };
    (0..rows * columns).map(element).collect()
}

fn sparse(rng: &mut Generator, rows: usize, columns: usize, sparsity: f64, std: f64) -> Vec<f64> {
    let mut data = normal(rng, rows * columns, 0.0, std);
    let zeros = (sparsity * rows as f64).ceil() as usize;
    let keys = rng.numbers(rows * columns, Distribution::Uniform);
    for column in 0..columns {
        // The first rows of a random order become zeros.
        let mut order: Vec<usize> = (0..rows).collect();
        order.sort_by(|&a, &b| keys[a * columns + column].total_cmp(&keys[b * columns + column]));
        order[..zeros.min(rows)].iter().for_each(|&row| data[row * columns + column] = 0.0);
    }
    data
}

fn dirac(shape: &Shape, groups: usize) -> Result<Vec<f64>, String> {
    if !(3..=5).contains(&shape.rank()) || groups == 0 || !shape[0].is_multiple_of(groups) {
        return Err(format!(
            "is for weights [out, in, k…] whose output channels are a multiple of the groups, not {shape}"
        ));
    }
    let (outputs, inputs) = (shape[0] / groups, shape[1]);
    let (strides, mut data) = (shape.strides(), vec![0.0; shape.elements()]);
    let centre: usize = (2..shape.rank()).map(|k| shape[k] / 2 * strides[k] as usize).sum();
    if data.is_empty() {
        return Ok(data);
    }
    for group in 0..groups {
        for channel in 0..outputs.min(inputs) {
            data[(group * outputs + channel) * strides[0] as usize + channel * strides[1] as usize + centre] = 1.0;
        }
    }
    Ok(data)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn draw(initializer: Initializer, shape: &Shape) -> Vec<f64> {
        initializer.draw(shape, shape, &mut Generator::new(5)).unwrap().to_f64()
    }

    #[test]
    fn inverse_of_erf() {
        for y in [-0.999_999, -0.9, -0.3, 0.0, 1e-9, 0.5, 0.99, 0.999_999_9] {
            assert!((libm::erf(inverse_erf(y)) - y).abs() <= 1e-15, "{y}");
        }
    }

    #[test]
    fn truncated_normals_have_the_moments_of_their_density() {
        let shape = Shape::from([40_000]);
        let data = draw(Initializer::TruncNormal { mean: 1.0, std: 2.0, low: 0.0, high: 2.0 }, &shape);
        assert!(data.iter().all(|x| (0.0..=2.0).contains(x)));
        let n = data.len() as f64;
        // Truncated at ±0.5 standard deviations: variance 4·(1 − 2·0.5·φ(0.5)/(2Φ(0.5) − 1)) with φ(0.5) = 0.35207,
        // 2Φ(0.5) − 1 = 0.38292.
        let expected = 4.0 * (1.0 - 0.352_065_326_764_299_5 / 0.382_924_922_548_026);
        let mean = data.iter().sum::<f64>() / n;
        let variance = data.iter().map(|x| (x - 1.0).powi(2)).sum::<f64>() / n;
        assert!((mean - 1.0).abs() < 5.0 * (expected / n).sqrt(), "{mean}");
        assert!((variance / expected - 1.0).abs() < 0.03, "{variance} for {expected}");
    }

    #[test]
    fn orthogonal_rows_or_columns_are() {
        for shape in [Shape::from([6, 6]), Shape::from([4, 3, 5]), Shape::from([20, 7])] {
            let data = draw(Initializer::Orthogonal { gain: 2.0 }, &shape);
            let (rows, columns) = (shape[0], shape.elements() / shape[0]);
            let vectors: Vec<Vec<f64>> = if rows <= columns {
                data.chunks(columns).map(<[f64]>::to_vec).collect()
            } else {
                (0..columns).map(|c| (0..rows).map(|r| data[r * columns + c]).collect()).collect()
            };
            for (i, a) in vectors.iter().enumerate() {
                for (j, b) in vectors.iter().enumerate() {
                    let product: f64 = a.iter().zip(b).map(|(x, y)| x * y).sum();
                    assert!((product - if i == j { 4.0 } else { 0.0 }).abs() < 1e-5, "{shape} {i} {j}: {product}");
                }
            }
        }
    }

    #[test]
    fn zeros_and_ones_are_where_they_belong() {
        let data = draw(Initializer::Sparse { sparsity: 0.3, std: 0.1 }, &Shape::from([11, 6]));
        for column in 0..6 {
            assert_eq!((0..11).filter(|row| data[row * 6 + column] == 0.0).count(), 4);
        }
        assert_eq!(draw(Initializer::Eye, &Shape::from([2, 3])), [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        // Two groups of two outputs with one input each: the first output of each group passes the input on.
        let data = draw(Initializer::Dirac { groups: 2 }, &Shape::from([4, 1, 3]));
        assert_eq!(data, [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let mut rng = Generator::new(1);
        let (vector, cube) = (Shape::from([3]), Shape::from([3, 3, 3]));
        let cases = [
            (Initializer::Eye, &cube),
            (Initializer::Sparse { sparsity: 0.1, std: 1.0 }, &vector),
            (Initializer::Orthogonal { gain: 1.0 }, &vector),
            (Initializer::Dirac { groups: 2 }, &cube),
            (Initializer::TruncNormal { mean: 0.0, std: 1.0, low: 2.0, high: -2.0 }, &vector),
        ];
        for (initializer, shape) in cases {
            assert!(initializer.draw(shape, shape, &mut rng).is_err(), "{initializer:?}");
        }
        assert!(rng.normal([1 << 20, 1 << 30], 0.0, 1.0).is_err());
    }
}
