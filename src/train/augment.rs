//! Random changes to training samples, as graph code.

use super::config::AugmentConfig;
use crate::dtype::DType;
use crate::tensor::Tensor;

impl AugmentConfig {
    /// `x` `[n, …]`, floats, changed at random, each sample by itself and anew in each run.
    ///
    /// With `L` the size of the last axis: `y[…, j] = x[…, (j − s) mod L]·f + ε[…, j]` with a whole `s` and a factor `f` for
    /// each sample and a draw `ε` for each number.
    pub fn apply<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        let (g, shape) = (x.graph(), x.shape());
        let (Some(&length), true) = (shape.last(), shape.rank() >= 2) else { return x };
        let rows = shape[0];
        let of_sample = || {
            let ones: Vec<usize> = (0..shape.rank()).map(|axis| if axis == 0 { rows } else { 1 }).collect();
            g.random_uniform(ones)
        };
        let mut y = x;
        if self.shift > 0 && length > 0 {
            let choices = 2 * self.shift + 1;
            // A uniform draw is below 1, but its product with the number of choices may round up to it.
            let drawn = (of_sample() * choices as f64).floor().minimum(2.0 * self.shift as f64).cast(DType::U32);
            // Position j gets what stood at j − (drawn − shift); a multiple of the length keeps it from being negative.
            let turns = (2 * self.shift).div_ceil(length) + 1;
            let start = g.scalar((self.shift + turns * length) as f64, DType::U32);
            let last = shape.rank() - 1;
            let ones: Vec<usize> = (0..shape.rank()).map(|axis| if axis == last { length } else { 1 }).collect();
            let from = (g.iota(ones, last as isize) + start) - drawn;
            let size = g.scalar(length as f64, DType::U32);
            let from = from - from / size * size;
            y = y.gather(last as isize, from.broadcast_to(shape.clone()));
        }
        if self.scale > 0.0 {
            y = y * (of_sample() * (2.0 * self.scale) + (1.0 - self.scale));
        }
        if self.noise > 0.0 {
            y = y + g.random_normal(shape) * self.noise;
        }
        y
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::array::Array;
    use crate::device::Device;
    use crate::graph::Graph;
    use crate::session::Session;

    fn changed(augment: AugmentConfig, shape: &[usize]) -> (Vec<f32>, Vec<f32>) {
        let count: usize = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|k| 1.0 + k as f32).collect();
        let g = Graph::new();
        let y = augment.apply(g.input("x", shape.to_vec(), DType::F32));
        let mut session = Session::new(Device::cpu()).unwrap();
        let program = session.compile(&g, &[y]).unwrap();
        let out = session.run(&program, &[("x", &Array::new(shape.to_vec(), values.clone()).unwrap())]).unwrap();
        (values, out[0].as_slice::<f32>().unwrap().to_vec())
    }

    #[test]
    fn samples_are_shifted_as_a_whole() {
        let length = 7;
        for shift in [1, 3, 20] {
            let (before, after) = changed(AugmentConfig { shift, ..AugmentConfig::default() }, &[500, 2, length]);
            let mut seen = std::collections::BTreeSet::new();
            for (before, after) in before.chunks(2 * length).zip(after.chunks(2 * length)) {
                let by = (0..length).find(|&s| after[s] == before[0]).unwrap();
                seen.insert(by);
                for (k, value) in after.iter().enumerate() {
                    let (channel, j) = (k / length, k % length);
                    assert_eq!(*value, before[channel * length + (j + length - by) % length]);
                }
            }
            // −1, 0 and 1 are 6, 0 and 1 places to the right.
            let expected: Vec<usize> = if shift == 1 { vec![0, 1, 6] } else { (0..7).collect() };
            assert_eq!(seen.into_iter().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn factors_and_noise_have_their_spread() {
        let (before, after) = changed(AugmentConfig { scale: 0.2, ..AugmentConfig::default() }, &[1000, 4]);
        let factors: Vec<f32> = before.chunks(4).zip(after.chunks(4)).map(|(b, a)| a[0] / b[0]).collect();
        for ((b, a), factor) in before.chunks(4).zip(after.chunks(4)).zip(&factors) {
            assert!(b.iter().zip(a).all(|(b, a)| (a / b - factor).abs() < 1e-5));
        }
        let (low, high) = factors.iter().fold((f32::MAX, 0f32), |(l, h), f| (l.min(*f), h.max(*f)));
        assert!((0.8..0.81).contains(&low) && (1.19..=1.2001).contains(&high), "{low} {high}");
        let (before, after) = changed(AugmentConfig { noise: 0.5, ..AugmentConfig::default() }, &[4000, 1]);
        let squares: f64 = before.iter().zip(&after).map(|(b, a)| f64::from(a - b).powi(2)).sum();
        // The mean of 4000 squares has a deviation of 0.25·√(2/4000).
        assert!((squares / 4000.0 - 0.25).abs() < 5.0 * 0.25 * (2.0f64 / 4000.0).sqrt());
        let (before, after) = changed(AugmentConfig::default(), &[3, 4]);
        assert_eq!(before, after);
    }
}
