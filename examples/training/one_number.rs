//! Training I: a line search along a function of one number.

use super::common::{Options, numbers};
use super::line_search::{Found, Rule, Search, line_search};
use wgrad::plot::{Colour, Figure, LineStyle, Marker, Panel};
use wgrad::{Array, DType, Graph, Result, Session, Tensor};

const SEARCH: Search = Search { max_distance: 1.0, threshold: 1e-4, max_iterations: 10 };

/// The numbers of the first part.
pub struct OneNumber {
    /// The search.
    pub found: Found,
    /// The loss at the solution.
    pub loss: f64,
    /// The loss in the middles of its two bumps, 0.35 and 0.65.
    pub at_bumps: [f64; 2],
}

/// A narrow and a wide bump, upside down.
fn loss(phi: Tensor<'_>) -> Tensor<'_> {
    let bump = |middle: f64, width: f64| (-(phi - middle).square() / width).exp();
    1.0 - bump(0.65, 0.1) * 0.5 - bump(0.35, 0.02) * 0.45
}

/// The loss at many values in one run.
fn losses(session: &mut Session, phi: &[f64]) -> Result<Vec<f64>> {
    let g = Graph::new();
    let values = loss(g.constant(Array::from_f64([phi.len()], phi, DType::F32)?));
    let program = session.compile(&g, &[values])?;
    Ok(numbers(&session.run(&program, &[])?[0]))
}

/// Prints and draws the first part.
pub fn run(options: &Options, session: &mut Session) -> Result<OneNumber> {
    let g = Graph::new();
    let value = loss(g.input("phi", (), DType::F32));
    let program = session.compile(&g, &[value])?;
    let found = line_search(SEARCH, |phi| session.run(&program, &[("phi", &Array::from(phi as f32))])?[0].item())?;

    println!("I. A line search along a function of one number");
    for (k, (bracket, _)) in found.steps.iter().enumerate() {
        let [a, b, c, d] = bracket.points();
        println!("iteration {:2}: a = {a:.3}, b = {b:.3}, c = {c:.3}, d = {d:.3}", k + 1);
    }
    let checked = losses(session, &[found.minimum, 0.35, 0.65])?;
    println!("solution {:.5}, loss {:.5}", found.minimum, checked[0]);
    draw(options, session, &found)?;
    Ok(OneNumber { loss: checked[0], at_bumps: [checked[1], checked[2]], found })
}

fn draw(options: &Options, session: &mut Session, found: &Found) -> Result<()> {
    let phi: Vec<f64> = (0..=400).map(|k| f64::from(k) / 400.0).collect();
    let values = losses(session, &phi)?;
    let curve = || phi.iter().copied().zip(values.iter().copied());
    // All points of the search, four to a bracket.
    let brackets: Vec<_> = found.steps.iter().map(|(bracket, _)| *bracket).chain([found.last]).collect();
    let points: Vec<f64> = brackets.iter().flat_map(|bracket| bracket.points()).collect();
    let heights = losses(session, &points)?;

    let frames: Vec<Figure> = brackets
        .iter()
        .enumerate()
        .map(|(k, bracket)| {
            let at = |j: usize| (points[4 * k + j], heights[4 * k + j]);
            let what = match found.steps.get(k).map(|step| step.1) {
                Some(Rule::Halve) => "a is the lowest: b, c and d move half way to a",
                Some(Rule::CutRight) => "b is below c: cut off what is right of c",
                Some(Rule::CutLeft) => "c is not above b: cut off what is left of b",
                None => "the solution is the middle between b and c",
            };
            let panel = Panel::new(format!("Iteration {}: {what}", k + 1))
                .x_label("Parameter φ")
                .y_label("Loss")
                .x_range(0.0, 1.0)
                .y_range(0.3, 1.0)
                .vertical(bracket.a)
                .vertical(bracket.d)
                .styled_line("loss", Colour::nth(0), LineStyle::Solid, curve())
                .styled_points("a, d", Colour::nth(6), Marker::Square, 5.0, [at(0), at(3)])
                .styled_points("b, c", Colour::nth(1), Marker::Circle, 5.0, [at(1), at(2)]);
            Figure::new("").panel_size(640.0, 380.0).panel(panel)
        })
        .collect();
    options.save_animation("line-search", &frames, 1.2)?;

    let k = |index: usize| (index + 1) as f64;
    let lines = |pick: [usize; 2]| -> Vec<(f64, f64)> {
        brackets.iter().enumerate().flat_map(|(i, bracket)| pick.map(|j| (k(i), bracket.points()[j]))).collect()
    };
    let solution = losses(session, &[found.minimum])?[0];
    let found_panel = Panel::new("Where the search ends")
        .x_label("Parameter φ")
        .y_label("Loss")
        .y_range(0.3, 1.0)
        .line("loss", curve())
        .styled_points(
            "points that were tried",
            Colour::nth(1),
            Marker::Circle,
            3.5,
            points.iter().copied().zip(heights.iter().copied()),
        )
        .styled_points("solution", Colour::nth(6), Marker::Triangle, 7.0, [(found.minimum, solution)]);
    let bracket_panel = Panel::new("The bracket of each iteration, and the last")
        .x_label("Iteration")
        .y_label("Parameter φ")
        .counts()
        .band("from a to d", Colour::nth(0), brackets.iter().enumerate().map(|(i, b)| (k(i), b.a, b.d)))
        .styled_points("b, c", Colour::nth(1), Marker::Circle, 4.0, lines([1, 2]))
        .horizontal(found.minimum);
    let figure = Figure::new("Line search").details("Each iteration keeps two thirds of the bracket.");
    options.save("brackets", &figure.panels([found_panel, bracket_panel]))
}
