//! 2-2-1 with biases, trained in three steps: forward, backward, update. Its author's backward pass gives the gradients with a minus
//! sign, and the update subtracts them: it climbs the loss, and every output goes to 1.

use super::common::Options;
use super::plane::{self, Plane, XOR_POINTS, xor_outputs};
use super::training::{XOR, XOR_TARGETS, descend, read, row, run_once};
use wgrad::plot::{Colour, Panel};
use wgrad::{Array, Graph, Result, Session, Tensor, Variable};

const EPOCHS: u32 = 10_000;
const RATE: f64 = 0.01;
/// The epochs whose numbers are kept, with the last; pictures take a point every [`STRIDE`] epochs besides.
const LOGGED: [u32; 8] = [0, 1, 2, 10, 100, 1_000, 2_000, 5_000];
const STRIDE: u32 = 100;

/// The numbers of both runs.
#[derive(Debug)]
pub struct Numbers {
    /// As the author wrote it: uphill.
    pub ascent: Training,
    /// With the sign turned: downhill.
    pub descent: Training,
}

/// What one training leaves.
#[derive(Debug)]
pub struct Training {
    /// The terms of W1, W2, b0 and b1 in the first update, before the learning rate: the gradients with a minus sign.
    pub first_terms: Vec<Vec<f64>>,
    /// The epochs that are kept.
    pub log: Vec<Entry>,
    /// W1, W2, b0 and b1 after the last epoch.
    pub parameters: Vec<Vec<f64>>,
}

/// An epoch, before its update.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Counted from 0.
    pub epoch: u32,
    /// Half the squared error, summed over the four rows.
    pub loss: f64,
    /// For the four rows.
    pub outputs: Vec<f64>,
}

/// W1, W2, b0 and b1, with the start values that the author chose.
struct Network([Variable; 4]);

impl Network {
    fn new() -> Self {
        Network([
            Variable::new("W1", Array::from([[-1.0f32, 1.0], [1.0, -1.0]])),
            Variable::new("W2", Array::from([[1.0f32], [1.0]])),
            Variable::new("b0", Array::from([[1.0f32, 1.0]])),
            Variable::new("b1", Array::from([[-1.0f32]])),
        ])
    }

    fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        let [w1, w2, b0, b1] = self.0.each_ref().map(|v| x.graph().variable(v));
        let hidden = (x.matmul(w1) + b0).sigmoid();
        (hidden.matmul(w2) + b1).sigmoid()
    }

    /// Trains with steps of `rate` against the gradient, and calls `see` after the epochs that are looked at.
    fn train(&self, session: &mut Session, rate: f64, mut see: impl FnMut(Entry)) -> Result<Training> {
        let graph = Graph::new();
        let outputs = self.forward(graph.constant(Array::from(XOR)));
        let loss = (graph.constant(Array::from(XOR_TARGETS)) - outputs).square().sum(..) * 0.5;
        let mut wanted = vec![loss, outputs];
        wanted.extend(descend(loss, &self.0, rate).into_iter().map(|gradient| -gradient));
        let program = session.compile(&graph, &wanted)?;

        let (mut first_terms, mut log) = (Vec::new(), Vec::new());
        let mut done = 0;
        let logged = |epoch| LOGGED.contains(&epoch) || epoch + 1 == EPOCHS;
        for epoch in (0..EPOCHS).filter(|&epoch| epoch.is_multiple_of(STRIDE) || logged(epoch)) {
            session.run_steps(&program, &[], epoch - done)?;
            let mut got = run_once(session, &program)?;
            done = epoch + 1;
            if epoch == 0 {
                first_terms = got.split_off(2);
            }
            let entry = Entry { epoch, loss: got[0][0], outputs: got[1].clone() };
            if logged(epoch) {
                log.push(entry.clone());
            }
            see(entry);
        }
        Ok(Training { first_terms, log, parameters: read(session, &self.0)? })
    }
}

/// Trains the network twice: as written, and with the sign turned.
pub fn run(options: &Options, session: &mut Session) -> Result<Numbers> {
    println!("\nXOR in three steps: 2-2-1, half the squared error, {EPOCHS} epochs at {RATE}");
    let start = Network::new();
    let untrained = Plane::new(session, (-0.5, 1.5), 2, |x| start.forward(x))?.outputs(session, &[])?;
    let mut maps = vec![untrained.heat("Before training", &XOR_POINTS)];
    let mut losses = Panel::new("Loss").x_label("Epoch").y_label("Half the squared error").counts().y_range(0.0, 1.05);
    let mut curves = Vec::new();
    let mut trainings = Vec::new();
    for (k, (name, rate)) in [("as written", -RATE), ("sign turned", RATE)].into_iter().enumerate() {
        let network = Network::new();
        let mut seen = Vec::new();
        let training = network.train(session, rate, |entry| seen.push(entry))?;
        print(name, &training);
        let points = seen.iter().map(|e| (f64::from(e.epoch), e.loss));
        losses = losses.curve(name, Colour::nth(k), points);
        let outputs: Vec<(f64, Vec<f64>)> = seen.into_iter().map(|e| (f64::from(e.epoch), e.outputs)).collect();
        curves.push(xor_outputs(&format!("Outputs, {name}"), &outputs));
        let map = Plane::new(session, (-0.5, 1.5), 2, |x| network.forward(x))?.outputs(session, &[])?;
        maps.push(map.heat(&format!("After {EPOCHS} epochs, {name}"), &XOR_POINTS));
        trainings.push(training);
    }
    let details = "2-2-1, sigmoid, half the squared error, learning rate 0.01";
    let panels = [losses].into_iter().chain(curves);
    options.save("xor-curves", &plane::curves("XOR in three steps", details, panels))?;
    options.save("xor-maps", &plane::maps("XOR in three steps", maps))?;
    let descent = trainings.remove(1);
    Ok(Numbers { ascent: trainings.remove(0), descent })
}

fn print(name: &str, training: &Training) {
    println!("{name}:");
    for entry in training.log.iter().filter(|entry| entry.epoch.is_multiple_of(1_000) || entry.epoch + 1 == EPOCHS) {
        println!("  epoch {:5}: loss {:.6}, outputs {}", entry.epoch, entry.loss, row(&entry.outputs, 6));
    }
    for (name, values) in ["W1", "W2", "b0", "b1"].iter().zip(&training.parameters) {
        println!("  {name} {}", row(values, 6));
    }
}
