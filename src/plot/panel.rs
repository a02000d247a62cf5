//! What a plot shows: two axes and the marks between them, as plain data.

use super::axis::AxisSettings;
use super::colour::{Colour, ColourMap};
use super::grid::Grid;

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LineStyle {
    /// Without gaps.
    #[default]
    Solid,
    /// With gaps: told from a solid line without its colour.
    Dashed,
}

/// The shape of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Marker {
    /// A filled circle.
    #[default]
    Circle,
    /// A filled square.
    Square,
    /// A filled triangle.
    Triangle,
    /// Two strokes that cross.
    Cross,
}

/// How a heat map says which colour is which number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// With a bar beside it.
    Bar,
    /// With the number in each cell.
    Numbers,
    /// Not at all: an image.
    None,
}

/// Something that is drawn between the axes.
#[derive(Debug, Clone)]
pub(super) enum Mark {
    Line {
        colour: Colour,
        style: LineStyle,
        width: f64,
        end: bool,
        points: Vec<(f64, f64)>,
    },
    Points {
        colour: Colour,
        marker: Marker,
        size: f64,
        points: Vec<(f64, f64)>,
    },
    /// A rectangle each from `low` to `high` on the first axis, from 0 to the height.
    Bars {
        colour: Colour,
        bars: Vec<(f64, f64, f64)>,
    },
    /// The area between two lines: `(x, low, high)`.
    Band {
        colour: Colour,
        points: Vec<(f64, f64, f64)>,
    },
    HeatMap {
        map: ColourMap,
        grid: Grid,
        /// The numbers at the ends of the colours; the grid's own if `None`.
        range: Option<(f64, f64)>,
        key: Key,
    },
    Contours {
        colour: Colour,
        grid: Grid,
        levels: Vec<f64>,
    },
    /// A class for each cell, as a tint of the palette's colour of that number.
    Regions {
        grid: Grid,
    },
    Horizontal {
        y: f64,
    },
    Vertical {
        x: f64,
    },
    /// A text beside a point.
    Note {
        x: f64,
        y: f64,
        text: String,
    },
}

/// Two axes with what is drawn between them. Values that are not finite leave gaps.
#[derive(Debug, Clone, Default)]
pub struct Panel {
    pub(super) title: String,
    pub(super) x: AxisSettings,
    pub(super) y: AxisSettings,
    /// The names of marks for the legend, empty for those without one.
    pub(super) marks: Vec<(String, Mark)>,
    pub(super) square: bool,
    pub(super) diagonal: bool,
}

impl Panel {
    /// An empty panel with a title.
    pub fn new(title: impl Into<String>) -> Self {
        Panel { title: title.into(), ..Panel::default() }
    }
    /// The first axis's label, with its unit.
    #[must_use]
    pub fn x_label(mut self, label: impl Into<String>) -> Self {
        self.x.label = label.into();
        self
    }
    /// The second axis's label, with its unit.
    #[must_use]
    pub fn y_label(mut self, label: impl Into<String>) -> Self {
        self.y.label = label.into();
        self
    }
    /// The range of the first axis, instead of one around the data.
    #[must_use]
    pub fn x_range(mut self, low: f64, high: f64) -> Self {
        self.x.range = Some((low, high));
        self
    }
    /// The range of the second axis, instead of one around the data.
    #[must_use]
    pub fn y_range(mut self, low: f64, high: f64) -> Self {
        self.y.range = Some((low, high));
        self
    }
    /// A logarithmic first axis; what is not positive is not drawn.
    #[must_use]
    pub fn log_x(mut self) -> Self {
        self.x.log = true;
        self
    }
    /// A logarithmic second axis; what is not positive is not drawn.
    #[must_use]
    pub fn log_y(mut self) -> Self {
        self.y.log = true;
        self
    }
    /// The first axis counts something: epochs, layers, steps.
    #[must_use]
    pub fn counts(mut self) -> Self {
        self.x.whole = true;
        self
    }
    /// Names in place of numbers on the first axis, at 0, 1, 2, …
    #[must_use]
    pub fn x_categories(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.x.categories = names.into_iter().map(Into::into).collect();
        self
    }
    /// Names in place of numbers on the second axis, at 0, 1, 2, …
    #[must_use]
    pub fn y_categories(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.y.categories = names.into_iter().map(Into::into).collect();
        self
    }
    /// Without values at the axes: a sketch.
    #[must_use]
    pub fn without_ticks(mut self) -> Self {
        (self.x.hidden, self.y.hidden) = (true, true);
        self
    }
    /// As high as wide: for maps, where both axes have the same unit.
    #[must_use]
    pub fn square(mut self) -> Self {
        self.square = true;
        self
    }
    /// The line on which both coordinates are equal, behind the rest.
    #[must_use]
    pub fn diagonal(mut self) -> Self {
        self.diagonal = true;
        self
    }

