//! Launches joined with those that follow: elementwise work done as a result is stored (epilogues), and work on the same
//! inputs done by one kernel (a loss with its gradient, a bias's gradient with its weight's).
//!
//! Both move a launch to where another is. That is safe if no launch in between writes what the moved one reads or writes,
//! or reads what it writes.

use super::{BufferId, BufferKind, Fused, Launch, Operand, Plan, distinct_buffers};
use crate::ops::elementwise::ElementwiseKernel;
use crate::ops::reduce::ReduceKernel;
use crate::passes::Passes;
use crate::shape::View;
use std::any::Any;
use std::sync::Arc;

fn touches(operands: &[Operand], buffer: BufferId) -> bool {
    operands.iter().any(|o| o.buffer == buffer)
}

/// Whether `moved` may change places with all of `others`.
fn may_pass(moved: &Launch, others: &[Launch]) -> bool {
    others.iter().all(|other| {
        let written = |o: &Operand| touches(&other.outputs, o.buffer);
        let overwrites = |o: &Operand| touches(&other.inputs, o.buffer);
        !moved.inputs.iter().any(written) && !moved.outputs.iter().any(|o| written(o) || overwrites(o))
    })
}

/// Joins launches that read the same.
pub(super) fn absorb(plan: &mut Plan, passes: &Passes) {
    let mut position = 0;
    while position < plan.launches.len() {
        let launch = &plan.launches[position];
        let is_sum = (launch.kernel.as_ref() as &dyn Any).is::<ReduceKernel>();
        let wanted = if is_sum { passes.bias_gradients } else { passes.losses };
        let joined = if wanted { find_absorber(&plan.launches, position) } else { None };
        match joined {
            Some((removed, place, launch)) => {
                plan.launches[place] = launch;
                plan.launches.remove(removed);
                // What has moved here may be joined too.
                position = position.min(removed).min(place);
            }
            None => position += 1,
        }
    }
}

/// A launch that can do the work of the one at `other`: which of the two goes, where the other stays, and what it becomes.
fn find_absorber(launches: &[Launch], other: usize) -> Option<(usize, usize, Launch)> {
    let read = launches[other].inputs.first()?.buffer;
    for (own, launch) in launches.iter().enumerate().filter(|(k, l)| *k != other && touches(&l.inputs, read)) {
        let Some(joined) = launch.kernel.absorb(launch, &launches[other]) else { continue };
        let (first, last) = (own.min(other), own.max(other));
        let between = &launches[first + 1..last];
        if may_pass(&launches[last], &launches[first..last]) {
            return Some((last, first, joined));
        }
        if may_pass(&launches[first], between) && may_pass(&launches[first], &launches[last..=last]) {
            return Some((first, last, joined));
        }
    }
    None
}

/// Joins elementwise launches with the launch whose result they take.
pub(super) fn epilogues(plan: &mut Plan, max_buffers: usize) {
    let mut position = 0;
    while position < plan.launches.len() {
        match find_producer(plan, position, max_buffers) {
            Some((producer, launch)) => {
                plan.launches[position] = launch;
                plan.launches.remove(producer);
            }
            None => position += 1,
        }
    }
}

/// The launch whose result only the one at `position` takes, and the two as one.
fn find_producer(plan: &Plan, position: usize, max_buffers: usize) -> Option<(usize, Launch)> {
    let launch = &plan.launches[position];
    let kernel: &ElementwiseKernel = (launch.kernel.as_ref() as &dyn Any).downcast_ref()?;
    let candidates = launch.inputs.iter().enumerate().filter_map(|(k, operand)| {
        let producer = sole_producer(plan, position, operand)?;
        Some((producer, k))
    });
    // The latest, so that it moves the least.
    let mut candidates: Vec<(usize, usize)> = candidates.collect();
    candidates.sort_unstable_by(|a, b| b.cmp(a));
    candidates.into_iter().find_map(|(producer, k)| {
        let joined = join(&plan.launches[producer], launch, kernel, k, max_buffers)?;
        may_pass(&plan.launches[producer], &plan.launches[producer + 1..position]).then_some((producer, joined))
    })
}

/// The launch before `reader` that writes all of `operand`'s buffer and nothing else, if only `reader` reads it.
fn sole_producer(plan: &Plan, reader: usize, operand: &Operand) -> Option<usize> {
    let buffer = &plan.buffers[operand.buffer.index()];
    let whole =
        |view: &View| view.is_dense() && view.offset == 0 && view.shape.elements() == buffer.ty.shape.elements();
    if !matches!(buffer.kind, BufferKind::Scratch) || !whole(&operand.view) || touches(&plan.outputs, operand.buffer) {
        return None;
    }
    let mut producer = None;
    for (position, launch) in plan.launches.iter().enumerate() {
        if position != reader && touches(&launch.inputs, operand.buffer) {
            return None;
        }
        if touches(&launch.outputs, operand.buffer) {
            let alone = launch.outputs.len() == 1 && whole(&launch.outputs[0].view);
            if producer.is_some() || !alone || position >= reader {
                return None;
            }
            producer = Some(position);
        }
    }
    let loads = plan.launches[reader].inputs.iter().filter(|o| o.buffer == operand.buffer).count();
    producer.filter(|_| loads == 1)
}

/// `producer` with the expression of `launch`, whose `k`-th input is its result, as epilogue.
fn join(
    producer: &Launch,
    launch: &Launch,
    kernel: &ElementwiseKernel,
    k: usize,
    max_buffers: usize,
) -> Option<Launch> {
    let others = || launch.inputs.iter().enumerate().filter(|&(other, _)| other != k).map(|(_, o)| o);
    let (result, output) = (&launch.inputs[k], &launch.outputs[0]);
    let in_place = launch.outputs.iter().any(|o| touches(&launch.inputs, o.buffer));
    // Other kernels write their result where the epilogue's first output goes.
    let direct =
        producer.kernel.updates_in_place() || (output.view.is_dense() && output.dtype == result.dtype && !in_place);
    let disjoint = launch.outputs.iter().all(|o| !touches(&producer.inputs, o.buffer));
    let buffers = producer.kernel.own_inputs().min(producer.inputs.len())
        + distinct_buffers(others().chain(&launch.outputs)).len();
    if !direct || !disjoint || buffers > max_buffers {
        return None;
    }
    let mut expr = kernel.expr.clone();
    for instr in &mut expr.instrs {
        if let Some(input) = instr.input() {
            let input = usize::from(input);
            *instr = instr.with_input(if input == k { 0 } else { input + usize::from(input < k) } as u16);
        }
    }
    let epilogue = Fused { space: View::dense(&kernel.shape), expr };
    let kernel = producer.kernel.with_epilogue(epilogue)?;
    let inputs = producer.inputs.iter().chain(others()).cloned().collect();
    Some(Launch { kernel: Arc::clone(&kernel), inputs, outputs: launch.outputs.clone() })
}
