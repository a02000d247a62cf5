//! Counter-based random numbers: the same bits on every device.
//!
//! Philox4x32-10 (Salmon, Moraes, Dror, Shaw: *Parallel random numbers: as easy as 1, 2, 3*, SC'11), keyed by the
//! session's seed. The counter is (block, step, stream, 0). The four words of a block serve four neighbouring
//! elements; for normal numbers, two words give two by Box–Muller's transform (a cosine and a sine). The counter is the only state, so resuming a run needs only the step index.

use super::{GradContext, Operation};
use crate::dtype::DType;
use crate::error::Result;
use crate::reference::RefTensor;
use crate::shape::TensorType;
use crate::tensor::Tensor;

/// A probability distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Distribution {
    /// 32 uniform random bits.
    Bits,
    /// `[0, 1)`, a multiple of 2⁻²⁴.
    Uniform,
    /// Standard normal, by Box–Muller.
    Normal,
    /// 1 with probability `threshold · 2⁻²⁴`, else 0.
    Bernoulli {
        /// The probability times 2²⁴, rounded.
        threshold: u32,
    },
}

impl Distribution {
    /// Bernoulli with probability `p` in `[0, 1]`.
    pub fn bernoulli(p: f64) -> Self {
        Distribution::Bernoulli { threshold: (p * f64::from(1 << 24)).round() as u32 }
    }
    /// The dtype of the random numbers.
    pub fn dtype(self) -> DType {
        match self {
            Distribution::Bits | Distribution::Bernoulli { .. } => DType::U32,
            Distribution::Uniform | Distribution::Normal => DType::F32,
        }
    }
}

/// A leaf of random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Random {
    /// The distribution.
    pub distribution: Distribution,
    /// The stream: distinguishes this leaf's random numbers from those of the graph's other random leaves.
    pub stream: u32,
}

/// The Philox4x32-10 function: four random words from a counter and a key.
pub fn philox(mut counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [mut k0, mut k1] = key;
    for round in 0..10 {
        if round > 0 {
            k0 = k0.wrapping_add(0x9E37_79B9);
            k1 = k1.wrapping_add(0xBB67_AE85);
        }
        let p0 = u64::from(0xD251_1F53u32) * u64::from(counter[0]);
        let p1 = u64::from(0xCD9E_8D57u32) * u64::from(counter[2]);
        counter = [(p1 >> 32) as u32 ^ counter[1] ^ k0, p1 as u32, (p0 >> 32) as u32 ^ counter[3] ^ k1, p0 as u32];
    }
    counter
}

/// The key of a seed.
pub fn key(seed: u64) -> [u32; 2] {
    [seed as u32, (seed >> 32) as u32]
}

/// A random word as a number in `[0, 1)`, a multiple of 2⁻²⁴: exact in `f32`.
pub fn unit(word: u32) -> f64 {
    f64::from(word >> 8) / f64::from(1 << 24)
}

/// Two normal numbers from two words, by Box–Muller: √(−2 ln(1 − u₀)) times the cosine and the sine of 2π u₁.
pub fn normal_pair(words: [u32; 2]) -> [f64; 2] {
    // 1 − u lies in (0, 1], so its logarithm is finite.
    let radius = (-2.0 * (1.0 - unit(words[0])).ln()).sqrt();
    let (sine, cosine) = (std::f64::consts::TAU * unit(words[1])).sin_cos();
    [radius * cosine, radius * sine]
}

/// The random number for element `index` of a stream; integers are exact in the `f64`.
pub fn draw(distribution: Distribution, key: [u32; 2], stream: u32, step: u32, index: u32) -> f64 {
    match distribution {
        Distribution::Normal => {
            let words = philox([index / 4, step, stream, 0], key);
            let pair = (index % 4 / 2 * 2) as usize;
            normal_pair([words[pair], words[pair + 1]])[(index % 2) as usize]
        }
        _ => {
            let word = philox([index / 4, step, stream, 0], key)[(index % 4) as usize];
            match distribution {
                Distribution::Bernoulli { threshold } => f64::from(u8::from(word >> 8 < threshold)),
                Distribution::Uniform => unit(word),
                Distribution::Bits | Distribution::Normal => f64::from(word),
            }
        }
    }
}

impl Random {
    /// The f64 reference.
    pub fn sample(&self, ty: &TensorType, seed: u64, step: u32) -> RefTensor {
        RefTensor::from_fn(&ty.shape, ty.dtype, |i| draw(self.distribution, key(seed), self.stream, step, i as u32))
    }
}

impl Operation for Random {
    fn name(&self) -> &'static str {
        match self.distribution {
            Distribution::Bits => "random_bits",
            Distribution::Uniform => "random_uniform",
            Distribution::Normal => "random_normal",
            Distribution::Bernoulli { .. } => "random_bernoulli",
        }
    }

    fn attributes(&self) -> String {
        match self.distribution {
            Distribution::Bernoulli { threshold } => {
                format!("p={} stream={}", f64::from(threshold) / f64::from(1 << 24), self.stream)
            }
            _ => format!("stream={}", self.stream),
        }
    }

    fn infer(&self, _: &[TensorType]) -> Result<TensorType, String> {
        Err("a random leaf can only be created by the graph's own methods".into())
    }

    fn grad<'g>(&self, _: &GradContext<'_, 'g>) -> Vec<Option<Tensor<'g>>> {
        Vec::new()
    }

    fn reference(&self, _: &[&RefTensor], output: &TensorType) -> RefTensor {
        self.sample(output, 0, 0)
    }

    fn error_scale(&self, _: &[&RefTensor], value: &RefTensor) -> Vec<f64> {
        // Integer and uniform numbers are exact. A normal number rounds its logarithm, square root, cosine and
        // multiplication. Near u = 1 the logarithm's error is absolute; the square root enlarges it to about √ε, but
        // only where the number is small.
        let normal = self.distribution == Distribution::Normal;
        value.data.iter().map(|y| if normal { 32.0 + 8.0 * y.abs() } else { 0.0 }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known-answer tests of Random123's `kat_vectors`.
    #[test]
    fn philox_matches_its_published_vectors() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn normal_draws_have_mean_0_and_variance_1() {
        let n = 20_000;
        let draws: Vec<f64> = (0..n).map(|i| draw(Distribution::Normal, [1, 2], 3, 4, i)).collect();
        let mean = draws.iter().sum::<f64>() / f64::from(n);
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(n);
        assert!(mean.abs() < 4.0 / f64::from(n).sqrt(), "{mean}");
        assert!((variance - 1.0).abs() < 4.0 * (2.0 / f64::from(n)).sqrt(), "{variance}");
    }
}
