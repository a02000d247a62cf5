//! How marks are drawn.

use super::axis::{Axis, AxisSettings};
use super::canvas::{Align, Canvas, DrawResult, FAINT, GRID, INK, TICK};
use super::colour::{Colour, ColourMap};
use super::frame::Frame;
use super::grid::Grid;
use super::panel::{Key, LineStyle, Mark};
use plotters::prelude::DrawingBackend;

/// Draws a mark between the axes.
pub(super) fn draw_mark<B: DrawingBackend>(canvas: &Canvas<B>, frame: &Frame, mark: &Mark) -> DrawResult
where
    B::ErrorType: 'static,
{
    let area = &frame.area;
    match mark {
        Mark::Line { colour, style, width, end, points } => {
            let pieces = frame.pieces(points);
            let last = pieces.len().saturating_sub(1);
            for (k, piece) in pieces.iter().enumerate() {
                canvas.line(piece, *colour, *style, *width, *end && k == last)?;
            }
        }
        Mark::Points { colour, marker, size, points } => {
            let shown: Vec<_> = points.iter().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
            let opacity = if shown.len() > 300 { 0.5 } else { 0.9 };
            let every = shown.len().div_ceil(2000).max(1);
            for &&point in shown.iter().step_by(every).filter(|point| frame.inside(***point)) {
                canvas.point(frame.place(point), *colour, *marker, *size, opacity)?;
            }
        }
        Mark::Bars { colour, bars } => {
            for &(from, to, height) in bars.iter().filter(|b| b.2.is_finite()) {
                let limits = |y: f64| y.clamp(area.top, area.bottom());
                let ((x0, y0), (x1, y1)) = (frame.place((from, 0.0)), frame.place((to, height)));
                canvas.fill((x0.max(area.left), limits(y0)), (x1.min(area.right()), limits(y1)), *colour)?;
            }
        }
        Mark::Band { colour, points } => {
            let sound: Vec<_> =
                points.iter().filter(|p| p.0.is_finite() && p.1.is_finite() && p.2.is_finite()).collect();
            let lower = sound.iter().map(|p| area.clamp(frame.place((p.0, p.1))));
            let upper = sound.iter().rev().map(|p| area.clamp(frame.place((p.0, p.2))));
            if sound.len() > 1 {
                canvas.polygon(lower.chain(upper), colour.tint(0.25))?;
            }
        }
        Mark::HeatMap { map, grid, range, key } => {
            let (low, high) = colour_range(*map, grid, *range);
            let share = |v: f64| if high > low { (v - low) / (high - low) } else { 0.5 };
            cells(canvas, frame, grid, |v| map.colour(share(v)))?;
            if *key == Key::Numbers {
                cell_numbers(canvas, frame, grid, |v| {
                    let Colour(r, g, b) = map.colour(share(v));
                    if u32::from(r) + u32::from(g) + u32::from(b) < 380 { Colour(255, 255, 255) } else { INK }
                })?;
            }
        }
        Mark::Regions { grid } => {
            cells(
                canvas,
                frame,
                grid,
                |v| if v.is_finite() { Colour::nth(v.max(0.0) as usize).tint(0.3) } else { GRID },
            )?;
        }
        Mark::Contours { colour, grid, levels } => {
            for line in levels.iter().flat_map(|&level| grid.lines_at(level)) {
                for piece in frame.pieces(&line) {
                    canvas.line(&piece, *colour, LineStyle::Solid, 1.2, false)?;
                }
            }
        }
        Mark::Horizontal { y } if frame.y.shows(*y) => {
            let y = area.top + area.height * (1.0 - frame.y.position(*y));
            canvas.rule((area.left, y), (area.right(), y), 1.4, Colour::GREY)?;
        }
        Mark::Vertical { x } if frame.x.shows(*x) => {
            let x = area.left + area.width * frame.x.position(*x);
            canvas.rule((x, area.top), (x, area.bottom()), 1.4, Colour::GREY)?;
        }
        Mark::Note { x, y, text } if frame.inside((*x, *y)) => {
            let (x, y) = frame.place((*x, *y));
            let right = x > area.left + 0.75 * area.width;
            let (align, offset) = if right { (Align::Right, -8.0) } else { (Align::Left, 8.0) };
            canvas.text((x + offset, y - 9.0), align, TICK, INK, text, area.width)?;
        }
        Mark::Horizontal { .. } | Mark::Vertical { .. } | Mark::Note { .. } => {}
    }
    Ok(())
}

