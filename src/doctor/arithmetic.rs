//! Addition and multiplication: rounding, contraction, denormals.

use super::evaluator::{Evaluator, Expression};
use super::report::{Finding, Verdict};
use super::ulp::{Draws, ulp};
use crate::error::Result;

const ROUNDED: [&str; 2] = ["an adjacent value", "concrete-float-accuracy"];
const FUSION: [&str; 2] = ["may be fused", "reassociation-and-fusion"];
const FLUSH: [&str; 2] = ["may be flushed to 0", "differences-from-ieee754"];
const SAMPLES: usize = 1 << 16;

const ADD: Expression = Expression { wgsl: "return x + y;", graph: Some(|[x, y, _]| x + y) };
const MUL: Expression = Expression { wgsl: "return x * y;", graph: Some(|[x, y, _]| x * y) };
const COPY: Expression = Expression { wgsl: "return x;", graph: None };
const MUL_ADD: Expression = Expression { wgsl: "return x * y + z;", graph: Some(|[x, y, z]| x * y + z) };
const FMA: Expression = Expression { wgsl: "return fma(x, y, z);", graph: None };

/// How often results are rounded to nearest, and how often they are neither of the two adjacent numbers.
fn rounding(property: &str, got: &[f32], exact: impl Fn(usize) -> f64) -> Finding {
    let (mut nearest, mut wrong) = (0usize, 0usize);
    for (i, &got) in got.iter().enumerate() {
        let exact = exact(i);
        let nearest_value = exact as f32;
        nearest += usize::from(nearest_value == got);
        // The other adjacent number is on the other side of the exact value.
        let other = if f64::from(nearest_value) < exact { nearest_value.next_up() } else { nearest_value.next_down() };
        wrong += usize::from(got != nearest_value && (f64::from(nearest_value) == exact || got != other));
    }
    let share = nearest as f64 / got.len().max(1) as f64;
    let found = match (wrong, nearest == got.len()) {
        (0, true) => "to nearest".to_string(),
        (0, false) => format!("to nearest in {:.2} %", 100.0 * share),
        (wrong, _) => format!("wrong in {wrong} of {}", got.len()),
    };
    Finding::new(property, found, ROUNDED, Verdict::of(wrong == 0))
        .value("nearest_share", share)
        .value("wrong", wrong as f64)
}

/// Whether `x · y + z` was computed with one rounding (fused) or two.
fn contraction(property: &str, got: &[f32], operands: &[Vec<f32>; 3]) -> Finding {
    let [x, y, z] = operands;
    let (mut fused, mut split, mut neither, mut wrong) = (0usize, 0usize, 0usize, 0usize);
    for (i, &got) in got.iter().enumerate() {
        let (one, two) = (x[i].mul_add(y[i], z[i]), x[i] * y[i] + z[i]);
        if one == two && got == one {
            continue;
        }
        fused += usize::from(got == one && one != two);
        split += usize::from(got == two && one != two);
        neither += usize::from(got != one && got != two);
        // Other rounding modes match neither, but are allowed. In f64 the product is exact, and the sum nearly.
        let product = f64::from(x[i]) * f64::from(y[i]);
        let exact = product + f64::from(z[i]);
        let near = (f64::from(got) - exact).abs() <= ulp(product) + ulp(exact.abs() + ulp(product));
        wrong += usize::from(!near);
    }
    let found = match (fused, split, neither) {
        (0, 0, 0) => "indistinguishable".to_string(),
        (_, 0, 0) => "fused: one rounding".to_string(),
        (0, _, 0) => "not fused: two roundings".to_string(),
        (_, _, 0) => format!("fused in {fused}, not fused in {split}"),
        _ => format!("neither fused nor unfused in {neither} of {}", got.len()),
    };
    let finding = Finding::new(property, found, FUSION, Verdict::of(wrong == 0));
    finding.value("fused", fused as f64).value("split", split as f64).value("neither", neither as f64)
}

/// Whether denormal results are kept or flushed to zero.
fn denormals(property: &str, got: &[f32], exact: &[f32]) -> Finding {
    let kept = got.iter().zip(exact).filter(|(got, exact)| got.to_bits() == exact.to_bits()).count();
    let flushed = got.iter().zip(exact).filter(|(got, exact)| **got == 0.0 && **exact != 0.0).count();
    let found = match (kept, flushed) {
        (kept, _) if kept == exact.len() => "kept".to_string(),
        (_, flushed) if flushed == exact.len() => "flushed to 0".to_string(),
        (kept, flushed) => format!("{kept} kept, {flushed} flushed of {}", exact.len()),
    };
    let finding = Finding::new(property, found, FLUSH, Verdict::of(kept + flushed == exact.len()));
    finding.value("kept", kept as f64).value("flushed", flushed as f64)
}

