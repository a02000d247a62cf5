//! 16-bit floats: rounding and denormals.

use super::report::{Finding, Verdict};
use super::ulp::Draws;
use crate::error::Result;
use crate::gpu::{Probe, ProbeBuffer, ProbeShader};
use crate::wgsl::Shader;
use half::f16;

const ROUNDED: [&str; 2] = ["an adjacent value", "concrete-float-accuracy"];
const CONVERTED: [&str; 2] = ["an adjacent value", "floating-point-conversion"];
const FUSION: [&str; 2] = ["may be folded to x", "reassociation-and-fusion"];
const FLUSH: [&str; 2] = ["may be flushed to 0", "differences-from-ieee754"];
const STORED: [&str; 2] = ["unchanged; denormals may be flushed", "differences-from-ieee754"];

fn run(probe: &Probe, body: &'static str, x: &[f32], [a, b]: [&[f16]; 2]) -> Result<Vec<f16>> {
    let text = include_str!("../../shaders/doctor_halves.wgsl");
    let wgsl = Shader::file("doctor_halves", text).replace("f", body).wgsl()?;
    let out = ProbeBuffer::of(&vec![f16::from_f32(-7.25); x.len()]);
    let mut buffers = [ProbeBuffer::read_only(x), ProbeBuffer::read_only(a), ProbeBuffer::read_only(b), out];
    probe.run(&ProbeShader::new("doctor_halves", &wgsl), &mut buffers, (x.len() as u32).div_ceil(64))?;
    Ok(buffers[3].to())
}

/// The next larger (`up`) or smaller `f16`.
fn next(x: f16, up: bool) -> f16 {
    let bits = x.to_bits();
    if x == f16::ZERO {
        return f16::from_bits(if up { 1 } else { 0x8001 });
    }
    f16::from_bits(if (bits & 0x8000 == 0) == up { bits + 1 } else { bits - 1 })
}

/// The rounding mode: to nearest with ties to even, toward zero, or another one that is allowed.
fn rounding(property: &str, promise: [&str; 2], got: &[f16], exact: &[f64]) -> Finding {
    let (mut even, mut zero, mut wrong, mut inexact) = (0usize, 0usize, 0usize, 0usize);
    for (got, &exact) in got.iter().zip(exact) {
        let near = f16::from_f64(exact);
        let other = next(near, f64::from(near) < exact);
        if f64::from(near) == exact {
            wrong += usize::from(*got != near);
            continue;
        }
        inexact += 1;
        let inner = if f64::from(near).abs() < exact.abs() { near } else { other };
        even += usize::from(*got == near);
        zero += usize::from(*got == inner);
        wrong += usize::from(*got != near && *got != other);
    }
    let found = match () {
        () if wrong > 0 => format!("wrong in {wrong} of {}", got.len()),
        () if even == inexact => "to nearest, ties to even".to_string(),
        () if zero == inexact => "toward zero".to_string(),
        () => format!("to nearest even in {:.2} %", 100.0 * even as f64 / inexact.max(1) as f64),
    };
    let share = even as f64 / inexact.max(1) as f64;
    let finding = Finding::new(property, found, promise, Verdict::of(wrong == 0));
    finding.value("nearest_even_share", share).value("wrong", wrong as f64)
}

fn denormals(property: &str, promise: [&str; 2], got: &[f16], exact: &[f16]) -> Finding {
    let kept = got.iter().zip(exact).filter(|(got, exact)| got.to_bits() == exact.to_bits()).count();
    let is_flushed = |(got, exact): &(&f16, &f16)| **got == f16::ZERO && !exact.is_normal() && exact.is_finite();
    let flushed = got.iter().zip(exact).filter(|pair| pair.0.to_bits() != pair.1.to_bits() && is_flushed(pair)).count();
    let found = match (kept, flushed) {
        (kept, _) if kept == exact.len() => "kept".to_string(),
        (0, flushed) if flushed == exact.len() => "flushed to 0".to_string(),
        (kept, flushed) => format!("{kept} kept, {flushed} flushed of {}", exact.len()),
    };
    let finding = Finding::new(property, found, promise, Verdict::of(kept + flushed == exact.len()));
    finding.value("kept", kept as f64).value("flushed", flushed as f64)
}

/// Numbers a quarter of the spacing away from an `f16`, and the rounding error of each when converted to `f16`.
fn between() -> (Vec<f32>, Vec<f16>) {
    let quarter = f16::EPSILON.to_f32() / 4.0;
    let numbers: Vec<f32> = (0..2048u16).map(|k| 1.0 + quarter * f32::from(2 * k + 1)).collect();
    let errors = numbers.iter().map(|x| f16::from_f32(f16::from_f32(*x).to_f32() - x)).collect();
    (numbers, errors)
}

/// Whether `f32(f16(x))` rounds: `got` is its difference from x, `errors` that difference for rounding to nearest.
fn pair(got: &[f16], errors: &[f16]) -> Finding {
    let folded = got.iter().filter(|got| **got == f16::ZERO).count();
    // The other adjacent `f16` is three quarters of the spacing away.
    let rounded = |(got, error): &(&f16, &f16)| *got == *error || got.to_f32() == -3.0 * error.to_f32();
    let rounded = got.iter().zip(errors).filter(rounded).count();
    let found = match (rounded, folded) {
        (rounded, _) if rounded == got.len() => "rounded".to_string(),
        (_, folded) if folded == got.len() => "folded: x itself, not rounded".to_string(),
        (rounded, folded) => format!("{rounded} rounded, {folded} folded of {}", got.len()),
    };
    let finding = Finding::new("f32(f16(x))", found, FUSION, Verdict::of(rounded + folded == got.len()));
    finding.value("rounded", rounded as f64).value("folded", folded as f64)
}

