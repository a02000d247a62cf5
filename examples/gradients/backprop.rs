//! Gradients II: the backward pass of a deep network as matrices, by hand, by autodiff and by finite differences.

use super::common::{Options, numbers};
use std::collections::HashMap;
use wgrad::data::RandomState;
use wgrad::plot::{ColourMap, Figure, Grid, Panel};
use wgrad::{Array, DType, Device, Graph, NodeId, Result, Session, Tensor, Variable};

/// Hidden layers, and the units of each.
const K: usize = 5;
const UNITS: usize = 6;
const X: f32 = 1.2;
const TARGET: f32 = 20.0;
/// The step of the finite differences.
const DELTA: f64 = 1e-6;

/// Units that go into layer k and come out of it; layer K is the output's.
fn sizes(k: usize) -> (usize, usize) {
    (if k == 0 { 1 } else { UNITS }, if k == K { 1 } else { UNITS })
}

/// Layer k computes `f_k = β_k + Ω_k h_k` of `h_k = relu(f_{k−1}) + e_k`. The e are 0: they are there to be moved by the
/// finite differences with respect to h.
struct Layer<'g> {
    omega: Tensor<'g>,
    beta: Tensor<'g>,
    e: Tensor<'g>,
}

/// The layers from all their numbers in a row, or from many rows: then each matrix is a batch of matrices.
fn layers<'g>(rows: Tensor<'g>) -> Vec<Layer<'g>> {
    let shape = rows.shape();
    let lead = &shape[..shape.rank() - 1];
    let mut start = 0;
    let mut take = |height: usize, width: usize| {
        let part = rows.slice(-1, start..start + height * width);
        start += height * width;
        part.reshape([lead, &[height, width]].concat())
    };
    let layer = |k| {
        let (from, to) = sizes(k);
        Layer { omega: take(to, from), beta: take(to, 1), e: take(from, 1) }
    };
    (0..=K).map(layer).collect()
}

/// Ω, β and e of each layer with the notebook's weights: `np.random.seed(0)`, then the first and the last layer, then those
/// between.
pub fn draw() -> Vec<f64> {
    let mut rng = RandomState::new(0);
    let mut normals = |count: usize| -> Vec<f64> { (0..count).map(|_| rng.randn()).collect() };
    let (first, last) = (normals(UNITS), normals(UNITS));
    let mut parameters = vec![(first, normals(UNITS))];
    let last = (last, normals(1));
    parameters.extend((1..K).map(|_| (normals(UNITS * UNITS), normals(UNITS))));
    parameters.push(last);
    let with_e = |(k, (omega, beta)): (usize, (Vec<f64>, Vec<f64>))| [omega, beta, vec![0.0; sizes(k).0]].concat();
    parameters.into_iter().enumerate().flat_map(with_e).collect()
}

/// The forward pass.
struct Pass<'g> {
    h: Vec<Tensor<'g>>,
    f: Vec<Tensor<'g>>,
    /// `(f_K − y)²`.
    loss: Tensor<'g>,
}

fn forward<'g>(layers: &[Layer<'g>]) -> Pass<'g> {
    let g = layers[0].omega.graph();
    let (mut h, mut f) = (Vec::new(), Vec::<Tensor<'g>>::new());
    for (k, layer) in layers.iter().enumerate() {
        h.push(layer.e + if k == 0 { g.scalar(f64::from(X), DType::F32) } else { f[k - 1].relu() });
        f.push(layer.beta + layer.omega.matmul(h[k]));
    }
    let loss = (f[K] - TARGET).square().sum([-2, -1]);
    Pass { h, f, loss }
}

/// Derivatives of the loss: with respect to each f, h, Ω and β.
#[derive(Debug, Clone)]
pub struct Gradients<T> {
    /// Before the ReLU, and of the output.
    pub f: Vec<T>,
    /// Of the input, and after each ReLU.
    pub h: Vec<T>,
    /// Of the weights.
    pub omega: Vec<T>,
    /// Of the biases.
    pub beta: Vec<T>,
}

