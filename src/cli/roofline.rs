//! `--plot`: a roofline plot of the measured cases, as SVG.
//!
//! Both axes are logarithmic: arithmetic intensity (FLOPs per byte) and FLOP/s. Cases without arithmetic are not
//! plotted. The SVG is simple enough to be written directly, without a drawing library. Each point has a tooltip with
//! its figures.

use std::collections::BTreeMap;
use std::fmt::Write;
use wgrad::bench::{CaseResult, Report};

const WIDTH: f64 = 1100.0;
const HEIGHT: f64 = 640.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 250.0;
const TOP: f64 = 90.0;
const BOTTOM: f64 = 60.0;
/// The colours of the groups of cases, used cyclically.
const COLOURS: [&str; 8] = ["#1f68b4", "#d95f0e", "#2c8c3c", "#8e44ad", "#b8860b", "#c0392b", "#16808a", "#6b4c2a"];

/// A logarithmic axis of whole decades.
#[derive(Debug, Clone, Copy)]
struct Axis {
    low: i32,
    high: i32,
    from: f64,
    to: f64,
}

impl Axis {
    fn around(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (low, high) = values
            .filter(|v| v.is_finite() && *v > 0.0)
            .map(f64::log10)
            .fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
        let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
        let low = (low - 0.05).floor() as i32;
        Axis { low, high: ((high + 0.05).ceil() as i32).max(low + 1), from, to }
    }
    fn position(&self, value: f64) -> f64 {
        let fraction = (value.log10() - f64::from(self.low)) / f64::from(self.high - self.low);
        self.from + (self.to - self.from) * fraction.clamp(0.0, 1.0)
    }
    fn decades(&self) -> impl Iterator<Item = i32> {
        self.low..=self.high
    }
}

/// A case that is plotted.
struct Point<'a> {
    case: &'a CaseResult,
    intensity: f64,
    rate: f64,
}

