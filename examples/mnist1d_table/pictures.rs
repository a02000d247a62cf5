//! The pictures: the data, the learning curves, the confusion matrices.

use super::common::Options;
use super::networks::{HUMAN, HUMAN_SHUFFLED};
use super::table::mean;
use super::{Data, Outcome, Row};
use wgrad::Result;
use wgrad::data::mnist1d::{CLASSES, templates};
use wgrad::plot::{Colour, ColourMap, Figure, Grid, LineStyle, Panel};

/// Each digit's template, two training samples of it, and the first of these with shuffled positions.
pub(super) fn data(options: &Options, data: &Data) -> Result<()> {
    let (default, shuffled) = (data.default.train.x.to_f32()?, data.shuffled.train.x.to_f32()?);
    let labels = data.default.train.y.classes().unwrap_or_default();
    let length = data.default.train.features();
    let sample = |x: &[f32], digit: usize, nth: usize| -> Vec<f64> {
        let mut rows = (0..labels.len()).filter(|&row| labels[row] as usize == digit);
        rows.nth(nth).map_or(Vec::new(), |row| x[row * length..][..length].iter().map(|v| f64::from(*v)).collect())
    };
    let templates = templates().map(|template| template.to_vec()).to_vec();
    let samples = |x: &[f32], nth: usize| (0..CLASSES).map(|digit| sample(x, digit, nth)).collect();
    let rows: [(Colour, Vec<Vec<f64>>); 4] = [
        (Colour::nth(6), templates),
        (Colour::nth(0), samples(&default, 0)),
        (Colour::nth(0), samples(&default, 1)),
        (Colour::nth(1), samples(&shuffled, 0)),
    ];
    let panels = rows.into_iter().enumerate().flat_map(|(k, (colour, curves))| {
        let range = 1.05 * curves.iter().flatten().fold(0f64, |most, v| most.max(v.abs()));
        curves.into_iter().enumerate().map(move |(digit, values)| {
            let title = if k == 0 { format!("digit {digit}") } else { String::new() };
            let points = values.into_iter().enumerate().map(|(t, v)| (t as f64, v));
            let panel = Panel::new(title).y_range(-range, range).without_ticks();
            panel.styled_line("", colour, LineStyle::Solid, points)
        })
    });
    let details = "From the top: each digit's template, 12 points; two training samples, 40 positions; \
                   the first of them, shuffled.";
    let figure = Figure::new("MNIST-1D: templates, samples, and a sample with shuffled positions").details(details);
    let figure = figure.columns(CLASSES).panel_size(120.0, 104.0).panels(panels);
    options.save("data", &figure)
}

/// The mean over the runs of the accuracy after each epoch.
fn mean_curve(runs: &[Outcome]) -> Vec<(f64, f64)> {
    let epochs = runs.iter().map(|run| run.curve.len()).min().unwrap_or(0);
    let mean = |epoch: usize| runs.iter().map(|run| run.curve[epoch].1).sum::<f64>() / runs.len() as f64;
    (0..epochs).map(|epoch| (runs[0].curve[epoch].0, mean(epoch))).collect()
}

/// Accuracy against training steps.
pub(super) fn curves(options: &Options, rows: &[Row]) -> Result<()> {
    let panel = |title: &str, human: f64, runs: fn(&Row) -> &[Outcome]| {
        let panel =
            Panel::new(title).x_label("Training step").y_label("Test accuracy (%)").y_range(20.0, 100.0).log_x();
        let end = rows.iter().map(|row| row.steps).max().unwrap_or(0);
        let human = [(40.0, human), (f64::from(end), human)];
        let panel = panel.styled_line("human expert", Colour::GREY, LineStyle::Solid, human);
        rows.iter().enumerate().filter(|(_, row)| !runs(row).is_empty()).fold(panel, |panel, (k, row)| {
            // Dashed: the networks that are not the authors'.
            let style = if row.shuffled.is_empty() { LineStyle::Dashed } else { LineStyle::Solid };
            panel.styled_line(row.network.label, Colour::nth(k), style, mean_curve(runs(row)))
        })
    };
    let figure = Figure::new("Learning curves on MNIST-1D")
        .details("Mean over the seeds, after each epoch. Dashed: networks that are not in the authors' table.")
        .panel_size(640.0, 520.0)
        .panel(panel("The data set as it is", HUMAN, |row| &row.default))
        .panel(panel("Positions shuffled", HUMAN_SHUFFLED, |row| &row.shuffled));
    options.save("curves", &figure)
}

/// The confusion matrices of the best and of the worst network.
pub(super) fn confusion(options: &Options, rows: &[Row]) -> Result<()> {
    let mut ranked: Vec<&Row> = rows.iter().collect();
    ranked.sort_by(|a, b| mean(&b.default).total_cmp(&mean(&a.default)));
    let digits = || (0..CLASSES).map(|digit| digit.to_string());
    if ranked.len() > 2 {
        ranked.drain(1..ranked.len() - 1);
    }
    let panels = ranked.into_iter().map(|row| {
        let percent = (0..CLASSES).flat_map(|label| {
            let cell = move |column: usize| -> u64 { row.default.iter().map(|run| run.confusion[label][column]).sum() };
            let all: u64 = (0..CLASSES).map(cell).sum();
            (0..CLASSES).map(move |column| (100.0 * cell(column) as f64 / all as f64).round())
        });
        let title = format!("{}: {:.1} % right", row.network.label, mean(&row.default));
        Panel::new(title)
            .x_label("Prediction")
            .y_label("Label")
            .x_categories(digits())
            .y_categories(digits())
            .table(ColourMap::Blues, Grid::table(CLASSES, CLASSES, percent.collect()))
            .square()
    });
    let figure = Figure::new("Confusion matrices of the best and the worst network")
        .details("What the test samples of each digit are taken for, in percent of that digit; all seeds together.")
        .panel_size(520.0, 520.0)
        .panels(panels);
    options.save("confusion", &figure)
}
