//! The pictures.

use super::language::Language;
use super::table::{BEAMS, P, SAMPLES, START, STEPS, Table};
use super::writing::Writing;
use wgrad::plot::{Colour, Figure, LineStyle, Marker, Panel};

/// The probabilities of the token after the start, in each way of sampling.
pub(super) fn choices(table: &Table) -> Figure {
    let names = || (0..table.ways[0].probabilities.len()).map(|token| token.to_string());
    let panel = |title: &str| Panel::new(title).y_range(0.0, 1.0).x_categories(names());
    let bars = table.ways.iter().enumerate().map(|(k, way)| {
        let bars = way.probabilities.iter().enumerate().map(|(k, p)| (k as f64 - 0.4, k as f64 + 0.4, *p));
        let panel = panel(&way.name).x_label("Token").y_label("Probability");
        let panel =
            if k == 0 { panel } else { panel.styled_points("plain", Colour::GREY, Marker::Circle, 3.5, plain(table)) };
        panel.histogram("", bars)
    });
    let mut order: Vec<usize> = (0..table.ways[0].probabilities.len()).collect();
    let p = &table.ways[0].probabilities;
    order.sort_by(|a, b| p[*b].total_cmp(&p[*a]));
    let sums: Vec<f64> = order
        .iter()
        .scan(0.0, |sum, token| {
            *sum += p[*token];
            Some(*sum)
        })
        .collect();
    let cumulative = Panel::new("Added up: the nucleus ends above p")
        .x_label("Token, the likeliest first")
        .y_label("Probability so far")
        .y_range(0.0, 1.05)
        .x_categories(order.iter().map(ToString::to_string))
        .bars("", sums)
        .horizontal(P);
    Figure::new(format!("What the token after {START:?} is drawn with"))
        .columns(3)
        .panel_size(380.0, 290.0)
        .panels(bars)
        .panel(cumulative)
}

fn plain(table: &Table) -> Vec<(f64, f64)> {
    table.ways[0].probabilities.iter().enumerate().map(|(k, p)| (k as f64, *p)).collect()
}

/// What a beam search finds by its width, and the log-probabilities of samples.
pub(super) fn search(table: &Table) -> Figure {
    let points = || table.by_beams.iter().map(|(beams, found)| (*beams as f64, *found));
    let beams = Panel::new("The best sequence found")
        .x_label("Beams")
        .y_label("Log-probability")
        .log_x()
        .styled_line("", Colour::nth(0), LineStyle::Solid, points())
        .styled_points("beam search", Colour::nth(0), Marker::Circle, 4.0, points())
        .styled_points("greedy", Colour::nth(1), Marker::Square, 6.0, [(1.0, table.greedy.log_probability)])
        .styled_line("the likeliest of all", Colour::GREY, LineStyle::Dashed, [(1.0, table.most), (500.0, table.most)]);
    let (low, width) = (-26.0, 1.0);
    let share = |values: &[f64]| -> Vec<(f64, f64)> {
        let bin = |k: usize| low + width * k as f64;
        let count = |k: usize| values.iter().filter(|v| (bin(k)..bin(k + 1)).contains(*v)).count();
        (0..24).map(|k| (bin(k) + 0.5 * width, 100.0 * count(k) as f64 / values.len() as f64)).collect()
    };
    let styles = [LineStyle::Solid, LineStyle::Dashed, LineStyle::Dashed, LineStyle::Solid, LineStyle::Solid];
    let samples = Panel::new("Samples: where their log-probabilities are")
        .x_label(format!("Log-probability of {STEPS} tokens under the model"))
        .y_label("Samples (%)")
        .x_range(low, -2.0)
        .y_range(0.0, 37.0);
    let samples = table.ways.iter().enumerate().fold(samples, |panel, (k, way)| {
        panel.styled_line(way.name.clone(), Colour::nth(k), styles[k], share(&way.sampled))
    });
    let found = [
        ("greedy", Marker::Square, table.greedy.log_probability, 35.0),
        ("beam", Marker::Triangle, table.beams[0].log_probability, 32.5),
    ];
    let samples = found.into_iter().fold(samples, |panel, (name, marker, at, height)| {
        panel.styled_points(name, Colour(60, 60, 60), marker, 5.5, [(at, height)]).vertical(at)
    });
    Figure::new("Search and sampling")
        .details(format!("On the right the sequence of {BEAMS} beams, and {SAMPLES} samples of each kind"))
        .panel_size(560.0, 400.0)
        .panel(beams)
        .panel(samples)
}

/// The perplexity while training, and what obeys the grammar.
pub(super) fn language(language: &Language, writing: &Writing) -> Figure {
    let curve = |set: usize| language.perplexities.iter().enumerate().map(move |(k, p)| (k as f64 + 1.0, p[set]));
    let last = language.perplexities.len() as f64;
    let perplexity = Panel::new("Perplexity of a character")
        .x_label("Epoch")
        .y_label("Perplexity")
        .counts()
        .curve("training", Colour::nth(0), curve(0))
        .curve("validation", Colour::nth(1), curve(1))
        .styled_line(
            "the grammar's own",
            Colour::GREY,
            LineStyle::Dashed,
            [(1.0, language.floor), (last, language.floor)],
        );
    let bars = |from: f64, of: fn(&super::writing::Written) -> f64| {
        writing.strategies.iter().enumerate().map(move |(k, w)| (k as f64 + from, k as f64 + from + 0.27, of(w)))
    };
    let grammar = Panel::new("Sentences that are written")
        .y_label("Sentences (%)")
        .y_range(0.0, 100.0)
        .histogram("right", bars(-0.4, |w| w.right))
        .histogram("verb disagrees", bars(-0.13, |w| w.disagreeing))
        .histogram("wrong words", bars(0.14, |w| w.broken))
        .x_categories(writing.strategies.iter().map(|w| w.name.clone()));
    Figure::new("A small transformer writes sentences")
        .columns(1)
        .panel_size(900.0, 320.0)
        .panel(perplexity)
        .panel(grammar)
}
