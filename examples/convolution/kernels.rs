//! Convolution I: `Tensor::conv` beside the loops, convolution as a matrix, and what two kernels do to a signal.

use super::by_hand::{self, Block, Settings};
use super::common::Options;
use wgrad::data::RandomState;
use wgrad::plot::{Colour, ColourMap, Figure, Grid, LineStyle, Marker, Panel};
use wgrad::{Array, ConvOptions, DType, Graph, Result, Session};

/// A convolution by hand and on the device.
#[derive(Debug)]
pub struct Case {
    /// What is special about it.
    pub name: &'static str,
    /// Stride, padding and dilation.
    pub settings: Settings,
    /// `x`.
    pub input: Block,
    /// `w`.
    pub weight: Block,
    /// `y` by [`by_hand::conv1d`] or [`by_hand::conv2d`], in f64.
    pub by_hand: Block,
    /// `y` by `Tensor::conv`.
    pub device: Block,
}

const fn settings(stride: usize, padding: usize, dilation: usize) -> Settings {
    Settings { stride, padding, dilation }
}

/// Name, shapes of the input and the weights, settings. The first four are the notebook's.
const CASES: [(&str, &[usize], &[usize], Settings); 10] = [
    ("2-D, one channel", &[1, 1, 4, 6], &[1, 1, 3, 3], settings(1, 1, 1)),
    ("2-D, stride 2", &[1, 1, 12, 10], &[1, 1, 3, 3], settings(2, 1, 1)),
    ("2-D, channels", &[1, 5, 4, 6], &[2, 5, 3, 3], settings(1, 1, 1)),
    ("2-D, batch", &[2, 5, 4, 6], &[2, 5, 3, 3], settings(1, 1, 1)),
    ("2-D, dilation 2", &[1, 2, 9, 8], &[3, 2, 3, 3], settings(1, 2, 2)),
    ("1-D", &[1, 1, 12], &[1, 1, 3], settings(1, 0, 1)),
    ("1-D, stride 2", &[1, 1, 12], &[1, 1, 3], settings(2, 0, 1)),
    ("1-D, padding 1", &[1, 1, 12], &[1, 1, 3], settings(1, 1, 1)),
    ("1-D, dilation 2", &[1, 1, 12], &[1, 1, 3], settings(1, 0, 2)),
    ("1-D, channels, all three", &[2, 3, 12], &[4, 3, 3], settings(2, 2, 3)),
];

fn options_of(settings: Settings) -> ConvOptions {
    ConvOptions::new().stride(settings.stride).padding(settings.padding).dilation(settings.dilation)
}

/// One convolution on the device.
fn conv(session: &mut Session, x: &Block, w: &Block, settings: Settings) -> Result<Block> {
    let graph = Graph::new();
    let input = graph.input("x", &x.shape[..], DType::F32);
    let weight = graph.input("w", &w.shape[..], DType::F32);
    let y = input.conv(weight, &options_of(settings));
    let program = session.compile(&graph, &[y])?;
    let out = session.run(&program, &[("x", &x.array()?), ("w", &w.array()?)])?.remove(0);
    Ok(Block { shape: out.shape().to_vec(), data: out.to_f64() })
}

fn normal(rng: &mut RandomState, shape: &[usize]) -> Block {
    let data = (0..shape.iter().product()).map(|_| rng.randn()).collect();
    Block { shape: shape.to_vec(), data }
}

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// The cases with normal random numbers, as `np.random.seed(1)` before each gives them.
pub fn cases(options: &Options) -> Result<Vec<Case>> {
    let mut session = options.session()?;
    println!("Convolution by hand (f64) and with Tensor::conv on {}", session.device_name());
    println!("{:<25} {:>14} {:>14} {:>14} {:>11}", "", "input", "weights", "output", "difference");
    let mut cases = Vec::new();
    for (name, input, weight, settings) in CASES {
        let mut rng = RandomState::new(1);
        let (input, weight) = (normal(&mut rng, input), normal(&mut rng, weight));
        let by_hand = if input.shape.len() == 3 { by_hand::conv1d } else { by_hand::conv2d }(&input, &weight, settings);
        let device = conv(&mut session, &input, &weight, settings)?;
        let difference = largest_difference(&by_hand.data, &device.data);
        let shape = |block: &Block| block.shape.iter().map(usize::to_string).collect::<Vec<_>>().join("×");
        println!("{name:<25} {:>14} {:>14} {:>14} {difference:>11.1e}", shape(&input), shape(&weight), shape(&device));
        cases.push(Case { name, settings, input, weight, by_hand, device });
    }
    signals(options, &mut session)?;
    Ok(cases)
}

