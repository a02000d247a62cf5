//! Writes the data of `examples/tasks/`: a table of houses, points on two rings, images of ten shapes as IDX files,
//! and sentences of a small grammar.
//!
//! ```text
//! cargo run --release --example make_data -- data            # small files
//! cargo run --release --example make_data -- data --full     # 60,000 images, as many as MNIST has
//! wgrad train examples/tasks/houses.toml --data data/houses
//! ```
//!
//! All numbers come from NumPy's `RandomState`, so the files are the same everywhere.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use wgrad::data::RandomState;
use wgrad::data::idx::write_u8;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Rows of houses with a price: `rooms;area;town;price`, lines ending in CRLF, as a spreadsheet writes them.
pub(crate) fn houses(rows: usize, seed: u32) -> String {
    let mut rng = RandomState::new(seed);
    let mut text = String::from("rooms;area;town;price\r\n");
    for _ in 0..rows {
        let rooms = 1 + rng.choice(7).unwrap_or(0);
        let area = rng.uniform(30.0, 200.0);
        let (town, extra) = [("north", 40.0), ("south", -10.0), ("east", 0.0)][rng.choice(3).unwrap_or(0)];
        let price = 50.0 + 20.0 * rooms as f64 + 1.5 * area + extra + rng.normal(0.0, 8.0);
        let _ = write!(text, "{rooms};{area:.2};{town};{price:.2}\r\n");
    }
    text
}

/// Points of the plane: `x,y,inside`, which says whether they lie on the inner of two rings.
pub(crate) fn rings(rows: usize, seed: u32) -> String {
    let mut rng = RandomState::new(seed);
    let mut text = String::from("x,y,inside\n");
    for _ in 0..rows {
        let inside = rng.choice(2).unwrap_or(0);
        let radius = if inside == 1 { 1.0 } else { 2.0 } + rng.normal(0.0, 0.25);
        let angle = rng.uniform(0.0, std::f64::consts::TAU);
        let _ = writeln!(text, "{:.5},{:.5},{inside}", radius * angle.cos(), radius * angle.sin());
    }
    text
}

/// Grey images of `side` × `side` pixels of ten blurred shapes, moved, dimmed and noisy, and the shape of each.
pub(crate) fn shapes(rows: usize, side: usize, seed: u32) -> (Vec<u8>, Vec<u8>) {
    let mut templates = RandomState::new(7);
    let cells = 7;
    let shapes: Vec<f64> = (0..10 * cells * cells).map(|_| templates.rand()).collect();
    let mut rng = RandomState::new(seed);
    let (mut pixels, mut labels) = (Vec::with_capacity(rows * side * side), Vec::with_capacity(rows));
    for _ in 0..rows {
        let label = rng.choice(10).unwrap_or(0);
        let [down, right] = [(); 2].map(|()| rng.choice(side / 4).unwrap_or(0));
        let light = rng.uniform(0.6, 1.0);
        for y in 0..side {
            for x in 0..side {
                let cell = |at: usize, by: usize| (at + by) % side * cells / side;
                let value = shapes[(label * cells + cell(y, down)) * cells + cell(x, right)];
                let noisy = value * light + rng.normal(0.0, 0.15);
                pixels.push((noisy.clamp(0.0, 1.0) * 255.0).round() as u8);
            }
        }
        labels.push(label as u8);
    }
    (pixels, labels)
}

/// Sentences of a small grammar, at least `length` characters, and the entropy of a character in nats: what the choices of
/// words leave uncertain, so that no network can have a smaller loss. Verbs agree with their subject across adjectives.
pub(crate) fn sentences(length: usize, seed: u32) -> (String, f64) {
    const NOUNS: [&str; 8] = ["cat", "dog", "bird", "horse", "king", "ship", "tree", "star"];
    const ADJECTIVES: [&str; 6] = ["old", "small", "red", "quiet", "brave", "lost"];
    const VERBS: [&str; 5] = ["see", "follow", "find", "fear", "love"];
    let mut rng = RandomState::new(seed);
    let (mut text, mut nats) = (String::new(), 0.0);
    let mut choose = |options: usize| {
        nats += (options as f64).ln();
        rng.choice(options).unwrap_or(0)
    };
    while text.len() < length {
        for clause in 0.. {
            let plural = choose(2) == 1;
            let phrase = |choose: &mut dyn FnMut(usize) -> usize, plural: bool, text: &mut String| {
                text.push_str("the ");
                for _ in 0..choose(3) {
                    text.push_str(ADJECTIVES[choose(6)]);
                    text.push(' ');
                }
                text.push_str(NOUNS[choose(8)]);
                text.push_str(if plural { "s " } else { " " });
            };
            phrase(&mut choose, plural, &mut text);
            text.push_str(VERBS[choose(5)]);
            text.push_str(if plural { " " } else { "s " });
            let object = choose(2) == 1;
            phrase(&mut choose, object, &mut text);
            // One sentence in three goes on, once.
            if clause == 1 || choose(3) > 0 {
                break;
            }
            text.push_str("and ");
        }
        text.pop();
        text.push_str(".\n");
    }
    let entropy = nats / text.len() as f64;
    (text, entropy)
}

/// Writes `train.csv` and `val.csv` into a folder.
pub(crate) fn write_tables(dir: &Path, table: fn(usize, u32) -> String, rows: [usize; 2]) -> Result {
    fs::create_dir_all(dir)?;
    fs::write(dir.join("train.csv"), table(rows[0], 1))?;
    fs::write(dir.join("val.csv"), table(rows[1], 2))?;
    Ok(())
}

/// Writes a training and a test set of images into a folder, with MNIST's names.
pub(crate) fn write_images(dir: &Path, rows: [usize; 2], side: usize) -> Result {
    fs::create_dir_all(dir)?;
    for (name, rows, seed) in [("train", rows[0], 3), ("t10k", rows[1], 4)] {
        let (pixels, labels) = shapes(rows, side, seed);
        fs::write(dir.join(format!("{name}-images-idx3-ubyte")), write_u8(&[rows, side, side], &pixels)?)?;
        fs::write(dir.join(format!("{name}-labels-idx1-ubyte")), write_u8(&[rows], &labels)?)?;
    }
    Ok(())
}

#[allow(dead_code)]
fn main() -> Result {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let full = arguments.iter().any(|argument| argument == "--full");
    let dir = arguments.iter().find(|argument| !argument.starts_with("--")).map_or("data", String::as_str);
    let dir = Path::new(dir);
    write_tables(&dir.join("houses"), houses, [480, 120])?;
    write_tables(&dir.join("rings"), rings, [400, 200])?;
    let (rows, side) = if full { ([60_000, 10_000], 28) } else { ([2000, 500], 28) };
    write_images(&dir.join("shapes"), rows, side)?;
    let (text, entropy) = sentences(if full { 1_000_000 } else { 60_000 }, 5);
    fs::write(dir.join("sentences.txt"), text)?;
    println!("wrote {0}/houses, {0}/rings, {0}/shapes and {0}/sentences.txt", dir.display());
    println!("a character of the sentences has {entropy:.4} nats: no perplexity is below {:.3}", entropy.exp());
    Ok(())
}
