//! Small images in memory, as an IDX file has them: bytes, `[rows, 16, 16]`, with a class each.

use wgrad::data::RandomState;

/// Height and width in pixels.
pub const SIZE: usize = 16;
/// The classes' names.
pub const CLASSES: [&str; 4] = ["horizontal", "vertical", "cross", "circle"];

/// Images with their classes.
#[derive(Debug, Clone)]
pub struct Images {
    /// 0 to 255, row-major, one image after the other.
    pub pixels: Vec<u8>,
    /// The class of each image, as an index into [`CLASSES`].
    pub labels: Vec<u32>,
}

impl Images {
    /// The number of images.
    pub fn rows(&self) -> usize {
        self.labels.len()
    }

    /// The pixels from 0 to 1, as a network takes them.
    pub fn scaled(&self) -> Vec<f32> {
        self.pixels.iter().map(|&p| f32::from(p) / 255.0).collect()
    }

    /// One image, from 0 to 1.
    pub fn image(&self, row: usize) -> Vec<f64> {
        self.pixels[row * SIZE * SIZE..][..SIZE * SIZE].iter().map(|&p| f64::from(p) / 255.0).collect()
    }
}

/// Bars, crosses and circles of random place, size and brightness, with noise; the classes take turns.
pub fn generate(rows: usize, seed: u32) -> Images {
    let mut rng = RandomState::new(seed);
    let (mut pixels, mut labels) = (Vec::with_capacity(rows * SIZE * SIZE), Vec::new());
    for row in 0..rows {
        let class = row % CLASSES.len();
        let centre = [(); 2].map(|()| rng.uniform(5.5, 9.5));
        let (reach, thickness, brightness) = (rng.uniform(3.0, 5.5), rng.uniform(0.4, 1.0), rng.uniform(90.0, 200.0));
        for y in 0..SIZE {
            for x in 0..SIZE {
                let distance = distance(class, x as f64 - centre[0], y as f64 - centre[1], reach);
                let ink = (1.0 - (distance - thickness)).clamp(0.0, 1.0);
                let value = brightness * ink + rng.normal(35.0, NOISE);
                pixels.push(value.clamp(0.0, 255.0) as u8);
            }
        }
        labels.push(class as u32);
    }
    Images { pixels, labels }
}

/// The standard deviation of the noise.
const NOISE: f64 = 55.0;

/// The distance of a point from the lines of a shape around (0, 0).
fn distance(class: usize, x: f64, y: f64, reach: f64) -> f64 {
    let bar = |along: f64, across: f64| across.hypot((along.abs() - reach).max(0.0));
    match class {
        0 => bar(x, y),
        1 => bar(y, x),
        2 => bar(x, y).min(bar(y, x)),
        _ => (x.hypot(y) - reach).abs(),
    }
}
