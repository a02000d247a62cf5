//! The cases of `wgrad check`: every sample, and variants with edge-case shapes, layouts and values.

mod edge_shapes;
mod edge_values;

use super::compare::ratio;
use super::{Comparison, Trial};
use crate::array::Array;
use crate::dtype::DType;
use crate::error::Result;
use crate::graph::{Graph, NodeId};
use crate::ops::Op;
use crate::ops::leaf::Leaf;
use crate::ops::random::{Distribution, draw};
use crate::ops::samples::Sample;
use crate::session::Session;
use crate::shape::{Shape, TensorType};
use crate::tensor::Tensor;

/// The memory layout of an operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Row-major.
    Dense,
    /// Axes in reverse order.
    Transposed,
    /// Every other element of the last axis of a larger array.
    Sliced,
    /// All axes reversed.
    Flipped,
    /// Broadcast along the first axis.
    Broadcast,
}

impl Layout {
    pub(super) const VIEWS: [Layout; 4] = [Layout::Transposed, Layout::Sliced, Layout::Flipped, Layout::Broadcast];

    fn name(self) -> &'static str {
        match self {
            Layout::Dense => "dense",
            Layout::Transposed => "transposed",
            Layout::Sliced => "sliced",
            Layout::Flipped => "flipped",
            Layout::Broadcast => "broadcast",
        }
    }

    /// The shape in memory of an operand whose view has `shape`.
    fn stored(self, shape: &Shape) -> Shape {
        let mut sizes = shape.to_vec();
        match (self, sizes.len()) {
            (Layout::Dense | Layout::Flipped, _) | (_, 0) => {}
            (Layout::Transposed, _) => sizes.reverse(),
            (Layout::Sliced, rank) => sizes[rank - 1] = 2 * sizes[rank - 1] + 1,
            (Layout::Broadcast, _) => sizes[0] = sizes[0].min(1),
        }
        sizes.into()
    }

    fn view<'g>(self, x: Tensor<'g>, shape: &Shape) -> Tensor<'g> {
        let rank = shape.rank();
        match self {
            Layout::Dense => x,
            _ if rank == 0 => x,
            Layout::Transposed => x.permute(&(0..rank as isize).rev().collect::<Vec<_>>()),
            Layout::Sliced => x.slice_step(-1, 1..2 * shape[rank - 1] + 1, 2),
            Layout::Flipped => (0..rank as isize).fold(x, |x, axis| x.flip(axis)),
            Layout::Broadcast => x.broadcast_to(shape),
        }
    }
}

/// An operand of a case.
#[derive(Debug, Clone)]
pub(super) struct CaseInput {
    /// The type of the view, which the sample's operation gets.
    pub(super) ty: TensorType,
    /// The memory layout.
    pub(super) layout: Layout,
    /// The values in memory.
    pub(super) values: Array,
}

/// A sample, or a variant of it, with its operands.
pub(super) struct Case<'s> {
    pub(super) sample: &'s Sample,
    /// The name of the case: the sample's, and what the variant changes.
    pub(super) name: String,
    pub(super) inputs: Vec<CaseInput>,
    /// Whether to check the gradients too.
    pub(super) gradients: bool,
    /// Whether the operands contain denormals, which a device may flush to zero.
    pub(super) denormals: bool,
}

/// The comparison of one value of a case.
pub(super) struct Outcome {
    /// Which value: `forward`, or for example `gradient of input 0`.
    pub(super) what: String,
    pub(super) shape: Shape,
    pub(super) comparison: Comparison,
}

/// Random values for operand `k`, uniform in `range`.
pub(super) fn uniform(ty: &TensorType, range: (f64, f64), seed: u32, k: usize) -> Array {
    let number =
        |i: usize| range.0 + (range.1 - range.0) * draw(Distribution::Uniform, [seed, 7], k as u32, 0, i as u32);
    let data: Vec<f64> = (0..ty.shape.elements()).map(number).collect();
    array(ty, &data)
}

pub(super) fn array(ty: &TensorType, data: &[f64]) -> Array {
    match Array::from_f64(ty.shape.clone(), data, ty.dtype) {
        Ok(array) => array,
        Err(_) => unreachable!("as many numbers as elements"),
    }
}

impl<'s> Case<'s> {
    /// The sample without changes.
    pub(super) fn plain(sample: &'s Sample, seed: u32) -> Self {
        let values = sample.values(seed);
        let input = |values: Array| CaseInput { ty: values.tensor_type(), layout: Layout::Dense, values };
        let inputs = values.into_iter().map(input).collect();
        Case { sample, name: sample.case.clone(), inputs, gradients: true, denormals: false }
    }

    /// Whether any operand has this dtype.
    pub(super) fn uses(&self, dtype: DType) -> bool {
        self.inputs.iter().any(|i| i.ty.dtype == dtype)
    }

