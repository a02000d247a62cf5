//! Floats to integers and back, and integers where their arithmetic has no answer.

use super::report::{Finding, Verdict};
use crate::error::Result;
use crate::gpu::{Probe, ProbeBuffer, ProbeShader};
use crate::wgsl::Shader;

const CONVERSION: &str = "floating-point-conversion";

/// Questions about words: operands as bits, and what may come out for each.
struct Question {
    name: &'static str,
    wgsl: &'static str,
    promise: [&'static str; 2],
    operands: Vec<[u32; 2]>,
    /// What WGSL allows for each; nothing for what it leaves open.
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
    // In f64 all digits are shown.
    f64::from(f32::from_bits(word)).to_string()
}

const LEAST: u32 = i32::MIN as u32;

fn table() -> Vec<Question> {
    let floats = |values: &[f32]| values.iter().map(|x| [x.to_bits(), 0]).collect::<Vec<_>>();
    let one = |words: &[u32]| words.iter().map(|w| vec![*w]).collect::<Vec<_>>();
    let clamps = "clamped to what f32 holds";
    vec![
        Question {
            name: "u32(-1.5), (3e9), (1e20), (inf)",
            wgsl: "return u32(bitcast<f32>(x));",
            promise: [clamps, CONVERSION],
            operands: floats(&[-1.5, 3e9, 1e20, f32::INFINITY]),
            allowed: vec![vec![0], vec![3_000_000_000], vec![4_294_967_040], vec![]],
            show: unsigned,
        },
        Question {
            name: "i32(-1.5), (1e20), (-1e20), (-inf)",
            wgsl: "return bitcast<u32>(i32(bitcast<f32>(x)));",
            promise: [clamps, CONVERSION],
            operands: floats(&[-1.5, 1e20, -1e20, f32::NEG_INFINITY]),
            allowed: vec![vec![-1i32 as u32], vec![2_147_483_520], vec![LEAST], vec![]],
            show: signed,
        },
        Question {
            name: "i32(NaN)",
            wgsl: "return bitcast<u32>(i32(bitcast<f32>(x)));",
            promise: ["indeterminate", CONVERSION],
            operands: floats(&[f32::NAN]),
            allowed: vec![vec![]],
            show: signed,
        },
        Question {
            name: "f32(16777217u), f32(4294967295u)",
            wgsl: "return bitcast<u32>(f32(x));",
            promise: ["either neighbour", CONVERSION],
            operands: vec![[16_777_217, 0], [u32::MAX, 0]],
            allowed: vec![
                [16_777_216f32, 16_777_218.0].map(f32::to_bits).to_vec(),
                [4_294_967_040f32, 4_294_967_296.0].map(f32::to_bits).to_vec(),
            ],
            show: float,
        },
        Question {
            name: "u32: 7 / 0, 8 % 0",
            wgsl: "return select(x / y, x % y, (x & 1u) == 0u);",
            promise: ["x / 0 is x, x % 0 is 0", "arithmetic-expr"],
            operands: vec![[7, 0], [8, 0]],
            allowed: one(&[7, 0]),
            show: unsigned,
        },
        Question {
            name: "i32: -7 / 0, least / -1",
            wgsl: "return bitcast<u32>(bitcast<i32>(x) / bitcast<i32>(y));",
            promise: ["x / 0 is x, least / -1 is least", "arithmetic-expr"],
            operands: vec![[-7i32 as u32, 0], [LEAST, u32::MAX]],
            allowed: one(&[-7i32 as u32, LEAST]),
            show: signed,
        },
        Question {
            name: "i32: -7 % 0, least % -1, -7 % 3",
            wgsl: "return bitcast<u32>(bitcast<i32>(x) % bitcast<i32>(y));",
            promise: ["0, 0, and the sign of x", "arithmetic-expr"],
            operands: vec![[-7i32 as u32, 0], [LEAST, u32::MAX], [-7i32 as u32, 3]],
            allowed: one(&[0, 0, -1i32 as u32]),
            show: signed,
        },
        Question {
            name: "1u << 32, 1u << 33, 1u << 0xffffffff",
            wgsl: "return x << y;",
            promise: ["shifts by the amount modulo 32", "bit-expr"],
            operands: vec![[1, 32], [1, 33], [1, u32::MAX]],
            allowed: one(&[1, 2, LEAST]),
            show: unsigned,
        },
        Question {
            name: "-8i >> 33, 8u >> 33 (as i32)",
            wgsl: "return select(x >> y, bitcast<u32>(bitcast<i32>(x) >> y), x > 100u);",
            promise: ["shifts by the amount modulo 32", "bit-expr"],
            operands: vec![[-8i32 as u32, 33], [8, 33]],
            allowed: one(&[-4i32 as u32, 4]),
            show: signed,
        },
    ]
}

fn judge(question: &Question, got: &[u32]) -> Finding {
    let ask = |(got, allowed): (&u32, &Vec<u32>)| (!allowed.is_empty()).then(|| allowed.contains(got));
    let answers: Vec<bool> = got.iter().zip(&question.allowed).filter_map(ask).collect();
    let verdict =
        if answers.is_empty() { Verdict::Information } else { Verdict::of(answers.iter().all(|right| *right)) };
    let found: Vec<String> = got.iter().map(|word| (question.show)(*word)).collect();
    let mut finding = Finding::new(question.name, found.join(", "), question.promise, verdict);
    for (k, word) in got.iter().enumerate() {
        finding = finding.value(&format!("word_{k}"), f64::from(*word));
    }
    finding
}

pub(super) fn examine(probe: &Probe) -> Result<Vec<Finding>> {
    let text = include_str!("../../shaders/doctor_words.wgsl");
    let mut findings = Vec::new();
    for question in table() {
        let wgsl = Shader::file("doctor_words", text).replace("f", question.wgsl).wgsl()?;
        let [x, y] = [0, 1].map(|k| question.operands.iter().map(|o| o[k]).collect::<Vec<u32>>());
        let unwritten = vec![0xdead_beef_u32; x.len()];
        let mut buffers = [ProbeBuffer::read_only(&x), ProbeBuffer::read_only(&y), ProbeBuffer::of(&unwritten)];
        probe.run(&ProbeShader::new("doctor_words", &wgsl), &mut buffers, 1)?;
        findings.push(judge(&question, &buffers[2].to()));
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_conversion_is_outside() {
        let table = table();
        let verdict = |question: usize, words: &[u32]| judge(&table[question], words).verdict;
        assert_eq!(verdict(0, &[0, 3_000_000_000, 4_294_967_040, 1]), Verdict::Within);
        assert_eq!(verdict(0, &[0, 3_000_000_000, 0, 1]), Verdict::Outside);
        assert_eq!(verdict(2, &[12345]), Verdict::Information);
        assert!(table.iter().all(|q| q.operands.len() == q.allowed.len()));
    }
}
