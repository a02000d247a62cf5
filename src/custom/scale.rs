//! The error scale of an operation of which only the reference is known.

use super::CustomKernel;
use crate::ops::matmul::accumulation_error;
use crate::ops::random::{Distribution, draw};
use crate::reference::RefTensor;
use crate::shape::TensorType;

/// The relative change of an input: small against the function's curvature, large against f64's rounding.
const STEP: f64 = 1e-6;
/// Up to so many elements of the inputs each is moved on its own.
const ONE_BY_ONE: usize = 256;
/// Elements of each larger input to move on their own, and moves of all elements at once.
const SINGLES: usize = 16;
const TOGETHER: usize = 12;

/// An error scale from the reference's conditioning, which f64 differences give: for each element `y` of the output
/// `(4 + √n)·Σ|∂y/∂x · x| + 4|y|`, where the sum is over the inputs' elements `x` and `n` counts those that `y` depends on.
///
/// That is the error of adding up `n` terms, each rounded, and of functions as accurate as WGSL asks, in the order a correct
/// implementation may choose. Where the inputs have many elements the sum is estimated: `n` by moving some elements, and
/// the sum, from above, as `2√n` times the furthest that `y` comes when all elements move at random.
///
/// Write an [`error_scale`](CustomKernel::error_scale) of your own where intermediate values are larger than what the result
/// shows (a variance as a difference of squares), or are rounded to `f16` on the way.
pub fn by_differences<K: CustomKernel>(kernel: &K, inputs: &[&RefTensor], value: &RefTensor) -> Vec<f64> {
    if !value.dtype.is_float() || value.data.is_empty() {
        return vec![0.0; value.data.len()];
    }
    let floats: Vec<usize> = (0..inputs.len()).filter(|&k| inputs[k].dtype.is_float()).collect();
    let moves = Moves { kernel, inputs, value };
    let total: usize = floats.iter().map(|&k| inputs[k].data.len()).sum();
    let (sums, terms) =
        if total <= ONE_BY_ONE { moves.one_by_one(&floats) } else { moves.together(&floats, value.data.len()) };
    let each = sums.into_iter().zip(terms).zip(&value.data);
    each.map(|((sum, n), y)| (2.0 + accumulation_error(n)) * sum + 4.0 * y.abs()).collect()
}

struct Moves<'a, K> {
    kernel: &'a K,
    inputs: &'a [&'a RefTensor],
    value: &'a RefTensor,
}

impl<K: CustomKernel> Moves<'_, K> {
    /// How far each element of the output goes when the elements of the inputs become `f(input, element, value)`.
    fn changes(&self, f: impl Fn(usize, usize, f64) -> f64) -> Vec<f64> {
        let moved = |(k, x): (usize, &&RefTensor)| {
            let data = x.data.iter().enumerate().map(|(i, &x)| f(k, i, x)).collect();
            RefTensor { data, ..(*x).clone() }
        };
        let moved: Vec<RefTensor> = self.inputs.iter().enumerate().map(moved).collect();
        let ty = TensorType::new(&self.value.shape, self.value.dtype);
        let values = self.kernel.reference(&moved.iter().collect::<Vec<_>>(), &ty);
        let distance = |(new, old): (f64, &f64)| if new == *old { 0.0 } else { (new - old).abs() };
        values.into_iter().zip(&self.value.data).map(distance).collect()
    }

    /// The sums, and how many terms each has.
    fn one_by_one(&self, floats: &[usize]) -> (Vec<f64>, Vec<usize>) {
        let (mut sums, mut terms) = (vec![0.0; self.value.data.len()], vec![0; self.value.data.len()]);
        for &input in floats {
            for element in 0..self.inputs[input].data.len() {
                let changes = self.changes(|k, i, x| if (k, i) == (input, element) { x * (1.0 + STEP) } else { x });
                for ((change, sum), n) in changes.into_iter().zip(&mut sums).zip(&mut terms) {
                    *sum += change / STEP;
                    *n += usize::from(change != 0.0);
                }
            }
        }
        (sums, terms)
    }

    /// The same from above, for inputs too large to move every element.
    fn together(&self, floats: &[usize], outputs: usize) -> (Vec<f64>, Vec<usize>) {
        let mut terms = 0.0;
        for &input in floats.iter().filter(|&&k| !self.inputs[k].data.is_empty()) {
            let elements = self.inputs[input].data.len();
            let picks = SINGLES.min(elements);
            let changed: usize = (0..picks)
                .map(|pick| {
                    let element = pick * (elements - 1) / picks.saturating_sub(1).max(1);
                    let nudge = |x: f64| x + STEP * x.abs().max(1e-3);
                    let changes = self.changes(|k, i, x| if (k, i) == (input, element) { nudge(x) } else { x });
                    changes.iter().filter(|c| **c != 0.0).count()
                })
                .sum();
            terms += changed as f64 / picks as f64 * elements as f64 / outputs as f64;
        }
        let terms = terms.max(1.0).ceil();
        let mut furthest = vec![0f64; outputs];
        for probe in 0..TOGETHER {
            let up =
                |k: usize, i: usize| draw(Distribution::Bits, [probe as u32, 29], k as u32, 0, i as u32) % 2.0 < 1.0;
            let is_float = |k: usize| self.inputs[k].dtype.is_float();
            let step = |k: usize, i: usize| if up(k, i) { STEP } else { -STEP };
            let changes = self.changes(|k, i, x| if is_float(k) { x * (1.0 + step(k, i)) } else { x });
            furthest.iter_mut().zip(changes).for_each(|(far, c)| *far = if c.is_nan() { c } else { far.max(c) });
        }
        let sums = furthest.into_iter().map(|far| 2.0 * terms.sqrt() * far / STEP).collect();
        (sums, vec![terms as usize; outputs])
    }
}
