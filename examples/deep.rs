//! Deep networks I and II: one shallow network fed into another, by formula and as one network in matrix form.
//!
//! ```text
//! $ cargo run --release --example deep -- --device cpu
//! ```
//!
//! It prints how many linear pieces each composition has, the matrices of the composed network and how far its outputs
//! are from the formula's, and the shapes of a network with four inputs and layers of 5, 2 and 4 units. It draws the
//! five compositions.

#[path = "common/mod.rs"]
pub mod common;

use common::{Options, numbers};
use std::process::ExitCode;
use wgrad::data::RandomState;
use wgrad::plot::{Figure, Panel};
use wgrad::{Array, DType, Graph, Result, Tensor, Variable};

/// `y = φ₀ + Σᵢ φᵢ relu(θᵢ₀ + θᵢ₁ x)`: one input, three hidden units, one output.
#[derive(Clone, Copy)]
struct Shallow {
    theta: [[f32; 2]; 3],
    phi: [f32; 4],
}

const N1: Shallow = Shallow { theta: [[0.0, -1.0], [0.0, 1.0], [-0.67, 1.0]], phi: [1.0, -2.0, -3.0, 9.3] };
const N2: Shallow = Shallow { theta: [[-0.6, -1.0], [0.2, 1.0], [-0.5, 1.0]], phi: [0.5, -1.0, -1.5, 2.0] };

/// `Ω h + β`. The hidden units of a layer are a column.
#[derive(Clone, Copy)]
struct Layer<'g> {
    omega: Tensor<'g>,
    beta: Tensor<'g>,
}

impl Shallow {
    /// The formula, at every element of `x`.
    fn of<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        let unit = |i: usize| (x * self.theta[i][1] + self.theta[i][0]).relu() * self.phi[i + 1];
        unit(0) + unit(1) + unit(2) + self.phi[0]
    }

    /// The same network with the weight of its first hidden unit multiplied.
    fn phi1_times(mut self, factor: f32) -> Self {
        self.phi[1] *= factor;
        self
    }

    /// The same network as two layers in matrix form.
    fn layers(self, g: &Graph) -> [Layer<'_>; 2] {
        let (theta, phi) = (g.constant(self.theta), g.constant(self.phi).reshape([1, 4]));
        [
            Layer { omega: theta.slice(1, 1..2), beta: theta.slice(1, 0..1) },
            Layer { omega: phi.slice(1, 1..4), beta: phi.slice(1, 0..1) },
        ]
    }
}

/// The second network after the first, as one: no ReLU stands between the first's output layer and the second's input
/// layer, so the two are one linear map.
fn compose<'g>(first: [Layer<'g>; 2], second: [Layer<'g>; 2]) -> [Layer<'g>; 3] {
    let middle = Layer {
        omega: second[0].omega.matmul(first[1].omega),
        beta: second[0].beta + second[0].omega.matmul(first[1].beta),
    };
    [first[0], middle, second[1]]
}

/// `h ← relu(β + Ω h)` for each layer but the last, which has no ReLU. Each column of `x` is one example.
fn deep<'g>(layers: &[Layer<'g>], x: Tensor<'g>) -> Tensor<'g> {
    layers.iter().enumerate().fold(x, |h, (k, layer)| {
        let f = layer.beta + layer.omega.matmul(h);
        if k + 1 < layers.len() { f.relu() } else { f }
    })
}

/// A function of x that was evaluated.
pub struct Curve {
    /// What it is.
    pub name: &'static str,
    /// Its values at [`Numbers::x`].
    pub y: Vec<f64>,
    /// How many linear pieces the function has between -1 and 1.
    pub pieces: usize,
}

/// A β or an Ω.
pub struct Matrix {
    /// `beta_k` or `Omega_k`.
    pub name: String,
    /// Rows and columns.
    pub shape: Vec<usize>,
    /// Its elements, row by row.
    pub values: Vec<f64>,
}

