//! 2-3-3-1 without biases and the squared error, one update for each sample in the order of the data, until every loss of a pass
//! is below a threshold. The program's step index picks the sample, so a pass needs nothing from the host but its start.

use super::common::{Options, numbers};
use super::plane::{self, Plane, frame};
use super::training::{descend, normal, read, row, run_once};
use wgrad::data::RandomState;
use wgrad::plot::{Colour, Panel};
use wgrad::{Array, DType, Graph, Program, Result, Session, Tensor, Variable};

const RATE: f64 = 0.8;
const THRESHOLD: f64 = 0.04;
/// A training that has not stopped by then is given up.
const MOST_PASSES: usize = 2_000;
/// As long is the training on the points beside a line, where some are too close to the line for the rule.
const LINEAR_PASSES: usize = 100;
const LINEAR_SAMPLES: usize = 100;
/// An animation's frames are so many passes apart.
const STRIDE: usize = 15;
/// The author prints the loss of every sample of this number.
const PRINTED: usize = 5_000;

/// The numbers of all trainings.
#[derive(Debug)]
pub struct Numbers {
    /// On the points of XOR's diagonals, named as the derivative of the loss and the seed of the start: "mse2_seed0".
    pub xor_easy: Vec<(String, Training)>,
    /// On random points on either side of a line, as "mse2_seed0".
    pub linear: Training,
}

/// What one training leaves.
#[derive(Debug)]
pub struct Training {
    /// Of the three weights, for the first sample.
    pub first_gradients: Vec<Vec<f64>>,
    /// Of each sample, before its update, pass by pass.
    pub losses: Vec<f64>,
    /// How often all samples were seen.
    pub passes: usize,
    /// `(sample, loss)` of every 5,000th sample.
    pub printed: Vec<(usize, f64)>,
    /// The three weights after the last update.
    pub weights: Vec<Vec<f64>>,
    /// The output for each sample, after it.
    pub predictions: Vec<f64>,
    /// The share of the samples whose output is nearer to their class.
    pub accuracy: f64,
}

/// Points with a class, as `[x₁, x₂, class]`.
pub type Data = Vec<[f64; 3]>;

/// 11 points on one diagonal of the unit square are class 0, 10 on the other class 1 (the centre is left out).
pub fn diagonals() -> Data {
    let mut data = Vec::new();
    for k in 0..11 {
        let v = 0.1 * f64::from(k);
        data.push([v, v, 0.0]);
        if k != 5 {
            data.push([v, 1.0 - v, 1.0]);
        }
    }
    data
}

/// Random points of the unit square: class 0 below its diagonal, class 1 above.
pub fn line() -> Data {
    let mut stream = RandomState::new(0);
    let mut point = || [stream.rand(), stream.rand()];
    (0..LINEAR_SAMPLES).map(|_| point()).map(|[a, b]| [a, b, f64::from(a <= b)]).collect()
}

/// The three weights.
struct Network([Variable; 3]);

impl Network {
    /// From NumPy's stream of a seed.
    fn new(seed: u32) -> Result<Self> {
        let mut stream = RandomState::new(seed);
        let mut next = |name, shape| normal(name, shape, &mut stream);
        Ok(Network([next("w1", [2, 3])?, next("w2", [3, 3])?, next("w3", [3, 1])?]))
    }

    fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        self.0.iter().fold(x, |a, w| a.matmul(x.graph().variable(w)).sigmoid())
    }
}

/// A network with its data, and the program that takes one sample after the other.
struct Trainer {
    network: Network,
    /// The last pass's loss of each sample.
    losses: Variable,
    step: Program,
    predict: Program,
    samples: usize,
    classes: Vec<f64>,
}

impl Trainer {
    /// `factor` 2 takes the derivative of (ŷ − y)², 1 leaves its 2 out.
    fn new(session: &mut Session, network: Network, data: &[[f64; 3]], factor: f64) -> Result<Self> {
        let samples = data.len();
        let part = |columns: std::ops::Range<usize>| {
            let numbers: Vec<f64> = data.iter().flat_map(|d| d[columns.clone()].to_vec()).collect();
            Array::from_f64([samples, columns.len()], &numbers, DType::F32)
        };
        let (x, y) = (part(0..2)?, part(2..3)?);
        let losses = Variable::new("losses", Array::zeros([samples], DType::F32)?);

        let graph = Graph::new();
        let sample = graph.step() % graph.scalar(samples as f64, DType::U32);
        let pick = |array: &Array| graph.constant(array).index_select(0, sample.reshape([1]));
        let loss = (network.forward(pick(&x)) - pick(&y)).square().sum(..);
        let gradients = descend(loss * (factor / 2.0), &network.0, RATE);
        graph.iota([samples], 0).eq(sample).select(loss, graph.variable(&losses)).assign_to(&losses);
        let infer = Graph::new();
        let predictions = network.forward(infer.constant(&x));
        Ok(Trainer {
            step: session.compile(&graph, &gradients)?,
            predict: session.compile(&infer, &[predictions])?,
            classes: y.to_f64(),
            network,
            losses,
            samples,
        })
    }

