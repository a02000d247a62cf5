//! The error scale of an operation of which only the reference is known.

use super::CustomKernel;
use crate::ops::matmul::accumulation_error;
use crate::reference::RefTensor;
use crate::shape::TensorType;

/// The relative change of an input: small compared with the function's curvature, large compared with f64's rounding.
const STEP: f64 = 1e-6;
/// Up to this many input elements, each element is perturbed on its own.
const ONE_BY_ONE: usize = 256;
/// For larger inputs: the number of elements of each input to perturb on their own, and of perturbations of all
/// elements at once.
const SINGLES: usize = 16;
const TOGETHER: usize = 12;

/// An error scale from the conditioning of the reference, found by finite differences in f64. For each element `y` of
/// the output it is `(4 + √n)·Σ|∂y/∂x · x| + 4|y|`, where the sum runs over the input elements `x`, and `n` counts
/// those that `y` depends on.
///
/// This covers the error of adding up `n` rounded terms in any order, with functions as accurate as WGSL requires.
/// For inputs with many elements the sum is estimated: `n` by perturbing some elements, and an upper bound of the sum
/// as `2√n` times the largest change of `y` when all elements are perturbed at random.
///
/// Write your own [`error_scale`](CustomKernel::error_scale) where intermediate values are larger than the result
/// suggests (a variance as a difference of squares), or where they are rounded to `f16`.
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
    /// The change of each output element when the inputs become `moved`.
    fn changes(&self, moved: &[RefTensor]) -> Vec<f64> {
        let ty = TensorType::new(&self.value.shape, self.value.dtype);
        let values = self.kernel.reference(&moved.iter().collect::<Vec<_>>(), &ty);
        let distance = |(new, old): (f64, &f64)| if new == *old { 0.0 } else { (new - old).abs() };
        values.into_iter().zip(&self.value.data).map(distance).collect()
    }

    fn copies(&self) -> Vec<RefTensor> {
        self.inputs.iter().map(|x| (*x).clone()).collect()
    }

    /// The sums, and the number of terms of each.
    fn one_by_one(&self, floats: &[usize]) -> (Vec<f64>, Vec<usize>) {
        let (mut sums, mut terms) = (vec![0.0; self.value.data.len()], vec![0; self.value.data.len()]);
        let mut moved = self.copies();
        for &input in floats {
            for (element, &x) in self.inputs[input].data.iter().enumerate() {
                moved[input].data[element] = x * (1.0 + STEP);
                for ((change, sum), n) in self.changes(&moved).into_iter().zip(&mut sums).zip(&mut terms) {
                    *sum += change / STEP;
                    *n += usize::from(change != 0.0);
                }
                moved[input].data[element] = x;
            }
        }
        (sums, terms)
    }

    /// Upper bounds of the sums, for inputs too large to perturb every element.
    fn together(&self, floats: &[usize], outputs: usize) -> (Vec<f64>, Vec<usize>) {
        let (mut moved, mut terms) = (self.copies(), 0.0);
        for &input in floats.iter().filter(|&&k| !self.inputs[k].data.is_empty()) {
            let data = &self.inputs[input].data;
            let picks = SINGLES.min(data.len());
            let mut changed = 0;
            for element in (0..picks).map(|pick| pick * (data.len() - 1) / (picks - 1).max(1)) {
                moved[input].data[element] += STEP * data[element].abs().max(1e-3);
                changed += self.changes(&moved).iter().filter(|c| **c != 0.0).count();
                moved[input].data[element] = data[element];
            }
            terms += changed as f64 / picks as f64 * data.len() as f64 / outputs as f64;
        }
        let terms = terms.max(1.0).ceil();
        let (mut furthest, mut signs) = (vec![0f64; outputs], Signs(1));
        for _ in 0..TOGETHER {
            for &input in floats {
                let each = moved[input].data.iter_mut().zip(&self.inputs[input].data);
                each.for_each(|(moved, x)| *moved = x * (1.0 + signs.next() * STEP));
            }
            let each = furthest.iter_mut().zip(self.changes(&moved));
            each.for_each(|(far, change)| *far = if change.is_nan() { change } else { far.max(change) });
        }
        let sums = furthest.into_iter().map(|far| 2.0 * terms.sqrt() * far / STEP).collect();
        (sums, vec![terms as usize; outputs])
    }
}

/// Random signs, the same on every run (SplitMix64). Millions are drawn, so they must be cheap.
struct Signs(u64);

impl Signs {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        if x >> 63 == 0 { 1.0 } else { -1.0 }
    }
}
