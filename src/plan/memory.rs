//! Buffer reuse by liveness analysis.
//!
//! An intermediate value is live from the launch that first writes its buffer to the last launch that accesses it;
//! outputs stay live to the end. Values whose live ranges do not overlap share a buffer. This is safe because
//! - launches run in order, each sees the writes of the previous ones, and a run writes every element before it reads
//!   it (except for the padding in arenas, whose values are not used): stale contents of an earlier value or run are
//!   never read;
//! - a launch's outputs, inputs and scratch buffers never share a buffer: a buffer is reused only after the last launch
//!   that accesses it, so no launch binds one buffer for two values;
//! - buffers are shared whole, so binding ranges do not change.

use super::{Buffer, BufferKind, Plan};
use crate::dtype::DType;
use crate::kernels::{BufferId, Launch, Operand};
use crate::shape::TensorType;

/// All buffers that a launch accesses, including its scratch buffers; some more than once.
fn buffers_of(launch: &Launch) -> impl Iterator<Item = BufferId> {
    launch.inputs.iter().chain(&launch.outputs).map(|o| o.buffer).chain(launch.scratch.iter().copied())
}

/// The first and last launch that access each buffer; `None` for an unused buffer.
pub(super) fn live_ranges(buffers: usize, launches: &[Launch], outputs: &[Operand]) -> Vec<Option<(usize, usize)>> {
    let mut ranges: Vec<Option<(usize, usize)>> = vec![None; buffers];
    for (position, launch) in launches.iter().enumerate() {
        for buffer in buffers_of(launch) {
            let range = &mut ranges[buffer.index()];
            *range = Some((range.map_or(position, |(first, _)| first), position));
        }
    }
    for operand in outputs {
        if let Some((_, last)) = &mut ranges[operand.buffer.index()] {
            *last = launches.len();
        }
    }
    ranges
}

/// Rewrites the plan so that intermediate values share buffers, if `reuse`, and removes unused buffers.
pub(super) fn share(plan: Plan, reuse: bool) -> Plan {
    let Plan { buffers, mut launches, mut outputs, .. } = plan;
    let ranges = live_ranges(buffers.len(), &launches, &outputs);
    let is_output = |index: usize| outputs.iter().any(|o| o.buffer.index() == index);
    let mut kept: Vec<Buffer> = Vec::new();
    let mut assigned: Vec<Option<BufferId>> = vec![None; buffers.len()];
    for (index, buffer) in buffers.iter().enumerate() {
        // Intermediate values are assigned below; unused buffers are removed.
        let scratch = matches!(buffer.kind, BufferKind::Scratch) && ranges[index].is_some();
        let used = ranges[index].is_some() || is_output(index) || matches!(buffer.kind, BufferKind::Input(_));
        if used && !scratch {
            assigned[index] = Some(BufferId(kept.len() as u32));
            kept.push(buffer.clone());
        }
    }
    // Free buffers, by index in `kept`.
    let mut free: Vec<usize> = Vec::new();
    for (position, launch) in launches.iter().enumerate() {
        let starting: Vec<usize> = touched(launch, &ranges, |range| range.0 == position);
        for index in starting {
            if assigned[index].is_some() {
                continue;
            }
            let bytes = buffers[index].ty.bytes();
            let capacity = |k: &usize| kept[*k].ty.bytes();
            // Best fit: the smallest free buffer that is large enough, else the largest one, enlarged.
            let fits = free.iter().copied().filter(|k| capacity(k) >= bytes).min_by_key(capacity);
            let chosen = fits.or_else(|| free.iter().copied().max_by_key(capacity));
            let chosen = match chosen {
                Some(k) => {
                    free.retain(|&other| other != k);
                    k
                }
                None => {
                    kept.push(Buffer { ty: words(0), kind: BufferKind::Scratch });
                    kept.len() - 1
                }
            };
            if kept[chosen].ty.bytes() < bytes {
                kept[chosen].ty = words(bytes);
            }
            assigned[index] = Some(BufferId(chosen as u32));
        }
        for index in touched(launch, &ranges, |range| range.1 == position) {
            if !reuse {
                continue;
            }
            if let (BufferKind::Scratch, Some(id)) = (&buffers[index].kind, assigned[index]) {
                free.push(id.index());
            }
        }
    }
    let relocate = |buffer: &mut BufferId| {
        if let Some(id) = assigned[buffer.index()] {
            *buffer = id;
        }
    };
    for launch in &mut launches {
        launch.inputs.iter_mut().chain(&mut launch.outputs).for_each(|o| relocate(&mut o.buffer));
        launch.scratch.iter_mut().for_each(relocate);
    }
    outputs.iter_mut().for_each(|o| relocate(&mut o.buffer));
    Plan { buffers: kept, launches, outputs, live_bytes: live_bytes(&buffers, &ranges) }
}

