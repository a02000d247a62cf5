//! Gradients III: how the sizes of activations and gradients change from layer to layer, for several variances of the
//! initial weights.

use super::common::{Options, numbers};
use std::collections::HashMap;
use wgrad::data::RandomState;
use wgrad::plot::{Colour, Figure, LineStyle, Panel};
use wgrad::reference::{Environment, RefTensor, evaluate};
use wgrad::{Array, DType, Graph, Result, Shape, Tensor, Variable};

/// Examples of the forward and of the backward study.
const FORWARD: usize = 1000;
const BACKWARD: usize = 100;

/// A network of one input, K hidden layers of D units and one output, without biases, before its weights are scaled.
pub struct Network {
    /// Hidden layers.
    pub k: usize,
    /// Units of each.
    pub d: usize,
    /// Ω₀ to Ω_K with variance 1.
    pub normals: Vec<Vec<f64>>,
    /// One input for each example.
    pub data: Vec<f64>,
}

impl Network {
    /// The notebook's draws: `np.random.seed(0)`, then the first and the last layer, those between, and the data.
    pub fn new(k: usize, d: usize) -> Self {
        let mut rng = RandomState::new(0);
        let mut draw = |count: usize| -> Vec<f64> { (0..count).map(|_| rng.randn()).collect() };
        let (first, last) = (draw(d), draw(d));
        let between: Vec<Vec<f64>> = (1..k).map(|_| draw(d * d)).collect();
        Network { k, d, normals: [vec![first], between, vec![last]].concat(), data: draw(FORWARD) }
    }

    fn shape(&self, layer: usize) -> [usize; 2] {
        [if layer == self.k { 1 } else { self.d }, if layer == 0 { 1 } else { self.d }]
    }
}

/// `f_k = Ω_k h_k`, `h_{k+1} = relu(f_k)`, for a row of inputs.
fn forward<'g>(weights: &[Tensor<'g>], x: Tensor<'g>) -> (Vec<Tensor<'g>>, Vec<Tensor<'g>>) {
    let (mut h, mut f) = (vec![x], Vec::new());
    for (k, omega) in weights.iter().enumerate() {
        f.push(omega.matmul(h[k]));
        if k + 1 < weights.len() {
            h.push(f[k].relu());
        }
    }
    (h, f)
}

