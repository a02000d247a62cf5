//! Initialisers: `torch.nn.init`'s distributions, drawn from a seeded counter-based generator on the host.
//!
//! The fans of a weight `[out, in, k…]` are `fan_in = in·Πk` and `fan_out = out·Πk`.

use crate::array::Array;
use crate::dtype::DType;
use crate::ops::random::{Distribution, draw, key};
use crate::shape::Shape;

/// A seeded source of initial values. Every tensor drawn uses a stream of its own.
#[derive(Debug, Clone)]
pub struct Generator {
    seed: u64,
    stream: u32,
}

impl Generator {
    /// A generator for `seed`.
    pub fn new(seed: u64) -> Self {
        Generator { seed, stream: 0 }
    }
    fn tensor(&mut self, shape: &Shape, distribution: Distribution, map: impl Fn(f64) -> f64) -> Array {
        // The step is far from what a training run counts, so initial values share no draw with dropout masks.
        let step = u32::MAX;
        let data: Vec<f64> = (0..shape.elements())
            .map(|i| map(draw(distribution, key(self.seed), self.stream, step, i as u32)))
            .collect();
        self.stream += 1;
        array(shape, &data)
    }
    /// Uniform in `[low, high)`, `f32`.
    pub fn uniform(&mut self, shape: impl Into<Shape>, low: f64, high: f64) -> Array {
        self.tensor(&shape.into(), Distribution::Uniform, |u| low + (high - low) * u)
    }
    /// Normal, `f32`.
    pub fn normal(&mut self, shape: impl Into<Shape>, mean: f64, std: f64) -> Array {
        self.tensor(&shape.into(), Distribution::Normal, |z| mean + std * z)
    }
}

fn array(shape: &Shape, data: &[f64]) -> Array {
    match Array::from_f64(shape.clone(), data, DType::F32) {
        Ok(array) => array,
        Err(error) => panic!("a parameter's shape must be representable: {error}"),
    }
}

/// How a parameter starts.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Initializer {
    /// PyTorch's default for linear and convolution layers: uniform with bound `1/√fan_in`
    /// (`kaiming_uniform_` with `a = √5`).
    #[default]
    Default,
    /// He et al. 2015 for ReLU: uniform with bound `√(6/fan_in)`.
    KaimingUniform,
    /// He et al. 2015 for ReLU: normal with standard deviation `√(2/fan_in)`.
    KaimingNormal,
    /// Glorot & Bengio 2010: uniform with bound `√(6/(fan_in + fan_out))`.
    XavierUniform,
    /// Glorot & Bengio 2010: normal with standard deviation `√(2/(fan_in + fan_out))`.
    XavierNormal,
    /// Uniform in `[low, high)`.
    Uniform(f64, f64),
    /// Normal with this mean and standard deviation.
    Normal(f64, f64),
    /// One value everywhere.
    Constant(f64),
}

impl Initializer {
    /// Zeros.
    pub const ZEROS: Initializer = Initializer::Constant(0.0);

    /// Draws a parameter of `shape` for a layer whose weight has the shape `weight` (a bias takes its fans from it).
    pub fn draw(self, shape: impl Into<Shape>, weight: &Shape, rng: &mut Generator) -> Array {
        let shape = shape.into();
        let receptive: usize = weight.iter().skip(2).product();
        let fan_in = (weight.get(1).copied().unwrap_or(1) * receptive).max(1) as f64;
        let fan_out = (weight.first().copied().unwrap_or(1) * receptive).max(1) as f64;
        let mut uniform = |bound: f64| rng.uniform(&shape, -bound, bound);
        match self {
            Initializer::Default => uniform(1.0 / fan_in.sqrt()),
            Initializer::KaimingUniform => uniform((6.0 / fan_in).sqrt()),
            Initializer::XavierUniform => uniform((6.0 / (fan_in + fan_out)).sqrt()),
            Initializer::KaimingNormal => rng.normal(&shape, 0.0, (2.0 / fan_in).sqrt()),
            Initializer::XavierNormal => rng.normal(&shape, 0.0, (2.0 / (fan_in + fan_out)).sqrt()),
            Initializer::Uniform(low, high) => rng.uniform(&shape, low, high),
            Initializer::Normal(mean, std) => rng.normal(&shape, mean, std),
            Initializer::Constant(value) => array(&shape, &vec![value; shape.elements()]),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn bounds_and_spreads_are_the_published_ones() {
        let mut rng = Generator::new(3);
        let weight = Shape::from([50, 20, 5]);
        let n = weight.elements() as f64;
        let uniform = [
            (Initializer::Default, 0.1),
            (Initializer::KaimingUniform, 0.06f64.sqrt()),
            (Initializer::XavierUniform, (6.0f64 / 350.0).sqrt()),
        ];
        for (initializer, bound) in uniform {
            let data = initializer.draw(&weight, &weight, &mut rng).to_f64();
            let largest = data.iter().fold(0f64, |a, x| a.max(x.abs()));
            assert!(largest <= bound * (1.0 + 1e-6) && largest > 0.99 * bound, "{initializer:?}: {largest} of {bound}");
        }
        let normal = [(Initializer::KaimingNormal, 0.02f64), (Initializer::XavierNormal, 2.0 / 350.0)];
        for (initializer, variance) in normal {
            let data = initializer.draw(&weight, &weight, &mut rng).to_f64();
            let found = data.iter().map(|x| x * x).sum::<f64>() / n;
            assert!((found / variance - 1.0).abs() < 4.0 * (2.0 / n).sqrt(), "{initializer:?}: {found} for {variance}");
        }
    }

    #[test]
    fn streams_differ_and_seeds_repeat() {
        let draw = |seed| {
            let mut rng = Generator::new(seed);
            [rng.uniform(8, 0.0, 1.0), rng.uniform(8, 0.0, 1.0)]
        };
        let [a, b] = draw(1);
        assert_ne!(a, b);
        assert_eq!(draw(1), [a.clone(), b]);
        assert_ne!(draw(2)[0], a);
    }
}
