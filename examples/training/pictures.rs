//! What the pictures of both models share.

use super::descent::Path;
use super::problem::{Point, Problem};
use wgrad::plot::{Colour, ColourMap, Grid, LineStyle, Marker, Panel};
use wgrad::{Result, Session};

const CELLS: (usize, usize) = (140, 140);

/// A loss over a rectangle of both parameters.
pub struct Surface {
    x: Point,
    y: Point,
    losses: Vec<f64>,
}

impl Surface {
    /// Asks for the loss at the middle of every cell, all of them in one run.
    pub fn new(session: &mut Session, problem: &Problem, x: Point, y: Point) -> Result<Self> {
        let centres = Grid::new(CELLS, x, y, Vec::new()).centres();
        Ok(Surface { x, y, losses: problem.losses(session, &centres)? })
    }

    fn grid(&self, losses: Vec<f64>) -> Grid {
        Grid::new(CELLS, self.x, self.y, losses)
    }

    /// The middle of the cell with the lowest loss.
    pub fn lowest(&self) -> Point {
        let all = self.losses.iter().zip(self.grid(Vec::new()).centres());
        all.fold((f64::INFINITY, (0.0, 0.0)), |best, (&loss, at)| if loss < best.0 { (loss, at) } else { best }).1
    }

    /// Contour lines at the levels, and one colour between two of them.
    pub fn panel(&self, title: &str, levels: &[f64]) -> Panel {
        let step = |loss: f64| levels.iter().copied().rfind(|&level| level <= loss).unwrap_or(0.0);
        let steps = self.grid(self.losses.iter().map(|&loss| step(loss)).collect());
        Panel::new(title)
            .x_label("φ0")
            .y_label("φ1")
            .x_range(self.x.0, self.x.1)
            .y_range(self.y.0, self.y.1)
            .heat_map(ColourMap::Blues, steps)
            .contours("", Colour::GREY, self.grid(self.losses.clone()), levels)
    }
}

/// A path over a surface: a dot where it starts, a triangle where it ends.
pub fn path(panel: Panel, name: &str, colour: Colour, path: &Path) -> Panel {
    panel
        .styled_line(name, colour, LineStyle::Solid, path.points.iter().copied())
        .styled_points("", colour, Marker::Circle, 5.0, [path.points[0]])
        .styled_points("", colour, Marker::Triangle, 7.0, [path.end()])
}

/// A path with a dot at each step.
pub fn steps(panel: Panel, name: &str, colour: Colour, steps: &Path) -> Panel {
    path(panel, name, colour, steps).styled_points("", colour, Marker::Circle, 2.5, steps.points.iter().copied())
}

/// A cross at a place.
pub fn cross(panel: Panel, name: &str, at: Point) -> Panel {
    panel.styled_points(name, Colour(0, 0, 0), Marker::Cross, 7.0, [at])
}

/// The loss at each step.
pub fn losses(panel: Panel, name: &str, colour: Colour, path: &Path) -> Panel {
    panel.curve(name, colour, path.losses.iter().enumerate().map(|(step, &loss)| (step as f64, loss)))
}
