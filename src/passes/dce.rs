//! Leaving out nodes that nothing needs.

use super::program::{Program, append};
use crate::ops::Op;
use crate::ops::leaf::Leaf;

/// The program without the nodes that neither an output nor an update needs, if `dead_code` is asked for; else without
/// those of them that cannot be computed: a run is not asked for the value of an input that only they use.
pub(super) fn prune(program: &Program, dead_code: bool) -> Program {
    let live = program.live();
    program.rebuild(|index, node, nodes| {
        let stays = live[index] || !(dead_code || matches!(node.op, Op::Leaf(Leaf::Input { .. } | Leaf::Poison)));
        stays.then(|| append(nodes, node))
    })
}
