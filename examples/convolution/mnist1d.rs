//! Convolution II: the preset `cnn`, three strided 1-D convolutions and a linear layer, trained on MNIST-1D.

use super::common::Options;
use wgrad::Result;
use wgrad::data::Dataset;
use wgrad::plot::{Colour, Figure, LineStyle, Panel};
use wgrad::train::{Config, EpochRecord, SetName, Trainer};

/// What the training prints.
#[derive(Debug)]
pub struct Numbers {
    /// The number of parameters.
    pub parameters: usize,
    /// Losses and errors after every epoch.
    pub history: Vec<EpochRecord>,
    /// Misclassified training samples in the end, in percent.
    pub train_error: f64,
    /// The same of the validation set.
    pub val_error: f64,
    /// The same of the test set.
    pub test_error: f64,
}

/// The preset, with the seed of this example.
pub fn config() -> Result<Config> {
    Ok(Config { seed: 1, ..Config::preset("cnn")? })
}

/// Trains the network and draws samples and curves.
pub fn run(options: &Options) -> Result<Numbers> {
    let config = config()?;
    let data = config.data.load()?;
    samples(options, &data)?;
    let mut trainer = Trainer::open(&config, &data, || options.session())?;
    println!("The 1-D network on MNIST-1D: {} parameters", trainer.model().parameter_count());
    println!(
        "{:>5} {:>11} {:>13} {:>16} {:>18}",
        "epoch", "train loss", "train error", "validation loss", "validation error"
    );
    let mut history = Vec::new();
    while !trainer.is_finished() {
        let record = trainer.epoch()?;
        if record.epoch == 1 || record.epoch % 10 == 0 {
            let [(loss, error), (val_loss, val_error)] = [SetName::Train, SetName::Val].map(|set| scores(&record, set));
            let epoch = record.epoch;
            println!("{epoch:>5} {loss:>11.4} {error:>11.2} % {val_loss:>16.4} {val_error:>16.2} %");
        }
        history.push(record);
    }
    let test_error = trainer.test()?.and_then(|scores| scores.error()).unwrap_or(f64::NAN);
    println!("test error {test_error:.2} %; PyTorch over five seeds: validation 13.81 ± 2.10 %, test 14.18 ± 1.70 %");
    curves(options, &history)?;
    let last = |set| history.last().map_or(f64::NAN, |record| scores(record, set).1);
    let (train_error, val_error) = (last(SetName::Train), last(SetName::Val));
    let parameters = trainer.model().parameter_count();
    Ok(Numbers { parameters, history, train_error, val_error, test_error })
}

/// Loss and error of a set after an epoch.
pub fn scores(record: &EpochRecord, set: SetName) -> (f64, f64) {
    let scores = record.scores.of(set);
    scores.map_or((f64::NAN, f64::NAN), |s| (s.loss(), s.error().unwrap_or(f64::NAN)))
}

/// One training sample of each digit.
fn samples(options: &Options, data: &Dataset) -> Result<()> {
    let x = data.train.x.to_f32()?;
    let labels = data.train.y.classes().unwrap_or_default();
    let length = data.train.features();
    let panels = (0..10u32).filter_map(|digit| {
        let row = labels.iter().position(|&label| label == digit)?;
        let points = x[row * length..][..length].iter().enumerate().map(|(t, v)| (t as f64, f64::from(*v)));
        let panel = Panel::new(format!("label {digit}")).y_range(-3.5, 3.5).without_ticks();
        Some(panel.styled_line("", Colour::nth(0), LineStyle::Solid, points))
    });
    let figure = Figure::new("MNIST-1D: one training sample of each digit").columns(5).panel_size(200.0, 150.0);
    let figure = figure.details("Across: the 40 positions of a sample. Up: the value, from −3.5 to 3.5 in every plot.");
    options.save("mnist1d-samples", &figure.panels(panels))
}

fn curves(options: &Options, history: &[EpochRecord]) -> Result<()> {
    let sets = [("training", SetName::Train, LineStyle::Solid), ("validation", SetName::Val, LineStyle::Dashed)];
    let panel = |title: &str, label: &str, top: f64, of: fn((f64, f64)) -> f64| {
        let panel = Panel::new(title).x_label("Epoch").y_label(label).counts().y_range(0.0, top);
        sets.iter().enumerate().fold(panel, |panel, (k, (name, set, style))| {
            let points = history.iter().map(|record| (f64::from(record.epoch), of(scores(record, *set))));
            panel.styled_line(*name, Colour::nth(k), *style, points)
        })
    };
    let figure = Figure::new("The 1-D network on MNIST-1D")
        .details("SGD, learning rate 0.05 halved every 10 epochs, momentum 0.9, batches of 100")
        .panel(panel("Loss", "Cross-entropy", 2.4, |(loss, _)| loss))
        .panel(panel("Error", "Misclassified (%)", 90.0, |(_, error)| error));
    options.save("mnist1d-curves", &figure)
}
