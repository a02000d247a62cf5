//! Gradients I: the chain rule by hand, by autodiff and by finite differences, on a chain of sine, exponential, cosine
//! and logarithm with ten parameters.

use super::common::{Options, numbers};
use wgrad::plot::{Colour, Figure, LineStyle, Panel};
use wgrad::{Array, DType, Device, Graph, Result, Session, Tensor, Variable};

const X: f32 = 2.3;
const BETA: [f32; 5] = [1.0, 2.0, -3.0, 0.4, -0.3];
const OMEGA: [f32; 5] = [0.1, -0.4, 2.0, 3.0, -0.5];
/// The step of the finite differences in the table.
const DELTA: f64 = 1e-4;

/// `f₀ = β₀ + ω₀x`, `h₁ = sin f₀`, `f₁ = β₁ + ω₁h₁`, `h₂ = exp f₁`, `f₂ = β₂ + ω₂h₂`, `h₃ = cos f₂`, `f₃ = β₃ + ω₃h₃`,
/// `h₄ = log f₃`, `y = β₄ + ω₄h₄`.
struct Chain<'g> {
    f: [Tensor<'g>; 4],
    /// h₁ to h₄.
    h: [Tensor<'g>; 4],
    y: Tensor<'g>,
}

/// β₀ to β₄, then ω₀ to ω₄. Each is a number, or a list of numbers: then the chain has a list of values.
type Parameters<'g> = [Tensor<'g>; 10];

fn forward<'g>(x: Tensor<'g>, p: &Parameters<'g>) -> Chain<'g> {
    let (beta, omega) = p.split_at(5);
    let f0 = beta[0] + omega[0] * x;
    let h1 = f0.sin();
    let f1 = beta[1] + omega[1] * h1;
    let h2 = f1.exp();
    let f2 = beta[2] + omega[2] * h2;
    let h3 = f2.cos();
    let f3 = beta[3] + omega[3] * h3;
    let h4 = f3.log();
    Chain { f: [f0, f1, f2, f3], h: [h1, h2, h3, h4], y: beta[4] + omega[4] * h4 }
}

/// The derivatives of y: along the chain from its end to its start (`dh4` is dy/dh₄), each one product with the one before it;
/// then with respect to the parameters.
fn by_hand<'g>(x: Tensor<'g>, p: &Parameters<'g>, chain: &Chain<'g>) -> Vec<(String, Tensor<'g>)> {
    let (omega, [f0, f1, f2, f3]) = (&p[5..], chain.f);
    let dh4 = omega[4];
    let df3 = dh4 / f3;
    let dh3 = omega[3] * df3;
    let df2 = -f2.sin() * dh3;
    let dh2 = omega[2] * df2;
    let df1 = f1.exp() * dh2;
    let dh1 = omega[1] * df1;
    let df0 = f0.cos() * dh1;
    let along = [dh4, df3, dh3, df2, dh2, df1, dh1, df0];
    let mut all: Vec<_> =
        ["h4", "f3", "h3", "f2", "h2", "f1", "h1", "f0"].map(String::from).into_iter().zip(along).collect();
    // f_k = β_k + ω_k h_k, where h₀ is x and f₄ is y.
    let [h1, h2, h3, h4] = chain.h;
    let sums = [df0, df1, df2, df3, x.graph().scalar(1.0, DType::F32)];
    for (k, (sum, h)) in sums.into_iter().zip([x, h1, h2, h3, h4]).enumerate().rev() {
        all.extend([(format!("beta{k}"), sum), (format!("omega{k}"), sum * h)]);
    }
    all
}

/// dy/dω₀ written out, as the notebook has it.
fn closed_form<'g>(x: Tensor<'g>, p: &Parameters<'g>) -> Tensor<'g> {
    let [b0, b1, b2, b3, _, w0, w1, w2, w3, w4] = *p;
    let sine = (b0 + w0 * x).sin();
    let power = (b1 + w1 * sine).exp();
    let inner = b3 + w3 * (b2 + w2 * power).cos();
    -w4 * w3 * w2 * w1 * x * (b2 + w2 * power).sin() * power * (b0 + w0 * x).cos() / inner
}

