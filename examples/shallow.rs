//! Shallow networks I: one input, three ReLU units, `y = φ₀ + Σᵢ φᵢ relu(θᵢ₀ + θᵢ₁ x)`. What each unit adds, the least-squares loss on
//! twenty points, and the ten parameters fitted to them.
//!
//! ```text
//! $ cargo run --release --example shallow -- --device cpu
//! joints                           0.300   0.500   0.769
//! slopes of the pieces            -2.000   0.000  -2.000   2.550
//! least-squares loss               9.385
//! fits                              loss   joints
//!   all ten at once                0.669   -0.020   0.670   0.780
//!   φ alone                        0.154    0.300   0.500   0.769
//!   φ alone, then all ten          0.142    0.292   0.562   0.781
//! ```
//!
//! It draws the nine steps from the input to the weighted units, their sum, and the fits.

#[path = "common/mod.rs"]
pub mod common;

use common::{Options, numbers};
use std::process::ExitCode;
use wgrad::optim::{Adam, Optimizer};
use wgrad::plot::{Colour, Figure, LineStyle, Marker, Panel};
use wgrad::{Array, Graph, Result, Session, Tensor, Variable};

/// `[θᵢ₀, θᵢ₁]` of each unit.
pub const THETA: [[f32; 2]; 3] = [[0.3, -1.0], [-1.0, 2.0], [-0.5, 0.65]];
/// φ₀ to φ₃.
pub const PHI: [f32; 4] = [-0.3, 2.0, -1.0, 7.0];
/// Points along the input, from 0 to just below 1.
pub const POINTS: usize = 100;
/// What the network is to be fitted to: `(x, y)`.
pub const DATA: [(f64, f64); 20] = [
    (0.09291784, -0.15934537),
    (0.46809093, 0.18195445),
    (0.93089486, 0.45127015),
    (0.67612654, 0.13921448),
    (0.73441752, 0.09366691),
    (0.86847339, 0.30567674),
    (0.49873225, 0.37229117),
    (0.51083168, 0.40716968),
    (0.18343972, -0.08131792),
    (0.99380898, 0.41187806),
    (0.27840809, 0.36943738),
    (0.38028817, 0.3994327),
    (0.12055708, 0.01906257),
    (0.56715537, 0.3582041),
    (0.92005746, 0.45256496),
    (0.7707227, -0.0183121),
    (0.85278176, 0.02957665),
    (0.0531595, -0.24354444),
    (0.87168699, 0.14803884),
    (0.58858043, 0.2682497),
];
/// Steps of the fits of all ten parameters, and their learning rate.
pub const FIT: (u32, f64) = (1_000, 0.01);
/// The same of φ alone.
pub const FIT_PHI: (u32, f64) = (500, 0.1);
/// Every so many steps the loss of a fit is read.
pub const STRIDE: u32 = 10;

/// The numbers of the network and of its fits.
#[derive(Debug)]
pub struct Numbers {
    /// A column for each unit, a row for each point.
    pub pre_activations: Vec<f64>,
    /// The same of the activations.
    pub activations: Vec<f64>,
    /// The same of the activations times φ₁ to φ₃.
    pub weighted: Vec<f64>,
    /// The output at each point.
    pub outputs: Vec<f64>,
    /// Where each unit switches on or off.
    pub joints: [f64; 3],
    /// dy/dx in the middle of each of the four pieces, in order.
    pub slopes: Vec<f64>,
    /// Of the network as given, on the data.
    pub loss: f64,
    /// From the given parameters, all ten at once.
    pub at_once: Fit,
    /// From the given parameters, φ alone.
    pub phi_only: Fit,
    /// From there, all ten.
    pub in_two_steps: Fit,
}

/// A fit: what it left.
#[derive(Debug)]
pub struct Fit {
    /// Before the first step and after every [`STRIDE`] of them.
    pub losses: Vec<f64>,
    /// `[θᵢ₀, θᵢ₁]` of each unit.
    pub theta: Vec<f64>,
    /// φ₀ to φ₃.
    pub phi: Vec<f64>,
    /// Where each unit switches on or off.
    pub joints: [f64; 3],
    /// The output at each point.
    pub outputs: Vec<f64>,
}

/// The network: its ten parameters.
struct Shallow {
    theta: Variable,
    phi: Variable,
}

/// The steps from the input to the output, for a batch: the units are columns.
struct Steps<'g> {
    pre_activations: Tensor<'g>,
    activations: Tensor<'g>,
    weighted: Tensor<'g>,
    output: Tensor<'g>,
}

impl Shallow {
    fn new() -> Self {
        Shallow { theta: Variable::new("theta", Array::from(THETA)), phi: Variable::new("phi", Array::from(PHI)) }
    }

