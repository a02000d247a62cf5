//! Numbers on a rectangle: what heat maps, contours and decision regions show.

use contour::ContourBuilder;

/// `rows` × `columns` numbers over a rectangle: row 0 is at the low end of the second axis, unless made by [`Grid::table`].
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    pub(super) columns: usize,
    pub(super) rows: usize,
    /// The edges of the rectangle.
    pub(super) x: (f64, f64),
    pub(super) y: (f64, f64),
    pub(super) values: Vec<f64>,
}

impl Grid {
    /// The values of a function at the centres of `columns` × `rows` cells.
    pub fn of(
        (columns, rows): (usize, usize),
        x: (f64, f64),
        y: (f64, f64),
        mut value: impl FnMut(f64, f64) -> f64,
    ) -> Self {
        let mut grid = Grid { columns, rows, x, y, values: Vec::new() };
        grid.values = grid.centres().into_iter().map(|(x, y)| value(x, y)).collect();
        grid
    }

    /// Values that are known at the centres of the cells, in the order of [`Grid::centres`]; missing ones are not numbers.
    pub fn new((columns, rows): (usize, usize), x: (f64, f64), y: (f64, f64), mut values: Vec<f64>) -> Self {
        values.resize(columns * rows, f64::NAN);
        Grid { columns, rows, x, y, values }
    }

    /// A table with row 0 on top: cell `(column, row)` has the coordinates `(column, row)`.
    pub fn table(columns: usize, rows: usize, values: Vec<f64>) -> Self {
        let edges = |n: usize| n as f64 - 0.5;
        Self::new((columns, rows), (-0.5, edges(columns)), (edges(rows), -0.5), {
            // Stored from the low end of the axis, which is the last row.
            let mut turned: Vec<f64> = values;
            turned.resize(columns * rows, f64::NAN);
            turned.chunks(columns.max(1)).rev().flatten().copied().collect()
        })
    }

    /// The centres of the cells, row by row: where a network is asked for its [`Grid::new`] values.
    pub fn centres(&self) -> Vec<(f64, f64)> {
        let at = |(low, high): (f64, f64), k: usize, n: usize| low + (high - low) * (k as f64 + 0.5) / n as f64;
        let cell = |row| move |column| (at(self.x, column, self.columns), at(self.y, row, self.rows));
        (0..self.rows).flat_map(|row| (0..self.columns).map(cell(row))).collect()
    }

    /// The least and the largest finite value, if there is one.
    pub(super) fn ends(&self) -> Option<(f64, f64)> {
        let finite = self.values.iter().copied().filter(|v| v.is_finite());
        finite.fold(None, |ends: Option<(f64, f64)>, v| {
            Some(ends.map_or((v, v), |(low, high)| (low.min(v), high.max(v))))
        })
    }

    /// The lines on which the grid has the value `level`, by marching squares. The grid's own border is none of them.
    pub(super) fn lines_at(&self, level: f64) -> Vec<Vec<(f64, f64)>> {
        if self.columns < 2 || self.rows < 2 {
            return Vec::new();
        }
        let steps = [(self.x, self.columns), (self.y, self.rows)].map(|((low, high), n)| (high - low) / n as f64);
        // Grid units; the crate's cell k has its centre at k + 0.5, and rings close along the border, at 0 and n.
        let values: Vec<f64> = self.values.iter().map(|v| if v.is_nan() { f64::NEG_INFINITY } else { *v }).collect();
        let builder = ContourBuilder::new(self.columns, self.rows, true);
        let Ok(found) = builder.lines(&values, &[level]) else { return Vec::new() };
        let mut lines = Vec::new();
        for ring in found.iter().flat_map(|line| line.geometry().0.iter()) {
            let border =
                |x: f64, y: f64| x < 0.5 || y < 0.5 || x > self.columns as f64 - 0.5 || y > self.rows as f64 - 0.5;
            let mut line = Vec::new();
            for c in &ring.0 {
                if border(c.x, c.y) {
                    lines.push(std::mem::take(&mut line));
                } else {
                    line.push((self.x.0 + c.x * steps[0], self.y.0 + c.y * steps[1]));
                }
            }
            lines.push(line);
        }
        lines.retain(|line: &Vec<_>| line.len() > 1);
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_has_a_round_contour() {
        let grid = Grid::of((80, 60), (-2.0, 2.0), (-1.5, 1.5), |x, y| x.hypot(y));
        let lines = grid.lines_at(1.0);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].len() > 50);
        assert!(lines[0].iter().all(|(x, y)| (x.hypot(*y) - 1.0).abs() < 0.01), "{lines:?}");
        // A level line that leaves the grid is open: nothing runs along the border.
        let slope = Grid::of((40, 30), (0.0, 4.0), (0.0, 3.0), |x, _| x);
        let lines = slope.lines_at(2.0);
        assert!(!lines.is_empty() && lines.iter().flatten().all(|(x, _)| (x - 2.0).abs() < 1e-9), "{lines:?}");
        assert!(slope.lines_at(99.0).is_empty() && slope.lines_at(f64::NAN).is_empty());
    }

    #[test]
    fn a_table_starts_on_top() {
        let grid = Grid::table(2, 2, vec![1.0, 2.0, 3.0, 4.0]);
        let at = |x: f64, y: f64| grid.centres().iter().position(|&c| c == (x, y)).map(|k| grid.values[k]);
        assert_eq!([at(0.0, 0.0), at(1.0, 0.0), at(0.0, 1.0), at(1.0, 1.0)], [1.0, 2.0, 3.0, 4.0].map(Some));
    }
}
