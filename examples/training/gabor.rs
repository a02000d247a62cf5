//! Training III: the Gabor model, whose loss has many valleys.

use super::common::Options;
use super::descent::{Descent, Path, descend};
use super::gabor_pictures;
use super::linear::{print_check, search};
use super::methods::{ADAM, FIXED_RATE, MOMENTUM, Method, SGD, settle};
use super::pictures::Surface;
use super::problem::{Check, Point, Problem};
use wgrad::{Result, Session, Tensor};

/// The data of the third part, with the Gabor model.
pub const GABOR: Problem = Problem {
    x: &[
        -1.920, -14.22, 1.490, -1.940, -2.389, -5.090, -8.861, 3.578, -6.010, -6.995, 3.634, 0.8743, -10.96, 0.4073,
        -9.467, 8.560, 10.62, -0.1729, 10.40, -12.61, 0.1574, -13.04, -2.156, -12.10, -11.19, 2.902, -8.220, -11.79,
        -8.391, -4.505,
    ],
    y: &[
        -1.051, -0.02482, 0.8896, -0.4943, -0.9371, 0.4306, 0.009577, -0.07944, 0.1624, -0.2682, -0.3129, 0.8303,
        -0.02365, 0.5098, -0.2777, 0.3367, 0.1927, -0.2222, 0.06352, 0.006888, 0.03224, 0.01091, -0.5706, -0.05258,
        -0.03666, 0.1709, -0.04805, 0.2008, -0.1904, 0.5952,
    ],
    model: gabor,
};
const COUNT: usize = GABOR.x.len();
/// The part of the parameter plane that is drawn.
const PHI_0: Point = (-10.0, 10.0);
const PHI_1: Point = (2.5, 22.5);
/// Where the notebook starts its descents, and its SGD.
const START: Point = (-1.5, 8.5);
const SGD_START: Point = (3.5, 6.5);
const SEARCH_STEPS: usize = 21;
const SGD_STEPS: usize = 41;
/// The starts and steps of the comparison. A line search takes 60 losses to find one step, so it gets fewer.
pub const STARTS: [Point; 6] = [START, SGD_START, (5.0, 12.0), (-4.0, 5.0), (2.0, 20.0), (-3.0, 17.0)];
const STEPS: usize = 100;

/// One method's descents from all starts.
pub struct Compared {
    /// The method's name.
    pub name: &'static str,
    /// Its path from each of [`STARTS`].
    pub paths: Vec<Path>,
    /// Whether gradient descent from a path's end leads to the global minimum.
    pub in_best_valley: Vec<bool>,
}

/// The numbers of the third part.
pub struct Gabor {
    /// The loss at (0.6, -0.2).
    pub loss_check: f64,
    /// The loss and its gradient at (-5, 25).
    pub check: Check,
    /// The descent with line searches.
    pub line_search: Descent,
    /// The descent with a fixed learning rate.
    pub fixed_rate: Path,
    /// Stochastic gradient descent.
    pub sgd: Path,
    /// The data points that each of its steps saw.
    pub sgd_batches: Vec<Vec<usize>>,
    /// The lowest point of the loss in the drawn part of the plane.
    pub minimum: Point,
    /// The loss there.
    pub minimum_loss: f64,
    /// All methods from all starts.
    pub compared: Vec<Compared>,
}

/// A sine wave that fades out on both sides; `offset` shifts it and `frequency` squeezes it.
fn gabor<'g>(offset: Tensor<'g>, frequency: Tensor<'g>, x: Tensor<'g>) -> Tensor<'g> {
    let phase = offset + 0.06 * frequency * x;
    phase.sin() * (-phase.square() / 32.0).exp()
}