    /// Builds the graph: the output, then the gradients that are not identically zero. `None` if the operation rejects
    /// these operands.
    pub(super) fn build<'g>(&self, graph: &'g Graph) -> Option<Vec<(String, Tensor<'g>)>> {
        let stored = self.inputs.iter().enumerate();
        let stored: Vec<Tensor<'g>> =
            stored.map(|(k, i)| graph.input(format!("x{k}"), i.values.shape(), i.ty.dtype)).collect();
        let operands: Vec<Tensor<'g>> =
            stored.iter().zip(&self.inputs).map(|(&x, input)| input.layout.view(x, &input.ty.shape)).collect();
        let output = (self.sample.build)(graph, &operands);
        let mut values = vec![("forward".to_string(), output)];
        graph.check().ok()?;
        let floats: Vec<usize> = (0..stored.len()).filter(|&k| self.inputs[k].ty.dtype.is_float()).collect();
        if self.gradients && output.dtype().is_float() && !floats.is_empty() {
            let upstream = graph.input("upstream", output.shape(), output.dtype());
            let wrt: Vec<Tensor<'g>> = floats.iter().map(|&k| stored[k]).collect();
            let gradients = output.vjp(upstream, &wrt);
            let nodes = graph.nodes();
            let is_zero = |t: &Tensor<'g>| matches!(nodes[t.id().index()].op, Op::Leaf(Leaf::Fill(_)));
            let named = floats.iter().zip(gradients).filter(|(_, t)| !is_zero(t));
            values.extend(named.map(|(k, t)| (format!("gradient of input {k}"), t)));
        }
        graph.check().ok()?;
        Some(values)
    }

    /// The trial of a graph made by [`Case::build`]. No element of the upstream gradient is 1.
    pub(super) fn trial<'g>(&self, graph: &'g Graph, values: &[(String, Tensor<'g>)], seed: u32) -> Trial<'g> {
        let ids: Vec<NodeId> = values.iter().map(|(_, t)| t.id()).collect();
        let mut trial = Trial::new(graph, &ids);
        trial.inputs = self.inputs.iter().enumerate().map(|(k, i)| (format!("x{k}"), i.values.clone())).collect();
        if values.len() > 1 {
            trial.inputs.push(("upstream".into(), uniform(&values[0].1.tensor_type(), (1.25, 2.0), seed, 99)));
        }
        trial.step = 3;
        trial.seed = seed.into();
        trial
    }

    /// Runs the case on the session's device and compares it with the reference.
    pub(super) fn run(&self, session: &mut Session, seed: u32) -> Result<Vec<Outcome>> {
        let graph = Graph::new();
        let Some(values) = self.build(&graph) else {
            graph.check()?;
            return Ok(Vec::new());
        };
        let trial = self.trial(&graph, &values, seed);
        let comparisons = if self.denormals {
            edge_values::compare(&trial, session)?
        } else {
            trial.compare(session, &trial.expected()?)?
        };
        let named = values.into_iter().zip(comparisons);
        Ok(named.map(|((what, t), comparison)| Outcome { what, shape: t.shape(), comparison }).collect())
    }
}

/// The operation that computes a sample's output.
fn family(sample: &Sample) -> Option<Op> {
    let graph = Graph::new();
    let inputs = sample.inputs.iter().enumerate();
    let inputs: Vec<Tensor<'_>> = inputs.map(|(k, i)| graph.input(format!("x{k}"), &i.shape, i.dtype)).collect();
    let output = (sample.build)(&graph, &inputs);
    graph.check().ok()?;
    Some(graph.nodes()[output.id().index()].op.clone())
}

/// Whether two operations share a kernel. Elementwise kernels differ only in one expression.
fn same_kernel(a: &Op, b: &Op) -> bool {
    match (a, b) {
        (Op::Elementwise(_), Op::Elementwise(_)) | (Op::Movement(_), Op::Movement(_)) => true,
        _ => a.definition().name() == b.definition().name(),
    }
}

/// One sample for each kernel, number of operands and dtype, from which the edge cases are made.
fn representatives<'s>(samples: &[&'s Sample]) -> Vec<(&'s Sample, Op)> {
    let mut chosen: Vec<(&Sample, Op)> = Vec::new();
    for &sample in samples.iter().filter(|s| !s.inputs.is_empty()) {
        let Some(op) = family(sample) else { continue };
        let kind = |s: &Sample| (s.inputs.len(), s.inputs[0].dtype, s.op == "select");
        let known = chosen.iter().any(|(s, other)| kind(s) == kind(sample) && same_kernel(other, &op));
        if !known && sample.inputs.iter().any(|i| i.shape.rank() > 0) {
            chosen.push((sample, op));
        }
    }
    chosen
}

/// All cases of the given samples.
pub(super) fn all<'s>(samples: &[&'s Sample], seed: u32) -> Vec<Case<'s>> {
    let mut cases: Vec<Case<'s>> = samples.iter().map(|sample| Case::plain(sample, seed)).collect();
    let chosen = representatives(samples);
    cases.extend(edge_shapes::cases(&chosen, seed));
    cases.extend(edge_values::cases(samples, &chosen, seed));
    cases
}
