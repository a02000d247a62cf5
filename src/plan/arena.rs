//! Fusion of variable updates: one launch updates many variables.
//!
//! An optimiser updates each parameter in a separate launch, and all these launches compute the same expression. Their
//! parameters, gradients and moments are placed contiguously in arenas, at the same offsets in each; then one launch
//! over the arenas updates all parameters. Everything else accesses its variable or gradient in the arena through a
//! view.
//!
//! Each slot is padded so that the next one is aligned for vector loads. The launch also computes values in the
//! padding, which nothing reads.
//!
//! Buffers can be merged only if no launch reads one of them and writes another, because a device binds a buffer either
//! read-only or read-write. The updates themselves read and write at the same positions.

use super::fuse::may_move_past;
use super::{Buffer, BufferKind, Placement, Plan, Storage};
use crate::kernels::elementwise::ElementwiseKernel;
use crate::kernels::{BufferId, Instr, Kernel, Launch, Operand};
use crate::shape::{Shape, TensorType, View};
use std::collections::HashMap;
use std::sync::Arc;

/// Slots are padded to a multiple of this many elements: a cache line of `f32`.
const ALIGNMENT: usize = 16;

/// Merges updates of the same expression, unless their variables already have other storage.
pub(super) fn join(plan: &mut Plan, placed: &Placement) {
    let mut classes: Vec<Vec<usize>> = Vec::new();
    for position in (0..plan.launches.len()).filter(|&k| is_update(plan, &plan.launches[k])) {
        let alike = |class: &Vec<usize>| alike(&plan.launches[class[0]], &plan.launches[position]);
        match classes.iter().position(alike) {
            Some(class) => classes[class].push(position),
            None => classes.push(vec![position]),
        }
    }
    // From the last launch to the first, so that positions stay valid.
    classes.sort_unstable_by_key(|class| std::cmp::Reverse(class[class.len() - 1]));
    let mut removed = Vec::new();
    for class in classes.into_iter().filter(|class| class.len() > 1) {
        if let Some(arenas) = Arenas::new(plan, placed, &class) {
            arenas.apply(plan, &class);
            removed.extend_from_slice(&class[..class.len() - 1]);
        }
    }
    let mut position = 0;
    plan.launches.retain(|_| {
        position += 1;
        !removed.contains(&(position - 1))
    });
}

fn kernel(launch: &Launch) -> Option<&ElementwiseKernel> {
    match &launch.kernel {
        Kernel::Elementwise(kernel) => Some(kernel),
        _ => None,
    }
}

/// Whether the operand is a broadcast scalar: all points read the same element.
fn is_shared(operand: &Operand) -> bool {
    operand.view.strides.iter().all(|&stride| stride == 0)
}

/// Whether a launch only computes variables, elementwise, from operands of their shape and broadcast scalars.
fn is_update(plan: &Plan, launch: &Launch) -> bool {
    let Some(kernel) = kernel(launch) else { return false };
    let positional = kernel.expr.instrs.iter().any(|i| matches!(i, Instr::Iota { .. } | Instr::Random { .. }));
    let is_variable = |o: &Operand| matches!(plan.buffers[o.buffer.index()].kind, BufferKind::Variable(_));
    let dense = |o: &Operand| o.view.is_dense() && o.view.shape == kernel.shape;
    !positional
        && launch.outputs.iter().all(|o| is_variable(o) && dense(o))
        && launch.inputs.iter().all(|o| dense(o) || is_shared(o))
}

/// Whether two updates compute the same expression from operands of the same kinds and the same broadcast scalars.
fn alike(a: &Launch, b: &Launch) -> bool {
    let same = |a: &[Operand], b: &[Operand]| {
        a.len() == b.len()
            && a.iter().zip(b).all(|(a, b)| {
                let shared = |o: &Operand| is_shared(o).then_some((o.buffer, o.view.offset));
                a.dtype == b.dtype && (shared(a) == shared(b) || (is_dense(a) && is_dense(b)))
            })
    };
    let exprs = kernel(a).zip(kernel(b)).is_some_and(|(a, b)| a.expr == b.expr);
    exprs && same(&a.inputs, &b.inputs) && same(&a.outputs, &b.outputs)
}