    /// Passes over the data until each loss of a pass is below the threshold, but at most `most`; `see` is called before each pass,
    /// and after the last.
    fn train(
        &self,
        session: &mut Session,
        most: usize,
        mut see: impl FnMut(&mut Session, usize) -> Result<()>,
    ) -> Result<Training> {
        let (mut first_gradients, mut losses) = (Vec::new(), Vec::new());
        let mut passes = 0;
        let mut done = false;
        while !done && passes < most {
            see(session, passes)?;
            let first = run_once(session, &self.step)?;
            session.run_steps(&self.step, &[], self.samples as u32 - 1)?;
            if passes == 0 {
                first_gradients = first;
            }
            let pass = numbers(&session.read(&self.losses)?);
            done = pass.iter().all(|&loss| loss < THRESHOLD);
            losses.extend(pass);
            passes += 1;
        }
        see(session, passes)?;
        let predictions = run_once(session, &self.predict)?.remove(0);
        let right = predictions.iter().zip(&self.classes).filter(|(p, class)| p.round() == **class).count();
        Ok(Training {
            first_gradients,
            printed: (PRINTED..=losses.len()).step_by(PRINTED).map(|n| (n, losses[n - 1])).collect(),
            losses,
            passes,
            weights: read(session, &self.network.0)?,
            accuracy: right as f64 / predictions.len() as f64,
            predictions,
        })
    }
}

/// Trains on both sets of data and draws the networks.
pub fn run(options: &Options, session: &mut Session) -> Result<Numbers> {
    println!("\nSample by sample: 2-3-3-1 without biases, squared error, learning rate {RATE}");
    println!("  data      derivative  start   passes  samples  accuracy  loss of sample 5000, 10000");
    let data = diagonals();
    let mut xor_easy = Vec::new();
    let mut frames = Vec::new();
    let mut maps = Vec::new();
    for (name, factor) in [("mse2", 2.0), ("mse1", 1.0)] {
        for seed in 0..3 {
            let trainer = Trainer::new(session, Network::new(seed)?, &data, factor)?;
            let plane = Plane::new(session, (-0.2, 1.2), 2, |x| trainer.network.forward(x))?;
            let shown = name == "mse2" && seed == 0;
            let training = trainer.train(session, MOST_PASSES, |session, passes| {
                if shown && passes.is_multiple_of(STRIDE) {
                    let map = plane.outputs(session, &[])?;
                    let panel = map.boundary(&format!("After {passes} passes"), &data);
                    frames.push(frame("2-3-3-1, sample by sample", panel));
                }
                Ok(())
            })?;
            if shown {
                maps.push(plane.outputs(session, &[])?.heat("The diagonals, derivative 2(ŷ − y), seed 0", &data));
            }
            print("diagonals", factor, seed, &training);
            xor_easy.push((format!("{name}_seed{seed}"), training));
        }
    }
    let data = line();
    let trainer = Trainer::new(session, Network::new(0)?, &data, 2.0)?;
    let linear = trainer.train(session, LINEAR_PASSES, |_, _| Ok(()))?;
    print("line", 2.0, 0, &linear);
    let plane = Plane::new(session, (-0.2, 1.2), 2, |x| trainer.network.forward(x))?;
    maps.push(plane.outputs(session, &[])?.heat(&format!("The line, after {LINEAR_PASSES} passes"), &data));

    let title = "2-3-3-1, sample by sample";
    let details = "no biases, sigmoid, squared error, learning rate 0.8; trained until every loss is below 0.04 (grey)";
    options.save("per-sample-curves", &plane::curves(title, details, curves(&xor_easy, &linear)))?;
    options.save("per-sample-maps", &plane::maps(title, maps))?;
    options.save_animation("per-sample-boundary", &frames, 0.3)?;
    Ok(Numbers { xor_easy, linear })
}

/// The largest loss of each pass, which must get below the threshold.
fn curves(xor_easy: &[(String, Training)], linear: &Training) -> [Panel; 3] {
    let largest = |training: &Training| -> Vec<(f64, f64)> {
        let passes = training.losses.chunks(training.losses.len() / training.passes);
        passes.enumerate().map(|(k, pass)| ((k + 1) as f64, pass.iter().copied().fold(0.0, f64::max))).collect()
    };
    let panel = |title: &str, trainings: &[&Training]| {
        let empty = Panel::new(title).x_label("Pass").y_label("Largest loss of a pass").counts();
        let empty = empty.log_y().y_range(0.03, 1.0).horizontal(THRESHOLD);
        let curve = |panel: Panel, (k, training): (usize, &&Training)| {
            panel.curve(format!("seed {k}"), Colour::nth(k), largest(training))
        };
        trainings.iter().enumerate().fold(empty, curve)
    };
    let of = |name: &str| -> Vec<&Training> {
        xor_easy.iter().filter(|(own, _)| own.starts_with(name)).map(|(_, training)| training).collect()
    };
    [
        panel("The diagonals, derivative 2(ŷ − y)", &of("mse2")),
        panel("The diagonals, derivative ŷ − y", &of("mse1")),
        panel("The line, derivative 2(ŷ − y)", &[linear]),
    ]
}

fn print(data: &str, factor: f64, seed: u32, training: &Training) {
    let derivative = if factor == 2.0 { "2(ŷ − y)" } else { "ŷ − y" };
    let (passes, samples) = (training.passes, training.losses.len());
    let accuracy = 100.0 * training.accuracy;
    let printed: Vec<f64> = training.printed.iter().map(|&(_, loss)| loss).collect();
    println!("  {data:9} {derivative:10}  seed {seed} {passes:7} {samples:8} {accuracy:7.0} %  {}", row(&printed, 6));
}
