//! `report.html`: a run in one self-contained page.

use super::output::{bytes, duration, grouped, metric};
use super::plot;
use base64::Engine;
use std::fmt::Write;
use wgrad::train::{Config, Evaluated, Metric, Metrics, SetName, Trainer};
use wgrad::{Error, Graph};

/// The most classes that the confusion matrix shows.
const MOST_CLASSES: usize = 64;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;color:#232830;max-width:1100px;margin:2em auto;padding:0 1em}\
h1{font-size:1.6em}h2{font-size:1.2em;margin-top:2em}table{border-collapse:collapse}\
td,th{padding:.2em .8em;text-align:right;border-bottom:1px solid #e5e8ec}th{color:#69707a;font-weight:500}\
td:first-child,th:first-child{text-align:left}pre{background:#f6f7f9;padding:1em;overflow:auto}img{max-width:100%}\
.m td{min-width:1.8em;padding:.15em .4em;text-align:center;border:0}";

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn image(png: &[u8], what: &str) -> String {
    let data = base64::engine::general_purpose::STANDARD.encode(png);
    format!("<img alt=\"{what}\" src=\"data:image/png;base64,{data}\">\n")
}

/// A table from its header and rows.
fn table(header: &[String], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String], tag: &str| -> String {
        let cells: String = cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell))).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let body: String = rows.iter().map(|row| line(row, "td")).collect();
    let head = if header.is_empty() { String::new() } else { line(header, "th") };
    format!("<table>\n{head}{body}</table>\n")
}

/// The page. `curves` is the picture of the run's curves; `evaluated` are details of the set named.
pub(super) fn html(
    config: &Config,
    metrics: &Metrics,
    trainer: &Trainer,
    curves: &[u8],
    evaluated: Option<&(SetName, Evaluated)>,
) -> Result<String, Error> {
    let name = escaped(&config.name);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{name}</title>\n<style>{STYLE}</style></head>\n\
         <body>\n<h1>{name}</h1>\n"
    );
    let task = trainer.preprocessing().task;
    let mut facts = vec![
        ("task", format!("{task}, loss {}", config.loss_for(task).name())),
        ("device", metrics.device.clone()),
        ("parameters", grouped(metrics.parameters as u64)),
        ("steps", format!("{} in {} epochs", grouped(metrics.steps), metrics.epochs)),
        ("time", format!("{} training, {} set-up", duration(metrics.train_seconds), duration(metrics.setup_seconds))),
        ("device memory", bytes(metrics.peak_bytes)),
    ];
    facts.extend(metrics.data.as_ref().map(|data| ("data", data.clone())));
    facts.extend(metrics.dispatches_per_step.map(|n| ("launches per step", n.to_string())));
    facts.extend(metrics.stopped.as_ref().map(|reason| ("ended early", reason.clone())));
    facts.extend(metrics.best.map(|best| {
        ("best epoch", format!("{}: {} {}", best.epoch, best.monitor, metric(best.monitor.metric, best.value)))
    }));
    facts.push(("seed", config.seed.to_string()));
    let rows: Vec<Vec<String>> = facts.into_iter().map(|(k, v)| vec![k.to_string(), v]).collect();
    out.push_str(&table(&[], &rows));

    out.push_str("<h2>Results</h2>\n");
    let names: Vec<Metric> = metrics.scores.train.iter().map(|(which, _)| which).collect();
    let header: Vec<String> =
        std::iter::once("set".to_string()).chain(names.iter().map(|which| which.name().to_string())).collect();
    let rows: Vec<Vec<String>> = metrics
        .scores
        .iter()
        .map(|(set, scores)| {
            let cells = names.iter().map(|&which| scores.get(which).map_or("-".into(), |v| metric(which, v)));
            std::iter::once(set.name().to_string()).chain(cells).collect()
        })
        .collect();
    out.push_str(&table(&header, &rows));
    out.push_str("<h2>Curves</h2>\n");
    out.push_str(&image(curves, "loss and metric over the epochs"));
    if let Some((set, evaluated)) = evaluated {
        details(&mut out, config, trainer, *set, evaluated)?;
    }
    out.push_str("<h2>Network</h2>\n");
    out.push_str(&network(trainer));
    let _ = write!(out, "<h2>Settings</h2>\n<pre>{}</pre>\n</body></html>\n", escaped(&config.to_toml()?));
    Ok(out)
}

