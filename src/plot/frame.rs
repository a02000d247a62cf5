//! Axes in their place: where points are, and what of a line is inside.

use super::axis::Axis;
use super::canvas::Rect;

/// A panel's axes in their place.
pub(super) struct Frame {
    pub(super) area: Rect,
    pub(super) x: Axis,
    pub(super) y: Axis,
}

impl Frame {
    /// The place of a point; beyond the edges for what lies outside, but not far.
    pub(super) fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let near = |position: f64| position.clamp(-10.0, 11.0);
        let area = &self.area;
        (area.left + area.width * near(self.x.position(x)), area.top + area.height * (1.0 - near(self.y.position(y))))
    }
    pub(super) fn inside(&self, (x, y): (f64, f64)) -> bool {
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
    pub(super) fn pieces(&self, points: &[(f64, f64)]) -> Vec<Vec<(f64, f64)>> {
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
