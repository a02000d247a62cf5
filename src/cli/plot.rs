//! `curves.png`: loss and error over the epochs.
//!
//! The axes are laid out here and plotters only draws, because its own choice of ticks loops or panics on the extreme
//! ranges of a diverging run. The image is drawn at three times the size and averaged down, for antialiased lines.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, register_font};
use wgrad::train::{EpochRecord, Metrics};

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
const TRAIN: RGBColor = RGBColor(31, 104, 180);
const VALIDATION: RGBColor = RGBColor(217, 95, 14);

/// The curves of a run, as a PNG file.
pub(super) fn curves(name: &str, metrics: &Metrics) -> Result<Vec<u8>, String> {
    register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)
        .map_err(|_| "the built-in font cannot be read".to_string())?;
    let (width, height) = (WIDTH * SCALE, HEIGHT * SCALE);
    let mut pixels = vec![255u8; width * height * 3];
    {
        let backend = BitMapBackend::with_buffer(&mut pixels, (width as u32, height as u32));
        let canvas = Canvas { area: backend.into_drawing_area() };
        canvas.draw(name, metrics).map_err(|e| format!("the curves could not be drawn: {e}"))?;
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
struct Axis {
    low: f64,
    high: f64,
    step: f64,
}

impl Axis {
    /// A range around any number of finite values.
    fn around(values: impl Iterator<Item = f64>) -> Self {
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

    fn epochs(last: u32) -> Self {
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

type DrawResult<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// A line to draw: its name, its colour, and its value in a record.
type Series<'a> = (&'a str, RGBColor, fn(&EpochRecord) -> Option<f64>);

struct Canvas<'a> {
    area: DrawingArea<BitMapBackend<'a>, plotters::coord::Shift>,
}

fn pixel(x: f64, y: f64) -> (i32, i32) {
    ((x * SCALE as f64).round() as i32, (y * SCALE as f64).round() as i32)
}

impl Canvas<'_> {
    fn draw(&self, name: &str, metrics: &Metrics) -> DrawResult {
        self.area.fill(&WHITE)?;
        let (set, error) = match metrics.val_error {
            Some(error) => ("validation", error),
            None => ("train", metrics.train_error),
        };
        let epochs = if metrics.epochs == 1 { "epoch" } else { "epochs" };
        self.text(24.0, 30.0, 22.0, &INK, HPos::Left, name, 1150.0)?;
        let subtitle = format!(
            "{set} error {error:.2} % after {} {epochs}, seed {}, {}",
            metrics.epochs, metrics.seed, metrics.device
        );
        self.text(24.0, 58.0, 15.0, &FAINT, HPos::Left, &subtitle, 1150.0)?;
        let history = &metrics.history;
        self.panel(
            74.0,
            "Loss",
            history,
            &[("train", TRAIN, |r| Some(r.train_loss)), ("validation", VALIDATION, |r| r.val_loss)],
        )?;
        self.panel(
            664.0,
            "Error (%)",
            history,
            &[("train", TRAIN, |r| Some(r.train_error)), ("validation", VALIDATION, |r| r.val_error)],
        )?;
        self.area.present()?;
        Ok(())
    }

    /// Draws a plot whose left edge is at `left`.
    fn panel(&self, left: f64, title: &str, history: &[EpochRecord], series: &[Series<'_>]) -> DrawResult {
        let (width, top, height) = (506.0, 122.0, 318.0);
        let (right, bottom) = (left + width, top + height);
        let drawable = |value: Option<f64>| value.filter(|v| v.is_finite()).map(|v| v.clamp(-LARGEST, LARGEST));
        let y_axis = Axis::around(history.iter().flat_map(|r| series.iter().filter_map(|s| drawable((s.2)(r)))));
        let x_axis = Axis::epochs(history.last().map_or(1, |r| r.epoch));
        let place =
            |epoch: f64, value: f64| (left + width * x_axis.position(epoch), bottom - height * y_axis.position(value));

        self.text(left, 100.0, 17.0, &INK, HPos::Left, title, width)?;
        for tick in y_axis.ticks() {
            let (_, y) = place(x_axis.low, tick);
            self.bar(left, y, right, y, 1.0, &GRID)?;
            self.text(left - 9.0, y, 14.0, &FAINT, HPos::Right, &y_axis.label(tick), 100.0)?;
        }
        for tick in x_axis.ticks() {
            let (x, _) = place(tick, y_axis.low);
            self.bar(x, top, x, bottom, 1.0, &GRID)?;
            self.text(x, bottom + 15.0, 14.0, &FAINT, HPos::Center, &x_axis.label(tick), 100.0)?;
        }
        self.bar(left, bottom, right, bottom, 1.2, &FRAME)?;
        self.bar(left, top, left, bottom, 1.2, &FRAME)?;
        self.text(0.5 * (left + right), bottom + 38.0, 15.0, &INK, HPos::Center, "Epoch", width)?;

        // The legend is above the plot, so that no line crosses it, and laid out from the right.
        let mut legend = right;
        for (name, colour, value) in series.iter().rev() {
            let points: Vec<(f64, f64)> =
                history.iter().filter_map(|r| drawable(value(r)).map(|v| place(f64::from(r.epoch), v))).collect();
            if points.is_empty() {
                continue;
            }
            let text_width = self.text(legend, 100.0, 15.0, &INK, HPos::Right, name, width)?;
            self.bar(legend - text_width - 32.0, 101.0, legend - text_width - 8.0, 101.0, 2.5, colour)?;
            legend -= text_width + 54.0;
            self.line(&points, colour)?;
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

    fn run(values: &[f64], val: bool) -> Metrics {
        let history = values.iter().zip(1..).map(|(&v, epoch)| EpochRecord {
            epoch,
            running_loss: v,
            train_loss: v,
            train_error: v,
            val_loss: val.then_some(v * 1.5),
            val_error: val.then_some(v * 1.5),
            lr: 0.1,
            seconds: 1.0,
        });
        Metrics {
            device: "a device ".repeat(50),
            variants: None,
            seed: 0,
            epochs: values.len() as u32,
            steps: 1,
            parameters: 1,
            train_loss: 1.0,
            train_error: 1.0,
            val_loss: None,
            val_error: None,
            test_loss: None,
            test_error: None,
            train_seconds: 1.0,
            setup_seconds: 1.0,
            first_step_seconds: Some(1.0),
            dispatches_per_step: None,
            peak_bytes: 0,
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
        for (i, values) in cases.into_iter().enumerate() {
            let image = curves("name\n", &run(values, i % 2 == 0));
            assert!(image.is_ok_and(|bytes| bytes.starts_with(b"\x89PNG")), "{values:?}");
        }
        let many: Vec<f64> = (0..100_000).map(|i| 1.0 / f64::from(i + 1)).collect();
        assert!(curves("many", &run(&many, true)).is_ok());
    }

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
