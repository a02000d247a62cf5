//! Dead code elimination: removes nodes that no output and no update needs.

use super::program::{Program, append};
use crate::ops::Op;
use crate::ops::leaf::Leaf;

/// With `dead_code`, removes all nodes that neither an output nor an update needs. Without it, removes only the
/// inputs and poisoned leaves among them: a run must not require a value for an input that no result needs.
pub(super) fn prune(program: &Program, dead_code: bool) -> Program {
    let live = program.live();
    program.rebuild(|index, node, nodes| {
        let stays = live[index] || !(dead_code || matches!(node.op, Op::Leaf(Leaf::Input { .. } | Leaf::Poison)));
        stays.then(|| append(nodes, node))
    })
}
