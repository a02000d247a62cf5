//! Lines, rectangles, texts on plotters' backends, in pixels of the finished picture.
//!
//! A bitmap is drawn at three times its size and averaged down, for antialiased lines; an SVG file has three units a pixel,
//! because plotters' coordinates are whole numbers.

use super::colour::Colour;
use super::encode::Image;
use super::panel::{LineStyle, Marker};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, FontTransform, register_font};

const SCALE: usize = 3;
/// Measured with the built-in font; what shows an SVG file takes its own.
const FONT: &str = "sans-serif";
/// The maximum number of points drawn per line; more would be indistinguishable.
const MAX_POINTS: usize = 2000;

/// The size of the numbers at axes and in cells.
pub(super) const TICK: f64 = 13.5;

pub(super) const INK: Colour = Colour(35, 40, 48);
pub(super) const FAINT: Colour = Colour(105, 112, 122);
pub(super) const GRID: Colour = Colour(229, 232, 236);
pub(super) const FRAME: Colour = Colour(170, 176, 184);

pub(super) type DrawResult<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Where a text's anchor is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Align {
    Left,
    Center,
    Right,
}

/// A rectangle in pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rect {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Rect {
    pub(super) fn right(&self) -> f64 {
        self.left + self.width
    }
    pub(super) fn bottom(&self) -> f64 {
        self.top + self.height
    }
    /// The nearest place inside.
    pub(super) fn clamp(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (x.clamp(self.left, self.right()), y.clamp(self.top, self.bottom()))
    }
}

pub(super) struct Canvas<B: DrawingBackend> {
    area: DrawingArea<B, Shift>,
}

fn scaled(size: (f64, f64)) -> (u32, u32) {
    let whole = |v: f64| v.round() as u32 * SCALE as u32;
    (whole(size.0), whole(size.1))
}

fn fonts() -> DrawResult {
    register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)
        .map_err(|_| "the built-in font cannot be read".into())
}

/// Draws pixels.
pub(super) fn bitmap(
    size: (f64, f64),
    draw: impl FnOnce(&Canvas<BitMapBackend<'_>>) -> DrawResult,
) -> DrawResult<Image> {
    fonts()?;
    let (width, height) = scaled(size);
    let mut pixels = vec![255u8; width as usize * height as usize * 3];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
        area.fill(&WHITE)?;
        let canvas = Canvas { area };
        draw(&canvas)?;
        canvas.area.present()?;
    }
    Ok(Image { width: width as usize, height: height as usize, pixels }.shrink(SCALE))
}

/// Draws an SVG file.
pub(super) fn vector(size: (f64, f64), draw: impl FnOnce(&Canvas<SVGBackend<'_>>) -> DrawResult) -> DrawResult<String> {
    fonts()?;
    let (width, height) = scaled(size);
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (width, height)).into_drawing_area();
        area.fill(&WHITE)?;
        let canvas = Canvas { area };
        draw(&canvas)?;
        canvas.area.present()?;
    }
    // The size in pixels; the view box keeps the finer units.
    let (from, to) =
        (format!("width=\"{width}\" height=\"{height}\""), format!("width=\"{}\" height=\"{}\"", size.0, size.1));
    Ok(text.replacen(&from, &to, 1))
}

fn pixel((x, y): (f64, f64)) -> (i32, i32) {
    ((x * SCALE as f64).round() as i32, (y * SCALE as f64).round() as i32)
}