/// The largest absolute value.
fn largest(x: Tensor<'_>) -> Tensor<'_> {
    x.abs().max(..)
}

/// The standard deviation over all elements. It squares its elements, which overflow f32 beyond 1.8·10¹⁹; divided by the
/// largest first, they do not.
fn deviation(x: Tensor<'_>) -> Tensor<'_> {
    (x / largest(x)).std(.., 0.0) * largest(x)
}

/// Standard deviations, layer by layer, and largest values.
#[derive(Debug, Clone)]
pub struct Sizes<T> {
    /// Of h₀ (the data) to h_{K−1}.
    pub activations: Vec<T>,
    /// Of dl/df₁ to dl/df_{K−1}; the loss is f_K².
    pub gradients: Vec<T>,
    /// Of f_K.
    pub output: T,
    /// The largest |h| (the data's included), |f_K| and |dl/df|.
    pub largest: [T; 3],
}

impl<T: Copy> Sizes<T> {
    fn all(&self) -> Vec<T> {
        [&self.activations[..], &self.gradients, &[self.output], &self.largest].concat()
    }
    /// The same with other values, in the order of [`Sizes::all`].
    fn with(&self, values: &[f64]) -> Sizes<f64> {
        let (activations, rest) = values.split_at(self.activations.len());
        let (gradients, rest) = rest.split_at(self.gradients.len());
        Sizes {
            activations: activations.to_vec(),
            gradients: gradients.to_vec(),
            output: rest[0],
            largest: [rest[1], rest[2], rest[3]],
        }
    }
}

/// The variables of a network and their values in f64, which the reference takes as they are.
type Values = Vec<(Variable, RefTensor)>;

fn variable(name: String, shape: impl Into<Shape>, data: &[f64]) -> Result<(Variable, RefTensor)> {
    let exact = RefTensor { shape: shape.into(), dtype: DType::F32, data: data.to_vec() };
    Ok((Variable::new(name, exact.to_array()?), exact))
}

/// The program for any variance: its input `deviation` is √σ². Returns the sizes, the network's outputs for the data, and the
/// variables.
fn build<'g>(g: &'g Graph, network: &Network) -> Result<(Sizes<Tensor<'g>>, Tensor<'g>, Values)> {
    let deviation_of_weights = g.input("deviation", (), DType::F32);
    let mut values = vec![variable("data".into(), [1, FORWARD], &network.data)?];
    for (k, normals) in network.normals.iter().enumerate() {
        values.push(variable(format!("normals{k}"), network.shape(k), normals)?);
    }
    let data = g.variable(&values[0].0);
    let weights: Vec<Tensor<'_>> = values[1..].iter().map(|(v, _)| g.variable(v) * deviation_of_weights).collect();

    let (h, f) = forward(&weights, data);
    let output = f[network.k];
    // The notebook draws the backward study's data from the same stream: they are the first of the forward study's.
    let (_, fs) = forward(&weights, data.slice(1, 0..BACKWARD));
    let loss = fs[network.k].square().sum(..);
    let gradients = loss.grad(&fs[1..network.k]);

    let largest_of = |list: &[Tensor<'g>]| list.iter().fold(g.scalar(0.0, DType::F32), |m, x| m.maximum(largest(*x)));
    let sizes = Sizes {
        activations: h[..network.k].iter().copied().map(deviation).collect(),
        gradients: gradients.iter().copied().map(deviation).collect(),
        output: deviation(output),
        largest: [largest_of(&h), largest(output), largest_of(&gradients)],
    };
    Ok((sizes, output, values))
}

/// The program on the reference without any rounding to f32: values up to 10³⁰⁸.
fn in_f64(g: &Graph, sizes: &Sizes<Tensor<'_>>, values: &Values, deviation: f64) -> Result<Sizes<f64>> {
    let wanted: Vec<_> = sizes.all().iter().map(|t| t.id()).collect();
    let deviation = RefTensor { shape: ().into(), dtype: DType::F32, data: vec![deviation] };
    let inputs = HashMap::from([("deviation".to_string(), deviation)]);
    let variables = values.iter().map(|(v, exact)| (v.id(), exact.clone())).collect();
    let environment = Environment { inputs: &inputs, variables: &variables, step: 0, seed: 0 };
    let results = evaluate(g, &wanted, environment)?;
    Ok(sizes.with(&results.iter().map(|result| result.data[0]).collect::<Vec<_>>()))
}

/// A network's sizes for one variance of its weights.
pub struct Run {
    /// Hidden layers.
    pub k: usize,
    /// Units of each.
    pub d: usize,
    /// The variance σ² of the weights.
    pub variance: f64,
    /// What is special about it.
    pub name: &'static str,
    /// On the device.
    pub device: Sizes<f64>,
    /// What the network gives for each example of the data, on the device.
    pub outputs: Vec<f64>,
    /// In f64, for σ² = 1: the deeper network's gradients are beyond f32.
    pub exact: Option<Sizes<f64>>,
}

impl Run {
    /// The sizes in f64, if f32 cannot hold them all.
    fn overflows(&self) -> Option<&Sizes<f64>> {
        self.exact.as_ref().filter(|exact| exact.largest.iter().any(|v| *v > f64::from(f32::MAX)))
    }
}

/// One network with several variances.
fn runs(options: &Options, k: usize, d: usize) -> Result<Vec<Run>> {
    let network = Network::new(k, d);
    let g = Graph::new();
    let (sizes, output, values) = build(&g, &network)?;
    let mut session = options.session()?;
    let program = session.compile(&g, &[sizes.all(), vec![output]].concat())?;
    let he = 2.0 / d as f64;
    let variances = [(0.5 * he, "half of He's"), (he, "He's"), (2.0 * he, "twice He's"), (1.0, "one")];
    let run = |(variance, name): (f64, &'static str)| {
        let out = session.run(&program, &[("deviation", &Array::scalar(variance.sqrt() as f32))])?;
        let mut device: Vec<f64> = out.iter().flat_map(numbers).collect();
        let outputs = device.split_off(device.len() - FORWARD);
        let exact = if variance == 1.0 { Some(in_f64(&g, &sizes, &values, variance.sqrt())?) } else { None };
        Ok(Run { k, d, variance, name, device: sizes.with(&device), outputs, exact })
    };
    variances.into_iter().map(run).collect()
}

/// Computes, prints and draws.
pub fn run(options: &Options) -> Result<Vec<Run>> {
    let mut all = runs(options, 5, 8)?;
    all.extend(runs(options, 50, 80)?);
    print(&all);
    options.save("variance", &picture(&all))?;
    Ok(all)
}

/// Whether f32 holds a number. A GPU may turn what is too large for f32 into anything, 0 included.
pub fn holds(value: f64) -> bool {
    value.is_normal()
}

/// The mean factor from one layer to the next, as text.
fn factor(list: &[f64]) -> String {
    let factor = (list[list.len() - 1] / list[0]).powf(1.0 / (list.len() - 1) as f64);
    if holds(factor) { format!("{factor:.2}") } else { "-".into() }
}

/// A number of the table.
fn text(value: f64) -> String {
    if holds(value) { format!("{value:.1e}") } else { "overflow".into() }
}

fn print(all: &[Run]) {
    println!("Gradients III: standard deviations of h and dl/df, for weights of variance σ²");
    for runs in all.chunk_by(|a, b| a.k == b.k) {
        let (k, d) = (runs[0].k - 1, runs[0].d);
        let title = format!("K = {}, D = {d}", runs[0].k);
        let (last_h, last_df) = (format!("h{k}"), format!("dl/df{k}"));
        print!("{title:16} {:>7} {:>9} {:>8} {last_h:>8} {:>5}", "σ²", "√(Dσ²/2)", "h1", "ratio");
        println!(" {last_df:>9} {:>8} {:>5}", "dl/df1", "ratio");
        for run in runs {
            let row = |name: &str, sizes: &Sizes<f64>| {
                let (h, gradients) = (&sizes.activations[1..], &sizes.gradients);
                let backward: Vec<f64> = gradients.iter().rev().copied().collect();
                let expected = (d as f64 * run.variance / 2.0).sqrt();
                print!("  {name:14} {:7} {expected:9.2} {:>8} {:>8}", run.variance, text(h[0]), text(h[k - 1]));
                print!(" {:>5} {:>9} {:>8}", factor(h), text(backward[0]), text(backward[k - 1]));
                println!(" {:>5}", factor(&backward));
            };
            row(run.name, &run.device);
            if let Some(exact) = run.overflows() {
                row("one, in f64", exact);
                let fit = |list: &[f64]| list.iter().filter(|v| holds(**v)).count();
                let (h, gradients) = (fit(&run.device.activations[1..]), fit(&run.device.gradients));
                print!("  σ² = 1: {h} of {k} deviations of h and {gradients} of {k} of dl/df fit into f32, up to ");
                println!("{:.1e};", f32::MAX);
                println!("  the largest h is {:.1e}, the largest dl/df {:.1e}", exact.largest[0], exact.largest[2]);
            }
        }
    }
}

/// A network's panels: activations and gradients.
fn panels(runs: &[Run]) -> [Panel; 2] {
    let (k, d) = (runs[0].k, runs[0].d);
    let panel = |title: &str, label: &str, first: usize, list: fn(&Sizes<f64>) -> &[f64]| {
        let mut panel = Panel::new(format!("{title}, K = {k}, D = {d}")).x_label("Layer k").y_label(label).counts();
        // The logarithms are taken here: an axis of powers of ten ends at 1e30.
        let line = |sizes: &Sizes<f64>| {
            let points = list(sizes).iter().enumerate().map(|(layer, v)| ((first + layer) as f64, *v));
            points.map(|(layer, v)| (layer, if holds(v) { v.log10() } else { f64::NAN })).collect::<Vec<_>>()
        };
        for (number, run) in runs.iter().enumerate() {
            let name = if run.exact.is_some() { String::new() } else { format!(" ({})", run.name) };
            let (name, colour) = (format!("σ² = {}{name}", run.variance), Colour::nth(number));
            panel = panel.styled_line(&name, colour, LineStyle::Solid, line(&run.device));
            if let Some(exact) = run.overflows() {
                let end = f64::from(f32::MAX).log10();
                panel = panel
                    .styled_line(format!("{name} in f64"), colour, LineStyle::Dashed, line(exact))
                    .horizontal(end)
                    .note(first as f64, end, "largest f32")
                    .y_range(-20.0, 90.0);
            }
        }
        panel
    };
    [
        panel("Activations", "log10 of the std of h", 0, |sizes| &sizes.activations),
        panel("Gradients", "log10 of the std of dl/df", 1, |sizes| &sizes.gradients),
    ]
}

fn picture(all: &[Run]) -> Figure {
    let networks = all.chunk_by(|a, b| a.k == b.k);
    Figure::new("Initial weights of variance σ²: what becomes of activations and gradients")
        .panel_size(600.0, 400.0)
        .panels(networks.flat_map(panels))
}
