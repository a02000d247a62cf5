//! Convolution III: a 2-D network with max pooling and dropout, written with layers and trained by a loop of its own.

use super::common::{Options, numbers};
use super::images::{CLASSES, Images, SIZE, generate};
use wgrad::data::RandomState;
use wgrad::nn::loss::{CrossEntropy, cross_entropy};
use wgrad::nn::{Conv2d, Dropout, Flatten, Generator, Linear, MaxPool2d, Mode, Module, Relu, Sequential};
use wgrad::optim::{Adam, Optimizer};
use wgrad::plot::{Colour, ColourMap, Figure, Grid, Marker, Panel};
use wgrad::{Array, ConvOptions, DType, Graph, PoolOptions, Result, Tensor, Variable};

const TRAIN: usize = 480;
const TEST: usize = 160;
const BATCH: usize = 32;
const EPOCHS: usize = 25;
const FILTERS: usize = 9;
const KERNEL: usize = 5;

/// What the training prints, and what it draws.
#[derive(Debug)]
pub struct Numbers {
    /// The number of parameters.
    pub parameters: usize,
    /// Per epoch: the mean loss of its batches, and the percentage of held-out images that are classified correctly.
    pub history: Vec<(f64, f64)>,
    /// The percentage of training images that are classified correctly in the end, without dropout.
    pub train_accuracy: f64,
    /// The same of the held-out images.
    pub test_accuracy: f64,
    /// Of the held-out images, `[class][prediction]`.
    pub confusion: Vec<Vec<f64>>,
    /// The class that each held-out image is taken for.
    pub predictions: Vec<usize>,
}

/// `[n, 1, 16, 16]` to logits `[n, 4]`.
fn network(rng: &mut Generator) -> Sequential {
    let halve = || MaxPool2d::new(PoolOptions::new(2));
    Sequential::new()
        .push(Conv2d::new(1, FILTERS, [KERNEL; 2], ConvOptions::new(), rng)) // 16 → 12
        .push(halve()) // 12 → 6
        .push(Relu)
        .push(Conv2d::new(FILTERS, 16, [3, 3], ConvOptions::new(), rng)) // 6 → 4
        .push(halve()) // 4 → 2
        .push(Relu)
        .push(Flatten)
        .push(Dropout::new(0.5))
        .push(Linear::new(64, CLASSES.len(), rng))
}

/// Adds images and labels to a graph.
fn constants<'g>(graph: &'g Graph, images: &Images) -> Result<(Tensor<'g>, Tensor<'g>)> {
    let x = Array::new([images.rows(), 1, SIZE, SIZE], images.scaled())?;
    let y = Array::new([images.rows()], images.labels.clone())?;
    Ok((graph.constant(x), graph.constant(y)))
}

/// Trains the network and draws images, filters and curves.
pub fn run(options: &Options) -> Result<Numbers> {
    let (train, test) = (generate(TRAIN, 1), generate(TEST, 2));
    let mut session = options.session()?;
    let model = network(&mut Generator::new(1));
    let parameters: usize = model.parameters().iter().map(|(_, v)| v.tensor_type().shape.elements()).sum();
    println!("The 2-D network on {TRAIN} images of {SIZE}×{SIZE} pixels: {parameters} parameters");

    // A training step: a batch of the epoch's order, the loss, the update. The images stay on the device.
    let step = Graph::new();
    let (x, y) = constants(&step, &train)?;
    let order = step.input("order", [TRAIN], DType::U32);
    let batches = step.scalar((TRAIN / BATCH) as f64, DType::U32);
    let first = step.step() % batches * step.scalar(BATCH as f64, DType::U32);
    let rows = order.index_select(0, step.iota([BATCH], 0) + first);
    let logits = model.forward(x.index_select(0, rows), Mode::Train);
    let loss = cross_entropy(logits, y.index_select(0, rows), CrossEntropy::default());
    Optimizer::new(Adam::default(), model.parameters()).minimize(loss, 0.003);
    let total = Variable::new("total loss", 0.0f32);
    (step.variable(&total) + loss).assign_to(&total);
    let step = session.compile(&step, &[])?;

    // Predictions without dropout, and how often each class is taken for each.
    let mut evaluation = |images: &Images| {
        let graph = Graph::new();
        let (x, y) = constants(&graph, images)?;
        let predicted = model.forward(x, Mode::Eval).argmax(1);
        let confusion = y.one_hot(CLASSES.len()).t().matmul(predicted.one_hot(CLASSES.len()));
        session.compile(&graph, &[confusion, predicted])
    };
    let (on_train, on_test) = (evaluation(&train)?, evaluation(&test)?);
    let accuracy = |confusion: &Array| {
        let counts = numbers(confusion);
        let right: f64 = (0..CLASSES.len()).map(|k| counts[k * CLASSES.len() + k]).sum();
        100.0 * right / counts.iter().sum::<f64>()
    };

    let mut shuffler = RandomState::new(3);
    let mut history = Vec::new();
    println!("{:>5} {:>11} {:>18}", "epoch", "train loss", "held-out accuracy");
    for epoch in 1..=EPOCHS {
        let order: Vec<u32> = shuffler.permutation(TRAIN).into_iter().map(|row| row as u32).collect();
        session.write(&total, &Array::scalar(0.0f32))?;
        session.run_steps(&step, &[("order", &Array::new([TRAIN], order)?)], (TRAIN / BATCH) as u32)?;
        let loss = session.read(&total)?.item()? * BATCH as f64 / TRAIN as f64;
        let accuracy = accuracy(&session.run(&on_test, &[])?[0]);
        if epoch == 1 || epoch % 5 == 0 {
            println!("{epoch:>5} {loss:>11.4} {accuracy:>16.2} %");
        }
        history.push((loss, accuracy));
    }
    let train_accuracy = accuracy(&session.run(&on_train, &[])?[0]);
    let out = session.run(&on_test, &[])?;
    let test_accuracy = accuracy(&out[0]);
    println!("accuracy in the end: training {train_accuracy:.2} %, held out {test_accuracy:.2} %");
    let confusion: Vec<Vec<f64>> = numbers(&out[0]).chunks(CLASSES.len()).map(<[f64]>::to_vec).collect();
    let predictions: Vec<usize> = numbers(&out[1]).iter().map(|&class| class as usize).collect();

    draw_samples(options, &test, &predictions)?;
    let weight = &model.parameters()[0].1;
    let filters: Vec<Vec<f64>> = numbers(&session.read(weight)?).chunks(KERNEL * KERNEL).map(<[f64]>::to_vec).collect();
    draw_network(options, &history, &filters, &confusion)?;
    Ok(Numbers { parameters, history, train_accuracy, test_accuracy, confusion, predictions })
}

