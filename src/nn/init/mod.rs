//! Initialisers: `torch.nn.init`'s, drawn from a seeded counter-based generator on the host.
//!
//! The fans of a weight `[out, in, k…]` are `fan_in = in·Πk` and `fan_out = out·Πk`.
//!
//! ```
//! use wgrad::nn::init::{Fan, Generator, Initializer, Nonlinearity};
//! use wgrad::Shape;
//! let shape = Shape::from([64, 32]);
//! let he = Initializer::KaimingNormal { mode: Fan::Out, nonlinearity: Nonlinearity::LeakyRelu(0.2) };
//! let weight = he.draw(&shape, &shape, &mut Generator::new(7))?;
//! let variance = weight.to_f64().iter().map(|x| x * x).sum::<f64>() / 2048.0;
//! assert!((variance * 64.0 / 2.0 * 1.04 - 1.0).abs() < 0.2);
//! # Ok::<(), wgrad::Error>(())
//! ```

mod structured;

use crate::array::Array;
use crate::dtype::DType;
use crate::error::{Error, Result};
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
    fn numbers(&mut self, count: usize, distribution: Distribution) -> Vec<f64> {
        // The step is far from what a training run counts, so initial values share no draw with dropout masks.
        let step = u32::MAX;
        let data = (0..count).map(|i| draw(distribution, key(self.seed), self.stream, step, i as u32)).collect();
        self.stream += 1;
        data
    }
    /// Uniform in `[low, high)`, `f32`. Fails if the shape is too large.
    pub fn uniform(&mut self, shape: impl Into<Shape>, low: f64, high: f64) -> Result<Array> {
        Initializer::Uniform(low, high).draw(shape, &Shape::from(()), self)
    }
    /// Normal, `f32`. Fails if the shape is too large.
    pub fn normal(&mut self, shape: impl Into<Shape>, mean: f64, std: f64) -> Result<Array> {
        Initializer::Normal(mean, std).draw(shape, &Shape::from(()), self)
    }
}

/// Which fan keeps its variance: that of the values on the way forward, or that of the gradients on the way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fan {
    /// `fan_in`.
    #[default]
    In,
    /// `fan_out`.
    Out,
}

/// What follows a layer.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Nonlinearity {
    /// Nothing, or what is nearly the identity around 0.
    Linear,
    /// A sigmoid.
    Sigmoid,
    /// A hyperbolic tangent.
    Tanh,
    /// A ReLU.
    #[default]
    Relu,
    /// A leaky ReLU of this slope.
    LeakyRelu(f64),
    /// SELU.
    Selu,
}

impl Nonlinearity {
    /// The factor on the standard deviation that makes up for it: `torch.nn.init.calculate_gain`.
    pub fn gain(self) -> f64 {
        match self {
            Nonlinearity::Linear | Nonlinearity::Sigmoid => 1.0,
            Nonlinearity::Tanh => 5.0 / 3.0,
            Nonlinearity::Relu => 2f64.sqrt(),
            Nonlinearity::LeakyRelu(slope) => (2.0 / (1.0 + slope * slope)).sqrt(),
            Nonlinearity::Selu => 0.75,
        }
    }
}

/// How a parameter starts.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Initializer {
    /// PyTorch's default for linear and convolution layers: uniform with bound `1/√fan_in`
    /// (`kaiming_uniform_` with `a = √5`).
    #[default]
    Default,
    /// He et al. 2015: uniform with bound `gain·√(3/fan)`.
    KaimingUniform {
        /// The fan.
        mode: Fan,
        /// What follows; gives the gain.
        nonlinearity: Nonlinearity,
    },
    /// He et al. 2015: normal with standard deviation `gain/√fan`.
    KaimingNormal {
        /// The fan.
        mode: Fan,
        /// What follows; gives the gain.
        nonlinearity: Nonlinearity,
    },
    /// Glorot & Bengio 2010: uniform with bound `gain·√(6/(fan_in + fan_out))`.
    XavierUniform {
        /// See [`Nonlinearity::gain`].
        gain: f64,
    },
    /// Glorot & Bengio 2010: normal with standard deviation `gain·√(2/(fan_in + fan_out))`.
    XavierNormal {
        /// See [`Nonlinearity::gain`].
        gain: f64,
    },
    /// Uniform in `[low, high)`.
    Uniform(f64, f64),
    /// Normal with this mean and standard deviation.
    Normal(f64, f64),
    /// Normal, but nothing outside `[low, high]`: what would be is drawn within.
    TruncNormal {
        /// Before truncation.
        mean: f64,
        /// Before truncation.
        std: f64,
        /// The least value.
        low: f64,
        /// The largest value.
        high: f64,
    },
    /// One value everywhere.
    Constant(f64),
    /// A (semi-)orthogonal matrix (Saxe et al. 2013) times `gain`; a convolution's weight counts as `[out, in·Πk]`.
    Orthogonal {
        /// See [`Nonlinearity::gain`].
        gain: f64,
    },
    /// A matrix `[out, in]` of normal numbers of which the part `sparsity` of each column is 0 (Martens 2010).
    Sparse {
        /// In `[0, 1]`.
        sparsity: f64,
        /// Of the other elements.
        std: f64,
    },
    /// The identity matrix.
    Eye,
    /// A convolution that passes on its input channels, as many as there are in each group.
    Dirac {
        /// The convolution's groups.
        groups: usize,
    },
}

