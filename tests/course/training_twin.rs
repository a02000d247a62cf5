//! The two models of the example `training` in plain Rust, f64: their loss and gradient, and how far those may be off when every
//! operation rounds to f32.

use super::example::problem::{Point, Problem};

/// What one rounding to f32 changes, relative to the number.
pub(super) const ROUNDING: f64 = 0.5 * f32::EPSILON as f64;

/// A number, and the most that f32 arithmetic may be off.
#[derive(Clone, Copy, Default)]
pub(super) struct Near {
    pub(super) value: f64,
    pub(super) error: f64,
}

pub(super) struct Twin {
    x: Vec<f64>,
    y: Vec<f64>,
    gabor: bool,
}

impl Twin {
    pub(super) fn new(problem: &Problem, gabor: bool) -> Self {
        Twin { x: problem.x.to_vec(), y: problem.y.to_vec(), gabor }
    }

    /// The indices of all the data.
    pub(super) fn all(&self) -> Vec<usize> {
        (0..self.x.len()).collect()
    }

    /// The residual of a data point, and its derivatives by both parameters.
    ///
    /// An operation's rounding is relative to its result. Sine, cosine and the exponential add two units; all derivatives of the Gabor
    /// model by its phase are below 1.5.
    fn residual(&self, phi: Point, k: usize) -> (Near, [Near; 2]) {
        let (x, y) = (self.x[k], self.y[k]);
        let scale = if self.gabor { 0.06 } else { 1.0 };
        let inner = phi.0 + scale * phi.1 * x;
        let inner_error = 5.0 * ROUNDING * (phi.0.abs() + (scale * phi.1 * x).abs());
        let (p, slope, p_error, slope_error) = if self.gabor {
            let fade = (-inner * inner / 32.0).exp();
            let slope = (inner.cos() - inner.sin() * inner / 16.0) * fade;
            let error = 1.5 * inner_error + 12.0 * ROUNDING;
            (inner.sin() * fade, slope, error, error)
        } else {
            (inner, 1.0, inner_error, 0.0)
        };
        let residual = Near { value: p - y, error: p_error + 2.0 * ROUNDING * (p.abs() + y.abs()) };
        let derivative = |factor: f64| Near {
            value: slope * factor,
            error: (slope_error + 4.0 * ROUNDING * slope.abs()) * factor.abs(),
        };
        (residual, [derivative(1.0), derivative(scale * x)])
    }

    pub(super) fn loss(&self, phi: Point) -> Near {
        let count = self.x.len() as f64;
        self.all().iter().fold(Near::default(), |sum, &k| {
            let r = self.residual(phi, k).0;
            let square = r.value * r.value;
            let error = 2.0 * r.value.abs() * r.error + r.error * r.error + (count + 2.0) * ROUNDING * square;
            Near { value: sum.value + square, error: sum.error + error }
        })
    }

    /// The gradient of the sum of squares over some of the data.
    pub(super) fn gradient(&self, phi: Point, batch: &[usize]) -> [Near; 2] {
        [0, 1].map(|c| {
            batch.iter().fold(Near::default(), |sum, &k| {
                let (r, d) = self.residual(phi, k);
                let term = 2.0 * r.value * d[c].value;
                let error = 2.0 * (r.error * (d[c].value.abs() + d[c].error) + r.value.abs() * d[c].error)
                    + (batch.len() as f64 + 4.0) * ROUNDING * term.abs();
                Near { value: sum.value + term, error: sum.error + error }
            })
        })
    }

    /// A step against the gradient, and how far each parameter may be off after it.
    pub(super) fn step(&self, phi: Point, batch: &[usize], rate: f64) -> [Near; 2] {
        let gradient = self.gradient(phi, batch);
        [(phi.0, gradient[0]), (phi.1, gradient[1])].map(|(at, g)| {
            let value = at - rate * g.value;
            let error = rate * (g.error + 2.0 * ROUNDING * g.value.abs()) + ROUNDING * (at.abs() + value.abs());
            Near { value, error }
        })
    }

    /// How far each place of a golden path may be off: every step's roundings, carried on by the steps that follow it.
    pub(super) fn drift(&self, path: &[Point], batches: &[Vec<usize>], rate: f64) -> Vec<f64> {
        // From each place of the golden's, a step in f64 leads to the next.
        for (k, batch) in batches.iter().enumerate() {
            let [a, b] = self.step(path[k], batch, rate).map(|near| near.value);
            assert!((a - path[k + 1].0).abs().max((b - path[k + 1].1).abs()) < 1e-12, "step {k} is not the golden's");
        }
        let start = path[0];
        let first = [start.0, start.1].map(|v| ROUNDING * v.abs());
        let later = (1..path.len()).map(|k| self.step(path[k - 1], &batches[k - 1], rate).map(|near| near.error));
        let mut allowed = vec![0.0; path.len()];
        for (k, errors) in std::iter::once(first).chain(later).enumerate() {
            for moved in [(path[k].0 + errors[0], path[k].1), (path[k].0, path[k].1 + errors[1])] {
                let mut phi = moved;
                for j in k..path.len() {
                    allowed[j] += (phi.0 - path[j].0).abs().max((phi.1 - path[j].1).abs());
                    if j < batches.len() {
                        let [a, b] = self.step(phi, &batches[j], rate).map(|near| near.value);
                        phi = (a, b);
                    }
                }
            }
        }
        allowed
    }
}
