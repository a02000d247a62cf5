//! Loss III: three classes. The network's three outputs become probabilities by a softmax.

use super::common::{Options, numbers};
use super::network::{X, arange, constant, outputs};
use super::sweep::{Sweep, likelihood, negative_log_likelihood};
use wgrad::nn::loss::{CrossEntropy, Reduction, cross_entropy};
use wgrad::plot::{Colour, Figure, LineStyle, Marker, Panel};
use wgrad::{Graph, Result, Session, Tensor};

/// The classes of the data.
pub const Y: [u32; 20] = [2, 0, 1, 2, 1, 0, 0, 2, 2, 0, 2, 0, 2, 0, 1, 2, 1, 2, 1, 0];
const BETA_1: [f64; 3] = [2.0, -2.0, 0.0];
const OMEGA_1: [[f64; 3]; 3] = [[-24.0, -8.0, 50.0], [-2.0, 8.0, -30.0], [16.0, -8.0, -8.0]];

/// The numbers of the third part.
pub struct Categorical {
    /// The network's outputs, `[class, example]`: the logits.
    pub logits: Vec<f64>,
    /// Their softmax, `[class, example]`.
    pub lambda: Vec<f64>,
    /// The likelihood of the data.
    pub likelihood: f64,
    /// The negative log-likelihood.
    pub nll: f64,
    /// The same from `wgrad::nn::loss`.
    pub library_nll: f64,
    /// The gradient of the negative log-likelihood with respect to the logits, `[class, example]`.
    pub gradient: Vec<f64>,
    /// The sweep of the first output's bias.
    pub beta_1: Sweep,
}

/// The probability of the class of each example, where those of all classes are `lambda`, `[…, class, example]`.
fn probability<'g>(y: Tensor<'g>, lambda: Tensor<'g>) -> Tensor<'g> {
    let classes = lambda.shape()[lambda.shape().rank() - 2];
    (lambda * y.one_hot(classes).t().cast(lambda.dtype())).sum(-2)
}

/// Prints and draws the third part.
pub fn run(options: &Options, session: &mut Session) -> Result<Categorical> {
    let g = Graph::new();
    let y = g.constant(Y);
    let logits = outputs(&g, &X, &OMEGA_1)? + constant(&g, &[3, 1], &BETA_1)?;
    let lambda = logits.softmax(0);
    let p = probability(y, lambda);
    let (likelihood, nll) = (likelihood(p), negative_log_likelihood(p));
    let sum = CrossEntropy { reduction: Reduction::Sum, ..CrossEntropy::default() };
    let library = cross_entropy(logits.t(), y, sum);
    let gradient = nll.grad(&[logits])[0];
    let program = session.compile(&g, &[logits, lambda, likelihood, nll, library, gradient])?;
    let out: Vec<Vec<f64>> = session.run(&program, &[])?.iter().map(numbers).collect();

    let result = Categorical {
        logits: out[0].clone(),
        lambda: out[1].clone(),
        likelihood: out[2][0],
        nll: out[3][0],
        library_nll: out[4][0],
        gradient: out[5].clone(),
        beta_1: sweep(session)?,
    };
    println!("\nIII. Three classes: a softmax of the network's outputs");
    println!("likelihood {:.4e}", result.likelihood);
    println!("negative log-likelihood {:.4}, from the library {:.4}", result.nll, result.library_nll);
    result.beta_1.print("beta_1[0]");
    draw(options, session, &result)?;
    Ok(result)
}

/// The biases `[values, 3, 1]` of which the first is swept.
fn sweep(session: &mut Session) -> Result<Sweep> {
    let g = Graph::new();
    let at = arange(-2.0, 6.0, 0.1);
    let first = constant(&g, &[at.len(), 1, 1], &at)?;
    let others = constant(&g, &[1, 2, 1], &BETA_1[1..])?.broadcast_to([at.len(), 2, 1]);
    let logits = outputs(&g, &X, &OMEGA_1)? + first.concat(&[others], 1);
    Sweep::new(session, at, probability(g.constant(Y), logits.softmax(1)), None)
}

fn draw(options: &Options, session: &mut Session, result: &Categorical) -> Result<()> {
    let best = result.beta_1.at[result.beta_1.nll.best];
    let x = arange(0.0, 1.001, 0.01);
    let g = Graph::new();
    let biases = constant(&g, &[2, 3, 1], &[BETA_1, [best, BETA_1[1], BETA_1[2]]].concat())?;
    let logits = outputs(&g, &x, &OMEGA_1)? + biases;
    let program = session.compile(&g, &[logits, logits.softmax(1)])?;
    let out: Vec<Vec<f64>> = session.run(&program, &[])?.iter().map(numbers).collect();
    let half = 3 * x.len();
    let lines = |panel: Panel, rows: &[f64]| {
        rows.chunks(x.len()).enumerate().fold(panel.x_label("Input x"), |panel, (class, row)| {
            let line = x.iter().copied().zip(row.iter().copied());
            panel.styled_line(format!("class {class}"), Colour::nth(class), LineStyle::Solid, line)
        })
    };
    let probabilities = |title: String, rows: &[f64]| {
        let panel = lines(Panel::new(title).y_label("Probability").y_range(-0.05, 1.05), rows);
        // Each example above the top of the curves, in the colour of its class.
        let markers = [Marker::Circle, Marker::Square, Marker::Triangle];
        markers.into_iter().enumerate().fold(panel, |panel, (class, marker)| {
            let of_class = X.into_iter().zip(Y).filter(move |(_, y)| *y as usize == class).map(|(x, _)| (x, 1.0));
            panel.styled_points("", Colour::nth(class), marker, 4.5, of_class)
        })
    };
    let panels = [
        lines(Panel::new("The network's outputs at the start").y_label("Logit"), &out[0][..half]),
        probabilities(format!("Start: β1 of class 0 = {}", BETA_1[0]), &out[1][..half]),
        probabilities(format!("Most likely: β1 of class 0 = {best:.1}"), &out[1][half..]),
    ];
    let figure = Figure::new("Loss III: three classes").columns(3).panel_size(380.0, 300.0);
    options.save("categorical", &figure.panels(result.beta_1.panels("β1 of class 0")).panels(panels))
}
