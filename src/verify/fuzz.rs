//! Random programs: chains of operations on operands of random shapes, views and values. A failing program is shrunk
//! for as long as it still fails.

use super::bundle::Bundle;
use super::cases::Outcome;
use super::divergence::prune;
use super::{Comparison, Trial};
use crate::array::Array;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::ops::Op;
use crate::ops::conv::ConvOptions;
use crate::ops::elementwise::Elementwise;
use crate::ops::random::{Distribution, draw};
use crate::ops::table::{Binary, Unary};
use crate::session::Session;
use crate::shape::{Axes, Shape};
use crate::tensor::Tensor;
use std::path::{Path, PathBuf};

/// The maximum number of elements of a value.
const MAX_ELEMENTS: usize = 3000;
/// The maximum number of programs tried while shrinking.
const SHRINKS: usize = 150;

/// A pseudorandom number generator, seeded.
struct Rng {
    seed: u32,
    next: u32,
}

impl Rng {
    fn below(&mut self, n: usize) -> usize {
        self.next += 1;
        draw(Distribution::Bits, [self.seed, 31], 0, 0, self.next) as usize % n.max(1)
    }
}

/// An operation, its operands among the latest values, and a number that its attributes are derived from.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Call {
    what: usize,
    a: usize,
    b: usize,
    k: usize,
}

/// A random program.
#[derive(Debug, Clone, PartialEq)]
struct Program {
    inputs: Vec<Vec<usize>>,
    calls: Vec<Call>,
    /// Whether the values of the inputs are small integers.
    whole: bool,
    seed: u32,
}

impl Program {
    fn random(seed: u32) -> Self {
        let mut rng = Rng { seed, next: 0 };
        const SIZES: [usize; 8] = [1, 2, 3, 4, 5, 7, 17, 33];
        let shape = |rng: &mut Rng| {
            let rank = 1 + rng.below(3);
            (0..rank).map(|_| SIZES[rng.below(if rank == 1 { 8 } else { 6 })]).collect::<Vec<_>>()
        };
        let first = shape(&mut rng);
        // The second broadcasts against the first more often than not.
        let second = match rng.below(4) {
            0 => shape(&mut rng),
            1 => first.clone(),
            n => first[n.min(first.len()) - 1..].iter().map(|&d| if rng.below(3) == 0 { 1 } else { d }).collect(),
        };
        let count = 1 + rng.below(8);
        let call = |rng: &mut Rng| Call { what: rng.below(CALLS), a: rng.below(4), b: rng.below(4), k: rng.below(60) };
        let calls = (0..count).map(|_| call(&mut rng)).collect();
        Program { inputs: vec![first, second], calls, whole: false, seed }
    }

    fn values(&self, k: usize, shape: &[usize]) -> Result<Array> {
        let number = |i: usize| {
            let x = draw(Distribution::Uniform, [self.seed, 37], k as u32, 0, i as u32) * 4.0 - 2.0;
            if self.whole { x.round() } else { x }
        };
        let data: Vec<f64> = (0..Shape::from(shape).elements()).map(number).collect();
        Array::from_f64(shape.to_vec(), &data, DType::F32)
    }