    fn mark(mut self, name: impl Into<String>, mark: Mark) -> Self {
        self.marks.push((name.into(), mark));
        self
    }
    /// The palette's next colour: that of the number of named lines, points and bars so far.
    fn next_colour(&self) -> Colour {
        let coloured = |mark: &Mark| matches!(mark, Mark::Line { .. } | Mark::Points { .. } | Mark::Bars { .. });
        Colour::nth(self.marks.iter().filter(|(name, mark)| !name.is_empty() && coloured(mark)).count())
    }

    /// A line through points, in the palette's next colour. An empty name keeps it out of the legend.
    #[must_use]
    pub fn line(self, name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let colour = self.next_colour();
        self.styled_line(name, colour, LineStyle::Solid, points)
    }
    /// A line of a given colour and style.
    #[must_use]
    pub fn styled_line(
        self,
        name: impl Into<String>,
        colour: Colour,
        style: LineStyle,
        points: impl IntoIterator<Item = (f64, f64)>,
    ) -> Self {
        let points = points.into_iter().collect();
        self.mark(name, Mark::Line { colour, style, width: 2.0, end: false, points })
    }
    /// A line with a dot at its end: something that went on until there.
    #[must_use]
    pub fn curve(self, name: impl Into<String>, colour: Colour, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let points = points.into_iter().collect();
        self.mark(name, Mark::Line { colour, style: LineStyle::Solid, width: 2.0, end: true, points })
    }
    /// Points, in the palette's next colour.
    #[must_use]
    pub fn points(self, name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let colour = self.next_colour();
        self.styled_points(name, colour, Marker::Circle, 3.5, points)
    }
    /// Points of a given colour, shape and radius (in pixels).
    #[must_use]
    pub fn styled_points(
        self,
        name: impl Into<String>,
        colour: Colour,
        marker: Marker,
        size: f64,
        points: impl IntoIterator<Item = (f64, f64)>,
    ) -> Self {
        let points = points.into_iter().collect();
        self.mark(name, Mark::Points { colour, marker, size, points })
    }
    /// Bars of the given heights at 0, 1, 2, …, in the palette's next colour.
    #[must_use]
    pub fn bars(self, name: impl Into<String>, heights: impl IntoIterator<Item = f64>) -> Self {
        let colour = self.next_colour();
        let at = |(k, height): (usize, f64)| (k as f64 - 0.4, k as f64 + 0.4, height);
        let bars = heights.into_iter().enumerate().map(at).collect();
        self.mark(name, Mark::Bars { colour, bars })
    }
    /// Bars from one value of the first axis to another: `(from, to, height)`.
    #[must_use]
    pub fn histogram(self, name: impl Into<String>, bars: impl IntoIterator<Item = (f64, f64, f64)>) -> Self {
        let colour = self.next_colour();
        let bars = bars.into_iter().collect();
        self.mark(name, Mark::Bars { colour, bars })
    }
    /// The area between two lines: `(x, low, high)`, e.g. a mean ± a deviation.
    #[must_use]
    pub fn band(
        self,
        name: impl Into<String>,
        colour: Colour,
        points: impl IntoIterator<Item = (f64, f64, f64)>,
    ) -> Self {
        let points = points.into_iter().collect();
        self.mark(name, Mark::Band { colour, points })
    }
    /// A colour for each cell, with a bar that says which colour is which number.
    #[must_use]
    pub fn heat_map(self, map: ColourMap, grid: Grid) -> Self {
        self.mark("", Mark::HeatMap { map, grid, range: None, key: Key::Bar })
    }
    /// A heat map whose colours span `low` to `high` whatever the grid holds: the frames of an animation need the same.
    #[must_use]
    pub fn heat_map_between(self, map: ColourMap, low: f64, high: f64, grid: Grid) -> Self {
        self.mark("", Mark::HeatMap { map, grid, range: Some((low, high)), key: Key::Bar })
    }
    /// A colour for each cell with its number written in it: a confusion matrix. Cell `(column, row)` is at those coordinates,
    /// row 0 on top.
    #[must_use]
    pub fn table(mut self, map: ColourMap, grid: Grid) -> Self {
        let [(left, right), (bottom, top)] = [grid.x, grid.y];
        (self.x.range, self.y.range) = (Some((left, right)), Some((bottom, top)));
        self.mark("", Mark::HeatMap { map, grid, range: None, key: Key::Numbers })
    }
    /// A heat map without a bar, whose colours span `low` to `high`: one of several small images.
    #[must_use]
    pub fn image(self, map: ColourMap, low: f64, high: f64, grid: Grid) -> Self {
        self.mark("", Mark::HeatMap { map, grid, range: Some((low, high)), key: Key::None })
    }
    /// Lines on which the grid has one of the values `levels`.
    #[must_use]
    pub fn contours(self, name: impl Into<String>, colour: Colour, grid: Grid, levels: &[f64]) -> Self {
        self.mark(name, Mark::Contours { colour, grid, levels: levels.to_vec() })
    }
    /// Which class is where: each cell's value is the number of a class, drawn as a tint of the palette's colour of that number.
    #[must_use]
    pub fn regions(self, grid: Grid) -> Self {
        self.mark("", Mark::Regions { grid })
    }
    /// A thin line at a height.
    #[must_use]
    pub fn horizontal(self, y: f64) -> Self {
        self.mark("", Mark::Horizontal { y })
    }
    /// A thin line at a place of the first axis.
    #[must_use]
    pub fn vertical(self, x: f64) -> Self {
        self.mark("", Mark::Vertical { x })
    }
    /// A short text beside a point.
    #[must_use]
    pub fn note(self, x: f64, y: f64, text: impl Into<String>) -> Self {
        self.mark("", Mark::Note { x, y, text: text.into() })
    }

