//! Pictures: lines, points, bars, heat maps, contours, decision regions and grids of small plots, as PNG or SVG files,
//! and as animations. What `wgrad` and the examples draw.
//!
//! A [`Figure`] is a title and one or more [`Panel`]s in rows; each panel has two axes and the marks between them. All of it
//! is plain data until it is drawn. Any numbers can be drawn: what is not finite leaves a gap. Colours are told apart by
//! colour-blind readers ([`Colour::PALETTE`]), and a legend stands above its panel, where it hides nothing.
//!
//! ```
//! use wgrad::plot::{Figure, Panel};
//!
//! let points = (0..100).map(|k| f64::from(k) / 10.0);
//! let panel = Panel::new("Two waves")
//!     .x_label("Time (s)")
//!     .line("sine", points.clone().map(|t| (t, t.sin())))
//!     .line("cosine", points.map(|t| (t, t.cos())));
//! let figure = Figure::new("Waves").details("for an example").panel(panel);
//! let dir = tempfile::tempdir().unwrap();
//! figure.save(dir.path().join("waves.png"))?; // or .svg
//! # Ok::<(), wgrad::Error>(())
//! ```

mod axis;
mod canvas;
mod colour;
mod draw;
mod encode;
mod frame;
mod grid;
mod marks;
mod panel;

pub use colour::{Colour, ColourMap};
pub use grid::Grid;
pub use panel::{LineStyle, Marker, Panel};

use crate::data::atomic_write;
use crate::error::{Error, Result};
use canvas::{Align, Canvas, DrawResult, FAINT, INK, Rect};
use plotters::prelude::DrawingBackend;
use std::path::Path;

/// The edge around a figure's panels, in pixels.
const MARGIN: f64 = 20.0;
const GAP: f64 = 24.0;
/// No picture is wider or higher.
const MAX_SIZE: f64 = 6000.0;

/// A picture: a title, a line of details, and panels in rows.
#[derive(Debug, Clone)]
pub struct Figure {
    title: String,
    details: String,
    columns: usize,
    panel_size: (f64, f64),
    panels: Vec<Panel>,
}

impl Figure {
    /// A figure without panels; they are 560 × 400 pixels, two in a row.
    pub fn new(title: impl Into<String>) -> Self {
        Figure {
            title: title.into(),
            details: String::new(),
            columns: 2,
            panel_size: (560.0, 400.0),
            panels: Vec::new(),
        }
    }
    /// A line under the title.
    #[must_use]
    pub fn details(mut self, details: impl Into<String>) -> Self {
        self.details = details.into();
        self
    }
    /// How many panels stand in a row.
    #[must_use]
    pub fn columns(mut self, columns: usize) -> Self {
        self.columns = columns.max(1);
        self
    }
    /// The size of each panel in pixels, with its title, legend and labels.
    #[must_use]
    pub fn panel_size(mut self, width: f64, height: f64) -> Self {
        self.panel_size = (width.clamp(80.0, MAX_SIZE), height.clamp(80.0, MAX_SIZE));
        self
    }
    /// Adds a panel.
    #[must_use]
    pub fn panel(mut self, panel: Panel) -> Self {
        self.panels.push(panel);
        self
    }
    /// Adds panels.
    #[must_use]
    pub fn panels(mut self, panels: impl IntoIterator<Item = Panel>) -> Self {
        self.panels.extend(panels);
        self
    }

    fn heading(&self) -> f64 {
        let line = |text: &str, height: f64| if text.is_empty() { 0.0 } else { height };
        line(&self.title, 32.0) + line(&self.details, 24.0)
    }

    /// Width and height in pixels.
    fn size(&self) -> (f64, f64) {
        let columns = self.columns.min(self.panels.len()).max(1);
        let rows = self.panels.len().div_ceil(columns).max(1);
        let span = |n: usize, each: f64| 2.0 * MARGIN + n as f64 * each + (n - 1) as f64 * GAP;
        let (width, height) = (span(columns, self.panel_size.0), span(rows, self.panel_size.1) + self.heading());
        (width.min(MAX_SIZE).round(), height.min(MAX_SIZE).round())
    }

    fn draw<B: DrawingBackend>(&self, canvas: &Canvas<B>) -> DrawResult
    where
        B::ErrorType: 'static,
    {
        let room = self.size().0 - 2.0 * MARGIN;
        let mut y = MARGIN + 10.0;
        if !self.title.is_empty() {
            canvas.text((MARGIN, y), Align::Left, 22.0, INK, &self.title, room)?;
            y += 28.0;
        }
        canvas.text((MARGIN, y), Align::Left, 15.0, FAINT, &self.details, room)?;
        for (k, panel) in self.panels.iter().enumerate() {
            let (width, height) = self.panel_size;
            let cell = Rect {
                left: MARGIN + (k % self.columns) as f64 * (width + GAP),
                top: MARGIN + self.heading() + (k / self.columns) as f64 * (height + GAP),
                width,
                height,
            };
            draw::panel(canvas, panel, cell)?;
        }
        Ok(())
    }

    fn image(&self) -> Result<encode::Image> {
        canvas::bitmap(self.size(), |canvas| self.draw(canvas)).map_err(failed)
    }

    /// The picture as a PNG file.
    ///
    /// # Errors
    /// If the picture cannot be encoded.
    pub fn png(&self) -> Result<Vec<u8>> {
        encode::still(&self.image()?).map_err(|e| failed(e.into()))
    }

    /// The picture as an SVG file.
    ///
    /// # Errors
    /// If the picture cannot be drawn.
    pub fn svg(&self) -> Result<Vec<u8>> {
        canvas::vector(self.size(), |canvas| self.draw(canvas)).map(String::into_bytes).map_err(failed)
    }