impl<T> Gradients<T> {
    /// The four lists with their names.
    pub fn lists(&self) -> [(&'static str, &[T]); 4] {
        [("dl/df", &self.f), ("dl/dh", &self.h), ("dl/dΩ", &self.omega), ("dl/dβ", &self.beta)]
    }
    fn all(&self) -> Vec<T>
    where
        T: Clone,
    {
        self.lists().map(|(_, list)| list).concat()
    }
    fn map<U>(&self, mut change: impl FnMut(&T) -> U) -> Gradients<U> {
        let mut list = |list: &[T]| list.iter().map(&mut change).collect();
        Gradients { f: list(&self.f), h: list(&self.h), omega: list(&self.omega), beta: list(&self.beta) }
    }
}

/// The backward pass: the chain rule for matrices, from the loss to the input.
fn by_hand<'g>(layers: &[Layer<'g>], pass: &Pass<'g>) -> Gradients<Tensor<'g>> {
    let mut df = (pass.f[K] - TARGET) * 2.0;
    let mut all = Gradients { f: Vec::new(), h: Vec::new(), omega: Vec::new(), beta: Vec::new() };
    for k in (0..=K).rev() {
        all.f.push(df);
        all.beta.push(df);
        all.omega.push(df.matmul(pass.h[k].t()));
        let dh = layers[k].omega.t().matmul(df);
        all.h.push(dh);
        if k > 0 {
            df = pass.f[k - 1].gt(0.0).cast(DType::F32) * dh;
        }
    }
    for list in [&mut all.f, &mut all.h, &mut all.omega, &mut all.beta] {
        list.reverse();
    }
    all
}

fn autodiff<'g>(layers: &[Layer<'g>], pass: &Pass<'g>) -> Gradients<Tensor<'g>> {
    let each = |part: fn(&Layer<'g>) -> Tensor<'g>| pass.loss.grad(&layers.iter().map(part).collect::<Vec<_>>());
    Gradients {
        f: pass.loss.grad(&pass.f),
        h: pass.loss.grad(&pass.h),
        omega: each(|l| l.omega),
        beta: each(|l| l.beta),
    }
}

/// `(l(p + δ) − l(p − δ)) / 2δ` for every number p: each row of a matrix has one of them moved, and one pass computes the losses
/// of all rows.
fn differences<'g>(numbers: Tensor<'g>) -> Gradients<Tensor<'g>> {
    let (g, n) = (numbers.graph(), numbers.shape()[0]);
    let delta = g.iota([n, n], 0).eq(g.iota([n, n], 1)).cast(DType::F32) * DELTA;
    let loss = |rows| forward(&layers(rows)).loss;
    let slopes = layers((loss(numbers.unsqueeze(0) + delta) - loss(numbers.unsqueeze(0) - delta)) / (2.0 * DELTA));
    let each = |part: fn(&Layer<'g>) -> Tensor<'g>| slopes.iter().map(part).collect::<Vec<_>>();
    // β is added to f, so both have one derivative.
    Gradients { f: each(|l| l.beta), h: each(|l| l.e), omega: each(|l| l.omega), beta: each(|l| l.beta) }
}

/// The largest difference in each of the four lists.
fn largest<'g>(a: &Gradients<Tensor<'g>>, b: &Gradients<Tensor<'g>>) -> Vec<Tensor<'g>> {
    let lists = a.lists().into_iter().zip(b.lists());
    let list = |((_, a), (_, b)): ((_, &[Tensor<'g>]), (_, &[Tensor<'g>]))| {
        a.iter().zip(b).map(|(a, b)| (*a - *b).abs().max(..)).reduce(Tensor::maximum)
    };
    lists.filter_map(list).collect()
}

/// What the program computes.
pub struct Outputs<'g> {
    /// h₀ (the input) to h_K.
    pub h: Vec<Tensor<'g>>,
    /// f₀ to f_K; the last is the network's output.
    pub f: Vec<Tensor<'g>>,
    /// `(f_K − y)²`.
    pub loss: Tensor<'g>,
    /// The backward pass written with matrices.
    pub by_hand: Gradients<Tensor<'g>>,
    /// [`Tensor::grad`].
    pub autodiff: Gradients<Tensor<'g>>,
    /// Central differences.
    pub differences: Gradients<Tensor<'g>>,
}

/// The whole program.
pub fn build(g: &Graph) -> Result<Outputs<'_>> {
    let numbers = draw();
    let numbers = Array::from_f64([numbers.len()], &numbers, DType::F32)?;
    let numbers = g.variable(&Variable::new("parameters", numbers));
    let layers = layers(numbers);
    let pass = forward(&layers);
    let (by_hand, autodiff) = (by_hand(&layers, &pass), autodiff(&layers, &pass));
    Ok(Outputs { h: pass.h, f: pass.f, loss: pass.loss, by_hand, autodiff, differences: differences(numbers) })
}

