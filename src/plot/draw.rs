//! Where the parts of a panel go: title, legend, axes.

use super::axis::{Axis, AxisSettings};
use super::canvas::{Align, Canvas, DrawResult, FAINT, FRAME, GRID, INK, Rect, TICK};
use super::colour::Colour;
use super::frame::Frame;
use super::marks::{colour_range, draw_colour_bar, draw_mark};
use super::panel::{Key, LineStyle, Mark, Panel};
use plotters::prelude::DrawingBackend;

const TITLE: f64 = 17.0;
const LEGEND: f64 = 14.0;
const LABEL: f64 = 15.0;
/// A legend's line.
const LEGEND_ROW: f64 = 20.0;

/// What the legend shows of a mark: a stroke, a point or a patch.
fn sample(mark: &Mark) -> Option<Colour> {
    match mark {
        Mark::Line { colour, .. } | Mark::Points { colour, .. } | Mark::Bars { colour, .. } => Some(*colour),
        Mark::Band { colour, .. } | Mark::Contours { colour, .. } => Some(*colour),
        _ => None,
    }
}

/// The legend's entries, in rows that fit.
fn legend<'p, B: DrawingBackend>(
    canvas: &Canvas<B>,
    panel: &'p Panel,
    width: f64,
) -> DrawResult<Vec<Vec<(&'p str, &'p Mark)>>>
where
    B::ErrorType: 'static,
{
    let mut rows: Vec<Vec<(&str, &Mark)>> = Vec::new();
    let mut room = 0.0;
    let mut named: Vec<&str> = Vec::new();
    for (name, mark) in &panel.marks {
        if name.is_empty() || sample(mark).is_none() || named.contains(&name.as_str()) {
            continue;
        }
        named.push(name);
        let needed = canvas.text_width(LEGEND, name)?.min(width - 34.0) + 50.0;
        match rows.last_mut() {
            Some(row) if needed <= room => row.push((name, mark)),
            _ => {
                rows.push(vec![(name, mark)]);
                room = width + 16.0;
            }
        }
        room -= needed;
    }
    Ok(rows)
}

/// Draws a panel into its cell.
pub(super) fn panel<B: DrawingBackend>(canvas: &Canvas<B>, panel: &Panel, cell: Rect) -> DrawResult
where
    B::ErrorType: 'static,
{
    let map = panel.map();
    let (xs, ys) = panel.extent();
    let ticks = |pixels: f64, each: f64| (pixels / each).clamp(2.0, 10.0);
    let of_map = |own: Option<(f64, f64)>, map: Option<(f64, f64)>| own.or(map.filter(|(low, high)| low != high));
    let mut x_settings = panel.x.clone();
    let mut y_settings = panel.y.clone();
    x_settings.range = of_map(x_settings.range, map.map(|g| g.x));
    y_settings.range = of_map(y_settings.range, map.map(|g| g.y));
    let turned = y_settings.range.filter(|(low, high)| low > high);
    if let Some((low, high)) = turned {
        y_settings.range = Some((high, low));
    }
    // Heights first, then what is left and right of the area.
    let has_title = !panel.title.is_empty();
    let x_below = if panel.x.hidden { 6.0 } else { 24.0 } + if panel.x.label.is_empty() { 0.0 } else { 20.0 };
    let rows = legend(canvas, panel, cell.width - 60.0)?;
    let above = if has_title { 26.0 } else { 8.0 } + LEGEND_ROW * rows.len() as f64;
    let height = (cell.height - above - x_below).max(20.0);
    let mut y = Axis::new(&y_settings, ys.iter().copied(), ticks(height, 38.0));
    let names = |settings: &AxisSettings, axis: &Axis| -> Vec<(f64, String)> {
        if settings.hidden {
            return Vec::new();
        }
        if settings.categories.is_empty() {
            return axis.ticks().into_iter().map(|v| (v, axis.label(v))).collect();
        }
        settings.categories.iter().enumerate().map(|(k, name)| (k as f64, name.clone())).collect()
    };
    let y_names = names(&panel.y, &y);
    if turned.is_some() {
        std::mem::swap(&mut y.low, &mut y.high);
    }
    let mut widest = 0.0f64;
    for (_, name) in &y_names {
        widest = widest.max(canvas.text_width(TICK, name)?);
    }
    let before = widest.min(0.4 * cell.width)
        + if y_names.is_empty() { 6.0 } else { 14.0 }
        + if panel.y.label.is_empty() { 0.0 } else { 22.0 };
    let colour_bar = panel.marks.iter().find_map(|(_, mark)| match mark {
        Mark::HeatMap { map, grid, range, key: Key::Bar } => Some((*map, colour_range(*map, grid, *range))),
        _ => None,
    });
    let after = if colour_bar.is_some() { 84.0 } else { 14.0 };
    let mut area = Rect {
        left: cell.left + before,
        top: cell.top + above,
        width: (cell.width - before - after).max(20.0),
        height,
    };
    if panel.square {
        let side = area.width.min(area.height);
        (area.width, area.height) = (side, side);
    }
    let x = Axis::new(&x_settings, xs.iter().copied(), ticks(area.width, 62.0));
    let x_names = names(&panel.x, &x);
    let frame = Frame { area, x, y };
    if has_title {
        canvas.text((area.left, cell.top + 9.0), Align::Left, TITLE, INK, &panel.title, cell.right() - area.left)?;
    }
    let legend_top = cell.top + if has_title { 29.0 } else { 11.0 };
    for (k, row) in rows.iter().enumerate() {
        draw_legend(canvas, row, area.left, legend_top + LEGEND_ROW * k as f64, cell.right() - area.left)?;
    }
    if map.is_none() {
        grid_lines(canvas, panel, &frame, &x_names, &y_names)?;
    }
    if panel.diagonal {
        let (low, high) = (frame.x.low.max(frame.y.low), frame.x.high.min(frame.y.high));
        for piece in frame.pieces(&[(low, low), (high, high)]) {
            canvas.line(&piece, FRAME, LineStyle::Solid, 1.0, false)?;
        }
    }
    // Areas lie behind lines and points, whatever their order.
    let is_area = |mark: &Mark| matches!(mark, Mark::HeatMap { .. } | Mark::Regions { .. } | Mark::Band { .. });
    for areas in [true, false] {
        for (_, mark) in panel.marks.iter().filter(|(_, mark)| is_area(mark) == areas) {
            draw_mark(canvas, &frame, mark)?;
        }
    }
    axes(canvas, panel, &frame, &x_names, &y_names, cell)?;
    match colour_bar {
        Some((map, range)) => draw_colour_bar(canvas, &frame, map, range),
        None => Ok(()),
    }
}

