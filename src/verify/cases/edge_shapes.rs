//! Samples in other sizes, and with operands that are not contiguous in memory.

use super::{Case, CaseInput, Layout, uniform};
use crate::graph::Graph;
use crate::ops::Op;
use crate::ops::samples::Sample;
use crate::plan::{Target, lower};
use crate::shape::{Shape, TensorType};

/// The sizes that replace a sample's: zero, one, a prime above 64, one more than a tile, and more than the 65,535
/// workgroups of a dispatch dimension.
const SIZES: [usize; 5] = [0, 1, 67, 129, 65_537];
/// Limits on the elements of an operand and the FLOPs of a program, because the slow reference runs them too.
const MAX_ELEMENTS: usize = 700_000;
const MAX_FLOPS: u64 = 4_000_000;

/// The variants of the given samples.
pub(super) fn cases<'s>(chosen: &[(&'s Sample, Op)], seed: u32) -> Vec<Case<'s>> {
    let mut cases = Vec::new();
    for (sample, op) in chosen {
        let mut sizes: Vec<usize> = sample.inputs.iter().flat_map(|i| i.shape.to_vec()).collect();
        sizes.sort_unstable();
        sizes.dedup();
        for &from in &sizes {
            for to in SIZES {
                cases.extend(resized(sample, from, to, seed));
            }
        }
        // Movement operations are views themselves.
        if !matches!(op, Op::Movement(_)) {
            cases.extend(Layout::VIEWS.iter().filter_map(|&layout| viewed(sample, layout, seed)));
        }
    }
    cases
}

/// The sample with every axis of size `from` resized to `to`; `None` if the operation rejects these shapes or they are
/// too large.
fn resized(sample: &Sample, from: usize, to: usize, seed: u32) -> Option<Case<'_>> {
    let resize = |n: usize| if n == from { to } else { n };
    let inputs = sample.inputs.iter().enumerate().map(|(k, input)| {
        let shape: Shape = input.shape.iter().map(|&n| resize(n)).collect::<Vec<_>>().into();
        let ty = TensorType::new(shape, input.dtype);
        // Indices must stay below the size of the axis they index.
        let high = if input.dtype.is_float() || input.range.1 != from as f64 { input.range.1 } else { to as f64 };
        (ty.shape.elements() <= MAX_ELEMENTS).then(|| {
            let values = uniform(&ty, (input.range.0, high), seed, k);
            CaseInput { ty, layout: Layout::Dense, values }
        })
    });
    let inputs: Vec<CaseInput> = inputs.collect::<Option<_>>()?;
    // For the largest size, the forward pass is enough.
    let gradients = to < 65_536;
    let case = Case { sample, name: format!("{}, {from} -> {to}", sample.case), inputs, gradients, denormals: false };
    is_small(&case).then_some(case)
}

/// The sample with every operand in the given layout.
fn viewed(sample: &Sample, layout: Layout, seed: u32) -> Option<Case<'_>> {
    let inputs = sample.inputs.iter().enumerate().map(|(k, input)| {
        let ty = TensorType::new(&input.shape, input.dtype);
        let stored = TensorType::new(layout.stored(&ty.shape), ty.dtype);
        CaseInput { values: uniform(&stored, input.range, seed, k), ty, layout }
    });
    let name = format!("{}, {} operands", sample.case, layout.name());
    let case = Case { sample, name, inputs: inputs.collect(), gradients: true, denormals: false };
    is_small(&case).then_some(case)
}

/// Whether a case can be built and is cheap enough for the reference.
fn is_small(case: &Case<'_>) -> bool {
    let graph = Graph::new();
    let Some(values) = case.build(&graph) else { return false };
    let ids: Vec<_> = values.iter().map(|(_, t)| t.id()).collect();
    let elements = values.iter().map(|(_, t)| t.shape().elements()).max().unwrap_or(0);
    let plan = lower(&graph, &ids, &Target::default());
    elements <= MAX_ELEMENTS && plan.is_ok_and(|plan| plan.flops() <= MAX_FLOPS)
}
