//! Steepest descent: each step goes against the gradient, as far as a line search says.

use super::line_search::{Found, Search, line_search};
use super::problem::{Point, Problem, array, points, rows};
use wgrad::{DType, Graph, Result, Session, Variable};

/// Where a descent went.
#[derive(Debug, Clone)]
pub struct Path {
    /// The start and the place after each step.
    pub points: Vec<Point>,
    /// The loss over all the data at each of them.
    pub losses: Vec<f64>,
}

impl Path {
    /// Asks for the losses, all of them in one run.
    pub fn new(session: &mut Session, problem: &Problem, points: Vec<Point>) -> Result<Self> {
        Ok(Path { losses: problem.losses(session, &points)?, points })
    }
    /// The last place.
    pub fn end(&self) -> Point {
        self.points[self.points.len() - 1]
    }
    /// The loss there.
    pub fn last_loss(&self) -> f64 {
        self.losses[self.losses.len() - 1]
    }
}

/// A descent with its line searches.
#[derive(Debug, Clone)]
pub struct Descent {
    /// Where it went.
    pub path: Path,
    /// The search of each step, along the gradient.
    pub searches: Vec<Found>,
}

/// `steps` steps from `start`. The parameters and the gradient stay on the device.
pub fn descend(
    session: &mut Session,
    problem: &Problem,
    start: Point,
    steps: usize,
    search: Search,
) -> Result<Descent> {
    let phi = Variable::new("phi", rows(&[start])?);
    let slope = Variable::new("slope", rows(&[(0.0, 0.0)])?);

    let g = Graph::new();
    let here = g.variable(&phi);
    problem.full_loss(here)?.sum(..).grad(&[here])[0].assign_to(&slope);
    let find_slope = session.compile(&g, &[])?;

    // The change of the loss, not the loss: the result is rounded to f32, and a small number keeps more digits.
    let g = Graph::new();
    let (here, alpha) = (g.variable(&phi), g.input("alpha", (), DType::F32));
    let change = problem.full_loss(here - alpha * g.variable(&slope))? - problem.full_loss(here)?;
    let look_ahead = session.compile(&g, &[change])?;

    let g = Graph::new();
    let alpha = g.input("alpha", (), DType::F32);
    (g.variable(&phi) - alpha * g.variable(&slope)).assign_to(&phi);
    let take_step = session.compile(&g, &[])?;

    let mut path = vec![start];
    let mut searches = Vec::new();
    for _ in 0..steps {
        session.run(&find_slope, &[])?;
        let found =
            line_search(search, |alpha| session.run(&look_ahead, &[("alpha", &array(&[], &[alpha])?)])?[0].item())?;
        session.run(&take_step, &[("alpha", &array(&[], &[found.minimum])?)])?;
        path.extend(points(&session.read(&phi)?));
        searches.push(found);
    }
    Ok(Descent { path: Path::new(session, problem, path)?, searches })
}