/// Prints and draws the third part.
pub fn run(options: &Options, session: &mut Session) -> Result<Gabor> {
    println!("\nIII. The Gabor model");
    let loss_check = GABOR.losses(session, &[(0.6, -0.2)])?[0];
    println!("loss at φ = (0.6, -0.2): {loss_check:.3}");
    let check = GABOR.check(session, (-5.0, 25.0), 1e-4)?;
    print_check(&check, (-5.0, 25.0));
    let line_search = descend(session, &GABOR, START, SEARCH_STEPS, search(2.0))?;
    let mut single = |method: &Method, start, batches: &[Vec<usize>]| {
        let points = method.paths(session, &GABOR, &[start], batches)?.remove(0);
        Path::new(session, &GABOR, points)
    };
    let fixed_rate = single(&FIXED_RATE, START, &FIXED_RATE.batches(COUNT, SEARCH_STEPS))?;
    let sgd_batches = SGD.batches(COUNT, SGD_STEPS);
    let sgd = single(&SGD, SGD_START, &sgd_batches)?;
    for (name, path) in [("line search", &line_search.path), ("fixed rate", &fixed_rate), ("SGD", &sgd)] {
        let ((a0, b0), (a, b)) = (path.points[0], path.end());
        let (steps, loss) = (path.points.len() - 1, path.last_loss());
        println!("{name}, {steps} steps from ({a0}, {b0}): φ = ({a:.4}, {b:.4}), loss {loss:.5}");
    }

    let surface = Surface::new(session, &GABOR, PHI_0, PHI_1)?;
    let minimum = settle(session, &GABOR, &[surface.lowest()])?[0];
    let minimum_loss = GABOR.losses(session, &[minimum])?[0];
    println!("global minimum: φ = ({:.4}, {:.4}), loss {minimum_loss:.5}", minimum.0, minimum.1);
    let compared = compare(session, minimum)?;
    print_comparison(&compared);

    let result =
        Gabor { loss_check, check, line_search, fixed_rate, sgd, sgd_batches, minimum, minimum_loss, compared };
    gabor_pictures::single(options, session, &result, &surface)?;
    gabor_pictures::comparison(options, &result, &surface)?;
    Ok(result)
}

/// All methods from all starts.
fn compare(session: &mut Session, minimum: Point) -> Result<Vec<Compared>> {
    let searched = STARTS.map(|start| Ok(descend(session, &GABOR, start, SEARCH_STEPS, search(2.0))?.path));
    let mut runs = vec![("line search", searched.into_iter().collect::<Result<Vec<Path>>>()?)];
    for method in [FIXED_RATE, SGD, MOMENTUM, ADAM] {
        let paths = method.paths(session, &GABOR, &STARTS, &method.batches(COUNT, STEPS))?;
        let paths =
            paths.into_iter().map(|points| Path::new(session, &GABOR, points)).collect::<Result<Vec<Path>>>()?;
        runs.push((method.name, paths));
    }
    let ends: Vec<Point> = runs.iter().flat_map(|(_, paths)| paths.iter().map(Path::end)).collect();
    let rests = settle(session, &GABOR, &ends)?;
    let near = |at: &Point| (at.0 - minimum.0).hypot(at.1 - minimum.1) < 0.5;
    let compared = |((name, paths), rests): ((&'static str, Vec<Path>), &[Point])| Compared {
        name,
        paths,
        in_best_valley: rests.iter().map(near).collect(),
    };
    Ok(runs.into_iter().zip(rests.chunks(STARTS.len())).map(compared).collect())
}

fn print_comparison(compared: &[Compared]) {
    println!("loss after {STEPS} steps (line search: {SEARCH_STEPS}); * is in the valley of the global minimum");
    let names: String = compared.iter().map(|method| format!("{:>13}", method.name)).collect();
    println!("start        {names}");
    for (k, (a, b)) in STARTS.into_iter().enumerate() {
        let one = |method: &Compared| {
            let mark = if method.in_best_valley[k] { '*' } else { ' ' };
            format!("{:11.2} {mark}", method.paths[k].last_loss())
        };
        let losses: String = compared.iter().map(one).collect();
        println!("({a:4.1}, {b:4.1}) {}", losses.trim_end());
    }
}
