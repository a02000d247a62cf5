//! The exponential function, branch-free so that it vectorises inside [`fast`](super::simd::fast).

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