    /// Writes the picture to a file, under another name first: SVG if its name ends in `.svg`, PNG if it ends in `.png` or has
    /// no ending.
    ///
    /// # Errors
    /// If the file's name ends otherwise, or it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let is = |ending: &str| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(ending));
        let vector = is("svg");
        if !vector && !is("png") && path.extension().is_some() {
            return Err(Error::file(path, "is to hold a picture: end its name in .png or .svg"));
        }
        let bytes = if vector { self.svg()? } else { self.png()? };
        atomic_write(path, |file| file.write_all(&bytes))
    }
}

/// Figures of one size as an animated PNG file, shown for `seconds` each (the last for two at least), again and again. A viewer without animation shows the
/// first.
///
/// # Errors
/// If there is no figure, or they have different sizes.
pub fn animation(frames: &[Figure], seconds: f64) -> Result<Vec<u8>> {
    let Some(first) = frames.first() else { return Err(failed("an animation needs a frame".into())) };
    if let Some(k) = frames.iter().position(|f| f.size() != first.size()) {
        let [(w, h), (w1, h1)] = [first.size(), frames[k].size()];
        return Err(failed(format!("frame {k} has {w1} × {h1} pixels, the first {w} × {h}").into()));
    }
    let images = frames.iter().map(Figure::image).collect::<Result<Vec<_>>>()?;
    let milliseconds = (seconds * 1000.0).clamp(10.0, 60_000.0) as u16;
    encode::animated(&images, milliseconds).map_err(|e| failed(e.into()))
}

/// Writes an [`animation`] to a file, under another name first.
///
/// # Errors
/// As [`animation`], and if the file cannot be written.
pub fn save_animation(frames: &[Figure], seconds: f64, path: impl AsRef<Path>) -> Result<()> {
    let bytes = animation(frames, seconds)?;
    atomic_write(path, |file| file.write_all(&bytes))
}

fn failed(error: Box<dyn std::error::Error>) -> Error {
    Error::value("picture", format!("could not be drawn: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every mark with any numbers, as PNG and SVG.
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
        for values in cases {
            let pairs = || values.iter().zip(values.iter().rev()).map(|(&a, &b)| (a, b));
            let grid = Grid::new((3, 2), (0.0, 3.0), (-1.0, 1.0), values.to_vec());
            let everything = Panel::new("a title\n")
                .x_label("x")
                .y_label("y")
                .line("line", pairs())
                .styled_line("dashed", Colour::GREY, LineStyle::Dashed, pairs())
                .curve("curve", Colour::nth(2), pairs())
                .points("points", pairs())
                .styled_points("cross", Colour::nth(4), Marker::Cross, 3.0, pairs())
                .styled_points("triangle", Colour::nth(4), Marker::Triangle, 3.0, pairs())
                .bars("bars", values.iter().copied())
                .band("band", Colour::nth(5), values.iter().map(|&v| (v, v, v)))
                .horizontal(f64::INFINITY)
                .vertical(0.5)
                .note(0.0, 0.0, "here")
                .diagonal();
            let panels = [
                everything.clone(),
                everything.clone().log_x().log_y(),
                everything.counts().x_categories(["a", "b"]),
                Panel::new("map").heat_map(ColourMap::Diverging, grid.clone()).square(),
                Panel::new("contours").contours("level", Colour::nth(0), grid.clone(), values),
                Panel::new("regions").regions(grid).without_ticks(),
                Panel::new("table")
                    .table(ColourMap::Blues, Grid::table(2, 2, values.to_vec()))
                    .y_categories(["u", "v"]),
                Panel::new("").x_range(3.0, 3.0).y_range(f64::NAN, 1.0),
            ];
            let figure = Figure::new("A figure").details("x".repeat(500)).panel_size(240.0, 200.0).panels(panels);
            assert!(figure.png().is_ok_and(|bytes| bytes.starts_with(b"\x89PNG")), "{values:?}");
            let svg = String::from_utf8(figure.svg().unwrap()).unwrap();
            assert!(
                svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>") && !svg.contains("NaN"),
                "{values:?}"
            );
        }
        assert!(Figure::new("nothing").png().is_ok());
    }

    #[test]
    fn frames_have_one_size() {
        let frame =
            |width: f64| Figure::new("t").panel_size(width, 100.0).panel(Panel::new("p").line("a", [(0.0, 1.0)]));
        let bytes = animation(&[frame(200.0), frame(200.0)], 0.5).unwrap();
        assert!(bytes.windows(4).any(|w| w == b"acTL"));
        let error = animation(&[frame(200.0), frame(300.0)], 0.5).unwrap_err();
        assert!(error.to_string().contains("frame 1"), "{error}");
        assert!(animation(&[], 0.5).is_err());
    }

    #[test]
    fn a_file_is_svg_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let figure = Figure::new("t").panel(Panel::new("p").line("a", [(0.0, 1.0), (1.0, 2.0)]));
        for (name, start) in [("a.png", &b"\x89PNG"[..]), ("a.svg", b"<svg"), ("a.SVG", b"<svg")] {
            figure.save(dir.path().join(name)).unwrap();
            assert!(std::fs::read(dir.path().join(name)).unwrap().starts_with(start), "{name}");
        }
        let error = figure.save(dir.path().join("a.jpg")).unwrap_err();
        assert!(error.to_string().contains(".svg"), "{error}");
        let error = figure.save(dir.path().join("no/folder.png")).unwrap_err();
        assert!(error.to_string().contains("folder.png"), "{error}");
    }
}