fn draw_legend<B: DrawingBackend>(canvas: &Canvas<B>, row: &[(&str, &Mark)], left: f64, y: f64, room: f64) -> DrawResult
where
    B::ErrorType: 'static,
{
    let mut x = left;
    for (name, mark) in row {
        // A light line is seen on dark only.
        if sample(mark).is_some_and(Colour::is_light) {
            canvas.fill((x - 3.0, y - 7.0), (x + 27.0, y + 9.0), INK)?;
        }
        match mark {
            Mark::Line { colour, style, width, .. } => {
                canvas.line(&[(x, y + 1.0), (x + 24.0, y + 1.0)], *colour, *style, width + 0.5, false)?;
            }
            Mark::Contours { colour, .. } => {
                canvas.line(&[(x, y + 1.0), (x + 24.0, y + 1.0)], *colour, LineStyle::Solid, 1.5, false)?;
            }
            Mark::Points { colour, marker, .. } => canvas.point((x + 12.0, y + 1.0), *colour, *marker, 4.0, 1.0)?,
            Mark::Bars { colour, .. } => canvas.fill((x + 5.0, y - 5.0), (x + 19.0, y + 7.0), *colour)?,
            Mark::Band { colour, .. } => canvas.fill((x, y - 5.0), (x + 24.0, y + 7.0), colour.tint(0.25))?,
            _ => {}
        }
        let width = canvas.text((x + 31.0, y), Align::Left, LEGEND, INK, name, (left + room - x - 31.0).max(20.0))?;
        x += width + 50.0;
    }
    Ok(())
}

fn grid_lines<B: DrawingBackend>(
    canvas: &Canvas<B>,
    panel: &Panel,
    frame: &Frame,
    x_names: &[(f64, String)],
    y_names: &[(f64, String)],
) -> DrawResult
where
    B::ErrorType: 'static,
{
    let area = &frame.area;
    if panel.y.categories.is_empty() {
        for (tick, _) in y_names {
            let y = frame.place((frame.x.low, *tick)).1;
            canvas.rule((area.left, y), (area.right(), y), 1.0, GRID)?;
        }
    }
    if panel.x.categories.is_empty() {
        for (tick, _) in x_names {
            let x = frame.place((*tick, frame.y.low)).0;
            canvas.rule((x, area.top), (x, area.bottom()), 1.0, GRID)?;
        }
    }
    Ok(())
}

/// The lines of the axes, their numbers and labels.
fn axes<B: DrawingBackend>(
    canvas: &Canvas<B>,
    panel: &Panel,
    frame: &Frame,
    x_names: &[(f64, String)],
    y_names: &[(f64, String)],
    cell: Rect,
) -> DrawResult
where
    B::ErrorType: 'static,
{
    let area = &frame.area;
    let (left, right, top, bottom) = (area.left, area.right(), area.top, area.bottom());
    for (tick, name) in y_names {
        let y = frame.place((frame.x.low, *tick)).1;
        if (top - 1.0..=bottom + 1.0).contains(&y) {
            canvas.text((left - 8.0, y), Align::Right, TICK, FAINT, name, 0.4 * cell.width)?;
        }
    }
    // Names that would run into each other are shortened.
    let room = (area.width / x_names.len().max(1) as f64 - 4.0).max(24.0);
    let room = if panel.x.categories.is_empty() { 100.0 } else { room };
    for (tick, name) in x_names {
        let x = frame.place((*tick, frame.y.low)).0;
        if (left - 1.0..=right + 1.0).contains(&x) {
            canvas.text((x, bottom + 14.0), Align::Center, TICK, FAINT, name, room)?;
        }
    }
    canvas.rule((left, bottom), (right, bottom), 1.2, FRAME)?;
    canvas.rule((left, top), (left, bottom), 1.2, FRAME)?;
    if panel.map().is_some() {
        canvas.rule((left, top), (right, top), 1.2, FRAME)?;
        canvas.rule((right, top), (right, bottom), 1.2, FRAME)?;
    }
    let label_y = bottom + if panel.x.hidden { 12.0 } else { 34.0 };
    canvas.text((0.5 * (left + right), label_y), Align::Center, LABEL, INK, &panel.x.label, cell.width)?;
    canvas.upright_text((cell.left + 8.0, 0.5 * (top + bottom)), LABEL, INK, &panel.y.label, cell.height)
}
