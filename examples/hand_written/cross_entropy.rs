//! 2-2-1 with biases and the summed binary cross-entropy, 140 steps of gradient descent at a learning rate of 1; and four
//! parameters, found without any training, with which two ReLU units are XOR.

use super::common::Options;
use super::plane::{self, Plane, XOR_POINTS, xor_outputs};
use super::training::{XOR, XOR_TARGETS, descend, normal, read, row, run_once};
use wgrad::data::RandomState;
use wgrad::plot::{Colour, Panel};
use wgrad::{Array, Graph, Result, Session, Tensor, Variable};

const EPOCHS: u32 = 140;
const RATE: f64 = 1.0;

/// The network's numbers.
#[derive(Debug)]
pub struct Numbers {
    /// Before training, for the four rows of XOR.
    pub initial_output: Vec<f64>,
    /// Of W1, b1, W2 and b2, in the first epoch.
    pub first_gradients: Vec<Vec<f64>>,
    /// Of each epoch, before its update.
    pub losses: Vec<f64>,
    /// W1, b1, W2 and b2 after the last update.
    pub parameters: Vec<Vec<f64>>,
    /// The output after it.
    pub output: Vec<f64>,
    /// What the network without training answers.
    pub by_hand: Vec<f64>,
}

/// W1, b1, W2 and b2: a row of a weight holds what one unit takes from each input.
struct Network([Variable; 4]);

impl Network {
    /// From NumPy's stream of seed 0.
    fn random() -> Result<Self> {
        let mut stream = RandomState::new(0);
        let mut next = |name, shape| normal(name, shape, &mut stream);
        Ok(Network([next("W1", [2, 2])?, next("b1", [2, 1])?, next("W2", [1, 2])?, next("b2", [1, 1])?]))
    }

    /// `max(a + b, 0) − 2 max(a + b − 1, 0)`, which is a XOR b.
    fn by_hand() -> Self {
        Network([
            Variable::new("W1", Array::from([[1.0f32, 1.0], [1.0, 1.0]])),
            Variable::new("b1", Array::from([[0.0f32], [-1.0]])),
            Variable::new("W2", Array::from([[1.0f32, -2.0]])),
            Variable::new("b2", Array::from([[0.0f32]])),
        ])
    }

    fn layers<'g>(&self, x: Tensor<'g>, activation: impl Fn(Tensor<'g>) -> Tensor<'g>) -> Tensor<'g> {
        let [w1, b1, w2, b2] = self.0.each_ref().map(|v| x.graph().variable(v).t());
        activation(x.matmul(w1) + b1).matmul(w2) + b2
    }

    fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        self.layers(x, Tensor::sigmoid).sigmoid()
    }
}

/// Trains the network and draws it, beside the one without training.
pub fn run(options: &Options, session: &mut Session) -> Result<Numbers> {
    let network = Network::random()?;
    let graph = Graph::new();
    let output = network.forward(graph.constant(Array::from(XOR)));
    let y = graph.constant(Array::from(XOR_TARGETS));
    let loss = -(y * output.log() + (1.0 - y) * (-output + 1.0).log()).sum(..);
    let mut wanted = vec![loss, output];
    wanted.extend(descend(loss, &network.0, RATE));
    let step = session.compile(&graph, &wanted)?;
    let infer = Graph::new();
    let hand = Network::by_hand();
    let x = infer.constant(Array::from(XOR));
    let predict = session.compile(&infer, &[network.forward(x), hand.layers(x, Tensor::relu)])?;

    let (mut losses, mut outputs) = (Vec::new(), Vec::new());
    let mut first_gradients = Vec::new();
    for epoch in 0..EPOCHS {
        let mut got = run_once(session, &step)?;
        if epoch == 0 {
            first_gradients = got.split_off(2);
        }
        losses.push(got[0][0]);
        outputs.push((f64::from(epoch), got[1].clone()));
    }
    let mut after = run_once(session, &predict)?;
    let by_hand = after.remove(1);
    let numbers = Numbers {
        initial_output: outputs[0].1.clone(),
        first_gradients,
        losses,
        parameters: read(session, &network.0)?,
        output: after.remove(0),
        by_hand,
    };
    print(&numbers);

    let points = numbers.losses.iter().enumerate().map(|(k, &loss)| (k as f64, loss));
    let curve = Panel::new("Loss").x_label("Epoch").y_label("Summed cross-entropy (nat)").counts();
    let panels = [curve.curve("", Colour::nth(0), points), xor_outputs("Outputs", &outputs)];
    let details = "2-2-1, sigmoid, learning rate 1";
    options.save("cross-entropy-curves", &plane::curves("XOR with cross-entropy", details, panels))?;
    let trained = Plane::new(session, (-0.5, 1.5), 2, |x| network.forward(x))?.outputs(session, &[])?;
    let by_hand = Plane::new(session, (-0.5, 1.5), 2, |x| hand.layers(x, Tensor::relu))?.outputs(session, &[])?;
    let panels = [
        trained.heat(&format!("Trained: {EPOCHS} epochs"), &XOR_POINTS),
        by_hand.heat("By hand: two ReLU units", &XOR_POINTS),
    ];
    options.save("cross-entropy-maps", &plane::maps("XOR with training and without", panels))?;
    Ok(numbers)
}

fn print(numbers: &Numbers) {
    println!("\nXOR with cross-entropy: 2-2-1, {EPOCHS} epochs at {RATE}");
    let names = ["dW1", "db1", "dW2", "db2"];
    for (name, gradient) in names.iter().zip(&numbers.first_gradients).skip(2) {
        println!("  {name} {}", row(gradient, 6));
    }
    let every: Vec<f64> = numbers.losses.iter().copied().step_by(20).collect();
    println!("  loss every 20 epochs {}", row(&every, 6));
    let classes: Vec<f64> = numbers.output.iter().map(|p| p.round()).collect();
    println!("  outputs {}, classes {}", row(&numbers.output, 6), row(&classes, 0));
    println!("  by hand, without training: {}", row(&numbers.by_hand, 0));
}
