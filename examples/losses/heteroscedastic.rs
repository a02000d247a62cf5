//! Regression with noise that depends on the input: the network gives a mean and a variance.

use super::common::{Options, numbers};
use super::network::{arange, constant};
use std::f64::consts::PI;
use wgrad::data::RandomState;
use wgrad::nn::loss::{GaussianNll, gaussian_nll};
use wgrad::nn::{Generator, Linear, Mode, Module, Sequential, Tanh};
use wgrad::optim::{Adam, Optimizer, Schedule};
use wgrad::plot::{Colour, Figure, LineStyle, Marker, Panel};
use wgrad::{Array, DType, Graph, Result, Session, Tensor, Variable};

const COUNT: usize = 200;
const STEPS: u32 = 1000;
/// The loss is kept after so many steps.
const EVERY: u32 = 50;
const LEARNING_RATE: f64 = 0.02;
/// The negative log-likelihood with its constant term.
const NLL: GaussianNll = GaussianNll { full: true, eps: 1e-6, reduction: wgrad::nn::loss::Reduction::Mean };

/// The mean that the data was generated with.
pub fn true_mean(x: f64) -> f64 {
    (2.0 * PI * x).sin()
}

/// The standard deviation of its noise.
pub fn true_sigma(x: f64) -> f64 {
    0.05 + 0.45 * x * x
}

/// A trained network.
pub struct Fit {
    /// The mean negative log-likelihood of the data, at the start and after every 50 steps.
    pub losses: Vec<f64>,
    /// The means at 101 inputs from 0 to 1.
    pub mean: Vec<f64>,
    /// The standard deviations there.
    pub sigma: Vec<f64>,
}

/// The numbers of the last part.
pub struct Heteroscedastic {
    /// The network with a variance for each input.
    pub varying: Fit,
    /// The network with one variance for all inputs.
    pub constant: Fit,
    /// The mean negative log-likelihood under the distribution that the data came from.
    pub true_loss: f64,
}

/// A network with the mean as its first output. The logarithm of the variance is its second, or one number for all inputs.
struct Network {
    layers: Sequential,
    log_variance: Option<Variable>,
}

impl Network {
    fn new(varying: bool) -> Self {
        let mut rng = Generator::new(1);
        let outputs = if varying { 2 } else { 1 };
        let layers =
            Sequential::new().push(Linear::new(1, 16, &mut rng)).push(Tanh).push(Linear::new(16, outputs, &mut rng));
        Network { layers, log_variance: (!varying).then(|| Variable::new("log_variance", 0.0f32)) }
    }

    fn parameters(&self) -> impl Iterator<Item = (String, Variable)> {
        let own = self.log_variance.clone().map(|variable| ("log_variance".to_string(), variable));
        self.layers.parameters().into_iter().chain(own)
    }

    /// The mean and the variance for each input, `[n, 1]`. An exponential is above 0 whatever the network says.
    fn forward<'g>(&self, x: Tensor<'g>) -> (Tensor<'g>, Tensor<'g>) {
        let out = self.layers.forward(x, Mode::Train);
        let mean = out.slice(1, 0..1);
        let log_variance = match &self.log_variance {
            Some(variable) => x.graph().variable(variable).broadcast_to(mean.shape()),
            None => out.slice(1, 1..2),
        };
        (mean, log_variance.exp())
    }
}

/// Points whose noise grows with x, by NumPy's generator.
fn data() -> (Vec<f64>, Vec<f64>) {
    let mut rng = RandomState::new(0);
    let x: Vec<f64> = (0..COUNT).map(|_| rng.rand()).collect();
    let y = x.iter().map(|&x| true_mean(x) + true_sigma(x) * rng.randn()).collect();
    (x, y)
}

fn column<'g>(g: &'g Graph, values: &[f64]) -> Result<Tensor<'g>> {
    constant(g, &[values.len(), 1], values)
}

fn fit(session: &mut Session, network: &Network, (x, y): (&[f64], &[f64]), at: &[f64]) -> Result<Fit> {
    let train = Graph::new();
    let (mean, variance) = network.forward(column(&train, x)?);
    let loss = gaussian_nll(mean, column(&train, y)?, variance, NLL);
    let rate = train.input("rate", (), DType::F32);
    Optimizer::new(Adam::default(), network.parameters()).minimize(loss, rate);
    let step = session.compile(&train, &[loss])?;

    let mut losses = Vec::new();
    let schedule = Schedule::Cosine { t_max: STEPS, min_factor: 0.0 };
    for block in 0..STEPS / EVERY {
        let rate = Array::from((LEARNING_RATE * schedule.factor(block * EVERY)) as f32);
        // A run returns the loss before its update.
        losses.push(session.run(&step, &[("rate", &rate)])?[0].item()?);
        session.run_steps(&step, &[("rate", &rate)], EVERY - 1)?;
    }
    let ask = Graph::new();
    let (mean, variance) = network.forward(column(&ask, x)?);
    let last = gaussian_nll(mean, column(&ask, y)?, variance, NLL);
    let (mean, variance) = network.forward(column(&ask, at)?);
    let program = session.compile(&ask, &[last, mean, variance.sqrt()])?;
    let out = session.run(&program, &[])?;
    losses.push(out[0].item()?);
    Ok(Fit { losses, mean: numbers(&out[1]), sigma: numbers(&out[2]) })
}

