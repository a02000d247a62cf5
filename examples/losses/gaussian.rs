//! Loss I: regression. The network gives the mean of a normal distribution.

use super::common::{Options, numbers};
use super::network::{X, arange, constant, outputs};
use super::sweep::{Sweep, likelihood, negative_log_likelihood};
use std::f64::consts::PI;
use wgrad::nn::loss::{GaussianNll, Reduction, gaussian_nll};
use wgrad::plot::{Colour, Figure, LineStyle, Marker, Panel};
use wgrad::{DType, Graph, Result, Session, Tensor};

/// The outputs of the data.
pub const Y: [f64; 20] = [
    -0.25934537,
    0.18195445,
    0.651270150,
    0.13921448,
    0.09366691,
    0.30567674,
    0.372291170,
    0.20716968,
    -0.08131792,
    0.51187806,
    0.16943738,
    0.3994327,
    0.019062570,
    0.55820410,
    0.452564960,
    -0.1183121,
    0.02957665,
    -1.24354444,
    0.248038840,
    0.26824970,
];
const BETA_1: f64 = 0.1;
const OMEGA_1: [[f64; 3]; 1] = [[-2.0, -1.0, 7.0]];
const SIGMA: f64 = 0.2;

/// The numbers of the first part.
pub struct Gaussian {
    /// The density of a normal distribution with mean -1 and standard deviation 2.3 at 1.
    pub density: f64,
    /// The network's outputs: the means.
    pub mean: Vec<f64>,
    /// The likelihood of the data.
    pub likelihood: f64,
    /// The negative log-likelihood.
    pub nll: f64,
    /// The same from `wgrad::nn::loss`.
    pub library_nll: f64,
    /// The sum of squares.
    pub squares: f64,
    /// The gradient of the negative log-likelihood with respect to the means.
    pub gradient: Vec<f64>,
    /// The sweep of the output's bias.
    pub beta_1: Sweep,
    /// The sweep of the standard deviation, at the best bias.
    pub sigma: Sweep,
}

/// The density of normal distributions at `y`.
fn density<'g>(y: Tensor<'g>, mean: Tensor<'g>, sigma: Tensor<'g>) -> Tensor<'g> {
    (-((y - mean) / sigma).square() / 2.0).exp() / (sigma * (2.0 * PI).sqrt())
}

/// Prints and draws the first part.
pub fn run(options: &Options, session: &mut Session) -> Result<Gaussian> {
    let g = Graph::new();
    let number = |value: f64| g.scalar(value, DType::F32);
    let one = density(number(1.0), number(-1.0), number(2.3));
    let y = constant(&g, &[1, Y.len()], &Y)?;
    let mean = outputs(&g, &X, &OMEGA_1)? + BETA_1;
    let probability = density(y, mean, number(SIGMA));
    let (likelihood, nll) = (likelihood(probability), negative_log_likelihood(probability));
    let whole = GaussianNll { full: true, reduction: Reduction::Sum, ..GaussianNll::default() };
    let library = gaussian_nll(mean, y, number(SIGMA).square(), whole);
    let gradient = nll.sum(..).grad(&[mean])[0];
    let squares = (y - mean).square().sum(..);
    let program = session.compile(&g, &[one, mean, likelihood, nll, library, squares, gradient])?;
    let out = session.run(&program, &[])?;
    let value = |k: usize| -> Result<f64> { Ok(numbers(&out[k])[0]) };

    let beta_1 = sweep_beta_1(session)?;
    let best = beta_1.at[beta_1.nll.best];
    let sigma = sweep_sigma(session, best)?;
    let result = Gaussian {
        density: value(0)?,
        mean: numbers(&out[1]),
        likelihood: value(2)?,
        nll: value(3)?,
        library_nll: value(4)?,
        squares: value(5)?,
        gradient: numbers(&out[6]),
        beta_1,
        sigma,
    };
    println!("I. Regression: a normal distribution around the network's output");
    println!("density at 1 of a normal distribution with mean -1 and deviation 2.3: {:.3}", result.density);
    println!("likelihood {:.9}", result.likelihood);
    println!("negative log-likelihood {:.4}, from the library {:.4}", result.nll, result.library_nll);
    println!("sum of squares {:.4}", result.squares);
    result.beta_1.print("beta_1");
    result.sigma.print("sigma");
    draw(options, session, &result)?;
    Ok(result)
}

/// The network's means for each bias, `[values, 20]`.
fn sweep_beta_1(session: &mut Session) -> Result<Sweep> {
    let g = Graph::new();
    let at = arange(0.0, 1.0, 0.01);
    let mean = outputs(&g, &X, &OMEGA_1)? + constant(&g, &[at.len(), 1], &at)?;
    let y = constant(&g, &[1, Y.len()], &Y)?;
    Sweep::new(session, at, density(y, mean, g.scalar(SIGMA, DType::F32)), Some(y - mean))
}

fn sweep_sigma(session: &mut Session, beta_1: f64) -> Result<Sweep> {
    let g = Graph::new();
    let at = arange(0.1, 0.5, 0.005);
    let mean = outputs(&g, &X, &OMEGA_1)? + beta_1;
    let y = constant(&g, &[1, Y.len()], &Y)?;
    let sigma = constant(&g, &[at.len(), 1], &at)?;
    Sweep::new(session, at, density(y, mean, sigma), None)
}

fn draw(options: &Options, session: &mut Session, result: &Gaussian) -> Result<()> {
    let figure = Figure::new("Loss I: a normal distribution").columns(3).panel_size(380.0, 300.0);
    let (beta_1, sigma) = (result.beta_1.panels("β1"), result.sigma.panels("σ"));
    options.save("gaussian", &figure.panels(beta_1).panels(sigma))?;

    let (best_beta, best_sigma) = (result.beta_1.at[result.beta_1.nll.best], result.sigma.at[result.sigma.nll.best]);
    let x = arange(0.0, 1.001, 0.01);
    let g = Graph::new();
    let biases = constant(&g, &[2, 1], &[BETA_1, best_beta])?;
    let program = session.compile(&g, &[outputs(&g, &x, &OMEGA_1)? + biases])?;
    let means = numbers(&session.run(&program, &[])?[0]);
    let panel = |title: &str, mean: &[f64], sigma: f64| {
        let mean = || x.iter().copied().zip(mean.iter().copied());
        Panel::new(format!("{title}, σ = {sigma:.3}"))
            .x_label("Input x")
            .y_label("Output y")
            .y_range(-1.4, 1.2)
            .band("mean ± 2σ", Colour::nth(0), mean().map(|(x, y)| (x, y - 2.0 * sigma, y + 2.0 * sigma)))
            .styled_line("mean", Colour::nth(0), LineStyle::Solid, mean())
            .styled_points("data", Colour::nth(6), Marker::Circle, 3.5, X.into_iter().zip(Y))
    };
    let (start, best) = means.split_at(x.len());
    let start = panel(&format!("Start: β1 = {BETA_1}"), start, SIGMA);
    let best = panel(&format!("Most likely: β1 = {best_beta:.2}"), best, best_sigma);
    options.save("gaussian-model", &Figure::new("The network's normal distributions").panels([start, best]))
}
