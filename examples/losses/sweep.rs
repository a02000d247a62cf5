//! Likelihoods and losses as functions of a parameter, whose values are the batch of one program.

use super::common::numbers;
use wgrad::plot::{Colour, LineStyle, Marker, Panel};
use wgrad::{Array, Result, Session, Tensor};

/// A number for each value of the parameter, and where it is best: a likelihood's maximum, a loss's minimum.
#[derive(Debug, Clone)]
pub struct Curve {
    /// The numbers.
    pub values: Vec<f64>,
    /// The index of the best.
    pub best: usize,
}

/// What a sweep found.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// The values of the parameter.
    pub at: Vec<f64>,
    /// The likelihood of the data.
    pub likelihood: Curve,
    /// The negative log-likelihood.
    pub nll: Curve,
    /// The sum of squares, for a normal distribution.
    pub squares: Option<Curve>,
}

/// The likelihood of independent data along the last axis, from the probability (or density) of each.
pub fn likelihood(probability: Tensor<'_>) -> Tensor<'_> {
    probability.prod(-1)
}

/// Its negative logarithm, as a sum of logarithms.
pub fn negative_log_likelihood(probability: Tensor<'_>) -> Tensor<'_> {
    -probability.log().sum(-1)
}

impl Curve {
    fn new(values: &Array, best: &Array) -> Result<Self> {
        Ok(Curve { values: numbers(values), best: best.item()? as usize })
    }
}

impl Sweep {
    /// Runs a program once: `probability` is `[values, data]`, and so are the `residual`s of a normal distribution's mean.
    pub fn new(
        session: &mut Session,
        at: Vec<f64>,
        probability: Tensor<'_>,
        residual: Option<Tensor<'_>>,
    ) -> Result<Self> {
        let (likelihood, nll) = (likelihood(probability), negative_log_likelihood(probability));
        let mut outputs = vec![likelihood, likelihood.argmax(0), nll, nll.argmin(0)];
        if let Some(residual) = residual {
            let squares = residual.square().sum(-1);
            outputs.extend([squares, squares.argmin(0)]);
        }
        let program = session.compile(probability.graph(), &outputs)?;
        let out = session.run(&program, &[])?;
        let curve = |k: usize| Curve::new(&out[2 * k], &out[2 * k + 1]);
        let squares = residual.map(|_| curve(2)).transpose()?;
        Ok(Sweep { at, likelihood: curve(0)?, nll: curve(1)?, squares })
    }

    /// Prints where each curve is best.
    pub fn print(&self, parameter: &str) {
        let best = |curve: &Curve| (curve.values[curve.best], self.at[curve.best]);
        let (most, at) = best(&self.likelihood);
        println!("maximum likelihood {most:.4e} at {parameter} = {at:.3}");
        let (least, at) = best(&self.nll);
        println!("minimum negative log-likelihood {least:.3} at {parameter} = {at:.3}");
        if let Some((least, at)) = self.squares.as_ref().map(best) {
            println!("minimum sum of squares {least:.3} at {parameter} = {at:.3}");
        }
    }

    /// Three panels: the likelihood, its logarithm, and the loss.
    pub fn panels(&self, parameter: &str) -> [Panel; 3] {
        let (loss, name) = match &self.squares {
            Some(squares) => (squares, "Sum of squares"),
            None => (&self.nll, "Negative log-likelihood"),
        };
        let log = Curve { values: self.nll.values.iter().map(|nll| -nll).collect(), best: self.nll.best };
        [(&self.likelihood, "Likelihood"), (&log, "Log-likelihood"), (loss, name)].map(|(curve, name)| {
            let point = |k: usize| (self.at[k], curve.values[k]);
            let best = format!("{:.3}", self.at[curve.best]);
            Panel::new(format!("{name}: best at {}", best.trim_end_matches('0')))
                .x_label(parameter)
                .y_label(name)
                .styled_line("", Colour::nth(0), LineStyle::Solid, (0..self.at.len()).map(point))
                .vertical(self.at[curve.best])
                .styled_points("", Colour::nth(1), Marker::Circle, 5.0, [point(curve.best)])
        })
    }
}
