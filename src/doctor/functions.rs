//! The accuracy of division, square roots, and transcendental functions.

use super::evaluator::{Evaluator, Expression};
use super::report::{Finding, Verdict};
use super::ulp::{Draws, MIN_NORMAL, error, ulp};
use crate::error::Result;

/// The number of random samples of each function.
const SAMPLES: usize = 1 << 16;
const ACCURACY: &str = "concrete-float-accuracy";

/// A function over a range of operands.
struct Function {
    name: &'static str,
    expression: Expression,
    /// Draws random operands.
    draw: fn(&mut Draws) -> [f32; 2],
    /// Additional operands.
    edges: &'static [[f32; 2]],
    exact: fn(f64, f64) -> f64,
    /// WGSL's guarantee as text.
    promise: &'static str,
    /// The absolute error bound for these operands and this exact value; `None` if WGSL specifies none.
    allowed: fn(f64, f64, f64) -> Option<f64>,
}

const PI: f32 = std::f32::consts::PI;
const TINY: f32 = f32::MIN_POSITIVE;
/// The smallest `f32` above 2¹²⁶.
const ABOVE: f32 = f32::from_bits(0x7e80_0001);

/// The error bound of a function computed in two steps, where the result `first` of the first step has an error of at
/// most `off`. `next` returns the value of the second step and its own error bound.
fn inherited(first: f64, off: f64, exact: f64, next: impl Fn(f64) -> (f64, f64)) -> f64 {
    let ends = [first - off, first, first + off].map(next);
    ends.iter().map(|(value, more)| (value - exact).abs() + more).fold(0.0, f64::max)
}

fn log2_error(x: f64, exact: f64) -> f64 {
    if (0.5..=2.0).contains(&x) { 2f64.powi(-21) } else { 3.0 * ulp(exact) }
}

fn exp_error(x: f64, exact: f64) -> f64 {
    (3.0 + 2.0 * x.abs()) * ulp(exact)
}

fn tanh_error(x: f64, exact: f64) -> f64 {
    // sinh(x) / cosh(x): two exponentials, an addition each (halving is exact) and a division.
    let (e, f) = (x.exp(), (-x).exp());
    let off = exp_error(x, e) + exp_error(x, f);
    let (sinh, cosh) = (x.sinh(), x.cosh());
    let (sinh_off, cosh_off) = (0.5 * off + ulp(sinh), 0.5 * off + ulp(cosh));
    let through = ((sinh.abs() + sinh_off) / (cosh - cosh_off) - exact.abs()).abs() + 2.5 * ulp(exact);
    through.max(1e-5)
}

fn pow_error(x: f64, y: f64, exact: f64) -> f64 {
    let log = x.log2();
    let product = y * log;
    let off = y.abs() * log2_error(x, log) + ulp(product);
    inherited(product, off, exact, |p| (p.exp2(), exp_error(p, p.exp2())))
}

