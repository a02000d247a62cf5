//! Where the parts of a panel go, and how its marks are drawn.

use super::axis::Axis;
use super::canvas::{Align, Canvas, DrawResult, FAINT, FRAME, GRID, INK, Rect};
use super::colour::{Colour, ColourMap};
use super::grid::Grid;
use super::panel::{Key, LineStyle, Mark, Panel};
use plotters::prelude::DrawingBackend;

const TITLE: f64 = 17.0;
const LEGEND: f64 = 14.0;
const LABEL: f64 = 15.0;
const TICK: f64 = 13.5;
/// A legend's line.
const LEGEND_ROW: f64 = 20.0;

/// A panel's axes in their place.
struct Frame {
    area: Rect,
    x: Axis,
    y: Axis,
}

impl Frame {
    /// The place of a point; beyond the edges for what lies outside, but not far.
    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let near = |position: f64| position.clamp(-10.0, 11.0);
        let area = &self.area;
        (area.left + area.width * near(self.x.position(x)), area.top + area.height * (1.0 - near(self.y.position(y))))
    }
    fn inside(&self, (x, y): (f64, f64)) -> bool {
        self.x.shows(x) && self.y.shows(y)
    }
    /// The part of a segment between two places that is inside (Liang and Barsky, 1984).
    fn clip(&self, a: (f64, f64), b: (f64, f64)) -> Option<[(f64, f64); 2]> {
        let (dx, dy) = (b.0 - a.0, b.1 - a.1);
        let (mut enter, mut leave) = (0.0f64, 1.0f64);
        let area = &self.area;
        for (p, q) in
            [(-dx, a.0 - area.left), (dx, area.right() - a.0), (-dy, a.1 - area.top), (dy, area.bottom() - a.1)]
        {
            if p == 0.0 {
                if q < -1e-6 {
                    return None;
                }
            } else if p < 0.0 {
                enter = enter.max(q / p);
            } else {
                leave = leave.min(q / p);
            }
        }
        let at = |t: f64| (a.0 + t * dx, a.1 + t * dy);
        (enter <= leave).then(|| [at(enter), at(leave)])
    }
    /// Places of a line's points, cut where it leaves the panel or a number is missing.
    fn pieces(&self, points: &[(f64, f64)]) -> Vec<Vec<(f64, f64)>> {
        let mut pieces: Vec<Vec<(f64, f64)>> = vec![Vec::new()];
        let place = |&(x, y): &(f64, f64)| Some(self.place((self.x.shown(x)?, self.y.shown(y)?)));
        let places: Vec<Option<(f64, f64)>> = points.iter().map(place).collect();
        if let [Some(only)] = places[..] {
            return vec![vec![only]];
        }
        for pair in places.windows(2) {
            let clipped = pair[0].zip(pair[1]).and_then(|(a, b)| self.clip(a, b));
            let Some([a, b]) = clipped else {
                pieces.push(Vec::new());
                continue;
            };
            let joined = pieces.last().and_then(|piece| piece.last()).is_some_and(|&end| end == a);
            if !joined {
                pieces.push(vec![a]);
            }
            if let Some(piece) = pieces.last_mut() {
                piece.push(b);
            }
        }
        pieces.retain(|piece| piece.len() > 1);
        pieces
    }
}

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
    let y_axis = |settings: &_| Axis::new(settings, ys.iter().copied(), ticks(height, 38.0));
    let mut y = y_axis(&y_settings);
    let names = |settings: &super::axis::AxisSettings, axis: &Axis| -> Vec<(f64, String)> {
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
    let frame = Frame { area, x, y };
    if has_title {
        canvas.text((area.left, cell.top + 9.0), Align::Left, TITLE, INK, &panel.title, cell.right() - area.left)?;
    }
    let legend_top = cell.top + if has_title { 29.0 } else { 11.0 };
    for (k, row) in rows.iter().enumerate() {
        draw_legend(canvas, row, area.left, legend_top + LEGEND_ROW * k as f64, cell.right() - area.left)?;
    }
    if map.is_none() {
        grid_lines(canvas, panel, &frame, &names(&panel.x, &frame.x), &y_names)?;
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
    axes(canvas, panel, &frame, &names(&panel.x, &frame.x), &y_names, cell)?;
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

fn draw_mark<B: DrawingBackend>(canvas: &Canvas<B>, frame: &Frame, mark: &Mark) -> DrawResult
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
            let limits = |(x, y): (f64, f64)| (x.clamp(area.left, area.right()), y.clamp(area.top, area.bottom()));
            let sound: Vec<_> =
                points.iter().filter(|p| p.0.is_finite() && p.1.is_finite() && p.2.is_finite()).collect();
            let lower = sound.iter().map(|p| limits(frame.place((p.0, p.1))));
            let upper = sound.iter().rev().map(|p| limits(frame.place((p.0, p.2))));
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
fn colour_range(map: ColourMap, grid: &Grid, given: Option<(f64, f64)>) -> (f64, f64) {
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
    let area = &frame.area;
    let limits = |(x, y): (f64, f64)| (x.clamp(area.left, area.right()), y.clamp(area.top, area.bottom()));
    for row in 0..grid.rows {
        let colours: Vec<Colour> =
            grid.values[row * grid.columns..][..grid.columns].iter().map(|&v| colour(v)).collect();
        let mut start = 0;
        for end in 1..=grid.columns {
            if end < grid.columns && colours[end] == colours[start] {
                continue;
            }
            let corner =
                |column, row| limits(frame.place((edge(grid.x, column, grid.columns), edge(grid.y, row, grid.rows))));
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
fn draw_colour_bar<B: DrawingBackend>(
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
    let settings = super::axis::AxisSettings { range: Some((low, high)), ..Default::default() };
    let axis = Axis::new(&settings, std::iter::empty(), (area.height / 38.0).clamp(2.0, 8.0));
    for k in 0..STEPS {
        let at = |k: usize| area.bottom() - area.height * k as f64 / STEPS as f64;
        canvas.fill((left, at(k)), (right, at(k + 1)), map.colour((k as f64 + 0.5) / STEPS as f64))?;
    }
    for tick in axis.ticks().into_iter().filter(|&t| (-1e-9..=1.0 + 1e-9).contains(&axis.position(t))) {
        let y = area.bottom() - area.height * axis.position(tick);
        canvas.text((right + 6.0, y), Align::Left, TICK, FAINT, &axis.label(tick), 48.0)?;
    }
    Ok(())
}
