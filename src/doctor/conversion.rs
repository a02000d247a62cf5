//! Conversions between floats and integers, and edge cases of integer arithmetic.

use super::report::{Finding, Verdict};
use crate::error::Result;
use crate::gpu::{Probe, ProbeBuffer, ProbeShader};
use crate::wgsl::Shader;

const CONVERSION: &str = "floating-point-conversion";

/// A test on 32-bit words: operands as bits, and the allowed results of each.
struct Test {
    name: &'static str,
    wgsl: &'static str,
    promise: [&'static str; 2],
    operands: Vec<[u32; 2]>,
    /// The results that WGSL allows for each; empty where it does not specify the result.
    allowed: Vec<Vec<u32>>,
    show: fn(u32) -> String,
}

fn signed(word: u32) -> String {
    (word as i32).to_string()
}

fn unsigned(word: u32) -> String {
    word.to_string()
}

fn float(word: u32) -> String {
    // As f64, which shows all digits.
    f64::from(f32::from_bits(word)).to_string()
}

const MIN: u32 = i32::MIN as u32;

fn table() -> Vec<Test> {
    let floats = |values: &[f32]| values.iter().map(|x| [x.to_bits(), 0]).collect::<Vec<_>>();
    let one = |words: &[u32]| words.iter().map(|w| vec![*w]).collect::<Vec<_>>();
    let clamps = "clamped to the f32-representable range";
    vec![
        Test {
            name: "u32(-1.5), (3e9), (1e20), (inf)",
            wgsl: "return u32(bitcast<f32>(x));",
            promise: [clamps, CONVERSION],
            operands: floats(&[-1.5, 3e9, 1e20, f32::INFINITY]),
            allowed: vec![vec![0], vec![3_000_000_000], vec![4_294_967_040], vec![]],
            show: unsigned,
        },
        Test {
            name: "i32(-1.5), (1e20), (-1e20), (-inf)",
            wgsl: "return bitcast<u32>(i32(bitcast<f32>(x)));",
            promise: [clamps, CONVERSION],
            operands: floats(&[-1.5, 1e20, -1e20, f32::NEG_INFINITY]),
            allowed: vec![vec![-1i32 as u32], vec![2_147_483_520], vec![MIN], vec![]],
            show: signed,
        },
        Test {
            name: "i32(NaN)",
            wgsl: "return bitcast<u32>(i32(bitcast<f32>(x)));",
            promise: ["indeterminate", CONVERSION],
            operands: floats(&[f32::NAN]),
            allowed: vec![vec![]],
            show: signed,
        },
        Test {
            name: "f32(16777217u), f32(4294967295u)",
            wgsl: "return bitcast<u32>(f32(x));",
            promise: ["adjacent f32 values", CONVERSION],
            operands: vec![[16_777_217, 0], [u32::MAX, 0]],
            allowed: vec![
                [16_777_216f32, 16_777_218.0].map(f32::to_bits).to_vec(),
                [4_294_967_040f32, 4_294_967_296.0].map(f32::to_bits).to_vec(),
            ],
            show: float,
        },
        Test {
            name: "u32: 7 / 0, 8 % 0",
            wgsl: "return select(x / y, x % y, (x & 1u) == 0u);",
            promise: ["x / 0 is x, x % 0 is 0", "arithmetic-expr"],
            operands: vec![[7, 0], [8, 0]],
            allowed: one(&[7, 0]),
            show: unsigned,
        },
        Test {
            name: "i32: -7 / 0, MIN / -1",
            wgsl: "return bitcast<u32>(bitcast<i32>(x) / bitcast<i32>(y));",
            promise: ["x / 0 is x, MIN / -1 is MIN", "arithmetic-expr"],
            operands: vec![[-7i32 as u32, 0], [MIN, u32::MAX]],
            allowed: one(&[-7i32 as u32, MIN]),
            show: signed,
        },
        Test {
            name: "i32: -7 % 0, MIN % -1, -7 % 3",
            wgsl: "return bitcast<u32>(bitcast<i32>(x) % bitcast<i32>(y));",
            promise: ["0, 0, and the sign of x", "arithmetic-expr"],
            operands: vec![[-7i32 as u32, 0], [MIN, u32::MAX], [-7i32 as u32, 3]],
            allowed: one(&[0, 0, -1i32 as u32]),
            show: signed,
        },
        Test {
            name: "1u << 32, 1u << 33, 1u << 0xffffffff",
            wgsl: "return x << y;",
            promise: ["shifts by the amount modulo 32", "bit-expr"],
            operands: vec![[1, 32], [1, 33], [1, u32::MAX]],
            allowed: one(&[1, 2, MIN]),
            show: unsigned,
        },
        Test {
            name: "-8i >> 33, 8u >> 33 (as i32)",
            wgsl: "return select(x >> y, bitcast<u32>(bitcast<i32>(x) >> y), x > 100u);",
            promise: ["shifts by the amount modulo 32", "bit-expr"],
            operands: vec![[-8i32 as u32, 33], [8, 33]],
            allowed: one(&[-4i32 as u32, 4]),
            show: signed,
        },
    ]
}

fn judge(test: &Test, got: &[u32]) -> Finding {
    let conforms = |(got, allowed): (&u32, &Vec<u32>)| (!allowed.is_empty()).then(|| allowed.contains(got));
    let verdicts: Vec<bool> = got.iter().zip(&test.allowed).filter_map(conforms).collect();
    let verdict =
        if verdicts.is_empty() { Verdict::Information } else { Verdict::of(verdicts.iter().all(|right| *right)) };
    let found: Vec<String> = got.iter().map(|word| (test.show)(*word)).collect();
    let mut finding = Finding::new(test.name, found.join(", "), test.promise, verdict);
    for (k, word) in got.iter().enumerate() {
        finding = finding.value(&format!("word_{k}"), f64::from(*word));
    }
    finding
}

pub(super) fn examine(probe: &Probe) -> Result<Vec<Finding>> {
    let text = include_str!("../../shaders/doctor_words.wgsl");
    let mut findings = Vec::new();
    for test in table() {
        let wgsl = Shader::file("doctor_words", text).replace("f", test.wgsl).wgsl()?;
        let [x, y] = [0, 1].map(|k| test.operands.iter().map(|o| o[k]).collect::<Vec<u32>>());
        let unwritten = vec![0xdead_beef_u32; x.len()];
        let mut buffers = [ProbeBuffer::read_only(&x), ProbeBuffer::read_only(&y), ProbeBuffer::of(&unwritten)];
        probe.run(&ProbeShader::new("doctor_words", &wgsl), &mut buffers, 1)?;
        findings.push(judge(&test, &buffers[2].to()));
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_conversion_does_not_conform() {
        let table = table();
        let verdict = |test: usize, words: &[u32]| judge(&table[test], words).verdict;
        assert_eq!(verdict(0, &[0, 3_000_000_000, 4_294_967_040, 1]), Verdict::Within);
        assert_eq!(verdict(0, &[0, 3_000_000_000, 0, 1]), Verdict::Outside);
        assert_eq!(verdict(2, &[12345]), Verdict::Information);
        assert!(table.iter().all(|q| q.operands.len() == q.allowed.len()));
    }
}