/// Tiles of `size` × `size` numbers, `columns` in a row, with a cell of zeros around each. Tile `(column, row)` is at those
/// coordinates, row 0 on top.
fn tiles(rows: &[Vec<Vec<f64>>], size: usize, columns: usize) -> Grid {
    let pitch = size + 2;
    let (width, height) = (columns * pitch, rows.len() * pitch);
    let mut values = vec![0.0; width * height];
    for (row, tiles) in rows.iter().enumerate() {
        for (column, tile) in tiles.iter().take(columns).enumerate() {
            for (y, line) in tile.chunks(size).enumerate() {
                // A grid begins at its lowest y, which is the top here.
                let start = (row * pitch + y + 1) * width + column * pitch + 1;
                values[start..start + size].copy_from_slice(line);
            }
        }
    }
    let edges = |n: usize| (-0.5, n as f64 - 0.5);
    Grid::new((width, height), edges(columns), edges(rows.len()), values)
}

/// A panel of tiles, with row 0 on top.
fn tile_panel(title: &str, map: ColourMap, grid: Grid, rows: usize) -> Panel {
    Panel::new(title).heat_map(map, grid).y_range(rows as f64 - 0.5, -0.5)
}

/// Held-out images in the row of what they were taken for, the wrong ones first.
fn draw_samples(options: &Options, test: &Images, predictions: &[usize]) -> Result<()> {
    const COLUMNS: usize = 10;
    let is_right = |row: usize| test.labels[row] as usize == predictions[row];
    let mut wrong = Vec::new();
    let mut rows = Vec::new();
    for class in 0..CLASSES.len() {
        let mut found: Vec<usize> = (0..test.rows()).filter(|&row| predictions[row] == class).collect();
        found.sort_by_key(|&row| is_right(row));
        let mistakes = found.iter().take(COLUMNS).filter(|&&row| !is_right(row)).count();
        wrong.extend((0..mistakes).map(|column| (column as f64 + 0.44, class as f64 - 0.42)));
        rows.push(found.iter().map(|&row| test.image(row)).collect::<Vec<_>>());
    }
    let grid = tiles(&rows, SIZE, COLUMNS);
    let panel = tile_panel("Each image in the row of its predicted class", ColourMap::Blues, grid, CLASSES.len());
    let panel = panel.y_label("Predicted class").y_categories(CLASSES).x_categories([""]);
    let panel = panel.styled_points("its true class is another", Colour::nth(1), Marker::Cross, 5.0, wrong);
    let figure = Figure::new("Held-out images and what the 2-D network takes them for").panel_size(1080.0, 430.0);
    options.save("images", &figure.panel(panel))
}

/// Curves, filters and confusion.
fn draw_network(options: &Options, history: &[(f64, f64)], filters: &[Vec<f64>], confusion: &[Vec<f64>]) -> Result<()> {
    let curve = |of: fn(&(f64, f64)) -> f64| {
        history.iter().enumerate().map(move |(k, record)| (k as f64 + 1.0, of(record))).collect::<Vec<_>>()
    };
    let panel = |title, label| Panel::new(title).x_label("Epoch").y_label(label).counts();
    let rows: Vec<Vec<Vec<f64>>> = filters.chunks(3).map(<[_]>::to_vec).collect();
    let title = format!("The {FILTERS} filters of the first layer, {KERNEL}×{KERNEL} weights each");
    let grid = Grid::table(CLASSES.len(), CLASSES.len(), confusion.concat());
    let figure = Figure::new("The 2-D network on bars, crosses and circles")
        .details(
            "Two convolutions with max pooling, dropout 0.5, a linear layer; Adam, learning rate 0.003, batches of 32",
        )
        .panel(panel("Training loss, with dropout", "Cross-entropy").y_range(0.0, 1.5).line("", curve(|r| r.0)))
        .panel(panel("Held-out accuracy", "Correct (%)").y_range(0.0, 102.0).line("", curve(|r| r.1)))
        .panel(tile_panel(&title, ColourMap::Diverging, tiles(&rows, KERNEL, 3), rows.len()).square().without_ticks())
        .panel(
            Panel::new("Held-out images: true class and prediction")
                .x_label("Predicted class")
                .y_label("True class")
                .table(ColourMap::Blues, grid)
                .x_categories(CLASSES)
                .y_categories(CLASSES),
        );
    options.save("network", &figure)
}
