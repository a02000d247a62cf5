//! The pictures of runs: curves, several runs together, predictions against targets.

use wgrad::plot::{Colour, Figure, Panel};
use wgrad::train::{EpochRecord, Metric, Metrics, Monitor, SetName};

/// The title of a metric's axis.
fn title(metric: Metric) -> &'static str {
    match metric {
        Metric::Loss => "Loss",
        Metric::Perplexity => "Perplexity",
        Metric::Error => "Error (%)",
        Metric::TopKError => "Top-k error (%)",
        Metric::Rmse => "RMSE",
        Metric::Mae => "MAE",
        Metric::R2 => "R²",
        Metric::Precision => "Precision",
        Metric::Recall => "Recall",
        Metric::F1 => "F1",
        Metric::Auroc => "AUROC",
    }
}

/// The values of a metric of a set over the epochs.
fn history(records: &[EpochRecord], monitor: Monitor) -> Vec<(f64, f64)> {
    let point = |r: &EpochRecord| Some((f64::from(r.epoch), r.scores.monitored(monitor)?));
    records.iter().filter_map(point).collect()
}

/// The curves of a run: its loss and its first other metric.
pub(super) fn curves(name: &str, metrics: &Metrics) -> Figure {
    let (set, headline) = match &metrics.scores.val {
        Some(val) => ("validation", val.headline()),
        None => ("train", metrics.scores.train.headline()),
    };
    let epochs = if metrics.epochs == 1 { "epoch" } else { "epochs" };
    let score = headline.map_or(String::new(), |(metric, value)| {
        format!("{set} {} after ", super::output::metric_with_name(metric, value))
    });
    let details = format!("{score}{} {epochs}, seed {}, {}", metrics.epochs, metrics.seed, metrics.device);
    let second = headline.map_or(Metric::Loss, |(metric, _)| metric);
    Figure::new(name).details(details).panels([Metric::Loss, second].map(|metric| {
        let sets = [("train", SetName::Train), ("validation", SetName::Val)];
        let lines = sets.map(|(name, set)| (name, history(&metrics.history, Monitor { set, metric })));
        let panel = Panel::new("").x_label("Epoch").y_label(title(metric)).counts();
        lines
            .into_iter()
            .enumerate()
            .filter(|(_, (_, points))| !points.is_empty())
            .fold(panel, |panel, (k, (name, points))| panel.curve(name, Colour::nth(k), points))
    }))
}

/// One metric of several runs over the epochs, of the training set on the left and the validation set on the right.
pub(super) fn runs(heading: &str, metric: Metric, runs: &[(String, Metrics)]) -> Figure {
    let sets = [("Training set", SetName::Train), ("Validation set", SetName::Val)];
    // A legend row for about three names.
    let height = 400.0 + 20.0 * (runs.len() as f64 / 3.0);
    Figure::new(heading).panel_size(560.0, height).panels(sets.map(|(set_name, set)| {
        let panel = Panel::new(set_name).x_label("Epoch").y_label(title(metric)).counts();
        runs.iter().enumerate().fold(panel, |panel, (k, (run, m))| {
            panel.curve(run, Colour::nth(k), history(&m.history, Monitor { set, metric }))
        })
    }))
}

/// Predictions against targets, with the line on which they are equal.
pub(super) fn predictions(heading: &str, details: &str, points: &[(f64, f64)]) -> Figure {
    let panel = Panel::new("").x_label("Target").y_label("Prediction").diagonal();
    let panel = panel.styled_points("", Colour::nth(0), wgrad::plot::Marker::Circle, 2.0, points.iter().copied());
    Figure::new(heading).details(details).panel_size(1000.0, 460.0).panel(panel)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgrad::train::{Scores, SetScores};

    fn run(values: &[f64], val: bool) -> Metrics {
        let scores = |v: f64| Scores::new([(Metric::Loss, v), (Metric::Error, v)]);
        let history = values.iter().zip(1..).map(|(&v, epoch)| EpochRecord {
            epoch,
            running_loss: v,
            scores: SetScores { train: scores(v), val: val.then(|| scores(v * 1.5)), test: None },
            lr: 0.1,
            seconds: 1.0,
        });
        Metrics {
            device: "a device ".repeat(50),
            variants: None,
            seed: 0,
            task: None,
            epochs: values.len() as u32,
            steps: 1,
            parameters: 1,
            scores: SetScores::default(),
            best: None,
            stopped: None,
            train_seconds: 1.0,
            setup_seconds: 1.0,
            first_step_seconds: Some(1.0),
            dispatches_per_step: None,
            peak_bytes: 0,
            data: None,
            history: history.collect(),
        }
    }

    #[test]
    fn any_numbers_can_be_drawn() {
        let cases: [&[f64]; 8] = [
            &[],
            &[0.0],
            &[2.3, 2.3, 2.3],
            &[f64::MAX, 1.0, f64::MIN],
            &[f64::MIN_POSITIVE, 5e-324, 0.0],
            &[f64::NAN, f64::INFINITY],
            &[1e15, 1e15 + 1.0],
            &[2.0, 1.0, f64::NEG_INFINITY, 0.5],
        ];
        let is_png = |figure: Figure| figure.png().is_ok_and(|bytes| bytes.starts_with(b"\x89PNG"));
        for (i, values) in cases.into_iter().enumerate() {
            assert!(is_png(curves("name\n", &run(values, i % 2 == 0))), "{values:?}");
            let points: Vec<(f64, f64)> = values.iter().zip(values).map(|(&a, &b)| (a, b)).collect();
            assert!(is_png(predictions("name", "", &points)), "{values:?}");
        }
        let many: Vec<f64> = (0..100_000).map(|i| 1.0 / f64::from(i + 1)).collect();
        assert!(is_png(curves("many", &run(&many, true))));
        let several: Vec<_> =
            (0..20).map(|i| (format!("a run with a long name {i}"), run(&[2.0, 1.0], true))).collect();
        assert!(is_png(runs("runs", Metric::Error, &several)));
    }
}