fn escape(text: &str) -> String {
    let clean: String = text.chars().filter(|c| !c.is_control()).collect();
    clean.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A power of ten: 0.01, 1, 1000, 1e6.
fn power(exponent: i32) -> String {
    match exponent {
        -3..=-1 => format!("{:.*}", exponent.unsigned_abs() as usize, 10f64.powi(exponent)),
        0..=4 => format!("{}", 10f64.powi(exponent)),
        _ => format!("1e{exponent}"),
    }
}

/// The roofline plot of a report.
pub(super) fn svg(report: &Report) -> String {
    let points: Vec<Point<'_>> = (report.cases.iter())
        .filter(|case| case.flops > 0 && case.bytes > 0)
        .filter_map(|case| {
            let rate = case.flops_per_second()?;
            Some(Point { case, intensity: case.flops as f64 / case.bytes as f64, rate })
        })
        .collect();
    let roof = &report.roof;
    let peak = roof.flops_per_second;
    let streams: Vec<f64> = roof.streams.iter().map(|s| s.bytes_per_second).filter(|&b| b > 0.0).collect();
    let corners = streams.iter().map(|b| peak / b);
    let x = Axis::around(points.iter().map(|p| p.intensity).chain(corners), LEFT, WIDTH - RIGHT);
    let rates = points.iter().map(|p| p.rate).chain([peak]).map(|r| r * 1e-9);
    let y = Axis::around(rates, HEIGHT - BOTTOM, TOP);

    let mut out = String::new();
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"13\" fill=\"#232830\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>"
    );
    let text = |out: &mut String, x: f64, y: f64, style: &str, text: &str| {
        let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" {style}>{}</text>", escape(text));
    };
    text(&mut out, LEFT, 34.0, "font-size=\"20\"", "Roofline of the measured kernels");
    let subtitle = format!("{}, {}", report.machine.label(), report.date);
    text(&mut out, LEFT, 58.0, "fill=\"#69707a\"", &subtitle);
    let line = |out: &mut String, from: [f64; 2], to: [f64; 2], style: &str| {
        let ([x0, y0], [x1, y1]) = (from, to);
        let _ = writeln!(out, "<line x1=\"{x0:.1}\" y1=\"{y0:.1}\" x2=\"{x1:.1}\" y2=\"{y1:.1}\" {style}/>");
    };
    for decade in x.decades() {
        let at = x.position(10f64.powi(decade));
        line(&mut out, [at, TOP], [at, HEIGHT - BOTTOM], "stroke=\"#e5e8ec\"");
        text(&mut out, at, HEIGHT - BOTTOM + 20.0, "text-anchor=\"middle\" fill=\"#69707a\"", &power(decade));
    }
    for decade in y.decades() {
        let at = y.position(10f64.powi(decade));
        line(&mut out, [LEFT, at], [WIDTH - RIGHT, at], "stroke=\"#e5e8ec\"");
        text(&mut out, LEFT - 8.0, at + 4.5, "text-anchor=\"end\" fill=\"#69707a\"", &power(decade));
    }
    let middle = 0.5 * (LEFT + WIDTH - RIGHT);
    text(
        &mut out,
        middle,
        HEIGHT - 16.0,
        "text-anchor=\"middle\"",
        "Arithmetic intensity: FLOPs per byte (inputs and result, each once)",
    );
    text(&mut out, 14.0, TOP - 10.0, "", "GFLOP/s");

    // The roofline: a bandwidth slope for each data size, up to the common compute peak.
    let (left, right) = (10f64.powi(x.low), 10f64.powi(x.high));
    let first = streams.iter().map(|b| peak / b).fold(right, f64::min).max(left);
    let flat = "stroke=\"#232830\" stroke-width=\"2\"";
    line(&mut out, [x.position(first), y.position(peak * 1e-9)], [x.position(right), y.position(peak * 1e-9)], flat);
    let label = format!("{:.0} GFLOP/s", peak * 1e-9);
    text(&mut out, x.position(right) + 6.0, y.position(peak * 1e-9) + 4.5, "", &label);
    for stream in roof.streams.iter().filter(|s| s.bytes_per_second > 0.0) {
        let rate = |intensity: f64| (intensity * stream.bytes_per_second).min(peak);
        let corner = (peak / stream.bytes_per_second).clamp(left, right);
        // Starts where the slope enters the plot.
        let start = (10f64.powi(y.low) * 1e9 / stream.bytes_per_second).clamp(left, corner);
        let ends = [start, corner].map(|i| [x.position(i), y.position(rate(i) * 1e-9)]);
        let _ =
            writeln!(out, "<g><title>{:.1} GB/s for {} bytes</title>", stream.bytes_per_second * 1e-9, stream.bytes);
        line(&mut out, ends[0], ends[1], "stroke=\"#232830\" stroke-width=\"1.3\" stroke-dasharray=\"5 4\"");
        out.push_str("</g>\n");
    }

    let mut groups: BTreeMap<&str, Vec<&Point<'_>>> = BTreeMap::new();
    for point in &points {
        groups.entry(point.case.name.split('/').next().unwrap_or_default()).or_default().push(point);
    }
    let mut taken: Vec<(f64, f64)> = Vec::new();
    for (index, (group, points)) in groups.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let row = TOP + 60.0 + 22.0 * index as f64;
        let key = WIDTH - RIGHT + 110.0;
        let _ = writeln!(out, "<circle cx=\"{key:.1}\" cy=\"{row:.1}\" r=\"5\" fill=\"{colour}\"/>");
        text(&mut out, key + 12.0, row + 4.5, "", group);
        for point in points {
            let (cx, cy) = (x.position(point.intensity), y.position(point.rate * 1e-9));
            let percent = point.case.percent_of(roof).unwrap_or_default();
            let about =
                format!("{}: {:.2} GFLOP/s, {percent:.1} % of the roofline", point.case.name, point.rate * 1e-9);
            let _ = writeln!(
                out,
                "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"5\" fill=\"{colour}\" fill-opacity=\"0.75\">\
                 <title>{}</title></circle>",
                escape(&about)
            );
            // A label only where it overlaps no other; the tooltip has the name anyway.
            if taken.iter().all(|(tx, ty)| (tx - cx).abs() > 120.0 || (ty - cy).abs() > 11.0) {
                taken.push((cx, cy));
                let short = point.case.name.split_once('/').map_or(point.case.name.as_str(), |(_, shape)| shape);
                text(&mut out, cx + 8.0, cy + 4.0, &format!("font-size=\"10\" fill=\"{colour}\""), short);
            }
        }
    }
    out.push_str("</svg>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_hold_whole_decades() {
        let axis = Axis::around([0.3, 40.0].into_iter(), 0.0, 100.0);
        assert_eq!((axis.low, axis.high), (-1, 2));
        assert_eq!((axis.position(0.1), axis.position(100.0), axis.position(1e9)), (0.0, 100.0, 100.0));
        let empty = Axis::around([f64::NAN, 0.0].into_iter(), 0.0, 1.0);
        assert_eq!((empty.low, empty.high), (-1, 2));
        assert_eq!([-2, 0, 3, 6].map(power), ["0.01", "1", "1000", "1e6"]);
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(escape("a<b & \"c\"\n"), "a&lt;b &amp; &quot;c&quot;");
    }
}