pub(super) fn examine(probe: &Probe) -> Result<Vec<Finding>> {
    let mut draws = Draws::new(20);
    let mut findings = Vec::new();
    // Half of the operands are ties, which distinguish rounding modes: of the dropped bits only the highest is set.
    let x: Vec<f32> = (0..1 << 14)
        .map(|_| {
            let bits = draws.signed(-14, 14).to_bits();
            f32::from_bits(if draws.word() & 1 == 0 { bits } else { bits & !0x1fff | 0x1000 })
        })
        .collect();
    let zeros = vec![f16::ZERO; x.len()];
    let exact: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
    let got = run(probe, "return f16(x);", &x, [&zeros, &zeros])?;
    findings.push(rounding("f16(x), rounding", CONVERTED, &got, &exact));
    let (off, errors) = between();
    let zeros = vec![f16::ZERO; off.len()];
    let got = run(probe, "return f16(f32(f16(x)) - x);", &off, [&zeros, &zeros])?;
    findings.push(pair(&got, &errors));
    // An even number of elements, as the size of a binding is a multiple of four bytes.
    let tiny: Vec<f16> = (1..0x400).chain([1]).map(f16::from_bits).collect();
    let wide: Vec<f32> = tiny.iter().map(|t| t.to_f32()).collect();
    let nothing = vec![f16::ZERO; tiny.len()];
    let got = run(probe, "return f16(x);", &wide, [&nothing, &nothing])?;
    findings.push(denormals("f16(x), denormals", FLUSH, &got, &tiny));

    let mut values = || -> Vec<f16> { (0..x.len()).map(|_| f16::from_f32(draws.signed(-6, 6))).collect() };
    let (a, b) = (values(), values());
    let pairs = || a.iter().zip(&b).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    let got = run(probe, "return a + b;", &x, [&a, &b])?;
    findings.push(rounding("a + b, rounding", ROUNDED, &got, &pairs().map(|(a, b)| a + b).collect::<Vec<_>>()));
    let got = run(probe, "return a * b;", &x, [&a, &b])?;
    findings.push(rounding("a * b, rounding", ROUNDED, &got, &pairs().map(|(a, b)| a * b).collect::<Vec<_>>()));

    let least = f16::MIN_POSITIVE;
    let (low, normal): (Vec<f16>, Vec<f16>) =
        (vec![-least; tiny.len()], tiny.iter().map(|t| f16::from_f32(t.to_f32() + least.to_f32())).collect());
    let got = run(probe, "return a + b;", &wide, [&normal, &low])?;
    findings.push(denormals("denormals, result of a + b", FLUSH, &got, &tiny));
    let scale = vec![f16::from_f32(2f32.powi(-10)); tiny.len()];
    let large: Vec<f16> = tiny.iter().map(|t| f16::from_f32(t.to_f32() * 1024.0)).collect();
    let got = run(probe, "return a * b;", &wide, [&large, &scale])?;
    findings.push(denormals("denormals, result of a * b", FLUSH, &got, &tiny));

    // Load and store every finite number.
    let all: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).filter(|x| x.is_finite()).collect();
    let (x, zeros) = (vec![0f32; all.len()], vec![f16::ZERO; all.len()]);
    let got = run(probe, "return a;", &x, [&all, &zeros])?;
    findings.push(denormals("all finite, load and store", STORED, &got, &all));
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_modes_are_distinguished() {
        let exact = [2049.0, 2051.0, -2049.0, 2048.5];
        let of = |values: [f32; 4]| rounding("", ROUNDED, &values.map(f16::from_f32), &exact);
        assert_eq!(of([2048.0, 2052.0, -2048.0, 2048.0]).found, "to nearest, ties to even");
        assert_eq!(of([2048.0, 2050.0, -2048.0, 2048.0]).found, "toward zero");
        assert_eq!(of([2050.0, 2052.0, -2050.0, 2048.0]).verdict, Verdict::Within);
        assert_eq!(of([2046.0, 2052.0, -2048.0, 2048.0]).verdict, Verdict::Outside);
        assert_eq!(rounding("", ROUNDED, &[f16::from_f32(1.5)], &[1.25]).verdict, Verdict::Outside);
    }

    #[test]
    fn a_folded_pair_of_casts_is_distinguished_from_a_rounded_one() {
        let (numbers, errors) = between();
        assert!(numbers.len() == errors.len() && errors.iter().all(|e| *e != f16::ZERO));
        assert_eq!(pair(&errors, &errors).found, "rounded");
        let folded = pair(&vec![f16::ZERO; errors.len()], &errors);
        assert!(folded.found.starts_with("folded") && folded.verdict == Verdict::Within);
        assert_eq!(pair(&[f16::ONE], &errors[..1]).verdict, Verdict::Outside);
    }

    #[test]
    fn only_denormals_may_be_flushed() {
        let exact = [f16::from_bits(1), f16::ONE];
        assert_eq!(denormals("", STORED, &[f16::ZERO, f16::ONE], &exact).verdict, Verdict::Within);
        assert_eq!(denormals("", STORED, &[exact[0], f16::ZERO], &exact).verdict, Verdict::Outside);
    }
}
