//! Dispatches: how a GPU runs a launch, as plain data.

use super::{GpuTarget, Reads, Shader, Variants, Window, Work, work};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::kernels::{BufferId, Launch, Operand};
use crate::shape::{Shape, View};

/// A GPU dispatch, as plain data: which shader, specialised how, over which buffers.
///
/// The parameters are bound as a uniform at `@group(0) @binding(0)`, and buffers from `@binding(1)` on in the
/// order of `bindings`.
#[derive(Debug, Clone)]
pub struct Dispatch {
    /// The specialised shader.
    pub shader: Shader,
    /// The uniform's words.
    pub params: Vec<u32>,
    /// The buffers bound, in binding order.
    pub bindings: Vec<Binding>,
    /// Workgroups in all; folded into two dimensions, so a shader takes `workgroup_id.y · num_workgroups.x +
    /// workgroup_id.x` as its number and does nothing if that is beyond the last.
    pub workgroups: u64,
    /// Whether the shader reads the run's index or seed: three words of immediates, the index and the key's two.
    pub uses_run: bool,
    /// Bytes of the parameters and of each binding, more than which a user's shader may not declare; empty for
    /// wgrad's own.
    pub declared: Vec<u64>,
    /// What it does to a device.
    pub work: Work,
}

impl Dispatch {
    /// A dispatch that binds every operand, inputs first, each at its own binding.
    pub fn new(operands: Operands<'_>, shader: Shader, params: Vec<u32>, workgroups: u64) -> Dispatch {
        let read = operands.inputs.iter().map(|o| Binding { buffer: o.buffer, written: false, window: None });
        let written = operands.outputs.iter().map(|o| Binding { buffer: o.buffer, written: true, window: None });
        let bindings = read.chain(written).collect();
        let work = Work { bytes: work::bytes(operands.inputs.iter().chain(operands.outputs)), ..Work::default() };
        Dispatch { shader, params, bindings, workgroups, uses_run: false, declared: Vec::new(), work }
    }

    /// The same with its work, but for the bytes, which are known.
    pub fn work(self, work: Work) -> Dispatch {
        Dispatch { work: Work { bytes: self.work.bytes, ..work }, ..self }
    }

    /// The dispatch of a shader that calls its result `c` and another output `row_sums`, and reads its inputs so; and
    /// what it calls the buffers.
    pub fn reading(
        operands: Operands<'_>,
        shader: Shader,
        params: Vec<u32>,
        workgroups: u64,
        reads: &[Reads],
    ) -> (Dispatch, Vec<&'static str>) {
        let outputs = &["c", "row_sums"][..operands.outputs.len()];
        let names = reads.iter().flat_map(Reads::names).chain(outputs.iter().copied()).collect();
        let regions = reads.iter().filter_map(|reads| Some((reads.names()[0], reads.region()?)));
        let shader = regions.fold(shader, |shader, (name, text)| shader.replace(name, text));
        let mut dispatch = Dispatch::new(operands, shader, params, workgroups);
        let read = reads.iter().zip(operands.inputs).flat_map(|(reads, operand)| reads.bindings(operand));
        dispatch.bindings = read.chain(dispatch.bindings[operands.inputs.len()..].iter().copied()).collect();
        (dispatch, names)
    }
}

/// One binding of a dispatch: a whole buffer as storage, or part of one as a uniform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// The buffer.
    pub buffer: BufferId,
    /// Whether it is bound `read_write` (else `read`).
    pub written: bool,
    /// The part that is bound as a uniform.
    pub window: Option<Window>,
}

/// What a dispatch reads and writes.
#[derive(Debug, Clone, Copy)]
pub struct Operands<'a> {
    /// What it reads.
    pub inputs: &'a [Operand],
    /// What it writes.
    pub outputs: &'a [Operand],
}

impl<'a> Operands<'a> {
    /// These operands.
    pub fn new(inputs: &'a [Operand], outputs: &'a [Operand]) -> Self {
        Operands { inputs, outputs }
    }

    /// The first of its inputs and outputs only: a kernel's own.
    pub fn first(self, inputs: usize, outputs: usize) -> Self {
        Operands { inputs: &self.inputs[..inputs], outputs: &self.outputs[..outputs] }
    }
}

