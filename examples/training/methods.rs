//! Gradient descent with a learning rate, in its kinds. The starts are a batch: one program moves all of them.

use super::problem::{Point, Problem, array, points, rows};
use wgrad::data::RandomState;
use wgrad::optim::{Adam, Optimizer, Sgd};
use wgrad::{DType, Graph, Result, Session, Variable};

/// A way to descend.
pub struct Method {
    /// What it is called.
    pub name: &'static str,
    /// The factor on the gradient.
    pub learning_rate: f64,
    /// How many of the data points a step sees.
    pub batch: usize,
    optimizer: fn([(String, Variable); 1]) -> Optimizer,
}

/// Every step sees all 30 points.
pub const FIXED_RATE: Method =
    Method { name: "fixed rate", learning_rate: 0.2, batch: 30, optimizer: |phi| Optimizer::new(Sgd::default(), phi) };
/// As [`FIXED_RATE`], with a few points a step.
pub const SGD: Method =
    Method { name: "SGD", learning_rate: 0.8, batch: 5, optimizer: |phi| Optimizer::new(Sgd::default(), phi) };
/// SGD with momentum.
pub const MOMENTUM: Method = Method {
    name: "momentum",
    learning_rate: 0.05,
    batch: 5,
    optimizer: |phi| Optimizer::new(Sgd { momentum: 0.9, ..Sgd::default() }, phi),
};
/// Adam, whose steps have nearly the same size whatever the gradient's.
pub const ADAM: Method =
    Method { name: "Adam", learning_rate: 0.5, batch: 5, optimizer: |phi| Optimizer::new(Adam::default(), phi) };

impl Method {
    /// Which data points each step sees: all of them, or the first of NumPy's `np.random.permutation(count)`, after
    /// `np.random.seed(1)`.
    pub fn batches(&self, count: usize, steps: usize) -> Vec<Vec<usize>> {
        let mut rng = RandomState::new(1);
        let all = || (0..count).collect();
        let few = |rng: &mut RandomState| rng.permutation(count).into_iter().take(self.batch).collect();
        (0..steps).map(|_| if self.batch == count { all() } else { few(&mut rng) }).collect()
    }

    /// Each start and its place after each step; the data points of each step are given.
    pub fn paths(
        &self,
        session: &mut Session,
        problem: &Problem,
        starts: &[Point],
        batches: &[Vec<usize>],
    ) -> Result<Vec<Vec<Point>>> {
        let phi = Variable::new("phi", rows(starts)?);
        let g = Graph::new();
        let (x, y) = (g.input("x", [self.batch], DType::F32), g.input("y", [self.batch], DType::F32));
        // Each loss depends on its own row of phi, so the gradient of the sum moves each row by its own loss.
        let loss = problem.loss(g.variable(&phi), x, y).sum(..);
        let moved = (self.optimizer)([("phi".into(), phi)]).minimize(loss, self.learning_rate);
        let program = session.compile(&g, &moved)?;
        let mut paths: Vec<Vec<Point>> = starts.iter().map(|&start| vec![start]).collect();
        for batch in batches {
            let pick = |values: &[f64]| array(&[batch.len()], &batch.iter().map(|&k| values[k]).collect::<Vec<_>>());
            let now = session.run(&program, &[("x", &pick(problem.x)?), ("y", &pick(problem.y)?)])?;
            paths.iter_mut().zip(points(&now[0])).for_each(|(path, point)| path.push(point));
        }
        Ok(paths)
    }
}

/// Where 1,500 small steps of gradient descent lead from each of the points.
pub fn settle(session: &mut Session, problem: &Problem, from: &[Point]) -> Result<Vec<Point>> {
    let phi = Variable::new("phi", rows(from)?);
    let g = Graph::new();
    let loss = problem.full_loss(g.variable(&phi))?.sum(..);
    Optimizer::new(Sgd::default(), [("phi".into(), phi.clone())]).minimize(loss, 0.05);
    let program = session.compile(&g, &[])?;
    session.run_steps(&program, &[], 1500)?;
    Ok(points(&session.read(&phi)?))
}