    /// The values that the axes must show.
    pub(super) fn extent(&self) -> (Vec<f64>, Vec<f64>) {
        let (mut xs, mut ys) = (Vec::new(), Vec::new());
        for (_, mark) in &self.marks {
            match mark {
                Mark::Line { points, .. } | Mark::Points { points, .. } => {
                    let whole = points.iter().filter(|(x, y)| x.is_finite() && y.is_finite());
                    whole.for_each(|&(x, y)| {
                        xs.push(x);
                        ys.push(y);
                    });
                }
                Mark::Bars { bars, .. } => {
                    xs.extend(bars.iter().flat_map(|b| [b.0, b.1]));
                    ys.extend(bars.iter().map(|b| b.2).chain([0.0]));
                }
                Mark::Band { points, .. } => {
                    xs.extend(points.iter().map(|p| p.0));
                    ys.extend(points.iter().flat_map(|p| [p.1, p.2]));
                }
                Mark::HeatMap { grid, .. } | Mark::Contours { grid, .. } | Mark::Regions { grid } => {
                    xs.extend([grid.x.0, grid.x.1]);
                    ys.extend([grid.y.0, grid.y.1]);
                }
                Mark::Horizontal { y } => ys.push(*y),
                Mark::Vertical { x } => xs.push(*x),
                Mark::Note { .. } => {}
            }
        }
        (xs, ys)
    }

    /// The grid whose edges the axes take, if there is one: a map fills its panel.
    pub(super) fn map(&self) -> Option<&Grid> {
        self.marks.iter().find_map(|(_, mark)| match mark {
            Mark::HeatMap { grid, .. } | Mark::Regions { grid } | Mark::Contours { grid, .. } => Some(grid),
            _ => None,
        })
    }
}
