//! The bracketing line search: a minimum of a function of one number, from the function's values alone.

use wgrad::Result;

/// How a search starts and when it stops.
#[derive(Debug, Clone, Copy)]
pub struct Search {
    /// The minimum is looked for between 0 and here.
    pub max_distance: f64,
    /// The search stops when the two middle points are this close.
    pub threshold: f64,
    /// The most brackets that are tried.
    pub max_iterations: usize,
}

/// The four points that an iteration compares, in ascending order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bracket {
    /// The lower end.
    pub a: f64,
    /// The first point between the ends.
    pub b: f64,
    /// The second.
    pub c: f64,
    /// The upper end.
    pub d: f64,
}

impl Bracket {
    /// `b` and `c` at one and two thirds of the way.
    fn thirds(a: f64, d: f64) -> Self {
        let third = (d - a) / 3.0;
        Bracket { a, b: a + third, c: a + 2.0 * third, d }
    }
    /// All four in order.
    pub fn points(&self) -> [f64; 4] {
        [self.a, self.b, self.c, self.d]
    }
}

/// Which rule made a bracket smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// `a` is the lowest of all: the others move half way to it.
    Halve,
    /// `b` is below `c`: what is right of `c` is cut off.
    CutRight,
    /// Otherwise what is left of `b` is cut off.
    CutLeft,
}

/// The result of a search.
#[derive(Debug, Clone)]
pub struct Found {
    /// The middle between the last `b` and `c`.
    pub minimum: f64,
    /// The last bracket.
    pub last: Bracket,
    /// The bracket of each iteration, and the rule that made the next.
    pub steps: Vec<(Bracket, Rule)>,
}

/// Looks for a minimum of `f` between 0 and the search's largest distance.
pub fn line_search(search: Search, mut f: impl FnMut(f64) -> Result<f64>) -> Result<Found> {
    let at = |share: f64| share * search.max_distance;
    let mut bracket = Bracket { a: 0.0, b: at(0.33), c: at(0.66), d: at(1.0) };
    let mut steps = Vec::new();
    while bracket.c - bracket.b > search.threshold && steps.len() < search.max_iterations {
        let Bracket { a, b, c, d } = bracket;
        let [loss_a, loss_b, loss_c, loss_d] = [f(a)?, f(b)?, f(c)?, f(d)?];
        let (rule, next) = if loss_a < loss_b.min(loss_c).min(loss_d) {
            // Half the distance from `a`, not half the value: that would move a point below `a` once `a` is above 0.
            let half = |point: f64| a + (point - a) / 2.0;
            (Rule::Halve, Bracket { a, b: half(b), c: half(c), d: half(d) })
        } else if loss_b < loss_c {
            (Rule::CutRight, Bracket::thirds(a, c))
        } else {
            (Rule::CutLeft, Bracket::thirds(b, d))
        };
        steps.push((bracket, rule));
        bracket = next;
    }
    Ok(Found { minimum: (bracket.b + bracket.c) / 2.0, last: bracket, steps })
}
