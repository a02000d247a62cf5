//! Channels-last layout between convolutions.
//!
//! Convolutions on the CPU vectorise over channels. Values `[batch, channels, positions]` that only convolutions and
//! their epilogues access are therefore stored as `[batch, positions, channels]`, with the channels zero-padded to
//! whole vectors, so that nothing needs to be transposed. All operands of such a value get the strides of this layout,
//! so a launch is still fully described by its operands.

use super::{Backend, BufferKind, Plan};
use crate::dtype::DType;
use crate::kernels::{Launch, Operand};
use crate::shape::{TensorType, View};

/// Changes the layout of the values for which every launch that accesses them supports it. Each value still has its own
/// buffer.
pub(super) fn rewrite(plan: &mut Plan, backend: &dyn Backend) {
    let Some(lanes) = backend.channel_lanes().filter(|&lanes| lanes > 1) else { return };
    let mut last: Vec<bool> = (0..plan.buffers.len()).map(|index| is_candidate(plan, index)).collect();
    // If one launch rejects a value, it keeps its original layout for all launches, which may then reject others.
    loop {
        let refused = plan.launches.iter().find(|launch| {
            let flags: Vec<bool> = operands(launch).map(|operand| last[operand.buffer.index()]).collect();
            !backend.takes_channels_last(launch, &flags)
        });
        let Some(launch) = refused else { break };
        operands(launch).for_each(|operand| last[operand.buffer.index()] = false);
    }
    for launch in &mut plan.launches {
        for operand in launch.inputs.iter_mut().chain(&mut launch.outputs).filter(|o| last[o.buffer.index()]) {
            let channels = operand.view.shape[1].next_multiple_of(lanes);
            let positions = operand.view.shape[2];
            operand.view.strides = vec![(positions * channels) as isize, 1, channels as isize];
        }
    }
    for (buffer, _) in plan.buffers.iter_mut().zip(&last).filter(|(_, last)| **last) {
        let [batch, channels, positions] = [0, 1, 2].map(|axis| buffer.ty.shape[axis]);
        buffer.ty = TensorType::new([batch, positions, channels.next_multiple_of(lanes)], DType::F32);
    }
}

fn operands(launch: &Launch) -> impl Iterator<Item = &Operand> {
    launch.inputs.iter().chain(&launch.outputs)
}

/// Whether the buffer is an intermediate value that one launch writes, and that all launches access whole and in one
/// shape.
fn is_candidate(plan: &Plan, index: usize) -> bool {
    let buffer = &plan.buffers[index];
    let here = |operand: &&Operand| operand.buffer.index() == index;
    let whole = View::dense(buffer.ty.shape.clone());
    matches!(buffer.kind, BufferKind::Scratch)
        && buffer.ty.dtype == DType::F32
        && buffer.ty.shape.rank() == 3
        && buffer.ty.shape.elements() > 0
        && !plan.outputs.iter().any(|output| output.buffer.index() == index)
        && plan.launches.iter().flat_map(|launch| &launch.outputs).filter(here).count() == 1
        && plan.launches.iter().flat_map(operands).filter(here).all(|operand| operand.view == whole)
}