/// What the example prints and draws.
#[derive(Default)]
pub struct Numbers {
    /// The points at which the compositions are evaluated.
    pub x: Vec<f64>,
    /// n1, n2, and the five compositions.
    pub curves: Vec<Curve>,
    /// `n2(n1(x))` in matrix form.
    pub matrix_form: Vec<f64>,
    /// β₀, Ω₀, β₁, Ω₁, β₂, Ω₂ of it.
    pub matrices: Vec<Matrix>,
    /// The largest difference between formula and matrix form.
    pub difference: f64,
    /// The matrices of the network with four inputs.
    pub wide: Vec<Matrix>,
    /// Its parameters.
    pub parameters: usize,
    /// Its inputs, one example a column.
    pub batch: Vec<f64>,
    /// Its outputs, one for each example.
    pub outputs: Vec<f64>,
}

fn matrix(name: String, value: &Array) -> Matrix {
    Matrix { name, shape: value.shape().to_vec(), values: numbers(value) }
}

/// How often the slope changes from one point to the next, plus one.
fn pieces(slopes: &[f64]) -> usize {
    // Equal slopes may differ by the rounding of f32; the networks' slopes differ by far more.
    1 + slopes.windows(2).filter(|pair| (pair[0] - pair[1]).abs() > 1e-3).count()
}

/// The two networks, and what Deep networks I makes of them.
fn functions(x: Tensor<'_>) -> [(&'static str, Tensor<'_>); 7] {
    let n1_of_x = N1.of(x);
    [
        ("n1(x)", n1_of_x),
        ("n2(x)", N2.of(x)),
        ("n2(n1(x))", N2.of(n1_of_x)),
        ("n2 with φ₁ negated, of n1(x)", N2.phi1_times(-1.0).of(n1_of_x)),
        ("n2 of n1 with φ₁ halved", N2.of(N1.phi1_times(0.5).of(x))),
        ("n1(n1(x))", N1.of(n1_of_x)),
        ("n2(n1(n1(x)))", N2.of(N1.of(n1_of_x))),
    ]
}

/// Deep networks I, and the first half of II.
fn compositions(options: &Options, result: &mut Numbers) -> Result<()> {
    let g = Graph::new();
    let x = g.input("x", [1, result.x.len()], DType::F32);
    let functions_of_x = functions(x);
    let layers = compose(N1.layers(&g), N2.layers(&g));
    let composed = deep(&layers, x);
    let difference = (composed - functions_of_x[2].1).abs().max(..);
    // Slopes are taken between the 4,000 steps of 0.0005, where no network has a joint. Every y depends on its own x only,
    // so the gradient of their sum holds each one's slope.
    let fine = (g.iota([1, 4000], 1).cast(DType::F32) + 0.5) * 0.0005 - 1.0;
    let slopes = functions(fine).map(|(_, y)| y.sum(..).grad(&[fine])[0]);

    let mut outputs: Vec<Tensor<'_>> = functions_of_x.iter().map(|(_, y)| *y).chain(slopes).collect();
    outputs.extend(layers.iter().flat_map(|layer| [layer.beta, layer.omega]));
    outputs.extend([composed, difference]);
    let mut session = options.session()?;
    let program = session.compile(&g, &outputs)?;
    let points = Array::from_f64([1, result.x.len()], &result.x, DType::F32)?;
    let out = session.run(&program, &[("x", &points)])?;

    let count = functions_of_x.len();
    result.curves = functions_of_x
        .iter()
        .enumerate()
        .map(|(k, (name, _))| Curve { name, y: numbers(&out[k]), pieces: pieces(&numbers(&out[count + k])) })
        .collect();
    let names = ["beta_0", "Omega_0", "beta_1", "Omega_1", "beta_2", "Omega_2"];
    result.matrices = names.iter().zip(&out[2 * count..]).map(|(n, value)| matrix((*n).into(), value)).collect();
    result.matrix_form = numbers(&out[2 * count + names.len()]);
    result.difference = out[2 * count + names.len() + 1].item()?;
    Ok(())
}