/// The numbers at the ends of a colour map: a diverging one has 0 in its middle.
pub(super) fn colour_range(map: ColourMap, grid: &Grid, given: Option<(f64, f64)>) -> (f64, f64) {
    if let Some(range) = given.filter(|(low, high)| low < high) {
        return range;
    }
    let (low, high) = grid.ends().unwrap_or((0.0, 1.0));
    let size = low.abs().max(high.abs());
    if map == ColourMap::Diverging { (-size, size) } else { (low, high) }
}

/// Draws a grid's cells; neighbours of one colour in a row are one rectangle.
fn cells<B: DrawingBackend>(
    canvas: &Canvas<B>,
    frame: &Frame,
    grid: &Grid,
    colour: impl Fn(f64) -> Colour,
) -> DrawResult
where
    B::ErrorType: 'static,
{
    let edge = |(low, high): (f64, f64), k: usize, n: usize| low + (high - low) * k as f64 / n as f64;
    for row in 0..grid.rows {
        let colours: Vec<Colour> =
            grid.values[row * grid.columns..][..grid.columns].iter().map(|&v| colour(v)).collect();
        let mut start = 0;
        for end in 1..=grid.columns {
            if end < grid.columns && colours[end] == colours[start] {
                continue;
            }
            let corner = |column, row| {
                frame.area.clamp(frame.place((edge(grid.x, column, grid.columns), edge(grid.y, row, grid.rows))))
            };
            canvas.fill(corner(start, row), corner(end, row + 1), colours[start])?;
            start = end;
        }
    }
    Ok(())
}

fn cell_numbers<B: DrawingBackend>(
    canvas: &Canvas<B>,
    frame: &Frame,
    grid: &Grid,
    colour: impl Fn(f64) -> Colour,
) -> DrawResult
where
    B::ErrorType: 'static,
{
    let room = frame.area.width / grid.columns as f64 - 2.0;
    for (&value, at) in grid.values.iter().zip(grid.centres()).filter(|(v, _)| v.is_finite()) {
        let value = if value == 0.0 { 0.0 } else { value };
        let text = if value.fract() == 0.0 { format!("{value}") } else { format!("{value:.2}") };
        canvas.text(frame.place(at), Align::Center, TICK, colour(value), &text, room)?;
    }
    Ok(())
}

/// A bar beside a heat map that says which colour is which number.
pub(super) fn draw_colour_bar<B: DrawingBackend>(
    canvas: &Canvas<B>,
    frame: &Frame,
    map: ColourMap,
    (low, high): (f64, f64),
) -> DrawResult
where
    B::ErrorType: 'static,
{
    const STEPS: usize = 60;
    let area = &frame.area;
    let (left, right) = (area.right() + 16.0, area.right() + 30.0);
    let settings = AxisSettings { range: Some((low, high)), ..Default::default() };
    let axis = Axis::new(&settings, std::iter::empty(), (area.height / 38.0).clamp(2.0, 8.0));
    for k in 0..STEPS {
        let at = |k: usize| area.bottom() - area.height * k as f64 / STEPS as f64;
        canvas.fill((left, at(k)), (right, at(k + 1)), map.colour((k as f64 + 0.5) / STEPS as f64))?;
    }
    for tick in axis.ticks().into_iter().filter(|&t| axis.shows(t)) {
        let y = area.bottom() - area.height * axis.position(tick);
        canvas.text((right + 6.0, y), Align::Left, TICK, FAINT, &axis.label(tick), 48.0)?;
    }
    Ok(())
}