pub(super) fn examine(evaluator: &mut Evaluator) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut draws = Draws::new(1);
    let mut values = || -> Vec<f32> { (0..SAMPLES).map(|_| draws.signed(-10, 10)).collect() };
    let (x, y) = (values(), values());
    // The exponents of the operands differ by at most 20, so the results are exact in f64.
    if let Some(got) = evaluator.floats(&ADD, &[&x, &y])? {
        findings.push(rounding("x + y, rounding", &got, |i| f64::from(x[i]) + f64::from(y[i])));
    }
    if let Some(got) = evaluator.floats(&MUL, &[&x, &y])? {
        findings.push(rounding("x * y, rounding", &got, |i| f64::from(x[i]) * f64::from(y[i])));
    }
    // The sums nearly cancel, so that the rounding error of the product dominates.
    let mut draws = Draws::new(2);
    let z: Vec<f32> = x.iter().zip(&y).map(|(x, y)| -x * y * draws.between(0.9, 1.1)).collect();
    let operands = [x, y, z];
    let [x, y, z] = &operands;
    for (property, expression) in [("x * y + z, contraction", MUL_ADD), ("fma(x, y, z)", FMA)] {
        if let Some(got) = evaluator.floats(&expression, &[x, y, z])? {
            findings.push(contraction(property, &got, &operands));
        }
    }
    let mut draws = Draws::new(3);
    // Random denormals, the smallest and the largest.
    let mut tiny: Vec<f32> = (0..1022).map(|_| f32::from_bits(1 + draws.word() % 0x007f_ffff)).collect();
    tiny.extend([1, 0x007f_ffff].map(f32::from_bits));
    if let Some(got) = evaluator.floats(&COPY, &[&tiny])? {
        findings.push(denormals("denormals, load and store", &got, &tiny));
    }
    // Normal operands with denormal results: a difference of normal numbers, and a product with 2⁻⁶³.
    let normal: Vec<f32> = tiny.iter().map(|t| t + f32::MIN_POSITIVE).collect();
    let least = vec![-f32::MIN_POSITIVE; tiny.len()];
    if let Some(got) = evaluator.floats(&ADD, &[&normal, &least])? {
        findings.push(denormals("denormals, result of x + y", &got, &tiny));
    }
    let (big, scale) = (2f32.powi(63), vec![2f32.powi(-63); tiny.len()]);
    let scaled: Vec<f32> = tiny.iter().map(|t| t * big).collect();
    if let Some(got) = evaluator.floats(&MUL, &[&scaled, &scale])? {
        findings.push(denormals("denormals, result of x * y", &got, &tiny));
    }
    // Denormal operands with normal results.
    let one = vec![2f32.powi(100); tiny.len()];
    if let Some(got) = evaluator.floats(&MUL, &[&tiny, &one])? {
        let exact: Vec<f32> = tiny.iter().map(|t| t * one[0]).collect();
        findings.push(denormals("denormals, operand of x * y", &got, &exact));
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_sums_do_not_conform() {
        let exact = |_: usize| 1.0 + 2f64.powi(-25);
        assert_eq!(rounding("", &[1.0], exact).verdict, Verdict::Within);
        let up = rounding("", &[1.0f32.next_up()], exact);
        assert_eq!((up.verdict, up.values["nearest_share"]), (Verdict::Within, 0.0));
        assert_eq!(rounding("", &[1.0f32.next_down()], exact).verdict, Verdict::Outside);
        assert_eq!(rounding("", &[f32::NAN], exact).verdict, Verdict::Outside);
        // A representable result must be exact.
        assert_eq!(rounding("", &[1.0f32.next_up()], |_| 1.0).verdict, Verdict::Outside);
    }

    #[test]
    fn contraction_is_detected() {
        // x² is 1 + 2⁻¹¹ + 2⁻²⁴, whose last bit f32 cannot represent.
        let x = 1.0 + 2f32.powi(-12);
        let operands = [vec![x], vec![x], vec![-1.0]];
        let fused = contraction("", &[x.mul_add(x, -1.0)], &operands);
        assert!(fused.found.starts_with("fused") && fused.verdict == Verdict::Within);
        assert!(contraction("", &[x * x - 1.0], &operands).found.starts_with("not fused"));
        assert_eq!(contraction("", &[0.5], &operands).verdict, Verdict::Outside);
    }

    #[test]
    fn denormals_are_kept_or_flushed() {
        let tiny = [f32::from_bits(1), f32::from_bits(77)];
        assert_eq!(denormals("", &tiny, &tiny).found, "kept");
        assert_eq!(denormals("", &[0.0, -0.0], &tiny).found, "flushed to 0");
        assert_eq!(denormals("", &[tiny[0], f32::from_bits(76)], &tiny).verdict, Verdict::Outside);
    }
}
