//! Samples with extreme values of their dtype.
//!
//! WGSL ("Floating Point Evaluation") lets an implementation flush denormal operands and results to zero, and assume
//! that there are no infinities and NaNs. So an element passes if it is within the error bound for any combination of
//! operands with and without flushing, and an element whose reference value is NaN or overflows is not compared.

use super::{Case, CaseInput, Layout, array, ratio};
use crate::dtype::DType;
use crate::error::Result;
use crate::graph::Graph;
use crate::ops::Op;
use crate::ops::elementwise::Elementwise;
use crate::ops::random::{Distribution, draw};
use crate::ops::samples::Sample;
use crate::ops::table::{Binary, Unary};
use crate::reference::RefTensor;
use crate::session::Session;
use crate::shape::TensorType;
use crate::verify::compare::{Comparison, Element, representable};
use crate::verify::{Expected, Trial};

/// The smallest positive normal number.
fn least(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => half::f16::MIN_POSITIVE.to_f64(),
        _ => f64::from(f32::MIN_POSITIVE),
    }
}

/// Extreme and special values of a dtype; for floats, of both signs.
fn edges(dtype: DType) -> Vec<f64> {
    let positive: Vec<f64> = match dtype {
        DType::U32 => {
            return [0, 1, 2, 3, 31, 32, 65_535, 65_536, 1 << 31, u32::MAX - 1, u32::MAX].map(f64::from).into();
        }
        DType::I32 => {
            return [0, 1, -1, 2, -2, 3, -3, 65_535, 65_536, i32::MAX, i32::MIN, i32::MIN + 1].map(f64::from).into();
        }
        DType::F32 => {
            [1, 0x7f_ffff, 0x80_0000, 0x80_0001, 0x3f7f_ffff, 0x3f80_0001, 0x4b7f_ffff, 0x4b80_0001, 0x7f7f_ffff]
                .into_iter()
                // Around 2¹²⁶, whose reciprocal is the smallest normal number, and around 2¹²⁷.
                .chain([0x7e7f_ffff, 0x7e80_0000, 0x7e80_0001, 0x7eff_ffff, 0x7f00_0000, 0x7f00_0001])
                .map(|bits| f64::from(f32::from_bits(bits)))
                .chain([3e38, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 10.0, 88.0, 1e-30, 1e-20, 1e-5, 1e5, 1e18, 1e20, 1e30])
                .collect()
        }
        DType::F16 => [1, 0x3ff, 0x400, 0x3bff, 0x3c01, 0x6800, 0x7bff]
            .map(|bits| half::f16::from_bits(bits).to_f64())
            .into_iter()
            .chain([0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 10.0, 1e-3, 300.0])
            .collect(),
    };
    positive.iter().flat_map(|&x| [x, -x]).collect()
}

/// Whether WGSL or wgrad specifies the accuracy of the result for these operands.
fn is_specified(op: &Op, operands: &[f64], dtype: DType) -> bool {
    match op {
        // WGSL specifies the accuracy of a division for divisors of magnitude 2^-126 to 2^126. wgrad specifies it for
        // larger ones too (`divide_f32`). A denormal divisor may be flushed to zero. Integer division is always
        // defined.
        Op::Elementwise(Elementwise::Binary(Binary::Div)) if dtype.is_float() => operands[1].abs() >= 2f64.powi(-126),
        Op::Elementwise(Elementwise::Unary(Unary::Recip | Unary::Rsqrt)) => {
            (2f64.powi(-126)..=2f64.powi(126)).contains(&operands[0].abs())
        }
        Op::Elementwise(Elementwise::Unary(Unary::Sqrt | Unary::Log)) => operands[0] >= 0.0,
        // Negative bases need integer exponents, which the samples do not have. The accuracy is that of
        // exp2(b · log2(a)), and a denormal base may be flushed to zero.
        Op::Elementwise(Elementwise::Binary(Binary::Pow)) => operands[0] >= least(dtype),
        // A conversion is specified for values in the range of the target type.
        Op::Elementwise(Elementwise::Cast(DType::U32)) => operands[0] > -1.0 && operands[0] < 4_294_967_040.0,
        Op::Elementwise(Elementwise::Cast(DType::I32)) => operands[0].abs() < 2_147_483_520.0,
        _ => true,
    }
}

/// The operands of an elementwise sample: all combinations of edge values whose result is specified.
fn combinations(sample: &Sample, op: &Op) -> Option<Vec<Vec<f64>>> {
    let dtype = sample.inputs[0].dtype;
    let edges = edges(dtype);
    let mut rows: Vec<Vec<f64>> = vec![Vec::new()];
    for _ in &sample.inputs {
        rows = rows.iter().flat_map(|row| edges.iter().map(|&x| [row.as_slice(), &[x]].concat())).collect();
    }
    rows.retain(|row| is_specified(op, row, dtype));
    (!rows.is_empty()).then(|| (0..sample.inputs.len()).map(|k| rows.iter().map(|row| row[k]).collect()).collect())
}

