//! The pictures of runs: curves, several runs together, predictions against targets.

mod chart;

use chart::{Axis, Panel, Series, drawable, image};
use plotters::style::RGBColor;
use wgrad::train::{EpochRecord, Metric, Metrics, Monitor, SetName};

const TRAIN: RGBColor = RGBColor(31, 104, 180);
const VALIDATION: RGBColor = RGBColor(217, 95, 14);
/// The colours of several runs.
const COLOURS: [RGBColor; 8] = [
    TRAIN,
    VALIDATION,
    RGBColor(35, 139, 69),
    RGBColor(152, 78, 163),
    RGBColor(166, 86, 40),
    RGBColor(0, 139, 139),
    RGBColor(190, 30, 90),
    RGBColor(110, 110, 110),
];

/// The title of a metric's axis.
fn title(metric: Metric) -> &'static str {
    match metric {
        Metric::Loss => "Loss",
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
    let point = |r: &EpochRecord| Some((f64::from(r.epoch), drawable(r.scores.monitored(monitor)?)?));
    records.iter().filter_map(point).collect()
}

fn panel<'a>(left: f64, title: &'a str, last_epoch: u32, series: &[Series]) -> Panel<'a> {
    let y = Axis::around(series.iter().flat_map(|s| s.points.iter().map(|p| p.1)));
    Panel { left, width: 506.0, title, x_label: "Epoch", x: Axis::epochs(last_epoch), y }
}

/// The curves of a run: its loss and its first other metric.
pub(super) fn curves(name: &str, metrics: &Metrics) -> Result<Vec<u8>, String> {
    let (set, headline) = match &metrics.scores.val {
        Some(val) => ("validation", val.headline()),
        None => ("train", metrics.scores.train.headline()),
    };
    let epochs = if metrics.epochs == 1 { "epoch" } else { "epochs" };
    let score = headline.map_or(String::new(), |(metric, value)| {
        format!("{set} {} after ", super::output::metric_with_name(metric, value))
    });
    let details = format!("{score}{} {epochs}, seed {}, {}", metrics.epochs, metrics.seed, metrics.device);
    let last = metrics.history.last().map_or(1, |r| r.epoch);
    let second = headline.map_or(Metric::Loss, |(metric, _)| metric);
    image(|canvas| {
        canvas.heading(name, &details)?;
        for (left, metric) in [(74.0, Metric::Loss), (664.0, second)] {
            let of = |set| history(&metrics.history, Monitor { set, metric });
            let series = [
                Series::new("train", TRAIN, of(SetName::Train)),
                Series::new("validation", VALIDATION, of(SetName::Val)),
            ];
            let panel = panel(left, title(metric), last, &series);
            canvas.axes(&panel)?;
            canvas.lines(&panel, &series)?;
        }
        Ok(())
    })
}

/// One metric of several runs over the epochs, of the training set on the left and the validation set on the right.
pub(super) fn runs(heading: &str, metric: Metric, runs: &[(String, Metrics)]) -> Result<Vec<u8>, String> {
    let last = runs.iter().filter_map(|(_, m)| m.history.last()).map(|r| r.epoch).max().unwrap_or(1);
    image(|canvas| {
        canvas.heading(heading, title(metric))?;
        for (left, set, name) in [(74.0, SetName::Train, "Training set"), (664.0, SetName::Val, "Validation set")] {
            let series: Vec<Series> = runs
                .iter()
                .zip(COLOURS.iter().cycle())
                .map(|((run, m), &colour)| Series::new(run, colour, history(&m.history, Monitor { set, metric })))
                .collect();
            let panel = panel(left, name, last, &series);
            canvas.axes(&panel)?;
            canvas.many_lines(&panel, &series)?;
        }
        Ok(())
    })
}

/// Predictions against targets.
pub(super) fn predictions(heading: &str, details: &str, points: &[(f64, f64)]) -> Result<Vec<u8>, String> {
    let points = points.iter().filter_map(|&(x, y)| Some((drawable(x)?, drawable(y)?)));
    let series = Series::new("", TRAIN, points.collect());
    let all = || series.points.iter().flat_map(|&(x, y)| [x, y]);
    image(|canvas| {
        canvas.heading(heading, details)?;
        let panel = Panel {
            left: 110.0,
            width: 1000.0,
            title: "Prediction",
            x_label: "Target",
            x: Axis::around(all()),
            y: Axis::around(all()),
        };
        canvas.axes(&panel)?;
        canvas.scatter(&panel, &series)
    })
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
        let is_png = |image: Result<Vec<u8>, String>| image.is_ok_and(|bytes| bytes.starts_with(b"\x89PNG"));
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
