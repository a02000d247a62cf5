//! The exponential function and what is made of it, branch-free so that they vectorise inside [`fast`](super::simd::fast). The
//! elementwise table says how far each may be off.

/// `eˣ` within 2 ulp for any `x`, subnormal results included. It overflows to infinity and underflows to 0; NaN gives
/// NaN.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Beyond these bounds the result is infinity or 0 in any case.
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -104.0 { -104.0 } else { x };
    // Adding 1.5·2²³ rounds to an integer, which is then in the low bits of the mantissa.
    const ROUND: f32 = 12_582_912.0;
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln 2 is split in two; the high part has so few bits that multiplying it by `n` is exact.
    let r = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
    // Cephes' polynomial for |r| <= ln 2 / 2.
    let mut p = 1.987_569_1e-4;
    for c in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5.0e-1] {
        p = p * r + c;
    }
    let p = p * (r * r) + r + 1.0;
    // 2ⁿ as two factors, since 2ⁿ itself may be out of the range of normal numbers.
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let half = n >> 1;
    let power = |n: i32| f32::from_bits((n.wrapping_add(127) as u32) << 23);
    p * power(half) * power(n.wrapping_sub(half))
}

/// `1/(1+e⁻ˣ)`.
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    // The exponent is never positive, so nothing overflows and no small result cancels.
    let e = exp(-x.abs());
    (if x >= 0.0 { 1.0 } else { e }) / (1.0 + e)
}

/// The hyperbolic tangent: near 0 an odd polynomial (Cephes' tanhf), elsewhere `1 − 2/(e^(2|x|) + 1)`.
#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    let (size, z) = (x.abs(), x * x);
    let mut p = -5.704_988_7e-3;
    for c in [2.063_909e-2, -5.373_972e-2, 1.333_144_2e-1, -3.333_328e-1] {
        p = p * z + c;
    }
    let small = p * z * x + x;
    let large = 1.0 - 2.0 / (exp(2.0 * size) + 1.0);
    (if size < 0.625 { small } else { large }).copysign(x)
}

/// The error function of each number: near 0 an odd polynomial, elsewhere `1 − e^(p(|x|))` with a polynomial `p` (N. Juffa's
/// coefficients). In three loops, each of which vectorises; one loop over all of it does not.
#[inline(always)]
pub(super) fn erf(x: &[f32], out: &mut [f32]) {
    out.iter_mut().zip(x).for_each(|(o, &x)| *o = erf_exponent(x));
    out.iter_mut().for_each(|o| *o = exp(*o));
    out.iter_mut().zip(x).for_each(|(o, &x)| *o = erf_result(x, *o));
}

/// The logarithm of `1 − erf(|x|)`, for `|x|` that are not small. From 4 on the result is that of 4, where erf is 1.
#[inline(always)]
fn erf_exponent(x: f32) -> f32 {
    let size = x.abs();
    let t = if size > 4.0 { 4.0 } else { size };
    let q = ((-1.728_534_7e-5 * t + 3.831_971_3e-4) * t - 3.883_964_4e-3) * t + 2.425_462_2e-2;
    let q = ((q * t - 1.067_778_8e-1) * t - 6.348_467e-1) * t - 1.287_175_1e-1;
    q * t - t
}

/// `erf(x)`, given the exponential of [`erf_exponent`].
#[inline(always)]
fn erf_result(x: f32, power: f32) -> f32 {
    let z = x * x;
    let p = (-5.967_617e-4 * z + 4.991_194_3e-3) * z - 2.676_813_5e-2;
    let p = ((p * z + 1.128_199_25e-1) * z - 3.761_253_4e-1) * z + 1.283_791_7e-1;
    let small = p * x + x;
    (if x.abs() < 0.927_734_4 { small } else { 1.0 - power }).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::table::Unary;

    /// Every 101st float, and all those near the limits of the range.
    #[test]
    fn the_error_is_below_two_ulp() {
        let neighbours = |x: f32| (-300..300).map(move |k| f32::from_bits(x.to_bits().wrapping_add_signed(k)));
        let ends = [88.722_84, 89.0, -87.336_55, -103.972_08, -104.0, 0.346_573_6].map(neighbours);
        let mut worst = 0.0f64;
        for x in (0..=u32::MAX).step_by(101).map(f32::from_bits).chain(ends.into_iter().flatten()) {
            let (got, wanted) = (exp(x), f64::from(x).exp());
            if x.is_nan() {
                assert!(got.is_nan());
                continue;
            }
            let nearest = wanted as f32;
            if nearest.is_infinite() || got.is_infinite() {
                // At the overflow threshold an error of one ulp decides between infinity and a finite result.
                assert!(got == nearest || (f64::from(f32::MAX) / wanted - 1.0).abs() < 3e-7, "{x}: {got} {wanted}");
                continue;
            }
            let unit = f64::from(f32::from_bits(nearest.to_bits() + 1)) - f64::from(nearest);
            worst = worst.max((f64::from(got) - wanted).abs() / unit);
        }
        assert!(worst < 2.0, "{worst} ulp");
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
    }

    fn erf_of(x: f32) -> f32 {
        let mut out = [0.0];
        erf(&[x], &mut out);
        out[0]
    }

    /// Each function stays within what the table allows, on every 427th float and at the ends of its pieces.
    #[test]
    fn functions_keep_to_the_tables_bounds() {
        type Function = fn(f32) -> f32;
        let functions: [(Unary, Function); 4] =
            [(Unary::Exp, exp), (Unary::Sigmoid, sigmoid), (Unary::Tanh, tanh), (Unary::Erf, erf_of)];
        let joints = [0.625f32, 0.927_734_4, 4.0, 9.0, 88.0];
        let near = joints
            .into_iter()
            .flat_map(|x| (-300..300).map(move |k| f32::from_bits(x.to_bits().wrapping_add_signed(k))));
        let all: Vec<f32> =
            (0..=u32::MAX).step_by(61 * 7).map(f32::from_bits).chain(near.flat_map(|x| [x, -x])).collect();
        for (op, function) in functions {
            let mut worst = (0.0f64, 0.0f32);
            for &x in &all {
                let (got, exact) = (f64::from(function(x)), (op.row().f64)(f64::from(x)));
                if x.is_nan() {
                    assert!(got.is_nan());
                    continue;
                }
                if exact > f64::from(f32::MAX) || got.is_infinite() {
                    assert!(op == Unary::Exp && x > 88.7, "{op:?} {x}");
                    continue;
                }
                // Subnormal results are exact to half of the least number.
                let allowed = op.error(f64::from(x), exact) * f64::from(f32::EPSILON) + f64::from(f32::from_bits(1));
                let share = (got - exact).abs() / allowed;
                if share > worst.0 {
                    worst = (share, x);
                }
            }
            assert!(worst.0 < 1.0, "{op:?}: {worst:?} of what is allowed");
        }
        assert_eq!((tanh(-0.0).to_bits(), erf_of(-0.0).to_bits()), ((-0.0f32).to_bits(), (-0.0f32).to_bits()));
        assert_eq!((erf_of(f32::INFINITY), tanh(f32::NEG_INFINITY), sigmoid(f32::INFINITY)), (1.0, -1.0, 1.0));
    }
}
