//! Loss II: two classes. The network's output becomes a probability by a sigmoid.

use super::common::{Options, numbers};
use super::network::{X, arange, constant, outputs};
use super::sweep::{Sweep, likelihood, negative_log_likelihood};
use wgrad::nn::loss::{BceWithLogits, Reduction, bce_with_logits};
use wgrad::plot::{Colour, Figure, LineStyle, Marker, Panel};
use wgrad::{Graph, Result, Session, Tensor};

/// The classes of the data.
pub const Y: [f64; 20] =
    [0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0];
const BETA_1: f64 = 2.6;
const OMEGA_1: [[f64; 3]; 1] = [[-24.0, -8.0, 50.0]];

/// The numbers of the second part.
pub struct Bernoulli {
    /// The probabilities of 0 and 1 if that of 1 is 0.2.
    pub probabilities: Vec<f64>,
    /// The network's outputs: the logits.
    pub logits: Vec<f64>,
    /// Their sigmoids: the probabilities of class 1.
    pub lambda: Vec<f64>,
    /// The likelihood of the data.
    pub likelihood: f64,
    /// The negative log-likelihood.
    pub nll: f64,
    /// The same from `wgrad::nn::loss`.
    pub library_nll: f64,
    /// The gradient of the negative log-likelihood with respect to the logits.
    pub gradient: Vec<f64>,
    /// The sweep of the output's bias.
    pub beta_1: Sweep,
}

/// The probability of `y`, which is 0 or 1, where that of 1 is `lambda`.
fn probability<'g>(y: Tensor<'g>, lambda: Tensor<'g>) -> Tensor<'g> {
    lambda * y + (1.0 - lambda) * (1.0 - y)
}

/// Prints and draws the second part.
pub fn run(options: &Options, session: &mut Session) -> Result<Bernoulli> {
    let g = Graph::new();
    let both = probability(constant(&g, &[2], &[0.0, 1.0])?, constant(&g, &[1], &[0.2])?);
    let y = constant(&g, &[1, Y.len()], &Y)?;
    let logits = outputs(&g, &X, &OMEGA_1)? + BETA_1;
    let lambda = logits.sigmoid();
    let p = probability(y, lambda);
    let (likelihood, nll) = (likelihood(p), negative_log_likelihood(p));
    let library = bce_with_logits(logits, y, BceWithLogits { reduction: Reduction::Sum, ..Default::default() });
    let gradient = nll.sum(..).grad(&[logits])[0];
    let program = session.compile(&g, &[both, logits, lambda, likelihood, nll, library, gradient])?;
    let out: Vec<Vec<f64>> = session.run(&program, &[])?.iter().map(numbers).collect();

    let result = Bernoulli {
        probabilities: out[0].clone(),
        logits: out[1].clone(),
        lambda: out[2].clone(),
        likelihood: out[3][0],
        nll: out[4][0],
        library_nll: out[5][0],
        gradient: out[6].clone(),
        beta_1: sweep(session)?,
    };
    println!("\nII. Two classes: a sigmoid of the network's output");
    println!("probabilities of 0 and 1 if λ = 0.2: {:.1}, {:.1}", result.probabilities[0], result.probabilities[1]);
    println!("likelihood {:.9}", result.likelihood);
    println!("negative log-likelihood {:.4}, from the library {:.4}", result.nll, result.library_nll);
    result.beta_1.print("beta_1");
    draw(options, session, &result)?;
    Ok(result)
}

fn sweep(session: &mut Session) -> Result<Sweep> {
    let g = Graph::new();
    let at = arange(-2.0, 6.0, 0.1);
    let logits = outputs(&g, &X, &OMEGA_1)? + constant(&g, &[at.len(), 1], &at)?;
    let y = constant(&g, &[1, Y.len()], &Y)?;
    Sweep::new(session, at, probability(y, logits.sigmoid()), None)
}

fn draw(options: &Options, session: &mut Session, result: &Bernoulli) -> Result<()> {
    let best = result.beta_1.at[result.beta_1.nll.best];
    let x = arange(0.0, 1.001, 0.01);
    let g = Graph::new();
    let logits = outputs(&g, &x, &OMEGA_1)? + constant(&g, &[2, 1], &[BETA_1, best])?;
    let program = session.compile(&g, &[logits, logits.sigmoid()])?;
    let out: Vec<Vec<f64>> = session.run(&program, &[])?.iter().map(numbers).collect();
    let styles = [(format!("β1 = {BETA_1}"), LineStyle::Dashed), (format!("β1 = {best:.1}"), LineStyle::Solid)];
    let lines = |panel: Panel, rows: &[f64]| {
        let rows = styles.iter().zip(rows.chunks(x.len())).enumerate();
        rows.fold(panel.x_label("Input x"), |panel, (k, ((name, style), row))| {
            panel.styled_line(name, Colour::nth(k), *style, x.iter().copied().zip(row.iter().copied()))
        })
    };
    let output = lines(Panel::new("The network's output").y_label("Logit"), &out[0]);
    let probability = Panel::new("The probability of class 1").y_label("λ").y_range(-0.05, 1.05);
    let probability =
        lines(probability, &out[1]).styled_points("data", Colour::nth(6), Marker::Circle, 4.0, X.into_iter().zip(Y));
    let gradient = Panel::new(format!("The loss's gradient at β1 = {BETA_1}")).x_label("Input x").y_label("λ − y");
    let gradient =
        [(0.0, Marker::Triangle), (1.0, Marker::Circle)].into_iter().fold(gradient, |panel, (class, marker)| {
            let all = X.into_iter().zip(&result.gradient).zip(Y);
            let of_class = all.filter(|(_, y)| *y == class).map(|((x, slope), _)| (x, *slope));
            panel.styled_points(format!("class {class}"), Colour::nth(class as usize), marker, 4.5, of_class)
        });
    let figure = Figure::new("Loss II: two classes").columns(3).panel_size(380.0, 300.0);
    options.save(
        "bernoulli",
        &figure.panels(result.beta_1.panels("β1")).panels([output, probability, gradient.horizontal(0.0)]),
    )
}