/// The cases: every elementwise sample whose operands have the same shape, with edge values; and the other samples with
/// exponents far apart.
pub(super) fn cases<'s>(samples: &[&'s Sample], chosen: &[(&'s Sample, Op)], seed: u32) -> Vec<Case<'s>> {
    let mut cases = Vec::new();
    for &sample in samples.iter().filter(|s| (1..=2).contains(&s.inputs.len())) {
        let first = &sample.inputs[0];
        let alike = sample.inputs.iter().all(|i| (&i.shape, i.dtype) == (&first.shape, first.dtype));
        let Some(op @ Op::Elementwise(_)) = super::family(sample).filter(|_| alike) else { continue };
        // Skips composite samples, which are not named after their last operation.
        if op.definition().name() != sample.op {
            continue;
        }
        let Some(operands) = combinations(sample, &op) else { continue };
        let inputs = operands.iter().map(|data| {
            let ty = TensorType::new([data.len()], first.dtype);
            CaseInput { values: array(&ty, data), ty, layout: Layout::Dense }
        });
        let name = format!("{}, edge values", sample.case);
        let case = Case { sample, name, inputs: inputs.collect(), gradients: false, denormals: first.dtype.is_float() };
        // Some samples work for one shape only; other samples cover their operations.
        if case.build(&Graph::new()).is_some() {
            cases.push(case);
        }
    }
    for (sample, op) in chosen.iter().filter(|(_, op)| !matches!(op, Op::Elementwise(_) | Op::Movement(_))) {
        let is_f32 = |k: usize| sample.inputs[k].dtype == DType::F32;
        if !is_f32(0) || matches!(op, Op::Custom(_)) {
            continue;
        }
        let mut case = Case::plain(sample, seed);
        case.name = format!("{}, exponents far apart", sample.case);
        for (k, input) in case.inputs.iter_mut().enumerate().filter(|(k, _)| is_f32(*k)) {
            let exponent = |i: usize| draw(Distribution::Uniform, [seed, 23], k as u32, 0, i as u32) * 60.0 - 30.0;
            let data: Vec<f64> = input.values.to_f64();
            let wide = data.iter().enumerate().map(|(i, x)| x * 2f64.powf(exponent(i).round()));
            input.values = array(&input.ty, &wide.collect::<Vec<_>>());
        }
        if stays_in_range(&case, seed) {
            cases.push(case);
        }
    }
    cases
}

/// Whether no intermediate value comes near overflow, where the order of evaluation would matter.
fn stays_in_range(case: &Case<'_>, seed: u32) -> bool {
    let graph = Graph::new();
    let Some(values) = case.build(&graph) else { return false };
    let expected = case.trial(&graph, &values, seed).expected();
    let moderate = |value: &RefTensor| value.data.iter().all(|x| x.abs() < 1e30);
    expected.is_ok_and(|expected| expected.values.iter().flatten().all(moderate))
}

/// As [`Trial::compare`] for elementwise operations, with the denormals of each operand either kept or flushed to zero.
pub(super) fn compare(trial: &Trial<'_>, session: &mut Session) -> Result<Vec<Comparison>> {
    let operands = trial.inputs.len();
    let flush = |dtype: DType| move |x: f64| if x.abs() < least(dtype) { 0.0 } else { x };
    let dtype = trial.inputs.first().map_or(DType::F32, |(_, array)| array.dtype());
    let variants: Vec<Expected> = (0..1usize << operands.min(3))
        .map(|mask| trial.evaluate(flush(dtype), |k| mask >> k & 1 == 1))
        .collect::<Result<_>>()?;
    let got = trial.run(session)?;
    let each = trial.wanted().into_iter().zip(got).map(|(id, got)| {
        let mut result = Comparison { elements: got.len(), ..Comparison::default() };
        for (index, got) in got.to_f64().into_iter().enumerate() {
            let mut best: Option<Element> = None;
            let mut free = false;
            for variant in &variants {
                let Some(value) = &variant.values[id.index()] else { continue };
                let expected = value.data[index];
                // A denormal result may be flushed too.
                let least = if expected.abs() < least(value.dtype) && value.dtype.is_float() {
                    least(value.dtype)
                } else {
                    0.0
                };
                let bound = variant.bounds[id.index()][index] + least;
                free |= !representable(expected, value.dtype) || !bound.is_finite();
                let better =
                    best.as_ref().is_none_or(|b| ratio(got, expected, bound) < ratio(got, b.expected, b.bound));
                if better {
                    best = Some(Element { index, got, expected, bound });
                }
            }
            let Some(best) = best.filter(|_| !free) else { continue };
            result.compared += 1;
            let ratio = ratio(got, best.expected, best.bound);
            if ratio > result.worst {
                (result.worst, result.at) = (ratio, Some(best));
            }
        }
        result
    });
    Ok(each.collect())
}
