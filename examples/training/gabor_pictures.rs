//! The pictures of the Gabor model.

use super::common::Options;
use super::gabor::{Compared, GABOR, Gabor, STARTS};
use super::pictures::{self, Surface};
use wgrad::plot::{Colour, Figure, LineStyle, Marker, Panel};
use wgrad::{Result, Session};

const LEVELS: [f64; 6] = [1.0, 2.0, 4.0, 8.0, 12.0, 20.0];

/// The three descents of the notebook.
pub fn single(options: &Options, session: &mut Session, result: &Gabor, surface: &Surface) -> Result<()> {
    let x: Vec<f64> = (0..=200).map(|k| -15.0 + 0.15 * f64::from(k)).collect();
    let at = [result.line_search.path.points[0], result.line_search.path.end(), result.minimum];
    let curves = GABOR.curves(session, &at, &x)?;
    let mut fit = Panel::new("The model and the data").x_label("Input x").y_label("Output y");
    let names = ["start", "after the line searches", "global minimum"];
    for (k, (name, curve)) in names.into_iter().zip(curves).enumerate() {
        let style = if k == 0 { LineStyle::Dashed } else { LineStyle::Solid };
        fit = fit.styled_line(name, Colour::nth(k), style, curve);
    }
    let fit = fit.styled_points("data", Colour::nth(6), Marker::Circle, 3.5, GABOR.data());

    let runs = [
        ("line search", Colour::nth(1), &result.line_search.path),
        ("fixed rate", Colour::nth(2), &result.fixed_rate),
        ("SGD", Colour::nth(3), &result.sgd),
    ];
    let map = |title: &str| surface.panel(title, &LEVELS);
    let draw = |panel, (name, colour, path)| pictures::steps(panel, name, colour, path);
    let cross = |panel| pictures::cross(panel, "global minimum", result.minimum);
    let descent = cross(runs[..2].iter().copied().fold(map("All points in each step"), draw));
    let stochastic = cross(draw(map("5 points in each step"), runs[2]));
    let losses = Panel::new("Loss over all the data").x_label("Step").y_label("Loss").counts();
    let losses =
        runs.into_iter().fold(losses, |panel, (name, colour, path)| pictures::losses(panel, name, colour, path));
    let figure = Figure::new("The Gabor model")
        .panel_size(500.0, 360.0)
        .details("Dots are steps, triangles are where the paths end.");
    options.save("gabor", &figure.panels([fit, losses, descent, stochastic]))
}

/// Every method from every start.
pub fn comparison(options: &Options, result: &Gabor, surface: &Surface) -> Result<()> {
    let map = |method: &Compared| {
        let found = method.in_best_valley.iter().filter(|&&yes| yes).count();
        let title = format!("{}: {found} of {} in the best valley", method.name, STARTS.len());
        let panel = surface.panel(&title, &LEVELS);
        let colours = [1, 2, 3, 5, 6, 7].map(Colour::nth);
        let paths = method.paths.iter().zip(colours);
        let panel = paths.fold(panel, |panel, (path, colour)| pictures::path(panel, "", colour, path));
        pictures::cross(panel, "global minimum", result.minimum)
    };
    let mut losses = Panel::new("Loss over all the data, from φ = (3.5, 6.5)").x_label("Step").y_label("Loss").counts();
    for (k, method) in result.compared.iter().enumerate() {
        losses = pictures::losses(losses, method.name, Colour::nth([0, 1, 2, 3, 6][k]), &method.paths[1]);
    }
    let mut maps = result.compared.iter().map(map);
    let figure = |title: &str| Figure::new(title).details("From the dots to the triangles");
    let all = figure("Descent with all points in each step").panel_size(480.0, 350.0);
    options.save("all-points", &all.panels(maps.by_ref().take(2)))?;
    let few = figure("Descent with 5 points in each step").panel_size(400.0, 290.0);
    options.save("few-points", &few.panels(maps).panel(losses))
}