fn table() -> Vec<Function> {
    vec![
        Function {
            name: "x / y",
            expression: Expression { wgsl: "return x / y;", graph: Some(|[x, y, _]| x / y) },
            draw: |d| [d.signed(-60, 60), d.signed(-60, 60)],
            edges: &[[1.0, 3.0], [0.0, 7.0], [TINY, 1.0], [1.0, 8.0e37], [f32::MAX, f32::MAX], [3.0, TINY * 4.0]],
            exact: |x, y| x / y,
            promise: "2.5 ULP",
            allowed: |_, y, e| (MIN_NORMAL..=2f64.powi(126)).contains(&y.abs()).then(|| 2.5 * ulp(e)),
        },
        Function {
            name: "x / y, |y| beyond 2^126",
            expression: Expression { wgsl: "return x / y;", graph: Some(|[x, y, _]| x / y) },
            draw: |d| [d.signed(118, 126), d.signed(126, 127)],
            edges: &[
                [f32::MAX, f32::MAX],
                [3.2e38, -3.2e38],
                [ABOVE, ABOVE],
                [1.0e38, 1.7e38],
                [1.7e38, 1.701_411_8e38],
                [-3.0e38, 1.701_412e38],
            ],
            exact: |x, y| x / y,
            promise: "unspecified",
            allowed: |_, _, _| None,
        },
        Function {
            name: "sqrt(x)",
            expression: Expression { wgsl: "return sqrt(x);", graph: Some(|[x, _, _]| x.sqrt()) },
            draw: |d| [d.scaled(-126, 126), 0.0],
            edges: &[[1.0, 0.0], [4.0, 0.0], [TINY, 0.0], [f32::MAX, 0.0], [2.0, 0.0]],
            exact: |x, _| x.sqrt(),
            promise: "as 1 / inverseSqrt(x): 5 ULP",
            allowed: |x, _, e| {
                let root = 1.0 / x.sqrt();
                Some(inherited(root, 2.0 * ulp(root), e, |r| (1.0 / r, 2.5 * ulp(1.0 / r))))
            },
        },
        Function {
            name: "inverseSqrt(x)",
            expression: Expression { wgsl: "return inverseSqrt(x);", graph: Some(|[x, _, _]| x.rsqrt()) },
            draw: |d| [d.scaled(-126, 126), 0.0],
            edges: &[[1.0, 0.0], [4.0, 0.0], [TINY, 0.0], [f32::MAX, 0.0], [2.0, 0.0]],
            exact: |x, _| 1.0 / x.sqrt(),
            promise: "2 ULP",
            allowed: |_, _, e| Some(2.0 * ulp(e)),
        },
        Function {
            name: "exp(x)",
            expression: Expression { wgsl: "return exp(x);", graph: Some(|[x, _, _]| x.exp()) },
            draw: |d| [d.between(-87.0, 88.0), 0.0],
            edges: &[[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [1e-7, 0.0], [88.7, 0.0], [-87.3, 0.0]],
            exact: |x, _| x.exp(),
            promise: "3 + 2 |x| ULP",
            allowed: |x, _, e| Some(exp_error(x, e)),
        },
        Function {
            name: "exp2(x)",
            expression: Expression { wgsl: "return exp2(x);", graph: None },
            draw: |d| [d.between(-126.0, 127.9), 0.0],
            edges: &[[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.5, 0.0], [127.0, 0.0], [-126.0, 0.0]],
            exact: |x, _| x.exp2(),
            promise: "3 + 2 |x| ULP",
            allowed: |x, _, e| Some(exp_error(x, e)),
        },
        Function {
            name: "log(x), 0.5 to 2",
            expression: Expression { wgsl: "return log(x);", graph: Some(|[x, _, _]| x.log()) },
            draw: |d| [d.between(0.5, 2.0), 0.0],
            edges: &[[1.0, 0.0], [1.0000001, 0.0], [0.99999994, 0.0], [0.5, 0.0], [2.0, 0.0]],
            exact: |x, _| x.ln(),
            promise: "2⁻²¹ absolute",
            allowed: |_, _, _| Some(2f64.powi(-21)),
        },
        Function {
            name: "log(x), elsewhere",
            expression: Expression { wgsl: "return log(x);", graph: Some(|[x, _, _]| x.log()) },
            draw: |d| [beyond(d), 0.0],
            edges: &[[0.49999997, 0.0], [2.0000002, 0.0], [TINY, 0.0], [f32::MAX, 0.0], [10.0, 0.0]],
            exact: |x, _| x.ln(),
            promise: "3 ULP",
            allowed: |_, _, e| Some(3.0 * ulp(e)),
        },
        Function {
            name: "log2(x), 0.5 to 2",
            expression: Expression { wgsl: "return log2(x);", graph: None },
            draw: |d| [d.between(0.5, 2.0), 0.0],
            edges: &[[1.0, 0.0], [1.0000001, 0.0], [0.99999994, 0.0], [0.5, 0.0], [2.0, 0.0]],
            exact: |x, _| x.log2(),
            promise: "2⁻²¹ absolute",
            allowed: |_, _, _| Some(2f64.powi(-21)),
        },
        Function {
            name: "log2(x), elsewhere",
            expression: Expression { wgsl: "return log2(x);", graph: None },
            draw: |d| [beyond(d), 0.0],
            edges: &[[0.49999997, 0.0], [2.0000002, 0.0], [TINY, 0.0], [f32::MAX, 0.0], [1024.0, 0.0]],
            exact: |x, _| x.log2(),
            promise: "3 ULP",
            allowed: |_, _, e| Some(3.0 * ulp(e)),
        },
        Function {
            name: "tanh(x), to ±10",
            expression: Expression { wgsl: "return tanh(x);", graph: Some(|[x, _, _]| x.tanh()) },
            draw: |d| [d.between(-10.0, 10.0), 0.0],
            edges: &[[0.0, 0.0], [1e-4, 0.0], [-1e-4, 0.0], [1e-10, 0.0], [9.5, 0.0]],
            exact: |x, _| x.tanh(),
            promise: "10⁻⁵ absolute, or as sinh / cosh",
            allowed: |x, _, e| Some(tanh_error(x, e)),
        },
        Function {
            name: "tanh(x), ±10 to ±1000",
            expression: Expression { wgsl: "return tanh(x);", graph: Some(|[x, _, _]| x.tanh()) },
            draw: |d| [far(d, 10.0, 1000.0), 0.0],
            edges: &[[87.0, 0.0], [-87.0, 0.0], [89.0, 0.0], [-89.0, 0.0], [45.0, 0.0], [1e30, 0.0]],
            exact: |x, _| x.tanh(),
            promise: "the same; beyond ±87 unspecified",
            // Beyond ±87, eˣ or the reciprocal of cosh(x) overflows or is denormal.
            allowed: |x, _, e| (x.abs() <= 87.0).then(|| tanh_error(x, e)),
        },
        Function {
            name: "sin(x), to ±π",
            expression: Expression { wgsl: "return sin(x);", graph: Some(|[x, _, _]| x.sin()) },
            draw: |d| [d.between(-f64::from(PI), f64::from(PI)), 0.0],
            edges: &[[0.0, 0.0], [1e-4, 0.0], [PI, 0.0], [-PI, 0.0], [PI / 2.0, 0.0]],
            exact: |x, _| x.sin(),
            promise: "2⁻¹¹ absolute",
            allowed: |_, _, _| Some(2f64.powi(-11)),
        },
        Function {
            name: "sin(x), ±π to ±10⁵",
            expression: Expression { wgsl: "return sin(x);", graph: Some(|[x, _, _]| x.sin()) },
            draw: |d| [far(d, f64::from(PI), 1e5), 0.0],
            edges: &[[100.0, 0.0], [-1000.0, 0.0]],
            exact: |x, _| x.sin(),
            promise: "unspecified",
            allowed: |_, _, _| None,
        },
        Function {
            name: "cos(x), to ±π",
            expression: Expression { wgsl: "return cos(x);", graph: Some(|[x, _, _]| x.cos()) },
            draw: |d| [d.between(-f64::from(PI), f64::from(PI)), 0.0],
            edges: &[[0.0, 0.0], [1e-4, 0.0], [PI, 0.0], [-PI, 0.0], [PI / 2.0, 0.0]],
            exact: |x, _| x.cos(),
            promise: "2⁻¹¹ absolute",
            allowed: |_, _, _| Some(2f64.powi(-11)),
        },
        Function {
            name: "cos(x), ±π to ±10⁵",
            expression: Expression { wgsl: "return cos(x);", graph: Some(|[x, _, _]| x.cos()) },
            draw: |d| [far(d, f64::from(PI), 1e5), 0.0],
            edges: &[[100.0, 0.0], [-1000.0, 0.0]],
            exact: |x, _| x.cos(),
            promise: "unspecified",
            allowed: |_, _, _| None,
        },
        Function {
            name: "pow(x, y)",
            expression: Expression { wgsl: "return pow(x, y);", graph: Some(|[x, y, _]| x.pow(y)) },
            draw: |d| [d.scaled(-10, 10), d.between(-8.0, 8.0)],
            edges: &[[1.0, 5.0], [2.0, 10.0], [3.0, 2.0], [0.5, -3.0], [10.0, 0.0], [1.0000001, 100.0]],
            exact: f64::powf,
            promise: "as exp2(y * log2(x))",
            allowed: |x, y, e| Some(pow_error(x, y, e)),
        },
    ]
}

/// A random positive number outside [0.5, 2].
fn beyond(draws: &mut Draws) -> f32 {
    // Exponents from −126 to −2 and from 1 to 126; 2 itself belongs to the inner range.
    let x = if draws.word() & 1 == 0 { draws.scaled(-126, -2) } else { draws.scaled(1, 126) };
    if (0.5..=2.0).contains(&x) { 2.0000002 } else { x }
}

/// A random number of either sign with a magnitude in a range.
fn far(draws: &mut Draws, low: f64, high: f64) -> f32 {
    let size = draws.between(low, high);
    if draws.word() & 1 == 0 { size } else { -size }
}

/// The maximum of an error, and the operands it occurred at.
#[derive(Debug, Clone, Copy)]
struct Worst {
    size: f64,
    at: [f32; 2],
}

impl Worst {
    fn none() -> Self {
        Worst { size: 0.0, at: [0.0; 2] }
    }
    fn update(&mut self, size: f64, at: [f32; 2]) {
        if size > self.size {
            *self = Worst { size, at };
        }
    }
}

/// Compares values with the exact ones.
fn judge(function: &Function, operands: &[[f32; 2]], got: &[f32]) -> Finding {
    let (mut ulps, mut absolute, mut of_bound) = (Worst::none(), Worst::none(), Worst::none());
    let (mut rounded, mut count, mut non_finite, mut specified) = (0usize, 0usize, 0usize, 0usize);
    for (&at, &got) in operands.iter().zip(got) {
        let [x, y] = at.map(f64::from);
        let exact = (function.exact)(x, y);
        // A result that overflows is indeterminate, and a denormal result may be flushed to 0.
        if exact.abs() > f64::from(f32::MAX) || (exact.abs() < MIN_NORMAL && got == 0.0) {
            continue;
        }
        count += 1;
        rounded += usize::from(got == exact as f32);
        let allowed = (function.allowed)(x, y, exact);
        let off = (f64::from(got) - exact).abs();
        specified += usize::from(allowed.is_some());
        if let Some(allowed) = allowed {
            of_bound.update(if got.is_finite() { off / allowed } else { f64::INFINITY }, at);
        }
        if got.is_finite() {
            ulps.update(error(got, exact), at);
            absolute.update(off, at);
        } else {
            non_finite += 1;
        }
    }
    let share = rounded as f64 / count.max(1) as f64;
    let binary = function.edges.iter().any(|[_, y]| *y != 0.0);
    let format_operands = |[x, y]: [f32; 2]| if binary { format!("({x:e}, {y:e})") } else { format!("{x:e}") };
    // Where the bound is absolute, or there is none, show the absolute error: near zeros the error in ULP is large.
    let show_absolute = function.promise.contains("absolute") || function.promise.ends_with("unspecified");
    let mut found = if show_absolute {
        format!("{:.2e} at {}", absolute.size, format_operands(absolute.at))
    } else {
        format!("{} ULP at {}", short(ulps.size), format_operands(ulps.at))
    };
    found.push_str(&format!(", {:.1} % correctly rounded", 100.0 * share));
    if non_finite > 0 {
        found.push_str(&format!(", {non_finite} not finite"));
    }
    if of_bound.size > 1.0 {
        found.push_str(&format!("; {} times the bound at {}", short(of_bound.size), format_operands(of_bound.at)));
    }
    let verdict = if specified == 0 { Verdict::Information } else { Verdict::of(of_bound.size <= 1.0) };
    Finding::new(function.name, found, [function.promise, ACCURACY], verdict)
        .value("samples", count as f64)
        .value("max_ulp", ulps.size)
        .value("max_ulp_x", f64::from(ulps.at[0]))
        .value("max_ulp_y", f64::from(ulps.at[1]))
        .value("max_absolute", absolute.size)
        .value("max_absolute_x", f64::from(absolute.at[0]))
        .value("max_absolute_y", f64::from(absolute.at[1]))
        .value("share_correctly_rounded", share)
        .value("not_finite", non_finite as f64)
        .value("of_bound", of_bound.size)
}

/// Formats a magnitude: 0.50, 12, 1.2e6.
fn short(size: f64) -> String {
    match size {
        s if s < 10.0 => format!("{s:.2}"),
        s if s < 10_000.0 => format!("{s:.0}"),
        s => format!("{s:.1e}"),
    }
}

pub(super) fn examine(evaluator: &mut Evaluator) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (index, function) in table().iter().enumerate() {
        let mut draws = Draws::new(100 + index as u32);
        let mut operands: Vec<[f32; 2]> = (0..SAMPLES).map(|_| (function.draw)(&mut draws)).collect();
        operands.extend(function.edges);
        let [x, y] = [0, 1].map(|k| operands.iter().map(|o| o[k]).collect::<Vec<f32>>());
        if let Some(got) = evaluator.floats(&function.expression, &[&x, &y])? {
            findings.push(judge(function, &operands, &got));
        }
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Function {
        table().into_iter().find(|f| f.name == name).unwrap()
    }

    #[test]
    fn values_beyond_the_bound_do_not_conform() {
        let function = named("exp2(x)");
        let operands = [[0.5, 0.0], [3.3, 0.0]];
        let right = operands.map(|[x, _]| f64::from(x).exp2() as f32);
        let good = judge(&function, &operands, &right);
        assert_eq!((good.verdict, good.values["share_correctly_rounded"]), (Verdict::Within, 1.0));
        // The bound is 3 + 2 · 3.3 = 9.6 ULP.
        let mut off = right;
        off[1] = f32::from_bits(off[1].to_bits() + 9);
        assert_eq!(judge(&function, &operands, &off).verdict, Verdict::Within);
        off[1] = f32::from_bits(off[1].to_bits() + 2);
        let bad = judge(&function, &operands, &off);
        assert!(bad.verdict == Verdict::Outside && bad.values["max_ulp"] > 10.0 && bad.values["max_ulp_x"] > 3.2);
        assert_eq!(judge(&function, &operands, &[right[0], f32::NAN]).verdict, Verdict::Outside);
    }

    #[test]
    fn without_a_bound_everything_conforms() {
        let function = named("sin(x), ±π to ±10⁵");
        let finding = judge(&function, &[[100.0, 0.0]], &[0.9]);
        assert!(finding.verdict == Verdict::Information && finding.values["max_absolute"] > 1.0);
        // Unspecified beyond ±87, specified below.
        let function = named("tanh(x), ±10 to ±1000");
        assert_eq!(judge(&function, &[[89.0, 0.0], [20.0, 0.0]], &[f32::NAN, 1.0]).verdict, Verdict::Within);
        assert_eq!(judge(&function, &[[20.0, 0.0]], &[f32::NAN]).verdict, Verdict::Outside);
    }

    #[test]
    fn inherited_bounds_allow_the_expression_itself() {
        // In f32, with every step rounded to nearest.
        let pow = |x: f32, y: f32| (y * x.log2()).exp2();
        let tanh = |x: f32| ((x.exp() - (-x).exp()) * 0.5) / ((x.exp() + (-x).exp()) * 0.5);
        let root = |x: f32| 1.0 / (1.0 / f64::from(x).sqrt()) as f32;
        for k in 1..2000 {
            let x = k as f32 * 0.005;
            for y in [-7.9f32, -0.3, 0.5, 6.1] {
                let exact = f64::from(x).powf(f64::from(y));
                let off = (f64::from(pow(x, y)) - exact).abs();
                assert!(off <= pow_error(f64::from(x), f64::from(y), exact), "{x} to the {y}");
            }
            let exact = f64::from(x).tanh();
            assert!((f64::from(tanh(x)) - exact).abs() <= tanh_error(f64::from(x), exact), "tanh {x}");
            let sqrt = named("sqrt(x)");
            let exact = f64::from(x).sqrt();
            assert!((f64::from(root(x)) - exact).abs() <= (sqrt.allowed)(f64::from(x), 0.0, exact).unwrap());
        }
    }
}
