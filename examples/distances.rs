//! Coursework IV, high dimensions: distances between random points, the volume of a sphere, and where that volume is.
//!
//! ```text
//! $ cargo run --release --example distances -- --device cpu
//! 1000 points on cpu; the 1000-dimensional data sum to 1036.321
//! dimensions   smallest   largest     ratio
//!          2   0.002298    6.5273 2840.2642
//!        100   9.274887   18.9014    2.0379
//!       1000  40.510742   49.4492    1.2206
//! …
//! ```
//!
//! It also prints the ratio for dimensions in between, volumes of spheres of diameter 1, and the share of a sphere's volume in
//! the outer 1 % of its radius; and draws histograms of the distances and curves of the rest.

#[path = "common/mod.rs"]
pub mod common;

use common::{Options, numbers};
use std::f64::consts::PI;
use wgrad::data::RandomState;
use wgrad::plot::{Colour, Figure, LineStyle, Marker, Panel};
use wgrad::{Array, DType, Graph, Result, Session, Tensor};

/// The number of points.
pub const POINTS: usize = 1000;
/// The dimensions of the coursework.
pub const DIMENSIONS: [usize; 3] = [2, 100, 1000];
/// How many of the coordinates the curve of ratios takes.
pub const FIRST: [usize; 9] = [2, 3, 5, 10, 20, 50, 100, 300, 1000];
/// The dimensions of the printed table.
const SHOWN: [usize; 17] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 50, 100, 150, 200, 250, 300];
/// Up to so many coordinates at a time, distances are computed from differences, above from a Gram matrix.
const FEW: usize = 10;

/// The distances of all pairs of points in some dimension.
#[derive(Debug, Clone, Copy)]
pub struct Distances {
    /// The number of coordinates.
    pub dimension: usize,
    /// The smallest distance of a pair.
    pub smallest: f64,
    /// The largest distance of a pair.
    pub largest: f64,
    /// The largest divided by the smallest.
    pub ratio: f64,
}

/// What the example prints.
#[derive(Debug)]
pub struct Numbers {
    /// The sum of the 1000-dimensional data, in f64.
    pub checksum: f64,
    /// For each of [`DIMENSIONS`].
    pub distances: Vec<Distances>,
    /// The smallest distance in two dimensions from a Gram matrix.
    pub smallest_by_gram: f64,
    /// For the [`FIRST`] coordinates of the 1000-dimensional points.
    pub first: Vec<Distances>,
    /// Volumes of the spheres of diameter 1 in 1 to 10 dimensions.
    pub volumes: Vec<f64>,
    /// The share of a sphere's volume in the outer 1 % of its radius in 1 to 300 dimensions.
    pub outer: Vec<f64>,
}

/// Points as the columns of a matrix, `[dimension, 1000]`, from NumPy's `np.random.normal`.
pub fn points(rng: &mut RandomState, dimension: usize) -> Vec<f64> {
    (0..dimension * POINTS).map(|_| rng.randn()).collect()
}