/// What the program computes.
pub struct Outputs<'g> {
    /// y, f₀ to f₃, h₁ to h₄.
    pub values: Vec<(String, Tensor<'g>)>,
    /// The name of each derivative, by hand and by autodiff.
    pub derivatives: Vec<(String, Tensor<'g>, Tensor<'g>)>,
    /// `(y(p + δ) − y(p)) / δ` for each of the ten parameters.
    pub differences: Tensor<'g>,
    /// dy/dω₀ in one formula.
    pub closed_form: Tensor<'g>,
    /// Relative errors of forward and central differences for dy/dω₀, with each step of [`steps`].
    pub errors: [Tensor<'g>; 2],
}

/// The steps of the finite differences in the picture: four in each factor of ten.
fn steps() -> Vec<f64> {
    (2..=52).map(|k| 10f64.powf(-f64::from(k) / 4.0)).collect()
}

/// The whole program.
pub fn build(g: &Graph) -> Result<Outputs<'_>> {
    let x = g.variable(&Variable::new("x", X));
    let all = g.variable(&Variable::new("parameters", [BETA, OMEGA].concat()));
    let p: Parameters<'_> = std::array::from_fn(|k| all.slice(0, k..k + 1).reshape(()));
    let chain = forward(x, &p);
    let by_hand = by_hand(x, &p, &chain);

    let wrt: Vec<Tensor<'_>> = chain.h.into_iter().zip(chain.f).rev().flat_map(|(h, f)| [h, f]).collect();
    let parameters = (0..5).rev().flat_map(|k| [p[k], p[5 + k]]);
    let autodiff = chain.y.grad(&wrt.into_iter().chain(parameters).collect::<Vec<_>>());

    // Row k of a matrix has parameter k a little larger: its columns are ten lists of parameters, and one pass gives ten y.
    let identity = g.iota([10, 10], 0).eq(g.iota([10, 10], 1)).cast(DType::F32);
    let moved = all.unsqueeze(0) + identity * DELTA;
    let moved: Parameters<'_> = std::array::from_fn(|k| moved.slice(1, k..k + 1).squeeze(1));
    let differences = (forward(x, &moved).y - chain.y) / DELTA;

    let sizes = steps();
    let delta = g.variable(&Variable::new("delta", Array::from_f64([sizes.len()], &sizes, DType::F32)?));
    let exact = closed_form(x, &p);
    let ahead = (nudged(x, &p, delta) - chain.y) / delta;
    let central = (nudged(x, &p, delta) - nudged(x, &p, -delta)) / (delta * 2.0);

    let mut values = vec![("y".to_string(), chain.y)];
    values.extend(chain.f.into_iter().enumerate().map(|(k, f)| (format!("f{k}"), f)));
    values.extend(chain.h.into_iter().enumerate().map(|(k, h)| (format!("h{}", k + 1), h)));
    Ok(Outputs {
        values,
        derivatives: by_hand.into_iter().zip(autodiff).map(|((name, a), b)| (name, a, b)).collect(),
        differences,
        closed_form: exact,
        errors: [ahead, central].map(|difference| (difference / exact - 1.0).abs()),
    })
}

/// y with ω₀ moved.
fn nudged<'g>(x: Tensor<'g>, p: &Parameters<'g>, by: Tensor<'g>) -> Tensor<'g> {
    let mut moved = *p;
    moved[5] = p[5] + by;
    forward(x, &moved).y
}

/// A derivative of y.
pub struct Derivative {
    /// With respect to what.
    pub name: String,
    /// By the chain rule, step by step.
    pub by_hand: f64,
    /// By [`Tensor::grad`].
    pub autodiff: f64,
    /// For a parameter, by finite differences: on the device and in f64.
    pub differences: Option<[f64; 2]>,
}

/// How wrong finite differences are.
pub struct Errors {
    /// The arithmetic, for a legend.
    pub name: String,
    /// The step, and the relative errors of the forward and of the central difference.
    pub points: Vec<[f64; 3]>,
}

/// What is printed and drawn.
pub struct ChainNumbers {
    /// y, f₀ to f₃, h₁ to h₄.
    pub values: Vec<(String, f64)>,
    /// In the order of the chain rule.
    pub derivatives: Vec<Derivative>,
    /// dy/dω₀ in one formula.
    pub closed_form: f64,
    /// On the device and, if that computes in f32, in f64.
    pub errors: Vec<Errors>,
}