    fn steps<'g>(&self, x: Tensor<'g>) -> Steps<'g> {
        let [theta, phi] = [&self.theta, &self.phi].map(|v| x.graph().variable(v));
        let [offset, slope] = [0, 1].map(|k| theta.slice(1, k..k + 1).t());
        let pre_activations = offset + slope * x.unsqueeze(1);
        let activations = pre_activations.relu();
        let weighted = activations * phi.slice(0, 1..4);
        let output = weighted.sum(1) + phi.slice(0, 0..1);
        Steps { pre_activations, activations, weighted, output }
    }

    /// The sum of squares on the data.
    fn loss<'g>(&self, graph: &'g Graph) -> Tensor<'g> {
        let [x, y] = [DATA.map(|d| d.0 as f32), DATA.map(|d| d.1 as f32)].map(|v| graph.constant(v));
        (self.steps(x).output - y).square().sum(..)
    }

    /// Pre-activations, activations, weighted activations and outputs at all points.
    fn evaluate(&self, session: &mut Session) -> Result<[Vec<f64>; 4]> {
        let graph = Graph::new();
        let x = graph.constant(Array::from((0..POINTS).map(|k| k as f32 / POINTS as f32).collect::<Vec<f32>>()));
        let steps = self.steps(x);
        let wanted = [steps.pre_activations, steps.activations, steps.weighted, steps.output];
        let program = session.compile(&graph, &wanted)?;
        let found = session.run(&program, &[])?;
        Ok([0, 1, 2, 3].map(|k| numbers(&found[k])))
    }

    /// dy/dx at some inputs, by autodiff. Each output depends on its own input alone, so one gradient, that of their sum, has all.
    fn slopes(&self, session: &mut Session, x: [f32; 4]) -> Result<Vec<f64>> {
        let graph = Graph::new();
        let x = graph.constant(Array::from(x));
        let slopes = self.steps(x).output.sum(..).grad(&[x])[0];
        let program = session.compile(&graph, &[slopes])?;
        Ok(numbers(&session.run(&program, &[])?[0]))
    }

    /// Takes steps of Adam on some of the parameters.
    fn fit(&self, session: &mut Session, parameters: &[&Variable], (steps, rate): (u32, f64)) -> Result<Fit> {
        let graph = Graph::new();
        let loss = self.loss(&graph);
        let parameters = parameters.iter().map(|&v| (v.name().to_string(), v.clone()));
        Optimizer::new(Adam::default(), parameters).minimize(loss, rate);
        let step = session.compile(&graph, &[loss])?;
        let after = Graph::new();
        let after = session.compile(&after, &[self.loss(&after)])?;

        let mut losses = Vec::new();
        for _ in 0..steps / STRIDE {
            losses.push(session.run(&step, &[])?[0].item()?);
            session.run_steps(&step, &[], STRIDE - 1)?;
        }
        losses.push(session.run(&after, &[])?[0].item()?);
        let [theta, phi] = [session.read(&self.theta)?, session.read(&self.phi)?].map(|a| numbers(&a));
        let [.., outputs] = self.evaluate(session)?;
        Ok(Fit { losses, joints: joints(&theta), theta, phi, outputs })
    }
}

/// Unit i switches where its pre-activation is 0: at −θᵢ₀ / θᵢ₁.
fn joints(theta: &[f64]) -> [f64; 3] {
    [0, 1, 2].map(|i| -theta[2 * i] / theta[2 * i + 1])
}

fn main() -> ExitCode {
    common::start("shallow", run)
}

/// Evaluates the network, fits it, prints and draws both.
pub fn run(options: &Options) -> Result<Numbers> {
    let mut session = options.session()?;
    let network = Shallow::new();
    let [pre_activations, activations, weighted, outputs] = network.evaluate(&mut session)?;
    let joints = joints(&THETA.concat().into_iter().map(f64::from).collect::<Vec<f64>>());
    let edges = [0.0, joints[0], joints[1], joints[2], 1.0];
    let slopes = network.slopes(&mut session, [0, 1, 2, 3].map(|k| (0.5 * (edges[k] + edges[k + 1])) as f32))?;
    let at_once = network.fit(&mut session, &[&network.theta, &network.phi], FIT)?;
    let network = Shallow::new();
    let phi_only = network.fit(&mut session, &[&network.phi], FIT_PHI)?;
    let in_two_steps = network.fit(&mut session, &[&network.theta, &network.phi], FIT)?;

    let numbers = Numbers {
        pre_activations,
        activations,
        weighted,
        outputs,
        joints,
        slopes,
        loss: at_once.losses[0],
        at_once,
        phi_only,
        in_two_steps,
    };
    print(&numbers);
    options.save("units", &units(&numbers))?;
    options.save("sum", &sum(&numbers))?;
    options.save("fits", &fits(&numbers))?;
    Ok(numbers)
}