/// Squared distances of all pairs of columns, `[d, n] → [n, n]`: `Σ_k (x[k, i] − x[k, j])²`, which takes d·n² differences.
/// Rounding the coordinates to f32 moves a distance by at most `2⁻²⁴ (|a| + |b|)`; the rest is relative to the distance.
fn by_differences(x: Tensor<'_>) -> Tensor<'_> {
    (x.unsqueeze(2) - x.unsqueeze(1)).square().sum(0)
}

/// The same by a matrix product: `|a|² + |b|² − 2 a·b`. The terms cancel, and the rounding errors of large terms stay: a
/// squared distance may be off by `2⁻²³ (2 + √d) (|a| + |b|)²`. It serves where no distance is much smaller than the lengths.
fn by_gram(x: Tensor<'_>) -> Tensor<'_> {
    let lengths = x.square().sum(0);
    (lengths.unsqueeze(1) + lengths.unsqueeze(0) - x.t().matmul(x) * 2.0).maximum(0.0)
}

fn squared_distances(x: Tensor<'_>) -> Tensor<'_> {
    if x.shape()[0] <= FEW { by_differences(x) } else { by_gram(x) }
}

/// Smallest, largest and their ratio from squared distances, but for those of a point from itself.
fn extremes<'g>(squared: Tensor<'g>, itself: Tensor<'g>) -> [Tensor<'g>; 3] {
    let smallest = itself.select(f64::from(f32::MAX), squared).min(..).sqrt();
    let largest = squared.max(..).sqrt();
    [smallest, largest, largest / smallest]
}

/// Distances of one set of points.
struct Measured {
    /// In the first coordinates only, for each number of them that was asked for.
    first: Vec<Distances>,
    /// The smallest distance in the first two coordinates, from a Gram matrix.
    smallest_by_gram: f64,
    /// Of all pairs in the last of these, `[1000, 1000]`.
    matrix: Vec<f64>,
}

/// Measures in the first `counts` coordinates, the last being all of them.
fn measure(session: &mut Session, counts: &[usize], data: &[f64]) -> Result<Measured> {
    let graph = Graph::new();
    let x = graph.input("x", [data.len() / POINTS, POINTS], DType::F32);
    let itself = graph.iota([POINTS, POINTS], 0).eq(graph.iota([POINTS, POINTS], 1));
    let mut squared = graph.full([POINTS, POINTS], 0.0, DType::F32);
    let mut outputs = Vec::new();
    // Squared distances add up over groups of coordinates.
    for (start, end) in std::iter::once(0).chain(counts.iter().copied()).zip(counts.iter().copied()) {
        squared = squared + squared_distances(x.slice(0, start..end));
        outputs.extend(extremes(squared, itself));
    }
    let count = outputs.len();
    outputs.extend([extremes(by_gram(x.slice(0, 0..2)), itself)[0], squared.sqrt()]);
    let program = session.compile(&graph, &outputs)?;
    let x = Array::from_f64([data.len() / POINTS, POINTS], data, DType::F32)?;
    let out = session.run(&program, &[("x", &x)])?;
    let found = |(&dimension, out): (&usize, &[Array])| {
        let [smallest, largest, ratio] = [out[0].item()?, out[1].item()?, out[2].item()?];
        Ok(Distances { dimension, smallest, largest, ratio })
    };
    Ok(Measured {
        first: counts.iter().zip(out[..count].chunks(3)).map(found).collect::<Result<_>>()?,
        smallest_by_gram: out[count].item()?,
        matrix: numbers(&out[count + 1]),
    })
}

/// Computes the distances and the spheres, and draws them.
pub fn run(options: &Options) -> Result<Numbers> {
    let mut session = options.session()?;
    let mut rng = RandomState::new(0);
    let data = DIMENSIONS.map(|dimension| points(&mut rng, dimension));
    let checksum: f64 = data[2].iter().sum();
    println!("{POINTS} points on {}; the 1000-dimensional data sum to {checksum:.3}", session.device_name());
    println!("{:>10} {:>10} {:>9} {:>9}", "dimensions", "smallest", "largest", "ratio");
    let mut histograms = Figure::new("Distances between 1000 normal random points")
        .details("Grey lines: the smallest and the largest distance")
        .columns(3)
        .panel_size(380.0, 330.0);
    let (mut distances, mut first, mut smallest_by_gram) = (Vec::new(), Vec::new(), f64::NAN);
    for (dimension, data) in DIMENSIONS.into_iter().zip(&data) {
        let counts = if dimension == 1000 { &FIRST[..] } else { &[dimension][..] };
        let measured = measure(&mut session, counts, data)?;
        let Some(&all) = measured.first.last() else { continue };
        println!("{dimension:>10} {:>10.6} {:>9.4} {:>9.4}", all.smallest, all.largest, all.ratio);
        histograms = histograms.panel(histogram(&all, &measured.matrix));
        distances.push(all);
        first = measured.first;
        if dimension == 2 {
            smallest_by_gram = measured.smallest_by_gram;
        }
    }
    let smallest = distances[0].smallest;
    println!("smallest distance in 2 dimensions: {smallest:.6} by differences, {smallest_by_gram:.6} by a Gram matrix");
    let ratios: Vec<String> = first.iter().map(|d| format!("{}: {:.2}", d.dimension, d.ratio)).collect();
    println!("ratio in the first of the 1000 dimensions: {}", ratios.join(", "));
    options.save("histograms", &histograms)?;
    draw_ratios(options, &distances, &first)?;

    let [volumes, outer] = spheres(&mut session)?;
    println!("{:>10} {:>21} {:>18}", "dimensions", "volume of diameter 1", "in the outer 1 %");
    for dimension in SHOWN {
        let volume = volumes.get(dimension - 1).map_or(String::new(), |volume| format!("{volume:.6}"));
        println!("{dimension:>10} {volume:>21} {:>16.2} %", 100.0 * outer[dimension - 1]);
    }
    draw_spheres(options, &volumes, &outer)?;
    Ok(Numbers { checksum, distances, smallest_by_gram, first, volumes, outer })
}

/// Volumes for diameter 1 in 1 to 10 dimensions, and shares `1 − 0.99ⁿ` in 1 to 300.
fn spheres(session: &mut Session) -> Result<[Vec<f64>; 2]> {
    let graph = Graph::new();
    let radius = graph.input("radius", (), DType::F32);
    // Vₙ(r) = Vₙ₋₂(r) · 2πr²/n from V₁ = 2r and V₂ = πr².
    let mut volumes = vec![radius * 2.0, radius.square() * PI];
    for n in 3..=10 {
        volumes.push(volumes[n - 3] * radius.square() * (2.0 * PI / n as f64));
    }
    let inner = graph.input("inner", (), DType::F32);
    let outer = 1.0 - inner.pow(graph.iota([300], 0).cast(DType::F32) + 1.0);
    let program = session.compile(&graph, &[volumes[0].stack(&volumes[1..], 0), outer])?;
    let inputs = [("radius", &Array::scalar(0.5f32)), ("inner", &Array::scalar(0.99f32))];
    let out = session.run(&program, &inputs)?;
    Ok([numbers(&out[0]), numbers(&out[1])])
}

/// How many pairs have which distance, from the matrix of distances.
fn histogram(of: &Distances, distances: &[f64]) -> Panel {
    const BARS: usize = 60;
    let width = 1.1 * of.largest / BARS as f64;
    let mut counts = [0u32; BARS];
    for (i, row) in distances.chunks(POINTS).enumerate() {
        for distance in &row[i + 1..] {
            counts[((distance / width) as usize).min(BARS - 1)] += 1;
        }
    }
    let pairs = (POINTS * (POINTS - 1) / 2) as f64;
    let bar = |(k, &count): (usize, &u32)| (k as f64 * width, (k + 1) as f64 * width, 100.0 * f64::from(count) / pairs);
    Panel::new(format!("{} dimensions", of.dimension))
        .x_label("Distance")
        .y_label("Pairs (%)")
        .x_range(0.0, 1.1 * of.largest)
        .histogram("", counts.iter().enumerate().map(bar))
        .vertical(of.smallest)
        .vertical(of.largest)
}

fn draw_ratios(options: &Options, distances: &[Distances], first: &[Distances]) -> Result<()> {
    let points = |all: &[Distances], of: fn(&Distances) -> f64| {
        all.iter().map(|d| (d.dimension as f64, of(d))).collect::<Vec<_>>()
    };
    let scaled = |distance: f64, d: &Distances| distance / (2.0 * d.dimension as f64).sqrt();
    let panel =
        |title: &str, label: &str| Panel::new(title).x_label("Dimensions").y_label(label).log_x().x_range(1.5, 1400.0);
    let ends = panel("Smallest and largest distance, scaled", "Distance / √(2 · dimensions)");
    let curve = |all: &[Distances], of: fn(&Distances) -> f64| {
        all.iter().map(|d| (d.dimension as f64, scaled(of(d), d))).collect::<Vec<_>>()
    };
    let figure = Figure::new("1000 normal random points: the largest distance against the smallest")
        .panel(
            panel("Ratio of the largest to the smallest distance", "Ratio")
                .log_y()
                .y_range(1.0, 5000.0)
                .line("first coordinates of the 1000-dimensional points", points(first, |d| d.ratio))
                .styled_points(
                    "the coursework's points",
                    Colour::nth(1),
                    Marker::Square,
                    5.0,
                    points(distances, |d| d.ratio),
                ),
        )
        .panel(ends.y_range(0.0, 3.6).line("largest", curve(first, |d| d.largest)).styled_line(
            "smallest",
            Colour::nth(1),
            LineStyle::Dashed,
            curve(first, |d| d.smallest),
        ));
    options.save("ratio", &figure)
}

fn draw_spheres(options: &Options, volumes: &[f64], outer: &[f64]) -> Result<()> {
    let counted = |values: &[f64]| values.iter().enumerate().map(|(k, v)| (k as f64 + 1.0, *v)).collect::<Vec<_>>();
    let bar = |(n, volume): (f64, f64)| (n - 0.4, n + 0.4, volume);
    let figure = Figure::new("Spheres in many dimensions")
        .panel(
            Panel::new("Volume of a sphere of diameter 1; the cube around it has 1")
                .x_label("Dimensions")
                .y_label("Volume")
                .counts()
                .x_range(0.4, 10.6)
                .histogram("", counted(volumes).into_iter().map(bar)),
        )
        .panel(
            Panel::new("Share of the volume in the outer 1 % of the radius")
                .x_label("Dimensions")
                .y_label("Share (%)")
                .counts()
                .y_range(0.0, 100.0)
                .line("", counted(outer).into_iter().map(|(n, share)| (n, 100.0 * share))),
        );
    options.save("spheres", &figure)
}

fn main() -> std::process::ExitCode {
    common::start("distances", run)
}