/// The second half of II: four inputs, layers of 5, 2 and 4 units, one output, with random parameters, on six examples.
fn wide(options: &Options, result: &mut Numbers) -> Result<()> {
    const SIZES: [usize; 5] = [4, 5, 2, 4, 1];
    const EXAMPLES: usize = 6;
    let mut rng = RandomState::new(2);
    let mut random = |rows: usize, columns: usize| {
        let values: Vec<f64> = (0..rows * columns).map(|_| rng.randn()).collect();
        Array::from_f64([rows, columns], &values, DType::F32)
    };
    let g = Graph::new();
    let (mut layers, mut matrices) = (Vec::new(), Vec::new());
    for (k, pair) in SIZES.windows(2).enumerate() {
        let (beta, omega) = (random(pair[1], 1)?, random(pair[1], pair[0])?);
        matrices.extend([matrix(format!("beta_{k}"), &beta), matrix(format!("Omega_{k}"), &omega)]);
        layers.push(Layer {
            beta: g.variable(&Variable::new(format!("beta_{k}"), beta)),
            omega: g.variable(&Variable::new(format!("Omega_{k}"), omega)),
        });
    }
    let y = deep(&layers, g.input("x", [SIZES[0], EXAMPLES], DType::F32));

    let mut session = options.session()?;
    let program = session.compile(&g, &[y])?;
    let batch = random(SIZES[0], EXAMPLES)?;
    result.outputs = numbers(&session.run(&program, &[("x", &batch)])?[0]);
    result.batch = numbers(&batch);
    result.parameters = matrices.iter().map(|m| m.values.len()).sum();
    result.wide = matrices;
    Ok(())
}

/// Nested brackets, as NumPy prints a matrix.
fn text(matrix: &Matrix) -> String {
    let row = |row: &[f64]| row.iter().map(|v| format!("{v:.2}")).collect::<Vec<_>>().join(", ");
    let rows: Vec<String> = matrix.values.chunks(matrix.shape[1]).map(|values| format!("[{}]", row(values))).collect();
    format!("[{}]", rows.join(", "))
}

fn print(numbers: &Numbers) {
    println!("{:30} {:>9} {:>9} {:>14}", "on 200 points from -1 to 0.99", "lowest y", "highest y", "linear pieces");
    for curve in &numbers.curves {
        let low = curve.y.iter().copied().fold(f64::INFINITY, f64::min);
        let high = curve.y.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        println!("{:30} {low:9.3} {high:9.3} {:14}", curve.name, curve.pieces);
    }
    println!("n2(n1(x)) as one network in matrix form:");
    for matrix in &numbers.matrices {
        println!("  {:7} = {}", matrix.name, text(matrix));
    }
    println!("  largest difference from the formula: {:.1e}", numbers.difference);
    println!("4 inputs, layers of 5, 2 and 4 units, 1 output:");
    for pair in numbers.wide.chunks(2) {
        let (beta, omega) = (&pair[0], &pair[1]);
        let [to, from] = [omega.shape[0], omega.shape[1]];
        let line = format!("  {} {:?}, {} {:?}:", beta.name, beta.shape, omega.name, omega.shape);
        println!("{line:37} {from} numbers in, {to} out, {} parameters", to * from + to);
    }
    println!("  {} parameters; six examples, X [4, 6], give y [1, 6]:", numbers.parameters);
    println!("  {}", numbers.outputs.iter().map(|y| format!("{y:.3}")).collect::<Vec<_>>().join(", "));
}

fn picture(numbers: &Numbers) -> Figure {
    let points = |curve: &Curve| numbers.x.iter().copied().zip(curve.y.clone()).collect::<Vec<_>>();
    let axes = |title: &str| Panel::new(title).x_label("x").y_label("y").x_range(-1.0, 1.0).y_range(-1.25, 1.25);
    let (n1, n2) = (&numbers.curves[0], &numbers.curves[1]);
    let apart = axes("The two networks").line(n1.name, points(n1)).line(n2.name, points(n2));
    let composed = numbers.curves[2..].iter().map(|curve| {
        let title = format!("{}: {} linear pieces", curve.name, curve.pieces);
        axes(&title).line("", points(curve))
    });
    Figure::new("Shallow networks of three ReLU units, one fed into the other")
        .columns(3)
        .panel_size(380.0, 300.0)
        .panel(apart)
        .panels(composed)
}

/// Computes, prints and draws.
pub fn run(options: &Options) -> Result<Numbers> {
    // NumPy's arange(-1, 1, 0.01), whose step is the difference of its first two values.
    let step = (-1.0 + 0.01) - -1.0;
    let x = (0..200).map(|k| -1.0 + step * f64::from(k)).collect();
    let mut numbers = Numbers { x, ..Numbers::default() };
    compositions(options, &mut numbers)?;
    wide(options, &mut numbers)?;
    print(&numbers);
    options.save("compositions", &picture(&numbers))?;
    Ok(numbers)
}

fn main() -> ExitCode {
    common::start("deep", run)
}