impl Initializer {
    /// Zeros.
    pub const ZEROS: Initializer = Initializer::Constant(0.0);
    /// Ones.
    pub const ONES: Initializer = Initializer::Constant(1.0);
    /// He's for ReLU: uniform with bound `√(6/fan_in)`.
    pub const KAIMING_UNIFORM: Initializer =
        Initializer::KaimingUniform { mode: Fan::In, nonlinearity: Nonlinearity::Relu };
    /// He's for ReLU: normal with standard deviation `√(2/fan_in)`.
    pub const KAIMING_NORMAL: Initializer =
        Initializer::KaimingNormal { mode: Fan::In, nonlinearity: Nonlinearity::Relu };
    /// Glorot's with gain 1.
    pub const XAVIER_UNIFORM: Initializer = Initializer::XavierUniform { gain: 1.0 };
    /// Glorot's with gain 1.
    pub const XAVIER_NORMAL: Initializer = Initializer::XavierNormal { gain: 1.0 };

    /// Draws a parameter of `shape` for a layer whose weight has the shape `weight` (a bias takes its fans from it), `f32`.
    /// Fails if the shape is too large or not of the kind the initialiser is for.
    pub fn draw(self, shape: impl Into<Shape>, weight: &Shape, rng: &mut Generator) -> Result<Array> {
        let shape = shape.into();
        shape.check().map_err(|message| Error::value("initialiser", message))?;
        // In f64: the weight may be too large to be drawn, and its bias is asked for all the same.
        let size = |axis: usize| weight.get(axis).map_or(1.0, |&n| n as f64);
        let receptive: f64 = (2..weight.rank()).map(size).product();
        let fan_in = (size(1) * receptive).max(1.0);
        let fan_out = (size(0) * receptive).max(1.0);
        let fan = |mode| if mode == Fan::In { fan_in } else { fan_out };
        let count = shape.elements();
        let mut uniform = |low: f64, high: f64| {
            rng.numbers(count, Distribution::Uniform).into_iter().map(|u| low + (high - low) * u).collect::<Vec<_>>()
        };
        let mut symmetric = |bound: f64| uniform(-bound, bound);
        let data = match self {
            Initializer::Default => symmetric(1.0 / fan_in.sqrt()),
            Initializer::KaimingUniform { mode, nonlinearity } => {
                symmetric(nonlinearity.gain() * (3.0 / fan(mode)).sqrt())
            }
            Initializer::XavierUniform { gain } => symmetric(gain * (6.0 / (fan_in + fan_out)).sqrt()),
            Initializer::Uniform(low, high) => uniform(low, high),
            Initializer::KaimingNormal { mode, nonlinearity } => {
                normal(rng, count, 0.0, nonlinearity.gain() / fan(mode).sqrt())
            }
            Initializer::XavierNormal { gain } => normal(rng, count, 0.0, gain * (2.0 / (fan_in + fan_out)).sqrt()),
            Initializer::Normal(mean, std) => normal(rng, count, mean, std),
            Initializer::Constant(value) => vec![value; count],
            structured => structured
                .structured(&shape, rng)
                .map_err(|message| Error::value("initialiser", format!("{structured:?} {message}")))?,
        };
        Array::from_f64(shape, &data, DType::F32)
    }
}

fn normal(rng: &mut Generator, count: usize, mean: f64, std: f64) -> Vec<f64> {
    rng.numbers(count, Distribution::Normal).into_iter().map(|z| mean + std * z).collect()
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
            (Initializer::KAIMING_UNIFORM, 0.06f64.sqrt()),
            (Initializer::XAVIER_UNIFORM, (6.0f64 / 350.0).sqrt()),
        ];
        for (initializer, bound) in uniform {
            let data = initializer.draw(&weight, &weight, &mut rng).unwrap().to_f64();
            let largest = data.iter().fold(0f64, |a, x| a.max(x.abs()));
            assert!(largest <= bound * (1.0 + 1e-6) && largest > 0.99 * bound, "{initializer:?}: {largest} of {bound}");
        }
        let normal = [(Initializer::KAIMING_NORMAL, 0.02f64), (Initializer::XAVIER_NORMAL, 2.0 / 350.0)];
        for (initializer, variance) in normal {
            let data = initializer.draw(&weight, &weight, &mut rng).unwrap().to_f64();
            let found = data.iter().map(|x| x * x).sum::<f64>() / n;
            assert!((found / variance - 1.0).abs() < 4.0 * (2.0 / n).sqrt(), "{initializer:?}: {found} for {variance}");
        }
    }

    #[test]
    fn streams_differ_and_seeds_repeat() {
        let draw = |seed| {
            let mut rng = Generator::new(seed);
            [rng.uniform(8, 0.0, 1.0).unwrap(), rng.uniform(8, 0.0, 1.0).unwrap()]
        };
        let [a, b] = draw(1);
        assert_ne!(a, b);
        assert_eq!(draw(1), [a.clone(), b]);
        assert_ne!(draw(2)[0], a);
    }
}