    /// Builds the graph; the last value is the output.
    fn build<'g>(&self, graph: &'g Graph) -> Tensor<'g> {
        let inputs = self.inputs.iter().enumerate();
        let mut values: Vec<Tensor<'g>> =
            inputs.map(|(k, shape)| graph.input(format!("x{k}"), shape.clone(), DType::F32)).collect();
        for call in &self.calls {
            let pick = |n: usize| values[values.len() - 1 - n % values.len()];
            let (a, b) = (pick(call.a), pick(call.b));
            values.push(grow(call, a, b));
        }
        values[values.len() - 1]
    }

    fn trial<'g>(&self, graph: &'g Graph) -> Result<Trial<'g>> {
        let output = self.build(graph);
        graph.check()?;
        let mut trial = Trial::new(graph, &[output.id()]);
        for (k, shape) in self.inputs.iter().enumerate() {
            trial.inputs.push((format!("x{k}"), self.values(k, shape)?));
        }
        (trial.step, trial.seed) = (2, self.seed.into());
        Ok(trial)
    }

    /// Runs the program and compares it with the reference. Errors are the device's: the graph is always valid.
    fn check(&self, session: &mut Session) -> Result<(Comparison, Shape)> {
        let graph = Graph::new();
        let trial = self.trial(&graph)?;
        let comparison = trial.compare(session, &trial.expected()?)?.pop().unwrap_or_default();
        let shape = graph.tensor(trial.outputs[0]).shape();
        Ok((comparison, shape))
    }

    /// Programs slightly simpler than this one, the simplest first.
    fn simpler(&self) -> Vec<Program> {
        let mut out = Vec::new();
        let n = self.calls.len();
        out.extend((1..n).map(|keep| Program { calls: self.calls[..keep].to_vec(), ..self.clone() }));
        for k in 0..n {
            let mut calls = self.calls.clone();
            calls.remove(k);
            if !calls.is_empty() {
                out.push(Program { calls, ..self.clone() });
            }
        }
        for (k, shape) in self.inputs.iter().enumerate() {
            for (axis, &size) in shape.iter().enumerate() {
                for smaller in [1, size / 2, size - 1].into_iter().filter(|&s| s > 0 && s < size) {
                    // An axis common to both operands shrinks in both.
                    let mut both = self.inputs.clone();
                    both.iter_mut().flatten().filter(|d| **d == size).for_each(|d| *d = smaller);
                    let mut one = self.inputs.clone();
                    one[k][axis] = smaller;
                    out.extend([both, one].map(|inputs| Program { inputs, ..self.clone() }));
                }
            }
        }
        for k in 0..n {
            for smaller in [0, self.calls[k].k / 2].into_iter().filter(|&s| s < self.calls[k].k) {
                let mut calls = self.calls.clone();
                calls[k].k = smaller;
                out.push(Program { calls, ..self.clone() });
            }
        }
        if !self.whole {
            out.push(Program { whole: true, ..self.clone() });
        }
        out
    }

    /// The smallest program found that still fails.
    fn shrink(self, session: &mut Session) -> Program {
        let (mut smallest, mut left) = (self, SHRINKS);
        'again: loop {
            for candidate in smallest.simpler() {
                if left == 0 {
                    return smallest;
                }
                left -= 1;
                if candidate.check(session).is_ok_and(|(comparison, _)| !comparison.passed()) {
                    smallest = candidate;
                    continue 'again;
                }
            }
            return smallest;
        }
    }
}

/// The number of kinds of calls of [`grow`].
const CALLS: usize = 27;

/// Appends a value computed from two earlier ones. A call that is invalid for these operands is replaced by a valid
/// one.
fn grow<'g>(call: &Call, a: Tensor<'g>, b: Tensor<'g>) -> Tensor<'g> {
    let (graph, shape, k) = (a.graph(), a.shape(), call.k);
    let rank = shape.rank();
    let axis = if rank == 0 { 0 } else { (k % rank) as isize };
    let last = rank.checked_sub(1).map_or(1, |axis| shape[axis]);
    let b = match shape.broadcast(&b.shape()) {
        Some(both) if both.elements() <= MAX_ELEMENTS => b,
        _ => a,
    };
    // Operations defined for positive numbers only get positive operands.
    let within = |x: Tensor<'g>, range: (f64, f64)| if range.0 > 0.0 { x.abs() + range.0 } else { x };
    let unary = |k: usize| {
        let floats: Vec<Unary> = Unary::ALL.iter().copied().filter(|op| op.row().domain.contains(DType::F32)).collect();
        let op = floats[k % floats.len()];
        graph.apply(Op::Elementwise(Elementwise::Unary(op)), &[within(a, op.row().range)])
    };
    let index = |count: usize, below: usize| {
        let bits = graph.iota([count], 0) * graph.scalar((k % 7 + 1) as f64, DType::U32);
        bits % graph.scalar(below.max(1) as f64, DType::U32)
    };
    let room = shape.elements() * 2 <= MAX_ELEMENTS && rank < 5;
    match call.what {
        0..=4 => unary(k),
        5..=7 => {
            let floats: Vec<Binary> =
                Binary::ALL.iter().copied().filter(|op| op.row().domain.contains(DType::F32)).collect();
            let op = floats[k % floats.len()];
            let range = op.row().range;
            let both = shape.broadcast(&b.shape()).unwrap_or(shape);
            let operands = [within(a, range), within(b, range)].map(|x| x.broadcast_to(&both));
            graph.apply(Op::Elementwise(Elementwise::Binary(op)), &operands)
        }
        8 => a.lt(b).select(a, b),
        9 => a * ((k % 5) as f64 - 2.0) + 0.5,
        10 if rank > 0 => a.sum(axis),
        11 if rank > 0 => a.max_keepdim(axis),
        12 if rank > 0 => a.mean(Axes::List(vec![axis])),
        13 if rank > 0 => a.softmax(axis),
        14 if rank > 0 => a.log_softmax(-1),
        15 if rank >= 2 && shape[rank - 2] * shape.elements() <= MAX_ELEMENTS => a.matmul(a.transpose(-1, -2)),
        16 if rank >= 2 && last * shape.elements() <= MAX_ELEMENTS => a.transpose(-1, -2).matmul(broadcast_like(b, a)),
        17 if rank > 1 => a.transpose(axis, -1),
        18 if rank > 0 => a.flip(axis),
        19 if rank > 0 => a.slice_step(axis, 0..shape[axis as usize], 1 + k % 3),
        20 if rank > 0 && room => a.pad(axis, k % 2, k % 3, [0.0, -0.0, 1.5][k % 3]),
        21 if rank > 0 && room => a.concat(&[-a], axis),
        22 => a.reshape([shape.elements()]),
        23 if rank > 0 => a.index_select(axis, index(1 + k % 5, shape[axis as usize])),
        24 if rank > 0 => a.scatter_add(axis, index(shape[axis as usize], 1 + k % 4), 1 + k % 4),
        25 if rank == 2 => a.cross_entropy(index(shape[0], last), [0.0, 0.1][k % 2]),
        26 if rank == 3 && last >= 2 => {
            let options = ConvOptions::new().stride(1 + k % 2).padding(k % 3).dilation(1 + k / 3 % 2);
            let kernel = if last > 4 { 3 } else { 1 };
            let weight = graph.iota([2, shape[1], kernel], 2).cast(DType::F32).cos();
            a.conv(weight, &options)
        }
        _ => unary(k),
    }
}

