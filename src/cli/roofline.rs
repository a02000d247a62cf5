//! `--plot`: a roofline plot of the measured cases (Williams, Waterman and Patterson, "Roofline", 2009).
//!
//! Both axes are logarithmic: arithmetic intensity (FLOPs per byte) and FLOP/s. Cases without arithmetic are not plotted.

use std::collections::BTreeMap;
use wgrad::bench::{CaseResult, Report};
use wgrad::plot::{Colour, Figure, LineStyle, Marker, Panel};

/// A case that is plotted.
struct Point<'a> {
    case: &'a CaseResult,
    intensity: f64,
    gigaflops: f64,
}

/// The roofline plot of a report.
pub(super) fn figure(report: &Report) -> Figure {
    let points: Vec<Point<'_>> = (report.cases.iter())
        .filter(|case| case.flops > 0 && case.bytes > 0)
        .filter_map(|case| {
            let gigaflops = case.flops_per_second()? * 1e-9;
            Some(Point { case, intensity: case.flops as f64 / case.bytes as f64, gigaflops })
        })
        .collect();
    let peak = report.roof.flops_per_second * 1e-9;
    let streams: Vec<_> = report.roof.streams.iter().filter(|s| s.bytes_per_second > 0.0).collect();
    let corner = |bytes_per_second: f64| peak * 1e9 / bytes_per_second;
    let intensities = points.iter().map(|p| p.intensity).chain(streams.iter().map(|s| corner(s.bytes_per_second)));
    let (low, high) = intensities.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
    let (low, high) = if low > high { (0.1, 10.0) } else { (0.5 * low, 4.0 * high) };

    let mut panel = Panel::new("")
        .x_label("Arithmetic intensity: FLOPs per byte (inputs and result, each once)")
        .y_label("GFLOP/s")
        .log_x()
        .log_y();
    // The roofline: a bandwidth slope for each data size, up to the common compute peak.
    let first = streams.iter().map(|s| corner(s.bytes_per_second)).fold(high, f64::min);
    panel = panel.styled_line(
        format!("peak: {peak:.0} GFLOP/s"),
        Colour::GREY,
        LineStyle::Solid,
        [(first, peak), (high, peak)],
    );
    for stream in streams {
        let ends = [low, corner(stream.bytes_per_second)].map(|i| (i, i * stream.bytes_per_second * 1e-9));
        let name = format!("{:.1} GB/s at {}", stream.bytes_per_second * 1e-9, super::output::bytes(stream.bytes));
        panel = panel.styled_line(name, Colour::GREY, LineStyle::Dashed, ends);
    }
    let mut groups: BTreeMap<&str, Vec<&Point<'_>>> = BTreeMap::new();
    for point in &points {
        groups.entry(point.case.name.split('/').next().unwrap_or_default()).or_default().push(point);
    }
    const MARKERS: [Marker; 3] = [Marker::Circle, Marker::Square, Marker::Triangle];
    let mut taken: Vec<(f64, f64)> = Vec::new();
    for (index, (group, points)) in groups.iter().enumerate() {
        let places = points.iter().map(|p| (p.intensity, p.gigaflops));
        // Colour and shape together tell more groups apart than there are colours.
        let marker = MARKERS[(index / Colour::PALETTE.len() + index) % MARKERS.len()];
        panel = panel.styled_points(*group, Colour::nth(index), marker, 4.5, places);
        for point in points {
            // A label only where it overlaps no other; the table above has them all.
            let at = (point.intensity.log10(), point.gigaflops.log10());
            if taken.iter().all(|(x, y)| (x - at.0).abs() > 0.5 || (y - at.1).abs() > 0.1) {
                taken.push(at);
                let short = point.case.name.split_once('/').map_or(point.case.name.as_str(), |(_, shape)| shape);
                panel = panel.note(point.intensity, point.gigaflops, short);
            }
        }
    }
    Figure::new("Roofline of the measured kernels")
        .details(format!("{}, {}", report.machine.label(), report.date))
        .panel_size(1060.0, 600.0)
        .panel(panel)
}
