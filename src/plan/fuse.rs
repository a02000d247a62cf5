//! Launches joined with those that follow: elementwise work done as a result is stored (epilogues), and work on the same
//! inputs done by one kernel (a loss with its gradient, a bias's gradient with its weight's).
//!
//! Both move a launch to where another is. That is safe if no launch in between writes what the moved one reads or writes,
//! or reads what it writes.

use super::{BufferKind, Plan};
use crate::kernels::elementwise::MAX_STEPS;
use crate::kernels::{BufferId, Fused, Instr, Kernel, Launch, Operand, Slot, distinct_buffers};
use crate::passes::Passes;
use crate::shape::View;

fn touches(operands: &[Operand], buffer: BufferId) -> bool {
    operands.iter().any(|o| o.buffer == buffer)
}

/// Whether `moved` may change places with all of `others`.
pub(super) fn may_pass<'a>(moved: &Launch, others: impl IntoIterator<Item = &'a Launch>) -> bool {
    others.into_iter().all(|other| {
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
        let is_sum = matches!(launch.kernel, Kernel::Reduce(_));
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
        let Some(joined) = launch.kernel.info().absorb(launch, &launches[other]) else { continue };
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

/// Joins elementwise launches with a launch whose result they take.
pub(super) fn epilogues(plan: &mut Plan, max_buffers: usize) {
    let mut position = 0;
    while position < plan.launches.len() {
        match find_producer(plan, position, max_buffers) {
            Some((producer, joined, down)) => {
                // Where the later one was, or where the earlier one was.
                let (place, gone) = if down { (position, producer) } else { (producer, position) };
                plan.launches[place] = joined;
                plan.launches.remove(gone);
                position = if down { position } else { producer };
            }
            None => position += 1,
        }
    }
}

/// A launch that can do the work of the one at `position` as it stores its result; the two as one, and whether that goes
/// to the place of the later one.
fn find_producer(plan: &Plan, position: usize, max_buffers: usize) -> Option<(usize, Launch, bool)> {
    let launch = &plan.launches[position];
    matches!(launch.kernel, Kernel::Elementwise(_)).then_some(())?;
    let candidates = (0..launch.inputs.len()).filter_map(|k| Some((producer(plan, position, k)?, k)));
    // The latest, so that it moves the least.
    let mut candidates: Vec<(usize, usize)> = candidates.collect();
    candidates.sort_unstable_by(|a, b| b.cmp(a));
    candidates.into_iter().find_map(|(producer, k)| {
        let kept = |buffer: BufferId| {
            let read = |(other, l): (usize, &Launch)| other != position && touches(&l.inputs, buffer);
            plan.launches.iter().enumerate().any(read) || touches(&plan.outputs, buffer)
        };
        let joined = join(&plan.launches[producer], launch, k, &kept, max_buffers)?;
        let between = &plan.launches[producer + 1..position];
        let stays = plan.launches[producer].outputs.iter().any(|o| kept(o.buffer));
        if !stays && may_pass(&plan.launches[producer], between) {
            return Some((producer, joined, true));
        }
        may_pass(launch, between).then_some((producer, joined, false))
    })
}

/// The launch before `reader` that alone writes the whole buffer of its `k`-th input, if that is read as it is written.
fn producer(plan: &Plan, reader: usize, k: usize) -> Option<usize> {
    let inputs = &plan.launches[reader].inputs;
    let operand = &inputs[k];
    let buffer = &plan.buffers[operand.buffer.index()];
    let whole =
        |view: &View| view.is_dense() && view.offset == 0 && view.shape.elements() == buffer.ty.shape.elements();
    let once = inputs.iter().filter(|o| o.buffer == operand.buffer).count() == 1;
    if !matches!(buffer.kind, BufferKind::Scratch) || !whole(&operand.view) || !once {
        return None;
    }
    let mut writers = plan.launches.iter().enumerate().filter(|(_, l)| touches(&l.outputs, operand.buffer));
    let (position, writer) = writers.next()?;
    let all = writer.outputs.iter().filter(|o| o.buffer == operand.buffer).all(|o| whole(&o.view));
    (writers.next().is_none() && all && position < reader).then_some(position)
}

/// `producer` with the expression of `launch`, whose `k`-th input is one of its outputs, as (a further part of) its
/// epilogue. Outputs that nothing else needs, as `kept` tells, are no longer written.
fn join(
    producer: &Launch,
    launch: &Launch,
    k: usize,
    kept: &dyn Fn(BufferId) -> bool,
    max_buffers: usize,
) -> Option<Launch> {
    let Kernel::Elementwise(kernel) = &launch.kernel else { return None };
    let info = producer.kernel.info();
    let taken = &launch.inputs[k];
    let own = info.own_inputs().min(producer.inputs.len());
    let before = match info.epilogue() {
        Some(fused) => fused.clone(),
        None if producer.outputs.len() == 1 => Fused::result(&taken.view.shape, taken.dtype),
        None => return None,
    };
    // An input's root in the epilogue, if it is an output; the elements must be read in the order they are written.
    let root = |operand: &Operand| {
        let output = producer.outputs.iter().position(|o| o.buffer == operand.buffer)?;
        let written = &producer.outputs[output].view;
        let same = operand.view.is_dense() && written.is_dense() && operand.view.range() == written.range();
        Some(same.then_some(before.expr.roots[output]))
    };
    let space = &before.space.shape;
    let mut expr = before.expr.clone();
    let is_iota = |instr: &Instr| matches!(instr, Instr::Iota { .. });
    if *space != kernel.shape && (expr.instrs.iter().any(is_iota) || kernel.expr.instrs.iter().any(is_iota)) {
        return None;
    }
    let mut loads = producer.inputs[own..].to_vec();
    let mut slots: Vec<Slot> = Vec::with_capacity(kernel.expr.instrs.len());
    for instr in &kernel.expr.instrs {
        let moved = instr.map_slots(|slot| slots[usize::from(slot)]);
        let slot = match instr.input().map(usize::from) {
            Some(input) if root(&launch.inputs[input]).is_some() => root(&launch.inputs[input])??,
            Some(input) => {
                let operand = &launch.inputs[input];
                let operand = Operand { view: operand.view.reshape(space)?, ..operand.clone() };
                let at = loads.iter().position(|o| *o == operand).unwrap_or_else(|| {
                    loads.push(operand);
                    loads.len() - 1
                });
                expr.push(moved.with_input(at as u16 + 1))
            }
            None => expr.push(moved),
        };
        slots.push(slot);
    }
    // All are seen in the epilogue's space.
    let in_space = |o: &Operand| Some(Operand { view: o.view.reshape(space)?, ..o.clone() });
    let before_roots = producer.outputs.iter().zip(&before.expr.roots).filter(|(o, _)| kept(o.buffer));
    let after_roots = launch.outputs.iter().zip(&kernel.expr.roots);
    let (mut outputs, mut roots) = (Vec::new(), Vec::new());
    for (operand, &root) in before_roots {
        outputs.push(in_space(operand)?);
        roots.push(root);
    }
    for (operand, &root) in after_roots {
        outputs.push(in_space(operand)?);
        roots.push(slots[usize::from(root)]);
    }
    expr.roots = roots;
    let in_place = outputs.iter().any(|o| touches(&loads, o.buffer));
    // But for those that update in place, kernels write their result where the epilogue's first output goes.
    let direct = info.updates_in_place()
        || (outputs[0].view.is_dense() && outputs[0].dtype == before.result_dtype() && !in_place);
    let disjoint = outputs.iter().all(|o| !touches(&producer.inputs[..own], o.buffer));
    let buffers = own + distinct_buffers(loads.iter().chain(&outputs)).len();
    if !direct || !disjoint || buffers > max_buffers || expr.instrs.len() > MAX_STEPS {
        return None;
    }
    let kernel = info.with_epilogue(Fused { space: before.space, expr })?;
    let inputs = producer.inputs[..own].iter().cloned().chain(loads).collect();
    Some(Launch::new(kernel, inputs, outputs))
}