impl Errors {
    fn new(name: String, forward: &Array, central: &Array) -> Self {
        let errors = numbers(forward).into_iter().zip(numbers(central));
        Errors { name, points: steps().into_iter().zip(errors).map(|(step, (a, b))| [step, a, b]).collect() }
    }
    /// The least error of the forward (1) or central (2) difference, with its step.
    fn best(&self, which: usize) -> (f64, f64) {
        let all = self.points.iter().map(|point| (point[which], point[0]));
        all.fold((f64::INFINITY, 0.0), |best, next| if next.0 < best.0 { next } else { best })
    }
}

/// Computes, prints and draws.
pub fn run(options: &Options) -> Result<ChainNumbers> {
    let g = Graph::new();
    let outputs = build(&g)?;
    let mut wanted: Vec<Tensor<'_>> = outputs.values.iter().map(|(_, t)| *t).collect();
    let (values, derivatives) = (wanted.len(), outputs.derivatives.len());
    wanted.extend(outputs.derivatives.iter().flat_map(|(_, a, b)| [*a, *b]));
    wanted.extend([outputs.closed_form, outputs.differences]);
    wanted.extend(outputs.errors);

    let run = |mut session: Session| -> Result<(String, Vec<Array>)> {
        let program = session.compile(&g, &wanted)?;
        Ok((session.device_name(), session.run(&program, &[])?))
    };
    let (device, out) = run(options.session()?)?;
    let (_, exact) = run(Session::new(Device::reference())?)?;
    let rest = values + 2 * derivatives;
    let differences = [numbers(&out[rest + 1]), numbers(&exact[rest + 1])];
    let mut errors = vec![Errors::new("f64 (reference)".into(), &exact[rest + 2], &exact[rest + 3])];
    if options.device != Device::reference() {
        errors.insert(0, Errors::new(format!("f32 ({device})"), &out[rest + 2], &out[rest + 3]));
    }
    let item = |k: usize| out[k].item();
    let named = |(k, (name, _)): (usize, &(String, Tensor<'_>))| Ok((name.clone(), item(k)?));
    let derivative = |(k, (name, _, _)): (usize, &(String, Tensor<'_>, Tensor<'_>))| {
        let parameter = (0..10).find(|&p| *name == if p < 5 { format!("beta{p}") } else { format!("omega{}", p - 5) });
        Ok(Derivative {
            name: name.clone(),
            by_hand: item(values + 2 * k)?,
            autodiff: item(values + 2 * k + 1)?,
            differences: parameter.map(|p| [differences[0][p], differences[1][p]]),
        })
    };
    let result = ChainNumbers {
        values: outputs.values.iter().enumerate().map(named).collect::<Result<_>>()?,
        derivatives: outputs.derivatives.iter().enumerate().map(derivative).collect::<Result<_>>()?,
        closed_form: item(rest)?,
        errors,
    };
    print(&result);
    options.save("differences", &picture(&result))?;
    Ok(result)
}

fn print(result: &ChainNumbers) {
    println!("Gradients I: {}", list(&result.values));
    println!("{:8} {:>10} {:>10} {:>20} {:>13}", "dy/d", "by hand", "autodiff", "differences: device", "f64");
    for d in &result.derivatives {
        print!("  {:6} {:10.6} {:10.6}", d.name, d.by_hand, d.autodiff);
        d.differences.iter().for_each(|[device, exact]| print!(" {device:20.6} {exact:13.6}"));
        println!();
    }
    println!("  omega0 in one formula: {:.6}", result.closed_form);
    for errors in &result.errors {
        let [(forward, a), (central, b)] = [1, 2].map(|which| errors.best(which));
        println!(
            "  {}: least error of a forward difference {forward:.0e} (δ = {a:.0e}), of a central one {central:.0e} (δ = {b:.0e})",
            errors.name
        );
    }
}

fn list(values: &[(String, f64)]) -> String {
    values.iter().map(|(name, value)| format!("{name} {value:.3}")).collect::<Vec<_>>().join(", ")
}

fn picture(result: &ChainNumbers) -> Figure {
    let mut panel = Panel::new("").x_label("Step δ").y_label("Relative error").log_x().log_y();
    for (k, errors) in result.errors.iter().enumerate() {
        for (which, name, style) in [(1, "forward", LineStyle::Solid), (2, "central", LineStyle::Dashed)] {
            let points = errors.points.iter().map(|point| (point[0], point[which]));
            panel = panel.styled_line(format!("{name}, {}", errors.name), Colour::nth(k), style, points);
        }
    }
    Figure::new("Finite differences for dy/dω₀: too large a step, and too small a step")
        .panel_size(760.0, 440.0)
        .panel(panel)
}
