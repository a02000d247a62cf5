//! The check of a case's result against the f64 reference, within error bounds that depend on its conditioning.
//!
//! The reference takes minutes for a large matmul. A slice of the result along an independent axis is the result of a
//! smaller problem for slices of the inputs, so the reference computes only that: some rows and columns of a matmul, a
//! few samples and channels of a convolution.

use super::case::{Case, Prepared, hash};
use crate::array::Array;
use crate::error::Result;
use crate::graph::Graph;
use crate::reference::{Environment, RefTensor, evaluate_all};
use crate::session::Session;
use crate::shape::Shape;
use crate::tensor::Tensor;
use crate::verify::{Parity, error_bounds};
use std::collections::HashMap;

/// Axes with the selected indices of each.
type Picks<'a> = Vec<(usize, &'a [usize])>;

/// Selects `picks` of `size` indices, in ascending order, including the first and the last.
fn choose(size: usize, picks: usize, salt: u32) -> Vec<usize> {
    if picks >= size {
        return (0..size).collect();
    }
    let ends = [0, size - 1];
    let between = (0..picks.saturating_sub(2)).map(|k| hash(k as u32 ^ (salt << 20)) as usize % size);
    let mut chosen: Vec<usize> = ends.into_iter().chain(between).collect();
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

/// The elements at the selected indices of some axes, and at all indices of the others.
fn take(shape: &Shape, picks: &Picks<'_>, data: &[f64]) -> RefTensorParts {
    let kept: Vec<Vec<usize>> = shape
        .iter()
        .enumerate()
        .map(|(axis, &size)| match picks.iter().find(|(picked, _)| *picked == axis) {
            Some((_, indices)) => indices.to_vec(),
            None => (0..size).collect(),
        })
        .collect();
    let sizes: Shape = kept.iter().map(Vec::len).collect::<Vec<_>>().into();
    let mut offsets = vec![0usize];
    for (indices, stride) in kept.iter().zip(shape.strides()) {
        offsets = offsets.iter().flat_map(|o| indices.iter().map(move |i| o + i * stride as usize)).collect();
    }
    (sizes, offsets.into_iter().map(|o| data[o]).collect())
}

type RefTensorParts = (Shape, Vec<f64>);

/// What the reference gives for the chosen part of a case's result, and how far from it a device may be.
#[derive(Debug)]
pub(super) struct Slices {
    /// The indices looked at, by axis of the result.
    chosen: Vec<(usize, Vec<usize>)>,
    expected: Vec<f64>,
    bound: Vec<f64>,
}

impl Slices {
    /// Compares a result with it.
    pub(super) fn compare(&self, result: &Array) -> Parity {
        let picks = self.chosen.iter().map(|(axis, indices)| (*axis, &indices[..])).collect();
        let (_, got) = take(result.shape(), &picks, &result.to_f64());
        Parity::of(&got, &self.expected, &self.bound)
    }
}

impl Prepared {
    /// Runs the case once and compares its result, or the selected part of it, with the reference.
    pub(super) fn check(&self, session: &mut Session, case: &Case) -> Result<Parity> {
        let step = session.step(&self.program)?;
        let result = session.run(&self.program, &[])?.swap_remove(0);
        Ok(self.slices(case, result.shape(), step, session.seed())?.compare(&result))
    }

    /// What the reference gives, for a result of this shape.
    pub(super) fn slices(&self, case: &Case, result: &Shape, step: u32, seed: u64) -> Result<Slices> {
        let chosen: Vec<Vec<usize>> = (case.along.iter().enumerate())
            .map(|(k, along)| choose(result.get(along.output).copied().unwrap_or(0), along.picks, k as u32))
            .collect();
        let graph = Graph::new();
        let mut feed = HashMap::new();
        let mut inputs: Vec<Tensor<'_>> = Vec::new();
        for (k, array) in self.arrays.iter().enumerate() {
            let axis_of =
                |along: &super::Along| along.inputs.iter().find(|(input, _)| *input == k).map(|(_, axis)| *axis);
            let picks =
                case.along.iter().zip(&chosen).filter_map(|(along, indices)| Some((axis_of(along)?, &indices[..])));
            let (shape, data) = take(array.shape(), &picks.collect(), &array.to_f64());
            let name = format!("in{k}");
            inputs.push(graph.input(&name, &shape, array.dtype()));
            feed.insert(name, RefTensor { shape, dtype: array.dtype(), data });
        }
        let output = (case.build)(&graph, &inputs);
        graph.check()?;
        let environment = Environment { inputs: &feed, variables: &HashMap::new(), step, seed };
        let all = evaluate_all(&graph, &[output.id()], environment)?;
        let bound = error_bounds(&graph, &all, &HashMap::new()).swap_remove(output.id().index());
        let expected = all[output.id().index()].as_ref().map(|v| v.data.clone()).unwrap_or_default();
        let picked = |axis: usize, size: usize| {
            case.along
                .iter()
                .zip(&chosen)
                .find(|(along, _)| along.output == axis)
                .map_or(size, |(_, picks)| picks.len())
        };
        let whole: usize = result.iter().enumerate().map(|(axis, &size)| picked(axis, size)).product();
        if expected.len() != whole {
            let (name, parts) = (&case.name, expected.len());
            let message =
                format!("its graph computes {parts} elements from slices of the inputs, but {whole} are selected");
            return Err(crate::Error::value(format!("case `{name}`"), message));
        }
        let chosen = case.along.iter().map(|along| along.output).zip(chosen).collect();
        Ok(Slices { chosen, expected, bound })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_keep_the_chosen_indices() {
        let data: Vec<f64> = (0..12).map(f64::from).collect();
        let (shape, part) = take(&[3, 4].into(), &vec![(0, &[0, 2]), (1, &[1])], &data);
        assert_eq!((&shape[..], &part[..]), (&[2, 1][..], &[1.0, 9.0][..]));
        assert_eq!(take(&[3, 4].into(), &vec![], &data).1, data);
    }

    #[test]
    fn the_ends_are_always_selected() {
        let chosen = choose(1000, 8, 3);
        assert!(chosen.len() <= 8 && chosen[0] == 0 && chosen.last() == Some(&999), "{chosen:?}");
        assert_eq!(choose(3, 8, 0), [0, 1, 2]);
        assert!(choose(0, 8, 0).is_empty());
    }
}
