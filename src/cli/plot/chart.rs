//! Charts: axes, lines and points, as a PNG file.
//!
//! The axes are laid out here and plotters only draws, because its own choice of ticks loops or panics on the extreme
//! ranges of a diverging run. The image is drawn at three times the size and averaged down, for antialiased lines.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, register_font};

const WIDTH: usize = 1200;
const HEIGHT: usize = 500;
const SCALE: usize = 3;
const FONT: &str = "wgrad";
/// The maximum number of points drawn per line; more would be indistinguishable.
const MAX_POINTS: usize = 2000;
/// Values are clamped to this magnitude, so that ranges stay finite.
const LARGEST: f64 = 1e30;

const INK: RGBColor = RGBColor(35, 40, 48);
const FAINT: RGBColor = RGBColor(105, 112, 122);
const GRID: RGBColor = RGBColor(229, 232, 236);
const FRAME: RGBColor = RGBColor(170, 176, 184);

/// Draws an image and returns it as a PNG file.
pub(super) fn image(draw: impl FnOnce(&Canvas<'_>) -> DrawResult) -> Result<Vec<u8>, String> {
    register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)
        .map_err(|_| "the built-in font cannot be read".to_string())?;
    let (width, height) = (WIDTH * SCALE, HEIGHT * SCALE);
    let mut pixels = vec![255u8; width * height * 3];
    {
        let backend = BitMapBackend::with_buffer(&mut pixels, (width as u32, height as u32));
        let canvas = Canvas { area: backend.into_drawing_area() };
        let failed = |e: Box<dyn std::error::Error>| format!("the picture could not be drawn: {e}");
        canvas.area.fill(&WHITE).map_err(|e| failed(e.into()))?;
        draw(&canvas).map_err(failed)?;
        canvas.area.present().map_err(|e| failed(e.into()))?;
    }
    encode(&shrink(&pixels)).map_err(|e| format!("the image could not be encoded: {e}"))
}

/// Averages each square of `SCALE`² pixels.
fn shrink(pixels: &[u8]) -> Vec<u8> {
    let stride = WIDTH * SCALE * 3;
    let mut out = Vec::with_capacity(WIDTH * HEIGHT * 3);
    for y in 0..HEIGHT {
        for x in 0..WIDTH * 3 {
            let at = y * SCALE * stride + x / 3 * SCALE * 3 + x % 3;
            let square = (0..SCALE * SCALE).map(|k| usize::from(pixels[at + k / SCALE * stride + k % SCALE * 3]));
            out.push((square.sum::<usize>() / (SCALE * SCALE)) as u8);
        }
    }
    out
}

fn encode(pixels: &[u8]) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, WIDTH as u32, HEIGHT as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(bytes)
}

/// The range of an axis, with the distance between its ticks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    step: f64,
}

impl Axis {
    /// A range around any number of finite values.
    pub(super) fn around(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), v| (v.min(low), v.max(high)));
        let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
        let size = low.abs().max(high.abs());
        // Nearly equal values get a range relative to their magnitude, instead of showing rounding errors.
        let span = (high - low).max(if size > 0.0 { 0.01 * size } else { 1.0 });
        let middle = 0.5 * (low + high);
        let (low_edge, high_edge) = (middle - 0.55 * span, middle + 0.55 * span);
        // A range of non-negative values that comes near 0 starts at 0.
        let low_edge = if low >= 0.0 && low_edge < 0.3 * high { 0.0 } else { low_edge };
        Axis { low: low_edge, high: high_edge, step: nice(high_edge - low_edge, 8.0) }
    }

    pub(super) fn epochs(last: u32) -> Self {
        let (low, high) = if last <= 1 { (0.5, 1.5) } else { (1.0, f64::from(last)) };
        Axis { low, high, step: nice(high - low, 10.0).max(1.0) }
    }

    /// The relative position of a value, from 0 at the low end to 1 at the high end.
    fn position(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    fn ticks(&self) -> Vec<f64> {
        let first = (self.low / self.step - 1e-6).ceil();
        let last = (self.high / self.step + 1e-6).floor();
        // The count is small by construction; the limit is only a safeguard.
        (0..20).map(|k| first + f64::from(k)).take_while(|&k| k <= last).map(|k| k * self.step).collect()
    }

    fn label(&self, value: f64) -> String {
        let size = self.high.abs().max(self.low.abs());
        if size >= 1e5 || self.step < 1e-4 {
            let digits = (size / self.step).log10().ceil().clamp(0.0, 12.0) as usize;
            return if value == 0.0 { "0".into() } else { format!("{value:.digits$e}") };
        }
        let decimals = (-self.step.log10()).ceil().clamp(0.0, 6.0) as usize;
        format!("{value:.decimals$}")
    }
}