/// Whether an operand of an update is dense. A single element is both dense and a broadcast scalar.
fn is_dense(operand: &Operand) -> bool {
    operand.view.is_dense()
}

/// The same operand of each update of a class, to be placed in one arena.
struct Column {
    /// One per update.
    operands: Vec<Operand>,
}

/// The arenas for the operands of a class of updates.
struct Arenas {
    columns: Vec<Column>,
    /// The buffer of each column that already is an arena.
    existing: Vec<Option<BufferId>>,
    /// The offset of each update's elements.
    offsets: Vec<usize>,
    elements: usize,
}

impl Arenas {
    /// `None` if the operands cannot be placed in arenas.
    fn new(plan: &Plan, placed: &Placement, class: &[usize]) -> Option<Arenas> {
        let launches: Vec<&Launch> = class.iter().map(|&k| &plan.launches[k]).collect();
        let shared: Vec<bool> = (0..launches[0].inputs.len())
            .map(|k| {
                launches.iter().all(|l| is_shared(&l.inputs[k]) && l.inputs[k].buffer == launches[0].inputs[k].buffer)
            })
            .collect();
        let mut columns: Vec<Column> = Vec::new();
        let inputs = (0..shared.len()).filter(|&k| !shared[k]);
        let mut add = |of: &dyn Fn(&Launch) -> Operand| {
            let operands: Vec<Operand> = launches.iter().map(|l| of(l)).collect();
            if !columns.iter().any(|c| c.operands == operands) {
                columns.push(Column { operands });
            }
        };
        inputs.for_each(|k| add(&|l: &Launch| l.inputs[k].clone()));
        (0..launches[0].outputs.len()).for_each(|k| add(&|l: &Launch| l.outputs[k].clone()));
        let sizes: Vec<usize> = launches.iter().map(|l| l.outputs[0].view.shape.elements()).collect();
        let mut ends = 0;
        let place = |&size: &usize| {
            let start = ends;
            ends += size.next_multiple_of(ALIGNMENT);
            start
        };
        let mut offsets: Vec<usize> = sizes.iter().map(place).collect();
        let mut elements = ends;
        let mut existing = Vec::new();
        for column in &columns {
            let found = column.existing(plan, placed)?;
            if let Some((_, storage)) = &found {
                let own = |o: &Operand| o.view.offset;
                let places: Vec<usize> = column.operands.iter().map(own).collect();
                if existing.iter().any(Option::is_some)
                    && (places != offsets || storage.ty.shape.elements() != elements)
                {
                    return None;
                }
                (offsets, elements) = (places, storage.ty.shape.elements());
            }
            existing.push(found.map(|(buffer, _)| buffer));
        }
        let arenas = Arenas { columns, existing, offsets, elements };
        arenas.may_join(plan, class).then_some(arenas)
    }

    /// Whether merging is safe: apart from the updates, no launch reads one operand of a column and writes another; no
    /// buffer is in two places; and every update can move to the position of the last one.
    fn may_join(&self, plan: &Plan, class: &[usize]) -> bool {
        let mut seen = HashMap::new();
        for (column, operands) in self.columns.iter().enumerate() {
            for (update, operand) in operands.operands.iter().enumerate() {
                let place = (operand.buffer, if self.existing[column].is_some() { update } else { 0 });
                if seen.insert(place, column).is_some() {
                    return false;
                }
            }
        }
        let column =
            |o: &Operand| self.columns.iter().position(|c| c.operands.iter().any(|other| other.buffer == o.buffer));
        let disjoint = |launch: &Launch| {
            let written: Vec<usize> = launch.outputs.iter().filter_map(column).collect();
            !launch.inputs.iter().filter_map(column).any(|c| written.contains(&c))
        };
        let last = class[class.len() - 1];
        let others = || plan.launches.iter().enumerate().filter(|(k, _)| !class.contains(k));
        let between = |k: usize| others().filter(move |&(other, _)| other > k && other < last).map(|(_, other)| other);
        let movable = |k: usize| may_move_past(&plan.launches[k], between(k));
        others().all(|(_, launch)| disjoint(launch)) && class.iter().all(|&k| movable(k))
    }