fn row(values: &[f64]) -> String {
    values.iter().map(|v| format!("{v:7.3}")).collect::<Vec<_>>().join(" ")
}

fn print(n: &Numbers) {
    println!("joints                         {}", row(&n.joints));
    println!("slopes of the pieces           {}", row(&n.slopes));
    println!("least-squares loss             {:7.3}", n.loss);
    println!("fits                              loss   joints");
    for (name, fit) in
        [("all ten at once", &n.at_once), ("φ alone", &n.phi_only), ("φ alone, then all ten", &n.in_two_steps)]
    {
        println!("  {name:28} {:7.3}  {}", fit.losses[fit.losses.len() - 1], row(&fit.joints));
    }
}

/// Values at all points as a line's.
fn line(values: impl IntoIterator<Item = f64>) -> impl Iterator<Item = (f64, f64)> {
    values.into_iter().enumerate().map(|(k, v)| (k as f64 / POINTS as f64, v))
}

/// Three rows of small plots: what each unit is before and after the ReLU, and with its weight.
fn units(n: &Numbers) -> Figure {
    let kinds =
        [("Pre-activation", &n.pre_activations), ("Activation", &n.activations), ("Weighted activation", &n.weighted)];
    let panel = |(name, values): (&str, &Vec<f64>), i: usize| {
        let own = values.iter().copied().skip(i).step_by(3);
        Panel::new(format!("{name} {}", i + 1))
            .x_label("x")
            .x_range(0.0, 1.0)
            .y_range(-1.1, 1.1)
            .horizontal(0.0)
            .vertical(n.joints[i])
            .styled_line("", Colour::nth(i), LineStyle::Solid, line(own))
    };
    let panels = kinds.into_iter().flat_map(|kind| [0, 1, 2].map(|i| panel(kind, i)));
    Figure::new("Three ReLU units")
        .details("One unit in each column; the vertical line is its joint")
        .columns(3)
        .panel_size(300.0, 220.0)
        .panels(panels)
}

/// The network's output; its joints are vertical lines.
fn output(title: &str, outputs: &[f64], joints: &[f64; 3]) -> Panel {
    let panel = Panel::new(title).x_label("x").y_label("y").x_range(0.0, 1.0).y_range(-1.0, 0.7);
    let panel = joints.iter().fold(panel, |panel, &joint| panel.vertical(joint));
    panel.styled_line("network", Colour::nth(0), LineStyle::Solid, line(outputs.iter().copied()))
}

fn sum(n: &Numbers) -> Figure {
    let panel = output("Weighted units and φ₀ = −0.3, added up", &n.outputs, &n.joints);
    let notes = ["unit 1 off", "unit 2 on", "unit 3 on"];
    let panel = notes.iter().zip(n.joints).fold(panel, |panel, (note, joint)| panel.note(joint, 0.55, *note));
    Figure::new("A shallow network").details("Four linear pieces with three joints").panel(panel)
}

/// The network before and after each fit, with the data, and the losses.
fn fits(n: &Numbers) -> Figure {
    let panel = |title: &str, loss: f64, outputs: &[f64], joints: &[f64; 3]| {
        let panel = output(&format!("{title}: loss {loss:.3}"), outputs, joints);
        panel.styled_points("data", Colour::nth(1), Marker::Circle, 4.0, DATA)
    };
    let after = |title: &str, fit: &Fit| panel(title, fit.losses[fit.losses.len() - 1], &fit.outputs, &fit.joints);
    let curve = |losses: Vec<f64>| losses.into_iter().enumerate().map(|(k, loss)| (k as f64 * f64::from(STRIDE), loss));
    let phi = n.phi_only.losses.len() - 1;
    let two_steps = [&n.phi_only.losses[..phi], &n.in_two_steps.losses].concat();
    let losses = Panel::new("Loss")
        .x_label("Step of Adam")
        .y_label("Sum of squares")
        .counts()
        .log_y()
        .y_range(0.1, 10.0)
        .vertical(f64::from(FIT_PHI.0))
        .curve("all ten at once", Colour::nth(0), curve(n.at_once.losses.clone()))
        .curve("φ alone for 500 steps, then all ten", Colour::nth(1), curve(two_steps));
    let panels = [
        panel("As given", n.loss, &n.outputs, &n.joints),
        after("All ten at once", &n.at_once),
        after("φ alone, then all ten", &n.in_two_steps),
        losses,
    ];
    Figure::new("A shallow network fitted by least squares")
        .details("Grey lines: the joints inside the range")
        .panel_size(480.0, 340.0)
        .panels(panels)
}