/// Prints and draws the last part.
pub fn run(options: &Options, session: &mut Session) -> Result<Heteroscedastic> {
    let (x, y) = data();
    let at = arange(0.0, 1.001, 0.01);
    let varying = fit(session, &Network::new(true), (&x, &y), &at)?;
    let constant = fit(session, &Network::new(false), (&x, &y), &at)?;

    let g = Graph::new();
    let [mean, sigma] = [true_mean, true_sigma].map(|f| x.iter().map(|&x| f(x)).collect::<Vec<_>>());
    let loss = gaussian_nll(column(&g, &mean)?, column(&g, &y)?, column(&g, &sigma)?.square(), NLL);
    let program = session.compile(&g, &[loss])?;
    let true_loss = session.run(&program, &[])?[0].item()?;

    println!("\nIV. Heteroscedastic regression: noise that depends on the input");
    let last = |fit: &Fit| fit.losses[fit.losses.len() - 1];
    println!("loss after {STEPS} steps, one variance for each input: {:.3}", last(&varying));
    println!("loss after {STEPS} steps, one variance for all inputs: {:.3}", last(&constant));
    println!("loss of the distribution that the data came from: {true_loss:.3}");
    for k in [10, 50, 90] {
        println!("sigma at x = {:.1}: {:.3}, true {:.3}", at[k], varying.sigma[k], true_sigma(at[k]));
    }
    let result = Heteroscedastic { varying, constant, true_loss };
    draw(options, &result, (&x, &y), &at)?;
    Ok(result)
}

fn draw(options: &Options, result: &Heteroscedastic, (x, y): (&[f64], &[f64]), at: &[f64]) -> Result<()> {
    let true_line = |sign: f64| at.iter().map(move |&x| (x, true_mean(x) + sign * 2.0 * true_sigma(x)));
    let line = |values: &[f64]| at.iter().copied().zip(values.iter().copied()).collect::<Vec<_>>();
    let model = |title: &str, fit: &Fit| {
        let edges = at.iter().zip(&fit.mean).zip(&fit.sigma).map(|((&x, m), s)| (x, m - 2.0 * s, m + 2.0 * s));
        Panel::new(title)
            .x_label("Input x")
            .y_label("Output y")
            .y_range(-2.4, 2.0)
            .band("mean ± 2σ", Colour::nth(0), edges)
            .styled_line("mean", Colour::nth(0), LineStyle::Solid, line(&fit.mean))
            .styled_line("true mean ± 2σ", Colour::nth(1), LineStyle::Dashed, true_line(1.0))
            .styled_line("", Colour::nth(1), LineStyle::Dashed, true_line(-1.0))
            .styled_points("data", Colour::nth(6), Marker::Circle, 2.5, x.iter().copied().zip(y.iter().copied()))
    };
    let fits = [("σ for each input", &result.varying), ("one σ", &result.constant)];
    let mut sigma = Panel::new("The standard deviation").x_label("Input x").y_label("σ");
    let mut losses = Panel::new("Mean negative log-likelihood").x_label("Step").y_label("Loss").counts();
    for (k, (name, fit)) in fits.into_iter().enumerate() {
        sigma = sigma.styled_line(name, Colour::nth(2 * k), LineStyle::Solid, line(&fit.sigma));
        let steps = fit.losses.iter().enumerate().map(|(k, &loss)| (k as f64 * f64::from(EVERY), loss));
        losses = losses.curve(name, Colour::nth(2 * k), steps);
    }
    let all_steps = [(0.0, result.true_loss), (f64::from(STEPS), result.true_loss)];
    let losses = losses.styled_line("true distribution", Colour::nth(1), LineStyle::Dashed, all_steps);
    let sigma = sigma.styled_line("true", Colour::nth(1), LineStyle::Dashed, at.iter().map(|&x| (x, true_sigma(x))));
    let panels = [model("A variance for each input", fits[0].1), model("One variance", fits[1].1), sigma, losses];
    let figure = Figure::new("Noise that depends on the input").panel_size(480.0, 340.0);
    options.save("heteroscedastic", &figure.panels(panels))
}
