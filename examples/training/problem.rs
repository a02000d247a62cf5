//! A model with two parameters and its least-squares loss, as wgrad programs.

use wgrad::{Array, DType, Graph, Result, Session, Tensor};

/// A place in the plane of the two parameters, or of `x` and `y`.
pub type Point = (f64, f64);

/// A formula for the prediction from `phi_0`, `phi_1` and `x`, which broadcast together.
pub type Model = for<'g> fn(Tensor<'g>, Tensor<'g>, Tensor<'g>) -> Tensor<'g>;

/// Points `(x, y)` and the model to fit to them.
pub struct Problem {
    /// The inputs.
    pub x: &'static [f64],
    /// The outputs that the model should give.
    pub y: &'static [f64],
    /// The formula.
    pub model: Model,
}

/// Numbers as `f32`, which every device computes with.
pub fn array(shape: &[usize], values: &[f64]) -> Result<Array> {
    Array::from_f64(shape, values, DType::F32)
}

/// Points as the rows of an `[n, 2]` array.
pub fn rows(points: &[Point]) -> Result<Array> {
    array(&[points.len(), 2], &points.iter().flat_map(|&(a, b)| [a, b]).collect::<Vec<_>>())
}

/// The rows of an `[n, 2]` array as points.
pub fn points(rows: &Array) -> Vec<Point> {
    rows.to_f64().chunks(2).map(|row| (row[0], row[1])).collect()
}

/// What a program says of one point.
pub struct Check {
    /// The loss there.
    pub loss: f64,
    /// The gradient by automatic differentiation.
    pub gradient: Point,
    /// The gradient by finite differences.
    pub differences: Point,
}

impl Problem {
    /// The predictions `[n, m]` of `n` pairs of parameters `[n, 2]` at `m` values `[m]`.
    fn predict<'g>(&self, phi: Tensor<'g>, x: Tensor<'g>) -> Tensor<'g> {
        (self.model)(phi.slice(1, 0..1), phi.slice(1, 1..2), x.unsqueeze(0))
    }

    /// The sum of squares of each pair of parameters, `[n]`, over the points `x` and `y`, `[m]`.
    pub fn loss<'g>(&self, phi: Tensor<'g>, x: Tensor<'g>, y: Tensor<'g>) -> Tensor<'g> {
        (self.predict(phi, x) - y.unsqueeze(0)).square().sum(1)
    }

    /// The loss over all the data.
    pub fn full_loss<'g>(&self, phi: Tensor<'g>) -> Result<Tensor<'g>> {
        let [x, y] = [self.x, self.y].map(|values| array(&[values.len()], values));
        let g = phi.graph();
        Ok(self.loss(phi, g.constant(x?), g.constant(y?)))
    }

    /// The loss at each point, in one run: the points are a batch.
    pub fn losses(&self, session: &mut Session, at: &[Point]) -> Result<Vec<f64>> {
        let g = Graph::new();
        let loss = self.full_loss(g.constant(rows(at)?))?;
        let program = session.compile(&g, &[loss])?;
        Ok(session.run(&program, &[])?[0].to_f64())
    }

    /// The model's curve for each pair of parameters, at each `x`.
    pub fn curves(&self, session: &mut Session, phi: &[Point], x: &[f64]) -> Result<Vec<Vec<Point>>> {
        let g = Graph::new();
        let y = self.predict(g.constant(rows(phi)?), g.constant(array(&[x.len()], x)?));
        let program = session.compile(&g, &[y])?;
        let y = session.run(&program, &[])?.remove(0).to_f64();
        Ok(y.chunks(x.len()).map(|row| x.iter().copied().zip(row.iter().copied()).collect()).collect())
    }

    /// The loss at a point, and its gradient by differentiation and by finite differences of step `delta`.
    pub fn check(&self, session: &mut Session, at: Point, delta: f64) -> Result<Check> {
        let g = Graph::new();
        let phi = g.constant(rows(&[at])?);
        let loss = self.full_loss(phi)?;
        let gradient = loss.sum(..).grad(&[phi])[0];
        // One row for each parameter, in which that parameter is larger by delta.
        let shifted = self.full_loss(phi + g.constant(rows(&[(delta, 0.0), (0.0, delta)])?))?;
        let differences = ((shifted - loss) / delta).unsqueeze(0);
        let program = session.compile(&g, &[loss, gradient, differences])?;
        let out = session.run(&program, &[])?;
        Ok(Check { loss: out[0].item()?, gradient: points(&out[1])[0], differences: points(&out[2])[0] })
    }

    /// The data as points.
    pub fn data(&self) -> impl Iterator<Item = Point> {
        self.x.iter().copied().zip(self.y.iter().copied())
    }
}
