//! What a network answers everywhere in a rectangle: one compiled program whose input is the batch of all its points.

use wgrad::plot::{Colour, ColourMap, Figure, Grid, LineStyle, Marker, Panel};
use wgrad::{Array, DType, Graph, Program, Result, Session, Tensor};

/// Points along each side.
const SIDE: usize = 80;
const WHITE: Colour = Colour(255, 255, 255);
const INK: Colour = Colour(35, 40, 48);

/// A rectangle of the first two inputs, and the program that asks the network for all of its points at once.
pub(crate) struct Plane {
    range: (f64, f64),
    program: Program,
}

impl Plane {
    /// Compiles a network of `inputs` inputs for the square with both coordinates in `range`.
    pub(crate) fn new(
        session: &mut Session,
        range: (f64, f64),
        inputs: usize,
        network: impl for<'g> Fn(Tensor<'g>) -> Tensor<'g>,
    ) -> Result<Self> {
        let graph = Graph::new();
        let output = network(graph.input("points", [SIDE * SIDE, inputs], DType::F32));
        Ok(Plane { range, program: session.compile(&graph, &[output])? })
    }

    /// The network's outputs with its current parameters; `rest` are the inputs after the first two.
    pub(crate) fn outputs(&self, session: &mut Session, rest: &[f64]) -> Result<Map> {
        let centres = Grid::of((SIDE, SIDE), self.range, self.range, |_, _| 0.0).centres();
        let points: Vec<f64> = centres.iter().flat_map(|&(a, b)| [&[a, b], rest].concat()).collect();
        let batch = Array::from_f64([SIDE * SIDE, 2 + rest.len()], &points, DType::F32)?;
        let values = session.run(&self.program, &[("points", &batch)])?[0].to_f64();
        Ok(Map { range: self.range, values })
    }
}

/// A network's output over a square.
pub(crate) struct Map {
    range: (f64, f64),
    values: Vec<f64>,
}

impl Map {
    fn grid(&self, value: impl Fn(f64) -> f64) -> Grid {
        Grid::new((SIDE, SIDE), self.range, self.range, self.values.iter().map(|&v| value(v)).collect())
    }

    /// The output as colours, with the line on which it is 0.5.
    pub(crate) fn heat(&self, title: &str, data: &[[f64; 3]]) -> Panel {
        let panel = axes(title).heat_map(ColourMap::Viridis, self.grid(|v| v));
        points(panel.contours("", WHITE, self.grid(|v| v), &[0.5]), data)
    }

    /// The class that each point is given, with the lines on which the output is 0.1, 0.5 and 0.9.
    pub(crate) fn boundary(&self, title: &str, data: &[[f64; 3]]) -> Panel {
        let panel = axes(title)
            .regions(self.grid(|v| f64::from(v > 0.5)))
            .contours("0.1, 0.9", Colour::GREY, self.grid(|v| v), &[0.1, 0.9])
            .contours("0.5", INK, self.grid(|v| v), &[0.5]);
        points(panel, data)
    }
}

fn axes(title: &str) -> Panel {
    Panel::new(title).x_label("First input").y_label("Second input").square()
}

/// The data, as `[x₁, x₂, class]`.
fn points(panel: Panel, data: &[[f64; 3]]) -> Panel {
    let classes = [(0.0, "class 0", Marker::Circle), (1.0, "class 1", Marker::Square)];
    classes.into_iter().enumerate().fold(panel, |panel, (k, (class, name, marker))| {
        let own = || data.iter().filter(|d| d[2] == class).map(|d| (d[0], d[1]));
        // A white edge sets the points off from any colour behind them.
        panel.styled_points("", WHITE, marker, 6.0, own()).styled_points(name, Colour::nth(k), marker, 4.5, own())
    })
}

/// One picture of an animation.
pub(crate) fn frame(title: &str, panel: Panel) -> Figure {
    let details = "Classes, and lines where the output is 0.1, 0.5 and 0.9";
    Figure::new(title).details(details).panel_size(420.0, 380.0).panel(panel)
}

/// A figure of heat maps.
pub(crate) fn maps(title: &str, panels: impl IntoIterator<Item = Panel>) -> Figure {
    let details = "The network's output; the white line is where it is 0.5";
    Figure::new(title).details(details).columns(3).panel_size(430.0, 390.0).panels(panels)
}

/// A figure of learning curves.
pub(crate) fn curves(title: &str, details: &str, panels: impl IntoIterator<Item = Panel>) -> Figure {
    Figure::new(title).details(details).columns(3).panel_size(440.0, 340.0).panels(panels)
}

/// The four rows of XOR as data for a picture.
pub(crate) const XOR_POINTS: [[f64; 3]; 4] = [[0.0, 0.0, 0.0], [0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]];

/// A network's outputs for the four rows of XOR, from epoch to epoch: `(epoch, outputs)`.
pub(crate) fn xor_outputs(title: &str, epochs: &[(f64, Vec<f64>)]) -> Panel {
    let rows = ["0 xor 0", "0 xor 1", "1 xor 0", "1 xor 1"];
    let empty = Panel::new(title).x_label("Epoch").y_label("Output").counts().y_range(0.0, 1.0);
    rows.iter().enumerate().fold(empty, |panel, (k, row)| {
        // The middle two have nearly the same outputs: one of them is dashed, over the other.
        let style = if k == 2 { LineStyle::Dashed } else { LineStyle::Solid };
        panel.styled_line(*row, Colour::nth(k), style, epochs.iter().map(|(epoch, out)| (*epoch, out[k])))
    })
}