impl<B: DrawingBackend> Canvas<B>
where
    B::ErrorType: 'static,
{
    /// Draws a line through points, with round joints, and a dot at its end if asked.
    pub(super) fn line(
        &self,
        points: &[(f64, f64)],
        colour: Colour,
        style: LineStyle,
        width: f64,
        end: bool,
    ) -> DrawResult {
        let every = points.len().div_ceil(MAX_POINTS).max(1);
        let last = points.len().saturating_sub(1);
        let kept = points.iter().enumerate().filter(|(i, _)| i % every == 0 || *i == last);
        let kept: Vec<(f64, f64)> = kept.map(|(_, &point)| point).collect();
        let stroke = colour.rgb().stroke_width((width * SCALE as f64).round().max(1.0) as u32);
        let pieces = match style {
            LineStyle::Solid => vec![kept.clone()],
            LineStyle::Dashed => dashes(&kept, 7.0, 5.0),
        };
        for piece in &pieces {
            for pair in piece.windows(2) {
                self.area.draw(&PathElement::new([pixel(pair[0]), pixel(pair[1])], stroke))?;
            }
            for &joint in piece.iter().skip(1).take(piece.len().saturating_sub(2)) {
                self.area.draw(&Circle::new(
                    pixel(joint),
                    (0.5 * width * SCALE as f64) as i32,
                    colour.rgb().filled(),
                ))?;
            }
        }
        if let Some(&at) = kept.last().filter(|_| end || kept.len() == 1) {
            self.area.draw(&Circle::new(pixel(at), 4 * SCALE as i32, colour.rgb().filled()))?;
        }
        Ok(())
    }

    /// Draws a point of radius `size`, partly transparent if there are many.
    pub(super) fn point(&self, at: (f64, f64), colour: Colour, marker: Marker, size: f64, opacity: f64) -> DrawResult {
        let style = colour.rgb().mix(opacity).filled();
        let (x, y) = at;
        match marker {
            Marker::Circle => {
                self.area.draw(&Circle::new(pixel(at), (size * SCALE as f64).round() as i32, style))?;
            }
            Marker::Square => {
                let half = 0.9 * size;
                let corners = [pixel((x - half, y - half)), pixel((x + half, y + half))];
                self.area.draw(&Rectangle::new(corners, style))?;
            }
            Marker::Triangle => {
                let corners = [(x, y - 1.2 * size), (x + 1.1 * size, y + 0.8 * size), (x - 1.1 * size, y + 0.8 * size)];
                self.area.draw(&Polygon::new(corners.map(pixel), style))?;
            }
            Marker::Cross => {
                let stroke = colour.rgb().stroke_width(2 * SCALE as u32);
                for (dx, dy) in [(size, size), (size, -size)] {
                    let ends = [pixel((x - dx, y - dy)), pixel((x + dx, y + dy))];
                    self.area.draw(&PathElement::new(ends, stroke))?;
                }
            }
        }
        Ok(())
    }

    /// Fills a rectangle given by two corners.
    pub(super) fn fill(&self, from: (f64, f64), to: (f64, f64), colour: Colour) -> DrawResult {
        let ((x0, y0), (x1, y1)) = (pixel(from), pixel(to));
        let corners = [(x0.min(x1), y0.min(y1)), (x0.max(x1), y0.max(y1))];
        self.area.draw(&Rectangle::new(corners, colour.rgb().filled()))?;
        Ok(())
    }

    /// Fills a polygon.
    pub(super) fn polygon(&self, corners: impl Iterator<Item = (f64, f64)>, colour: Colour) -> DrawResult {
        self.area.draw(&Polygon::new(corners.map(pixel).collect::<Vec<_>>(), colour.rgb().filled()))?;
        Ok(())
    }

    /// Draws a horizontal or vertical line.
    pub(super) fn rule(&self, from: (f64, f64), to: (f64, f64), thickness: f64, colour: Colour) -> DrawResult {
        let half = 0.5 * thickness;
        let (x, y) = if from.1 == to.1 { (0.0, half) } else { (half, 0.0) };
        self.fill((from.0 - x, from.1 - y), (to.0 + x, to.1 + y), colour)
    }

    /// The width of a text.
    pub(super) fn text_width(&self, size: f64, text: &str) -> DrawResult<f64> {
        let style = TextStyle::from((FONT, size * SCALE as f64).into_font());
        Ok(f64::from(self.area.estimate_text_size(text, &style)?.0) / SCALE as f64)
    }

    /// A text cut to a width, with an ellipsis.
    pub(super) fn cut(&self, size: f64, text: &str, room: f64) -> DrawResult<String> {
        let mut shown: String = text.chars().filter(|c| !c.is_control()).take(400).collect();
        if self.text_width(size, &shown)? > room {
            while !shown.is_empty() && self.text_width(size, &format!("{shown}…"))? > room {
                shown.pop();
            }
            shown.push('…');
        }
        Ok(shown)
    }

    /// Draws text, vertically centred on a point and cut to the width `room`. Returns its width.
    pub(super) fn text(
        &self,
        at: (f64, f64),
        align: Align,
        size: f64,
        colour: Colour,
        text: &str,
        room: f64,
    ) -> DrawResult<f64> {
        let shown = self.cut(size, text, room)?;
        let h = match align {
            Align::Left => HPos::Left,
            Align::Center => HPos::Center,
            Align::Right => HPos::Right,
        };
        let (font, rgb) = ((FONT, size * SCALE as f64).into_font(), colour.rgb());
        let style = TextStyle::from(font).color(&rgb).pos(Pos::new(h, VPos::Center));
        if !shown.is_empty() {
            self.area.draw_text(&shown, &style, pixel(at))?;
        }
        self.text_width(size, &shown)
    }

    /// Draws text that reads upwards, centred on a point.
    pub(super) fn upright_text(&self, at: (f64, f64), size: f64, colour: Colour, text: &str, room: f64) -> DrawResult {
        let shown = self.cut(size, text, room)?;
        let font = (FONT, size * SCALE as f64).into_font().transform(FontTransform::Rotate270);
        let rgb = colour.rgb();
        let style = TextStyle::from(font).color(&rgb).pos(Pos::new(HPos::Center, VPos::Center));
        if !shown.is_empty() {
            self.area.draw_text(&shown, &style, pixel(at))?;
        }
        Ok(())
    }
}

/// The pieces of a dashed line: `on` pixels drawn, `off` not.
fn dashes(points: &[(f64, f64)], on: f64, off: f64) -> Vec<Vec<(f64, f64)>> {
    let (mut pieces, mut piece, mut drawn, mut left) = (Vec::new(), Vec::new(), true, on);
    piece.extend(points.first());
    for pair in points.windows(2) {
        let (mut from, to) = (pair[0], pair[1]);
        loop {
            let length = (to.0 - from.0).hypot(to.1 - from.1);
            if length <= left {
                left -= length;
                if drawn {
                    piece.push(to);
                }
                break;
            }
            let share = left / length;
            from = (from.0 + share * (to.0 - from.0), from.1 + share * (to.1 - from.1));
            if drawn {
                piece.push(from);
                pieces.push(std::mem::take(&mut piece));
            } else {
                piece = vec![from];
            }
            drawn = !drawn;
            left = if drawn { on } else { off };
        }
    }
    pieces.push(piece);
    pieces.retain(|piece| piece.len() > 1);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_have_their_lengths() {
        let pieces = dashes(&[(0.0, 0.0), (6.0, 0.0), (6.0, 30.0)], 7.0, 5.0);
        assert_eq!(pieces[0], [(0.0, 0.0), (6.0, 0.0), (6.0, 1.0)]);
        assert_eq!(pieces[1], [(6.0, 6.0), (6.0, 13.0)]);
        assert_eq!(pieces.len(), 3);
    }
}