/// The confusion matrix, the labels' scores or the predictions of a set.
fn details(
    out: &mut String,
    config: &Config,
    trainer: &Trainer,
    set: SetName,
    evaluated: &Evaluated,
) -> Result<(), Error> {
    let set = set.name();
    let names = &trainer.preprocessing().class_names;
    let class = |k: usize| names.get(k).cloned().unwrap_or_else(|| k.to_string());
    if !evaluated.confusion.is_empty() && evaluated.confusion.len() <= MOST_CLASSES {
        let _ = write!(
            out,
            "<h2>Confusion matrix of the {set} set</h2>\n<p>Rows are true classes, columns predictions.</p>\n"
        );
        out.push_str("<table class=\"m\">\n<tr><th></th>");
        let classes = evaluated.confusion.len();
        (0..classes).for_each(|k| {
            let _ = write!(out, "<th>{}</th>", escaped(&class(k)));
        });
        out.push_str("</tr>\n");
        for (label, counts) in evaluated.confusion.iter().enumerate() {
            let _ = write!(out, "<tr><th>{}</th>", escaped(&class(label)));
            let total = counts.iter().sum::<u64>().max(1) as f64;
            for (guess, count) in counts.iter().enumerate() {
                let share = *count as f64 / total;
                let colour = if guess == label { "31,104,180" } else { "217,95,14" };
                let _ = write!(out, "<td style=\"background:rgba({colour},{share:.3})\">{count}</td>");
            }
            out.push_str("</tr>\n");
        }
        out.push_str("</table>\n");
    }
    if !evaluated.labels.is_empty() {
        let _ = writeln!(out, "<h2>Labels of the {set} set</h2>");
        let cell = |value: Option<f64>| value.map_or("-".into(), |v| metric(Metric::F1, v));
        let rows: Vec<Vec<String>> = evaluated
            .labels
            .iter()
            .enumerate()
            .map(|(k, label)| {
                let scores = [label.precision, label.recall, label.f1, label.auroc].map(cell);
                [k.to_string(), grouped(label.positives)].into_iter().chain(scores).collect()
            })
            .collect();
        let header = ["label", "positives", "precision", "recall", "f1", "auroc"].map(String::from);
        out.push_str(&table(&header, &rows));
    }
    if !evaluated.predictions.is_empty() {
        let points: Vec<(f64, f64)> =
            evaluated.targets.iter().zip(&evaluated.predictions).map(|(&t, &p)| (f64::from(t), f64::from(p))).collect();
        let picture = plot::predictions(&config.name, &format!("{set} set"), &points).png()?;
        let _ = writeln!(out, "<h2>Predictions of the {set} set</h2>");
        out.push_str(&image(&picture, "predictions against targets"));
    }
    Ok(())
}

/// The layers with their output shapes and numbers of parameters.
fn network(trainer: &Trainer) -> String {
    use wgrad::nn::Mode;
    let model = trainer.model();
    let graph = Graph::new();
    let mut x = graph.input("x", [&[1], &model.input[..]].concat(), wgrad::DType::F32);
    let mut rows = vec![vec!["input".to_string(), String::new(), format!("{:?}", model.input), String::new()]];
    for (index, layer) in model.network.layers().iter().enumerate() {
        x = layer.forward(x, Mode::Eval);
        let parameters: usize = layer.parameters().iter().map(|(_, v)| v.tensor_type().shape.elements()).sum();
        let shape = x.shape().get(1..).map(<[usize]>::to_vec).unwrap_or_default();
        let count = if parameters == 0 { String::new() } else { grouped(parameters as u64) };
        rows.push(vec![index.to_string(), layer.name().to_string(), format!("{shape:?}"), count]);
    }
    let total = grouped(model.parameter_count() as u64);
    rows.push(vec!["total".into(), String::new(), String::new(), total]);
    table(&["layer", "type", "output", "parameters"].map(String::from), &rows)
}