/// What is printed and drawn.
pub struct BackpropNumbers {
    /// h₀ to h_K.
    pub h: Vec<Vec<f64>>,
    /// f₀ to f_K.
    pub f: Vec<Vec<f64>>,
    /// The loss.
    pub loss: f64,
    /// By the backward pass written with matrices.
    pub by_hand: Gradients<Vec<f64>>,
    /// By [`Tensor::grad`].
    pub autodiff: Gradients<Vec<f64>>,
    /// By central differences, in f64.
    pub differences: Gradients<Vec<f64>>,
    /// The largest difference between hand and autodiff in each list of [`Gradients`].
    pub from_autodiff: Vec<f64>,
    /// The same between hand and finite differences, both in f64.
    pub from_differences: Vec<f64>,
}

/// The values of tensors, by their ids.
fn values(mut session: Session, g: &Graph, wanted: &[Tensor<'_>]) -> Result<HashMap<NodeId, Vec<f64>>> {
    let program = session.compile(g, wanted)?;
    let out = session.run(&program, &[])?;
    Ok(wanted.iter().map(|t| t.id()).zip(out.iter().map(numbers)).collect())
}

/// Computes, prints and draws.
pub fn run(options: &Options) -> Result<BackpropNumbers> {
    let g = Graph::new();
    let Outputs { h, f, loss, by_hand, autodiff, differences } = build(&g)?;
    let from_autodiff = largest(&by_hand, &autodiff);
    let from_differences = largest(&by_hand, &differences);
    let wanted = [&h[..], &f, &[loss], &by_hand.all(), &autodiff.all(), &from_autodiff].concat();
    let on_device = values(options.session()?, &g, &wanted)?;
    // A loss of 327 is stored in f32 to within 1.5e-5: nothing would be left of a difference of two, divided by 2e-6.
    let wanted = [&differences.all()[..], &from_differences].concat();
    let in_f64 = values(Session::new(Device::reference())?, &g, &wanted)?;

    let lists = |list: &[Tensor<'_>]| list.iter().map(|t| on_device[&t.id()].clone()).collect();
    let result = BackpropNumbers {
        h: lists(&h),
        f: lists(&f),
        loss: on_device[&loss.id()][0],
        by_hand: by_hand.map(|t| on_device[&t.id()].clone()),
        autodiff: autodiff.map(|t| on_device[&t.id()].clone()),
        differences: differences.map(|t| in_f64[&t.id()].clone()),
        from_autodiff: from_autodiff.iter().map(|t| on_device[&t.id()][0]).collect(),
        from_differences: from_differences.iter().map(|t| in_f64[&t.id()][0]).collect(),
    };
    print(&result);
    options.save("backprop", &picture(&result))?;
    Ok(result)
}

fn print(result: &BackpropNumbers) {
    println!("Gradients II: output {:.3}, loss {:.4}", result.f[K][0], result.loss);
    println!(
        "  {:6} {:>7} {:>9} {:>16} {:>24}",
        "", "numbers", "largest", "hand − autodiff", "hand − differences (f64)"
    );
    for (k, (name, list)) in result.by_hand.lists().into_iter().enumerate() {
        let all = list.concat();
        let size = all.iter().fold(0.0f64, |largest, v| largest.max(v.abs()));
        let (autodiff, differences) = (result.from_autodiff[k], result.from_differences[k]);
        println!("  {name:6} {:7} {size:9.2} {autodiff:16.1e} {differences:24.1e}", all.len());
    }
}

/// Activations and gradients, a layer a column, and the products of the two.
fn picture(result: &BackpropNumbers) -> Figure {
    let units = || (0..UNITS).map(|unit| unit.to_string());
    // Adding 0 turns −0, which is 0 times a negative number, into 0.
    let by_layer = |title: &str, lists: &[Vec<f64>], first: usize| {
        let cells = (0..UNITS).flat_map(|unit| lists.iter().map(move |list| list[unit] + 0.0)).collect();
        Panel::new(title)
            .x_label("Layer k")
            .y_label("Unit")
            .table(ColourMap::Diverging, Grid::table(lists.len(), UNITS, cells))
            .x_categories((first..first + lists.len()).map(|k| k.to_string()))
            .y_categories(units())
    };
    let products = (1..K).map(|k| {
        Panel::new(format!("dl/dΩ{k}: dl/df{k} times h{k} transposed"))
            .x_label(format!("Unit of h{k}"))
            .y_label(format!("Unit of f{k}"))
            .table(ColourMap::Diverging, Grid::table(UNITS, UNITS, result.by_hand.omega[k].clone()))
            .x_categories(units())
            .y_categories(units())
    });
    Figure::new("Backpropagation through five hidden layers of six units")
        .columns(3)
        .panel_size(400.0, 330.0)
        .panel(by_layer("Forward: activations h of the hidden layers", &result.h[1..], 1))
        .panel(by_layer("Backward: dl/df", &result.by_hand.f[..K], 0))
        .panels(products)
}
