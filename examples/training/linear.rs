//! Training II: steepest descent on a straight line, whose loss is a bowl.

use super::common::Options;
use super::descent::{Descent, descend};
use super::line_search::Search;
use super::pictures::{self, Surface};
use super::problem::{Check, Point, Problem, array};
use wgrad::plot::{Colour, Figure, LineStyle, Marker, Panel};
use wgrad::{Graph, Result, Session, Tensor};

/// The data of the second part, with a straight line as the model.
pub const LINE: Problem = Problem {
    x: &[0.03, 0.19, 0.34, 0.46, 0.78, 0.81, 1.08, 1.18, 1.39, 1.60, 1.65, 1.90],
    y: &[0.67, 0.85, 1.05, 1.0, 1.40, 1.5, 1.3, 1.54, 1.55, 1.68, 1.73, 1.6],
    model: line,
};
const START: Point = (1.6, -0.5);
const STEPS: usize = 10;
const LEVELS: [f64; 9] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];
/// The line search of each step, which goes no further than `max_distance` times the gradient.
pub const fn search(max_distance: f64) -> Search {
    Search { max_distance, threshold: 1e-5, max_iterations: 15 }
}

/// The numbers of the second part.
pub struct Linear {
    /// The loss and its gradient at (0.6, -0.2).
    pub check: Check,
    /// The descent with searches up to 0.1.
    pub short: Descent,
    /// The descent with searches up to 2.
    pub long: Descent,
    /// The least-squares solution.
    pub optimum: Point,
    /// The loss there.
    pub optimum_loss: f64,
}

fn line<'g>(intercept: Tensor<'g>, slope: Tensor<'g>, x: Tensor<'g>) -> Tensor<'g> {
    intercept + slope * x
}

/// The solution in closed form: the slope is the covariance of x and y over the variance of x.
fn least_squares(session: &mut Session) -> Result<Point> {
    let g = Graph::new();
    let x = g.constant(array(&[LINE.x.len()], LINE.x)?);
    let y = g.constant(array(&[LINE.y.len()], LINE.y)?);
    let centred = x - x.mean(..);
    let slope = (centred * (y - y.mean(..))).sum(..) / centred.square().sum(..);
    let intercept = y.mean(..) - slope * x.mean(..);
    let program = session.compile(&g, &[intercept, slope])?;
    let out = session.run(&program, &[])?;
    Ok((out[0].item()?, out[1].item()?))
}

/// Prints and draws the second part.
pub fn run(options: &Options, session: &mut Session) -> Result<Linear> {
    println!("\nII. Gradient descent with a line search: a straight line");
    let check = LINE.check(session, (0.6, -0.2), 1e-4)?;
    print_check(&check, (0.6, -0.2));
    let [short, long] = [0.1, 2.0].map(|distance| descend(session, &LINE, START, STEPS, search(distance)));
    let (short, long) = (short?, long?);
    let optimum = least_squares(session)?;
    let optimum_loss = LINE.losses(session, &[optimum])?[0];
    for (distance, descent) in [(0.1, &short), (2.0, &long)] {
        let (a, b) = descent.path.end();
        let loss = descent.path.last_loss();
        println!("{STEPS} steps, searches up to {distance}: φ = ({a:.4}, {b:.4}), loss {loss:.5}");
    }
    println!("least squares: φ = ({:.4}, {:.4}), loss {optimum_loss:.5}", optimum.0, optimum.1);
    let result = Linear { check, short, long, optimum, optimum_loss };
    draw(options, session, &result)?;
    Ok(result)
}

/// Prints a loss and both gradients.
pub fn print_check(check: &Check, (a, b): Point) {
    println!("loss at φ = ({a}, {b}): {:.3}", check.loss);
    println!("gradient there: ({:.3}, {:.3})", check.gradient.0, check.gradient.1);
    println!("by finite differences: ({:.3}, {:.3})", check.differences.0, check.differences.1);
}

fn draw(options: &Options, session: &mut Session, result: &Linear) -> Result<()> {
    let surface = Surface::new(session, &LINE, (0.0, 2.0), (-1.0, 1.0))?;
    let surface = surface.panel("Loss, with lines at 0.25, 0.5, 1, …, 64", &LEVELS);
    let [short, long] = [&result.short.path, &result.long.path];
    let surface = pictures::steps(surface, "searches up to 2", Colour::nth(2), long);
    let surface = pictures::steps(surface, "searches up to 0.1", Colour::nth(1), short);
    let surface = pictures::cross(surface, "least squares", result.optimum);

    let ends = [short.points[0], short.points[1], short.end()];
    let curves = LINE.curves(session, &ends, &[0.0, 2.0])?;
    let names = ["start", "after 1 step", "after 10 steps"];
    let mut fit = Panel::new("The line").x_label("Input x").y_label("Output y");
    for (k, (name, curve)) in names.into_iter().zip(curves).enumerate() {
        let style = if k == 2 { LineStyle::Solid } else { LineStyle::Dashed };
        fit = fit.styled_line(name, Colour::nth(k), style, curve);
    }
    let fit = fit.styled_points("data", Colour::nth(6), Marker::Circle, 3.5, LINE.data());
    let figure = Figure::new("Gradient descent with a line search").details("A straight line, y = φ0 + φ1 x");
    options.save("linear", &figure.panels([surface, fit]))
}
