//! Variable updates.
//!
//! All updates of a run read the values that the variables had before it. An update whose new value is an expression is
//! computed directly into the variable, in place, if that is safe: every earlier launch has already read the old value
//! (updates come last), and within a launch each point reads the old elements only at its own position, before it
//! writes them. Updates that read each other's variables (a parameter and its momentum) form one launch. Otherwise, the
//! new values are computed into scratch buffers and then copied.

use super::Lazy;
use super::lower::{Lowering, Value, is_elementwise};
use crate::error::Result;
use crate::graph::{Node, NodeId};
use crate::kernels::elementwise::ElementwiseKernel;
use crate::kernels::{Expr, Operand, distinct_buffers};
use crate::variable::Variable;

/// Finds elementwise nodes whose only consumers, through elementwise nodes of the same shape, are updates. They are
/// kept as expressions however many updates use them, because those updates become one launch.
pub(super) fn only_feeds_updates(
    nodes: &[Node],
    needed: &[bool],
    outputs: &[NodeId],
    updates: &[(Variable, NodeId)],
) -> Vec<bool> {
    let mut only: Vec<bool> = nodes.iter().map(is_elementwise).collect();
    for id in outputs {
        only[id.index()] = false;
    }
    let mut fed = vec![false; nodes.len()];
    for (_, id) in updates {
        fed[id.index()] = true;
    }
    for index in (0..nodes.len()).rev().filter(|&i| needed[i]) {
        let node = &nodes[index];
        only[index] &= fed[index];
        for input in &node.inputs {
            let same = nodes[input.index()].ty.shape == node.ty.shape;
            if only[index] && same {
                fed[input.index()] = true;
            } else {
                only[input.index()] = false;
            }
        }
    }
    only
}

struct Update {
    target: Operand,
    value: Lazy,
}

pub(super) fn lower(cx: &mut Lowering<'_>, updates: &[(Variable, NodeId)]) -> Result<()> {
    let mut pending: Vec<Update> = Vec::new();
    for (variable, id) in updates {
        let target = cx.variable(variable);
        let value = match cx.node_value(*id) {
            Value::Lazy(lazy) => lazy,
            Value::Stored(operand) => Lazy::load(operand),
        };
        pending.push(Update { target, value });
    }
    for group in groups(&pending) {
        let members: Vec<&Update> = group.iter().map(|&i| &pending[i]).collect();
        if !in_place(cx, &members) {
            let copies: Vec<(Operand, Operand)> =
                members.iter().map(|u| (cx.store(&u.value), u.target.clone())).collect();
            for (from, to) in copies {
                cx.store_into(&Lazy::load(from), to);
            }
        }
    }
    Ok(())
}

/// Groups the updates that access each other's variables.
fn groups(pending: &[Update]) -> Vec<Vec<usize>> {
    let mut group: Vec<usize> = (0..pending.len()).collect();
    for (i, update) in pending.iter().enumerate() {
        for (j, other) in pending.iter().enumerate() {
            if i != j && update.value.loads.iter().any(|o| o.overlaps(&other.target)) {
                let (from, to) = (group[i].max(group[j]), group[i].min(group[j]));
                group.iter_mut().filter(|g| **g == from).for_each(|g| *g = to);
            }
        }
    }
    (0..pending.len())
        .map(|g| (0..pending.len()).filter(|&i| group[i] == g).collect::<Vec<_>>())
        .filter(|members| !members.is_empty())
        .collect()
}

/// Adds one launch that computes all updates of a group in place, if that is safe; returns whether it did.
fn in_place(cx: &mut Lowering<'_>, members: &[&Update]) -> bool {
    let shape = &members[0].target.view.shape;
    let (mut expr, mut loads) = (Expr::default(), Vec::new());
    for member in members {
        if member.target.view.shape != *shape {
            return false;
        }
        let root = member.value.append_to(&mut expr, &mut loads);
        expr.roots.push(root);
    }
    let is_target = |o: &Operand| members.iter().any(|m| m.target.overlaps(o));
    if loads.iter().any(|o| is_target(o) && !members.iter().any(|m| m.target == *o)) {
        return false;
    }
    if distinct_buffers(loads.iter().chain(members.iter().map(|m| &m.target))).len() > cx.max_buffers() {
        return false;
    }
    let outputs = members.iter().map(|m| m.target.clone()).collect();
    cx.launch(ElementwiseKernel { shape: shape.clone(), expr }, loads, outputs);
    true
}