    /// Moves the operands into the arenas, and replaces the last update by the merged one.
    fn apply(self, plan: &mut Plan, class: &[usize]) {
        let mut moved: HashMap<BufferId, (BufferId, usize)> = HashMap::new();
        let mut arenas = Vec::new();
        for (column, existing) in self.columns.iter().zip(&self.existing) {
            let arena = existing.unwrap_or_else(|| {
                let id = BufferId(plan.buffers.len() as u32);
                plan.buffers.push(column.arena(plan, &self.offsets, self.elements));
                for (operand, &offset) in column.operands.iter().zip(&self.offsets) {
                    moved.insert(operand.buffer, (id, offset));
                }
                id
            });
            arenas.push(arena);
        }
        let shape = Shape::from([self.elements]);
        let flat = |o: &Operand| {
            let column = self.columns.iter().position(|c| c.operands.contains(o));
            match column {
                Some(column) => Operand { buffer: arenas[column], view: View::dense(&shape), ..o.clone() },
                None => {
                    let view = View { shape: shape.clone(), strides: vec![0], offset: o.view.offset };
                    Operand { view, ..o.clone() }
                }
            }
        };
        let last = class[class.len() - 1];
        let launch = &plan.launches[last];
        let Some(kernel) = kernel(launch) else { unreachable!("updates are elementwise") };
        let kernel = ElementwiseKernel { shape: shape.clone(), expr: kernel.expr.clone() };
        let inputs = launch.inputs.iter().map(flat).collect();
        let joined = Launch::new(kernel, inputs, launch.outputs.iter().map(flat).collect());
        let relocate = |operand: &mut Operand| {
            if let Some(&(buffer, offset)) = moved.get(&operand.buffer) {
                operand.buffer = buffer;
                operand.view.offset += offset;
            }
        };
        for launch in &mut plan.launches {
            launch.inputs.iter_mut().chain(&mut launch.outputs).for_each(relocate);
        }
        plan.outputs.iter_mut().for_each(relocate);
        plan.launches[last] = joined;
    }
}

impl Column {
    /// The buffer that consists of exactly these operands, if there is one; `Some(None)` if they can be moved into a
    /// new arena; `None` if neither is the case.
    #[allow(clippy::type_complexity)]
    fn existing(&self, plan: &Plan, placed: &Placement) -> Option<Option<(BufferId, Arc<Storage>)>> {
        let buffer = |o: &Operand| &plan.buffers[o.buffer.index()];
        let movable = |o: &Operand| match &buffer(o).kind {
            BufferKind::Scratch => o.view.offset == 0 && o.view.shape.elements() == buffer(o).ty.shape.elements(),
            BufferKind::Variable(storage) => storage.slots.len() == 1 && placed.get(&storage.slots[0].0).is_none(),
            BufferKind::Constant(_) | BufferKind::Input(_) => false,
        };
        if self.operands.iter().all(movable) {
            return Some(None);
        }
        let first = self.operands[0].buffer;
        let BufferKind::Variable(storage) = &plan.buffers[first.index()].kind else { return None };
        let together = self.operands.iter().all(|o| o.buffer == first) && storage.slots.len() == self.operands.len();
        together.then(|| Some((first, storage.clone())))
    }

    fn arena(&self, plan: &Plan, offsets: &[usize], elements: usize) -> Buffer {
        let ty = TensorType::new([elements], self.operands[0].dtype);
        let variable = |(operand, &offset): (&Operand, &usize)| match &plan.buffers[operand.buffer.index()].kind {
            BufferKind::Variable(storage) => Some((storage.slots[0].0.clone(), offset)),
            _ => None,
        };
        let slots: Option<Vec<_>> = self.operands.iter().zip(offsets).map(variable).collect();
        let kind = match slots {
            Some(slots) => BufferKind::Variable(Arc::new(Storage { slots, ty: ty.clone() })),
            None => BufferKind::Scratch,
        };
        Buffer { ty, kind }
    }
}
