//! What the four networks share: the step of gradient descent that their authors wrote out, and random start values.

use wgrad::data::RandomState;
use wgrad::{Array, DType, Program, Result, Session, Tensor, Variable};

/// The four rows of XOR.
pub(crate) const XOR: [[f32; 2]; 4] = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]];
/// Their targets.
pub(crate) const XOR_TARGETS: [[f32; 1]; 4] = [[0.0], [1.0], [1.0], [0.0]];

/// Adds `parameter ← parameter − rate · gradient` to every run of the loss's graph. Returns the gradients, all of them taken before
/// the first parameter changes.
pub(crate) fn descend<'g>(loss: Tensor<'g>, parameters: &[Variable], rate: f64) -> Vec<Tensor<'g>> {
    let graph = loss.graph();
    let values: Vec<Tensor<'g>> = parameters.iter().map(|v| graph.variable(v)).collect();
    let gradients = loss.grad(&values);
    for ((variable, value), gradient) in parameters.iter().zip(&values).zip(&gradients) {
        (*value - *gradient * rate).assign_to(variable);
    }
    gradients
}

/// A variable that starts at the next numbers of one of NumPy's random streams, as `random.rand(rows, columns)` or
/// `random.randn(rows, columns)` would return them.
pub(crate) fn random(name: &str, shape: [usize; 2], mut next: impl FnMut() -> f64) -> Result<Variable> {
    let numbers: Vec<f64> = (0..shape[0] * shape[1]).map(|_| next()).collect();
    Ok(Variable::new(name, Array::from_f64(shape, &numbers, DType::F32)?))
}

/// A layer's weights from the stream of standard normal numbers.
pub(crate) fn normal(name: &str, shape: [usize; 2], stream: &mut RandomState) -> Result<Variable> {
    random(name, shape, || stream.randn())
}

/// Runs a program once; the numbers of each output.
pub(crate) fn run_once(session: &mut Session, program: &Program) -> Result<Vec<Vec<f64>>> {
    Ok(session.run(program, &[])?.iter().map(Array::to_f64).collect())
}

/// The current values of variables.
pub(crate) fn read(session: &mut Session, variables: &[Variable]) -> Result<Vec<Vec<f64>>> {
    variables.iter().map(|v| Ok(session.read(v)?.to_f64())).collect()
}

/// Numbers in a row, with so many decimals.
pub(crate) fn row(values: &[f64], decimals: usize) -> String {
    values.iter().map(|v| format!("{v:.decimals$}")).collect::<Vec<_>>().join(" ")
}
