//! The network of all three notebooks: one input, three ReLU units. Only what follows the hidden units differs.

use wgrad::{Array, DType, Graph, Result, Tensor};

/// The inputs of the data.
pub const X: [f64; 20] = [
    0.09291784, 0.46809093, 0.93089486, 0.67612654, 0.73441752, 0.86847339, 0.49873225, 0.51083168, 0.18343972,
    0.99380898, 0.27840809, 0.38028817, 0.12055708, 0.56715537, 0.92005746, 0.77072270, 0.85278176, 0.05315950,
    0.87168699, 0.58858043,
];
const BETA_0: [f64; 3] = [0.3, -1.0, -0.5];
const OMEGA_0: [f64; 3] = [-1.0, 1.8, 0.65];

/// Numbers as a constant of the program.
pub fn constant<'g>(g: &'g Graph, shape: &[usize], values: &[f64]) -> Result<Tensor<'g>> {
    Ok(g.constant(Array::from_f64(shape, values, DType::F32)?))
}

/// The outputs `[d, n]` at `n` inputs, before the bias `beta_1` is added: `omega_1` has a row for each output.
pub fn outputs<'g>(g: &'g Graph, x: &[f64], omega_1: &[[f64; 3]]) -> Result<Tensor<'g>> {
    let x = constant(g, &[1, x.len()], x)?;
    let (beta_0, omega_0) = (constant(g, &[3, 1], &BETA_0)?, constant(g, &[3, 1], &OMEGA_0)?);
    let hidden = (beta_0 + omega_0.matmul(x)).relu();
    Ok(constant(g, &[omega_1.len(), 3], omega_1.as_flattened())?.matmul(hidden))
}

/// `np.arange(start, stop, step)`.
pub fn arange(start: f64, stop: f64, step: f64) -> Vec<f64> {
    let count = ((stop - start) / step).ceil() as usize;
    (0..count).map(|k| start + k as f64 * (start + step - start)).collect()
}
