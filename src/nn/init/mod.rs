//! Parameter initialisers, those of `torch.nn.init`, drawn on the host from a seeded counter-based generator.
//!
//! A weight `[out, in, k…]` has `fan_in = in·Πk` and `fan_out = out·Πk`.
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

/// A seeded random generator for initial values. Every tensor is drawn from its own stream.
#[derive(Debug, Clone)]
pub struct Generator {
    seed: u64,
    stream: u32,
}

impl Generator {
    /// A generator with the given seed.
    pub fn new(seed: u64) -> Self {
        Generator { seed, stream: 0 }
    }
    fn numbers(&mut self, count: usize, distribution: Distribution) -> Vec<f64> {
        // Training steps never count this far, so initial values share no random numbers with dropout masks.
        let step = u32::MAX;
        let data = (0..count).map(|i| draw(distribution, key(self.seed), self.stream, step, i as u32)).collect();
        self.stream += 1;
        data
    }
    /// An `f32` array, uniform in `[low, high)`. An error if the shape is too large.
    pub fn uniform(&mut self, shape: impl Into<Shape>, low: f64, high: f64) -> Result<Array> {
        Initializer::Uniform(low, high).draw(shape, &Shape::from(()), self)
    }
    /// An `f32` array, normally distributed. An error if the shape is too large.
    pub fn normal(&mut self, shape: impl Into<Shape>, mean: f64, std: f64) -> Result<Array> {
        Initializer::Normal(mean, std).draw(shape, &Shape::from(()), self)
    }
}

/// The fan to use: `In` preserves the variance of activations in the forward pass, `Out` that of gradients in the
/// backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fan {
    /// `fan_in`.
    #[default]
    In,
    /// `fan_out`.
    Out,
}

/// The nonlinearity after a layer.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Nonlinearity {
    /// None, or one that is nearly the identity around 0.
    Linear,
    /// A sigmoid.
    Sigmoid,
    /// A hyperbolic tangent.
    Tanh,
    /// A ReLU.
    #[default]
    Relu,
    /// A leaky ReLU with this slope.
    LeakyRelu(f64),
    /// SELU.
    Selu,
}

impl Nonlinearity {
    /// The factor on the standard deviation that compensates for the nonlinearity: `torch.nn.init.calculate_gain`.
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

/// How a parameter is initialised.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Initializer {
    /// PyTorch's default for linear and convolution layers: uniform with bound `1/√fan_in`
    /// (`kaiming_uniform_` with `a = √5`).
    #[default]
    Default,
    /// He et al. 2015: uniform with bound `gain·√(3/fan)`.
    KaimingUniform {
        /// The fan that determines the bound.
        mode: Fan,
        /// The nonlinearity after the layer; determines the gain.
        nonlinearity: Nonlinearity,
    },
    /// He et al. 2015: normal with standard deviation `gain/√fan`.
    KaimingNormal {
        /// The fan that determines the standard deviation.
        mode: Fan,
        /// The nonlinearity after the layer; determines the gain.
        nonlinearity: Nonlinearity,
    },
    /// Glorot & Bengio 2010: uniform with bound `gain·√(6/(fan_in + fan_out))`.
    XavierUniform {
        /// The gain: see [`Nonlinearity::gain`].
        gain: f64,
    },
    /// Glorot & Bengio 2010: normal with standard deviation `gain·√(2/(fan_in + fan_out))`.
    XavierNormal {
        /// The gain: see [`Nonlinearity::gain`].
        gain: f64,
    },
    /// Uniform in `[low, high)`.
    Uniform(f64, f64),
    /// Normal with this mean and standard deviation.
    Normal(f64, f64),
    /// Normal, truncated to `[low, high]`: `torch.nn.init.trunc_normal_`.
    TruncNormal {
        /// Mean before truncation.
        mean: f64,
        /// Standard deviation before truncation.
        std: f64,
        /// The lower bound.
        low: f64,
        /// The upper bound.
        high: f64,
    },
    /// A constant.
    Constant(f64),
    /// A (semi-)orthogonal matrix (Saxe et al. 2013) times `gain`; a convolution's weight is taken as `[out, in·Πk]`.
    Orthogonal {
        /// The gain: see [`Nonlinearity::gain`].
        gain: f64,
    },
    /// A matrix `[out, in]` of normal random numbers, in which a fraction `sparsity` of each column is 0 (Martens
    /// 2010).
    Sparse {
        /// The fraction of zeros, in `[0, 1]`.
        sparsity: f64,
        /// Standard deviation of the other elements.
        std: f64,
    },
    /// The identity matrix.
    Eye,
    /// A convolution that preserves its input channels, as many as each group has.
    Dirac {
        /// The number of groups of the convolution.
        groups: usize,
    },
}

impl Initializer {
    /// Zeros.
    pub const ZEROS: Initializer = Initializer::Constant(0.0);
    /// Ones.
    pub const ONES: Initializer = Initializer::Constant(1.0);
    /// He initialisation for ReLU: uniform with bound `√(6/fan_in)`.
    pub const KAIMING_UNIFORM: Initializer =
        Initializer::KaimingUniform { mode: Fan::In, nonlinearity: Nonlinearity::Relu };
    /// He initialisation for ReLU: normal with standard deviation `√(2/fan_in)`.
    pub const KAIMING_NORMAL: Initializer =
        Initializer::KaimingNormal { mode: Fan::In, nonlinearity: Nonlinearity::Relu };
    /// Glorot initialisation with gain 1, uniform.
    pub const XAVIER_UNIFORM: Initializer = Initializer::XavierUniform { gain: 1.0 };
    /// Glorot initialisation with gain 1, normal.
    pub const XAVIER_NORMAL: Initializer = Initializer::XavierNormal { gain: 1.0 };

    /// Draws an `f32` parameter of `shape` for a layer whose weight has the shape `weight` (which determines a bias's
    /// fans). An error if the shape is too large, or not one the initialiser supports.
    pub fn draw(self, shape: impl Into<Shape>, weight: &Shape, rng: &mut Generator) -> Result<Array> {
        let shape = shape.into();
        shape.check().map_err(|message| Error::value("initialiser", message))?;
        // In f64, because the weight's shape may be too large for `usize` arithmetic when only the bias is drawn.
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
