//! Networks of sigmoid layers in plain Rust, f64, with their gradients written out: what the hand-written networks are compared with.

use super::common::numbers;
use serde_json::Value as Json;

/// Where the twin rounds to f32.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Rounding {
    Nowhere,
    /// The start values and the data.
    Start,
    /// Those, and every operation's result.
    Everywhere,
}

#[derive(Clone, Copy)]
pub(super) enum Loss {
    HalfSquares,
    Squares,
    /// With half its derivative.
    SquaresWithoutTwo,
    CrossEntropy,
}

/// `[inputs][outputs]`, and a bias for each output.
type Layer = (Vec<Vec<f64>>, Option<Vec<f64>>);

/// A network of sigmoid layers with one output, computed by hand.
pub(super) struct Twin {
    layers: Vec<Layer>,
    pub(super) rows: Vec<(Vec<f64>, f64)>,
    loss: Loss,
    rate: f64,
    rounding: Rounding,
}

/// What one update saw.
pub(super) struct Seen {
    pub(super) losses: Vec<f64>,
    pub(super) outputs: Vec<f64>,
    /// Of each layer, its weight's gradient (row-major) and its bias's.
    pub(super) gradients: Vec<(Vec<f64>, Vec<f64>)>,
}

fn to_f32(v: f64) -> f64 {
    f64::from(v as f32)
}

impl Twin {
    pub(super) fn new(
        x: &Json,
        y: &Json,
        layers: &[(&Json, Option<&Json>)],
        (loss, rate): (Loss, f64),
        rounding: Rounding,
    ) -> Self {
        let start = |v: f64| if rounding == Rounding::Nowhere { v } else { to_f32(v) };
        let matrix = |value: &Json| -> Vec<Vec<f64>> {
            let (shape, data) = numbers(value);
            data.chunks(shape[1]).map(|row| row.iter().map(|&v| start(v)).collect()).collect()
        };
        let bias = |value: &Json| numbers(value).1.into_iter().map(start).collect();
        Twin {
            layers: layers.iter().map(|(w, b)| (matrix(w), b.map(bias))).collect(),
            rows: matrix(x).into_iter().zip(numbers(y).1.into_iter().map(start)).collect(),
            loss,
            rate: if rounding == Rounding::Everywhere { to_f32(rate) } else { rate },
            rounding,
        }
    }

    /// An operation's result.
    fn r(&self, v: f64) -> f64 {
        if self.rounding == Rounding::Everywhere { to_f32(v) } else { v }
    }

    /// Each layer's values, the inputs first.
    fn forward(&self, x: &[f64]) -> Vec<Vec<f64>> {
        let mut values = vec![x.to_vec()];
        for (w, b) in &self.layers {
            let input = &values[values.len() - 1];
            let unit = |j: usize| {
                let sum = self.r(input.iter().zip(w).map(|(v, row)| v * row[j]).sum());
                let sum = b.as_ref().map_or(sum, |b| self.r(sum + b[j]));
                self.r(1.0 / (1.0 + (-sum).exp()))
            };
            values.push((0..w[0].len()).map(unit).collect());
        }
        values
    }

    pub(super) fn outputs(&self) -> Vec<f64> {
        self.rows.iter().map(|(x, _)| self.forward(x)[self.layers.len()][0]).collect()
    }

    /// One update from the rows of `batch`.
    pub(super) fn step(&mut self, batch: std::ops::Range<usize>) -> Seen {
        let zeros = |(w, _): &Layer| (vec![0.0; w.len() * w[0].len()], vec![0.0; w[0].len()]);
        let mut seen = Seen { losses: vec![], outputs: vec![], gradients: self.layers.iter().map(zeros).collect() };
        for (x, y) in &self.rows[batch] {
            let values = self.forward(x);
            let p = values[self.layers.len()][0];
            let error = self.r(p - y);
            let (loss, derivative) = match self.loss {
                Loss::HalfSquares => (0.5 * error * error, error),
                Loss::Squares => (error * error, 2.0 * error),
                Loss::SquaresWithoutTwo => (error * error, error),
                Loss::CrossEntropy => {
                    let (log_p, log_q) = (self.r(p.ln()), self.r(self.r(1.0 - p).ln()));
                    (-(y * log_p + (1.0 - y) * log_q), self.r((1.0 - y) / self.r(1.0 - p) - y / p))
                }
            };
            seen.losses.push(self.r(loss));
            seen.outputs.push(p);
            let mut back = vec![derivative];
            for (k, (w, _)) in self.layers.iter().enumerate().rev() {
                let slope = |v: f64| self.r(v * self.r(1.0 - v));
                let before: Vec<f64> = back.iter().zip(&values[k + 1]).map(|(g, &v)| self.r(g * slope(v))).collect();
                let (of_weight, of_bias) = &mut seen.gradients[k];
                for (i, input) in values[k].iter().enumerate() {
                    for (j, d) in before.iter().enumerate() {
                        of_weight[i * before.len() + j] += input * d;
                    }
                }
                of_bias.iter_mut().zip(&before).for_each(|(sum, d)| *sum += d);
                back = w.iter().map(|row| self.r(row.iter().zip(&before).map(|(v, d)| v * d).sum())).collect();
            }
        }
        for (weight, bias) in &mut seen.gradients {
            weight.iter_mut().chain(bias).for_each(|g| *g = self.r(*g));
        }
        let (rate, rounding) = (self.rate, self.rounding);
        let r = |v: f64| if rounding == Rounding::Everywhere { to_f32(v) } else { v };
        for ((w, b), (of_weight, of_bias)) in self.layers.iter_mut().zip(&seen.gradients) {
            w.iter_mut().flatten().zip(of_weight).for_each(|(v, g)| *v = r(*v - r(rate * g)));
            b.iter_mut().flatten().zip(of_bias).for_each(|(v, g)| *v = r(*v - r(rate * g)));
        }
        seen
    }

    pub(super) fn weight(&self, k: usize) -> Vec<f64> {
        self.layers[k].0.concat()
    }
    pub(super) fn bias(&self, k: usize) -> Vec<f64> {
        self.layers[k].1.clone().unwrap()
    }
}
