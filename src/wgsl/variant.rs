//! The ways a launch can be run, and which of them is taken.
//!
//! A kernel lists its variants for a target: tiles, threads that share a sum, parts of a sum. Each is right by
//! construction and within the target's limits. A rule puts one of them first without measuring anything; a [`Choice`]
//! may take another.

use crate::kernels::{Launch, Operand};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which variant of a launch is taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Choice {
    /// The rule's.
    #[default]
    Rule,
    /// The one of this name where a launch has it; else the rule's.
    Named(Arc<str>),
    /// The one of this number, counted in a circle: 0 is the rule's. To check every variant of every kernel in turn.
    Number(usize),
    /// What was measured on a device; the rule's for launches that were not.
    Tuned(Arc<Tuned>),
}

impl std::fmt::Display for Choice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Choice::Rule => f.write_str("by rule"),
            Choice::Named(name) => f.write_str(name),
            Choice::Number(number) => write!(f, "number {number}"),
            Choice::Tuned(tuned) => write!(f, "tuned for {} launches", tuned.0.len()),
        }
    }
}

/// The variants measured as the fastest, by [`key`] of the launch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tuned(pub BTreeMap<String, String>);

/// The variants of a launch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variants {
    /// Their names, each once; the first is the rule's. Empty if the kernel has one way to run.
    pub names: Vec<String>,
    /// The number of the one taken.
    pub chosen: usize,
}

impl Variants {
    /// The name of the one taken; `None` if there is no choice.
    pub fn name(&self) -> Option<&str> {
        self.names.get(self.chosen).map(String::as_str)
    }
}

/// A way to share a kernel's work in a workgroup, and the parts into which the terms of each result are cut for
/// different workgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Split<T> {
    /// The tile, or the threads that share a result.
    pub way: T,
    /// Parts.
    pub parts: usize,
    /// Terms of each part but the last.
    pub part: usize,
}

impl<T> Split<T> {
    /// One part of all terms.
    pub(super) fn whole(way: T, terms: usize) -> Self {
        Split { way, parts: 1, part: terms }
    }

    /// So many parts, or a few fewer, each but the last of a multiple of `unit` terms.
    pub(super) fn new(way: T, terms: usize, parts: usize, unit: usize) -> Self {
        if parts <= 1 || terms == 0 {
            return Split::whole(way, terms);
        }
        let part = terms.div_ceil(parts).next_multiple_of(unit);
        Split { way, parts: terms.div_ceil(part), part }
    }

    /// The same parts of another way.
    pub(super) fn map<U>(self, way: impl FnOnce(T) -> U) -> Split<U> {
        Split { way: way(self.way), parts: self.parts, part: self.part }
    }
}

impl<T: std::fmt::Display> std::fmt::Display for Split<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.way)?;
        if self.parts > 1 { write!(f, "-split{}", self.parts) } else { Ok(()) }
    }
}

impl Choice {
    /// Whether it is the rule's variant, whatever others there are.
    pub(super) fn is_rule(&self, launch: &Launch) -> bool {
        match self {
            Choice::Rule | Choice::Number(0) => true,
            Choice::Named(_) | Choice::Number(_) => false,
            Choice::Tuned(tuned) => !tuned.0.contains_key(&key(launch)),
        }
    }

    /// The number of the variant to take.
    pub(super) fn of(&self, launch: &Launch, names: &[String]) -> usize {
        let find = |wanted: &str| names.iter().position(|name| name == wanted).unwrap_or(0);
        match self {
            Choice::Rule => 0,
            Choice::Named(name) => find(name),
            Choice::Number(number) => number % names.len().max(1),
            Choice::Tuned(tuned) => tuned.0.get(&key(launch)).map_or(0, |name| find(name)),
        }
    }
}

/// What a launch is, as a line of text: the kernel, its sizes and epilogue, and the dtypes and strides of its operands.
/// Launches with the same key are equal work.
pub fn key(launch: &Launch) -> String {
    let operand =
        |operand: &Operand| format!("{}{:?}/{:?}", operand.dtype, &operand.view.shape[..], operand.view.strides);
    let list = |operands: &[Operand]| operands.iter().map(operand).collect::<Vec<_>>().join(" ");
    let (name, described) = (launch.kernel.name(), launch.kernel.describe());
    format!("{name} {described}: {} -> {}", list(&launch.inputs), list(&launch.outputs))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::dtype::DType;
    use crate::graph::Graph;
    use crate::plan::{Target, lower};
    use crate::wgsl::{GpuTarget, dispatches, variants};

    fn matmul(n: usize) -> Launch {
        let g = Graph::new();
        let [a, b] = ["a", "b"].map(|name| g.input(name, [n, n], DType::F32));
        lower(&g, &[a.matmul(b).id()], &Target::default()).unwrap().launches.swap_remove(0)
    }

    #[test]
    fn a_choice_takes_a_variant_that_there_is() {
        let launch = matmul(100);
        let with = |choice: Choice| GpuTarget { choice, ..GpuTarget::default() };
        let all = variants(&launch, &with(Choice::Rule)).unwrap();
        assert!(all.names.len() > 3 && all.chosen == 0, "{all:?}");
        let chosen = |choice| variants(&launch, &with(choice)).unwrap().chosen;
        assert_eq!(chosen(Choice::Named(all.names[2].as_str().into())), 2);
        assert_eq!(chosen(Choice::Named("none".into())), 0);
        assert_eq!(chosen(Choice::Number(all.names.len() + 1)), 1);
        let tuned = |launch| Choice::Tuned(Arc::new(Tuned([(key(launch), all.names[3].clone())].into())));
        assert_eq!(chosen(tuned(&launch)), 3);
        assert_eq!(chosen(tuned(&matmul(101))), 0);
        let shader = |choice| dispatches(&launch, &with(choice)).map(|list| list[0].shader.clone());
        assert_eq!(shader(Choice::Rule).unwrap(), shader(Choice::Number(0)).unwrap());
        assert_ne!(shader(Choice::Rule).unwrap(), shader(Choice::Number(1)).unwrap());
    }
}
