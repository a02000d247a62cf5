//! The pictures: curves, final errors, and augmented samples.

use super::TO_BEAT;
use super::common::Options;
use super::samples::Versions;
use super::trainings::{Spread, Trained};
use wgrad::Result;
use wgrad::plot::{Colour, Figure, LineStyle, Panel};
use wgrad::train::SetName;

/// Draws and saves all of them.
pub(super) fn draw(
    options: &Options,
    baseline: &Trained,
    groups: &[(&'static str, Vec<Trained>)],
    versions: &Versions,
) -> Result<()> {
    options.save("curves", &curves(baseline, groups))?;
    options.save("errors", &errors(baseline, groups))?;
    options.save("samples", &samples(versions))
}

/// A panel for each group with its validation curves and the baseline's.
fn curves(baseline: &Trained, groups: &[(&'static str, Vec<Trained>)]) -> Figure {
    let panels = groups.iter().map(|(title, trained)| {
        let panel = Panel::new(*title).x_label("Epoch").y_label("Validation error (%)").counts().y_range(0.0, 90.0);
        let panel = panel.styled_line("mlp", Colour::GREY, LineStyle::Dashed, baseline.curve(SetName::Val));
        trained
            .iter()
            .enumerate()
            .fold(panel, |panel, (k, trained)| panel.curve(&trained.name, Colour::nth(k), trained.curve(SetName::Val)))
    });
    let seeds = baseline.runs.len();
    Figure::new("Validation error while training")
        .details(format!("The mean over {seeds} seeds; dashed the baseline, the course's perceptron"))
        .panel_size(560.0, 340.0)
        .panels(panels)
}

/// Training and validation errors as bars, with a line from the mean minus to the mean plus a deviation.
fn errors(baseline: &Trained, groups: &[(&'static str, Vec<Trained>)]) -> Figure {
    let panel = |title: &str, groups: &[(&'static str, Vec<Trained>)]| {
        let all: Vec<&Trained> = std::iter::once(baseline).chain(groups.iter().flat_map(|(_, all)| all)).collect();
        let of = |set| all.iter().map(|trained| trained.error(set)).collect::<Vec<_>>();
        let sides = [("training", SetName::Train, -0.4), ("validation", SetName::Val, 0.0)];
        let panel = Panel::new(title).y_label("Misclassified (%)").y_range(0.0, 45.0).horizontal(TO_BEAT);
        let panel = sides.iter().fold(panel, |panel, (name, set, from)| {
            let bars = of(*set).into_iter().enumerate().map(|(k, error)| (k as f64 + from, error.mean));
            panel.histogram(*name, bars.map(|(left, height)| (left, left + 0.4, height)))
        });
        let panel = sides.iter().fold(panel, |panel, (_, set, from)| {
            of(*set).into_iter().enumerate().fold(panel, |panel, (k, error)| {
                let whisker = whisker(k as f64 + from + 0.2, error);
                whisker
                    .into_iter()
                    .fold(panel, |panel, line| panel.styled_line("", Colour(60, 60, 60), LineStyle::Solid, line))
            })
        });
        panel.x_categories(all.iter().map(|trained| trained.name.clone()))
    };
    let (first, rest) = groups.split_at(groups.len() / 2);
    Figure::new("Errors after the last epoch")
        .details(format!(
            "Mean and standard deviation over {} seeds; the thin line is the validation error to beat, {TO_BEAT} %",
            baseline.runs.len()
        ))
        .columns(1)
        .panel_size(1100.0, 300.0)
        .panel(panel("Model and training", first))
        .panel(panel("Regularisation and augmentation", rest))
}

/// A line with a short stroke at each end.
fn whisker(x: f64, Spread { mean, deviation }: Spread) -> [Vec<(f64, f64)>; 3] {
    let (low, high) = (mean - deviation, mean + deviation);
    let stroke = |y: f64| vec![(x - 0.06, y), (x + 0.06, y)];
    [vec![(x, low), (x, high)], stroke(low), stroke(high)]
}

/// The original beside four versions of each kind.
fn samples(versions: &Versions) -> Figure {
    let points =
        |values: &[f32]| values.iter().enumerate().map(|(at, v)| (at as f64, f64::from(*v))).collect::<Vec<_>>();
    let kinds = [&versions.shifted, &versions.scaled, &versions.noisy, &versions.all];
    let shown = kinds.iter().flat_map(|all| all.iter().take(4).flatten()).chain(&versions.original);
    let ends = shown.fold((0f64, 0f64), |(low, high), &v| (low.min(f64::from(v)), high.max(f64::from(v))));
    let (low, high) = ((2.0 * ends.0).floor() / 2.0, (2.0 * ends.1).ceil() / 2.0);
    let panel = |title: String| Panel::new(title).y_range(low, high).without_ticks();
    let original = |panel: Panel, style| panel.styled_line("", Colour::GREY, style, points(&versions.original));
    let (moves, factors) = (versions.moves(), versions.factors());
    let title = |kind: usize, k: usize| match kind {
        0 => match moves[k].unwrap_or_default() {
            0 => "in its place".to_string(),
            by => format!("{} to the {}", by.abs(), if by > 0 { "right" } else { "left" }),
        },
        1 => format!("times {:.2}", factors[k]),
        2 => "with noise".to_string(),
        _ => "all three".to_string(),
    };
    let panels = kinds.into_iter().enumerate().flat_map(|(kind, all)| {
        let first = original(panel(format!("original, a {}", versions.label)), LineStyle::Solid);
        let versions = all.iter().take(4).enumerate().map(move |(k, version)| {
            let panel = original(panel(title(kind, k)), LineStyle::Dashed);
            panel.styled_line("", Colour::nth(kind), LineStyle::Solid, points(version))
        });
        std::iter::once(first).chain(versions).collect::<Vec<_>>()
    });
    let augment = &versions.augment;
    Figure::new("A training sample, and what training sees of it")
        .details(format!(
            "Rows: shift = {}, scale = {}, noise = {}, all three. Dashed: the original. Up: the value, {low} to {high}.",
            augment.shift, augment.scale, augment.noise
        ))
        .columns(5)
        .panel_size(210.0, 150.0)
        .panels(panels)
}
