//! Sums and products: rounding, contraction, denormal numbers.

use super::patient::{Expression, Patient};
use super::report::{Finding, Verdict};
use super::ulp::{Draws, ulp};
use crate::error::Result;

const ROUNDED: [&str; 2] = ["either neighbour", "concrete-float-accuracy"];
const FUSION: [&str; 2] = ["may be fused", "reassociation-and-fusion"];
const FLUSH: [&str; 2] = ["may be flushed to 0", "differences-from-ieee754"];
const SAMPLES: usize = 1 << 16;

const ADD: Expression = Expression { wgsl: "return x + y;", graph: Some(|[x, y, _]| x + y) };
const MUL: Expression = Expression { wgsl: "return x * y;", graph: Some(|[x, y, _]| x * y) };
const COPY: Expression = Expression { wgsl: "return x;", graph: None };
const MUL_ADD: Expression = Expression { wgsl: "return x * y + z;", graph: Some(|[x, y, z]| x * y + z) };
const FMA: Expression = Expression { wgsl: "return fma(x, y, z);", graph: None };

/// How often sums and products were rounded to the nearest number, and how often to neither neighbour.
fn rounding(property: &str, got: &[f32], exact: impl Fn(usize) -> f64) -> Finding {
    let (mut nearest, mut wrong) = (0usize, 0usize);
    for (i, &got) in got.iter().enumerate() {
        let exact = exact(i);
        let near = exact as f32;
        nearest += usize::from(near == got);
        // The other neighbour lies on the other side of the exact value, less than two distances from the nearest.
        let other = if f64::from(near) < exact { near.next_up() } else { near.next_down() };
        wrong += usize::from(got != near && (f64::from(near) == exact || got != other));
    }
    let share = nearest as f64 / got.len().max(1) as f64;
    let found = match (wrong, nearest == got.len()) {
        (0, true) => "to the nearest".to_string(),
        (0, false) => format!("to the nearest in {:.2} %", 100.0 * share),
        (wrong, _) => format!("to neither neighbour in {wrong} of {}", got.len()),
    };
    Finding::new(property, found, ROUNDED, Verdict::of(wrong == 0))
        .value("nearest_share", share)
        .value("wrong", wrong as f64)
}

/// Which of the two ways of computing `x · y + z` the values come from.
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
        // Another rounding than to the nearest is neither, and allowed. The product is exact in f64, the sum nearly.
        let product = f64::from(x[i]) * f64::from(y[i]);
        let exact = product + f64::from(z[i]);
        let near = (f64::from(got) - exact).abs() <= ulp(product) + ulp(exact.abs() + ulp(product));
        wrong += usize::from(!near);
    }
    let found = match (fused, split, neither) {
        (0, 0, 0) => "no sample tells".to_string(),
        (_, 0, 0) => "fused: one rounding".to_string(),
        (0, _, 0) => "not fused: two roundings".to_string(),
        (_, _, 0) => format!("fused in {fused}, not in {split}"),
        _ => format!("neither fused nor not in {neither} of {}", got.len()),
    };
    let finding = Finding::new(property, found, FUSION, Verdict::of(wrong == 0));
    finding.value("fused", fused as f64).value("split", split as f64).value("neither", neither as f64)
}

/// What became of values that should be denormal.
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

pub(super) fn examine(patient: &mut Patient) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut draws = Draws::new(1);
    let mut values = || -> Vec<f32> { (0..SAMPLES).map(|_| draws.signed(-10, 10)).collect() };
    let (x, y) = (values(), values());
    // Operands whose exponents differ by 20 at most: exact in f64.
    if let Some(got) = patient.floats(&ADD, &[&x, &y])? {
        findings.push(rounding("x + y, rounding", &got, |i| f64::from(x[i]) + f64::from(y[i])));
    }
    if let Some(got) = patient.floats(&MUL, &[&x, &y])? {
        findings.push(rounding("x * y, rounding", &got, |i| f64::from(x[i]) * f64::from(y[i])));
    }
    // Sums that nearly cancel: the product's rounding is most of what is left.
    let mut draws = Draws::new(2);
    let z: Vec<f32> = x.iter().zip(&y).map(|(x, y)| -x * y * draws.between(0.9, 1.1)).collect();
    let operands = [x, y, z];
    let [x, y, z] = &operands;
    for (property, expression) in [("x * y + z, contraction", MUL_ADD), ("fma(x, y, z)", FMA)] {
        if let Some(got) = patient.floats(&expression, &[x, y, z])? {
            findings.push(contraction(property, &got, &operands));
        }
    }
    let mut draws = Draws::new(3);
    // Random ones, the least and the largest.
    let mut tiny: Vec<f32> = (0..1022).map(|_| f32::from_bits(1 + draws.word() % 0x007f_ffff)).collect();
    tiny.extend([1, 0x007f_ffff].map(f32::from_bits));
    if let Some(got) = patient.floats(&COPY, &[&tiny])? {
        findings.push(denormals("denormals, load and store", &got, &tiny));
    }
    // Operands are normal, results are not: 1.5 · 2⁻¹²⁶ less what is missing; 2⁻⁶³ times a part of 2⁻⁶³.
    let normal: Vec<f32> = tiny.iter().map(|t| t + f32::MIN_POSITIVE).collect();
    let least = vec![-f32::MIN_POSITIVE; tiny.len()];
    if let Some(got) = patient.floats(&ADD, &[&normal, &least])? {
        findings.push(denormals("denormals, result of x + y", &got, &tiny));
    }
    let (big, scale) = (2f32.powi(63), vec![2f32.powi(-63); tiny.len()]);
    let scaled: Vec<f32> = tiny.iter().map(|t| t * big).collect();
    if let Some(got) = patient.floats(&MUL, &[&scaled, &scale])? {
        findings.push(denormals("denormals, result of x * y", &got, &tiny));
    }
    // Operands are denormal, results are not.
    let one = vec![2f32.powi(100); tiny.len()];
    if let Some(got) = patient.floats(&MUL, &[&tiny, &one])? {
        let exact: Vec<f32> = tiny.iter().map(|t| t * one[0]).collect();
        findings.push(denormals("denormals, operand of x * y", &got, &exact));
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_sums_are_outside() {
        let exact = |_: usize| 1.0 + 2f64.powi(-25);
        assert_eq!(rounding("", &[1.0], exact).verdict, Verdict::Within);
        let up = rounding("", &[1.0f32.next_up()], exact);
        assert_eq!((up.verdict, up.values["nearest_share"]), (Verdict::Within, 0.0));
        assert_eq!(rounding("", &[1.0f32.next_down()], exact).verdict, Verdict::Outside);
        assert_eq!(rounding("", &[f32::NAN], exact).verdict, Verdict::Outside);
        // An exact result has no neighbours.
        assert_eq!(rounding("", &[1.0f32.next_up()], |_| 1.0).verdict, Verdict::Outside);
    }

    #[test]
    fn contraction_is_told_from_its_values() {
        // x² is 1 + 2⁻¹¹ + 2⁻²⁴, and its last bit does not fit.
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