/// `x` broadcast to the shape of `other`; `other` itself if the shapes are incompatible.
fn broadcast_like<'g>(x: Tensor<'g>, other: Tensor<'g>) -> Tensor<'g> {
    let shape = other.shape();
    if x.shape().broadcast(&shape).as_ref() == Some(&shape) { x.broadcast_to(shape) } else { other }
}

/// The result of running a random program.
pub(super) enum Tried {
    /// The program could not be run.
    Error(Error),
    /// The program ran. If it fails, the outcome is that of the smallest failing program found.
    Compared {
        outcome: Outcome,
        /// The text of the smallest failing program and its inputs.
        reproducer: Option<String>,
        /// The folder of its bundle.
        bundle: Option<PathBuf>,
    },
}

/// Runs the random program of `seed`. A failing program is shrunk, and the smallest one is saved in the folder
/// `bundles`.
pub(super) fn run(session: &mut Session, seed: u32, bundles: Option<&Path>) -> Result<Tried> {
    let program = Program::random(seed);
    let (comparison, shape) = match program.check(session) {
        Ok(found) => found,
        Err(error @ (Error::DeviceLost(_) | Error::OutOfMemory(_))) => return Err(error),
        Err(error) => return Ok(Tried::Error(error)),
    };
    let outcome = |comparison, shape| Outcome { what: "forward".into(), shape, comparison };
    if comparison.passed() {
        return Ok(Tried::Compared { outcome: outcome(comparison, shape), reproducer: None, bundle: None });
    }
    let smallest = program.shrink(session);
    let (comparison, shape) = smallest.check(session)?;
    let (whole, graph) = (Graph::new(), Graph::new());
    let trial = smallest.trial(&whole)?;
    let mut trial = prune(&trial, &graph, trial.outputs[0])?;
    let used = graph.to_string();
    trial.inputs.retain(|(name, _)| used.contains(&format!("input {name}(")));
    let saved = |folder| Bundle::record(&trial, &format!("random {seed}"), session)?.save_in(folder);
    let bundle = bundles.map(saved).transpose()?;
    let values: Vec<String> =
        trial.inputs.iter().map(|(name, array)| format!("{name} = {:?}", array.to_f64())).collect();
    let reproducer = Some(format!("{used}{}", values.join("\n")));
    Ok(Tried::Compared { outcome: outcome(comparison, shape), reproducer, bundle })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn random_programs_are_well_formed_and_of_many_kinds() {
        let mut ops = std::collections::BTreeSet::new();
        for seed in 0..300 {
            let program = Program::random(seed);
            assert_eq!(program, Program::random(seed));
            let graph = Graph::new();
            let trial = program.trial(&graph).unwrap_or_else(|e| panic!("{program:?}: {e}"));
            assert!(graph.tensor(trial.outputs[0]).shape().elements() <= 8 * MAX_ELEMENTS, "{program:?}");
            ops.extend(graph.nodes().iter().map(|n| n.op.definition().name()));
        }
        for op in ["conv", "matmul", "cross_entropy", "scatter_add", "softmax", "sum", "pad", "tanh"] {
            assert!(ops.contains(op), "{op} is not in {ops:?}");
        }
    }

    #[test]
    fn simpler_programs_are_smaller() {
        let program = Program::random(4);
        let size = |p: &Program| {
            let shapes: usize = p.inputs.iter().flatten().sum();
            let numbers: usize = p.calls.iter().map(|c| c.k).sum();
            p.calls.len() * 10_000 + shapes * 100 + numbers + usize::from(!p.whole)
        };
        assert!(program.simpler().iter().all(|p| size(p) < size(&program)));
    }
}
