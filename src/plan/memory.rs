//! Buffer reuse by liveness.
//!
//! An intermediate value is live from the launch that first writes its buffer to the last launch that reads or writes
//! it; outputs stay live to the end. Values whose live ranges do not meet share a buffer. This is safe because
//! - launches run in order, each seeing the writes of those before it, and a run writes every element it reads before
//!   it reads it (but for the room between neighbours in an arena, whose values nobody uses), so what an earlier value or
//!   run left behind is never seen;
//! - a launch's outputs, its inputs and its scratch buffers never share: a buffer is handed on only after the launch that used it
//!   last, so no launch binds one buffer for two values;
//! - whole buffers are shared, so no binding's range depends on it.

use super::{Buffer, BufferKind, Plan};
use crate::dtype::DType;
use crate::kernels::{BufferId, Launch, Operand};
use crate::shape::TensorType;

/// Every buffer a launch touches, its scratch buffers included; some more than once.
fn buffers_of(launch: &Launch) -> impl Iterator<Item = BufferId> {
    launch.inputs.iter().chain(&launch.outputs).map(|o| o.buffer).chain(launch.scratch.iter().copied())
}

/// The first and last launch that touch each buffer; `None` for one that no launch touches.
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

/// Rewrites the plan so that intermediate values share buffers, if `reuse`, and drops those that no launch touches.
pub(super) fn share(plan: Plan, reuse: bool) -> Plan {
    let Plan { buffers, mut launches, mut outputs, .. } = plan;
    let ranges = live_ranges(buffers.len(), &launches, &outputs);
    let is_output = |index: usize| outputs.iter().any(|o| o.buffer.index() == index);
    let mut kept: Vec<Buffer> = Vec::new();
    let mut place: Vec<Option<BufferId>> = vec![None; buffers.len()];
    for (index, buffer) in buffers.iter().enumerate() {
        // Intermediate values that launches touch are placed below; what nothing touches is dropped.
        let scratch = matches!(buffer.kind, BufferKind::Scratch) && ranges[index].is_some();
        let used = ranges[index].is_some() || is_output(index) || matches!(buffer.kind, BufferKind::Input(_));
        if used && !scratch {
            place[index] = Some(BufferId(kept.len() as u32));
            kept.push(buffer.clone());
        }
    }
    // Buffers free for the next value: their index in `kept`.
    let mut free: Vec<usize> = Vec::new();
    for (position, launch) in launches.iter().enumerate() {
        let starting: Vec<usize> = touched(launch, &ranges, |range| range.0 == position);
        for index in starting {
            if place[index].is_some() {
                continue;
            }
            let bytes = buffers[index].ty.bytes();
            let room = |k: &usize| kept[*k].ty.bytes();
            // The smallest that is large enough, else the largest, which grows.
            let fits = free.iter().copied().filter(|k| room(k) >= bytes).min_by_key(room);
            let chosen = fits.or_else(|| free.iter().copied().max_by_key(room));
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
            place[index] = Some(BufferId(chosen as u32));
        }
        for index in touched(launch, &ranges, |range| range.1 == position) {
            if !reuse {
                continue;
            }
            if let (BufferKind::Scratch, Some(id)) = (&buffers[index].kind, place[index]) {
                free.push(id.index());
            }
        }
    }
    let relocate = |buffer: &mut BufferId| {
        if let Some(id) = place[buffer.index()] {
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

/// The buffers of a launch whose range satisfies `condition`, each once.
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

/// Bytes of the largest set of intermediate values that are live at once.
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
    use crate::plan::lower::lower_apart;

    #[test]
    fn values_that_share_a_buffer_are_never_live_together() {
        let mut shared = 0;
        for sample in samples::all() {
            let g = Graph::new();
            let inputs: Vec<_> =
                sample.inputs.iter().enumerate().map(|(k, i)| g.input(format!("x{k}"), &i.shape, i.dtype)).collect();
            let mut y = (sample.build)(&g, &inputs);
            let floats: Vec<_> = inputs.into_iter().filter(|t| t.dtype().is_float()).collect();
            if y.dtype().is_float() && !floats.is_empty() {
                // A gradient of a longer graph gives the values more to overlap.
                y = (y * 0.5).sin().square().sum(..).grad(&floats)[0];
            }
            let apart = lower_apart(&g, &[y.id()], &Target::default()).unwrap();
            let together = share(apart.clone(), true);
            let ranges = live_ranges(apart.buffers.len(), &apart.launches, &apart.outputs);
            let operands = |plan: &Plan| -> Vec<usize> {
                let launches = plan.launches.iter().flat_map(|l| l.inputs.iter().chain(&l.outputs));
                launches.chain(&plan.outputs).map(|o| o.buffer.index()).collect()
            };
            let mut pairs: Vec<(usize, usize)> = operands(&together).into_iter().zip(operands(&apart)).collect();
            pairs.sort_unstable();
            pairs.dedup();
            for (i, &(buffer, value)) in pairs.iter().enumerate() {
                assert!(together.buffers[buffer].ty.bytes() >= apart.buffers[value].ty.bytes(), "{sample:?}");
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