/// The step, 1, 2 or 5 times a power of ten, that results in about `ticks` ticks.
fn nice(span: f64, ticks: f64) -> f64 {
    let raw = span / ticks;
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0].into_iter().map(|m| m * power).find(|&s| s >= raw * 0.999);
    step.unwrap_or(10.0 * power)
}

pub(super) type DrawResult<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Points of one name and colour.
pub(super) struct Series {
    pub(super) name: String,
    pub(super) colour: RGBColor,
    pub(super) points: Vec<(f64, f64)>,
}

impl Series {
    pub(super) fn new(name: impl Into<String>, colour: RGBColor, points: Vec<(f64, f64)>) -> Self {
        Series { name: name.into(), colour, points }
    }
}

/// Two axes in a rectangle, with what is drawn between them.
pub(super) struct Panel<'a> {
    pub(super) left: f64,
    pub(super) width: f64,
    pub(super) title: &'a str,
    pub(super) x_label: &'a str,
    pub(super) x: Axis,
    pub(super) y: Axis,
}

pub(super) struct Canvas<'a> {
    area: DrawingArea<BitMapBackend<'a>, plotters::coord::Shift>,
}

fn pixel(x: f64, y: f64) -> (i32, i32) {
    ((x * SCALE as f64).round() as i32, (y * SCALE as f64).round() as i32)
}

/// A value that an axis can show: finite, and limited in size.
pub(super) fn drawable(value: f64) -> Option<f64> {
    Some(value).filter(|v| v.is_finite()).map(|v| v.clamp(-LARGEST, LARGEST))
}

impl Panel<'_> {
    const TOP: f64 = 122.0;
    const HEIGHT: f64 = 318.0;

    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (self.left + self.width * self.x.position(x), Self::TOP + Self::HEIGHT * (1.0 - self.y.position(y)))
    }
}

