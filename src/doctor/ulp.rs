//! Errors in units in the last place (ULP), and random test operands.

use crate::ops::random::philox;

/// The smallest positive normal `f32`.
pub(super) const MIN_NORMAL: f64 = f32::MIN_POSITIVE as f64;

/// The ULP of `x` for `f32`, as WGSL defines it: the minimum distance between two different finite numbers `a ≤ x ≤ b`.
///
/// At a power of two it is the distance to the next smaller number. For denormals it is 2⁻¹⁴⁹. For numbers beyond the
/// largest `f32` it is the ULP of that.
pub fn ulp(x: f64) -> f64 {
    let size = x.abs();
    if size >= f64::from(f32::MAX) {
        return 2f64.powi(104);
    }
    if size <= MIN_NORMAL {
        return 2f64.powi(-149);
    }
    // `size` is a normal f64, so its exponent can be read from its bits.
    let exponent = ((size.to_bits() >> 52) as i32) - 1023;
    let power = 2f64.powi(exponent);
    // The distance below a power of two is half of that above.
    let exponent = if size == power { exponent - 1 } else { exponent };
    2f64.powi(exponent - 23).max(2f64.powi(-149))
}

/// The error of `got` in ULPs of `exact`; infinite if `got` is not finite.
pub fn error(got: f32, exact: f64) -> f64 {
    if got.is_finite() { (f64::from(got) - exact).abs() / ulp(exact) } else { f64::INFINITY }
}

/// A reproducible generator of random operands.
#[derive(Debug)]
pub(super) struct Draws {
    seed: u32,
    next: u32,
}

impl Draws {
    pub(super) fn new(seed: u32) -> Self {
        Draws { seed, next: 0 }
    }
    /// 32 random bits.
    pub(super) fn word(&mut self) -> u32 {
        let words = philox([self.next / 4, 0, 0, 0], [self.seed, 0x0d0c_704a]);
        let word = words[(self.next % 4) as usize];
        self.next += 1;
        word
    }
    /// Uniform in [0, 1).
    pub(super) fn unit(&mut self) -> f64 {
        f64::from(self.word()) / 2f64.powi(32)
    }
    /// Uniform between two numbers.
    pub(super) fn between(&mut self, low: f64, high: f64) -> f32 {
        (low + (high - low) * self.unit()) as f32
    }
    /// Positive, with a uniformly distributed exponent and significand.
    pub(super) fn scaled(&mut self, low: i32, high: i32) -> f32 {
        let exponent = low + (self.unit() * f64::from(high - low + 1)) as i32;
        ((1.0 + self.unit()) * 2f64.powi(exponent.min(high))) as f32
    }
    /// As [`Draws::scaled`], of either sign.
    pub(super) fn signed(&mut self, low: i32, high: i32) -> f32 {
        let size = self.scaled(low, high);
        if self.word() & 1 == 0 { size } else { -size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ulp_is_the_least_distance_around() {
        assert_eq!(ulp(1.5), 2f64.powi(-23));
        assert_eq!(ulp(-1.999), 2f64.powi(-23));
        // Below a power of two the spacing is halved.
        assert_eq!(ulp(1.0), 2f64.powi(-24));
        assert_eq!(ulp(1.0 + 1e-12), 2f64.powi(-23));
        assert_eq!(ulp(1.0 - 1e-12), 2f64.powi(-24));
        assert_eq!(ulp(0.0), 2f64.powi(-149));
        assert_eq!(ulp(1e-40), 2f64.powi(-149));
        assert_eq!(ulp(MIN_NORMAL), 2f64.powi(-149));
        assert_eq!(ulp(2.5 * MIN_NORMAL), 2f64.powi(-148));
        assert_eq!(ulp(1e300), 2f64.powi(104));
    }

    #[test]
    fn errors_count_in_ulps_of_the_exact_value() {
        assert_eq!(error(1.5, 1.5), 0.0);
        assert_eq!(error(f32::from_bits(1.5f32.to_bits() + 3), 1.5), 3.0);
        assert_eq!(error(f32::from_bits(1.5f32.to_bits() - 2), 1.5), 2.0);
        assert_eq!(error(1.5, 1.5 + 2f64.powi(-24)), 0.5);
        assert_eq!(error(f32::NAN, 1.0), f64::INFINITY);
        assert_eq!(error(f32::INFINITY, 1.0), f64::INFINITY);
    }

    #[test]
    fn draws_repeat_and_stay_in_range() {
        let draw = |seed| {
            let mut draws = Draws::new(seed);
            [draws.between(-2.0, 3.0), draws.scaled(-3, 4), draws.signed(0, 1)]
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        for seed in 0..1000 {
            let [a, b, c] = draw(seed);
            assert!((-2.0..=3.0).contains(&a) && (0.125..=32.0).contains(&b) && (1.0..=4.0).contains(&c.abs()));
        }
    }
}
