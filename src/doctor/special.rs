//! NaN and infinity. WGSL lets a compiler assume that they do not occur.

use super::evaluator::{Evaluator, Expression};
use super::report::{Finding, Verdict};
use crate::error::Result;

const UNSPECIFIED: [&str; 2] = ["indeterminate", "differences-from-ieee754"];
const NAN: f32 = f32::NAN;
const INF: f32 = f32::INFINITY;

/// A test: its name, its expression and its operands.
struct Test {
    name: &'static str,
    expression: Expression,
    operands: &'static [[f32; 3]],
    /// Whether the results are booleans, as 0 or 1.
    boolean: bool,
}

fn table() -> Vec<Test> {
    let row = |name, wgsl, graph, operands: &'static [[f32; 3]]| {
        let boolean = str::contains(wgsl, "select");
        Test { name, expression: Expression { wgsl, graph }, operands, boolean }
    };
    vec![
        row(
            "min(NaN, 1), min(1, NaN)",
            "return min(x, y);",
            Some(|[x, y, _]| x.minimum(y)),
            &[[NAN, 1.0, 0.0], [1.0, NAN, 0.0]],
        ),
        row(
            "max(NaN, 1), max(1, NaN)",
            "return max(x, y);",
            Some(|[x, y, _]| x.maximum(y)),
            &[[NAN, 1.0, 0.0], [1.0, NAN, 0.0]],
        ),
        row("clamp(NaN, 2, 3)", "return clamp(x, y, z);", Some(|[x, _, _]| x.clamp(2.0, 3.0)), &[[NAN, 2.0, 3.0]]),
        row("NaN < 1, 1 < NaN", LESS, Some(|[x, y, _]| x.lt(y)), &[[NAN, 1.0, 0.0], [1.0, NAN, 0.0]]),
        row("NaN >= 1, 1 >= NaN", NOT_LESS, Some(|[x, y, _]| x.ge(y)), &[[NAN, 1.0, 0.0], [1.0, NAN, 0.0]]),
        row("NaN == NaN", EQUAL, Some(|[x, y, _]| x.eq(y)), &[[NAN, NAN, 0.0]]),
        row("x != x for NaN, for 1", SELF, Some(|[x, _, _]| x.ne(x)), &[[NAN, 0.0, 0.0], [1.0, 0.0, 0.0]]),
        row("bits of NaN, of 1 test as NaN", BITS, None, &[[NAN, 0.0, 0.0], [1.0, 0.0, 0.0]]),
        row(
            "1 / 0, -1 / 0, 0 / 0",
            "return x / y;",
            Some(|[x, y, _]| x / y),
            &[[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
        ),
        row("inf - inf, 1 - inf", "return x - y;", Some(|[x, y, _]| x - y), &[[INF, INF, 0.0], [1.0, INF, 0.0]]),
        row("0 * inf", "return x * y;", Some(|[x, y, _]| x * y), &[[0.0, INF, 0.0]]),
        row("3e38 * 10", "return x * y;", Some(|[x, y, _]| x * y), &[[3e38, 10.0, 0.0]]),
        row("sqrt(-1)", "return sqrt(x);", Some(|[x, _, _]| x.sqrt()), &[[-1.0, 0.0, 0.0]]),
        row(
            "log(0), log(-1), log(inf)",
            "return log(x);",
            Some(|[x, _, _]| x.log()),
            &[[0.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [INF, 0.0, 0.0]],
        ),
        row(
            "exp(1000), exp(inf), exp(-inf)",
            "return exp(x);",
            Some(|[x, _, _]| x.exp()),
            &[[1000.0, 0.0, 0.0], [INF, 0.0, 0.0], [-INF, 0.0, 0.0]],
        ),
        row("exp(NaN)", "return exp(x);", Some(|[x, _, _]| x.exp()), &[[NAN, 0.0, 0.0]]),
        row("pow(0, 0), pow(-2, 3)", "return pow(x, y);", None, &[[0.0, 0.0, 0.0], [-2.0, 3.0, 0.0]]),
        row("NaN stored", "return x;", None, &[[NAN, 0.0, 0.0]]),
    ]
}

const LESS: &str = "return select(0.0, 1.0, x < y);";
const NOT_LESS: &str = "return select(0.0, 1.0, x >= y);";
const EQUAL: &str = "return select(0.0, 1.0, x == y);";
const SELF: &str = "return select(0.0, 1.0, x != x);";
const BITS: &str = "return select(0.0, 1.0, (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u);";

fn format(value: f32, boolean: bool) -> String {
    match value {
        1.0 if boolean => "true".into(),
        0.0 if boolean => "false".into(),
        v if v.is_nan() => "NaN".into(),
        v => v.to_string(),
    }
}

pub(super) fn examine(evaluator: &mut Evaluator) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for test in table() {
        let [x, y, z] = [0, 1, 2].map(|k| test.operands.iter().map(|o| o[k]).collect::<Vec<f32>>());
        let Some(got) = evaluator.floats(&test.expression, &[&x, &y, &z])? else { continue };
        let results: Vec<String> = got.iter().map(|v| format(*v, test.boolean)).collect();
        let mut finding = Finding::new(test.name, results.join(", "), UNSPECIFIED, Verdict::Information);
        for (k, value) in got.iter().enumerate() {
            // As bits: JSON has no NaN.
            finding = finding.value(&format!("bits_{k}"), f64::from(value.to_bits()));
        }
        findings.push(finding);
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_formatted() {
        assert_eq!(format(f32::NAN, false), "NaN");
        assert_eq!(format(-f32::INFINITY, false), "-inf");
        assert_eq!([format(1.0, true), format(0.0, true), format(1.0, false)], ["true", "false", "1"]);
    }
}