impl Canvas<'_> {
    /// The picture's title, with a line of details under it.
    pub(super) fn heading(&self, title: &str, details: &str) -> DrawResult {
        self.text(24.0, 30.0, 22.0, &INK, HPos::Left, title, 1150.0)?;
        self.text(24.0, 58.0, 15.0, &FAINT, HPos::Left, details, 1150.0)?;
        Ok(())
    }

    /// Draws the axes of a panel.
    pub(super) fn axes(&self, panel: &Panel<'_>) -> DrawResult {
        let (left, right) = (panel.left, panel.left + panel.width);
        let (top, bottom) = (Panel::TOP, Panel::TOP + Panel::HEIGHT);
        self.text(left, 100.0, 17.0, &INK, HPos::Left, panel.title, panel.width)?;
        for tick in panel.y.ticks() {
            let (_, y) = panel.place((panel.x.low, tick));
            self.bar(left, y, right, y, 1.0, &GRID)?;
            self.text(left - 9.0, y, 14.0, &FAINT, HPos::Right, &panel.y.label(tick), 100.0)?;
        }
        for tick in panel.x.ticks() {
            let (x, _) = panel.place((tick, panel.y.low));
            self.bar(x, top, x, bottom, 1.0, &GRID)?;
            self.text(x, bottom + 15.0, 14.0, &FAINT, HPos::Center, &panel.x.label(tick), 100.0)?;
        }
        self.bar(left, bottom, right, bottom, 1.2, &FRAME)?;
        self.bar(left, top, left, bottom, 1.2, &FRAME)?;
        self.text(0.5 * (left + right), bottom + 38.0, 15.0, &INK, HPos::Center, panel.x_label, panel.width)?;
        Ok(())
    }

    /// Draws lines, with a legend above the panel so that none crosses it.
    pub(super) fn lines(&self, panel: &Panel<'_>, series: &[Series]) -> DrawResult {
        // Laid out from the right.
        let mut legend = panel.left + panel.width;
        for Series { name, colour, points } in series.iter().rev() {
            let points: Vec<(f64, f64)> = points.iter().map(|&point| panel.place(point)).collect();
            if points.is_empty() {
                continue;
            }
            let room = legend - panel.left - 140.0;
            if room > 80.0 {
                let text_width = self.text(legend, 100.0, 15.0, &INK, HPos::Right, name, room)?;
                self.bar(legend - text_width - 32.0, 101.0, legend - text_width - 8.0, 101.0, 2.5, colour)?;
                legend -= text_width + 54.0;
            }
            self.line(&points, colour)?;
        }
        Ok(())
    }

    /// Draws lines, with their names in a list within the panel.
    pub(super) fn many_lines(&self, panel: &Panel<'_>, series: &[Series]) -> DrawResult {
        for (k, Series { name, colour, points }) in series.iter().enumerate() {
            let points: Vec<(f64, f64)> = points.iter().map(|&point| panel.place(point)).collect();
            if !points.is_empty() {
                self.line(&points, colour)?;
            }
            let (right, y) = (panel.left + panel.width - 6.0, Panel::TOP + 14.0 + 19.0 * k as f64);
            if y < Panel::TOP + Panel::HEIGHT - 8.0 {
                let width = self.text(right, y, 13.0, &INK, HPos::Right, name, 0.6 * panel.width)?;
                self.bar(right - width - 28.0, y, right - width - 7.0, y, 2.5, colour)?;
            }
        }
        Ok(())
    }

    /// Draws points, and the line on which both coordinates are equal.
    pub(super) fn scatter(&self, panel: &Panel<'_>, series: &Series) -> DrawResult {
        let (low, high) = (panel.x.low.max(panel.y.low), panel.x.high.min(panel.y.high));
        let ends = [(low, low), (high, high)].map(|point| panel.place(point)).map(|(x, y)| pixel(x, y));
        self.area.draw(&PathElement::new(ends, FRAME.stroke_width(SCALE as u32)))?;
        let every = series.points.len().div_ceil(MAX_POINTS).max(1);
        for &point in series.points.iter().step_by(every) {
            let (x, y) = panel.place(point);
            self.area.draw(&Circle::new(pixel(x, y), 2 * SCALE as i32, series.colour.mix(0.5).filled()))?;
        }
        Ok(())
    }

    /// Draws a polyline with round joints and a dot at its end.
    fn line(&self, points: &[(f64, f64)], colour: &RGBColor) -> DrawResult {
        let every = points.len().div_ceil(MAX_POINTS).max(1);
        let last = points.len() - 1;
        let kept: Vec<_> = points.iter().enumerate().filter(|(i, _)| i % every == 0 || *i == last).collect();
        for pair in kept.windows(2) {
            let ends = [pair[0].1, pair[1].1].map(|&(x, y)| pixel(x, y));
            self.area.draw(&PathElement::new(ends, colour.stroke_width(2 * SCALE as u32)))?;
        }
        for (i, &(x, y)) in kept {
            let radius = if i == last { 4 * SCALE as i32 } else { SCALE as i32 };
            self.area.draw(&Circle::new(pixel(x, y), radius, colour.filled()))?;
        }
        Ok(())
    }

    /// Draws a horizontal or vertical line.
    fn bar(&self, x0: f64, y0: f64, x1: f64, y1: f64, thickness: f64, colour: &RGBColor) -> DrawResult {
        let half = 0.5 * thickness;
        let (grow_x, grow_y) = if y0 == y1 { (0.0, half) } else { (half, 0.0) };
        let corners = [pixel(x0 - grow_x, y0 - grow_y), pixel(x1 + grow_x, y1 + grow_y)];
        self.area.draw(&Rectangle::new(corners, colour.filled()))?;
        Ok(())
    }

    /// Draws text, vertically centred on `y` and truncated to the width `room`. Returns its width.
    #[allow(clippy::too_many_arguments)]
    fn text(&self, x: f64, y: f64, size: f64, colour: &RGBColor, h: HPos, text: &str, room: f64) -> DrawResult<f64> {
        let font = (FONT, size * SCALE as f64).into_font();
        let style = TextStyle::from(font).color(colour).pos(Pos::new(h, VPos::Center));
        let width = |text: &str| -> DrawResult<f64> {
            Ok(f64::from(self.area.estimate_text_size(text, &style)?.0) / SCALE as f64)
        };
        let mut shown: String = text.chars().filter(|c| !c.is_control()).take(400).collect();
        if width(&shown)? > room {
            while !shown.is_empty() && width(&format!("{shown}…"))? > room {
                shown.pop();
            }
            shown.push('…');
        }
        if !shown.is_empty() {
            self.area.draw_text(&shown, &style, pixel(x, y))?;
        }
        width(&shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        let labels = |axis: Axis| axis.ticks().iter().map(|&t| axis.label(t)).collect::<Vec<_>>();
        let around = |values: &[f64]| Axis::around(values.iter().copied());
        assert_eq!(labels(around(&[0.01, 2.3])), ["0.0", "0.5", "1.0", "1.5", "2.0"]);
        assert_eq!(labels(around(&[3.0, 89.0])), ["0", "20", "40", "60", "80"]);
        assert_eq!(labels(Axis::epochs(1)), ["1"]);
        assert_eq!(labels(Axis::epochs(3)), ["1", "2", "3"]);
        assert_eq!(labels(Axis::epochs(50)), ["5", "10", "15", "20", "25", "30", "35", "40", "45", "50"]);
        for values in [&[1e30, -1e30][..], &[1e15, 1e15 + 1.0], &[0.0], &[7.0], &[1e-320]] {
            let count = around(values).ticks().len();
            assert!((2..=14).contains(&count), "{values:?}: {count}");
        }
    }
}