impl<'a> From<&'a Launch> for Operands<'a> {
    fn from(launch: &'a Launch) -> Self {
        Operands { inputs: &launch.inputs, outputs: &launch.outputs }
    }
}

/// The dispatches of one launch, as they are made.
#[derive(Debug)]
pub struct Dispatches<'a> {
    /// The launch.
    pub launch: &'a Launch,
    /// What the device can do.
    pub target: &'a GpuTarget,
    list: Vec<Dispatch>,
    /// The bytes of each scratch buffer asked for.
    scratch: Vec<u64>,
    /// Whether variants are listed even where the rule's is taken.
    listing: bool,
    variants: Variants,
}

/// Scratch buffers that the planner has not placed yet are numbered from the top.
const UNPLACED: u32 = u32::MAX;

impl<'a> Dispatches<'a> {
    pub(super) fn new(launch: &'a Launch, target: &'a GpuTarget) -> Self {
        let variants = Variants::default();
        Dispatches { launch, target, list: Vec::new(), scratch: Vec::new(), listing: false, variants }
    }

    /// The same with the variants listed.
    pub(super) fn listing(self) -> Self {
        Dispatches { listing: true, ..self }
    }

    /// The variant to run: `rule`, which the kernel's rule has chosen, or another valid one. Once for a launch. The others
    /// are asked for only if one of them may be taken.
    pub fn choose<V: std::fmt::Display>(&mut self, rule: V, others: impl FnOnce() -> Vec<V>) -> V {
        if !self.listing && self.target.choice.is_rule(self.launch) {
            return rule;
        }
        let (mut all, mut names) = (Vec::new(), Vec::<String>::new());
        for variant in std::iter::once(rule).chain(others()) {
            let name = variant.to_string();
            if !names.contains(&name) {
                names.push(name);
                all.push(variant);
            }
        }
        let chosen = self.target.choice.of(self.launch, &names);
        self.variants = Variants { names, chosen };
        all.swap_remove(chosen)
    }

    /// Adds a dispatch, which sees what those before it wrote.
    pub fn push(&mut self, dispatch: Dispatch) {
        self.list.push(dispatch);
    }

    /// A new dense operand in a scratch buffer of its own. What it holds before a dispatch writes it is anything.
    pub fn scratch(&mut self, shape: impl Into<Shape>, dtype: DType) -> Operand {
        let view = View::dense(shape.into());
        let number = self.scratch.len();
        let buffer = self.launch.scratch.get(number).copied().unwrap_or(BufferId(UNPLACED - number as u32));
        self.scratch.push((view.shape.elements() * dtype.size()).next_multiple_of(4).max(4) as u64);
        Operand { buffer, dtype, view }
    }

    /// The variants, if they were listed.
    pub(super) fn variants(&self) -> &Variants {
        &self.variants
    }

    /// The bytes of each scratch buffer.
    pub(super) fn into_scratch(self) -> Vec<u64> {
        self.scratch
    }

    /// The dispatches, in order.
    pub(super) fn into_list(self) -> Result<Vec<Dispatch>> {
        if self.scratch.len() != self.launch.scratch.len() {
            return Err(Error::Internal(format!(
                "a {} launch was planned with {} scratch buffers, but takes {} on this device",
                self.launch.kernel.name(),
                self.launch.scratch.len(),
                self.scratch.len()
            )));
        }
        Ok(self.list)
    }
}

/// For tests of how launches are cut: the workgroups of each dispatch, and the bytes of scratch, of results that take
/// one launch.
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) fn launched(
    target: &GpuTarget,
    build: impl for<'g> Fn(&'g crate::graph::Graph) -> Vec<crate::tensor::Tensor<'g>>,
) -> (Vec<u64>, u64) {
    let g = crate::graph::Graph::new();
    let results: Vec<_> = build(&g).iter().map(|result| result.id()).collect();
    let plan =
        crate::plan::lower(&g, &results, &crate::plan::Target { backend: target, ..Default::default() }).unwrap();
    assert_eq!(plan.launches.len(), 1);
    let list = super::dispatches(&plan.launches[0], target).unwrap();
    let scratch = super::scratch(&plan.launches[0], target).unwrap();
    (list.iter().map(|dispatch| dispatch.workgroups).collect(), scratch.iter().sum())
}