/// A step with noise, smoothed and differentiated.
fn signals(options: &Options, session: &mut Session) -> Result<()> {
    let mut rng = RandomState::new(0);
    let step = |t: usize| if (20..45).contains(&t) { 1.0 } else { 0.0 };
    let data: Vec<f64> = (0..64).map(|t| step(t) + rng.normal(0.0, 0.12)).collect();
    let signal = Block { shape: vec![1, 1, data.len()], data };
    let kernels = [
        ("Smoothing", "kernel (1, 1, 1, 1, 1)/5", vec![0.2; 5]),
        ("Edges", "kernel (−1, −1, 0, 1, 1)/2", vec![-0.5, -0.5, 0.0, 0.5, 0.5]),
    ];
    let mut figure = Figure::new("A signal and its convolution with two kernels");
    for (title, name, kernel) in kernels {
        let weight = Block { shape: vec![1, 1, kernel.len()], data: kernel };
        let out = conv(session, &signal, &weight, Settings { padding: 2, ..Settings::PLAIN })?;
        let points = |block: &Block| block.data.iter().enumerate().map(|(t, v)| (t as f64, *v)).collect::<Vec<_>>();
        let panel = Panel::new(title).x_label("Position").y_label("Value").y_range(-1.5, 1.6);
        let panel = panel.styled_points("signal", Colour::GREY, Marker::Circle, 2.5, points(&signal));
        figure = figure.panel(panel.styled_line(name, Colour::nth(0), LineStyle::Solid, points(&out)));
    }
    options.save("signals", &figure)
}

/// A convolution as a matrix: its products on the device beside the operations' results.
#[derive(Debug)]
pub struct Banded {
    /// What is special about it.
    pub name: &'static str,
    /// Stride, padding and dilation.
    pub settings: Settings,
    /// `W`, `[outputs, inputs]`.
    pub matrix: Block,
    /// The vectors `x` and `z`, in f64.
    pub vectors: [Vec<f64>; 2],
    /// `W·x` and `x.conv(w)`.
    pub forward: [Vec<f64>; 2],
    /// `Wᵀ·z` and `z.conv_transpose(w)`.
    pub transposed: [Vec<f64>; 2],
}

const LENGTH: usize = 12;
const KERNEL: [f64; 3] = [-1.0, 0.5, 1.0];

/// The matrices of four 1-D convolutions, drawn and used.
pub fn matrices(options: &Options) -> Result<Vec<Banded>> {
    let mut session = options.session()?;
    let mut rng = RandomState::new(2);
    let mut figure = Figure::new("The matrix of a 1-D convolution, kernel (−1, 0.5, 1)").panel_size(480.0, 380.0);
    let mut found = Vec::new();
    println!("A 1-D convolution as a matrix");
    println!("{:<25} {:>14} {:>14} {:>14}", "", "matrix", "W·x − conv", "Wᵀ·z − convᵀ");
    for (name, settings) in [
        ("Stride 1", settings(1, 0, 1)),
        ("Padding 1", settings(1, 1, 1)),
        ("Stride 2", settings(2, 0, 1)),
        ("Dilation 2", settings(1, 0, 2)),
    ] {
        let matrix = by_hand::matrix(LENGTH, &KERNEL, settings);
        let (rows, columns) = (matrix.shape[0], LENGTH);
        let (input, upstream) = (normal(&mut rng, &[columns]), normal(&mut rng, &[rows]));

        let graph = Graph::new();
        let w = graph.input("matrix", [rows, columns], DType::F32);
        let (x, z) = (graph.input("x", [columns], DType::F32), graph.input("z", [rows], DType::F32));
        let kernel = graph.constant(Array::from_f64([1, 1, KERNEL.len()], &KERNEL, DType::F32)?);
        let convolved = x.reshape([1, 1, columns]).conv(kernel, &options_of(settings));
        // A stride of 2 leaves the last input unread; the output padding puts it back.
        let unread = (columns + 2 * settings.padding - (settings.dilation * 2 + 1)) % settings.stride;
        let spread = z.reshape([1, 1, rows]).conv_transpose(kernel, &options_of(settings), unread);
        let outputs = [w.matmul(x), convolved, w.t().matmul(z), spread];
        let program = session.compile(&graph, &outputs)?;
        let values = [("matrix", &matrix.array()?), ("x", &input.array()?), ("z", &upstream.array()?)];
        let out: Vec<Vec<f64>> = session.run(&program, &values)?.iter().map(Array::to_f64).collect();
        let [product, convolved, transposed, spread] = [0, 1, 2, 3].map(|k| out[k].clone());
        let differences = [largest_difference(&product, &convolved), largest_difference(&transposed, &spread)];
        let size = format!("{rows}×{columns}");
        println!("{name:<25} {size:>14} {:>14.1e} {:>14.1e}", differences[0], differences[1]);

        let panel = Panel::new(format!("{name}: {size}")).x_label("Input").y_label("Output").counts();
        let grid = Grid::table(columns, rows, matrix.data.clone());
        let panel = panel.heat_map(ColourMap::Diverging, grid).y_range(rows as f64 - 0.5, -0.5);
        figure = figure.panel(panel);
        let (forward, transposed) = ([product, convolved], [transposed, spread]);
        let vectors = [input.data, upstream.data];
        found.push(Banded { name, settings, matrix, vectors, forward, transposed });
    }
    options.save("matrix", &figure)?;
    Ok(found)
}