/// The buffers of a launch whose live range satisfies `condition`, without duplicates.
fn touched(
    launch: &Launch,
    ranges: &[Option<(usize, usize)>],
    condition: impl Fn((usize, usize)) -> bool,
) -> Vec<usize> {
    let buffers = buffers_of(launch).map(BufferId::index);
    let mut found: Vec<usize> = buffers.filter(|&i| ranges[i].is_some_and(&condition)).collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn words(bytes: usize) -> TensorType {
    TensorType::new([bytes.div_ceil(4)], DType::U32)
}

/// The peak size in bytes of the intermediate values that are live at the same time.
fn live_bytes(buffers: &[Buffer], ranges: &[Option<(usize, usize)>]) -> u64 {
    let end = ranges.iter().flatten().map(|r| r.1 + 1).max().unwrap_or(0);
    let live_at = |position: usize| -> u64 {
        buffers
            .iter()
            .zip(ranges)
            .filter(|(b, r)| {
                matches!(b.kind, BufferKind::Scratch)
                    && r.is_some_and(|(first, last)| (first..=last).contains(&position))
            })
            .map(|(b, _)| b.ty.bytes() as u64)
            .sum()
    };
    (0..end).map(live_at).max().unwrap_or(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::graph::Graph;
    use crate::ops::samples;
    use crate::plan::Target;
    use crate::plan::lower::lower_unshared;

    #[test]
    fn values_that_share_a_buffer_are_never_live_at_the_same_time() {
        let mut shared = 0;
        for sample in samples::all() {
            let g = Graph::new();
            let inputs: Vec<_> =
                sample.inputs.iter().enumerate().map(|(k, i)| g.input(format!("x{k}"), &i.shape, i.dtype)).collect();
            let mut y = (sample.build)(&g, &inputs);
            let floats: Vec<_> = inputs.into_iter().filter(|t| t.dtype().is_float()).collect();
            if y.dtype().is_float() && !floats.is_empty() {
                // The gradient of a longer graph has more overlapping live ranges.
                y = (y * 0.5).sin().square().sum(..).grad(&floats)[0];
            }
            let unshared = lower_unshared(&g, &[y.id()], &Target::default()).unwrap();
            let together = share(unshared.clone(), true);
            let ranges = live_ranges(unshared.buffers.len(), &unshared.launches, &unshared.outputs);
            let operands = |plan: &Plan| -> Vec<usize> {
                let launches = plan.launches.iter().flat_map(|l| l.inputs.iter().chain(&l.outputs));
                launches.chain(&plan.outputs).map(|o| o.buffer.index()).collect()
            };
            let mut pairs: Vec<(usize, usize)> = operands(&together).into_iter().zip(operands(&unshared)).collect();
            pairs.sort_unstable();
            pairs.dedup();
            for (i, &(buffer, value)) in pairs.iter().enumerate() {
                assert!(together.buffers[buffer].ty.bytes() >= unshared.buffers[value].ty.bytes(), "{sample:?}");
                for &(_, other) in pairs[i + 1..].iter().filter(|p| p.0 == buffer) {
                    let (Some(a), Some(b)) = (ranges[value], ranges[other]) else { panic!("{sample:?}: unused value") };
                    assert!(a.1 < b.0 || b.1 < a.0, "{sample:?}: {a:?} and {b:?} share buffer {buffer}\n{together}");
                    shared += 1;
                }
            }
        }
        assert!(shared > 100, "only {shared} pairs of values share a buffer");
    }
}
