//! 3-4-1 without biases: the third input is 1 in every row and takes a bias's part. Half the squared error, 1,000 steps of
//! gradient descent over all four rows, at a learning rate of 1.

use super::common::{Options, numbers};
use super::plane::{self, Plane, XOR_POINTS, frame, xor_outputs};
use super::training::{XOR_TARGETS, descend, random, read, row, run_once};
use wgrad::data::RandomState;
use wgrad::plot::{Colour, Panel};
use wgrad::{Array, Graph, Result, Session, Tensor, Variable};

const ITERATIONS: u32 = 1_000;
const RATE: f64 = 1.0;
/// An animation's frames are so many iterations apart.
const STRIDE: u32 = 50;
const X: [[f32; 3]; 4] = [[0.0, 0.0, 1.0], [0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 1.0]];

/// The network's numbers.
#[derive(Debug)]
pub struct Numbers {
    /// Before training, for the four rows.
    pub initial_output: Vec<f64>,
    /// Of both weights, in the first iteration.
    pub first_gradients: Vec<Vec<f64>>,
    /// Of each iteration, before its update.
    pub losses: Vec<f64>,
    /// The output that the last iteration computed, before its update: the author's "new output".
    pub last_output: Vec<f64>,
    /// Both weights after the last update.
    pub weights: Vec<Vec<f64>>,
    /// The output after it.
    pub output: Vec<f64>,
}

/// Both weights, from NumPy's stream of seed 1.
struct Network([Variable; 2]);

impl Network {
    fn new() -> Result<Self> {
        let mut stream = RandomState::new(1);
        let mut uniform = |name, shape| random(name, shape, || stream.rand());
        Ok(Network([uniform("weight1", [3, 4])?, uniform("weight2", [4, 1])?]))
    }

    fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        let [w1, w2] = self.0.each_ref().map(|v| x.graph().variable(v));
        x.matmul(w1).sigmoid().matmul(w2).sigmoid()
    }
}

/// Trains the network and draws it.
pub fn run(options: &Options, session: &mut Session) -> Result<Numbers> {
    let network = Network::new()?;
    let graph = Graph::new();
    let output = network.forward(graph.constant(Array::from(X)));
    let loss = (output - graph.constant(Array::from(XOR_TARGETS))).square().sum(..) * 0.5;
    let mut wanted = vec![loss, output];
    wanted.extend(descend(loss, &network.0, RATE));
    let step = session.compile(&graph, &wanted)?;
    let infer = Graph::new();
    let predict = session.compile(&infer, &[network.forward(infer.constant(Array::from(X)))])?;
    let plane = Plane::new(session, (-0.5, 1.5), 3, |x| network.forward(x))?;

    let (mut losses, mut outputs, mut frames) = (Vec::new(), Vec::new(), Vec::new());
    let mut first_gradients = Vec::new();
    for iteration in 0..=ITERATIONS {
        if iteration.is_multiple_of(STRIDE) {
            let map = plane.outputs(session, &[1.0])?;
            frames.push(frame("3-4-1 learns XOR", map.boundary(&format!("After {iteration} iterations"), &XOR_POINTS)));
        }
        if iteration == ITERATIONS {
            break;
        }
        let mut got = run_once(session, &step)?;
        if iteration == 0 {
            first_gradients = got.split_off(2);
        }
        losses.push(got[0][0]);
        outputs.push((f64::from(iteration), got[1].clone()));
    }
    let numbers = Numbers {
        initial_output: outputs[0].1.clone(),
        first_gradients,
        last_output: outputs[outputs.len() - 1].1.clone(),
        losses,
        weights: read(session, &network.0)?,
        output: numbers(&session.run(&predict, &[])?[0]),
    };
    println!("\n3-4-1 without biases, half the squared error, {ITERATIONS} iterations at {RATE}");
    println!("  initial output {}", row(&numbers.initial_output, 3));
    println!("  new output     {}", row(&numbers.last_output, 3));
    println!("  loss {:.6} → {:.6}", numbers.losses[0], numbers.losses[numbers.losses.len() - 1]);
    println!("  output for 1 0 1 after training: {:.3}", numbers.output[2]);

    let points = numbers.losses.iter().enumerate().map(|(k, &loss)| (k as f64, loss));
    let curve = Panel::new("Loss").x_label("Iteration").y_label("Half the squared error").counts();
    let panels = [curve.curve("", Colour::nth(0), points), xor_outputs("Outputs", &outputs).x_label("Iteration")];
    let details = "sigmoid, half the squared error, learning rate 1";
    options.save("three-four-one-curves", &plane::curves("3-4-1 learns XOR", details, panels))?;
    // Two slices through the cube of inputs: the data lie in that where the third input is 1.
    let panels = [
        plane.outputs(session, &[1.0])?.heat("Third input 1: where the data are", &XOR_POINTS),
        plane.outputs(session, &[0.0])?.heat("Third input 0: no data there", &[]),
    ];
    options.save("three-four-one-maps", &plane::maps("3-4-1 learns XOR", panels))?;
    options.save_animation("three-four-one-boundary", &frames, 0.3)?;
    Ok(numbers)
}
