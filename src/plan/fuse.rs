//! Fusion of launches: elementwise operations become epilogues of the launches that produce their inputs, and launches
//! that read the same inputs are merged (a loss with its gradient, a bias gradient with the weight gradient).
//!
//! Both move one launch to the position of another. This is safe if no launch in between writes a buffer that the moved
//! one reads or writes, or reads a buffer that it writes.

use super::{BufferKind, Plan};
use crate::kernels::elementwise::MAX_STEPS;
use crate::kernels::{BufferId, Fused, Instr, Kernel, Launch, Operand, Slot, distinct_buffers};
use crate::passes::Passes;
use crate::shape::View;

fn touches(operands: &[Operand], buffer: BufferId) -> bool {
    operands.iter().any(|o| o.buffer == buffer)
}

/// Whether `moved` can be reordered with all of `others`.
pub(super) fn may_move_past<'a>(moved: &Launch, others: impl IntoIterator<Item = &'a Launch>) -> bool {
    others.into_iter().all(|other| {
        let written = |o: &Operand| touches(&other.outputs, o.buffer);
        let overwrites = |o: &Operand| touches(&other.inputs, o.buffer);
        !moved.inputs.iter().any(written) && !moved.outputs.iter().any(|o| written(o) || overwrites(o))
    })
}

/// Merges launches that read the same inputs.
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
                // The launch now at this position may be merged, too.
                position = position.min(removed).min(place);
            }
            None => position += 1,
        }
    }
}

/// A launch that can absorb the one at `other`: returns the position to remove, the position that remains, and the
/// merged launch.
fn find_absorber(launches: &[Launch], other: usize) -> Option<(usize, usize, Launch)> {
    let read = launches[other].inputs.first()?.buffer;
    for (own, launch) in launches.iter().enumerate().filter(|(k, l)| *k != other && touches(&l.inputs, read)) {
        let Some(joined) = launch.kernel.info().absorb(launch, &launches[other]) else { continue };
        let (first, last) = (own.min(other), own.max(other));
        let between = &launches[first + 1..last];
        if may_move_past(&launches[last], &launches[first..last]) {
            return Some((last, first, joined));
        }
        if may_move_past(&launches[first], between) && may_move_past(&launches[first], &launches[last..=last]) {
            return Some((first, last, joined));
        }
    }
    None
}

/// Fuses elementwise launches, as epilogues, into the launches that produce their inputs.
pub(super) fn epilogues(plan: &mut Plan, max_buffers: usize) {
    let mut position = 0;
    while position < plan.launches.len() {
        match find_producer(plan, position, max_buffers) {
            Some((producer, fused, down)) => {
                // `down`: at the position of the elementwise launch, else at that of the producer.
                let (kept, removed) = if down { (position, producer) } else { (producer, position) };
                plan.launches[kept] = fused;
                plan.launches.remove(removed);
                position = if down { position } else { producer };
            }
            None => position += 1,
        }
    }
}

/// A launch that can take the one at `position` as an epilogue: returns its position, the fused launch, and whether
/// that goes to the later position.
fn find_producer(plan: &Plan, position: usize, max_buffers: usize) -> Option<(usize, Launch, bool)> {
    let launch = &plan.launches[position];
    matches!(launch.kernel, Kernel::Elementwise(_)).then_some(())?;
    let candidates = (0..launch.inputs.len()).filter_map(|k| Some((producer(plan, position, k)?, k)));
    // The latest producer first: it moves the least.
    let mut candidates: Vec<(usize, usize)> = candidates.collect();
    candidates.sort_unstable_by(|a, b| b.cmp(a));
    candidates.into_iter().find_map(|(producer, k)| {
        let kept = |buffer: BufferId| {
            let read = |(other, l): (usize, &Launch)| other != position && touches(&l.inputs, buffer);
            plan.launches.iter().enumerate().any(read) || touches(&plan.outputs, buffer)
        };
        let fused = fuse(&plan.launches[producer], launch, k, &kept, max_buffers)?;
        let between = &plan.launches[producer + 1..position];
        let stays = plan.launches[producer].outputs.iter().any(|o| kept(o.buffer));
        if !stays && may_move_past(&plan.launches[producer], between) {
            return Some((producer, fused, true));
        }
        may_move_past(launch, between).then_some((producer, fused, false))
    })
}

/// The only launch that writes the buffer of the `k`-th input, if it precedes `reader`, and both access the whole
/// buffer densely.
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

/// Fuses the expression of `launch`, whose `k`-th input is an output of `producer`, into the epilogue of `producer`.
/// Outputs for which `kept` is false are no longer written.
fn fuse(
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
    // The epilogue's root for an input that is an output of `producer`. Both must have the same element order.
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
    // All outputs are reshaped to the epilogue's iteration space.
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
    // Kernels that do not update in place first write their raw result to the epilogue's first output.
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
